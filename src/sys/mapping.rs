//! mmap(2), of a file that is to stay open without a descriptor.

use std::ffi::c_void;
use std::os::fd::{AsRawFd, OwnedFd};

use rustix::io::Result;

use super::{check, last};

/// The part that is mapped: the kernel makes a page of it.
const LENGTH: usize = 1;

/// A file that is open as long as the value lives, in this process alone: a process that is made as a copy of it inherits all descriptors,
/// and with them what belongs to the open file, such as a lock of flock(2), but not this (MADV_DONTFORK).
#[derive(Debug)]
pub struct Kept(*mut c_void);

impl Kept {
    /// Keeps a file, which has to be open for reading.
    pub fn new(file: OwnedFd) -> Result<Kept> {
        // SAFETY: a new mapping at an address of the kernel's choice, which nobody reads or writes.
        let address =
            unsafe { libc::mmap(std::ptr::null_mut(), LENGTH, libc::PROT_NONE, libc::MAP_SHARED, file.as_raw_fd(), 0) };
        if address == libc::MAP_FAILED {
            return Err(last());
        }
        let kept = Kept(address);
        // SAFETY: the mapping is this value's own.
        check(unsafe { libc::madvise(kept.0, LENGTH, libc::MADV_DONTFORK) }.into())?;
        Ok(kept)
    }
}

impl Drop for Kept {
    fn drop(&mut self) {
        // SAFETY: the mapping is this value's own, and nothing points into it.
        unsafe { libc::munmap(self.0, LENGTH) };
    }
}
