//! Where the master of a container's terminal goes.

use std::ffi::CStr;
use std::io::{IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::path::PathBuf;

use anyhow::{Context, Result, bail};
use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage,
    SendFlags, SocketFlags, SocketType, recvmsg, sendmsg, socketpair,
};

use super::create::connect;
use super::options::CreateOptions;
use crate::error::Attempt;
use crate::spec::{Process, Spec};

/// The caller's socket, connected, for a container that outlives the command.
pub(super) fn for_detached(options: &CreateOptions, spec: &Spec) -> Result<Option<OwnedFd>> {
    check_detached(spec.process.as_ref(), options.console_socket.is_some())?;
    options.console_socket.as_ref().map(|path| connect(path, "the console socket")).transpose()
}

/// A terminal needs somebody who relays it; who relays needs a terminal.
pub(super) fn check_detached(process: Option<&Process>, has_socket: bool) -> Result<()> {
    match (process.is_some_and(|process| process.terminal), has_socket) {
        (true, false) => bail!(
            "process.terminal: cannot allocate tty if corten will detach without setting console socket (--console-socket)"
        ),
        (false, true) => {
            bail!(
                "--console-socket: cannot use console socket if corten will not detach or allocate tty (process.terminal)"
            )
        }
        _ => Ok(()),
    }
}

/// A pair for a terminal that this process relays itself: the container's side, and ours.
pub(super) fn own() -> Result<(OwnedFd, OwnedFd)> {
    socketpair(AddressFamily::UNIX, SocketType::STREAM, SocketFlags::CLOEXEC, None).attempt(|| "make a socket pair")
}

/// Sends one descriptor with a word, as engines expect it of console and pidfd sockets.
pub(super) fn send(path: &PathBuf, word: &CStr, descriptor: BorrowedFd<'_>) -> Result<()> {
    let socket = connect(path, "the pidfd socket")?;
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    let descriptors = [descriptor];
    control.push(SendAncillaryMessage::ScmRights(&descriptors));
    sendmsg(&socket, &[IoSlice::new(word.to_bytes())], &mut control, SendFlags::NOSIGNAL)
        .attempt(|| format!("send a descriptor to {path:?}"))
        .map(drop)
}

/// Takes the master that init sent.
pub(super) fn receive(socket: &OwnedFd) -> Result<OwnedFd> {
    let mut name = [0; 4096];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    recvmsg(socket, &mut [IoSliceMut::new(&mut name)], &mut control, RecvFlags::CMSG_CLOEXEC)
        .attempt(|| "receive the container's terminal")?;
    control
        .drain()
        .find_map(|message| match message {
            RecvAncillaryMessage::ScmRights(mut descriptors) => descriptors.next(),
            _ => None,
        })
        .context("init sent no terminal")
}
