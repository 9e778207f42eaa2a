//! What a person does at a terminal.

use std::process::Stdio;

use crate::harness::Place;
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
