//! What the program of `--init` (`reaper/main.rs`) asks of the kernel. It is no part of this crate, but included by that program, which
//! is compiled by itself: so it declares the C library's calls that it needs.

use std::ffi::{c_int, c_ulong};
use std::io;
use std::os::unix::process::CommandExt;
use std::process::Command;

/// Linux's numbers (signal(7), wait(2)), the same wherever Rust has Linux but on MIPS and SPARC.
pub const SIGCHLD: c_int = 17;
pub const SIGTTIN: c_int = 21;
pub const SIGTTOU: c_int = 22;
const SIG_BLOCK: c_int = 0;
const SIG_SETMASK: c_int = 2;
const SIG_DFL: usize = 0;
const SIG_IGN: usize = 1;
const WNOHANG: c_int = 1;

/// sigset_t of the C libraries that there are for Linux: 1024 bits.
#[repr(C)]
pub struct Signals([c_ulong; 1024 / 8 / size_of::<c_ulong>()]);

unsafe extern "C" {
    fn sigfillset(set: *mut Signals) -> c_int;
    fn sigprocmask(how: c_int, set: *const Signals, before: *mut Signals) -> c_int;
    fn sigwait(set: *const Signals, signal: *mut c_int) -> c_int;
    fn signal(number: c_int, handler: usize) -> usize;
    fn kill(pid: c_int, signal: c_int) -> c_int;
    fn waitpid(pid: c_int, status: *mut c_int, options: c_int) -> c_int;
    fn tcsetpgrp(terminal: c_int, group: c_int) -> c_int;
}

impl Signals {
    /// Blocks all signals, so that none is missed.
    pub fn block() -> Signals {
        let mut signals = Signals([0; _]);
        // SAFETY: the set is as large as the C library's, and outlives the calls.
        unsafe {
            sigfillset(&raw mut signals);
            sigprocmask(SIG_BLOCK, &raw const signals, std::ptr::null_mut());
        }
        signals
    }

    /// Waits for the next one.
    pub fn next(&self) -> c_int {
        let mut number = 0;
        // SAFETY: both outlive the call.
        unsafe { sigwait(self, &raw mut number) };
        number
    }
}

/// Starts the program in a group of its own, which becomes the one that the terminal listens to, if there is a terminal: what is typed
/// comes to the program, and signals not twice. No signal is blocked in it, as nobody else would unblock them.
pub fn spawn(mut command: Command) -> io::Result<c_int> {
    command.process_group(0);
    // SAFETY: the closure makes system calls alone, which are async-signal-safe.
    unsafe { command.pre_exec(as_the_program) };
    Ok(command.spawn()?.id() as c_int)
}

fn as_the_program() -> io::Result<()> {
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

/// Sends a signal to a child that was not reaped yet.
pub fn send(child: c_int, number: c_int) {
    // SAFETY: two numbers.
    let _ = unsafe { kill(child, number) };
}

/// A child that has ended, if there is one: its id, and its status as an exit code, or 128 + the signal that ended it.
pub fn ended() -> Option<(c_int, i32)> {
    let mut status = 0;
    // SAFETY: `status` outlives the call.
    let pid = unsafe { waitpid(-1, &raw mut status, WNOHANG) };
    let signal = status & 0x7f;
    (pid > 0).then_some((pid, if signal == 0 { status >> 8 & 0xff } else { 128 + signal }))
}
