//! A process in the foreground: its terminal relayed, signals forwarded, its end waited for.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use anyhow::Result;
use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;
use rustix::stdio::{stdin, stdout};
use rustix::termios::{OptionalActions, Termios, isatty, tcgetattr, tcgetwinsize, tcsetattr, tcsetwinsize};

use super::detach::{self, Keys, Leaving};
use super::notify_socket::Listening;
use crate::error::Attempt;
use crate::spec::process::ConsoleSize;
use crate::sys::clone::{self, Child};
use crate::sys::signal;

/// Signals of this process, blocked and kept for whoever runs in the foreground. Blocked before the clone: a child that ends at once is
/// not missed.
pub(super) struct Foreground {
    signals: OwnedFd,
    before: signal::Mask,
}

/// The size of the caller's terminal, if it has one.
pub(crate) fn terminal_size() -> Option<ConsoleSize> {
    let size = tcgetwinsize(stdin()).or_else(|_| tcgetwinsize(stdout())).ok()?;
    let console = ConsoleSize { height: size.ws_row, width: size.ws_col };
    ((console.height, console.width) != (0, 0)).then_some(console)
}

/// The caller's terminal in raw mode, put back at the end.
pub(crate) struct Raw<'a> {
    terminal: BorrowedFd<'a>,
    before: Termios,
}

impl Foreground {
    /// Blocks the signals.
    pub(super) fn prepare() -> Result<Foreground> {
        let before = signal::block_all().attempt(|| "block signals")?;
        let signals = signal::descriptor().attempt(|| "make a signalfd")?;
        Ok(Foreground { signals, before })
    }

    /// Stays until the process has ended: its exit status, or 128 + the signal that ended it. At a terminal 0 once the keys that detach
    /// are pressed, and the process runs on.
    pub(super) fn attend(
        &self,
        init: &Child,
        master: Option<OwnedFd>,
        notify: Option<Listening>,
        leaving: Leaving<'_>,
    ) -> Result<u8> {
        let raw = master.as_ref().map(|_| Raw::of(stdin())).transpose()?.flatten();
        let mut relay = master.map(|master| Relay::new(master, leaving.keys));
        if let Some(relay) = &relay {
            relay.resize();
        }
        let status = self.relay_until_end(init, relay.as_mut(), notify)?;
        match &mut relay {
            Some(relay) if relay.detached => detach::leave(&relay.master, leaving.group)?,
            Some(relay) => relay.drain(),
            None => {}
        }
        drop(raw);
        Ok(status)
    }

    fn relay_until_end(
        &self,
        init: &Child,
        mut relay: Option<&mut Relay<'_>>,
        mut notify: Option<Listening>,
    ) -> Result<u8> {
        loop {
            let (input, output) =
                relay.as_ref().map_or((PollFlags::empty(), PollFlags::empty()), |relay| relay.wants());
            let source = stdin();
            let signals = PollFd::new(&self.signals, PollFlags::IN);
            let mut descriptors = match relay.as_ref().filter(|_| !output.is_empty()) {
                Some(relay) => vec![signals, PollFd::new(&relay.master, output)],
                None => vec![signals],
            };
            if input.contains(PollFlags::IN) {
                descriptors.push(PollFd::new(&source, PollFlags::IN));
            }
            let of_relay = 1..descriptors.len();
            if let Some(notify) = &notify {
                descriptors.push(PollFd::from_borrowed_fd(notify.socket(), PollFlags::IN));
            }
            match poll(&mut descriptors, None) {
                Ok(_) | Err(Errno::INTR) => {}
                Err(error) => return Err(error).attempt(|| "wait for the container's process"),
            }
            let ready: Vec<PollFlags> = descriptors.iter().map(PollFd::revents).collect();
            drop(descriptors);
            if let Some(relay) = relay.as_deref_mut() {
                let mut ready = ready[of_relay.clone()].iter().copied().chain(std::iter::repeat(PollFlags::empty()));
                let mut next = || ready.next().unwrap_or(PollFlags::empty());
                relay.pump(next(), next());
                if relay.detached {
                    return Ok(0);
                }
            }
            let is_told = ready.get(of_relay.end).is_some_and(|ready| !ready.is_empty());
            // A manager that can't be told finds out by its own means; the container runs all the same.
            if is_told && notify.as_ref().is_some_and(|notify| notify.forward(init).unwrap_or(true)) {
                notify = None;
            }
            if !ready[0].is_empty()
                && let Some(status) = self.signals(init, relay.as_deref())?
            {
                return Ok(status);
            }
        }
    }

    /// Takes all waiting signals; the status once init is among the ended.
    fn signals(&self, init: &Child, relay: Option<&Relay<'_>>) -> Result<Option<u8>> {
        let mut ended = None;
        while let Some(number) = signal::next(self.signals.as_fd()).attempt(|| "read signals")? {
            match number {
                libc::SIGCHLD => ended = ended.or(reap(init)?),
                libc::SIGWINCH => relay.iter().for_each(|relay| relay.resize()),
                // Go programs send it to themselves; it is of no meaning to others.
                libc::SIGURG => {}
                number => match signal::send(init.pidfd.as_fd(), number) {
                    Ok(()) | Err(Errno::SRCH) => {}
                    Err(error) => return Err(error).attempt(|| format!("forward signal {number}")),
                },
            }
        }
        Ok(ended)
    }
}

impl Drop for Foreground {
    fn drop(&mut self) {
        let _ = signal::restore(&self.before);
    }
}

/// As a subreaper this process is also parent of what the container's processes leave behind.
fn reap(init: &Child) -> Result<Option<u8>> {
    let mut status = None;
    loop {
        match clone::reap() {
            Ok(Some((pid, code))) if pid == init.pid => status = Some(code),
            Ok(Some(_)) => {}
            Ok(None) | Err(Errno::CHILD) => return Ok(status),
            Err(Errno::INTR) => {}
            Err(error) => return Err(error).attempt(|| "wait for the container's process"),
        }
    }
}

impl<'a> Raw<'a> {
    /// None where it is no terminal.
    pub(crate) fn of(terminal: BorrowedFd<'a>) -> Result<Option<Raw<'a>>> {
        if !isatty(terminal) {
            return Ok(None);
        }
        let before = tcgetattr(terminal).attempt(|| "read the terminal's settings")?;
        let mut raw = before.clone();
        raw.make_raw();
        tcsetattr(terminal, OptionalActions::Now, &raw).attempt(|| "put the terminal in raw mode")?;
        Ok(Some(Raw { terminal, before }))
    }
}

impl Drop for Raw<'_> {
    fn drop(&mut self) {
        let _ = tcsetattr(self.terminal, OptionalActions::Now, &self.before);
    }
}

/// Between stdio and the container's terminal.
struct Relay<'k> {
    master: OwnedFd,
    /// What was read from stdin and the terminal did not take yet.
    pending: Vec<u8>,
    stdin_open: bool,
    master_open: bool,
    keys: Keys<'k>,
    detached: bool,
}

impl<'k> Relay<'k> {
    fn new(master: OwnedFd, keys: &'k [u8]) -> Relay<'k> {
        // A program that does not read its terminal must not keep its output from being relayed.
        let _ = rustix::fs::fcntl_setfl(&master, rustix::fs::OFlags::RDWR | rustix::fs::OFlags::NONBLOCK);
        Relay {
            master,
            pending: Vec::new(),
            stdin_open: true,
            master_open: true,
            keys: Keys::new(keys),
            detached: false,
        }
    }

    /// What to wait for: on stdin, and on the master.
    fn wants(&self) -> (PollFlags, PollFlags) {
        if !self.master_open {
            return (PollFlags::empty(), PollFlags::empty());
        }
        let input = if self.stdin_open && self.pending.is_empty() { PollFlags::IN } else { PollFlags::empty() };
        let output = if self.pending.is_empty() { PollFlags::IN } else { PollFlags::IN | PollFlags::OUT };
        (input, output)
    }

    fn pump(&mut self, master: PollFlags, input: PollFlags) {
        if master.contains(PollFlags::OUT) {
            self.write_pending();
        }
        if master.intersects(PollFlags::IN | PollFlags::HUP | PollFlags::ERR) {
            self.read_master();
        }
        if !input.is_empty() {
            self.read_stdin();
        }
    }

    fn read_stdin(&mut self) {
        const END_OF_TRANSMISSION: u8 = 4;
        let mut buffer = [0; 8192];
        match rustix::io::read(stdin(), &mut buffer[..]) {
            Ok(0) => {
                self.stdin_open = false;
                // What a person types to end the input of a terminal.
                self.pending.push(END_OF_TRANSMISSION);
            }
            Ok(length) => {
                let (typed, detached) = self.keys.taken_out(&buffer[..length]);
                self.pending.extend(typed);
                self.detached = detached;
            }
            Err(Errno::AGAIN | Errno::INTR) => {}
            Err(_) => self.stdin_open = false,
        }
        self.write_pending();
    }

    fn write_pending(&mut self) {
        match rustix::io::write(&self.master, &self.pending) {
            Ok(length) => drop(self.pending.drain(..length)),
            Err(Errno::AGAIN | Errno::INTR) => {}
            Err(_) => self.pending.clear(),
        }
    }

    /// False when there is nothing to read now.
    fn read_master(&mut self) -> bool {
        let mut buffer = [0; 8192];
        match rustix::io::read(&self.master, &mut buffer[..]) {
            Ok(0) => self.master_open = false,
            Ok(length) => return write_all(&buffer[..length]),
            Err(Errno::AGAIN | Errno::INTR) => {}
            // EIO: nobody has the other end open any more.
            Err(_) => self.master_open = false,
        }
        false
    }

    /// After the end: what the terminal still holds.
    fn drain(&mut self) {
        while self.master_open && self.read_master() {}
    }

    fn resize(&self) {
        if let Ok(size) = tcgetwinsize(stdin()).or_else(|_| tcgetwinsize(stdout()))
            && (size.ws_row, size.ws_col) != (0, 0)
        {
            let _ = tcsetwinsize(&self.master, size);
        }
    }
}

/// To stdout; a reader that is gone is no reason to end the container.
fn write_all(mut bytes: &[u8]) -> bool {
    while !bytes.is_empty() {
        match rustix::io::write(stdout(), bytes) {
            Ok(length) => bytes = &bytes[length..],
            Err(Errno::INTR) => {}
            Err(Errno::AGAIN) => {
                let output = stdout();
                let _ = poll(&mut [PollFd::new(&output, PollFlags::OUT)], None);
            }
            Err(_) => return true,
        }
    }
    true
}
