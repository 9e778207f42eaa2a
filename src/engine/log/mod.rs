//! What containers say: drivers `json-file`, `local`, `journald` ([`journal`]) and `none`.
//!
//! `json-file` is docker's format, an object a line, so that whatever collects docker's logs collects these. `local` is the same, and
//! rotates without being told to (docker's has a format that is documented as nobody's business). With each line of `json-file` and
//! `journald` is said of the container what was asked for ([`tag`]).

mod follow;
mod journal;
mod line;
mod read;
mod tag;
mod write;

use std::os::fd::BorrowedFd;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};

pub use journal::Journal;
pub use read::{Line, Reading};
pub use write::Writer;

use super::options;
use super::record::{LogConfig, Record};

/// How large logs get.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of a file; none without limit.
    pub size: Option<u64>,
    /// How many files there are at most, the current one among them.
    pub files: u32,
}

impl Limits {
    /// What a configuration says; none where no files are written.
    pub fn of(log: &LogConfig) -> Result<Option<Limits>> {
        let mut limits = match log.kind.as_str() {
            "" | "json-file" => Limits { size: None, files: 1 },
            "local" => Limits { size: Some(20 << 20), files: 5 },
            "none" => {
                ensure!(log.config.is_empty(), "the log driver none takes no options");
                return Ok(None);
            }
            "journald" => {
                let unknown = log.config.keys().find(|key| !COMMON.contains(&key.as_str()) && !tag::is_option(key));
                if let Some(key) = unknown {
                    bail!("unknown log opt '{key}' for journald log driver");
                }
                ensure_blocking(log)?;
                tag::check(log)?;
                return Ok(None);
            }
            other => bail!("the log driver {other:?} is not supported: use json-file, local, journald or none"),
        };
        for (key, value) in &log.config {
            let wrong = || format!("invalid value for log option {key}: {value:?}");
            match key.as_str() {
                "max-size" if value == "-1" => limits.size = None,
                "max-size" => {
                    let size = options::bytes(value).with_context(wrong)?;
                    ensure!(size > 0, "{}", wrong());
                    limits.size = Some(size);
                }
                "max-file" => {
                    limits.files = value.parse().ok().filter(|files| *files > 0).with_context(wrong)?;
                }
                // `false` is what is done in any case.
                "compress" => ensure!(
                    value.parse().ok() == Some(false),
                    "log option compress: what is rotated is kept as it is, and can't be {value:?}"
                ),
                key if COMMON.contains(&key) || (tag::is_option(key) && log.kind != "local") => {}
                _ if log.kind == "local" => bail!("unknown log opt '{key}' for log driver local"),
                _ => bail!("unknown log opt '{key}' for json-file log driver"),
            }
        }
        ensure_blocking(log)?;
        tag::check(log)?;
        ensure!(limits.files == 1 || limits.size.is_some(), "max-file needs max-size: a log without limit is one file");
        Ok(Some(limits))
    }
}

/// Options of every driver.
const COMMON: [&str; 2] = ["mode", "max-buffer-size"];

/// What a container says waits until it is kept, and nothing of it is dropped.
fn ensure_blocking(log: &LogConfig) -> Result<()> {
    let mode = log.config.get("mode").map_or("blocking", String::as_str);
    ensure!(
        mode != "non-blocking",
        "log option mode: non-blocking is not supported, for nothing that was said is dropped"
    );
    ensure!(matches!(mode, "" | "blocking"), "logger: logging mode not supported: {mode}");
    ensure!(
        !log.config.contains_key("max-buffer-size"),
        "logger: max-buffer-size option is only supported with 'mode=non-blocking'"
    );
    Ok(())
}

fn is_journal(log: &LogConfig) -> bool {
    log.kind == "journald"
}

/// Where what a container says is written to.
#[derive(Debug)]
pub enum Log {
    /// Files.
    Files(Writer),
    /// systemd's journal.
    Journal(Journal),
}

impl Log {
    /// Opens that of a container; none for `none`.
    pub fn open(record: &Record, directory: &Path) -> Result<Option<Log>> {
        let config = &record.host_config.log_config;
        let limits = Limits::of(config)?;
        if is_journal(config) {
            return Journal::open(record).map(Log::Journal).map(Some);
        }
        let Some(limits) = limits else { return Ok(None) };
        let attributes = line::attributes(tag::attributes(record)?)?;
        Writer::open(path(directory, &record.id), limits, attributes).map(Log::Files).map(Some)
    }

    /// Takes what was said.
    pub fn write(&mut self, is_stderr: bool, bytes: &[u8]) -> Result<()> {
        match self {
            Log::Files(files) => files.write(is_stderr, bytes),
            Log::Journal(journal) => journal.write(is_stderr, bytes),
        }
    }

    /// At the end: lines that never got theirs.
    pub fn finish(&mut self) -> Result<()> {
        match self {
            Log::Files(files) => files.finish(),
            Log::Journal(journal) => journal.finish(),
        }
    }

    /// Writes what had no room before.
    pub fn flush(&mut self) -> Result<()> {
        match self {
            Log::Files(_) => Ok(()),
            Log::Journal(journal) => journal.flush(),
        }
    }

    /// What poll(2) says of when there is room again (POLLOUT), if something waits for it.
    pub fn waits(&self) -> Option<BorrowedFd<'_>> {
        match self {
            Log::Files(_) => None,
            Log::Journal(journal) => journal.waits(),
        }
    }
}

/// Where a container's log is, if it is files.
pub fn path(directory: &Path, id: &str) -> PathBuf {
    directory.join(format!("{id}-json.log"))
}

/// An older file.
fn rotated(path: &Path, number: u32) -> PathBuf {
    if number == 0 {
        return path.into();
    }
    let mut name = path.as_os_str().to_owned();
    name.push(format!(".{number}"));
    name.into()
}
