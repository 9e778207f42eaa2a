//! execve(2), and the end of a process that was cloned.

use std::convert::Infallible;
use std::ffi::{CStr, CString, c_char};
use std::os::fd::{AsRawFd, BorrowedFd};

use rustix::io::{Errno, Result};

use super::{check, last};

fn pointers(strings: &[CString]) -> Vec<*const c_char> {
    strings.iter().map(|string| string.as_ptr()).chain([std::ptr::null()]).collect()
}

/// execve(2). Returns only the reason for which it failed.
pub fn execve(path: &CStr, arguments: &[CString], environment: &[CString]) -> Errno {
    let (arguments, environment) = (pointers(arguments), pointers(environment));
    // SAFETY: a C string and two arrays of C strings that end in a null pointer, all alive until the call is over.
    unsafe { libc::execve(path.as_ptr(), arguments.as_ptr(), environment.as_ptr()) };
    last()
}

/// execveat(2) of an open file with this process's own environment. Returns only the reason for which it failed.
pub fn execute_file(file: BorrowedFd<'_>, arguments: &[CString], environment: &[CString]) -> Errno {
    let (arguments, environment) = (pointers(arguments), pointers(environment));
    // SAFETY: an empty C string and two arrays of C strings that end in a null pointer, all alive until the call is over.
    unsafe {
        libc::syscall(
            libc::SYS_execveat,
            file.as_raw_fd(),
            c"".as_ptr(),
            arguments.as_ptr(),
            environment.as_ptr(),
            libc::AT_EMPTY_PATH,
        )
    };
    last()
}

/// `_exit`: no destructor and no atexit(3) handler runs, as a cloned copy of a process must end.
pub fn exit_now(status: u8) -> Infallible {
    // SAFETY: ends the process; nothing is looked at any more.
    unsafe { libc::_exit(status.into()) }
}

/// close_range(2): every descriptor from `first` on is closed when the process executes another program.
pub fn close_on_execute_from(first: u32) -> Result<()> {
    // SAFETY: numbers go in; no descriptor is closed now, so every owner keeps what it owns.
    check(unsafe { libc::syscall(libc::SYS_close_range, first, u32::MAX, libc::CLOSE_RANGE_CLOEXEC) }).map(drop)
}

/// close_range(2): closes every descriptor from `first` on but those of `kept`.
///
/// For a process that was cloned and never returns to the code of the one that it is a copy of: whoever owns what is closed lives in
/// the other process, and nothing here will use or close it.
pub fn close_all_but(kept: &[BorrowedFd<'_>], first: u32) -> Result<()> {
    let mut numbers: Vec<u32> = kept.iter().map(|descriptor| descriptor.as_raw_fd().cast_unsigned()).collect();
    numbers.sort_unstable();
    let mut from = first;
    for number in numbers.into_iter().filter(|number| *number >= first) {
        if from < number {
            close_range(from, number - 1)?;
        }
        from = number + 1;
    }
    close_range(from, u32::MAX)
}

fn close_range(first: u32, last: u32) -> Result<()> {
    // SAFETY: numbers go in; by the word of `close_all_but` nobody in this process owns what is closed.
    check(unsafe { libc::syscall(libc::SYS_close_range, first, last, 0) }).map(drop)
}

/// Whether a descriptor of this number is open.
pub fn is_open(number: u32) -> bool {
    let Ok(number) = libc::c_int::try_from(number) else { return false };
    // SAFETY: asks for flags; whatever the number stands for is not changed.
    check(unsafe { libc::fcntl(number, libc::F_GETFD) }.into()).is_ok()
}

/// Keeps descriptors of these numbers open over execve(2).
pub fn pass_on(numbers: std::ops::Range<u32>) -> Result<()> {
    for number in numbers {
        let number = libc::c_int::try_from(number).map_err(|_| Errno::BADF)?;
        // SAFETY: sets the close-on-exec flag to 0; the descriptor stays with whoever owns it.
        check(unsafe { libc::fcntl(number, libc::F_SETFD, 0) }.into())?;
    }
    Ok(())
}
