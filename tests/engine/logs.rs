mod compressed;
mod journal;
mod outside;
mod slow;

use std::fs::{self, File};
use std::io::{BufRead, BufReader};

use rustix::fs::{FlockOperation, flock};
use rustix::process::{Pid, Signal, kill_process};

use crate::harness::{Place, allocated, kill};
use crate::lock::wait_for_lock;

#[test]
fn logs_are_dockers_json_file() {
    let place = Place::new();
    place.ctn(&[
        "run",
        "--name",
        "said",
        "--network",
        "none",
        "box",
        "sh",
        "-c",
        "echo one; echo two >&2; printf 'no end'",
    ]);
    let file = fs::read_to_string(place.field("said", ".LogPath")).unwrap();
    let mut lines: Vec<serde_json::Value> = file.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    lines.sort_by_key(|line| line["log"].as_str().unwrap().to_owned());
    assert_eq!(lines.len(), 3);
    assert_eq!((&lines[1]["log"], &lines[1]["stream"]), (&"one\n".into(), &"stdout".into()));
    assert_eq!((&lines[2]["log"], &lines[2]["stream"]), (&"two\n".into(), &"stderr".into()));
    let (_, output, errors) = place.outcome(&["logs", "said"]);
    assert_eq!((output.as_str(), errors.as_str()), ("one\nno end", "two\n"));
    let stamped = place.ctn(&["logs", "-t", "said"]);
    assert!(stamped.lines().next().unwrap().ends_with("Z one"), "{stamped}");
    assert_eq!(place.ctn(&["logs", "--since", "2099-01-01T00:00:00Z", "said"]), "");
    assert_eq!(place.ctn(&["logs", "--until", "2001-01-01T00:00:00Z", "said"]), "");
}

#[test]
fn the_last_lines_and_what_follows() {
    let place = Place::new();
    place.detached("talks", &["-i"], "seq 1 1000; cat; seq 1001 1003");
    crate::harness::until("it spoke", || place.ctn(&["logs", "-n", "1", "talks"]) == "1000\n");
    assert_eq!(place.ctn(&["logs", "--tail", "3", "talks"]), "998\n999\n1000\n");
    assert_eq!(place.ctn(&["logs", "--tail", "0", "talks"]), "");
    // As docker has it: less than none is all of them.
    assert_eq!(place.ctn(&["logs", "-n", "-1", "talks"]).lines().count(), 1000);
    let mut following = place.spawn(&["logs", "-f", "--tail", "1", "talks"]);
    let mut lines = BufReader::new(following.stdout.take().unwrap()).lines().map(Result::unwrap);
    assert_eq!(lines.next().unwrap(), "1000");
    // Attached with the input, and gone again: what was opened for a detached container stays open.
    let mut attached = place.command(&["attach", "talks"]);
    let mut attached =
        attached.stdin(std::process::Stdio::piped()).stdout(std::process::Stdio::piped()).spawn().unwrap();
    std::io::Write::write_all(attached.stdin.as_mut().unwrap(), b"echoed\n").unwrap();
    let mut from_attached = BufReader::new(attached.stdout.take().unwrap()).lines();
    assert_eq!(from_attached.next().unwrap().unwrap(), "echoed");
    assert_eq!(lines.next().unwrap(), "echoed");
    place.ctn(&["stop", "-t", "0", "talks"]);
    // Both end with the container.
    assert_eq!(lines.next(), None);
    assert!(following.wait().unwrap().success());
    assert_eq!(attached.wait().unwrap().code(), Some(137));
}

#[test]
fn logs_rotate_and_may_be_none() {
    let place = Place::new();
    for driver in ["json-file", "local"] {
        let flags = ["--log-driver", driver, "--log-opt", "max-size=10k", "--log-opt", "max-file=3"];
        let flags = [&flags[..], &["--log-opt", "compress=false"]].concat();
        let run = ["run", "--name", driver, "--network", "none"];
        place.ctn(&[&run[..], &flags, &["box", "seq", "1", "2000"]].concat());
        let path = place.field(driver, ".LogPath");
        for suffix in ["", ".1", ".2"] {
            assert!(fs::metadata(format!("{path}{suffix}")).unwrap().len() <= 11 << 10, "{driver} {suffix}");
        }
        assert!(!fs::exists(format!("{path}.3")).unwrap());
        let log = place.ctn(&["logs", driver]);
        let numbers: Vec<u32> = log.lines().map(|line| line.parse().unwrap()).collect();
        assert!(numbers.windows(2).all(|pair| pair[1] == pair[0] + 1) && numbers.last() == Some(&2000), "{driver}");
    }
    place.ctn(&["run", "--name", "mute", "--network", "none", "--log-driver", "none", "box", "echo", "x"]);
    assert!(place.refusal(1, &["logs", "mute"]).contains("does not support reading"));
}

#[test]
fn more_files_than_a_process_may_have_open_are_read() {
    let place = Place::new();
    let flags = ["--log-opt", "max-size=1k", "--log-opt", "max-file=100"];
    place.ctn(&[&["run", "--name", "many", "--network", "none"], &flags[..], &["box", "seq", "1", "1000"]].concat());
    assert!(fs::exists(format!("{}.70", place.field("many", ".LogPath"))).unwrap());
    let mut logs = std::process::Command::new("sh");
    logs.args(["-c", "ulimit -S -n 64; exec \"$@\"", "sh"]).arg(crate::harness::ctn()).args(["logs", "many"]);
    let output = logs.env("CTN_ROOT", place.store()).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let said = String::from_utf8(output.stdout).unwrap();
    assert!(said.lines().map(|line| line.parse::<u32>().unwrap()).eq(1..=1000));
}

#[test]
fn a_slow_reader_loses_nothing() {
    let place = Place::new();
    let mut child = place.spawn(&["run", "--rm", "--network", "none", "box", "sh", "-c", "seq 1 200000; echo end >&2"]);
    // Nothing is read until the container is held up by its reader.
    let stdout = BufReader::new(child.stdout.take().unwrap());
    let numbers = stdout.lines().map(|line| line.unwrap().parse::<u32>().unwrap());
    assert!(numbers.eq(1..=200_000));
    assert!(child.wait().unwrap().success());
    place.assert_nothing_left();
}

/// Numbers that a container says, read by `logs -f` while it does.
#[track_caller]
fn followed(place: &Place, flags: &[&str], last: u32) -> Vec<u32> {
    place.detached("talks", flags, &format!("seq 1 {last}; sleep 1000"));
    let mut following = place.spawn(&["logs", "-f", "talks"]);
    let lines = BufReader::new(following.stdout.take().unwrap()).lines();
    let mut numbers = Vec::new();
    for number in lines.map(|line| line.unwrap().parse::<u32>().unwrap()) {
        numbers.push(number);
        if number == last {
            break;
        }
    }
    // Neither the one who writes the log nor the one who reads it has kept any of these 50 MB.
    for (who, pid, limit) in [("monitor", place.monitor_of("talks"), 1500), ("logs", following.id() as i32, 4000)] {
        let kibibytes = allocated(pid);
        assert!(kibibytes < limit, "{who}: {kibibytes} KiB");
    }
    place.ctn(&["rm", "-f", "talks"]);
    assert!(following.wait().unwrap().success());
    numbers
}

#[test]
fn a_follower_reads_everything_once() {
    let place = Place::new();
    let last = 600_000;
    let rotating = ["--log-opt", "max-size=500k", "--log-opt", "max-file=1000"];
    let compressing = [&rotating[..], &["--log-opt", "compress=true"]].concat();
    for flags in [&[][..], &rotating, &compressing] {
        let numbers = followed(&place, flags, last);
        assert!(numbers.iter().copied().eq(1..=last), "{flags:?}: {} lines", numbers.len());
    }
    // What the log no longer has can't be read; what is read is in its order.
    let numbers = followed(&place, &["--log-opt", "max-size=50k", "--log-opt", "max-file=2"], last);
    assert!(numbers.is_sorted_by(|one, next| one < next));
    place.assert_nothing_left();
}

#[test]
fn a_follower_hears_of_ends() {
    let place = Place::new();
    // Of those after which it is started again, too.
    place.detached("again", &["--restart", "on-failure:2"], "echo run; exit 1");
    assert_eq!(place.ctn(&["logs", "-f", "again"]), "run\nrun\nrun\n");
    // The monitor's, which nobody announces.
    place.detached("lost", &[], "echo said; sleep 1000");
    let mut following = place.spawn(&["logs", "-f", "lost"]);
    let mut lines = BufReader::new(following.stdout.take().unwrap()).lines().map(Result::unwrap);
    assert_eq!(lines.next().unwrap(), "said");
    kill(place.monitor_of("lost"));
    assert_eq!(lines.next(), None);
    assert!(following.wait().unwrap().success());
    // Who reads no more is no error.
    place.detached("on", &[], "while echo said; do :; done");
    let mut following = place.spawn(&["logs", "-f", "on"]);
    drop(following.stdout.take());
    let output = following.wait_with_output().unwrap();
    assert!(output.status.success() && output.stderr.is_empty(), "{output:?}");
    place.ctn(&["rm", "-f", "on", "again", "lost"]);
    place.assert_nothing_left();
}

/// A process that is killed closes its sockets, of which who follows hears, before the kernel releases the lock of its life.
#[test]
fn a_follower_waits_for_the_last_of_a_monitor() {
    let place = Place::new();
    let id = place.detached("lost", &[], "echo said; sleep 1000");
    let mut following = place.spawn(&["logs", "-f", "lost"]);
    let mut lines = BufReader::new(following.stdout.take().unwrap()).lines().map(Result::unwrap);
    assert_eq!(lines.next().unwrap(), "said");
    let follower = Pid::from_child(&following);
    kill_process(follower, Signal::STOP).unwrap();
    kill(place.monitor_of("lost"));
    let life = File::open(place.run().unwrap().join(id).join("monitor")).unwrap();
    flock(&life, FlockOperation::LockExclusive).unwrap();
    kill_process(follower, Signal::CONT).unwrap();
    wait_for_lock(&mut following);
    drop(life);
    assert_eq!(lines.next(), None);
    assert!(following.wait().unwrap().success());
    place.ctn(&["rm", "lost"]);
    place.assert_nothing_left();
}

#[test]
fn what_was_asked_for_is_said_with_each_line() {
    let place = Place::new();
    let options = ["labels=team,none", "labels-regex=^x-", "env=COLOUR", "tag={{.Name}}/{{.ID}}"];
    let of_container = ["--label", "team=blue, of 2", "--label", "x-a=b", "--label", "y=z", "-e", "COLOUR=red"];
    let options: Vec<&str> = options.iter().flat_map(|option| ["--log-opt", option]).collect();
    let run = ["run", "--name", "said", "--network", "none"];
    place.ctn(&[&run[..], &options, &of_container, &["box", "sh", "-c", "echo one; printf two >&2"]].concat());
    let id = place.field("said", ".Id");
    let tag = format!("said/{}", &id[..12]);
    let expected = serde_json::json!({"team": "blue, of 2", "x-a": "b", "COLOUR": "red", "tag": tag});
    let file = fs::read_to_string(place.field("said", ".LogPath")).unwrap();
    let lines: Vec<serde_json::Value> = file.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!((lines.len(), &lines[0]["attrs"], &lines[1]["attrs"]), (2, &expected, &expected), "{file}");
    let details = format!("COLOUR=red,tag=said%2F{},team=blue%2C+of+2,x-a=b", &id[..12]);
    let (_, output, errors) = place.outcome(&["logs", "--details", "said"]);
    assert_eq!((output, errors), (format!("{details} one\n"), format!("{details} two")));
    assert_eq!(place.ctn(&["logs", "said"]), "one\n");
}
