//! Logs that are not waited for (`mode=non-blocking`).

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::mpsc::channel;

use rustix::fs::inotify::{self, CreateFlags, ReadFlags, WatchFlags};
use rustix::process::{Pid, Signal, kill_process};

use crate::harness::{LIMIT, Place, until};

/// A disk that can be stopped: whoever writes there waits for as long as it is.
struct Disk {
    path: PathBuf,
}

impl Disk {
    fn of(place: &Place) -> Disk {
        let (image, path) = (place.join("disk"), place.store());
        fs::File::create(&image).unwrap().set_len(64 << 20).unwrap();
        assert!(Command::new("mkfs.ext4").arg("-q").arg(&image).status().unwrap().success());
        fs::create_dir(&path).unwrap();
        assert!(Command::new("mount").args(["-o", "loop"]).arg(&image).arg(&path).status().unwrap().success());
        Disk { path }
    }

    fn set(&self, flag: &str) -> bool {
        Command::new("fsfreeze").arg(flag).arg(&self.path).stderr(Stdio::null()).status().unwrap().success()
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        self.set("--unfreeze");
    }
}

#[test]
fn a_disk_that_stands_still_holds_up_no_container() {
    let mut disk = None;
    let place = Place::with(|path| {
        let place = Place { path, user: None, network: None };
        disk = Some(Disk::of(&place));
        place
    });
    let disk = disk.unwrap();
    let script = "echo ready; read x; seq 1 300000; while read x; do echo $x; done";
    let flags = ["--name", "talks", "--network", "none", "--log-opt", "mode=non-blocking"];
    let run = [&["run", "-i"], &flags[..], &["--log-opt", "max-buffer-size=100k", "box", "sh", "-c", script]].concat();
    let mut running = place.command(&run).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let mut input = running.stdin.take().unwrap();
    let output = BufReader::new(running.stdout.take().unwrap());
    let (send, lines) = channel();
    let reader = std::thread::spawn(move || output.lines().for_each(|line| send.send(line.unwrap()).unwrap()));
    assert_eq!(lines.recv_timeout(LIMIT).unwrap(), "ready");
    until("the log has it", || place.ctn(&["logs", "talks"]) == "ready\n");
    assert!(disk.set("--freeze"));
    input.write_all(b"\n").unwrap();
    for number in 1..=300_000 {
        assert_eq!(lines.recv_timeout(LIMIT).unwrap(), number.to_string());
    }
    assert!(disk.set("--unfreeze"));
    until("the log has taken what waited", || {
        input.write_all(b"end\n").unwrap();
        place.ctn(&["logs", "-n", "1", "talks"]) == "end\n"
    });
    drop(input);
    assert!(running.wait().unwrap().success());
    reader.join().unwrap();
    // What there was room for is there, the oldest and no half lines; then there was none.
    let log = place.ctn(&["logs", "talks"]);
    let said = log.strip_prefix("ready\n").unwrap().trim_end_matches("end\n");
    let numbers: Vec<u32> = said.lines().map(|line| line.parse().unwrap()).collect();
    assert!(numbers.len() > 5000 && numbers.len() < 100_000 && numbers.is_sorted(), "{}", numbers.len());
    assert!(numbers.iter().copied().take(5000).eq(1..=5000), "the newest are dropped, not the oldest");
    place.ctn(&["rm", "talks"]);
    place.assert_nothing_left();
}

#[test]
fn a_log_that_keeps_up_loses_nothing() {
    let place = Place::new();
    let options = ["mode=non-blocking", "max-buffer-size=64m", "max-size=100k", "max-file=100", "compress=true"];
    let options: Vec<&str> = options.iter().flat_map(|option| ["--log-opt", option]).collect();
    for again in ["no", "on-failure:1"] {
        let script = "seq 1 20000; printf end; exit 1";
        let run = ["run", "--name", "said", "--network", "none", "--restart", again];
        let status = place.call(&[&run[..], &options, &["box", "sh", "-c", script]].concat()).status;
        assert_eq!(status.code(), Some(1));
        let once = (1..=20_000).map(|number| format!("{number}\n")).collect::<String>() + "end";
        let times = if again == "no" { 1 } else { 2 };
        place.until_field("said", ".State.Status", "exited");
        assert!(place.ctn(&["logs", "said"]) == once.repeat(times), "{again}");
        place.ctn(&["rm", "said"]);
        place.assert_nothing_left();
    }
}

#[test]
fn the_writer_goes_with_the_monitor_and_may_be_killed() {
    let place = Place::new();
    place.detached("talks", &["--log-opt", "mode=non-blocking"], "while :; do echo said; sleep 0.01; done");
    until("it spoke", || place.ctn(&["logs", "talks"]).starts_with("said\n"));
    let monitor = place.monitor_of("talks");
    let writer = writer_of(monitor).expect("a process that writes");
    // It is started again by what is said next.
    crate::harness::kill(writer);
    let count = || place.ctn(&["logs", "talks"]).lines().count();
    let before = count();
    until("there is more", || count() > before);
    let writer = crate::wait::Process::watch(writer_of(monitor).unwrap());
    crate::harness::kill(monitor);
    writer.wait_gone();
    place.ctn(&["rm", "-f", "talks"]);
    place.assert_nothing_left();
}

#[test]
fn a_log_that_cant_be_opened_is_tried_again_but_not_for_every_line() {
    let place = Place::new();
    let flags = ["--name", "parrot", "--network", "none", "--log-opt", "mode=non-blocking"];
    place.ctn(&[&["create", "-i"], &flags[..], &["box", "cat"]].concat());
    let path = PathBuf::from(place.field("parrot", ".LogPath"));
    fs::create_dir(&path).unwrap();
    let start = ["start", "-ai", "parrot"];
    let mut parrot = place.command(&start).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let mut input = parrot.stdin.take().unwrap();
    let mut lines = BufReader::new(parrot.stdout.take().unwrap()).lines();
    let mut say = |line: &str| {
        writeln!(input, "{line}").unwrap();
        assert_eq!(lines.next().unwrap().unwrap(), line);
    };
    say("first");
    let monitor = place.monitor_of("parrot");
    // Who writes the log looks first at what is beside it.
    let looks = inotify::init(CreateFlags::CLOEXEC | CreateFlags::NONBLOCK).unwrap();
    inotify::add_watch(&looks, path.parent().unwrap(), WatchFlags::OPEN | WatchFlags::CLOSE_NOWRITE).unwrap();
    for _ in 0..40 {
        say("again");
        until("nobody is at it", || child_of(monitor, "ctn-").is_none());
    }
    let mut space = [std::mem::MaybeUninit::uninit(); 4096];
    let mut events = inotify::Reader::new(&looks, &mut space);
    let is_look = ReadFlags::OPEN | ReadFlags::ISDIR;
    let count =
        std::iter::from_fn(|| events.next().ok().map(|event| event.events())).filter(|event| *event == is_look).count();
    assert!(count < 15, "{count} times");
    fs::remove_dir(&path).unwrap();
    say("last");
    until("it is opened", || place.ctn(&["logs", "parrot"]).ends_with("last\n"));
    place.ctn(&["rm", "-f", "parrot"]);
    parrot.wait().unwrap();
    place.assert_nothing_left();
}

#[test]
fn a_writer_that_does_not_end_with_its_container_is_killed() {
    let place = Place::new();
    place.detached("talks", &["--log-opt", "mode=non-blocking"], "echo said; sleep 1000");
    until("it spoke", || place.ctn(&["logs", "talks"]) == "said\n");
    let writer = writer_of(place.monitor_of("talks")).unwrap();
    // As if the disk stood still while a file is compressed.
    kill_process(Pid::from_raw(writer).unwrap(), Signal::STOP).unwrap();
    let half = place.field("talks", ".LogPath") + ".gz.part";
    fs::write(&half, "half").unwrap();
    place.ctn(&["stop", "-t", "0", "talks"]);
    assert!(!fs::exists(format!("/proc/{writer}")).unwrap() && !fs::exists(half).unwrap());
    place.ctn(&["rm", "talks"]);
    place.assert_nothing_left();
}

/// The process below a monitor that writes its log.
fn writer_of(monitor: i32) -> Option<i32> {
    child_of(monitor, "ctn-log\n")
}

/// A process below a monitor whose name begins so. One that was made a moment ago has the monitor's.
fn child_of(monitor: i32, name: &str) -> Option<i32> {
    let children = fs::read_to_string(format!("/proc/{monitor}/task/{monitor}/children")).unwrap();
    let named = |pid: &&str| fs::read_to_string(format!("/proc/{pid}/comm")).is_ok_and(|comm| comm.starts_with(name));
    children.split_whitespace().find(named).map(|pid| pid.parse().unwrap())
}
