//! What containers say: drivers `json-file`, `local`, `journald` ([`journal`]) and `none`.
//!
//! `json-file` is docker's format, an object a line, so that whatever collects docker's logs collects these. `local` is the same, and
//! rotates and compresses without being told to (docker's has a format that is documented as nobody's business). With each line of
//! `json-file` and `journald` is said of the container what was asked for ([`tag`]).

mod aside;
mod compress;
mod file;
mod follow;
mod journal;
mod line;
mod options;
mod parts;
mod read;
mod ring;
mod tag;
mod tail;
mod write;

use std::os::fd::BorrowedFd;
use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::Result;
use rustix::event::PollFlags;
use rustix::process::Pid;

pub use aside::Aside;
pub use follow::Until;
pub use journal::Journal;
pub use options::Limits;
pub use read::{Line, Reading};
pub use write::Writer;

use super::record::{LogConfig, Record};
use crate::error::Attempt;

fn is_journal(log: &LogConfig) -> bool {
    log.kind == "journald"
}

/// Where what a container says is written to.
#[derive(Debug)]
pub enum Log {
    /// Files.
    Files(Writer),
    /// Files that are not waited for.
    Aside(Aside),
    /// systemd's journal.
    Journal(Journal),
}

impl Log {
    /// Opens that of a container; none for `none`.
    pub fn open(record: &Record, directory: &Path) -> Result<Option<Log>> {
        let config = &record.host_config.log_config;
        let limits = Limits::of(config)?;
        let buffer = options::buffer(config)?;
        if is_journal(config) {
            return Journal::open(record, buffer).map(Log::Journal).map(Some);
        }
        let Some(limits) = limits else { return Ok(None) };
        let attributes = line::attributes(tag::attributes(record)?)?;
        let path = path(directory, &record.id);
        Ok(Some(match buffer {
            Some(buffer) => Log::Aside(Aside::new(path, limits, attributes, buffer)),
            None => Log::Files(Writer::open(path, limits, attributes)?),
        }))
    }

    /// Takes what was said.
    pub fn write(&mut self, is_stderr: bool, bytes: &[u8]) -> Result<()> {
        match self {
            Log::Files(files) => files.write(is_stderr, bytes),
            Log::Aside(aside) => aside.write(is_stderr, bytes),
            Log::Journal(journal) => journal.write(is_stderr, bytes),
        }
    }

    /// At the end: lines that never got theirs.
    pub fn finish(&mut self) -> Result<()> {
        match self {
            Log::Files(files) => files.finish(),
            Log::Aside(aside) => aside.finish(),
            Log::Journal(journal) => journal.finish(),
        }
    }

    /// Writes what had no room before.
    pub fn flush(&mut self) -> Result<()> {
        match self {
            Log::Files(_) => Ok(()),
            Log::Aside(aside) => aside.flush(),
            Log::Journal(journal) => journal.flush(),
        }
    }

    /// What poll(2) says of when [`Log::flush`] has something to do.
    pub fn waits(&self) -> Option<(BorrowedFd<'_>, PollFlags)> {
        match self {
            Log::Files(_) => None,
            Log::Aside(aside) => aside.waits(),
            Log::Journal(journal) => journal.waits().map(|socket| (socket, PollFlags::OUT)),
        }
    }

    /// When [`Log::flush`] has something to do whatever poll(2) says.
    pub fn resumes(&self) -> Option<Instant> {
        match self {
            Log::Aside(aside) => aside.resumes(),
            Log::Files(_) | Log::Journal(_) => None,
        }
    }

    /// Whether nothing more may be said before something of what was said is written.
    pub fn is_full(&self) -> bool {
        match self {
            Log::Files(_) | Log::Aside(_) => false,
            Log::Journal(journal) => journal.is_full(),
        }
    }

    /// Whether, once it is finished, all is where it belongs.
    pub fn is_settled(&self) -> bool {
        match self {
            Log::Files(files) => files.is_settled(),
            Log::Aside(aside) => aside.is_settled(),
            Log::Journal(journal) => journal.waits().is_none(),
        }
    }

    /// A child of this process has ended.
    pub fn reaped(&mut self, pid: Pid, status: u8) {
        if let Log::Files(files) = self {
            files.files().reaped(pid, status);
        }
    }

    /// Waits for nothing any more: whatever is written beside is left as it is.
    pub fn abandon(&mut self) {
        match self {
            Log::Files(files) => files.files().abandon(),
            Log::Aside(aside) => aside.abandon(),
            Log::Journal(_) => {}
        }
    }
}

/// Where a container's log is, if it is files.
pub fn path(directory: &Path, id: &str) -> PathBuf {
    directory.join(format!("{id}-json.log"))
}

/// Removes what a monitor that was killed has left half made of a container's files.
pub fn tidy(directory: &Path, id: &str) -> Result<()> {
    let path = path(directory, id);
    compress::tidy(&path).attempt(|| format!("tidy up the log {path:?}")).map(drop)
}
