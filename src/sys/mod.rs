//! The kernel's interfaces that rustix does not have: the only room with `unsafe`.
//!
//! Each function is one system call (or one libc call where the C library must know), takes borrowed descriptors and returns
//! owned ones, and leaves words about what was attempted to its caller.
#![allow(unsafe_code)]

pub mod bpf;
pub mod clone;
pub mod execute;
pub mod file_ids;
#[cfg(target_arch = "x86_64")]
pub mod first;
pub mod handle;
pub mod keyring;
pub mod landlock;
pub mod mapping;
pub mod mount;
pub mod network;
pub mod priority;
pub mod quota;
pub mod seccomp;
pub mod signal;
pub mod socket;

use rustix::io::{Errno, Result};

/// What syscall(2) returned, as a result.
fn check(value: libc::c_long) -> Result<libc::c_long> {
    if value == -1 { Err(last()) } else { Ok(value) }
}

/// errno(3) of the call that just failed.
fn last() -> Errno {
    Errno::from_io_error(&std::io::Error::last_os_error()).unwrap_or(Errno::INVAL)
}
