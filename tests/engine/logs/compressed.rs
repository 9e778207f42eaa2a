//! Files of a log that were put aside and compressed.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use rustix::process::{Pid, Signal, kill_process};

use crate::harness::{Place, kill, until};
use crate::wait::Process;

const SMALL: [&str; 6] = ["--log-opt", "max-size=10k", "--log-opt", "max-file=4", "--log-opt", "compress=true"];

fn with(path: &str, suffix: &str) -> PathBuf {
    format!("{path}{suffix}").into()
}

/// What is beside a log, but for the log.
fn others(path: &str) -> Vec<String> {
    let path = Path::new(path);
    let name = format!("{}.", path.file_name().unwrap().display());
    let entries = fs::read_dir(path.parent().unwrap()).unwrap().map(|entry| entry.unwrap().file_name());
    let mut all: Vec<String> =
        entries.filter_map(|entry| entry.into_string().unwrap().strip_prefix(&name).map(str::to_owned)).collect();
    all.sort();
    all
}

fn numbers(text: &str) -> Vec<u32> {
    text.lines().map(|line| line.parse().unwrap()).collect()
}

#[track_caller]
fn assert_in_a_row(numbers: &[u32], last: u32) {
    assert_eq!(numbers.last(), Some(&last));
    assert!(numbers.windows(2).all(|pair| pair[1] == pair[0] + 1), "{numbers:?}");
}

#[test]
fn rotated_files_are_compressed_and_read() {
    let place = Place::new();
    for flags in [&SMALL[..], &["--log-driver", "local", "--log-opt", "max-size=10k", "--log-opt", "max-file=4"]] {
        let run = ["run", "--name", "said", "--network", "none"];
        place.ctn(&[&run[..], flags, &["box", "seq", "1", "2000"]].concat());
        let path = place.field("said", ".LogPath");
        assert_eq!(others(&path), ["1.gz", "2.gz", "3.gz"], "{flags:?}");
        for suffix in [".1.gz", ".2.gz", ".3.gz"] {
            let text = Command::new("gzip").arg("-dc").arg(with(&path, suffix)).output().unwrap();
            assert!(text.status.success() && text.stdout.len() > 8 << 10 && text.stdout.len() <= 10 << 10);
            assert!(fs::metadata(with(&path, suffix)).unwrap().len() < 3 << 10);
        }
        let log = place.ctn(&["logs", "said"]);
        let all = numbers(&log);
        assert_in_a_row(&all, 2000);
        assert!(all.len() > 400, "{}", all.len());
        assert_eq!(place.ctn(&["logs", "-f", "said"]), log);
        // From the last file, from all in between, and from more than there is.
        for count in [0, 1, 50, 140, 200, 280, all.len() - 1, all.len(), 5000] {
            let tail = numbers(&place.ctn(&["logs", "--tail", &count.to_string(), "said"]));
            assert_eq!(tail, all[all.len() - count.min(all.len())..], "{count}");
        }
        let stamped = place.ctn(&["logs", "-t", "said"]);
        let (time, first) = stamped.lines().nth(150).unwrap().split_once(' ').unwrap();
        let since = numbers(&place.ctn(&["logs", "--since", time, "said"]));
        assert!(
            since.contains(&first.parse().unwrap()) && log.ends_with(&place.ctn(&["logs", "--since", time, "said"]))
        );
        place.ctn(&["rm", "said"]);
        place.assert_nothing_left();
    }
}

/// Kills a monitor, and waits for those of its children that are this program, too: one that was made a moment ago has the monitor's lock
/// until the processor is its own, and as long as that it is right to say that the monitor lives.
fn kill_all(monitor: i32) {
    kill_process(Pid::from_raw(monitor).unwrap(), Signal::STOP).unwrap();
    until("it is stopped", || {
        fs::read_to_string(format!("/proc/{monitor}/stat")).unwrap().rsplit_once(") ").unwrap().1.starts_with('T')
    });
    let children = fs::read_to_string(format!("/proc/{monitor}/task/{monitor}/children")).unwrap();
    let is_own = |pid: &&str| fs::read_to_string(format!("/proc/{pid}/comm")).is_ok_and(|name| name.starts_with("ctn"));
    let children: Vec<Process> =
        children.split_whitespace().filter(is_own).map(|pid| Process::watch(pid.parse().unwrap())).collect();
    kill(monitor);
    children.iter().for_each(|child| child.wait_gone());
}

#[test]
fn whoever_is_killed_leaves_whole_files() {
    let place = Place::new();
    let script = "n=1; while :; do echo $n; n=$((n+1)); done";
    place
        .ctn(&[&["create", "--name", "talks", "--network", "none"], &SMALL[..], &["box", "sh", "-c", script]].concat());
    for round in 0..12 {
        place.ctn(&["start", "talks"]);
        until("it is rotated", || others(&place.field("talks", ".LogPath")).len() >= 3);
        std::thread::sleep(std::time::Duration::from_millis(round * 7));
        kill_all(place.monitor_of("talks"));
        let path = place.field("talks", ".LogPath");
        let others = others(&path);
        assert!(others.iter().all(|name| matches!(name.trim_end_matches(".gz"), "1" | "2" | "3")), "{others:?}");
        for name in others.iter().filter(|name| name.ends_with(".gz")) {
            let test = Command::new("gzip").arg("-t").arg(format!("{path}.{name}")).status().unwrap();
            assert!(test.success(), "{name}");
        }
        // No line is missing or there twice; each start begins at 1.
        let numbers = numbers(&place.ctn(&["logs", "talks"]));
        let is_next = |pair: &[u32]| pair[1] == pair[0] + 1 || pair[1] == 1;
        assert!(numbers.len() > 100 && numbers.windows(2).all(is_next), "{numbers:?}");
    }
    place.ctn(&["rm", "talks"]);
    place.assert_nothing_left();
}

/// As SIGKILL between any two steps leaves them.
#[test]
fn what_a_killed_monitor_left_is_tidied_up() {
    let place = Place::new();
    let run = ["run", "--name", "said", "--network", "none"];
    // The second time it says too little for a rotation.
    let script = "if test -e /again; then echo again; else touch /again; seq 1 2000; fi";
    place.ctn(&[&run[..], &SMALL, &["box", "sh", "-c", script]].concat());
    let path = place.field("said", ".LogPath");
    let log = place.ctn(&["logs", "said"]);
    let inflate = |number: u32| {
        let text = Command::new("gzip").arg("-dc").arg(format!("{path}.{number}.gz")).output().unwrap();
        fs::write(format!("{path}.{number}"), text.stdout).unwrap();
    };
    // Compressed, and not yet removed: it is said once, as often as somebody asks.
    inflate(2);
    assert_eq!(place.ctn(&["logs", "said"]), log);
    // Half compressed; the next file without its name; not compressed at all.
    fs::write(with(&path, ".gz.part"), "half").unwrap();
    fs::write(with(&path, ".next"), "").unwrap();
    inflate(3);
    fs::remove_file(with(&path, ".3.gz")).unwrap();
    assert_eq!(place.ctn(&["logs", "said"]), log);
    place.ctn(&["start", "-a", "said"]);
    assert_eq!(others(&path), ["1.gz", "2.gz", "3.gz"]);
    assert_eq!(place.ctn(&["logs", "said"]), log + "again\n");
    // One that can't be read is named.
    let whole = fs::read(with(&path, ".2.gz")).unwrap();
    fs::write(with(&path, ".2.gz"), &whole[..whole.len() / 2]).unwrap();
    let (status, _, errors) = place.outcome(&["logs", "said"]);
    assert!(status == Some(1) && errors.contains("-json.log.2.gz\": "), "{errors}");
    // By the next command, too, of a monitor that was killed.
    place.detached("killed", &[], "sleep 1000");
    let path = place.field("killed", ".LogPath");
    fs::write(with(&path, ".gz.part"), "half").unwrap();
    kill(place.monitor_of("killed"));
    place.ctn(&["ps"]);
    assert_eq!(others(&path), Vec::<String>::new());
    place.ctn(&["rm", "said", "killed"]);
    place.assert_nothing_left();
}
