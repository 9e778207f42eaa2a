//! What others do to a log's files, and what a container says that is not easy to keep.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::process::Stdio;
use std::time::Duration;

use crate::harness::{LIMIT, Place, allocated, until};

/// A container that says what it is told to, and what is sent to it.
fn parrot(place: &Place, flags: &[&str]) -> std::process::Child {
    let run = [&["run", "-i", "--name", "parrot", "--network", "none"], flags, &["box", "cat"]].concat();
    place.command(&run).stdin(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap()
}

#[test]
fn a_log_that_somebody_empties_is_followed_and_goes_on() {
    let place = Place::new();
    let mut parrot = parrot(&place, &["--log-opt", "max-size=10k", "--log-opt", "max-file=2"]);
    let mut input = parrot.stdin.take().unwrap();
    let mut say = |text: &str| input.write_all(text.as_bytes()).unwrap();
    let long = format!("{}\n", "x".repeat(6000));
    say(&long);
    until("it spoke", || place.outcome(&["logs", "parrot"]).1 == long);
    let mut following = place.spawn(&["logs", "-f", "parrot"]);
    let (send, lines) = std::sync::mpsc::channel();
    let output = BufReader::new(following.stdout.take().unwrap());
    std::thread::spawn(move || output.lines().for_each(|line| drop(send.send(line.unwrap()))));
    assert_eq!(lines.recv_timeout(LIMIT).unwrap() + "\n", long);
    let path = place.field("parrot", ".LogPath");
    fs::File::create(&path).unwrap();
    say("short\n");
    assert_eq!(lines.recv_timeout(Duration::from_secs(10)).as_deref(), Ok("short"));
    // There is room for it in the file, which is not rotated.
    say(&long);
    assert_eq!(lines.recv_timeout(LIMIT).unwrap() + "\n", long);
    assert_eq!(place.ctn(&["logs", "parrot"]), format!("short\n{long}"));
    assert!(!fs::exists(format!("{path}.1")).unwrap());
    place.ctn(&["rm", "-f", "parrot"]);
    following.wait().unwrap();
    parrot.wait().unwrap();
}

#[test]
fn a_log_that_somebody_removes_is_there_again_after_a_rotation() {
    for files in ["1", "2"] {
        let place = Place::new();
        let options = ["--log-opt", "max-size=1k", "--log-opt", &format!("max-file={files}")];
        let mut parrot = parrot(&place, &options);
        let mut input = parrot.stdin.take().unwrap();
        input.write_all(b"one\n").unwrap();
        until("it spoke", || place.outcome(&["logs", "parrot"]).1 == "one\n");
        fs::remove_file(place.field("parrot", ".LogPath")).unwrap();
        for _ in 0..40 {
            input.write_all(b"another line\n").unwrap();
        }
        input.write_all(b"last\n").unwrap();
        drop(input);
        assert!(parrot.wait().unwrap().success());
        assert!(place.ctn(&["logs", "parrot"]).ends_with("another line\nlast\n"), "{files}");
    }
}

#[test]
fn empty_lines_do_not_fill_the_monitor() {
    let place = Place::new();
    let script = "busybox yes '' | head -c 3000000; echo end; sleep 1000";
    place.detached("empty", &[], script);
    until("it spoke", || place.ctn(&["logs", "-n", "1", "empty"]) == "end\n");
    let kibibytes = allocated(place.monitor_of("empty"));
    assert!(kibibytes < 1500, "{kibibytes} KiB");
    assert_eq!(place.ctn(&["logs", "empty"]).len(), 3_000_004);
}

#[test]
fn a_time_that_is_over_ends_the_following() {
    let place = Place::new();
    place.detached("talks", &[], "echo one; sleep 1000");
    until("it spoke", || place.ctn(&["logs", "talks"]) == "one\n");
    let until_then = |time: &str| {
        let mut following = place.spawn(&["logs", "-f", "--until", time, "talks"]);
        let process = crate::wait::Process::watch(following.id() as i32);
        process.wait_gone();
        let mut said = String::new();
        std::io::Read::read_to_string(&mut following.stdout.take().unwrap(), &mut said).unwrap();
        assert!(following.wait().unwrap().success());
        said
    };
    assert_eq!(until_then("2001-01-01T00:00:00Z"), "");
    assert_eq!(until_then("0s"), "one\n");
}
