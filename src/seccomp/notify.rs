//! The agent that answers for a container's system calls: how it gets the listening descriptor.
//!
//! config-linux.md, "The Container Process State": one connection for each process, the state as JSON, the descriptor
//! with its first byte.

use std::io::IoSlice;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use rustix::io::Errno;
use rustix::net::{self, SendAncillaryBuffer, SendAncillaryMessage, SendFlags};
use serde::Serialize;

use super::Listener;
use crate::error::Attempt;

/// How long an agent may keep a container's start waiting: to be connected to, to read, to answer for init's own calls.
pub(crate) const PATIENCE: Duration = Duration::from_secs(10);

/// What an agent is told of a process.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ContainerProcessState<'a, S> {
    oci_version: &'a str,
    /// What each descriptor is, in their order.
    fds: [&'a str; 1],
    /// The process, as this program sees it.
    pid: i32,
    #[serde(skip_serializing_if = "Option::is_none")]
    metadata: Option<&'a str>,
    state: &'a S,
}

impl Listener {
    /// Hands a process's listening descriptor to the agent.
    ///
    /// `state` is the container's state as `corten state` prints it, "creating" for its first process and "running" for
    /// an exec; `pid` is that process. An agent that does not take it in time is an error, which names the rule.
    pub fn announce<S: Serialize>(
        &self,
        oci_version: &str,
        pid: i32,
        state: &S,
        listening: BorrowedFd<'_>,
    ) -> Result<()> {
        let metadata = self.metadata.as_deref();
        let message = ContainerProcessState { oci_version, fds: ["seccompFd"], pid, metadata, state };
        let message = serde_json::to_vec(&message).context("word the container process state")?;
        deliver(&self.path, &message, listening, PATIENCE)
            .with_context(|| format!("linux.seccomp.syscalls[{}]", self.rule))
    }

    /// What to say of an agent that got the descriptor and does not answer.
    pub fn silent(&self) -> anyhow::Error {
        let Listener { path, rule, .. } = self;
        anyhow::anyhow!(
            "linux.seccomp.syscalls[{rule}]: the seccomp agent at {path:?} does not answer: connection timed out"
        )
    }
}

fn deliver(path: &Path, message: &[u8], listening: BorrowedFd<'_>, patience: Duration) -> Result<()> {
    let deadline = Instant::now() + patience;
    let agent = connect(path, deadline).attempt(|| format!("connect to the seccomp agent at {path:?}"))?;
    send(&agent, message, listening, deadline).attempt(|| format!("send the listener to the seccomp agent at {path:?}"))
}

fn connect(path: &Path, deadline: Instant) -> rustix::io::Result<OwnedFd> {
    let address = net::SocketAddrUnix::new(path)?;
    let agent = net::socket_with(net::AddressFamily::UNIX, net::SocketType::STREAM, net::SocketFlags::CLOEXEC, None)?;
    // A full queue of connections keeps connect(2) waiting as long as SO_SNDTIMEO says (unix(7), socket(7)).
    within(&agent, deadline, || net::connect(&agent, &address))?;
    Ok(agent)
}

fn send(agent: &OwnedFd, message: &[u8], listening: BorrowedFd<'_>, deadline: Instant) -> rustix::io::Result<()> {
    let descriptors = [listening.as_fd()];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    // The space was measured for this one message.
    let _ = control.push(SendAncillaryMessage::ScmRights(&descriptors));
    let whole = [IoSlice::new(message)];
    let sent = within(agent, deadline, || net::sendmsg(agent, &whole, &mut control, SendFlags::NOSIGNAL))?;
    let mut rest = &message[sent..];
    // A signal may have ended the first call halfway. The descriptor is through with its first byte.
    while !rest.is_empty() {
        let sent = within(agent, deadline, || net::send(agent, rest, SendFlags::NOSIGNAL))?;
        rest = &rest[sent..];
    }
    Ok(())
}

/// Makes a call that waits until the deadline and no longer.
fn within<T>(
    socket: &OwnedFd,
    deadline: Instant,
    mut call: impl FnMut() -> rustix::io::Result<T>,
) -> rustix::io::Result<T> {
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(Errno::TIMEDOUT);
        }
        net::sockopt::set_socket_timeout(socket, net::sockopt::Timeout::Send, Some(left))?;
        match call() {
            Err(Errno::INTR | Errno::AGAIN) => {}
            answer => return answer,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::os::unix::net::{UnixListener, UnixStream};

    use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags};
    use serde_json::{Value, json};

    use super::*;
    use crate::error::sentence;

    /// A directory of its own for a test's socket.
    struct Place(std::path::PathBuf);

    impl Place {
        fn new(name: &str) -> Self {
            let path = std::env::temp_dir().join(format!("corten-notify-{}-{name}", std::process::id()));
            std::fs::create_dir(&path).unwrap();
            Self(path)
        }

        fn socket(&self) -> std::path::PathBuf {
            self.0.join("agent.sock")
        }
    }

    impl Drop for Place {
        fn drop(&mut self) {
            let _ = std::fs::remove_dir_all(&self.0);
        }
    }

    /// Takes one announcement: its text, and each descriptor with the place in the text that it came with.
    fn receive(stream: &UnixStream) -> (Value, Vec<(usize, OwnedFd)>) {
        let (mut text, mut descriptors) = (Vec::new(), Vec::new());
        loop {
            let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(4))];
            let mut control = RecvAncillaryBuffer::new(&mut space);
            let mut part = [0; 4096];
            let mut buffers = [std::io::IoSliceMut::new(&mut part)];
            let length = net::recvmsg(stream, &mut buffers, &mut control, RecvFlags::empty()).unwrap().bytes;
            for message in control.drain() {
                if let RecvAncillaryMessage::ScmRights(received) = message {
                    descriptors.extend(received.map(|descriptor| (text.len(), descriptor)));
                }
            }
            text.extend(&part[..length]);
            if length == 0 {
                return (serde_json::from_slice(&text).unwrap(), descriptors);
            }
        }
    }

    #[test]
    fn the_agent_gets_the_state_and_the_descriptor() {
        let place = Place::new("state");
        let agent = UnixListener::bind(place.socket()).unwrap();
        let (mut reader, writer) = std::io::pipe().unwrap();
        // Longer than a socket's buffer, so that it takes several messages.
        let state = json!({"id": "c", "annotations": {"long": "x".repeat(1 << 20)}});
        let listener = Listener { path: place.socket(), metadata: Some("m".into()), rule: 0 };
        let announced = state.clone();
        let runtime = std::thread::spawn(move || listener.announce("1.3.0", 4422, &announced, writer.as_fd()));
        let (text, descriptors) = receive(&agent.accept().unwrap().0);
        runtime.join().unwrap().unwrap();
        let expected =
            json!({"ociVersion": "1.3.0", "fds": ["seccompFd"], "pid": 4422, "metadata": "m", "state": state});
        assert_eq!(text, expected);
        let [(0, descriptor)] = <[_; 1]>::try_from(descriptors).unwrap() else { panic!("not with the first byte") };
        std::fs::File::from(descriptor).write_all(b"!").unwrap();
        let mut byte = [0];
        reader.read_exact(&mut byte).unwrap();
        assert_eq!(byte, *b"!");
    }

    #[test]
    fn an_agent_that_is_not_there_is_an_error() {
        let place = Place::new("missing");
        let listener = Listener { path: place.socket(), metadata: None, rule: 7 };
        let error = listener.announce("1.3.0", 1, &json!({}), std::io::stdin().as_fd()).unwrap_err();
        let expected = format!(
            "linux.seccomp.syscalls[7]: connect to the seccomp agent at {:?}: no such file or directory",
            place.socket()
        );
        assert_eq!(sentence(&error), expected);
        drop(UnixListener::bind(place.socket()).unwrap());
        let error = listener.announce("1.3.0", 1, &json!({}), std::io::stdin().as_fd()).unwrap_err();
        assert_eq!(crate::error::errno(&error), Some(Errno::CONNREFUSED));
    }

    #[test]
    fn an_agent_that_closes_is_an_error() {
        let place = Place::new("closes");
        let agent = UnixListener::bind(place.socket()).unwrap();
        let closing = std::thread::spawn(move || drop(agent.accept().unwrap()));
        let message = vec![b' '; 8 << 20];
        let error = deliver(&place.socket(), &message, std::io::stdin().as_fd(), PATIENCE).unwrap_err();
        closing.join().unwrap();
        // ECONNRESET where something was still unread.
        assert!(matches!(crate::error::errno(&error), Some(Errno::PIPE | Errno::CONNRESET)), "{error:#}");
    }

    #[test]
    fn an_agent_that_does_not_read_is_an_error_in_time() {
        let place = Place::new("slow");
        let _agent = UnixListener::bind(place.socket()).unwrap();
        let message = vec![b' '; 8 << 20];
        let patience = Duration::from_millis(20);
        let error = deliver(&place.socket(), &message, std::io::stdin().as_fd(), patience).unwrap_err();
        assert!(sentence(&error).ends_with("agent.sock\": connection timed out"), "{error:#}");
    }

    #[test]
    fn an_agent_that_does_not_accept_is_an_error_in_time() {
        let place = Place::new("full");
        let address = net::SocketAddrUnix::new(place.socket()).unwrap();
        let agent = net::socket(net::AddressFamily::UNIX, net::SocketType::STREAM, None).unwrap();
        net::bind(&agent, &address).unwrap();
        net::listen(&agent, 0).unwrap();
        let _first = UnixStream::connect(place.socket()).unwrap();
        let patience = Duration::from_millis(20);
        let error = deliver(&place.socket(), b"{}", std::io::stdin().as_fd(), patience).unwrap_err();
        assert!(sentence(&error).starts_with("connect to the seccomp agent"), "{error:#}");
        assert_eq!(crate::error::errno(&error), Some(Errno::TIMEDOUT));
    }
}
