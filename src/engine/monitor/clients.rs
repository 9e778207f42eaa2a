//! Who is attached, waits, or wants something.

use std::collections::VecDeque;
use std::os::fd::OwnedFd;
use std::path::Path;

use anyhow::Result;
use rustix::event::{PollFd, PollFlags};
use rustix::net::{AddressFamily, SocketFlags, SocketType, accept_with, bind, listen, socket_with};

use crate::engine::protocol::{CHUNK, Channel, Notice, Request, SOCKET, Sent, Streams, address};
use crate::error::Attempt;

/// One connection.
#[derive(Debug)]
struct Client {
    channel: Channel,
    streams: Streams,
    /// What it had no room for.
    pending: VecDeque<(bool, Vec<u8>)>,
    gone: bool,
}

/// All connections, and the socket where more come.
#[derive(Debug)]
pub(super) struct Clients {
    listener: Option<OwnedFd>,
    all: Vec<Client>,
}

impl Clients {
    /// The first is whoever started the container.
    pub(super) fn new(channel: OwnedFd) -> Clients {
        let mut clients = Clients { listener: None, all: Vec::new() };
        clients.add(channel);
        clients
    }

    fn add(&mut self, channel: OwnedFd) {
        let channel = Channel::of(channel);
        self.all.push(Client { channel, streams: Streams::default(), pending: VecDeque::new(), gone: false });
    }

    /// Has others come in.
    pub(super) fn listen(&mut self, running: &Path) -> Result<()> {
        if self.listener.is_some() {
            return Ok(());
        }
        let path = running.join(SOCKET);
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let what = || format!("listen at {path:?}");
        let socket = socket_with(AddressFamily::UNIX, SocketType::SEQPACKET, flags, None).attempt(what)?;
        let (_directory, address) = address(running).attempt(what)?;
        bind(&socket, &address).and_then(|()| listen(&socket, 64)).attempt(what)?;
        self.listener = Some(socket);
        Ok(())
    }

    /// Nobody comes in any more.
    pub(super) fn close(&mut self) {
        self.listener = None;
    }

    /// Adds what is waited for. Who sends input is heard only while the container takes it.
    pub(super) fn wants<'a>(&'a self, to: &mut Vec<PollFd<'a>>, takes_input: bool) -> usize {
        if let Some(listener) = &self.listener {
            to.push(PollFd::new(listener, PollFlags::IN));
        }
        for client in &self.all {
            let input = if takes_input || !client.streams.stdin { PollFlags::IN } else { PollFlags::empty() };
            let output = if client.pending.is_empty() { PollFlags::empty() } else { PollFlags::OUT };
            to.push(PollFd::new(&client.channel, input | output));
        }
        to.len()
    }

    /// Takes what was said, and lets in who has come. Of one that went, the end of its input is told.
    pub(super) fn hear(&mut self, ready: &[PollFlags]) -> Vec<(usize, Request)> {
        let mut said = Vec::new();
        let offset = usize::from(self.listener.is_some());
        let mut buffer = Vec::new();
        for (number, client) in self.all.iter_mut().enumerate() {
            let Some(ready) = ready.get(offset + number) else { break };
            if !ready.intersects(PollFlags::IN | PollFlags::HUP | PollFlags::ERR) {
                continue;
            }
            buffer.resize(CHUNK + 1, 0);
            match client.channel.next_request(&mut buffer) {
                Ok(Some(Request::Attach(streams))) => {
                    client.streams = streams;
                    said.push((number, Request::Attach(streams)));
                }
                Ok(Some(request)) => said.push((number, request)),
                Ok(None) | Err(_) => {
                    client.gone = true;
                    if client.streams.stdin {
                        said.push((number, Request::InputEnd));
                    }
                }
            }
        }
        if offset == 1 && ready.first().is_some_and(|ready| !ready.is_empty()) {
            self.accept();
        }
        said
    }

    fn accept(&mut self) {
        while let Some(listener) = &self.listener
            && let Ok(channel) = accept_with(listener, SocketFlags::CLOEXEC)
        {
            self.add(channel);
        }
    }

    /// Shows what the container said to those who want it.
    pub(super) fn output(&mut self, is_stderr: bool, bytes: Vec<u8>) {
        for client in &mut self.all {
            let wants = if is_stderr { client.streams.stderr } else { client.streams.stdout };
            if !wants || client.gone {
                continue;
            }
            if !client.pending.is_empty() {
                client.pending.push_back((is_stderr, bytes.clone()));
                continue;
            }
            match client.channel.output(is_stderr, &bytes) {
                Sent::Yes => {}
                Sent::Full => client.pending.push_back((is_stderr, bytes.clone())),
                Sent::Gone => client.gone = true,
            }
        }
    }

    /// Sends what was waiting, and forgets who is gone.
    pub(super) fn flush(&mut self) {
        for client in &mut self.all {
            while let Some((is_stderr, bytes)) = client.pending.front() {
                match client.channel.output(*is_stderr, bytes) {
                    Sent::Yes => drop(client.pending.pop_front()),
                    Sent::Full => break,
                    Sent::Gone => {
                        client.pending.clear();
                        client.gone = true;
                    }
                }
            }
        }
        self.all.retain(|client| !client.gone);
    }

    /// Whether somebody has no room: then no more is read from the container, which waits as if the reader were its own.
    pub(super) fn are_full(&self) -> bool {
        self.all.iter().any(|client| !client.pending.is_empty())
    }

    /// Tells the one who asked.
    pub(super) fn tell(&self, who: usize, notice: &Notice) {
        if let Some(client) = self.all.get(who) {
            client.channel.notify(notice);
        }
    }

    /// Tells everybody.
    pub(super) fn tell_all(&self, notice: &Notice) {
        for client in &self.all {
            client.channel.notify(notice);
        }
    }

    /// Tells everybody of the end, after which nobody expects more.
    pub(super) fn tell_end(&mut self, status: u8) {
        self.tell_all(&Notice::Ended(status));
        self.all.clear();
    }
}
