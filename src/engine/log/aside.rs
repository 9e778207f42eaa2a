//! Files that are written by a process of its own, so that a disk that takes its time holds up neither the container nor its monitor: what
//! `mode=non-blocking` asks for.
//!
//! Lines wait in the monitor ([`Ring`]) until the process takes them, and those for which there is no room are dropped. It ends with the
//! container, or with the monitor, and lives on no longer than that.

use std::io::{ErrorKind, Read, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::time::Instant;

use anyhow::{Result, bail};
use rustix::event::{PollFd, PollFlags, poll};
use rustix::process::{Signal, getpid, getppid, set_parent_process_death_signal};

use super::compress::tidy;
use super::line;
use super::options::Limits;
use super::parts::Parts;
use super::ring::{Lines, Ring};
use super::write::Files;
use crate::engine::now;
use crate::engine::pause::Pause;
use crate::error::{Attempt, sentence};
use crate::sys::clone::{self, Child, CloneFlags};
use crate::sys::execute::{close_all_but, exit_now};
use crate::sys::signal;

/// Bytes that are taken at once.
const BLOCK: usize = 64 << 10;

/// A log that is not waited for.
#[derive(Debug)]
pub struct Aside {
    path: PathBuf,
    limits: Limits,
    attributes: String,
    parts: Parts,
    ring: Ring,
    process: Option<Process>,
    /// Before the next one, after one that ended unasked: where the log can't be opened every line would start one.
    pause: Pause,
    /// Nothing more is said.
    is_ending: bool,
}

/// The one who writes.
#[derive(Debug)]
struct Process {
    child: Child,
    /// Where it takes lines, and says what it could not write.
    socket: UnixStream,
}

impl Aside {
    pub(super) fn new(path: PathBuf, limits: Limits, attributes: String, buffer: usize) -> Aside {
        let (parts, ring) = (Parts::default(), Ring::new(Some(buffer)));
        Aside { path, limits, attributes, parts, ring, process: None, pause: Pause::default(), is_ending: false }
    }

    /// Takes what was said.
    pub(super) fn write(&mut self, is_stderr: bool, bytes: &[u8]) -> Result<()> {
        self.is_ending = false;
        let time = now();
        let Aside { parts, ring, .. } = self;
        parts.take(is_stderr, bytes, |text| ring.push(is_stderr, text, &time));
        self.flush()
    }

    /// At the end: lines that never got theirs, after which the process ends.
    pub(super) fn finish(&mut self) -> Result<()> {
        let time = now();
        let Aside { parts, ring, .. } = self;
        parts.finish(|is_stderr, text| ring.push(is_stderr, text, &time));
        self.is_ending = true;
        self.flush()
    }

    /// Whether all is written and the process gone.
    pub(super) fn is_settled(&self) -> bool {
        self.process.is_none() && self.ring.is_empty()
    }

    /// Hands lines to the process, which is started by the first one, and hears what it says.
    pub(super) fn flush(&mut self) -> Result<()> {
        let mut heard = self.hear();
        // At the end it is tried without a pause, for the last time.
        let may_start = self.pause.is_over(Instant::now()) || self.pause.until().is_none() || self.is_ending;
        if self.process.is_none() && !self.ring.is_empty() && may_start {
            match self.start() {
                Ok(process) => self.process = Some(process),
                Err(error) => {
                    self.pause.begin(Instant::now());
                    return heard.and(Err(error));
                }
            }
        }
        while let Some(process) = self.process.as_mut().filter(|_| !self.ring.is_empty()) {
            match process.socket.write(self.ring.first()) {
                Ok(length) => self.ring.forget(length),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                // It is gone, and may have said why.
                Err(error) if error.kind() != ErrorKind::WouldBlock => {
                    heard = heard.and(self.hear());
                    self.lose();
                }
                Err(_) => return heard,
            }
        }
        if let Some(process) = self.process.as_ref().filter(|_| self.is_ending) {
            let _ = process.socket.shutdown(std::net::Shutdown::Write);
        }
        heard
    }

    fn hear(&mut self) -> Result<()> {
        let Some(process) = &mut self.process else { return Ok(()) };
        let mut said = Vec::new();
        match process.socket.read_to_end(&mut said) {
            Err(error) if error.kind() == ErrorKind::WouldBlock => {}
            // It has ended: by what it was told, or not.
            _ => self.lose(),
        }
        match String::from_utf8_lossy(&said).lines().next() {
            Some(error) => bail!("{error}"),
            None => Ok(()),
        }
    }

    /// The process is gone, and with it what is half handed over.
    fn lose(&mut self) {
        if self.process.take().is_some() && !self.is_ending {
            self.pause.begin(Instant::now());
        }
        self.ring.clear();
    }

    /// When there is something to do without anything being said.
    pub(super) fn resumes(&self) -> Option<Instant> {
        self.pause.until().filter(|_| !self.ring.is_empty())
    }

    /// What poll(2) says of when there is something to do.
    pub(super) fn waits(&self) -> Option<(BorrowedFd<'_>, PollFlags)> {
        let room = if self.ring.is_empty() { PollFlags::empty() } else { PollFlags::OUT };
        self.process.as_ref().map(|process| (process.socket.as_fd(), PollFlags::IN | room))
    }

    /// Writes nothing any more. The process is waited for, so that it is not at the files when the next one is, and leaves nothing half made.
    pub(super) fn abandon(&mut self) {
        if let Some(process) = self.process.take() {
            let _ = signal::send(process.child.pidfd.as_fd(), libc::SIGKILL);
            let _ = clone::wait(process.child.pid).map(|_| tidy(&self.path));
        }
        self.ring.clear();
        self.pause = Pause::default();
    }

    fn start(&self) -> Result<Process> {
        let what = || "start the process that writes the log";
        let (socket, theirs) = UnixStream::pair().attempt(what)?;
        socket.set_nonblocking(true).attempt(what)?;
        let theirs = OwnedFd::from(theirs);
        let parent = getpid();
        let child = clone::process(CloneFlags::empty(), None, || {
            let ready = set_parent_process_death_signal(Some(Signal::KILL))
                .and_then(|()| close_all_but(&[theirs.as_fd()], 3))
                .is_ok();
            if ready && getppid() == Some(parent) {
                let _ = rustix::thread::set_name(c"ctn-log");
                self.serve(&mut UnixStream::from(theirs));
            }
            exit_now(0)
        });
        Ok(Process { child: child.attempt(what)?, socket })
    }

    /// In the process: writes lines until there are no more. What can't be written is told.
    fn serve(&self, socket: &mut UnixStream) {
        let mut lines = Lines::default();
        let tell = |socket: &mut UnixStream, error: &anyhow::Error| {
            // Who doesn't listen has heard of the first one.
            let _ = socket.set_nonblocking(true);
            let _ = writeln!(socket, "{}", sentence(error));
            let _ = socket.set_nonblocking(false);
        };
        let mut files = match Files::open(self.path.clone(), self.limits) {
            Ok(files) => files,
            Err(error) => return tell(socket, &error),
        };
        let (mut bytes, mut block, mut text) = (Vec::new(), vec![0; BLOCK], Vec::new());
        loop {
            if !settle(&mut files, Some(socket)) {
                continue;
            }
            let length = match socket.read(&mut block) {
                Ok(length) if length > 0 => length,
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                _ => break,
            };
            bytes.extend_from_slice(&block[..length]);
            let mut at = 0;
            while let Some(length) = lines.next(&bytes[at..], |is_stderr, line, time| {
                line::write(&mut text, line, is_stderr, &self.attributes, time);
            }) {
                at += length;
            }
            bytes.drain(..at);
            if let Err(error) = files.put(&text) {
                tell(socket, &error);
            }
            text.clear();
        }
        while files.compressing().is_some() {
            settle(&mut files, None);
        }
    }
}

/// Waits until there is something to read, or a file is compressed, which is seen to: whether there is something to read.
fn settle(files: &mut Files, socket: Option<&UnixStream>) -> bool {
    let mut wanted: Vec<PollFd<'_>> = socket.iter().map(|socket| PollFd::new(*socket, PollFlags::IN)).collect();
    wanted.extend(files.compressing().map(|done| PollFd::from_borrowed_fd(done, PollFlags::IN)));
    if poll(&mut wanted, None).is_err() {
        return false;
    }
    let ready: Vec<bool> = wanted.iter().map(|one| !one.revents().is_empty()).collect();
    drop(wanted);
    let can_be_read = socket.is_some() && ready.first() == Some(&true);
    if ready.get(usize::from(socket.is_some())) == Some(&true) {
        while let Ok(Some((pid, status))) = clone::reap() {
            files.reaped(pid, status);
        }
    }
    can_be_read
}
