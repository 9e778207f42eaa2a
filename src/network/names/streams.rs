//! Questions that come in streams: each with its length in front (RFC 7766), one after the other on a connection.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::{Duration, Instant};

use rustix::event::PollFlags;
use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketFlags, SocketType, connect, socket_with};

use super::asking::Asking;
use super::packet::STREAM;
use super::{Directory, Verdict, readable};

/// Connections at a time; further ones wait in the kernel.
const MOST: usize = 16;
/// How long whoever is connected may take over a question, or an answer.
const PATIENCE: Duration = Duration::from_secs(5);

#[derive(Debug)]
pub(super) struct Streams {
    listener: TcpListener,
    connections: Vec<Connection>,
}

/// A connection, with a limit on how long it may take over each thing.
#[derive(Debug)]
struct Connection {
    stream: TcpStream,
    incoming: Vec<u8>,
    outgoing: Vec<u8>,
    asked: Option<Asked>,
    deadline: Instant,
}

/// A question that somebody else was asked, who has a limit, too.
#[derive(Debug)]
struct Asked {
    stream: TcpStream,
    asking: Asking,
    outgoing: Vec<u8>,
    incoming: Vec<u8>,
    deadline: Instant,
}

impl Streams {
    pub(super) fn new(listener: TcpListener) -> Streams {
        Streams { listener, connections: Vec::new() }
    }

    pub(super) fn descriptors(&self) -> Vec<(BorrowedFd<'_>, PollFlags)> {
        let mut all: Vec<_> = self.connections.iter().map(Connection::waits_for).collect();
        if all.len() < MOST {
            all.push(readable(&self.listener));
        }
        all
    }

    pub(super) fn deadline(&self) -> Option<Instant> {
        self.connections.iter().map(Connection::deadline).min()
    }

    pub(super) fn serve(&mut self, directory: &mut Directory) {
        while self.connections.len() < MOST {
            let Ok((stream, _)) = self.listener.accept() else { break };
            if stream.set_nonblocking(true).is_ok() {
                let deadline = Instant::now() + PATIENCE;
                let (incoming, outgoing) = Default::default();
                self.connections.push(Connection { stream, incoming, outgoing, asked: None, deadline });
            }
        }
        let is_late = |one: &Connection| one.asked.is_none() && Instant::now() >= one.deadline;
        self.connections.retain_mut(|one| !is_late(one) && one.step(directory).is_ok());
    }
}

impl Connection {
    fn waits_for(&self) -> (BorrowedFd<'_>, PollFlags) {
        match &self.asked {
            Some(asked) if !asked.outgoing.is_empty() => (asked.stream.as_fd(), PollFlags::OUT),
            Some(asked) => readable(&asked.stream),
            None if !self.outgoing.is_empty() => (self.stream.as_fd(), PollFlags::OUT),
            None => readable(&self.stream),
        }
    }

    fn deadline(&self) -> Instant {
        self.asked.as_ref().map_or(self.deadline, |asked| asked.deadline)
    }

    /// Goes on until it would have to wait; an error or the end of the stream ends the connection.
    fn step(&mut self, directory: &mut Directory) -> io::Result<()> {
        loop {
            match self.asked.take().map(Asked::step) {
                Some(Ok(asked)) => {
                    self.asked = Some(asked);
                    return Ok(());
                }
                Some(Err(answer)) => self.answer(&answer),
                None => {}
            }
            if !flush(&mut self.stream, &mut self.outgoing)? {
                return Ok(());
            }
            let Some(question) = next(&mut self.incoming) else {
                if !fill(&mut self.stream, &mut self.incoming)? {
                    return Ok(());
                }
                continue;
            };
            match directory.decide(&question, STREAM) {
                Verdict::Answer(answer) => self.answer(&answer),
                Verdict::Ask(asking) => match Asked::ask(asking) {
                    Ok(asked) => self.asked = Some(asked),
                    Err(answer) => self.answer(&answer),
                },
                // What isn't understood can't be told from what comes behind it.
                Verdict::Nothing => return Err(io::ErrorKind::InvalidData.into()),
            }
        }
    }

    fn answer(&mut self, answer: &[u8]) {
        self.outgoing.extend(framed(answer));
        self.deadline = Instant::now() + PATIENCE;
    }
}

impl Asked {
    /// Asks the next server that can be asked; with none left, there is the answer that says so.
    fn ask(mut asking: Asking) -> Result<Asked, Vec<u8>> {
        while let Some((server, deadline)) = asking.next() {
            if let Ok(stream) = start(server) {
                let outgoing = framed(&asking.bytes);
                return Ok(Asked { stream, asking, outgoing, incoming: Vec::new(), deadline });
            }
        }
        Err(asking.failure(STREAM))
    }

    /// As the error the answer, once it is there.
    fn step(mut self) -> Result<Asked, Vec<u8>> {
        loop {
            let result = match flush(&mut self.stream, &mut self.outgoing) {
                Ok(true) => fill(&mut self.stream, &mut self.incoming),
                waits => waits,
            };
            match (next(&mut self.incoming), result) {
                (Some(answer), _) if self.asking.is_answered_by(&answer) && !self.asking.is_for_others(&answer) => {
                    return Err(answer);
                }
                (None, Ok(false)) if Instant::now() < self.deadline => return Ok(self),
                (None, Ok(true)) => {}
                // It has gone, is too slow, has no answer, or talks of something else.
                (Some(_), _) | (None, _) => self = Asked::ask(self.asking)?,
            }
        }
    }
}

/// Begins a connection; that it is made shows when it can be written to.
fn start(server: SocketAddr) -> io::Result<TcpStream> {
    let family = if server.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let socket: OwnedFd = socket_with(family, SocketType::STREAM, flags, None)?;
    match connect(&socket, &server) {
        Ok(()) | Err(Errno::INPROGRESS) => Ok(socket.into()),
        Err(error) => Err(error.into()),
    }
}

fn framed(message: &[u8]) -> Vec<u8> {
    let length = message.len().min(STREAM);
    [&(length as u16).to_be_bytes()[..], &message[..length]].concat()
}

/// Takes a whole message from what has come.
fn next(incoming: &mut Vec<u8>) -> Option<Vec<u8>> {
    let length = usize::from(u16::from_be_bytes(*incoming.first_chunk()?));
    let message = incoming.get(2..2 + length)?.to_vec();
    incoming.drain(..2 + length);
    Some(message)
}

/// Writes what can be written; says whether that is all.
fn flush(stream: &mut TcpStream, outgoing: &mut Vec<u8>) -> io::Result<bool> {
    while !outgoing.is_empty() {
        match stream.write(outgoing) {
            Ok(written) => drop(outgoing.drain(..written)),
            // Not connected yet is said in the same way.
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(false),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(true)
}

/// Reads what has come, and no more than a message is long; says whether there was anything.
fn fill(stream: &mut TcpStream, incoming: &mut Vec<u8>) -> io::Result<bool> {
    let mut buffer = [0; 4096];
    loop {
        match stream.read(&mut buffer) {
            Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(length) => {
                incoming.extend(&buffer[..length]);
                return Ok(true);
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(false),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}
