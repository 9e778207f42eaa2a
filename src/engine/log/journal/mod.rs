//! The log driver `journald`: systemd's journal, with docker's fields.
//!
//! It is written to by the native protocol, and read by journalctl(1), whose files have a format of their own.

mod message;
mod read;

use std::io::{ErrorKind, IoSlice, Write};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixDatagram;

use anyhow::Result;
use rustix::fs::{MemfdFlags, SealFlags, fcntl_add_seals, memfd_create};
use rustix::io::Errno;
use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags, sendmsg};

use super::parts::Parts;
use super::ring::Ring;
use super::tag;
use crate::engine::now;
use crate::engine::record::Record;
use crate::error::Attempt;

pub(super) use read::read;

const SOCKET: &str = "/run/systemd/journal/socket";

/// The priorities of what was said on stdout and stderr (syslog(3): info and err), as docker has them.
const INFO: &str = "6";
const ERROR: &str = "3";

/// The journal, as a container's log.
#[derive(Debug)]
pub struct Journal {
    socket: UnixDatagram,
    /// The fields that all messages have.
    common: Vec<u8>,
    parts: Parts,
    /// What the journal had no room for.
    waiting: Ring,
    /// The first message of it.
    message: Option<Vec<u8>>,
    /// The container goes on when there is no room.
    drops: bool,
}

impl Journal {
    /// Connects to it. What it has no room for is kept, as far as there is room for that where `buffer` says how much.
    pub(super) fn open(record: &Record, buffer: Option<usize>) -> Result<Journal> {
        let what = || format!("connect to the journal at {SOCKET:?}");
        let socket = UnixDatagram::unbound().attempt(what)?;
        socket.connect(SOCKET).and_then(|()| socket.set_nonblocking(true)).attempt(what)?;
        Ok(Journal::with(socket, common(record)?, buffer))
    }

    fn with(socket: UnixDatagram, common: Vec<u8>, buffer: Option<usize>) -> Journal {
        let (parts, waiting) = (Parts::default(), Ring::new(buffer));
        Journal { socket, common, parts, waiting, message: None, drops: buffer.is_some() }
    }

    /// Takes what was said.
    pub(super) fn write(&mut self, is_stderr: bool, bytes: &[u8]) -> Result<()> {
        let time = now();
        let mut flushed = Ok(());
        let mut parts = std::mem::take(&mut self.parts);
        parts.take(is_stderr, bytes, |text| {
            self.waiting.push(is_stderr, text, &time);
            let now_flushed = self.flush();
            flushed = std::mem::replace(&mut flushed, Ok(())).and(now_flushed);
        });
        self.parts = parts;
        flushed
    }

    /// At the end: lines that never got theirs.
    pub(super) fn finish(&mut self) -> Result<()> {
        let time = now();
        let Journal { parts, waiting, .. } = self;
        parts.finish(|is_stderr, text| waiting.push(is_stderr, text, &time));
        self.flush()
    }

    /// Sends what waits, as far as there is room. What the journal doesn't take is lost, and what comes after it is not.
    pub(super) fn flush(&mut self) -> Result<()> {
        let mut flushed = Ok(());
        while self.message.is_some() || self.next() {
            let message = self.message.take().unwrap_or_default();
            match send(&self.socket, &message) {
                Err(Errno::AGAIN) => {
                    self.message = Some(message);
                    break;
                }
                sent => flushed = flushed.and(sent.attempt(|| "write to the journal")),
            }
        }
        flushed
    }

    /// Makes a message of the line that has waited longest.
    fn next(&mut self) -> bool {
        let Journal { common, waiting, message, .. } = self;
        waiting.pop(|is_stderr, text, time| *message = Some(of_line(common, text, is_stderr, time)));
        self.message.is_some()
    }

    /// Where room will be, if something waits for it.
    pub(super) fn waits(&self) -> Option<BorrowedFd<'_>> {
        self.message.is_some().then(|| self.socket.as_fd())
    }

    /// Whether the container is to wait.
    pub(super) fn is_full(&self) -> bool {
        self.message.is_some() && !self.drops
    }
}

fn common(record: &Record) -> Result<Vec<u8>> {
    let tag = tag::of(record)?;
    let mut fields = Vec::new();
    for (name, value) in [
        ("CONTAINER_ID", record.short()),
        ("CONTAINER_ID_FULL", &record.id),
        ("CONTAINER_NAME", &record.name),
        ("CONTAINER_TAG", &tag),
        ("IMAGE_NAME", &record.config.image),
        ("SYSLOG_IDENTIFIER", &tag),
    ] {
        message::field(&mut fields, name, value.as_bytes());
    }
    for (name, value) in tag::extra(record)? {
        // An image's labels may not say that it was another container.
        if let Some(name) = message::name(&name).filter(|name| !is_own(name)) {
            message::field(&mut fields, &name, value.as_bytes());
        }
    }
    Ok(fields)
}

/// Whether a field is one that the log itself says something by.
fn is_own(name: &str) -> bool {
    matches!(name, "MESSAGE" | "PRIORITY" | "IMAGE_NAME")
        || ["CONTAINER_", "SYSLOG_"].iter().any(|prefix| name.starts_with(prefix))
}

/// The message of a line, or of a part of one.
fn of_line(common: &[u8], text: &[u8], is_stderr: bool, time: &str) -> Vec<u8> {
    let mut fields = common.to_vec();
    message::field(&mut fields, "PRIORITY", if is_stderr { ERROR } else { INFO }.as_bytes());
    message::field(&mut fields, "SYSLOG_TIMESTAMP", time.as_bytes());
    let line = text.strip_suffix(b"\n");
    if line.is_none() {
        message::field(&mut fields, "CONTAINER_PARTIAL_MESSAGE", b"true");
    }
    message::field(&mut fields, "MESSAGE", line.unwrap_or(text));
    fields
}

/// Sends a message; one that is too large for a datagram as a file in memory.
fn send(socket: &UnixDatagram, message: &[u8]) -> Result<(), Errno> {
    loop {
        let sent = match socket.send(message) {
            Ok(_) => return Ok(()),
            Err(error) if error.kind() == ErrorKind::Interrupted => continue,
            Err(error) => Errno::from_io_error(&error).unwrap_or(Errno::IO),
        };
        return match sent {
            Errno::MSGSIZE | Errno::NOBUFS => send_file(socket, message),
            // journald was started anew, with a socket of its own.
            Errno::CONNREFUSED | Errno::NOTCONN if socket.connect(SOCKET).is_ok() => continue,
            error => Err(error),
        };
    }
}

fn send_file(socket: &UnixDatagram, message: &[u8]) -> Result<(), Errno> {
    let file = memfd_create(c"journal-message", MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING)?;
    let mut file = std::fs::File::from(file);
    file.write_all(message).map_err(|error| Errno::from_io_error(&error).unwrap_or(Errno::IO))?;
    let file = OwnedFd::from(file);
    fcntl_add_seals(&file, SealFlags::SHRINK | SealFlags::GROW | SealFlags::WRITE | SealFlags::SEAL)?;
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    let descriptors = [file.as_fd()];
    control.push(SendAncillaryMessage::ScmRights(&descriptors));
    sendmsg(socket, &[IoSlice::new(&[])], &mut control, SendFlags::NOSIGNAL).map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_has_dockers_fields() {
        let mut record = Record { id: "0123456789abcdef".repeat(4), name: "web".into(), ..Record::default() };
        record.config.image = "box".into();
        record.config.labels.insert("a.b".into(), "c".into());
        let options = [("labels", "a.b"), ("tag", "{{.Name}}")];
        record.host_config.log_config.config = options.map(|(key, value)| (key.into(), value.into())).into();
        let common = common(&record).unwrap();
        let text = |text: &[u8], is_stderr| {
            let message = String::from_utf8(of_line(&common, text, is_stderr, "TIME")).unwrap();
            message.strip_prefix(std::str::from_utf8(&common).unwrap()).unwrap().to_owned()
        };
        let id = &record.id;
        assert_eq!(
            String::from_utf8(common.clone()).unwrap(),
            format!(
                "CONTAINER_ID=0123456789ab\nCONTAINER_ID_FULL={id}\nCONTAINER_NAME=web\nCONTAINER_TAG=web\nIMAGE_NAME=box\n\
                 SYSLOG_IDENTIFIER=web\nA_B=c\n"
            )
        );
        assert_eq!(text(b"out\n", false), "PRIORITY=6\nSYSLOG_TIMESTAMP=TIME\nMESSAGE=out\n");
        let expected = "PRIORITY=3\nSYSLOG_TIMESTAMP=TIME\nCONTAINER_PARTIAL_MESSAGE=true\nMESSAGE=no end\n";
        assert_eq!(text(b"no end", true), expected);
    }

    #[test]
    fn labels_and_variables_say_nothing_that_the_log_says_itself() {
        let mut record = Record { id: "0123456789abcdef".repeat(4), ..Record::default() };
        let names = ["container_id_full", "CONTAINER.NAME", "_message", "priority", "syslog.identifier", "image_name"];
        record.config.labels = names.map(|name| (name.to_owned(), "forged".to_owned())).into();
        record.config.env = names.map(|name| format!("{name}=forged")).into();
        record.host_config.log_config.config =
            ["labels-regex", "env-regex"].map(|option| (option.into(), ".".into())).into();
        let common = String::from_utf8(common(&record).unwrap()).unwrap();
        assert!(!common.contains("forged"), "{common}");
    }

    /// The lines of all messages that came.
    fn received(journal: &mut Journal, theirs: &UnixDatagram) -> Vec<String> {
        let mut lines = Vec::new();
        let mut buffer = vec![0; 1 << 10];
        while let Ok(length) = theirs.recv(&mut buffer) {
            let text = String::from_utf8_lossy(&buffer[..length]).into_owned();
            lines.push(text.rsplit_once("\nMESSAGE=").unwrap().1.trim_end().to_owned());
            journal.flush().unwrap();
        }
        lines
    }

    fn journal(buffer: Option<usize>) -> (Journal, UnixDatagram) {
        let (ours, theirs) = UnixDatagram::pair().unwrap();
        ours.set_nonblocking(true).unwrap();
        theirs.set_nonblocking(true).unwrap();
        (Journal::with(ours, Vec::new(), buffer), theirs)
    }

    #[test]
    fn what_has_no_room_is_kept_or_dropped() {
        let said: Vec<String> = (0..2000).map(|number| number.to_string()).collect();
        let text = said.join("\n");
        for (buffer, is_full) in [(None, true), (Some(1000), false)] {
            let (mut journal, theirs) = journal(buffer);
            journal.write(false, text.as_bytes()).unwrap();
            assert_eq!(journal.is_full(), is_full);
            journal.finish().unwrap();
            assert!(journal.waits().is_some());
            let lines = received(&mut journal, &theirs);
            assert!(journal.waits().is_none() && !journal.is_full());
            assert!(lines == said[..lines.len()], "{:?}", lines.last());
            assert!(if is_full { lines.len() == 2000 } else { (50..1500).contains(&lines.len()) }, "{}", lines.len());
        }
    }

    #[test]
    fn a_message_that_is_too_large_goes_as_a_sealed_file() {
        let (ours, theirs) = UnixDatagram::pair().unwrap();
        let message = vec![b'x'; 4 << 20];
        send(&ours, b"small").unwrap();
        send(&ours, &message).unwrap();
        let mut buffer = [0u8; 16];
        assert_eq!(theirs.recv(&mut buffer).unwrap(), 5);
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let mut control = rustix::net::RecvAncillaryBuffer::new(&mut space);
        let mut part = [std::io::IoSliceMut::new(&mut buffer)];
        let received =
            rustix::net::recvmsg(&theirs, &mut part, &mut control, rustix::net::RecvFlags::CMSG_CLOEXEC).unwrap();
        assert_eq!(received.bytes, 0);
        let mut files = control.drain().flat_map(|message| match message {
            rustix::net::RecvAncillaryMessage::ScmRights(files) => files.collect::<Vec<_>>(),
            _ => Vec::new(),
        });
        let file = files.next().unwrap();
        assert!(rustix::fs::fcntl_get_seals(&file).unwrap().contains(SealFlags::WRITE | SealFlags::GROW));
        assert_eq!(rustix::fs::fstat(&file).unwrap().st_size as usize, message.len());
    }
}
