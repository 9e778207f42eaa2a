//! Sockets: what rustix has no type for.

use std::os::fd::{AsRawFd, BorrowedFd};

use rustix::io::Result;

use super::check;

/// The process that a connected socket's other end belongs to, as it was when it began to listen (unix(7), SO_PEERCRED); 0 is one that has
/// no number here, for its pid namespace is another, which rustix's type can't say.
pub fn peer(socket: BorrowedFd<'_>) -> Result<i32> {
    let mut peer = libc::ucred { pid: 0, uid: 0, gid: 0 };
    let mut length = size_of::<libc::ucred>() as libc::socklen_t;
    // SAFETY: the kernel writes at most `length` bytes, which is the structure's own size, and any bytes are numbers.
    let done = unsafe {
        let (level, name) = (libc::SOL_SOCKET, libc::SO_PEERCRED);
        libc::getsockopt(socket.as_raw_fd(), level, name, (&raw mut peer).cast(), &raw mut length)
    };
    check(done.into()).map(|_| peer.pid)
}

#[cfg(test)]
mod tests {
    use std::os::fd::AsFd;
    use std::os::unix::net::UnixStream;

    use super::*;

    #[test]
    fn the_other_end_of_a_pair_is_this_process() {
        let (one, _other) = UnixStream::pair().unwrap();
        assert_eq!(peer(one.as_fd()), Ok(std::process::id().cast_signed()));
    }
}
