//! What `--init` makes a container's first process: it runs the program that was meant, passes signals on to it, reaps what it leaves
//! behind, and ends as it ends. `build.rs` makes it, for it is part of `ctn`, and it is mounted at `/sbin/docker-init`.

#[path = "../src/sys/reaper.rs"]
mod sys;

use std::io::ErrorKind;
use std::process::{Command, exit};

use sys::{SIGCHLD, SIGTTIN, SIGTTOU, Signals};

fn main() {
    let mut arguments = std::env::args_os().skip(1).skip_while(|argument| argument == "--");
    let Some(program) = arguments.next() else { fail(127, "no program to run") };
    let signals = Signals::block();
    let mut command = Command::new(&program);
    command.args(arguments);
    let child = match sys::spawn(command) {
        Ok(child) => child,
        Err(error) => {
            fail(if error.kind() == ErrorKind::NotFound { 127 } else { 126 }, &format!("exec {program:?}: {error}"))
        }
    };
    loop {
        match signals.next() {
            SIGCHLD => reap(child),
            // Of this process's own terminal, which it neither reads nor writes.
            SIGTTIN | SIGTTOU => {}
            number => sys::send(child, number),
        }
    }
}

fn fail(status: i32, text: &str) -> ! {
    eprintln!("docker-init: {text}");
    exit(status)
}

/// Takes all that ended; with the program this ends, and the kernel ends what is left in the container.
fn reap(child: i32) {
    let mut of_child = None;
    while let Some((pid, status)) = sys::ended() {
        if pid == child {
            of_child = Some(status);
        }
    }
    if let Some(status) = of_child {
        exit(status);
    }
}
