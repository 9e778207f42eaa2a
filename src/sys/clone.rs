//! clone3(2), unshare(2) and what goes with a new process.

use std::convert::Infallible;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

use rustix::io::{Errno, Result};
use rustix::process::Pid;

use super::check;

bitflags::bitflags! {
    /// CLONE_* of clone(2), as clone3(2), unshare(2) and setns(2) take them.
    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    pub struct CloneFlags: u64 {
        /// A new time namespace; clone3(2) and unshare(2) only.
        const NEWTIME = 0x80;
        /// The new process is a child of the caller's parent.
        const PARENT = libc::CLONE_PARENT as u64;
        /// A new mount namespace.
        const NEWNS = libc::CLONE_NEWNS as u64;
        /// A new cgroup namespace.
        const NEWCGROUP = libc::CLONE_NEWCGROUP as u64;
        /// A new UTS namespace.
        const NEWUTS = libc::CLONE_NEWUTS as u64;
        /// A new IPC namespace.
        const NEWIPC = libc::CLONE_NEWIPC as u64;
        /// A new user namespace.
        const NEWUSER = libc::CLONE_NEWUSER as u64;
        /// A new pid namespace.
        const NEWPID = libc::CLONE_NEWPID as u64;
        /// A new network namespace.
        const NEWNET = libc::CLONE_NEWNET as u64;
    }
}

/// A process made by [`process`].
#[derive(Debug)]
pub struct Child {
    /// Its id in the caller's pid namespace.
    pub pid: Pid,
    /// Readable when it has ended (pidfd_open(2)).
    pub pidfd: OwnedFd,
}

/// The kernel's `struct clone_args` (linux/sched.h), version 2.
#[repr(C)]
#[derive(Default)]
struct Arguments {
    flags: u64,
    pidfd: u64,
    child_tid: u64,
    parent_tid: u64,
    exit_signal: u64,
    stack: u64,
    stack_size: u64,
    tls: u64,
    set_tid: u64,
    set_tid_size: u64,
    cgroup: u64,
}

const CLONE_PIDFD: u64 = 0x1000;
const CLONE_CLEAR_SIGHAND: u64 = 0x1_0000_0000;
const CLONE_INTO_CGROUP: u64 = 0x2_0000_0000;

unsafe extern "C" {
    /// Non-zero as long as the process has never had a second thread (glibc 2.32).
    static __libc_single_threaded: libc::c_char;
}

/// Makes a copy of this process that runs `child`, with its signal handlers cleared, born in `cgroup` where one is given.
///
/// `child` never returns to the caller's code: it ends in execve(2) or `_exit`. A copied process has one thread and copies
/// of every lock in the state in which another thread may have left them, so this is refused with EBUSY in a process that
/// has ever had a second thread.
#[allow(unreachable_code)] // the child's branch has no end
pub fn process(flags: CloneFlags, cgroup: Option<BorrowedFd<'_>>, child: impl FnOnce() -> Infallible) -> Result<Child> {
    // SAFETY: reads a byte that the C library keeps for this purpose; nobody writes it while there is one thread.
    if unsafe { __libc_single_threaded } == 0 {
        return Err(Errno::BUSY);
    }
    let mut pidfd: libc::c_int = -1;
    let mut arguments = Arguments {
        flags: flags.bits() | CLONE_PIDFD | CLONE_CLEAR_SIGHAND,
        pidfd: &raw mut pidfd as u64,
        exit_signal: if flags.contains(CloneFlags::PARENT) { 0 } else { libc::SIGCHLD as u64 },
        ..Arguments::default()
    };
    if let Some(cgroup) = cgroup {
        arguments.flags |= CLONE_INTO_CGROUP;
        arguments.cgroup = cgroup.as_raw_fd() as u64;
    }
    // SAFETY: without CLONE_VM the child has its own copy of all memory and goes on with this stack; `arguments` outlives the
    // call, and the process has one thread, so the copy holds no lock that nobody will release.
    let pid = unsafe { libc::syscall(libc::SYS_clone3, &raw const arguments, size_of::<Arguments>()) };
    if check(pid)? == 0 {
        let _never = child();
    }
    // SAFETY: CLONE_PIDFD stored a new descriptor, which nothing else owns.
    let pidfd = unsafe { OwnedFd::from_raw_fd(pidfd) };
    let pid = Pid::from_raw(pid as i32).ok_or(Errno::SRCH)?;
    Ok(Child { pid, pidfd })
}

/// unshare(2) of namespaces.
pub fn unshare(flags: CloneFlags) -> Result<()> {
    // SAFETY: a number goes in; of the flags in the type none shares or unshares memory or descriptors.
    check(unsafe { libc::syscall(libc::SYS_unshare, flags.bits()) }).map(drop)
}

/// setns(2): joins the namespaces that `flags` names of what `descriptor` stands for (a namespace file or a pidfd).
pub fn join(descriptor: BorrowedFd<'_>, flags: CloneFlags) -> Result<()> {
    // SAFETY: two numbers go in; the descriptor is borrowed and so open.
    check(unsafe { libc::syscall(libc::SYS_setns, descriptor.as_raw_fd(), flags.bits()) }).map(drop)
}

/// wait4(2) of one child by its id: its status as exit code, or 128 + the signal that ended it.
pub fn wait(pid: Pid) -> Result<u8> {
    let mut status = 0;
    loop {
        // SAFETY: `status` is a local that outlives the call.
        match check(unsafe { libc::waitpid(pid.as_raw_nonzero().get(), &raw mut status, 0) }.into()) {
            Ok(_) => break,
            Err(Errno::INTR) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(if libc::WIFSIGNALED(status) { 128 + libc::WTERMSIG(status) as u8 } else { libc::WEXITSTATUS(status) as u8 })
}

/// waitpid(2) of any child that has ended, without waiting: its id and status as in [`wait`].
pub fn reap() -> Result<Option<(Pid, u8)>> {
    let mut status = 0;
    // SAFETY: `status` is a local that outlives the call.
    let pid = check(unsafe { libc::waitpid(-1, &raw mut status, libc::WNOHANG) }.into())?;
    let code = if libc::WIFSIGNALED(status) { 128 + libc::WTERMSIG(status) } else { libc::WEXITSTATUS(status) };
    Ok(Pid::from_raw(pid as i32).map(|pid| (pid, code as u8)))
}
