//! Which of the standard streams that a caller passes on become the container's user's, who may open `/dev/stdin` and its
//! siblings by their paths.

use std::os::fd::AsFd;

use rustix::fs::{FileType, OFlags, fcntl_getfl, fstat};

/// Whether a stream stays the caller's: a device, which is its terminal, and a file that is only read, which can be any of the host's.
/// Its owner could change its mode through the descriptor, and write it.
pub(crate) fn stays_the_callers(stream: impl AsFd) -> bool {
    let Ok(status) = fstat(&stream) else { return true };
    match FileType::from_raw_mode(status.st_mode) {
        FileType::CharacterDevice | FileType::BlockDevice => true,
        FileType::RegularFile | FileType::Directory => {
            fcntl_getfl(&stream).is_ok_and(|flags| !flags.intersects(OFlags::WRONLY | OFlags::RDWR))
        }
        _ => false,
    }
}
