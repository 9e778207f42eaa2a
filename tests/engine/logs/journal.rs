//! A journal that takes its time. It is one of the test's own, where the container's monitor has the machine's.

use std::fs;
use std::io::{BufRead, BufReader, ErrorKind};
use std::os::unix::net::UnixDatagram;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use crate::harness::call::install_script;
use crate::harness::{LIMIT, Place, ctn};

struct Journal {
    socket: UnixDatagram,
}

impl Journal {
    /// Starts a container whose journal it is, and hands on what it says.
    fn run(place: &Place, flags: &[&str], script: &str) -> (Journal, Child, Receiver<String>) {
        let directory = place.join("journal");
        fs::create_dir_all(&directory).unwrap();
        let _ = fs::remove_file(directory.join("socket"));
        let socket = UnixDatagram::bind(directory.join("socket")).unwrap();
        socket.set_read_timeout(Some(LIMIT)).unwrap();
        // Without a socket in it nobody else's journal is another one.
        fs::create_dir_all("/run/systemd/journal").unwrap();
        let mut command = Command::new("unshare");
        command.args(["--mount", "sh", "-c", "mount --bind journal /run/systemd/journal && exec \"$@\"", "sh"]);
        command.arg(ctn()).current_dir(&place.path).env("CTN_ROOT", place.store());
        command.args(["run", "--name", "talks", "--network", "none", "--log-driver", "journald"]).args(flags);
        command.args(["box", "sh", "-c", script]).stdout(Stdio::piped());
        let mut running = command.spawn().unwrap();
        let output = BufReader::new(running.stdout.take().unwrap());
        let (send, said) = channel();
        std::thread::spawn(move || output.lines().for_each(|line| drop(send.send(line.unwrap()))));
        (Journal { socket }, running, said)
    }

    fn message(&self) -> Option<String> {
        let mut buffer = vec![0; 64 << 10];
        loop {
            match self.socket.recv(&mut buffer) {
                // Where this program was stopped for a while, as with each call that has a limit of time (signal(7)).
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                received => return Some(String::from_utf8_lossy(&buffer[..received.ok()?]).into_owned()),
            }
        }
    }

    /// The next line.
    fn next(&self) -> String {
        let message = self.message().expect("a message");
        message.rsplit_once("\nMESSAGE=").unwrap().1.trim_end().to_owned()
    }
}

/// The container waits for the journal, and its end for the last line.
#[test]
fn nothing_is_lost_that_has_no_room() {
    let place = Place::new();
    let (journal, mut running, said) = Journal::run(&place, &[], "seq 1 50000");
    // The first lines are there, and no more comes before the journal takes some.
    assert_eq!(said.recv_timeout(LIMIT).unwrap(), "1");
    let mut count = 1;
    while said.recv_timeout(Duration::from_secs(1)).is_ok() {
        count += 1;
    }
    assert!(count < 50_000, "it did not wait");
    for number in 1..=50_000 {
        assert_eq!(journal.next(), number.to_string());
    }
    assert!(running.wait().unwrap().success());
    assert_eq!(count + said.iter().count(), 50_000);
    place.ctn(&["rm", "talks"]);
    place.assert_nothing_left();
}

/// What is said while there is no room is dropped.
#[test]
fn a_container_that_does_not_wait() {
    let place = Place::new();
    let flags = ["--log-opt", "mode=non-blocking", "--log-opt", "max-buffer-size=10k"];
    let (journal, mut running, said) = Journal::run(&place, &flags, "seq 1 50000");
    for number in 1..=50_000 {
        assert_eq!(said.recv_timeout(LIMIT).unwrap(), number.to_string());
    }
    // What was kept is there before the end is told.
    let mut last = 0;
    journal.socket.set_read_timeout(Some(Duration::from_secs(1))).unwrap();
    while running.try_wait().unwrap().is_none() {
        let Some(message) = journal.message() else { continue };
        last += 1;
        assert!(message.ends_with(&format!("\nMESSAGE={last}\n")), "{message}");
    }
    assert!(last > 500 && last < 50_000, "{last}");
    assert!(running.wait().unwrap().success());
    place.ctn(&["rm", "talks"]);
    place.assert_nothing_left();
}

/// What is said of the container with each line goes there and comes back.
#[test]
fn details_are_fields() {
    let place = Place::new();
    let options = ["tag={{.Name}}", "labels=com.example.team,none", "env-regex=^COL"];
    let options = options.iter().flat_map(|option| ["--log-opt", option]);
    let flags: Vec<&str> =
        options.chain(["-l", "com.example.team=blue, of 2", "-l", "other=x", "-e", "COLOUR=red"]).collect();
    let (journal, mut running, _) = Journal::run(&place, &flags, "echo one; echo two >&2");
    let mut messages = [journal.message().unwrap(), journal.message().unwrap()];
    messages.sort_by_key(|message| message.ends_with("MESSAGE=two\n"));
    assert!(running.wait().unwrap().success());
    let fields = ["CONTAINER_TAG=talks", "SYSLOG_IDENTIFIER=talks", "COM_EXAMPLE_TEAM=blue, of 2", "COLOUR=red"];
    for (message, priority) in messages.iter().zip(["PRIORITY=6", "PRIORITY=3"]) {
        let lines: Vec<&str> = message.lines().collect();
        assert!(fields.iter().chain([&priority]).all(|field| lines.contains(field)), "{message}");
        assert!(!message.contains("OTHER"), "{message}");
    }
    // In the place of the machine's, which has heard nothing of it: what is sent and what is exported have one format.
    let export: String = messages.iter().map(|message| format!("__CURSOR=x\n{message}\n")).collect();
    fs::write(place.join("export"), export).unwrap();
    fs::create_dir(place.join("bin")).unwrap();
    install_script(&place.join("bin/journalctl"), "[ \"$1\" = --sync ] || exec cat export");
    let path = format!("{}:/usr/bin:/bin", place.join("bin").display());
    let logs = |flags: &[&str]| {
        let output = place.command(&[&["logs"], flags, &["talks"]].concat()).env("PATH", &path).output().unwrap();
        (String::from_utf8(output.stdout).unwrap(), String::from_utf8(output.stderr).unwrap())
    };
    let details = "COLOUR=red,COM_EXAMPLE_TEAM=blue%2C+of+2";
    assert_eq!(logs(&["--details"]), (format!("{details} one\n"), format!("{details} two\n")));
    assert_eq!(logs(&[]), ("one\n".into(), "two\n".into()));
    place.ctn(&["rm", "talks"]);
    place.assert_nothing_left();
}
