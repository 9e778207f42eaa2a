//! Handles: which file it is, whatever it is called (name_to_handle_at(2), open_by_handle_at(2)).

use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

use rustix::io::{Errno, Result};

use super::check;

/// MAX_HANDLE_SZ.
const LARGEST: usize = 128;

/// The kernel's `struct file_handle`, with room for what any file system has to say.
#[repr(C)]
struct Raw {
    length: u32,
    kind: i32,
    bytes: [u8; LARGEST],
}

/// A file of a file system that is known otherwise.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Handle {
    /// The file system's word for how the bytes are to be read.
    pub kind: i32,
    /// The number of the inode and its generation, mostly.
    pub bytes: Vec<u8>,
}

/// That of an open file.
pub fn of(file: BorrowedFd<'_>) -> Result<Handle> {
    let mut raw = Raw { length: LARGEST as u32, kind: 0, bytes: [0; LARGEST] };
    let mut mount: libc::c_int = 0;
    // SAFETY: an empty string, a structure that says how much room it has, and a number to be written; all outlive the call.
    check(unsafe {
        libc::syscall(
            libc::SYS_name_to_handle_at,
            file.as_raw_fd(),
            c"".as_ptr(),
            &raw mut raw,
            &raw mut mount,
            libc::AT_EMPTY_PATH,
        )
    })?;
    let bytes = raw.bytes.get(..raw.length as usize).ok_or(Errno::OVERFLOW)?;
    Ok(Handle { kind: raw.kind, bytes: bytes.to_vec() })
}

/// Opens a file of the file system that another one is in, for nothing but to see that it is there; ESTALE where it is not any more.
pub fn open(other: BorrowedFd<'_>, handle: &Handle) -> Result<OwnedFd> {
    let mut raw = Raw { length: handle.bytes.len() as u32, kind: handle.kind, bytes: [0; LARGEST] };
    raw.bytes.get_mut(..handle.bytes.len()).ok_or(Errno::INVAL)?.copy_from_slice(&handle.bytes);
    let flags = libc::O_PATH | libc::O_CLOEXEC;
    // SAFETY: a structure that says how many of its bytes count, and outlives the call.
    let raw = check(unsafe { libc::syscall(libc::SYS_open_by_handle_at, other.as_raw_fd(), &raw const raw, flags) })?;
    // SAFETY: the kernel has just made it, and nothing else owns it.
    Ok(unsafe { OwnedFd::from_raw_fd(raw as i32) })
}

#[cfg(test)]
mod tests {
    use std::os::fd::AsFd;

    use super::*;

    #[test]
    fn a_handle_of_too_many_bytes_is_refused() {
        let here = std::fs::File::open("/proc/self").unwrap();
        assert_eq!(open(here.as_fd(), &Handle { kind: 1, bytes: vec![0; LARGEST + 1] }).unwrap_err(), Errno::INVAL);
    }
}
