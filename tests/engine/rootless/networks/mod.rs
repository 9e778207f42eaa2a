//! Networks that an ordinary user makes: who reaches whom, under which address, and what is left by whom.

mod crash;
mod life;
mod traffic;

use std::fs;
use std::path::PathBuf;

use super::user::{OTHER, assert_nothing_left, processes};
use super::wire::{HOST, HOST6, Names, OUTSIDE, OUTSIDE6, Server, Wire};
use crate::harness::*;

/// A web server with the image's file that says who asked.
const SERVER: [&str; 7] = ["busybox", "httpd", "-fvv", "-p", "80", "-h", "/data"];

impl Wire {
    /// Runs a server in a container.
    #[track_caller]
    fn served(place: &Place, name: &str, flags: &[&str]) {
        place.ctn(&[&["run", "-d", "--name", name], flags, &["box"], &SERVER].concat());
    }
}

/// What is fetched in a container, if anything.
fn fetched(place: &Place, container: &str, url: &str) -> Option<String> {
    let output = place.call(&["exec", container, "busybox", "timeout", "5", "busybox", "wget", "-qO-", url]);
    output.status.success().then(|| String::from_utf8(output.stdout).unwrap())
}

#[track_caller]
fn assert_fetches(place: &Place, container: &str, url: &str) {
    until(&format!("{container} fetches {url}"), || {
        fetched(place, container, url).as_deref() == Some("from the image\n")
    });
}

/// Whether a server has said so, whatever it says it on.
fn has_said(place: &Place, name: &str, words: &str) -> bool {
    let output = place.call(&["logs", name]);
    [output.stdout, output.stderr].iter().any(|said| String::from_utf8_lossy(said).contains(words))
}

fn processes_of(place: &Place, words: &str) -> Vec<i32> {
    let lines = processes(place).into_iter().filter(|line| line.contains(" pasta ") && line.contains(words));
    lines.map(|line| line.split(' ').next().unwrap().parse().unwrap()).collect()
}

#[track_caller]
fn edge(place: &Place) -> i32 {
    let [pid] = processes_of(place, "-I edge")[..] else { panic!("one edge: {:?}", processes(place)) };
    pid
}

#[track_caller]
fn port(place: &Place) -> i32 {
    let [pid] = processes_of(place, "-I port")[..] else { panic!("one pasta before ports: {:?}", processes(place)) };
    pid
}

/// What networks have that no container is in: files, names, processes.
fn left_of_networks(place: &Place) -> Vec<PathBuf> {
    let entries = |path: PathBuf| -> Vec<PathBuf> {
        fs::read_dir(path).into_iter().flatten().flatten().map(|entry| entry.path()).collect()
    };
    let mut left = entries(place.join("run/netns"));
    for engine in entries(place.join("run/corten")).into_iter().filter(|path| path.is_dir()) {
        let network = engine.join("network");
        left.extend(["ports", "taps"].into_iter().flat_map(|name| entries(network.join(name))));
        for each in entries(network.join("endpoints")).into_iter().chain(entries(network.join("leases"))) {
            // The last address that was given is kept.
            left.extend(
                entries(each)
                    .into_iter()
                    .filter(|path| !path.file_name().unwrap().to_string_lossy().starts_with(".last")),
            );
        }
        left.extend(Some(network.join("edge.json")).filter(|path| path.exists()));
    }
    left
}

/// Nothing at all is left, of the user's processes either.
#[track_caller]
fn assert_all_gone(place: &Place) {
    assert_eq!(left_of_networks(place), Vec::<PathBuf>::new());
    assert_eq!(processes_of(place, ""), [0; 0]);
    assert_nothing_left(place);
}

/// Does something in a container's network namespace.
fn inside<T: Send>(place: &Place, name: &str, work: impl FnOnce() -> T + Send) -> T {
    Wire::within(&format!("/proc/{}/ns/net", place.field(name, ".State.Pid")), work)
}

/// The process that keeps the user's namespaces.
fn holder(place: &Place) -> i32 {
    let line = processes(place).into_iter().find(|line| line.contains(" ctn holder ")).unwrap();
    line.split(' ').next().unwrap().parse().unwrap()
}
