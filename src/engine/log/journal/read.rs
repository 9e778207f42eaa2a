//! Reading the journal, by journalctl(1).

use std::fs::File;
use std::io::{Read, Seek};
use std::process::{Child, Command, Stdio};

use anyhow::{Result, bail};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{MemfdFlags, memfd_create};
use rustix::io::Errno;

use super::super::follow::{Life, Until};
use super::super::{Line, line};
use super::message::{Entry, Export};
use crate::engine::Container;
use crate::error::Attempt;

/// As `Container::read_log`, of a container whose log is the journal.
pub(in crate::engine::log) fn read(
    container: &Container<'_>,
    tail: Option<usize>,
    follow: Option<Until>,
    each: &mut dyn FnMut(Option<Line<'_>>) -> Result<bool>,
) -> Result<()> {
    let mut reading = Reading { container, tail, cursor: String::new(), is_silent: false, each };
    if let Some(until) = follow
        && !(reading.last()? && reading.follow(until)?)
    {
        return Ok(());
    }
    reading.rest().map(drop)
}

struct Reading<'r, 'c> {
    container: &'r Container<'c>,
    tail: Option<usize>,
    /// That of the last entry that was handed on.
    cursor: String,
    /// Entries are only counted.
    is_silent: bool,
    each: &'r mut dyn FnMut(Option<Line<'_>>) -> Result<bool>,
}

impl Reading<'_, '_> {
    /// Hands on the last lines that are wanted of those that are there, and remembers where they end; false where no more is wanted. What
    /// comes afterwards is wanted as a whole, by whichever journalctl it is read.
    fn last(&mut self) -> Result<bool> {
        let Some(count) = self.tail else { return Ok(true) };
        self.is_silent = count == 0;
        self.tail = Some(count.max(1));
        let goes_on = self.rest()?;
        self.is_silent = false;
        self.tail = None;
        Ok(goes_on)
    }

    /// Hands on what is there and what comes until the container has ended, or that time has come; false where no more is wanted.
    fn follow(&mut self, until: Until) -> Result<bool> {
        let mut life = Life::default();
        let mut journal = None;
        let mut export = Export::default();
        while !until.is_over() && !life.is_over(self.container)? {
            // From the first look on, so that nothing comes in between.
            let running = match &mut journal {
                Some(running) => running,
                none => none.insert(self.start(&["--follow"])?),
            };
            let Some(output) = &mut running.child.stdout else { break };
            let mut waited = vec![PollFd::new(&*output, PollFlags::IN)];
            waited.extend(life.channel().map(|channel| PollFd::new(channel, PollFlags::IN)));
            let patience = until.left().and_then(|left| Timespec::try_from(left).ok());
            match poll(&mut waited, patience.as_ref()) {
                Ok(_) => {}
                Err(Errno::INTR) => continue,
                Err(error) => return Err(error).attempt(|| "wait for the journal"),
            }
            let ready: Vec<bool> = waited.iter().map(|one| !one.revents().is_empty()).collect();
            if ready.get(1) == Some(&true) {
                life.hear();
            }
            if ready[0] {
                let mut block = [0u8; 16 << 10];
                let length = output.read(&mut block).attempt(|| "read what journalctl says")?;
                if length == 0 {
                    running.end()?;
                    bail!("journalctl has ended");
                }
                export.push(&block[..length]);
                if !self.hand_on(&mut export)? {
                    return Ok(false);
                }
            }
        }
        Ok(true)
    }

    /// Hands on what has come since, or all; false where no more is wanted.
    fn rest(&mut self) -> Result<bool> {
        // What was sent is in the journal's files when this is done. An ordinary user may not ask for it, and waits as long as it takes.
        let synced = Command::new("journalctl").args(["--sync", "--quiet"]).stderr(Stdio::null()).status();
        synced.attempt(|| "run journalctl")?;
        let mut journal = self.start(&[])?;
        let mut export = Export::default();
        let mut block = vec![0u8; 64 << 10];
        while let Some(output) = &mut journal.child.stdout {
            let length = output.read(&mut block).attempt(|| "read what journalctl says")?;
            if length == 0 {
                journal.end()?;
                break;
            }
            export.push(&block[..length]);
            if !self.hand_on(&mut export)? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    fn start(&self, more: &[&str]) -> Result<Running> {
        let mut command = Command::new("journalctl");
        command.args(["--output=export", "--no-pager", "--quiet", "--all"]).args(more);
        match (self.cursor.as_str(), self.tail) {
            ("", None) => command.arg("--lines=all"),
            ("", Some(count)) => command.arg(format!("--lines={count}")),
            (cursor, _) => command.arg("--lines=all").arg(format!("--after-cursor={cursor}")),
        };
        command.arg(format!("CONTAINER_ID_FULL={}", self.container.id()));
        // Others can send messages with this field, too, but not as the monitor's user.
        let user = self.container.engine.user.as_ref().map_or(0, |user| user.uid);
        command.arg(format!("_UID={user}")).stdin(Stdio::null()).stdout(Stdio::piped());
        let what = || "run journalctl";
        let errors = File::from(memfd_create(c"journalctl", MemfdFlags::CLOEXEC).attempt(what)?);
        command.stderr(errors.try_clone().attempt(what)?);
        Ok(Running { child: command.spawn().attempt(what)?, errors })
    }

    fn hand_on(&mut self, export: &mut Export) -> Result<bool> {
        while let Some(Entry { mut message, is_stderr, is_partial, time, cursor, attributes }) = export.next() {
            if !is_partial {
                message.push(b'\n');
            }
            self.cursor = cursor;
            let attributes = line::attributes(attributes)?;
            let line = Line { text: &message, is_stderr, attributes: &attributes, time: &time };
            if !self.is_silent && !(self.each)(Some(line))? {
                return Ok(false);
            }
        }
        (self.each)(None)
    }
}

/// A journalctl that doesn't outlive who reads it.
struct Running {
    child: Child,
    errors: File,
}

impl Running {
    /// It says nothing more: an error, if it could not say all.
    fn end(&mut self) -> Result<()> {
        let what = || "wait for journalctl";
        let status = self.child.wait().attempt(what)?;
        if status.success() {
            return Ok(());
        }
        let mut text = String::new();
        self.errors.rewind().and_then(|()| self.errors.read_to_string(&mut text)).attempt(what)?;
        let text: Vec<&str> = text.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
        bail!("read the journal by journalctl ({status}): {}", text.join("; "))
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
