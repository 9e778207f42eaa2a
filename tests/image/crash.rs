//! Killed at each write, and the power cut there: an image is whole or absent, and what is left is garbage that is collected.

use std::fs;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::Command;

use crate::harness::*;

/// System calls that change a file system, or hold others off.
const WRITES: [&str; 14] = [
    "mkdir",
    "mkdirat",
    "write",
    "openat",
    "rename",
    "renameat2",
    "unlink",
    "unlinkat",
    "mknodat",
    "fchown",
    "fsetxattr",
    "fsync",
    "syncfs",
    "flock",
];

/// Calls `check` for every n of every one of some system calls, until the command comes to its end; says how often it was killed.
/// Each call is taken by itself, because strace counts them so, in each thread.
fn at_each(calls: &[&str], mut check: impl FnMut(&str, u32) -> bool) -> u32 {
    let mut kills = 0;
    for call in calls {
        let mut number = 1;
        while check(call, number) {
            kills += 1;
            number += 1;
        }
    }
    kills
}

/// Runs ctn and kills it at its n-th call of one kind; says whether it came so far.
fn killed(place: &Place, call: &str, number: u32, arguments: &[&str]) -> bool {
    let inject = format!("inject={call}:signal=KILL:when={number}");
    let mut command = Command::new("strace");
    command.args(["-f", "-qq", "-o", "/dev/null", "-e", &format!("trace={call}"), "-e", &inject]);
    let status = command.arg(CTN).args(arguments).env("CTN_ROOT", place.store()).output().unwrap().status;
    assert!(
        status.success() || status.signal() == Some(9) || status.code() == Some(137),
        "{call} {number}: {status:?}"
    );
    !status.success()
}

/// The image is there as a whole, or not at all.
fn is_whole(place: &Place, name: &str, wanted: &[String]) -> bool {
    let there = !place.ctn(&["images", "-q", name]).is_empty();
    if there {
        let bundle = place.join("bundle");
        place.ctn(&["unpack", name, bundle.to_str().unwrap()]);
        assert_eq!(snapshot(&bundle.join("rootfs")), wanted);
        fs::remove_dir_all(bundle).unwrap();
    }
    there
}

fn wanted(image: &Made) -> Vec<String> {
    let place = Place::new();
    place.ctn(&["load", "-i", &image.archive(&place, "in")]);
    place.ctn(&["unpack", &image.name, "bundle"]);
    snapshot(&place.join("bundle/rootfs"))
}

/// Brings in `name` by the command, given the place that the store is in, and is killed at each of these calls.
fn killed_at_each(calls: &[&str], name: &str, wanted: &[String], command: impl Fn(&Place) -> Vec<String>) {
    let clean = Place::new();
    clean.ctn(&["images"]);
    let empty = clean.snapshot();
    let names =
        |lines: &[String]| lines.iter().map(|line| line.split(' ').next().unwrap().to_owned()).collect::<Vec<_>>();
    let (mut absent, mut whole) = (0, 0);
    let kills = at_each(calls, |call, number| {
        // openat(2) is what opens libraries, too, before the program's first line.
        if call == "openat" && number < 8 {
            return true;
        }
        let place = Place::new();
        let command = command(&place);
        let arguments: Vec<&str> = command.iter().map(String::as_str).collect();
        let was_killed = killed(&place, call, number, &arguments);
        let there = is_whole(&place, name, wanted);
        place.ctn(&["image", "prune", "-f"]);
        if there {
            place.ctn(&["rmi", name]);
            whole += 1;
        } else {
            absent += 1;
        }
        let mut left = names(&place.snapshot());
        // A lock's file is nothing.
        left.retain(|name| !name.starts_with("locks/"));
        assert_eq!(left, names(&empty), "killed at {call} {number}: something is left");
        was_killed
    });
    assert!(absent > 3 * calls.len() && whole > calls.len(), "{kills} kills: {absent} absent, {whole} whole");
}

#[test]
fn a_load_killed_at_each_write() {
    let image = Made::small("app:1");
    let load = |place: &Place| vec!["load".to_owned(), "-i".to_owned(), image.archive(place, "in")];
    killed_at_each(&WRITES, "app:1", &wanted(&image), load);
}

#[test]
fn a_pull_killed_at_each_step() {
    let image = Made::small("app:1");
    let registry = crate::registry::with_image(&image, |_, answer| Some(answer));
    let name = registry.name("app:1");
    let pull = |_: &Place| vec!["pull".to_owned(), "--quiet".to_owned(), name.clone()];
    killed_at_each(&["mkdir", "rename", "fchown", "syncfs", "fsync", "flock"], &name, &wanted(&image), pull);
}

#[test]
fn a_removal_killed_at_each_write() {
    let image = Made::small("app:1");
    let wanted = wanted(&image);
    at_each(&["rename", "renameat2", "unlink", "unlinkat", "fsync", "write", "flock"], |call, number| {
        let place = Place::new();
        place.ctn(&["load", "-i", &image.archive(&place, "in")]);
        let was_killed = killed(&place, call, number, &["rmi", "app:1"]);
        is_whole(&place, "app:1", &wanted);
        // Whatever is left, it can be loaded again.
        place.ctn(&["load", "-i", place.join("in").to_str().unwrap()]);
        assert!(is_whole(&place, "app:1", &wanted), "killed at {call} {number}");
        was_killed
    });
}

/// A store on a file system of its own, in a file. What is in the file at one moment is what a disk has when the power goes.
/// `name` is brought in by the command, given the place that the store is in.
fn power_cut_at_each_step(name: &str, wanted: &[String], command: impl Fn(&Place) -> Vec<String>) {
    let (mut absent, mut there) = (0, 0);
    at_each(&["rename", "fsync", "syncfs"], |call, number| {
        let place = Place::new();
        let (disk, store) = (place.join("disk"), place.store());
        fs::File::create(&disk).unwrap().set_len(16 << 20).unwrap();
        run("mkfs.ext4", ["-q", "-F", "-E", "lazy_itable_init=0", disk.to_str().unwrap()]);
        fs::create_dir(&store).unwrap();
        mounted(&disk, &store).unwrap();
        place.ctn(&["images"]);
        run("sync", ["-f", store.to_str().unwrap()]);
        let command = command(&place);
        let arguments: Vec<&str> = command.iter().map(String::as_str).collect();
        let was_killed = killed(&place, call, number, &arguments);
        let after = place.join("after");
        run("cp", ["--sparse=always", disk.to_str().unwrap(), after.to_str().unwrap()]);
        run("umount", [store.to_str().unwrap()]);
        mounted(&after, &store).unwrap();
        let whole = is_whole(&place, name, wanted);
        *(if whole { &mut there } else { &mut absent }) += 1;
        place.ctn(&arguments);
        assert!(is_whole(&place, name, wanted), "cut at {call} {number}");
        run("umount", [store.to_str().unwrap()]);
        assert!(was_killed || whole, "the command had succeeded, and the image is not on the disk");
        was_killed
    });
    assert!(absent > 5 && there > 0, "{absent} absent, {there} there");
}

#[test]
fn the_power_cut_while_an_archive_is_loaded() {
    if let Err(why) = loop_devices() {
        crate::skip!("no file system in a file can be mounted here: {why}");
    }
    let image = Made::small("app:1");
    let load = |place: &Place| vec!["load".to_owned(), "-i".to_owned(), image.archive(place, "in")];
    power_cut_at_each_step("app:1", &wanted(&image), load);
}

#[test]
fn the_power_cut_while_an_image_is_pulled() {
    if let Err(why) = loop_devices() {
        crate::skip!("no file system in a file can be mounted here: {why}");
    }
    let image = Made::small("app:1");
    let registry = crate::registry::with_image(&image, |_, answer| Some(answer));
    let name = registry.name("app:1");
    power_cut_at_each_step(&name, &wanted(&image), |_| vec!["pull".to_owned(), "--quiet".to_owned(), name.clone()]);
}

fn loop_devices() -> Result<(), String> {
    if Path::new("/dev/loop-control").exists() { Ok(()) } else { Err("there is no /dev/loop-control".into()) }
}

fn mounted(disk: &Path, point: &Path) -> Result<(), String> {
    let output = Command::new("mount").args(["-o", "loop"]).args([disk, point]).output().unwrap();
    if output.status.success() { Ok(()) } else { Err(String::from_utf8_lossy(&output.stderr).into_owned()) }
}
