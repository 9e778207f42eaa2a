//! Questions that come in datagrams, and those that are asked further.

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::os::fd::BorrowedFd;
use std::time::Instant;

use rustix::event::PollFlags;

use super::packet::{DATAGRAM, Question, SERVER_FAILURE};
use super::{Directory, PATIENCE, Verdict, readable};

/// Questions that wait for others' answers at a time; further ones are not taken.
const MOST: usize = 128;
/// The most that comes in one (RFC 6891 leaves it open; a datagram has no more).
const LARGEST: usize = 65535;

#[derive(Debug)]
pub(super) struct Datagrams {
    socket: UdpSocket,
    waiting: Vec<Waiting>,
}

/// A question that somebody else was asked. Each has a socket of its own, whose port nobody can guess.
#[derive(Debug)]
struct Waiting {
    socket: UdpSocket,
    asker: SocketAddr,
    question: Question,
    bytes: Vec<u8>,
    /// Who is asked next.
    servers: Vec<SocketAddr>,
    deadline: Instant,
}

impl Datagrams {
    pub(super) fn new(socket: UdpSocket) -> Datagrams {
        Datagrams { socket, waiting: Vec::new() }
    }

    pub(super) fn descriptors(&self) -> Vec<(BorrowedFd<'_>, PollFlags)> {
        [readable(&self.socket)].into_iter().chain(self.waiting.iter().map(|one| readable(&one.socket))).collect()
    }

    pub(super) fn deadline(&self) -> Option<Instant> {
        self.waiting.iter().map(|one| one.deadline).min()
    }

    pub(super) fn serve(&mut self, directory: &mut Directory) {
        let mut buffer = vec![0; LARGEST];
        // Some at a time, so that others have their turn.
        for _ in 0..MOST {
            let Ok((length, asker)) = self.socket.recv_from(&mut buffer) else { break };
            match directory.decide(&buffer[..length], DATAGRAM) {
                // Who asks too fast loses answers, as on a wire.
                Verdict::Answer(answer) => drop(self.socket.send_to(&answer, asker)),
                Verdict::Ask(question, servers) => self.ask(asker, question, &buffer[..length], servers),
                Verdict::Nothing => {}
            }
        }
        let waiting = std::mem::take(&mut self.waiting);
        self.waiting = waiting.into_iter().filter_map(|one| one.step(&self.socket, &mut buffer)).collect();
    }

    fn ask(&mut self, asker: SocketAddr, question: Question, bytes: &[u8], servers: Vec<SocketAddr>) {
        if self.waiting.len() < MOST {
            let next = Waiting::ask(asker, question, bytes.to_vec(), servers);
            self.waiting
                .extend(next.or_else(|answer| self.socket.send_to(&answer, asker).map(|_| None)).ok().flatten());
        }
    }
}

impl Waiting {
    /// Asks the next server that can be asked; with none left, there is the answer that says so.
    fn ask(
        asker: SocketAddr,
        question: Question,
        bytes: Vec<u8>,
        mut servers: Vec<SocketAddr>,
    ) -> Result<Option<Waiting>, Vec<u8>> {
        while !servers.is_empty() {
            let patience = PATIENCE / servers.len() as u32;
            let server = servers.remove(0);
            if let Ok(socket) = send(server, &bytes) {
                return Ok(Some(Waiting {
                    socket,
                    asker,
                    question,
                    bytes,
                    servers,
                    deadline: Instant::now() + patience,
                }));
            }
        }
        Err(question.answer(SERVER_FAILURE, &[], DATAGRAM))
    }

    /// Looks for the answer; what still waits is returned.
    fn step(self, back: &UdpSocket, buffer: &mut [u8]) -> Option<Waiting> {
        loop {
            match self.socket.recv(buffer) {
                Ok(length) if self.question.is_answered_by(&buffer[..length]) => {
                    let _ = back.send_to(&buffer[..length], self.asker);
                    return None;
                }
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock && Instant::now() < self.deadline => {
                    return Some(self);
                }
                // Too late, or nobody is there: the next one.
                Err(_) => break,
            }
        }
        match Waiting::ask(self.asker, self.question, self.bytes, self.servers) {
            Ok(next) => next,
            Err(answer) => {
                let _ = back.send_to(&answer, self.asker);
                None
            }
        }
    }
}

fn send(server: SocketAddr, bytes: &[u8]) -> io::Result<UdpSocket> {
    let any: SocketAddr =
        if server.is_ipv4() { (Ipv4Addr::UNSPECIFIED, 0).into() } else { (Ipv6Addr::UNSPECIFIED, 0).into() };
    let socket = UdpSocket::bind(any)?;
    socket.set_nonblocking(true)?;
    socket.connect(server)?;
    socket.send(bytes)?;
    Ok(socket)
}
