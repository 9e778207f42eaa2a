//! What is said between a container's monitor and those who attach, wait or stop.
//!
//! One packet of a SOCK_SEQPACKET socket is one message, whose first byte says what it is: no packet is ever half there, so neither
//! side keeps a buffer of unfinished messages. Whoever starts a monitor gives it one end of a pair and is its first client; others
//! connect to `RUN/ID/socket`.

use std::io::IoSlice;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use rustix::net::{
    AddressFamily, RecvFlags, SendAncillaryBuffer, SendFlags, SocketAddrUnix, SocketFlags, SocketType, connect, recv,
    sendmsg, socket_with, socketpair,
};
use serde::{Deserialize, Serialize};

use crate::error::Attempt;

/// Bytes of a stream in one packet.
pub const CHUNK: usize = 32 << 10;

/// The socket in a container's directory below `/run`.
pub const SOCKET: &str = "socket";

/// From a client.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Request {
    /// Show me these streams from now on, and the end.
    Attach(Streams),
    /// Tell me of the end.
    Wait,
    /// For the program to read.
    Input(Vec<u8>),
    /// There is no more to read.
    InputEnd,
    /// Rows and columns of the terminal.
    Resize(u16, u16),
    /// A signal for the program.
    Kill(i32),
    /// A signal, and after so many milliseconds SIGKILL; none waits for ever. The container is not started again.
    Stop(i32, Option<u64>),
    /// The same, and a start after it: who asks is told of that.
    Restart(i32, Option<u64>),
    /// The record or the networks were changed.
    Reload,
}

/// Which streams.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Streams {
    /// What is sent may be read by the program.
    pub stdin: bool,
    /// Its output.
    pub stdout: bool,
    /// Its errors.
    pub stderr: bool,
}

/// From the monitor.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Notice {
    /// The program runs.
    Started,
    /// It could not be started: the exit status for that, and the sentence.
    Failed(u8, String),
    /// It wrote to stdout, or to its terminal.
    Output(Vec<u8>),
    /// It wrote to stderr.
    Errors(Vec<u8>),
    /// It ended with this status, and what the container had of the host is given back.
    Ended(u8),
    /// What was changed is known now.
    Reloaded,
    /// Something that should be known.
    Warning(String),
}

/// The address of the socket in a directory, which stays valid as long as the directory's descriptor is open: the path as it is may be
/// longer than the 107 bytes that an address has room for (unix(7)).
pub(super) fn address(directory: &Path) -> Result<(OwnedFd, SocketAddrUnix), Errno> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let directory = rustix::fs::open(directory, flags, Mode::empty())?;
    let address = SocketAddrUnix::new(format!("/proc/self/fd/{}/{SOCKET}", directory.as_raw_fd()))?;
    Ok((directory, address))
}

/// A connection.
#[derive(Debug)]
pub struct Channel(OwnedFd);

/// A packet that the other side has no room for now.
#[derive(Debug, PartialEq, Eq)]
pub enum Sent {
    /// It went.
    Yes,
    /// Later.
    Full,
    /// Nobody is there.
    Gone,
}

impl Channel {
    /// Two ends.
    pub fn pair() -> Result<(Channel, OwnedFd)> {
        let (ours, theirs) = socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None)
            .attempt(|| "make a socket pair")?;
        Ok((Channel(ours), theirs))
    }

    /// An end that was given.
    pub fn of(descriptor: OwnedFd) -> Channel {
        Channel(descriptor)
    }

    /// Connects to a monitor; none where nobody listens.
    pub fn connect(directory: &Path) -> Result<Option<Channel>> {
        let path = directory.join(SOCKET);
        let socket = socket_with(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None)
            .attempt(|| "make a socket")?;
        let (_directory, address) = match address(directory) {
            Err(Errno::NOENT) => return Ok(None),
            address => address.attempt(|| format!("connect to {path:?}"))?,
        };
        match connect(&socket, &address) {
            Ok(()) => Ok(Some(Channel(socket))),
            Err(Errno::NOENT | Errno::CONNREFUSED) => Ok(None),
            Err(error) => Err(error).attempt(|| format!("connect to {path:?}")),
        }
    }

    fn send(&self, kind: u8, content: &[u8], flags: SendFlags) -> Result<Sent, Errno> {
        let parts = [IoSlice::new(std::slice::from_ref(&kind)), IoSlice::new(content)];
        loop {
            return match sendmsg(&self.0, &parts, &mut SendAncillaryBuffer::default(), SendFlags::NOSIGNAL | flags) {
                Ok(_) => Ok(Sent::Yes),
                Err(Errno::INTR) => continue,
                Err(Errno::AGAIN) => Ok(Sent::Full),
                Err(Errno::PIPE | Errno::CONNRESET | Errno::NOTCONN) => Ok(Sent::Gone),
                Err(error) => Err(error),
            };
        }
    }

    /// Tells a monitor, and waits while it has no room. False if it is gone.
    pub fn request(&self, request: &Request) -> Result<bool> {
        let (kind, content) = request.packet();
        let sent = self.send(kind, &content, SendFlags::empty()).attempt(|| "speak to the container's monitor")?;
        Ok(sent == Sent::Yes)
    }

    /// Tells a client, which is not waited for.
    pub fn notify(&self, notice: &Notice) -> Sent {
        let (kind, content) = notice.packet();
        self.notify_with(kind, &content)
    }

    /// As [`Channel::notify`], of bytes that are somewhere already.
    pub fn output(&self, is_stderr: bool, bytes: &[u8]) -> Sent {
        self.notify_with(if is_stderr { b'e' } else { b'o' }, bytes)
    }

    fn notify_with(&self, kind: u8, content: &[u8]) -> Sent {
        self.send(kind, content, SendFlags::DONTWAIT).unwrap_or(Sent::Gone)
    }

    fn receive(&self, buffer: &mut [u8], flags: RecvFlags) -> Result<Option<usize>, Errno> {
        loop {
            return match recv(&self.0, &mut *buffer, flags) {
                Ok((0, _)) => Ok(None),
                Ok((length, _)) => Ok(Some(length)),
                // The other side closed without having read all. It is said once, before what that side had still sent.
                Err(Errno::INTR | Errno::CONNRESET) => continue,
                Err(error) => Err(error),
            };
        }
    }

    /// What a client wants; none once it is gone.
    pub fn next_request(&self, buffer: &mut [u8]) -> Result<Option<Request>> {
        let length = self.receive(buffer, RecvFlags::DONTWAIT).attempt(|| "hear a client")?;
        length.map(|length| Request::read(&buffer[..length])).transpose()
    }

    /// What the monitor says; none once it is gone.
    pub fn next_notice(&self, buffer: &mut [u8]) -> Result<Option<Notice>> {
        let length = self.receive(buffer, RecvFlags::empty()).attempt(|| "hear the container's monitor")?;
        length.map(|length| Notice::read(&buffer[..length])).transpose()
    }

    /// Has the monitor look again at what was changed, and waits until it has; warnings are its own.
    pub fn reload(&self, warn: impl Fn(&str)) -> Result<()> {
        let mut buffer = vec![0; CHUNK + 1];
        let mut waits = self.request(&Request::Reload)?;
        while waits {
            match self.next_notice(&mut buffer)? {
                Some(Notice::Warning(text)) => warn(&text),
                Some(Notice::Reloaded) | None => waits = false,
                Some(_) => {}
            }
        }
        Ok(())
    }

    /// Waits for the end, whatever else is said; none if the monitor is killed before.
    pub fn ended(&self) -> Result<Option<u8>> {
        let mut buffer = vec![0; CHUNK + 1];
        while let Some(notice) = self.next_notice(&mut buffer)? {
            if let Notice::Ended(status) = notice {
                return Ok(Some(status));
            }
        }
        Ok(None)
    }

    /// The same, for no longer than that: whether it has ended, or the monitor is gone.
    pub(super) fn ends_within(&self, patience: Duration) -> Result<bool> {
        let until = Instant::now() + patience;
        let mut buffer = vec![0; CHUNK + 1];
        loop {
            let left = Timespec::try_from(until.saturating_duration_since(Instant::now())).ok();
            match poll(&mut [PollFd::new(self, PollFlags::IN)], left.as_ref()) {
                Ok(0) => return Ok(false),
                Err(Errno::INTR) => continue,
                waited => waited.attempt(|| "wait for the container's monitor")?,
            };
            if matches!(self.next_notice(&mut buffer)?, None | Some(Notice::Ended(_))) {
                return Ok(true);
            }
        }
    }
}

impl AsFd for Channel {
    fn as_fd(&self) -> std::os::fd::BorrowedFd<'_> {
        self.0.as_fd()
    }
}

fn stop(signal: i32, patience: Option<u64>) -> Vec<u8> {
    [&signal.to_le_bytes()[..], &patience.unwrap_or(u64::MAX).to_le_bytes()[..]].concat()
}

impl Request {
    fn packet(&self) -> (u8, Vec<u8>) {
        match self {
            Request::Attach(streams) => {
                (b'A', vec![streams.stdin.into(), streams.stdout.into(), streams.stderr.into()])
            }
            Request::Wait => (b'W', Vec::new()),
            Request::Input(bytes) => (b'I', bytes.clone()),
            Request::InputEnd => (b'E', Vec::new()),
            Request::Resize(rows, columns) => (b'R', [rows.to_le_bytes(), columns.to_le_bytes()].concat()),
            Request::Kill(signal) => (b'K', signal.to_le_bytes().to_vec()),
            Request::Stop(signal, patience) => (b'S', stop(*signal, *patience)),
            Request::Restart(signal, patience) => (b'T', stop(*signal, *patience)),
            Request::Reload => (b'L', Vec::new()),
        }
    }

    fn read(packet: &[u8]) -> Result<Request> {
        let (kind, content) = packet.split_first().context("an empty packet")?;
        let number = |at: usize| -> Result<i32> {
            let bytes = content.get(at..at + 4).context("a short packet")?;
            Ok(i32::from_le_bytes(bytes.try_into()?))
        };
        Ok(match kind {
            b'A' => {
                let flag = |at: usize| content.get(at).is_some_and(|byte| *byte != 0);
                Request::Attach(Streams { stdin: flag(0), stdout: flag(1), stderr: flag(2) })
            }
            b'W' => Request::Wait,
            b'I' => Request::Input(content.to_vec()),
            b'E' => Request::InputEnd,
            b'R' => {
                let both = number(0)?.to_le_bytes();
                Request::Resize(u16::from_le_bytes([both[0], both[1]]), u16::from_le_bytes([both[2], both[3]]))
            }
            b'K' => Request::Kill(number(0)?),
            b'S' | b'T' => {
                let patience = u64::from_le_bytes(content.get(4..12).context("a short packet")?.try_into()?);
                let patience = Some(patience).filter(|patience| *patience != u64::MAX);
                let request = if *kind == b'S' { Request::Stop } else { Request::Restart };
                request(number(0)?, patience)
            }
            b'L' => Request::Reload,
            other => bail!("a packet of the unknown kind {other}"),
        })
    }
}

impl Notice {
    fn packet(&self) -> (u8, Vec<u8>) {
        match self {
            Notice::Started => (b'r', Vec::new()),
            Notice::Failed(status, text) => (b'f', [&[*status], text.as_bytes()].concat()),
            Notice::Output(bytes) => (b'o', bytes.clone()),
            Notice::Errors(bytes) => (b'e', bytes.clone()),
            Notice::Ended(status) => (b'x', vec![*status]),
            Notice::Reloaded => (b'l', Vec::new()),
            Notice::Warning(text) => (b'w', text.clone().into()),
        }
    }

    fn read(packet: &[u8]) -> Result<Notice> {
        let (kind, content) = packet.split_first().context("an empty packet")?;
        let status = || content.first().copied().context("a short packet");
        let text = |from: usize| String::from_utf8_lossy(content.get(from..).unwrap_or_default()).into_owned();
        Ok(match kind {
            b'r' => Notice::Started,
            b'f' => Notice::Failed(status()?, text(1)),
            b'o' => Notice::Output(content.to_vec()),
            b'e' => Notice::Errors(content.to_vec()),
            b'x' => Notice::Ended(status()?),
            b'l' => Notice::Reloaded,
            b'w' => Notice::Warning(text(0)),
            other => bail!("a packet of the unknown kind {other}"),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_said_is_what_is_heard() {
        let bytes = || vec![0, 255, b'\n'];
        let streams = Streams { stdin: true, stdout: false, stderr: true };
        let requests = [
            Request::Attach(streams),
            Request::Wait,
            Request::Input(bytes()),
            Request::InputEnd,
            Request::Resize(24, 65535),
            Request::Kill(9),
            Request::Stop(15, Some(10_000)),
            Request::Stop(37, None),
            Request::Restart(15, Some(10_000)),
            Request::Reload,
        ];
        for request in requests {
            let (kind, content) = request.packet();
            assert_eq!(Request::read(&[&[kind], &content[..]].concat()).unwrap(), request);
        }
        let notices = [
            Notice::Started,
            Notice::Failed(127, "no such file".into()),
            Notice::Output(bytes()),
            Notice::Errors(bytes()),
            Notice::Ended(137),
            Notice::Reloaded,
            Notice::Warning("limits".into()),
        ];
        for notice in notices {
            let (kind, content) = notice.packet();
            assert_eq!(Notice::read(&[&[kind], &content[..]].concat()).unwrap(), notice);
        }
        for broken in [&b""[..], b"?", b"K12", b"S1234", b"T1234", b"R1"] {
            assert!(Request::read(broken).is_err());
        }
    }
}
