//! Signals: masks, dispositions, signalfd(2), kill(2) by number.

use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::process::Command;

use rustix::io::Result;
use rustix::process::Pid;

use super::check;

/// The mask that was in force before [`block_all`].
#[derive(Clone, Copy)]
pub struct Mask(libc::sigset_t);

fn set_of(fill: bool) -> libc::sigset_t {
    // SAFETY: all-zero bytes are a valid `sigset_t`.
    let mut set = unsafe { std::mem::zeroed() };
    if fill {
        // SAFETY: writes the local set.
        unsafe { libc::sigfillset(&raw mut set) };
    }
    set
}

/// Blocks every signal that can be blocked; they wait for a signalfd or for their disposition.
pub fn block_all() -> Result<Mask> {
    let (all, mut before) = (set_of(true), set_of(false));
    // SAFETY: two signal sets that outlive the call.
    check(unsafe { libc::sigprocmask(libc::SIG_SETMASK, &raw const all, &raw mut before) }.into())?;
    Ok(Mask(before))
}

/// Puts a mask back in force.
pub fn restore(mask: &Mask) -> Result<()> {
    // SAFETY: a signal set that outlives the call.
    check(unsafe { libc::sigprocmask(libc::SIG_SETMASK, &raw const mask.0, std::ptr::null_mut()) }.into()).map(drop)
}

/// Blocks nothing and gives every signal its default disposition: what execve(2) keeps of both would reach the container.
pub fn reset() -> Result<()> {
    for number in 1..=64 {
        if matches!(number, libc::SIGKILL | libc::SIGSTOP) {
            continue;
        }
        set_default(number);
    }
    restore(&Mask(set_of(false)))
}

/// Has the kernel keep how children end: whoever started this program may ignore SIGCHLD, which execve(2) keeps, and then nobody can
/// be waited for (waitpid(2), "Notes").
pub fn keep_statuses() {
    set_default(libc::SIGCHLD);
}

fn set_default(number: i32) {
    // The kernel's `struct sigaction` of SIG_DFL, no flags and an empty mask is all zeros. Asked of the kernel itself: the C
    // library refuses the two numbers that it uses, and a caller may have left these ignored too.
    let default = [0u64; 4];
    // SAFETY: a structure of the kernel's size that outlives the call, and the size of the kernel's signal set.
    unsafe { libc::syscall(libc::SYS_rt_sigaction, number, default.as_ptr(), std::ptr::null::<u64>(), 8) };
}

/// Has a program start with no signal blocked, whatever this process blocks for itself.
pub fn unblock_in(command: &mut Command) {
    let none = set_of(false);
    let unblock = move || Ok(restore(&Mask(none))?);
    // SAFETY: the closure makes one system call with its own copy of a set; it allocates nothing and takes no lock.
    unsafe { command.pre_exec(unblock) };
}

/// signalfd(2) for every signal; they must be blocked.
pub fn descriptor() -> Result<OwnedFd> {
    let all = set_of(true);
    // SAFETY: a signal set that outlives the call.
    let raw = check(unsafe { libc::signalfd(-1, &raw const all, libc::SFD_CLOEXEC | libc::SFD_NONBLOCK) }.into())?;
    // SAFETY: the kernel has just made it, and nothing else owns it.
    Ok(unsafe { OwnedFd::from_raw_fd(raw as i32) })
}

/// A signal that has come, and from where.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Received {
    /// Which.
    pub number: i32,
    /// Who sent it by kill(2) or the like, if somebody did; 0 is one whom this pid namespace doesn't see.
    pub sender: Option<u32>,
}

/// Takes the next waiting signal's number off a signalfd.
pub fn next(signals: BorrowedFd<'_>) -> Result<Option<i32>> {
    next_received(signals).map(|received| received.map(|received| received.number))
}

/// Takes the next waiting signal off a signalfd.
pub fn next_received(signals: BorrowedFd<'_>) -> Result<Option<Received>> {
    let mut record = [0u8; size_of::<libc::signalfd_siginfo>()];
    match rustix::io::read(signals, &mut record[..]) {
        // signalfd_siginfo begins with ssi_signo, ssi_errno, ssi_code and ssi_pid, four bytes each.
        Ok(length) if length >= 16 => {
            let field = |at: usize| u32::from_ne_bytes([record[at], record[at + 1], record[at + 2], record[at + 3]]);
            let is_sent = field(8).cast_signed() == libc::SI_USER;
            Ok(Some(Received { number: field(0).cast_signed(), sender: is_sent.then(|| field(12)) }))
        }
        Ok(_) | Err(rustix::io::Errno::AGAIN) => Ok(None),
        Err(error) => Err(error),
    }
}

/// kill(2), of one process.
pub fn kill(pid: Pid, signal: i32) -> Result<()> {
    // SAFETY: numbers go in.
    check(unsafe { libc::kill(pid.as_raw_nonzero().get(), signal) }.into()).map(drop)
}

/// pidfd_send_signal(2): never hits a process that got the same id later.
pub fn send(process: BorrowedFd<'_>, signal: i32) -> Result<()> {
    // SAFETY: numbers and a null pointer (the kernel fills in what kill(2) would send).
    check(unsafe {
        libc::syscall(libc::SYS_pidfd_send_signal, process.as_raw_fd(), signal, std::ptr::null::<libc::siginfo_t>(), 0)
    })
    .map(drop)
}
