//! Terminals, console and pidfd sockets, and the signals of a call in the foreground.

use std::fs;
use std::os::fd::AsRawFd;

use rustix::process::Signal;
use rustix::termios::{LocalModes, tcgetattr};
use serde_json::json;

use crate::harness::terminal::{Receiver, Terminal};
use crate::harness::wait::{Process, read_until};
use crate::harness::{Bundle, Call, Container, Running};

/// A bundle whose program has a terminal and runs a script.
fn terminal_bundle(script: &str) -> Bundle {
    let mut bundle = Bundle::script(script);
    bundle.add_probe();
    bundle.config.set("/process/terminal", true);
    bundle
}

/// Creates a container whose terminal comes to the test.
fn create_with_socket(bundle: &Bundle) -> (Container, Terminal) {
    let receiver = Receiver::listen(&bundle.path("console"));
    // The engines accept only after the call has ended.
    let container = bundle.create_with(|call| call.arg("--console-socket").arg(bundle.path("console")));
    let (name, master) = receiver.receive();
    assert!(!name.is_empty() && name.len() < 4096, "containerd wants a name: {name:?}");
    (container, Terminal(master.into()))
}

/// Runs a call on a pseudo-terminal of its own, which is its controlling terminal.
fn on_terminal(call: Call) -> (Running, Terminal) {
    let (terminal, slave) = Terminal::open();
    terminal.resize(33, 77);
    let copy = || slave.try_clone().expect("copy the terminal's other side");
    let call = call.stdin(copy()).stdout(copy()).stderr(copy()).through(["setsid", "--ctty"]);
    (call.spawn(), terminal)
}

#[test]
fn a_console_socket_gets_the_terminal() {
    let bundle = terminal_bundle("echo hello; read line; echo got $line; exit 4");
    let (container, terminal) = create_with_socket(&bundle);
    container.start();
    terminal.until("hello\r\n");
    terminal.write("words\n");
    terminal.until("got words\r\n");
    assert_eq!(container.process.wait(), 4);
    assert_eq!(terminal.rest(), "");
}

#[test]
fn the_program_has_a_controlling_terminal() {
    let bundle = terminal_bundle("probe terminal; ls /dev/pts; probe process");
    let (container, terminal) = create_with_socket(&bundle);
    container.start();
    let text = terminal.rest();
    for line in ["stdin 1", "stdout 1", "stderr 1", "foreground 1", "session 1"] {
        assert!(text.lines().any(|found| found == line), "no {line:?} in {text}");
    }
    let name = text.lines().find_map(|line| line.strip_prefix("name ")).expect("a name");
    assert!(["/dev/pts/0", "/dev/console"].contains(&name), "{text}");
    assert!(
        text.contains("0\r\nptmx\r\n") || text.contains("0     ptmx"),
        "the terminal is of the container's own: {text}"
    );
    assert_eq!(container.process.wait(), 0);
}

#[test]
fn the_console_is_the_terminal() {
    let bundle = terminal_bundle(
        "stat -c '%F %t' /dev/console; echo through >/dev/console; echo tty >/dev/tty; grep -c ' /dev/console ' /proc/self/mountinfo",
    );
    let (container, terminal) = create_with_socket(&bundle);
    container.start();
    assert_eq!(terminal.rest(), "character special file 88\r\nthrough\r\ntty\r\n1\r\n");
    container.process.wait();
}

#[test]
fn console_size() {
    let mut bundle = terminal_bundle(
        "stty size; trap 'stty size; exit 0' WINCH; echo ready; sleep infinity & while :; do wait || :; done",
    );
    bundle.config.set("/process/consoleSize", json!({"height": 41, "width": 133}));
    let (container, terminal) = create_with_socket(&bundle);
    assert_eq!(terminal.size(), (41, 133));
    container.start();
    assert!(terminal.until("ready\r\n").starts_with("41 133\r\n"));
    terminal.resize(50, 100);
    terminal.until("50 100\r\n");
    assert_eq!(container.process.wait(), 0);
}

#[test]
fn the_terminal_belongs_to_the_user() {
    let mut bundle = terminal_bundle("stat -c %u /dev/pts/0; echo x >/dev/pts/0; echo y >/dev/tty");
    bundle.config.set("/process/user", json!({"uid": 1000, "gid": 1000}));
    let (container, terminal) = create_with_socket(&bundle);
    container.start();
    assert_eq!(terminal.rest(), "1000\r\nx\r\ny\r\n");
    assert_eq!(container.process.wait(), 0);
}

#[test]
fn a_terminal_in_a_user_namespace() {
    let mut bundle = terminal_bundle("probe terminal >/dev/null; echo fine >/dev/console");
    crate::harness::host(&format!("chown -R --no-dereference 100000:100000 {}", bundle.rootfs.display()));
    bundle.config.user_namespace(100_000);
    let (container, terminal) = create_with_socket(&bundle);
    container.start();
    assert_eq!(terminal.rest(), "fine\r\n");
    assert_eq!(container.process.wait(), 0);
}

#[test]
fn an_image_can_not_lead_the_console_astray() {
    // CVE-2025-52565: /dev/console of the image is a link to somewhere else.
    let mut bundle = terminal_bundle("echo fine");
    let victim = bundle.write_file("victim", "untouched\n");
    for point in ["/dev", "/dev/shm", "/dev/mqueue", "/dev/pts"] {
        bundle.config.without_mount(point);
    }
    bundle.config.mount("/dev/pts", "devpts", "devpts", &["newinstance", "ptmxmode=0666", "mode=0620"]);
    std::os::unix::fs::symlink(&victim, bundle.rootfs.join("dev/console")).expect("make a link");
    let receiver = Receiver::listen(&bundle.path("console"));
    let ran = bundle.create_call().arg("--console-socket").arg(bundle.path("console")).arg(&bundle.id).run();
    drop(receiver);
    assert_eq!(bundle.read_file("victim"), "untouched\n", "{ran}");
}

#[test]
fn detached_run_with_a_console_socket() {
    let bundle = terminal_bundle("echo hello; read line");
    let receiver = Receiver::listen(&bundle.path("console"));
    let ran = bundle.detach_call().arg("--console-socket").arg(bundle.path("console")).arg(&bundle.id).ok();
    let container = Container::made(&bundle, &bundle.id, ran);
    let terminal = Terminal(receiver.receive().1.into());
    terminal.until("hello\r\n");
    terminal.write("\n");
    assert_eq!(container.process.wait(), 0);
}

#[test]
fn terminals_and_sockets_must_go_together() {
    let mut bundle = terminal_bundle("true");
    bundle.refused(&["cannot allocate tty", "console socket"]);
    bundle.detach_call().arg(&bundle.id).run().refused(&["console socket"]);
    bundle.config.set("/process/terminal", false);
    let _receiver = Receiver::listen(&bundle.path("console"));
    for call in [bundle.create_call(), bundle.detach_call(), bundle.run_call()] {
        let call = call.arg("--console-socket").arg(bundle.path("console")).arg(&bundle.id);
        call.run().refused(&["cannot use console socket", "tty"]);
        assert!(!bundle.state.join(&bundle.id).exists());
    }
    bundle.config.set("/process/terminal", true);
    let call = bundle.create_call().args(["--console-socket", "/no/such/socket", &bundle.id]);
    call.run().refused(&["/no/such/socket", "no such file or directory"]);
    bundle.assert_nothing_left();
}

#[test]
fn foreground_run_on_a_terminal() {
    let bundle = terminal_bundle("stty size; probe terminal; read line; echo got $line; exit 6");
    let (running, terminal) = on_terminal(bundle.run_call().arg(&bundle.id));
    let text = terminal.until("foreground 1\r\n");
    assert!(text.starts_with("33 77\r\n"), "the size is that of the caller's terminal: {text}");
    terminal.write("words\r");
    let text = terminal.until("got words\r\n");
    assert_eq!(text.matches("words").count(), 2, "one echo, of the container's terminal: {text}");
    let ran = running.wait();
    assert_eq!(ran.code, 6, "{ran}");
    bundle.assert_nothing_left();
}

#[test]
fn the_callers_terminal_is_raw_meanwhile_and_as_before_afterwards() {
    let bundle = terminal_bundle("echo ready; read line");
    let (terminal, slave) = Terminal::open();
    let before = tcgetattr(&slave).expect("ask for the terminal's modes");
    let copy = || slave.try_clone().expect("copy the terminal's other side");
    let call = bundle.run_call().arg(&bundle.id).stdin(copy()).stdout(copy()).stderr(copy());
    let running = call.through(["setsid", "--ctty"]).spawn();
    terminal.until("ready\r\n");
    let during = tcgetattr(&slave).expect("ask for the terminal's modes");
    for mode in [LocalModes::ECHO, LocalModes::ICANON, LocalModes::ISIG] {
        assert!(before.local_modes.contains(mode) && !during.local_modes.contains(mode), "{mode:?}");
    }
    terminal.write("\r");
    assert_eq!(running.wait().code, 0);
    let after = tcgetattr(&slave).expect("ask for the terminal's modes");
    assert_eq!(after.local_modes, before.local_modes);
    assert_eq!((after.input_modes, after.output_modes), (before.input_modes, before.output_modes));
}

#[test]
fn the_callers_terminal_is_restored_after_an_error() {
    let mut bundle = terminal_bundle("true");
    bundle.config.args(["no-such-program"]);
    let (terminal, slave) = Terminal::open();
    let before = tcgetattr(&slave).expect("ask for the terminal's modes");
    let copy = || slave.try_clone().expect("copy the terminal's other side");
    let call = bundle.run_call().arg(&bundle.id).stdin(copy()).stdout(copy()).stderr(copy());
    let running = call.through(["setsid", "--ctty"]).spawn();
    terminal.until("no-such-program");
    assert_eq!(running.wait().code, 1);
    assert_eq!(tcgetattr(&slave).expect("ask for the terminal's modes").local_modes, before.local_modes);
}

#[test]
fn a_new_size_is_passed_on() {
    let bundle = terminal_bundle(
        "trap 'stty size; [ \"$(stty size)\" != \"44 155\" ] || exit 0' WINCH; echo ready; sleep infinity & while :; do wait || :; done",
    );
    let (running, terminal) = on_terminal(bundle.run_call().arg(&bundle.id));
    terminal.until("ready\r\n");
    terminal.resize(44, 155);
    terminal.until("44 155\r\n");
    assert_eq!(running.wait().code, 0);
}

#[test]
fn keys_that_make_signals_reach_the_program() {
    let bundle = terminal_bundle(
        "trap 'echo interrupted; exit 8' INT; echo ready; sleep infinity & while :; do wait || :; done",
    );
    let (running, terminal) = on_terminal(bundle.run_call().arg(&bundle.id));
    terminal.until("ready\r\n");
    terminal.write("\x03");
    terminal.until("interrupted\r\n");
    assert_eq!(running.wait().code, 8);
}

#[test]
fn much_output_through_a_terminal() {
    let bundle = terminal_bundle("seq 1 20000; echo end");
    let (running, terminal) = on_terminal(bundle.run_call().arg(&bundle.id));
    let text = terminal.until("end\r\n");
    assert_eq!(text.lines().count(), 20_001);
    assert!(text.contains("\n19999\r\n20000\r\n"));
    assert_eq!(running.wait().code, 0);
}

#[test]
fn exec_on_a_terminal() {
    let bundle = Bundle::staying();
    bundle.add_probe();
    let container = bundle.start();
    let call =
        container.call("exec").args(["--tty", &container.id, "sh", "-c", "probe terminal; stty size; read x; exit 5"]);
    let (running, terminal) = on_terminal(call);
    let text = terminal.until("33 77\r\n");
    assert!(text.contains("foreground 1\r\n"), "{text}");
    terminal.write("\r");
    assert_eq!(running.wait().code, 5);

    // As cri-o does it: the terminal is asked for in the file, without --tty.
    let process = json!({"terminal": true, "args": ["tty"], "cwd": "/", "env": ["PATH=/bin"], "user": {"uid": 0, "gid": 0},
        "consoleSize": {"height": 10, "width": 20}});
    let file = bundle.write_file("process.json", &process.to_string());
    let (running, terminal) = on_terminal(container.call("exec").arg("--process").arg(file).arg(&container.id));
    terminal.until("/dev/pts/");
    assert_eq!(running.wait().code, 0);
}

#[test]
fn detached_exec_with_a_console_socket() {
    let bundle = Bundle::staying();
    let container = bundle.start();
    let receiver = Receiver::listen(&bundle.path("console"));
    let pid_file = bundle.path("exec-pid");
    let call = container.call("exec").args(["--tty", "--detach", "--pid-file"]).arg(&pid_file).arg("--console-socket");
    call.arg(bundle.path("console")).args([&container.id, "sh", "-c", "tty; read x; exit 3"]).ok();
    let pid = fs::read_to_string(pid_file).expect("read the pid file").parse().expect("a number");
    let process = Process::watch(pid);
    let terminal = Terminal(receiver.receive().1.into());
    terminal.until("/dev/pts/");
    terminal.write("\n");
    assert_eq!(process.wait(), 3);
    let call = container.call("exec").args(["--tty", "--detach", &container.id, "true"]);
    call.run().failed(255, &["cannot allocate tty", "console socket"]);
}

#[test]
fn exec_without_tty_has_none_whatever_the_config_says() {
    let bundle = terminal_bundle("read line");
    let (container, _terminal) = create_with_socket(&bundle);
    container.start();
    let ran = container.exec(["sh", "-c", "[ -t 0 ] || [ -t 1 ] || echo no terminal"]);
    assert_eq!((ran.code, ran.stdout.as_str()), (0, "no terminal\n"), "{ran}");
}

#[test]
fn a_pidfd_socket_gets_the_first_process() {
    let bundle = Bundle::staying();
    let pid_of = |fd: std::os::fd::OwnedFd| {
        let info = fs::read_to_string(format!("/proc/self/fdinfo/{}", fd.as_raw_fd())).expect("read about the pidfd");
        let line =
            info.lines().find_map(|line| line.strip_prefix("Pid:")).unwrap_or_else(|| panic!("no pidfd: {info}"));
        line.trim().parse::<i32>().expect("a number")
    };
    let receiver = Receiver::listen(&bundle.path("pidfd"));
    let container = bundle.create_with(|call| call.arg("--pidfd-socket").arg(bundle.path("pidfd")));
    let (text, pidfd) = receiver.receive();
    assert_eq!((text.as_str(), pid_of(pidfd)), ("standard", container.process.pid.as_raw_nonzero().get()));
    container.start();

    let receiver = Receiver::listen(&bundle.path("pidfd-2"));
    let pid_file = bundle.path("exec-pid");
    let call = container.call("exec").args(["--detach", "--pid-file"]).arg(&pid_file).arg("--pidfd-socket");
    call.arg(bundle.path("pidfd-2")).args([&container.id, "sleep", "infinity"]).ok();
    let (text, pidfd) = receiver.receive();
    let pid: i32 = fs::read_to_string(pid_file).expect("read the pid file").parse().expect("a number");
    assert_eq!((text.as_str(), pid_of(pidfd)), ("setns", pid));
    Process::watch(pid).kill();
}

#[test]
fn signals_are_forwarded() {
    let script =
        "for signal in HUP INT QUIT USR1 USR2 TERM CONT; do trap \"echo $signal\" $signal; done; trap 'exit 9' ALRM
        echo ready; sleep infinity & while :; do wait || :; done";
    let bundle = Bundle::script(script);
    let (reader, writer) = std::io::pipe().expect("make a pipe");
    let running = bundle.run_call().arg(&bundle.id).stdout(writer).spawn();
    read_until(&reader, "ready\n");
    for (signal, name) in [
        (Signal::HUP, "HUP"),
        (Signal::INT, "INT"),
        (Signal::QUIT, "QUIT"),
        (Signal::USR1, "USR1"),
        (Signal::USR2, "USR2"),
        (Signal::TERM, "TERM"),
        (Signal::CONT, "CONT"),
    ] {
        running.signal(signal);
        read_until(&reader, &format!("{name}\n"));
    }
    running.signal(Signal::ALARM);
    assert_eq!(running.wait().code, 9);
    bundle.assert_nothing_left();
}

#[test]
fn signals_are_forwarded_with_a_terminal() {
    let bundle = terminal_bundle(
        "trap 'echo terminated; exit 9' TERM; echo ready; sleep infinity & while :; do wait || :; done",
    );
    let (running, terminal) = on_terminal(bundle.run_call().arg(&bundle.id));
    terminal.until("ready");
    running.signal(Signal::TERM);
    terminal.until("terminated\r\n");
    assert_eq!(running.wait().code, 9);
}

#[test]
fn a_container_killed_from_outside_ends_the_foreground_call() {
    let bundle = Bundle::script("echo ready; sleep infinity");
    let (reader, writer) = std::io::pipe().expect("make a pipe");
    let running = bundle.run_call().arg(&bundle.id).stdout(writer).spawn();
    read_until(&reader, "ready\n");
    bundle.call("kill").args([&bundle.id, "KILL"]).ok();
    assert_eq!(running.wait().code, 137);
    bundle.assert_nothing_left();
}

#[test]
fn a_background_process_does_not_hold_up_the_foreground_call() {
    // The pipe stays open in the child, but the container has ended.
    let mut bundle = Bundle::script("sleep infinity & echo fine");
    assert_eq!(bundle.output(), "fine\n");
    bundle.config.set("/process/terminal", true);
    let (running, terminal) = on_terminal(bundle.run_call().arg(&bundle.id));
    terminal.until("fine\r\n");
    assert_eq!(running.wait().code, 0);
}
