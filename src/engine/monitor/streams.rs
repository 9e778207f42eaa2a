//! A container's standard streams: pipes, or a terminal.

use std::os::fd::{AsFd, OwnedFd};

use anyhow::Result;
use rustix::event::{PollFd, PollFlags};
use rustix::fs::{OFlags, fcntl_setfl};
use rustix::io::Errno;
use rustix::pipe::{PipeFlags, pipe_with};
use rustix::stdio::{dup2_stderr, dup2_stdin, dup2_stdout};
use rustix::termios::{Winsize, tcsetwinsize};

use crate::engine::protocol::CHUNK;
use crate::error::Attempt;

/// The monitor's ends.
#[derive(Debug, Default)]
pub(super) struct Stdio {
    /// Where the container reads.
    input: Option<OwnedFd>,
    /// What it has not taken yet.
    pending: Vec<u8>,
    /// No more will come.
    input_ends: bool,
    /// Where it writes: stdout or the terminal, and stderr.
    outputs: [Option<OwnedFd>; 2],
    has_terminal: bool,
    /// Its last process is gone: what is there is all there will be.
    ending: bool,
}

/// The container's ends, for the moment of its start.
pub(super) struct Theirs {
    stdin: OwnedFd,
    stdout: Option<(OwnedFd, OwnedFd)>,
}

/// Nothing is read or written by the monitor itself.
pub(in crate::engine) fn to_null() -> Result<()> {
    let null = super::null()?;
    dup2_stdin(&null)
        .and_then(|()| dup2_stdout(&null))
        .and_then(|()| dup2_stderr(&null))
        .attempt(|| "open \"/dev/null\"")
}

impl Stdio {
    /// Pipes; with a terminal none, which comes from the runtime.
    pub(super) fn make(terminal: bool, with_input: bool) -> Result<(Stdio, Theirs)> {
        let pipe = || pipe_with(PipeFlags::CLOEXEC).attempt(|| "make a pipe");
        if terminal {
            return Ok((
                Stdio { has_terminal: true, ..Stdio::default() },
                Theirs { stdin: super::null()?, stdout: None },
            ));
        }
        let (stdin, input) = if with_input {
            let (theirs, ours) = pipe()?;
            fcntl_setfl(&ours, OFlags::WRONLY | OFlags::NONBLOCK).attempt(|| "set a pipe up")?;
            (theirs, Some(ours))
        } else {
            (super::null()?, None)
        };
        let ((output, stdout), (errors, stderr)) = (pipe()?, pipe()?);
        for ours in [&output, &errors] {
            fcntl_setfl(ours, OFlags::RDONLY | OFlags::NONBLOCK).attempt(|| "set a pipe up")?;
        }
        let ours = Stdio { input, outputs: [Some(output), Some(errors)], ..Stdio::default() };
        Ok((ours, Theirs { stdin, stdout: Some((stdout, stderr)) }))
    }

    /// The master of the container's terminal.
    pub(super) fn terminal(&mut self, master: OwnedFd) -> Result<()> {
        fcntl_setfl(&master, OFlags::RDWR | OFlags::NONBLOCK).attempt(|| "set the terminal up")?;
        let input = master.try_clone().attempt(|| "duplicate the terminal")?;
        self.input = Some(input);
        self.outputs[0] = Some(master);
        Ok(())
    }

    /// Whether more may be sent to the container.
    pub(super) fn takes_input(&self) -> bool {
        self.pending.is_empty()
    }

    /// Adds what is waited for: as long as clients take it, what the container says.
    pub(super) fn wants<'a>(&'a self, to: &mut Vec<PollFd<'a>>, clients_take: bool) -> usize {
        for output in self.outputs.iter().flatten() {
            // Without events a hang-up would still be told, at every turn: then nothing is waited for.
            if clients_take {
                to.push(PollFd::new(output, PollFlags::IN));
            }
        }
        if let Some(input) = self.input.as_ref().filter(|_| !self.pending.is_empty()) {
            to.push(PollFd::new(input, PollFlags::OUT));
        }
        to.len()
    }

    /// Takes what is there, once from each stream that is ready, of those that were waited for.
    pub(super) fn read(&mut self, ready: &[PollFlags], clients_take: bool) -> Vec<(bool, Vec<u8>)> {
        self.write_pending();
        let mut said = Vec::new();
        // Where nobody takes it, what is ready is the input.
        if (!clients_take || ready.iter().all(|ready| ready.is_empty())) && !self.ending {
            return said;
        }
        let mut ready = ready.iter();
        for (number, output) in self.outputs.iter_mut().enumerate() {
            let Some(stream) = output else { continue };
            if !self.ending && ready.next().is_none_or(|ready| ready.is_empty()) {
                continue;
            }
            let mut buffer = vec![0; CHUNK];
            match rustix::io::read(stream.as_fd(), &mut buffer[..]) {
                Ok(length) if length > 0 => {
                    buffer.truncate(length);
                    said.push((number == 1, buffer));
                }
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) if !self.ending => {}
                // The end; EIO is a terminal's.
                _ => *output = None,
            }
        }
        said
    }

    /// The container's init has ended. Others may still hold its pipes, who are not waited for.
    pub(super) fn end(&mut self) {
        self.ending = true;
        self.input = None;
        self.pending.clear();
    }

    /// Whether all that was said has been read.
    pub(super) fn is_drained(&self) -> bool {
        self.outputs.iter().all(Option::is_none)
    }

    /// For the container to read.
    pub(super) fn input(&mut self, bytes: Vec<u8>) {
        if self.input.is_some() && !self.input_ends {
            self.pending.extend(bytes);
            self.write_pending();
        }
    }

    /// There is no more to read.
    pub(super) fn input_end(&mut self) {
        if !self.has_terminal {
            self.input_ends = true;
            self.write_pending();
        }
    }

    fn write_pending(&mut self) {
        let Some(input) = &self.input else { return };
        while !self.pending.is_empty() {
            match rustix::io::write(input, &self.pending) {
                Ok(length) => drop(self.pending.drain(..length)),
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => return,
                Err(_) => {
                    self.pending.clear();
                    self.input_ends = true;
                }
            }
        }
        if self.input_ends {
            self.input = None;
        }
        self.pending.shrink_to(CHUNK);
    }

    /// Rows and columns.
    pub(super) fn resize(&self, rows: u16, columns: u16) {
        if let Some(master) = self.outputs[0].as_ref().filter(|_| self.has_terminal) {
            let _ = tcsetwinsize(master, Winsize { ws_row: rows, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 });
        }
    }
}

impl Theirs {
    /// Makes them this process's standard streams, which the container's process gets, for as long as `during` takes.
    pub(super) fn during<T>(self, during: impl FnOnce() -> Result<T>) -> Result<T> {
        dup2_stdin(&self.stdin).attempt(|| "hand over the standard input")?;
        if let Some((stdout, stderr)) = &self.stdout {
            dup2_stdout(stdout).and_then(|()| dup2_stderr(stderr)).attempt(|| "hand over the standard output")?;
        }
        drop(self);
        let result = during();
        to_null()?;
        result
    }
}

#[cfg(test)]
mod tests {
    use rustix::event::poll;

    use super::*;

    #[test]
    fn what_is_not_waited_for_is_not_read() {
        let (mut ours, theirs) = Stdio::make(false, true).unwrap();
        let (stdout, _) = theirs.stdout.as_ref().unwrap();
        // More than the pipe holds: some of it waits.
        ours.input(vec![b'x'; 100 << 10]);
        rustix::io::read(&theirs.stdin, &mut [0; 64 << 10][..]).unwrap();
        let ready = |ours: &Stdio, clients_take| {
            let mut wanted = Vec::new();
            ours.wants(&mut wanted, clients_take);
            poll(&mut wanted, None).unwrap();
            wanted.iter().map(PollFd::revents).collect::<Vec<_>>()
        };
        let writable = ready(&ours, false);
        assert_eq!(writable, [PollFlags::OUT]);
        assert_eq!(ours.read(&writable, false), []);
        rustix::io::write(stdout, b"said").unwrap();
        assert_eq!(ours.read(&writable, false), []);
        let both = ready(&ours, true);
        assert_eq!(ours.read(&both, true), [(false, b"said".to_vec())]);
        assert_eq!(ours.read(&both, true), []);
    }
}
