//! Questions that come in datagrams, and those that are asked further.

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::os::fd::BorrowedFd;
use std::time::Instant;

use rustix::event::PollFlags;

use super::asking::Asking;
use super::packet::DATAGRAM;
use super::{Directory, Verdict, readable};

/// Questions that wait for others' answers at a time; further ones are not taken. Each has a socket, and a process usually 1024.
const MOST: usize = 512;
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
    asking: Asking,
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
                Verdict::Ask(asking) => self.ask(asker, asking),
                Verdict::Nothing => {}
            }
        }
        let waiting = std::mem::take(&mut self.waiting);
        self.waiting = waiting.into_iter().filter_map(|one| one.step(&self.socket, &mut buffer)).collect();
    }

    fn ask(&mut self, asker: SocketAddr, asking: Asking) {
        if self.waiting.len() < MOST {
            let next = Waiting::ask(asker, asking);
            self.waiting
                .extend(next.or_else(|answer| self.socket.send_to(&answer, asker).map(|_| None)).ok().flatten());
        }
    }
}

impl Waiting {
    /// Asks the next server that can be asked; with none left, there is the answer that says so.
    fn ask(asker: SocketAddr, mut asking: Asking) -> Result<Option<Waiting>, Vec<u8>> {
        while let Some((server, deadline)) = asking.next() {
            if let Ok(socket) = send(server, &asking.bytes) {
                return Ok(Some(Waiting { socket, asker, asking, deadline }));
            }
        }
        Err(asking.failure(DATAGRAM))
    }

    /// Looks for the answer; what still waits is returned.
    fn step(self, back: &UdpSocket, buffer: &mut [u8]) -> Option<Waiting> {
        loop {
            match self.socket.recv(buffer) {
                Ok(length) if !self.asking.is_answered_by(&buffer[..length]) => {}
                Ok(length) if self.asking.is_for_others(&buffer[..length]) => break,
                Ok(length) => {
                    let _ = back.send_to(&buffer[..length], self.asker);
                    return None;
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock && Instant::now() < self.deadline => {
                    return Some(self);
                }
                // Too late, or nobody is there: the next one.
                Err(_) => break,
            }
        }
        match Waiting::ask(self.asker, self.asking) {
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
