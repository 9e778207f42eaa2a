//! A connection to a D-Bus peer: one thread, one call after the other, blocking.

use std::collections::VecDeque;
use std::fmt;
use std::os::fd::AsFd;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixStream};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::io::Errno;
use rustix::net::{RecvFlags, SendFlags};

use super::address::{Address, Socket};
use super::message::{Kind, Message};
use super::value::Value;
use crate::error::Attempt;

/// How long the other side may take to answer a call; libdbus has the same.
const PATIENCE: Duration = Duration::from_secs(25);

/// The other side's refusal of a call.
#[derive(Debug)]
pub(super) struct Refused {
    pub(super) name: String,
    pub(super) text: String,
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.text.is_empty() { f.write_str(&self.name) } else { write!(f, "{} ({})", self.text, self.name) }
    }
}

impl std::error::Error for Refused {}

/// The name of the D-Bus error that an error came from.
pub(super) fn refusal(error: &anyhow::Error) -> Option<&str> {
    error.downcast_ref::<Refused>().map(|refused| refused.name.as_str())
}

#[derive(Debug)]
pub(super) struct Connection {
    stream: UnixStream,
    serial: u32,
    /// Bytes that have come and are no whole message yet.
    received: Vec<u8>,
    /// Signals that came while a reply was waited for.
    signals: VecDeque<Message>,
}

impl Connection {
    pub(super) fn open(address: &Address) -> Result<Connection> {
        let stream = match &address.socket {
            Socket::Path(path) => UnixStream::connect(path),
            Socket::Abstract(name) => {
                SocketAddr::from_abstract_name(name).and_then(|name| UnixStream::connect_addr(&name))
            }
        };
        let stream = stream.attempt(|| format!("connect to {}", address.socket))?;
        let mut connection = Connection { stream, serial: 0, received: Vec::new(), signals: VecDeque::new() };
        connection.authenticate().with_context(|| format!("authenticate with {}", address.socket))?;
        if address.is_bus {
            let bus = "org.freedesktop.DBus";
            connection.call(Message::call(bus, "/org/freedesktop/DBus", bus, "Hello", Vec::new()))?;
        }
        Ok(connection)
    }

    /// SASL's EXTERNAL: the kernel tells the other side who we are. We name no user ourselves, for in a user namespace we do
    /// not know under which number the other side sees us. All that is said is said at once, as sd-bus does: what the answers
    /// to it are is known.
    fn authenticate(&mut self) -> Result<()> {
        let deadline = Instant::now() + PATIENCE;
        self.send(b"\0AUTH EXTERNAL\r\nDATA\r\nBEGIN\r\n")?;
        for expected in ["DATA", "OK"] {
            let answer = self.line(deadline)?;
            if !answer.starts_with(expected) {
                bail!("the answer is {answer:?}, not {expected:?}");
            }
        }
        Ok(())
    }

    /// The process at the other end, which listened there first (unix(7), SO_PEERCRED).
    pub(super) fn peer(&self) -> Option<i32> {
        crate::sys::socket::peer(self.stream.as_fd()).ok()
    }

    /// Makes a call and gives what the reply has in it.
    pub(super) fn call(&mut self, message: Message) -> Result<Vec<Value>> {
        let serial = self.post(message)?;
        self.reply(serial)
    }

    /// Sends a call; its serial number is for [`Connection::reply`].
    pub(super) fn post(&mut self, mut message: Message) -> Result<u32> {
        self.serial += 1;
        message.serial = self.serial;
        self.send(&message.to_bytes())?;
        Ok(self.serial)
    }

    /// Waits for the reply to a call. Calls are replied to in their order, so those before it must have been waited for.
    pub(super) fn reply(&mut self, serial: u32) -> Result<Vec<Value>> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let message = self.receive(deadline)?.context("wait for a reply: there was none in time")?;
            match message.kind {
                Kind::Reply if message.reply_serial == serial => return Ok(message.body),
                Kind::Error if message.reply_serial == serial => {
                    let text = message.body.first().and_then(Value::text).unwrap_or_default().to_owned();
                    return Err(Refused { name: message.error_name, text }.into());
                }
                Kind::Signal => self.signals.push_back(message),
                // Nobody calls us, and other replies are to calls that were given up.
                Kind::Call | Kind::Reply | Kind::Error => {}
            }
        }
    }

    /// Waits for a signal out of which `wanted` makes something; none if there is none in time.
    pub(super) fn signal<T>(
        &mut self,
        patience: Duration,
        wanted: impl Fn(&Message) -> Option<T>,
    ) -> Result<Option<T>> {
        let deadline = Instant::now() + patience;
        loop {
            let message = match self.signals.pop_front() {
                Some(message) => message,
                None => match self.receive(deadline)? {
                    Some(message) => message,
                    None => return Ok(None),
                },
            };
            if message.kind == Kind::Signal
                && let Some(found) = wanted(&message)
            {
                return Ok(Some(found));
            }
        }
    }

    fn send(&mut self, mut bytes: &[u8]) -> Result<()> {
        while !bytes.is_empty() {
            match rustix::net::send(&self.stream, bytes, SendFlags::NOSIGNAL) {
                Ok(count) => bytes = &bytes[count..],
                Err(Errno::INTR) => {}
                Err(error) => return Err(error).attempt(|| "send a D-Bus message"),
            }
        }
        Ok(())
    }

    fn receive(&mut self, deadline: Instant) -> Result<Option<Message>> {
        loop {
            if let Some(length) = Message::length(&self.received)?
                && length <= self.received.len()
            {
                let bytes: Vec<u8> = self.received.drain(..length).collect();
                return Message::from_bytes(&bytes).context("read a D-Bus message").map(Some);
            }
            if !self.receive_some(deadline)? {
                return Ok(None);
            }
        }
    }

    fn line(&mut self, deadline: Instant) -> Result<String> {
        loop {
            if let Some(end) = self.received.windows(2).position(|pair| pair == b"\r\n") {
                let line = String::from_utf8_lossy(&self.received[..end]).into_owned();
                self.received.drain(..end + 2);
                return Ok(line);
            }
            if self.received.len() > 4096 || !self.receive_some(deadline)? {
                bail!("there was no answer in time");
            }
        }
    }

    /// Waits for bytes; false when the time is over.
    fn receive_some(&mut self, deadline: Instant) -> Result<bool> {
        let mut piece = [0; 8192];
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let patience = Timespec::try_from(left).ok();
            match rustix::event::poll(&mut [PollFd::new(&self.stream, PollFlags::IN)], patience.as_ref()) {
                Ok(0) => return Ok(false),
                Ok(_) => {}
                Err(Errno::INTR) => continue,
                Err(error) => return Err(error).attempt(|| "wait for a D-Bus message"),
            }
            match rustix::net::recv(&self.stream, &mut piece, RecvFlags::empty()) {
                Ok((_, 0)) => bail!("receive a D-Bus message: the other side hung up"),
                Ok((_, count)) => {
                    self.received.extend_from_slice(&piece[..count]);
                    return Ok(true);
                }
                Err(Errno::INTR) => {}
                Err(error) => return Err(error).attempt(|| "receive a D-Bus message"),
            }
        }
    }
}

impl fmt::Display for Socket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Socket::Path(path) => write!(f, "{path:?}"),
            Socket::Abstract(name) => write!(f, "\"@{}\"", String::from_utf8_lossy(name)),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read;
    use std::process::{Child, Command, Stdio};

    use super::*;

    /// A bus of the test's own.
    struct Bus {
        daemon: Child,
        directory: std::path::PathBuf,
    }

    impl Bus {
        fn start(name: &str) -> Option<Bus> {
            let directory = std::env::temp_dir().join(format!("corten-test-bus-{}-{name}", std::process::id()));
            std::fs::create_dir(&directory).unwrap();
            let listen = format!("--address=unix:path={}", directory.join("bus").display());
            let arguments = ["--session", "--nofork", "--nopidfile", "--print-address", &listen];
            let daemon =
                Command::new("dbus-daemon").args(arguments).stdout(Stdio::piped()).stderr(Stdio::null()).spawn();
            let Ok(mut daemon) = daemon else {
                eprintln!("SKIPPED, there is no dbus-daemon here: {}", daemon.unwrap_err());
                std::fs::remove_dir(&directory).unwrap();
                return None;
            };
            // It prints its address when it listens.
            daemon.stdout.as_mut().unwrap().read_exact(&mut [0; 10]).unwrap();
            Some(Bus { daemon, directory })
        }

        fn address(&self) -> Address {
            Address { socket: Socket::Path(self.directory.join("bus")), is_bus: true }
        }
    }

    impl Drop for Bus {
        fn drop(&mut self) {
            let _ = self.daemon.kill();
            let _ = self.daemon.wait();
            let _ = std::fs::remove_dir_all(&self.directory);
        }
    }

    fn to_bus(member: &str, body: Vec<Value>) -> Message {
        Message::call("org.freedesktop.DBus", "/org/freedesktop/DBus", "org.freedesktop.DBus", member, body)
    }

    #[test]
    fn a_real_bus_understands_us_and_we_it() {
        let Some(bus) = Bus::start("talk") else { return };
        let mut connection = Connection::open(&bus.address()).unwrap();
        let id = connection.call(to_bus("GetId", vec![])).unwrap();
        assert!(id[0].text().is_some_and(|id| id.len() == 32), "{id:?}");
        let names = connection.call(to_bus("ListNames", vec![])).unwrap();
        assert!(
            matches!(&names[..], [Value::Array(element, names)] if element == "s" && names.len() >= 2),
            "{names:?}"
        );

        let owner = connection.call(to_bus("GetConnectionCredentials", vec![Value::string("org.freedesktop.DBus")]));
        assert_eq!(owner.unwrap()[0].signature(), "a{sv}");
        let error = connection.call(to_bus("GetNameOwner", vec![Value::string("no.such.name")])).unwrap_err();
        assert_eq!(refusal(&error), Some("org.freedesktop.DBus.Error.NameHasNoOwner"));
    }

    #[test]
    fn signals_are_kept_while_a_reply_is_waited_for() {
        let Some(bus) = Bus::start("signals") else { return };
        let mut connection = Connection::open(&bus.address()).unwrap();
        let name = Value::string("org.corten.test");
        connection.call(to_bus("RequestName", vec![name.clone(), Value::Uint32(0)])).unwrap();
        connection.call(to_bus("GetId", vec![])).unwrap();
        let acquired = |message: &Message| (message.member == "NameAcquired" && message.body[0] == name).then_some(());
        assert_eq!(connection.signal(Duration::from_secs(10), acquired).unwrap(), Some(()));
        assert_eq!(connection.signal(Duration::ZERO, acquired).unwrap(), None);
    }

    #[test]
    fn an_end_of_the_other_side_is_told() {
        let Some(bus) = Bus::start("end") else { return };
        let mut connection = Connection::open(&bus.address()).unwrap();
        let address = bus.address();
        drop(bus);
        let error = format!("{:#}", connection.call(to_bus("GetId", vec![])).unwrap_err());
        assert!(error.contains("D-Bus message"), "{error}");
        let error = format!("{:#}", Connection::open(&address).unwrap_err());
        assert!(error.starts_with("connect to \"/") && error.ends_with("no such file or directory"), "{error}");
    }
}
