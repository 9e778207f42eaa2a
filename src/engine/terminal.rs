//! Attached to a container: this process's streams are those of the container until it ends, or until the keys that detach are pressed.

use std::io::Write;
use std::os::fd::AsFd;

use anyhow::{Context, Result, bail, ensure};
use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;
use rustix::stdio::{stdin, stdout};
use rustix::termios::isatty;

use super::Container;
use super::protocol::{CHUNK, Channel, Notice, Request};
use crate::container::{Keys, Raw, terminal_size};
use crate::error::Attempt;
use crate::sys::signal;

/// The keys that detach unless others are asked for: Ctrl-P, Ctrl-Q.
pub const KEYS: &str = "ctrl-p,ctrl-q";

/// How to be attached.
#[derive(Debug, Clone, Default)]
pub struct Session {
    /// Whether the container reads what comes here.
    pub stdin: bool,
    /// Whether the container has a terminal.
    pub terminal: bool,
    /// The keys that detach, as [`keys`] gives them; without any there is no way.
    pub keys: Vec<u8>,
    /// Whether signals are passed on.
    pub signals: bool,
}

/// What came of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// It ended with this status.
    Ended(u8),
    /// It runs on.
    Detached,
    /// Its monitor was killed.
    Lost,
}

/// `ctrl-p,ctrl-q` or letters, a comma between two.
pub fn keys(text: &str) -> Result<Vec<u8>> {
    let key = |key: &str| -> Result<u8> {
        let wrong = || format!("invalid detach keys ({text}): unknown character: '{key}'");
        if let [byte] = key.as_bytes() {
            return Ok(*byte);
        }
        let control = key.strip_prefix("ctrl-").with_context(wrong)?;
        match control.as_bytes() {
            [letter @ b'a'..=b'z'] => Ok(letter - b'a' + 1),
            [sign @ (b'@' | b'[' | b'\\' | b']' | b'^' | b'_')] => Ok(sign - b'@'),
            _ => bail!("{}", wrong()),
        }
    };
    text.split(',').filter(|_| !text.is_empty()).map(key).collect()
}

/// Signals of this process, kept for the container. To be made before it is started, so that none is missed.
pub struct Signals {
    descriptor: std::os::fd::OwnedFd,
    before: signal::Mask,
}

impl Signals {
    /// Blocks them.
    pub fn block() -> Result<Signals> {
        let before = signal::block_all().attempt(|| "block signals")?;
        Ok(Signals { descriptor: signal::descriptor().attempt(|| "make a signalfd")?, before })
    }
}

impl Drop for Signals {
    fn drop(&mut self) {
        let _ = signal::restore(&self.before);
    }
}

impl Session {
    /// Refuses what docker refuses, too.
    pub fn check(&self) -> Result<()> {
        ensure!(!(self.stdin && self.terminal) || isatty(stdin()), "the input device is not a TTY");
        Ok(())
    }

    /// Stays attached.
    pub fn attend(&self, container: &Container<'_>, channel: &Channel, signals: &Signals) -> Result<Outcome> {
        let raw = if self.terminal && self.stdin { Raw::of(stdin())? } else { None };
        if self.terminal {
            resize(channel)?;
        }
        let mut input = Input { open: self.stdin, keys: Keys::new(&self.keys) };
        let mut buffer = vec![0; CHUNK + 1];
        let outcome = loop {
            let source = stdin();
            let mut wanted = vec![PollFd::new(channel, PollFlags::IN), PollFd::new(&signals.descriptor, PollFlags::IN)];
            if input.open {
                wanted.push(PollFd::new(&source, PollFlags::IN));
            }
            match poll(&mut wanted, None) {
                Ok(_) | Err(Errno::INTR) => {}
                Err(error) => return Err(error).attempt(|| "wait for the container"),
            }
            let ready: Vec<bool> = wanted.iter().map(|wanted| !wanted.revents().is_empty()).collect();
            drop(wanted);
            if ready[0] {
                match channel.next_notice(&mut buffer)? {
                    Some(Notice::Output(bytes)) => write(&mut std::io::stdout(), &bytes),
                    Some(Notice::Errors(bytes)) => write(&mut std::io::stderr(), &bytes),
                    Some(Notice::Warning(text)) => {
                        write(&mut std::io::stderr(), format!("Warning: {text}\r\n").as_bytes())
                    }
                    Some(Notice::Ended(status)) => break Outcome::Ended(status),
                    Some(Notice::Started | Notice::Failed(..) | Notice::Reloaded) => {}
                    None => break Outcome::Lost,
                }
            }
            if ready[1] {
                self.signals(container, channel, signals)?;
            }
            if ready.get(2) == Some(&true) && input.pass_on(channel, &mut buffer)? {
                break Outcome::Detached;
            }
        };
        drop(raw);
        Ok(outcome)
    }

    fn signals(&self, container: &Container<'_>, channel: &Channel, signals: &Signals) -> Result<()> {
        while let Some(number) = signal::next(signals.descriptor.as_fd()).attempt(|| "read signals")? {
            match number {
                libc::SIGWINCH if self.terminal => resize(channel)?,
                libc::SIGCHLD | libc::SIGWINCH | libc::SIGURG | libc::SIGPIPE => {}
                // On a connection of its own: this one may be full of input.
                number if self.signals => drop(container.kill(number)),
                _ => {
                    signal::restore(&signals.before).attempt(|| "unblock signals")?;
                    signal::kill(rustix::process::getpid(), number).attempt(|| "obey a signal")?;
                    signal::block_all().attempt(|| "block signals")?;
                }
            }
        }
        Ok(())
    }
}

/// What is read here.
struct Input<'k> {
    open: bool,
    keys: Keys<'k>,
}

impl Input<'_> {
    /// True once the keys that detach are pressed.
    fn pass_on(&mut self, channel: &Channel, buffer: &mut [u8]) -> Result<bool> {
        let length = match rustix::io::read(stdin(), &mut buffer[..CHUNK / 2]) {
            Ok(length) => length,
            Err(Errno::AGAIN | Errno::INTR) => return Ok(false),
            Err(_) => 0,
        };
        if length == 0 {
            self.open = false;
            channel.request(&Request::InputEnd)?;
            return Ok(false);
        }
        let (passed, detached) = self.keys.taken_out(&buffer[..length]);
        if !passed.is_empty() {
            channel.request(&Request::Input(passed))?;
        }
        Ok(detached)
    }
}

fn resize(channel: &Channel) -> Result<()> {
    if let Some(size) = terminal_size() {
        channel.request(&Request::Resize(size.height, size.width))?;
    }
    Ok(())
}

/// A reader that is gone is no reason to leave the container.
fn write(to: &mut impl Write, bytes: &[u8]) {
    let _ = to.write_all(bytes).and_then(|()| to.flush());
}

/// Whether the caller's output is a terminal.
pub fn has_terminal() -> bool {
    isatty(stdout())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_those_of_docker() {
        assert_eq!(keys(KEYS).unwrap(), [16, 17]);
        assert_eq!(keys("a,ctrl-[").unwrap(), [b'a', 27]);
        assert!(keys("").unwrap().is_empty());
        assert!(keys("ctrl-1").is_err() && keys("ab").is_err());
    }
}
