//! What is open in the container: its standard streams, what was asked for, nothing else.

use std::io::IoSliceMut;
use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixDatagram;
use std::time::Instant;

use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, recvmsg};
use rustix::process::Signal;

use crate::harness::wait::{LIMIT, read_until, readable};
use crate::harness::{Bundle, Call};

/// Opens descriptors 3 to 9 before a call, as careless callers do.
const CARELESS: &str = "exec 3</etc/passwd 4</etc 5</dev/null 6</etc/passwd 7</etc 8</dev/null 9</etc/passwd";

/// The numbers of the descriptors that the probe found open.
fn numbers(text: &str) -> Vec<u32> {
    let mut numbers: Vec<u32> = text.lines().filter_map(|line| line.split(' ').next()?.parse().ok()).collect();
    numbers.sort_unstable();
    numbers
}

fn probing() -> Bundle {
    let mut bundle = Bundle::new();
    bundle.add_probe();
    bundle.config.args(["probe", "descriptors"]);
    bundle
}

#[test]
fn run_passes_the_standard_streams_and_nothing_else() {
    let bundle = probing();
    let ran = bundle.run_call().arg(&bundle.id).after(CARELESS).ok();
    assert_eq!(numbers(&ran.stdout), [0, 1, 2], "{ran}");
}

#[test]
fn create_and_start_pass_nothing_else() {
    let bundle = probing();
    let container = bundle.create_with(|call| call.after(CARELESS));
    container.call("start").arg(&container.id).after(CARELESS).ok();
    assert_eq!(container.process.wait(), 0);
    let printed = container.printed();
    assert_eq!(numbers(&printed), [0, 1, 2], "{printed}");
}

#[test]
fn exec_passes_nothing_else() {
    let mut bundle = probing();
    bundle.config.stay();
    let container = bundle.start();
    let call = || container.call("exec").args([&container.id, "probe", "descriptors"]);
    let ran = call().after(CARELESS).ok();
    assert_eq!(numbers(&ran.stdout), [0, 1, 2], "{ran}");
    let ran = container.call("exec").args(["--tty", &container.id, "true"]).after(CARELESS).run();
    assert!(ran.signal.is_none(), "{ran}");
}

#[test]
fn no_process_holds_anything_of_the_host() {
    // What the first process has open while it waits can be reached through /proc/PID/fd by others in the container.
    let bundle = Bundle::staying();
    let container = bundle.start();
    let shown = container.shell("ls -l /proc/1/fd | sed -n 's/.* \\([0-9]*\\) -> .*/\\1/p'");
    assert_eq!(numbers(&shown), [0, 1, 2], "{shown}");
}

#[test]
fn preserved_descriptors() {
    let mut bundle = probing();
    let call = bundle.run_call().args(["--preserve-fds", "2", &bundle.id]);
    assert_eq!(numbers(&call.after(CARELESS).ok().stdout), [0, 1, 2, 3, 4]);
    bundle.write_file("three", "content of three\n");
    bundle.config.script("cat <&3; cat <&4");
    let opened = format!("exec 3<{0}/three 4<{0}/three", bundle.directory.display());
    let call = bundle.run_call().args(["--preserve-fds", "2", &bundle.id]);
    assert_eq!(call.after(&opened).ok().stdout, "content of three\ncontent of three\n");
    let container = {
        let opened = opened.clone();
        bundle.create_with(move |call| call.args(["--preserve-fds", "2"]).after(&opened))
    };
    container.call("start").arg(&container.id).ok();
    assert_eq!(container.process.wait(), 0);
    assert_eq!(container.printed(), "content of three\ncontent of three\n");
    container.delete();

    bundle.config.stay();
    let container = bundle.start();
    let call = container.call("exec").args(["--preserve-fds", "1", &container.id, "cat", "/proc/self/fd/3"]);
    assert_eq!(call.after(&opened).ok().stdout, "content of three\n");
}

#[test]
fn descriptors_to_preserve_must_be_open() {
    let bundle = probing();
    let call = bundle.run_call().args(["--preserve-fds", "3", &bundle.id]);
    call.after("exec 3</dev/null 4<&- 5</dev/null").run().refused(&["descriptor 4"]);
    for number in ["-1", "x", "99999999999"] {
        bundle.run_call().arg(format!("--preserve-fds={number}")).arg(&bundle.id).run().refused(&["preserve-fds"]);
    }
    bundle.assert_nothing_left();
}

/// A call with the descriptors of systemd's socket activation.
fn activated(call: Call, count: u32, script: &str) -> Call {
    call.after(&format!("exec 3</etc/passwd 4</etc 5</dev/null 6</dev/null\nexport LISTEN_FDS={count} {script}"))
}

#[test]
fn socket_activation() {
    let mut bundle = probing();
    let call = activated(bundle.run_call().arg(&bundle.id), 2, "LISTEN_PID=$$");
    assert_eq!(numbers(&call.ok().stdout), [0, 1, 2, 3, 4]);
    bundle.config.args(["env"]);
    let shown = activated(bundle.run_call().arg(&bundle.id), 2, "LISTEN_PID=$$").ok().stdout;
    assert!(shown.contains("LISTEN_FDS=2\n") && shown.contains("LISTEN_PID=1\n"), "{shown}");
    // Further ones come after them.
    bundle.config.args(["probe", "descriptors"]);
    let call = bundle.run_call().args(["--preserve-fds", "1", &bundle.id]);
    assert_eq!(numbers(&activated(call, 2, "LISTEN_PID=$$").ok().stdout), [0, 1, 2, 3, 4, 5]);
}

#[test]
fn what_socket_activation_says_takes_the_place_of_what_the_config_says() {
    let mut bundle = Bundle::new();
    bundle.config.args(["env"]).env("LISTEN_FDS=7").env("LISTEN_PID=9").env("LISTEN_FDNAMES=x");
    let shown = activated(bundle.run_call().arg(&bundle.id), 2, "LISTEN_PID=$$ LISTEN_FDNAMES=a:b").ok().stdout;
    let listen: Vec<&str> = shown.lines().filter(|line| line.starts_with("LISTEN_")).collect();
    assert_eq!(listen, ["LISTEN_FDS=2", "LISTEN_PID=1", "LISTEN_FDNAMES=a:b"]);
}

#[test]
fn socket_activation_of_another_process() {
    let mut bundle = probing();
    let call = activated(bundle.run_call().arg(&bundle.id), 2, "LISTEN_PID=1");
    assert_eq!(numbers(&call.ok().stdout), [0, 1, 2]);
    bundle.config.args(["env"]);
    let shown = activated(bundle.run_call().arg(&bundle.id), 2, "LISTEN_PID=1").ok().stdout;
    assert!(!shown.contains("LISTEN_"), "{shown}");
}

#[test]
fn standard_streams_that_are_closed() {
    let bundle = probing();
    let container = bundle.create_with(|call| call.after("exec <&-"));
    assert_eq!(container.start_and_wait(), 0);
    // No later descriptor may come to be one of the three.
    let printed = container.printed();
    for line in printed.lines().filter(|line| line.starts_with("0 ")) {
        assert_eq!(line, "0 /dev/null", "{printed}");
    }
    assert!(numbers(&printed).iter().all(|number| *number <= 2), "{printed}");
}

#[test]
fn readiness_is_passed_on_to_the_service_manager() {
    let mut bundle = Bundle::new();
    bundle.add_probe();
    let socket = UnixDatagram::bind(bundle.path("notify")).expect("listen for notifications");
    // The service stays, so that the call ends only when it is killed.
    bundle.config.script("probe notify READY=1; echo $NOTIFY_SOCKET >&2; sleep infinity");
    let path = bundle.path("notify");
    let container = bundle.create_with(|call| call.env("NOTIFY_SOCKET", &path));
    let starting = container.call("start").arg(&container.id).env("NOTIFY_SOCKET", &path).spawn();
    let mut messages = Vec::new();
    while !(messages.iter().any(|text: &String| text.contains("READY=1"))
        && messages.iter().any(|text| text.contains("MAINPID=")))
    {
        assert!(readable(&socket, Instant::now() + LIMIT), "only {messages:?} came");
        let mut buffer = [0; 1000];
        let length = socket.recv(&mut buffer).expect("receive a notification");
        messages.push(String::from_utf8_lossy(&buffer[..length]).into_owned());
    }
    let main = format!("MAINPID={}", container.process.pid);
    assert!(messages.iter().any(|text| text.contains(&main)), "{messages:?}");
    drop(starting);
    container.stop();
}

#[test]
fn start_returns_when_the_service_manager_has_read_its_messages() {
    let mut bundle = Bundle::new();
    bundle.add_probe();
    let socket = UnixDatagram::bind(bundle.path("notify")).expect("listen for notifications");
    bundle.config.script("probe notify READY=1; sleep infinity");
    let path = bundle.path("notify");
    let container = bundle.create_with(|call| call.env("NOTIFY_SOCKET", &path));
    let starting = container.call("start").arg(&container.id).env("NOTIFY_SOCKET", &path).spawn();
    // sd_notify_barrier(3): a manager closes the descriptor once it has come to that message.
    let mut barrier = None;
    while barrier.is_none() {
        let (text, descriptor) = notification(&socket);
        assert_eq!(descriptor.is_some(), text == "BARRIER=1", "{text}");
        barrier = descriptor;
    }
    drop(barrier);
    assert_eq!(starting.wait().code, 0);
    container.stop();
}

#[test]
fn a_container_that_is_not_ready_can_be_deleted() {
    let bundle = Bundle::script("echo waiting; sleep infinity");
    let _socket = UnixDatagram::bind(bundle.path("notify")).expect("listen for notifications");
    let path = bundle.path("notify");
    let delete = || drop(bundle.call("delete").args(["--force", &bundle.id]).ok());
    let (reader, writer) = std::io::pipe().expect("make a pipe");
    let container = bundle.create_with(|call| call.env("NOTIFY_SOCKET", &path).stdout(writer));
    let starting = container.call("start").arg(&container.id).env("NOTIFY_SOCKET", &path).spawn();
    read_until(&reader, "waiting\n");
    delete();
    assert_eq!(starting.wait().code, 0);
    let (reader, writer) = std::io::pipe().expect("make a pipe");
    let call = bundle.detach_call().arg(&bundle.id).env("NOTIFY_SOCKET", &path).stdout(writer);
    let running = call.spawn();
    read_until(&reader, "waiting\n");
    delete();
    assert_eq!(running.wait().code, 0);
}

#[test]
fn nothing_is_left_where_no_notifications_can_be_listened_for() {
    let bundle = Bundle::script("true");
    bundle.write();
    // The path of the container's socket would be longer than such a name can be.
    let root = bundle.path(&"x".repeat(100));
    for command in [vec!["run"], vec!["run", "--detach"]] {
        let call = Call::new(&bundle.directory).env("NOTIFY_SOCKET", "/run/nobody").arg("--root").arg(&root);
        call.args(command).arg(&bundle.id).run().refused(&["notify.sock"]);
        assert!(!root.join(&bundle.id).exists());
    }
    bundle.assert_nothing_left();
}

/// The next message, and the descriptor that came with it.
fn notification(socket: &UnixDatagram) -> (String, Option<OwnedFd>) {
    assert!(readable(socket, Instant::now() + LIMIT), "no notification comes");
    let mut bytes = [0u8; 1000];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let message = recvmsg(socket, &mut [IoSliceMut::new(&mut bytes)], &mut control, RecvFlags::CMSG_CLOEXEC);
    let length = message.expect("receive a notification").bytes;
    let descriptor = control.drain().find_map(|message| match message {
        RecvAncillaryMessage::ScmRights(mut descriptors) => descriptors.next(),
        _ => None,
    });
    (String::from_utf8_lossy(&bytes[..length]).into_owned(), descriptor)
}

#[test]
fn signals_are_forwarded_to_a_container_that_is_not_ready() {
    let bundle = Bundle::script("trap 'exit 7' TERM; echo waiting; sleep infinity & wait");
    let _socket = UnixDatagram::bind(bundle.path("notify")).expect("listen for notifications");
    let (reader, writer) = std::io::pipe().expect("make a pipe");
    let call = bundle.run_call().arg(&bundle.id).env("NOTIFY_SOCKET", bundle.path("notify"));
    let running = call.stdout(writer).spawn();
    read_until(&reader, "waiting\n");
    running.signal(Signal::TERM);
    assert_eq!(running.wait().code, 7);
}

#[test]
fn the_notify_socket_of_the_host_is_not_shown() {
    let mut bundle = Bundle::script(
        "echo $NOTIFY_SOCKET; [ -S $NOTIFY_SOCKET ] && echo a socket; (echo >/run/notify/x) 2>&1 || true",
    );
    let _socket = UnixDatagram::bind(bundle.path("notify")).expect("listen for notifications");
    let call = bundle.run_call().arg(&bundle.id).env("NOTIFY_SOCKET", bundle.path("notify"));
    assert_eq!(
        call.ok().stdout,
        "/run/notify/notify.sock\na socket\nsh: can't create /run/notify/x: Read-only file system\n"
    );
    bundle.config.args(["env"]);
    assert!(!bundle.output().contains("NOTIFY_SOCKET"));
}
