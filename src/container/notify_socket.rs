//! NOTIFY_SOCKET: a program in the container tells systemd that it is ready (sd_notify(3)).
//!
//! The container gets a socket of its own at `/run/notify/notify.sock`; of what comes there only `READY=1` is passed on, with the
//! container's pid: the host's manager must not take orders from an image.

use std::ffi::OsString;
use std::io::IoSlice;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::UnixDatagram;
use std::path::Path;

use anyhow::Result;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags, SocketAddrUnix, sendmsg_addr};
use rustix::pipe::{PipeFlags, pipe_with};

use crate::error::Attempt;
use crate::sys::clone::Child;

/// The manager's socket, if the caller has one.
pub(super) fn asked() -> Option<OsString> {
    std::env::var_os("NOTIFY_SOCKET").filter(|path| !path.is_empty())
}

/// The directory that is mounted into the container.
pub(super) fn make_directory(state: &Path) -> Result<()> {
    let path = state.join("notify");
    std::fs::create_dir(&path).attempt(|| format!("make directory {path:?}"))?;
    let open_to_all = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    std::fs::set_permissions(&path, open_to_all).attempt(|| format!("set the permissions of {path:?}"))
}

/// The container's socket, waiting for its word.
pub(super) struct Listening {
    socket: UnixDatagram,
    manager: OsString,
}

/// Listens, if the caller has a manager and the container was made with a socket.
pub(super) fn listen(state: &Path) -> Result<Option<Listening>> {
    let Some(manager) = asked() else { return Ok(None) };
    let path = state.join("notify/notify.sock");
    if !state.join("notify").is_dir() {
        return Ok(None);
    }
    let socket = UnixDatagram::bind(&path).attempt(|| format!("bind {path:?}"))?;
    let open_to_all = std::os::unix::fs::PermissionsExt::from_mode(0o777);
    std::fs::set_permissions(&path, open_to_all).attempt(|| format!("set the permissions of {path:?}"))?;
    Ok(Some(Listening { socket, manager }))
}

impl Listening {
    /// Waits for `READY=1` and passes it on, or for the container's end. For a caller that ends now: the manager must have read the
    /// messages by then, or it could not tell whose they were (sd_notify_barrier(3)).
    pub(super) fn forward_until_ready(&self, init: &Child) -> Result<()> {
        loop {
            let mut ready = [PollFd::new(&self.socket, PollFlags::IN), PollFd::new(&init.pidfd, PollFlags::IN)];
            match poll(&mut ready, None) {
                Ok(_) => {}
                Err(Errno::INTR) => continue,
                Err(error) => return Err(error).attempt(|| "wait for the container's notification"),
            }
            if ready[0].revents().contains(PollFlags::IN) {
                if self.forward(init)? {
                    return self.await_manager();
                }
            } else if !ready[1].revents().is_empty() {
                return Ok(());
            }
        }
    }

    /// Where the container's messages come.
    pub(super) fn socket(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }

    /// Takes one message, and says whether it was `READY=1` and the manager was told.
    pub(super) fn forward(&self, init: &Child) -> Result<bool> {
        let mut text = [0; 4096];
        let length = self.socket.recv(&mut text).attempt(|| "read the container's notification")?;
        if !text[..length].split(|byte| *byte == b'\n').any(|line| line == b"READY=1") {
            return Ok(false);
        }
        let text = format!("READY=1\nMAINPID={}", init.pid.as_raw_nonzero());
        self.tell(text.as_bytes(), None).map(|()| true)
    }

    /// Until the manager has closed the descriptor of a message, and so has read those before; one that leaves it open is not waited
    /// for without end.
    fn await_manager(&self) -> Result<()> {
        const PATIENCE: Timespec = Timespec { tv_sec: 30, tv_nsec: 0 };
        let (closed, open) = pipe_with(PipeFlags::CLOEXEC).attempt(|| "make a pipe")?;
        self.tell(b"BARRIER=1", Some(open.as_fd()))?;
        drop(open);
        loop {
            match poll(&mut [PollFd::new(&closed, PollFlags::empty())], Some(&PATIENCE)) {
                Err(Errno::INTR) => {}
                result => return result.attempt(|| "wait for the service manager").map(drop),
            }
        }
    }

    fn tell(&self, text: &[u8], descriptor: Option<BorrowedFd<'_>>) -> Result<()> {
        let name = self.manager.as_bytes();
        let address = match name.strip_prefix(b"@") {
            Some(name) => SocketAddrUnix::new_abstract_name(name),
            None => SocketAddrUnix::new(&self.manager),
        };
        let address = address.attempt(|| format!("read NOTIFY_SOCKET {:?}", self.manager))?;
        let socket = UnixDatagram::unbound().attempt(|| "make a socket")?;
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let mut control = SendAncillaryBuffer::new(&mut space);
        let descriptors: Vec<BorrowedFd<'_>> = descriptor.into_iter().collect();
        if !descriptors.is_empty() {
            control.push(SendAncillaryMessage::ScmRights(&descriptors));
        }
        sendmsg_addr(&socket, &address, &[IoSlice::new(text)], &mut control, SendFlags::NOSIGNAL)
            .attempt(|| format!("notify {:?}", self.manager))
            .map(drop)
    }
}
