//! Reading and writing the files of a group, always from the group's directory descriptor.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

use rustix::fs::{Mode, OFlags};
use rustix::io::{Errno, Result};

/// `f_type` of a cgroup2 file system (linux/magic.h).
const CGROUP2_SUPER_MAGIC: u32 = 0x6367_7270;

/// Opens a group's directory and makes sure that it is one: whatever may have been mounted or put in its place, a value
/// is never written outside cgroup2 (`EMEDIUMTYPE` then, which nothing else here gives).
pub(super) fn directory(at: BorrowedFd<'_>, path: &Path) -> Result<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let directory = rustix::fs::openat(at, path, flags, Mode::empty())?;
    if is_cgroup2(directory.as_fd())? { Ok(directory) } else { Err(Errno::MEDIUMTYPE) }
}

pub(super) fn is_cgroup2(descriptor: BorrowedFd<'_>) -> Result<bool> {
    // The field's C type differs between architectures; the magic fits 32 bits in all of them.
    Ok(rustix::fs::fstatfs(descriptor)?.f_type as u32 == CGROUP2_SUPER_MAGIC)
}

/// Opens one file of the group for reading.
pub(super) fn open(group: BorrowedFd<'_>, name: &str) -> Result<OwnedFd> {
    rustix::fs::openat(group, name, OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC, Mode::empty())
}

/// The whole of one file.
pub(super) fn read(group: BorrowedFd<'_>, name: &str) -> Result<String> {
    read_again(open(group, name)?.as_fd())
}

/// The whole of an open file, from its start: the kernel makes the text anew at each read from offset 0.
pub(super) fn read_again(file: BorrowedFd<'_>) -> Result<String> {
    let mut text = Vec::new();
    let mut piece = [0u8; 4096];
    loop {
        match rustix::io::pread(file, &mut piece, text.len() as u64) {
            Ok(0) => return Ok(String::from_utf8_lossy(&text).into_owned()),
            Ok(count) => text.extend_from_slice(&piece[..count]),
            Err(Errno::INTR) => {}
            Err(error) => return Err(error),
        }
    }
}

/// Writes a value in one write(2): the kernel takes each write as a whole command.
pub(super) fn write(group: BorrowedFd<'_>, name: &str, value: &str) -> Result<()> {
    let file = rustix::fs::openat(group, name, OFlags::WRONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC, Mode::empty())?;
    loop {
        match rustix::io::write(&file, value.as_bytes()) {
            Ok(count) if count == value.len() => return Ok(()),
            Ok(_) => return Err(Errno::IO),
            Err(Errno::INTR) => {}
            Err(error) => return Err(error),
        }
    }
}

/// The answers of the kernel for a group that is not there (any more): opening gives the one, reading the other.
pub(super) fn is_gone(error: Errno) -> bool {
    error == Errno::NOENT || error == Errno::NODEV
}
