//! A disk that is full, or becomes so.

use std::fs::File;
use std::io::{BufRead, BufReader, Write};
use std::process::{Command, Stdio};

use crate::harness::{Place, is_one_sentence};

/// Fills the store's disk but for so many bytes.
fn fill(place: &Place, left: u64) {
    let mut file = File::create(place.store().join("fill")).unwrap();
    while file.write_all(&[0; 4096]).is_ok() {}
    let length = file.metadata().unwrap().len();
    file.set_len(length.saturating_sub(left)).unwrap();
}

fn empty(place: &Place) {
    std::fs::remove_file(place.store().join("fill")).unwrap();
}

#[test]
fn nothing_is_made_on_a_full_disk() {
    let place = Place::with_disk(16);
    place.ctn(&["create", "--name", "made", "--network", "none", "box", "true"]);
    let before = place.leftovers();
    fill(&place, 0);
    for (status, command) in [(125, "run"), (1, "create")] {
        for flags in [&[][..], &["--rm"]] {
            let arguments = [&[command], flags, &["--network", "none", "box", "true"]].concat();
            let refusal = place.refusal(status, &arguments);
            assert!(refusal.contains("no space left on device") && is_one_sentence(&refusal), "{refusal}");
            assert_eq!(place.leftovers(), before, "{arguments:?}");
        }
    }
    // What is there is looked at and removed.
    assert_eq!(place.field("made", ".State.Status"), "created");
    place.ctn(&["rm", "made"]);
    place.assert_nothing_left();
    empty(&place);
    assert_eq!(place.inside(&[], "echo again"), "again\n");
}

#[test]
fn who_says_more_than_the_disk_holds_goes_on() {
    let place = Place::with_disk(24);
    fill(&place, 1 << 20);
    let script = "seq 1 100000; exit 7";
    let said = place.outcome(&["run", "--name", "much", "--network", "none", "box", "sh", "-c", script]);
    assert_eq!(said.0, Some(7), "{}", said.2);
    assert!(said.1.lines().map(|line| line.parse::<u32>().unwrap()).eq(1..=100_000), "the output is not whole");
    // It is told, once.
    assert_eq!(said.2.matches("no space left on device").count(), 1, "{}", said.2);
    assert_eq!(place.field("much", ".State.ExitCode"), "7");
    // What there was room for is there, in whole lines.
    let log = place.ctn(&["logs", "much"]);
    let numbers: Vec<u32> = log.lines().map(|line| line.parse().unwrap()).collect();
    assert!(numbers.len() > 1000 && numbers.len() < 100_000 && numbers.is_sorted_by(|one, next| one < next));
    // And with room again the next line is a line of its own.
    empty(&place);
    assert_eq!(place.outcome(&["start", "-a", "much"]).0, Some(7));
    let after = place.ctn(&["logs", "much"]);
    assert_eq!(after.lines().count(), numbers.len() + 100_000);
    place.ctn(&["rm", "much"]);
    place.assert_nothing_left();
}

/// A disk that has room for what is in its files, but for no other file.
#[test]
fn a_log_that_cant_be_rotated_keeps_its_files() {
    let place = Place::with_disk(24);
    let options = ["--log-opt", "max-size=20k", "--log-opt", "max-file=3", "-i"];
    place.detached("much", &options, "seq 1 400; read x; seq 401 5000; read x; seq 5001 5010");
    let log = || place.ctn(&["logs", "much"]);
    crate::harness::until("it spoke", || log().ends_with("\n400\n"));
    let mut attached = place.command(&["attach", "much"]).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let mut input = attached.stdin.take().unwrap();
    let limit = |inodes: u64| {
        let options = format!("remount,nr_inodes={inodes}");
        let mount = Command::new("mount").args(["-o", &options]).arg(place.store()).status();
        assert!(mount.unwrap().success());
    };
    let disk = rustix::fs::statvfs(place.store()).unwrap();
    limit(disk.f_files - disk.f_ffree);
    input.write_all(b"\n").unwrap();
    let said = BufReader::new(attached.stdout.take().unwrap()).lines().map(Result::unwrap);
    assert!(said.take_while(|line| line != "4999").count() > 4000);
    let numbers = |last: u32| (1..=last).map(|number| format!("{number}\n")).collect::<String>();
    assert!(log().starts_with(&numbers(4999)), "what there was is gone, or what was said meanwhile");
    limit(disk.f_files);
    input.write_all(b"\n").unwrap();
    drop(input);
    assert_eq!(place.ctn(&["wait", "much"]), "0\n");
    assert!(log() == numbers(5010));
    attached.wait().unwrap();
    place.ctn(&["rm", "much"]);
    place.assert_nothing_left();
}

#[test]
fn an_end_is_known_on_a_full_disk() {
    let place = Place::with_disk(16);
    place.detached("ends", &[], "trap 'exit 9' TERM; echo ready; sleep 1000 & wait");
    crate::harness::until("it is ready", || place.ctn(&["logs", "ends"]) == "ready\n");
    fill(&place, 0);
    place.ctn(&["stop", "ends"]);
    assert_eq!(place.field("ends", ".State.Status"), "exited");
    assert_eq!(place.field("ends", ".State.ExitCode"), "9");
    place.ctn(&["rm", "ends"]);
    place.assert_nothing_left();
}
