//! Work that is done aside, in a process of its own, whose result comes back: it may enter what can't be left again, such as a network
//! namespace by an ordinary user, or be for a moment what this process is not.

use std::io::{IoSlice, IoSliceMut, Read, Write};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;

use anyhow::{Context, Result, anyhow, bail};
use rustix::io::Errno;
use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage, SendFlags,
    recvmsg, sendmsg,
};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::error::{Attempt, sentence};
use crate::sys::clone::{self, CloneFlags};
use crate::sys::execute::exit_now;

/// Descriptors that may come back.
const MOST: usize = 4;

/// What comes back: the result, or the sentence that says what failed.
type Outcome<T> = std::result::Result<T, String>;

/// Does something in a copy of this process, which ends with it. EBUSY where this process has ever had a second thread.
pub(crate) fn process<T: Serialize + DeserializeOwned>(
    work: impl FnOnce() -> Result<T>,
) -> std::result::Result<Result<T>, Errno> {
    with_descriptors(|| Ok((work()?, Vec::new()))).map(|done| done.map(|(result, _)| result))
}

/// The same, and descriptors come back as well: sockets of another namespace.
pub(crate) fn with_descriptors<T: Serialize + DeserializeOwned>(
    work: impl FnOnce() -> Result<(T, Vec<OwnedFd>)>,
) -> std::result::Result<Result<(T, Vec<OwnedFd>)>, Errno> {
    let Ok((ours, theirs)) = UnixStream::pair() else { return Err(Errno::MFILE) };
    let child = clone::process(CloneFlags::empty(), None, || {
        let told = tell(theirs.as_fd().try_clone_to_owned(), work());
        exit_now(u8::from(told.is_err()))
    })?;
    drop(theirs);
    let heard = hear::<T>(ours);
    let ended = clone::wait(child.pid);
    let heard = heard.with_context(|| match ended {
        Ok(status) if status > 128 => format!("a process of this command was killed by signal {}", status - 128),
        _ => "a process of this command failed".into(),
    });
    Ok(heard.and_then(|(outcome, descriptors)| Ok((outcome.map_err(|text| anyhow!(text))?, descriptors))))
}

/// In the copy: the descriptors go with the first byte, and the text after it.
fn tell<T: Serialize>(channel: std::io::Result<OwnedFd>, done: Result<(T, Vec<OwnedFd>)>) -> Result<()> {
    let mut channel = UnixStream::from(channel.attempt(|| "answer")?);
    let (outcome, descriptors) = match done {
        Ok((result, descriptors)) => (Ok(result), descriptors),
        Err(error) => (Err(sentence(&error)), Vec::new()),
    };
    let borrowed: Vec<_> = descriptors.iter().map(AsFd::as_fd).collect();
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MOST))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    if !borrowed.is_empty() && !control.push(SendAncillaryMessage::ScmRights(&borrowed)) {
        bail!("too many descriptors");
    }
    sendmsg(&channel, &[IoSlice::new(b" ")], &mut control, SendFlags::NOSIGNAL).attempt(|| "answer")?;
    let text = serde_json::to_vec::<Outcome<T>>(&outcome).context("write a result as JSON")?;
    channel.write_all(&text).attempt(|| "answer")
}

fn hear<T: DeserializeOwned>(mut channel: UnixStream) -> Result<(Outcome<T>, Vec<OwnedFd>)> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MOST))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let mut first = [0; 1];
    let received = rustix::io::retry_on_intr(|| {
        recvmsg(&channel, &mut [IoSliceMut::new(&mut first)], &mut control, RecvFlags::CMSG_CLOEXEC)
    });
    received.attempt(|| "hear it")?;
    let mut descriptors = Vec::new();
    for message in control.drain() {
        if let RecvAncillaryMessage::ScmRights(rights) = message {
            descriptors.extend(rights);
        }
    }
    let mut text = Vec::new();
    channel.read_to_end(&mut text).attempt(|| "hear it")?;
    Ok((serde_json::from_slice(&text).context("it ended before it was done")?, descriptors))
}

#[cfg(test)]
mod tests {
    use super::*;

    // What comes back of a copy is seen where containers run: tests of this program have threads.
    #[test]
    fn a_process_with_threads_has_no_copy() {
        assert_eq!(process(|| Ok(1)).err(), Some(Errno::BUSY));
    }

    #[test]
    fn what_was_told_is_heard() {
        let (ours, theirs) = UnixStream::pair().unwrap();
        let file = OwnedFd::from(std::fs::File::open("/dev/null").unwrap());
        tell(Ok(theirs.into()), Ok((vec!["one"], vec![file]))).unwrap();
        let (said, descriptors) = hear::<Vec<String>>(ours).unwrap();
        assert_eq!((said, descriptors.len()), (Ok(vec!["one".to_owned()]), 1));
        let (ours, theirs) = UnixStream::pair().unwrap();
        tell::<()>(Ok(theirs.into()), Err(anyhow!("no").context("do it"))).unwrap();
        assert_eq!(hear::<()>(ours).unwrap().0, Err("do it: no".into()));
        let (ours, _) = UnixStream::pair().unwrap();
        assert!(sentence(&hear::<()>(ours).unwrap_err()).contains("before it was done"));
    }
}
