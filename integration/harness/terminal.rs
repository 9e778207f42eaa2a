//! A terminal with a program on it, and somebody who reads and types.

use std::fs::File;
use std::io::{Read, Write};
use std::process::{Child, Command};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{Winsize, tcsetwinsize};

use super::command::{BOUND, end, readable, shell_status, shown, wait};

/// A program whose standard streams and controlling terminal are a pseudo-terminal of ours.
pub(crate) struct Terminal {
    master: File,
    child: Child,
    line: String,
    seen: String,
    /// How much of `seen` earlier expectations have used up.
    used: usize,
}

impl Terminal {
    /// Starts the program on a terminal of this size.
    pub(crate) fn start(command: &Command, rows: u16, columns: u16) -> Result<Self> {
        let master = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC).context("openpt")?;
        grantpt(&master).context("grantpt")?;
        unlockpt(&master).context("unlockpt")?;
        let name = ptsname(&master, Vec::new()).context("ptsname")?;
        let flags = OFlags::RDWR | OFlags::NOCTTY | OFlags::CLOEXEC;
        let slave = rustix::fs::open(&name, flags, Mode::empty()).with_context(|| format!("open {name:?}"))?;
        // setsid(1) makes it the controlling terminal, without which no SIGWINCH comes.
        let mut session = Command::new("setsid");
        session.args(["--ctty", "--wait"]).arg(command.get_program()).args(command.get_args());
        for (key, value) in command.get_envs() {
            match value {
                Some(value) => session.env(key, value),
                None => session.env_remove(key),
            };
        }
        session.stdin(slave.try_clone()?).stdout(slave.try_clone()?).stderr(slave);
        let line = shown(command);
        tcsetwinsize(&master, size(rows, columns)).context("set the window size")?;
        let child = session.spawn().with_context(|| format!("start `{line}` on a terminal"))?;
        Ok(Self { master: File::from(master), child, line, seen: String::new(), used: 0 })
    }

    /// Changes the terminal's size, as a window that is dragged, until the text comes. An engine's client may not listen
    /// for the first changes yet when the container's program already runs.
    pub(crate) fn resize_until(&mut self, rows: u16, columns: u16, text: &str) -> Result<()> {
        let until = Instant::now() + BOUND;
        while !self.find(text, Duration::from_secs(1))? {
            if Instant::now() > until {
                bail!("no {text:?} on the terminal of `{}` after resizing, but\n{}", self.line, self.seen);
            }
            for columns in [columns - 1, columns] {
                tcsetwinsize(&self.master, size(rows, columns)).context("set the window size")?;
            }
        }
        Ok(())
    }

    /// Types.
    pub(crate) fn type_in(&mut self, text: &str) -> Result<()> {
        self.master.write_all(text.as_bytes()).with_context(|| format!("type into `{}`", self.line))
    }

    /// Reads until the text comes, after what earlier calls have found.
    pub(crate) fn expect(&mut self, text: &str) -> Result<()> {
        if self.find(text, BOUND)? {
            return Ok(());
        }
        bail!("no {text:?} on the terminal of `{}`, but\n{}", self.line, self.seen);
    }

    /// Whether the text comes within the bound, after what earlier calls have found.
    fn find(&mut self, text: &str, bound: Duration) -> Result<bool> {
        let until = Instant::now() + bound;
        loop {
            if let Some(at) = self.seen[self.used..].find(text) {
                self.used += at + text.len();
                return Ok(true);
            }
            if !self.read_more(until.saturating_duration_since(Instant::now()))? {
                return Ok(false);
            }
        }
    }

    /// Reads to the end and waits for the program: its exit status and everything that was to be seen.
    pub(crate) fn finish(mut self) -> Result<(i32, String)> {
        let until = Instant::now() + BOUND;
        while self.read_more(until.saturating_duration_since(Instant::now()))? {}
        match wait(&mut self.child, BOUND)? {
            Some(status) => Ok((shell_status(status), std::mem::take(&mut self.seen))),
            None => bail!("`{}` has not ended within {BOUND:?}\n{}", self.line, self.seen),
        }
    }

    /// Whether something came; false at the end, which the kernel tells with EIO once nobody has the slave, and when
    /// the time is up.
    fn read_more(&mut self, bound: Duration) -> Result<bool> {
        if !readable(&self.master, bound)? {
            return Ok(false);
        }
        let mut bytes = [0; 4096];
        match self.master.read(&mut bytes) {
            Ok(0) => Ok(false),
            Ok(count) => {
                self.seen.push_str(&String::from_utf8_lossy(&bytes[..count]));
                Ok(true)
            }
            Err(error) if Errno::from_io_error(&error) == Some(Errno::IO) => Ok(false),
            Err(error) => Err(error).context("read the terminal"),
        }
    }
}

fn size(rows: u16, columns: u16) -> Winsize {
    Winsize { ws_row: rows, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        end(&mut self.child);
    }
}
