//! What `--init` makes a container's first process: it runs the program that was meant, passes signals on to it, reaps what it leaves
//! behind, and ends as it ends. `build.rs` makes it, for it is part of `ctn`, and it is mounted at `/sbin/docker-init`.

#![warn(clippy::undocumented_unsafe_blocks)]

use std::ffi::{c_int, c_ulong};
use std::io::ErrorKind;
use std::os::unix::process::CommandExt;
use std::process::{Command, exit};

/// Linux's numbers (signal(7), wait(2)), the same wherever Rust has Linux but on MIPS and SPARC.
const SIGCHLD: c_int = 17;
const SIGTTIN: c_int = 21;
const SIGTTOU: c_int = 22;
const SIG_BLOCK: c_int = 0;
const SIG_SETMASK: c_int = 2;
const SIG_DFL: usize = 0;
const SIG_IGN: usize = 1;
const WNOHANG: c_int = 1;

/// sigset_t of the C libraries that there are for Linux: 1024 bits.
#[repr(C)]
struct Signals([c_ulong; 1024 / 8 / size_of::<c_ulong>()]);

unsafe extern "C" {
    fn sigfillset(set: *mut Signals) -> c_int;
    fn sigprocmask(how: c_int, set: *const Signals, before: *mut Signals) -> c_int;
    fn sigwait(set: *const Signals, signal: *mut c_int) -> c_int;
    fn signal(number: c_int, handler: usize) -> usize;
    fn kill(pid: c_int, signal: c_int) -> c_int;
    fn waitpid(pid: c_int, status: *mut c_int, options: c_int) -> c_int;
    fn tcsetpgrp(terminal: c_int, group: c_int) -> c_int;
}

fn main() {
    let mut arguments = std::env::args_os().skip(1).skip_while(|argument| argument == "--");
    let Some(program) = arguments.next() else { fail(127, "no program to run") };
    let signals = block();
    let mut command = Command::new(&program);
    // A group of its own: what a terminal sends to its foreground comes to the program, and not twice.
    command.args(arguments).process_group(0);
    // SAFETY: the closure makes system calls alone, which are async-signal-safe.
    unsafe { command.pre_exec(as_the_program) };
    let child = match command.spawn() {
        Ok(child) => child.id() as c_int,
        Err(error) => {
            fail(if error.kind() == ErrorKind::NotFound { 127 } else { 126 }, &format!("exec {program:?}: {error}"))
        }
    };
    loop {
        match next(&signals) {
            SIGCHLD => reap(child),
            // Of this process's own terminal, which it neither reads nor writes.
            SIGTTIN | SIGTTOU => {}
            // SAFETY: two numbers; the child is reaped by this thread alone, so that the id is still its own.
            number => drop(unsafe { kill(child, number) }),
        }
    }
}

fn fail(status: i32, text: &str) -> ! {
    eprintln!("docker-init: {text}");
    exit(status)
}

/// Blocks all signals, so that none is missed.
fn block() -> Signals {
    let mut signals = Signals([0; _]);
    // SAFETY: the set is as large as the C library's, and outlives the calls.
    unsafe {
        sigfillset(&raw mut signals);
        sigprocmask(SIG_BLOCK, &raw const signals, std::ptr::null_mut());
    }
    signals
}

fn next(signals: &Signals) -> c_int {
    let mut number = 0;
    // SAFETY: both outlive the call.
    unsafe { sigwait(signals, &raw mut number) };
    number
}

/// The program's group becomes the one that the terminal listens to, if there is a terminal; and the program starts with no signal
/// blocked, as nobody else would unblock them.
fn as_the_program() -> std::io::Result<()> {
    let none = Signals([0; _]);
    // SAFETY: numbers, and a set that outlives the call. Who is in the background is stopped by tcsetpgrp(3) unless SIGTTOU is ignored.
    unsafe {
        signal(SIGTTOU, SIG_IGN);
        tcsetpgrp(0, std::process::id() as c_int);
        signal(SIGTTOU, SIG_DFL);
        sigprocmask(SIG_SETMASK, &raw const none, std::ptr::null_mut());
    }
    Ok(())
}

/// Takes all that ended; with the program this ends, and the kernel ends what is left in the container.
fn reap(child: c_int) {
    let mut of_child = None;
    loop {
        let mut status = 0;
        // SAFETY: `status` outlives the call.
        match unsafe { waitpid(-1, &raw mut status, WNOHANG) } {
            pid if pid == child => of_child = Some(status),
            1.. => {}
            _ => break,
        }
    }
    if let Some(status) = of_child {
        let signal = status & 0x7f;
        exit(if signal == 0 { status >> 8 & 0xff } else { 128 + signal });
    }
}
