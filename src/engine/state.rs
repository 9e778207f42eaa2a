//! How a container stands, as far as the kernel doesn't know it: `state.json`, written by its monitor, and by whoever finds that
//! the monitor is gone.

use std::fs::File;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::Path;
use std::time::{Duration, SystemTime};

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};

use crate::error::Attempt;
use crate::image::store::file;

/// The file in a container's directory.
pub const FILE: &str = "state.json";

/// A container's status, in docker's words.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[allow(missing_docs, reason = "docker's words")]
pub enum Status {
    #[default]
    Created,
    Running,
    Paused,
    Restarting,
    Removing,
    Exited,
    Dead,
}

impl Status {
    /// docker's word.
    pub fn word(self) -> &'static str {
        match self {
            Status::Created => "created",
            Status::Running => "running",
            Status::Paused => "paused",
            Status::Restarting => "restarting",
            Status::Removing => "removing",
            Status::Exited => "exited",
            Status::Dead => "dead",
        }
    }

    /// Whether it has a process.
    pub fn is_up(self) -> bool {
        matches!(self, Status::Running | Status::Paused)
    }

    /// Whether a monitor looks after it: it has a process, or will have one again.
    pub fn is_active(self) -> bool {
        self.is_up() || self == Status::Restarting
    }
}

/// How a container stands.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct State {
    /// Its status.
    pub status: Status,
    /// Its process on the host, 0 without one.
    pub pid: i32,
    /// The status of the last end.
    pub exit_code: u8,
    /// Why it could not be started.
    pub error: String,
    /// Whether the kernel killed something in it for want of memory.
    #[serde(rename = "OOMKilled")]
    pub oom_killed: bool,
    /// RFC 3339, empty before.
    pub started_at: String,
    /// RFC 3339, empty before.
    pub finished_at: String,
    /// How often it was started again by itself.
    pub restart_count: u64,
    /// Whether somebody stopped it, so that `unless-stopped` leaves it.
    pub stopped: bool,
    /// How healthy it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub health: Option<Health>,
}

/// What came of the health check.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct Health {
    /// `starting`, `healthy` or `unhealthy`.
    pub status: String,
    /// Failures in a row.
    pub failing_streak: u64,
    /// The last five answers.
    pub log: Vec<Probe>,
}

/// One answer.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct Probe {
    /// RFC 3339.
    pub start: String,
    /// RFC 3339.
    pub end: String,
    /// 0 is well; -1 where no answer came in time.
    pub exit_code: i32,
    /// What the check said, at most 4096 bytes.
    pub output: String,
}

impl State {
    /// Reads it. None was written yet, or the power went while it was: nothing is known.
    pub fn read(directory: &Path) -> Result<State> {
        let path = directory.join(FILE);
        match std::fs::read(&path) {
            Ok(bytes) if bytes.is_empty() => Ok(State::unknown()),
            Ok(bytes) => serde_json::from_slice(&bytes).with_context(|| format!("{path:?} can't be read")),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(State::default()),
            Err(error) => Err(error).attempt(|| format!("read {path:?}")),
        }
    }

    /// That of a container of which nothing is known, but that it doesn't run.
    pub(super) fn unknown() -> State {
        State { status: Status::Exited, exit_code: 255, ..State::default() }
    }

    /// What decides whether the container is started with the machine: whether it ever was, and whether somebody stopped it.
    pub(super) fn for_boot(&self) -> (bool, bool) {
        (self.status != Status::Created, self.stopped)
    }

    /// Writes it so that a loss of power takes nothing of it.
    pub(super) fn write_synced(&self, directory: &Path) -> Result<()> {
        file::write_whole(directory, FILE, &serde_json::to_vec(self)?)
    }

    /// Writes it, to a temporary name first. It is not synced: after a crash of the machine the container doesn't run anyway.
    pub fn write(&self, directory: &Path) -> Result<()> {
        let path = directory.join(FILE);
        let temporary = directory.join(".state.json.new");
        let bytes = serde_json::to_vec(self)?;
        let written = match std::fs::write(&temporary, &bytes) {
            Err(error) if matches!(error.raw_os_error(), Some(libc::ENOSPC | libc::EDQUOT)) => {
                // How a container ended is not to be lost for want of a block.
                let _ = std::fs::remove_file(&temporary);
                write_over(&path, bytes)
            }
            written => written.and_then(|()| std::fs::rename(&temporary, &path)),
        };
        written.attempt(|| format!("write {path:?}"))
    }

    /// `Up 2 minutes (healthy)`, as `ps` words it.
    pub fn sentence(&self, now: SystemTime, age: impl Fn(Duration) -> String) -> String {
        let since = |text: &str| {
            let time = humantime::parse_rfc3339_weak(text).unwrap_or(now);
            age(now.duration_since(time).unwrap_or_default())
        };
        match self.status {
            Status::Created => "Created".into(),
            Status::Dead => "Dead".into(),
            Status::Removing => "Removal In Progress".into(),
            Status::Exited => format!("Exited ({}) {} ago", self.exit_code, since(&self.finished_at)),
            Status::Restarting => format!("Restarting ({}) {} ago", self.exit_code, since(&self.finished_at)),
            Status::Paused => format!("Up {} (Paused)", since(&self.started_at)),
            Status::Running => {
                let health = match self.health.as_ref().map(|health| health.status.as_str()) {
                    Some("starting") => " (health: starting)".to_owned(),
                    Some(status @ ("healthy" | "unhealthy")) => format!(" ({status})"),
                    _ => String::new(),
                };
                format!("Up {}{health}", since(&self.started_at))
            }
        }
    }
}

/// Writes over a file, which has its blocks. In one piece, with blanks for what it had more: whoever is killed behind it leaves a whole one.
/// What needs more blocks is refused, for only its beginning might find room.
fn write_over(path: &Path, mut bytes: Vec<u8>) -> std::io::Result<()> {
    let file = File::options().write(true).open(path)?;
    let old = file.metadata()?;
    if bytes.len() as u64 > old.blocks() * 512 {
        return Err(std::io::Error::from_raw_os_error(libc::ENOSPC));
    }
    bytes.resize(bytes.len().max(usize::try_from(old.len()).unwrap_or(0)), b' ');
    file.write_all_at(&bytes, 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_over_is_whole_or_as_it_was() {
        let directory = std::env::temp_dir().join(format!("ctn-state-{}", std::process::id()));
        std::fs::create_dir_all(&directory).unwrap();
        let path = directory.join(FILE);
        let long = Probe { output: "x".repeat(1000), ..Probe::default() };
        let mut state =
            State { health: Some(Health { log: vec![long.clone()], ..Health::default() }), ..State::default() };
        state.write(&directory).unwrap();
        let short = State { exit_code: 9, ..State::default() };
        write_over(&path, serde_json::to_vec(&short).unwrap()).unwrap();
        assert_eq!(State::read(&directory).unwrap(), short);
        // All at once: there is no moment in which the file is longer than what is read.
        assert!(std::fs::metadata(&path).unwrap().len() > 1000);
        state.health = Some(Health { log: vec![long; 100], ..Health::default() });
        let error = write_over(&path, serde_json::to_vec(&state).unwrap()).unwrap_err();
        assert_eq!(error.raw_os_error(), Some(libc::ENOSPC));
        assert_eq!(State::read(&directory).unwrap(), short);
        std::fs::remove_dir_all(&directory).unwrap();
    }
}
