//! Names of containers: a small DNS server that answers in one container's namespace, at 127.0.0.11.
//!
//! It listens on a port that the kernel chooses, and a rule in the container's namespace leads port 53 of that address there, so that a
//! container can have a server of its own on port 53. Names come from the endpoints' records; what isn't there is asked of the
//! host's servers, from the host's network, and passed on as it is. It is single-threaded and waits for nothing by itself: whoever stands
//! for the container polls [`Responder::descriptors`] until [`Responder::deadline`] and calls [`Responder::serve_ready`].

mod asking;
mod datagrams;
mod packet;
mod streams;
mod zone;

use std::net::{IpAddr, SocketAddr, TcpListener, UdpSocket};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::PathBuf;
use std::time::Instant;

use anyhow::{Result, bail};
use rustix::event::PollFlags;
use rustix::fs::inotify;
use rustix::io::Errno;

use super::nftables::transaction::Connection;
use super::nftables::{Chain, End, Hook, Is, Statement, Table};
use super::{Networks, Protocol, files, namespace, state};
use crate::error::Attempt;
use asking::Asking;
use datagrams::Datagrams;
use packet::Record;
use streams::Streams;
use zone::Zone;

/// Servers that are asked, as resolv.conf(5) has it.
const MOST_SERVERS: usize = 3;

/// A server for one container.
#[derive(Debug)]
pub struct Responder {
    directory: Directory,
    datagrams: Datagrams,
    streams: Streams,
}

impl Responder {
    /// Opens its sockets in a container's namespace. `servers` are asked further (`--dns`); none are the host's.
    pub fn open(
        networks: &Networks,
        container: &str,
        namespace: BorrowedFd<'_>,
        servers: &[IpAddr],
    ) -> Result<Responder> {
        let (datagrams, listener) = sockets(networks, namespace)?;
        let directory = Directory {
            networks: networks.clone(),
            container: container.to_owned(),
            servers: servers.to_vec(),
            watch: None,
            zone: Zone::default(),
        };
        Ok(Responder { directory, datagrams: Datagrams::new(datagrams), streams: Streams::new(listener) })
    }

    /// What has to be waited for, and for what.
    pub fn descriptors(&self) -> Vec<(BorrowedFd<'_>, PollFlags)> {
        let mut all = self.datagrams.descriptors();
        all.extend(self.streams.descriptors());
        all
    }

    /// When it has to be called though nothing came.
    pub fn deadline(&self) -> Option<Instant> {
        [self.datagrams.deadline(), self.streams.deadline()].into_iter().flatten().min()
    }

    /// Does all that can be done without waiting.
    pub fn serve_ready(&mut self) {
        self.datagrams.serve(&mut self.directory);
        self.streams.serve(&mut self.directory);
    }
}

/// The sockets of a responder. A namespace that can't be left again is looked into by another process, which hands them over.
fn sockets(networks: &Networks, namespace: BorrowedFd<'_>) -> Result<(UdpSocket, TcpListener)> {
    if !networks.is_users {
        return namespace::within(namespace, sockets_here);
    }
    let ((), sockets) = namespace::aside(namespace, || {
        let (datagrams, listener) = sockets_here()?;
        Ok(((), vec![datagrams.into(), listener.into()]))
    })?;
    let mut sockets = sockets.into_iter();
    let (Some(datagrams), Some(listener)) = (sockets.next(), sockets.next()) else {
        bail!("sockets got lost on their way")
    };
    Ok((datagrams.into(), listener.into()))
}

/// Makes them, and the rules that lead there, in the namespace that this thread is in.
fn sockets_here() -> Result<(UdpSocket, TcpListener)> {
    let any = SocketAddr::from(([127, 0, 0, 11], 0));
    let datagrams = UdpSocket::bind(any).attempt(|| format!("bind {any} in the container"))?;
    let listener = TcpListener::bind(any).attempt(|| format!("listen on {any} in the container"))?;
    let what = || "set up the sockets for names";
    datagrams.set_nonblocking(true).and_then(|()| listener.set_nonblocking(true)).attempt(what)?;
    let ports = [(Protocol::Udp, datagrams.local_addr()), (Protocol::Tcp, listener.local_addr())];
    let mut rules = Vec::new();
    for (protocol, address) in ports {
        let address = address.attempt(what)?;
        rules.push(vec![
            Statement::Address(End::Destination, Is::Is, any.ip().into()),
            Statement::Transport(protocol.number(), 53),
            Statement::TranslateTo(address.ip(), address.port()),
        ]);
    }
    let chain = Chain { name: "output".into(), hook: Some(Hook::Output), rules };
    Connection::open()?.replace(&Table { name: "corten-names".into(), sets: Vec::new(), chains: vec![chain] })?;
    Ok((datagrams, listener))
}

/// What is to be done with a question.
enum Verdict {
    Answer(Vec<u8>),
    /// Somebody else is asked.
    Ask(Asking),
    /// It was none.
    Nothing,
}

/// Whom names belong to, read when it is first asked and after each change.
#[derive(Debug)]
struct Directory {
    networks: Networks,
    container: String,
    servers: Vec<IpAddr>,
    watch: Option<OwnedFd>,
    zone: Zone,
}

impl Directory {
    /// Decides about a question; the answer has at most so many bytes.
    fn decide(&mut self, bytes: &[u8], most: usize) -> Verdict {
        let question = match packet::question(bytes) {
            Ok(question) => question,
            Err(Some(answer)) => return Verdict::Answer(answer),
            Err(None) => return Verdict::Nothing,
        };
        if self.has_changed() && self.read().is_err() {
            self.watch = None;
            return Verdict::Answer(question.answer(packet::SERVER_FAILURE, &[], most));
        }
        if let Some((code, mut records)) = self.zone.answer(&question) {
            turn(&mut records, bytes);
            return Verdict::Answer(question.answer(code, &records, most));
        }
        if !self.zone.leads_outside {
            return Verdict::Answer(question.answer(packet::NO_SUCH_NAME, &[], most));
        }
        // Read each time: it is small, and the host's network may be another one now.
        let servers = files::upstream(&std::fs::read_to_string("/etc/resolv.conf").unwrap_or_default(), &self.servers);
        let servers: Vec<SocketAddr> =
            servers.into_iter().take(MOST_SERVERS).map(|server| (server, 53).into()).collect();
        if servers.is_empty() {
            return Verdict::Answer(question.answer(packet::SERVER_FAILURE, &[], most));
        }
        Verdict::Ask(Asking::new(question, bytes, servers))
    }

    /// Whether an endpoint came or went since the last reading: the kernel's list of changes is not empty.
    fn has_changed(&self) -> bool {
        let Some(watch) = &self.watch else { return true };
        let mut changed = false;
        let mut buffer = [0; 4096];
        loop {
            match rustix::io::read(watch, &mut buffer) {
                Ok(0) => return changed,
                Ok(_) => changed = true,
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => return changed,
                Err(_) => return true,
            }
        }
    }

    /// Reads all names. What changes meanwhile is on the list, which is begun first.
    fn read(&mut self) -> Result<()> {
        use inotify::{CreateFlags, WatchFlags};
        let endpoints = self.networks.run.join("endpoints");
        let watch = inotify::init(CreateFlags::CLOEXEC | CreateFlags::NONBLOCK).attempt(|| "watch the endpoints")?;
        let add = |path: &PathBuf| {
            let changes = WatchFlags::CREATE | WatchFlags::MOVED_TO | WatchFlags::DELETE | WatchFlags::ONLYDIR;
            match inotify::add_watch(&watch, path, changes) {
                // Removed meanwhile, which the directory above says.
                Ok(_) | Err(Errno::NOENT) => Ok(()),
                Err(error) => Err(error).attempt(|| format!("watch {path:?}")),
            }
        };
        add(&endpoints)?;
        for network in state::names(&endpoints)? {
            add(&endpoints.join(network))?;
        }
        let own = self.networks.endpoints_of(&self.container)?;
        let mut networks = Vec::new();
        for network in
            self.networks.definitions()?.into_iter().filter(|one| own.iter().any(|own| own.network == one.id))
        {
            let endpoints = self.networks.endpoints(&network)?;
            networks.push((network, endpoints));
        }
        self.zone = Zone::new(&self.container, &networks);
        self.watch = Some(watch);
        Ok(())
    }
}

/// Several containers of one name take turns at being the first.
fn turn(records: &mut [Record], question: &[u8]) {
    if let (Some(number), true) = (question.get(1), records.len() > 1) {
        records.rotate_left(usize::from(*number) % records.len());
    }
}

/// What can be waited for.
fn readable<T: AsFd>(of: &T) -> (BorrowedFd<'_>, PollFlags) {
    (of.as_fd(), PollFlags::IN)
}
