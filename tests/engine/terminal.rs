//! What a person does at a terminal.

use std::process::Stdio;

use crate::harness::{Place, until};
use crate::pty::Terminal;

#[test]
fn a_terminal_is_the_containers() {
    let place = Place::new();
    let (terminal, slave) = Terminal::open();
    terminal.resize(33, 99);
    let mut command = place.command(&["run", "-it", "--rm", "--name", "shell", "--network", "none", "box", "sh"]);
    let duplicate = || Stdio::from(slave.try_clone().unwrap());
    let mut child = command.stdin(duplicate()).stdout(duplicate()).stderr(duplicate()).spawn().unwrap();
    drop((command, slave));
    terminal.write("echo $(stty size) $(tty) $TERM\n");
    terminal.until("33 99 /dev/pts/0 xterm");
    terminal.resize(11, 22);
    let pid = rustix::process::Pid::from_child(&child);
    rustix::process::kill_process(pid, rustix::process::Signal::WINCH).unwrap();
    terminal.write("while ! stty size | grep '11 22'; do sleep 0.05; done\n");
    terminal.until("\r\n11 22");
    // Ctrl-C is the container's.
    terminal.write("trap 'echo caught' INT; echo set\n");
    terminal.until("\r\nset");
    terminal.write("\x03");
    terminal.until("caught");
    // Away and back again.
    terminal.write("\x10\x11");
    assert_eq!(child.wait().unwrap().code(), Some(0));
    assert_eq!(place.field("shell", ".State.Running"), "true");
    let (terminal, slave) = Terminal::open();
    let duplicate = || Stdio::from(slave.try_clone().unwrap());
    let mut command = place.command(&["attach", "shell"]);
    let mut child = command.stdin(duplicate()).stdout(duplicate()).stderr(duplicate()).spawn().unwrap();
    drop((command, slave));
    terminal.write("echo back; exit 4\n");
    terminal.until("\r\nback");
    assert_eq!(child.wait().unwrap().code(), Some(4));
    place.assert_nothing_left();
}

#[test]
fn exec_has_a_terminal_of_its_own() {
    let place = Place::new();
    place.detached("into", &[], "sleep 1000");
    let (terminal, slave) = Terminal::open();
    let duplicate = || Stdio::from(slave.try_clone().unwrap());
    let mut command = place.command(&["exec", "-it", "into", "sh"]);
    let mut child = command.stdin(duplicate()).stdout(duplicate()).stderr(duplicate()).spawn().unwrap();
    drop((command, slave));
    terminal.write("tty; exit 6\n");
    terminal.until("/dev/pts/");
    assert_eq!(child.wait().unwrap().code(), Some(6));
}

#[test]
fn a_program_that_is_detached_has_a_terminal() {
    let place = Place::new();
    place.detached("into", &[], "sleep 1000");
    place.ctn(&[
        "exec",
        "-dt",
        "into",
        "sh",
        "-c",
        "tty > /tty; stty size >> /tty; seq 20000; touch /through; sleep 1000",
    ]);
    until("it wrote more than a terminal holds", || {
        place.outcome(&["exec", "into", "test", "-e", "/through"]).0 == Some(0)
    });
    let said = place.ctn(&["exec", "into", "cat", "/tty"]);
    assert!(said.starts_with("/dev/pts/"), "{said}");
    // Who holds it is not in the group of whoever called, which may end.
    let holder = processes_of("exec\0-dt\0into");
    assert_eq!(holder.len(), 1);
    assert_eq!(group_of(&holder[0]), group_of(&place.monitor_of("into").to_string()));
    // What can't be run is told, though the program's streams are nobody's.
    let refusal = place.refusal(1, &["exec", "-dt", "into", "nonsense"]);
    assert!(refusal.contains("executable file not found"), "{refusal}");
    let refusal = place.refusal(126, &["exec", "-w", "/nonsense", "into", "true"]);
    assert!(refusal.contains("/nonsense"), "{refusal}");
    assert_eq!(place.refusal(126, &["exec", "-u", "nobody", "into", "true"]).lines().count(), 1);
}

/// Those whose command lines have this in them.
fn processes_of(words: &str) -> Vec<String> {
    let all = std::fs::read_dir("/proc").unwrap().flatten();
    let has = |process: &std::fs::DirEntry| {
        std::fs::read_to_string(process.path().join("cmdline")).is_ok_and(|line| line.contains(words))
    };
    all.filter(has).map(|process| process.file_name().into_string().unwrap()).collect()
}

fn group_of(pid: &str) -> String {
    std::fs::read_to_string(format!("/proc/{pid}/cgroup")).unwrap()
}

#[test]
fn a_program_of_exec_is_left_by_the_keys() {
    let place = Place::new();
    place.detached("left", &[], "sleep 1000");
    let (terminal, slave) = Terminal::open();
    let duplicate = || Stdio::from(slave.try_clone().unwrap());
    let mut command = place.command(&["exec", "-it", "--detach-keys", "ctrl-a,d", "left", "sh"]);
    let mut child = command.stdin(duplicate()).stdout(duplicate()).stderr(duplicate()).spawn().unwrap();
    drop((command, slave));
    // More than a terminal holds when nobody takes it, and more to do after that.
    terminal.write("echo begun; while test ! -e /go; do sleep 0.02; done; seq 20000; touch /through; sleep 1000\n");
    terminal.until("\r\nbegun");
    terminal.write("\x01d");
    assert_eq!(child.wait().unwrap().code(), Some(0));
    drop(terminal);
    place.ctn(&["exec", "left", "touch", "/go"]);
    until("the program went on", || place.outcome(&["exec", "left", "test", "-e", "/through"]).0 == Some(0));
    assert!(place.ctn(&["exec", "left", "ps"]).contains("sleep 1000"));
    // Whoever holds the terminal goes when nobody has it any more.
    let holders = || processes_of("ctrl-a,d\0left").len();
    assert_eq!(holders(), 1);
    assert_eq!(group_of(&processes_of("ctrl-a,d\0left")[0]), group_of(&place.monitor_of("left").to_string()));
    place.ctn(&["rm", "-f", "left"]);
    until("the holder is gone", || holders() == 0);
    let refusal = place.refusal(1, &["exec", "--detach-keys", "nonsense", "left", "true"]);
    assert!(refusal.contains("invalid detach keys"), "{refusal}");
}

#[test]
fn a_terminal_under_an_init_listens_to_the_program() {
    let place = Place::new();
    let (terminal, slave) = Terminal::open();
    let duplicate = || Stdio::from(slave.try_clone().unwrap());
    let script = "read x; trap 'echo caught; exit 5' INT; echo got-$x; while :; do sleep 0.05; done";
    let mut command = place.command(&["run", "-it", "--rm", "--init", "--network", "none", "box", "sh", "-c", script]);
    let mut child = command.stdin(duplicate()).stdout(duplicate()).stderr(duplicate()).spawn().unwrap();
    drop((command, slave));
    // A program that isn't in the foreground would be stopped when it reads.
    terminal.write("line\n");
    terminal.until("got-line");
    terminal.write("\x03");
    terminal.until("caught");
    assert_eq!(child.wait().unwrap().code(), Some(5));
}
