//! Containers found by id, the beginning of one, or name.

use std::fs;
use std::path::PathBuf;

use anyhow::{Context, Result, bail, ensure};
use rustix::fs::FlockOperation;

use super::locks::{self, Life, Lock};
use super::protocol::Channel;
use super::record::{self, Record};
use super::state::{State, Status};
use super::{Engine, reconcile};
use crate::container;
use crate::error::Attempt;

/// A container that is there.
#[derive(Debug)]
pub struct Container<'e> {
    /// Where.
    pub engine: &'e Engine,
    /// What was asked for.
    pub record: Record,
}

impl Engine {
    /// Reads a record.
    pub(super) fn record(&self, id: &str) -> Result<Record> {
        let path = self.directory(id).join(record::FILE);
        let bytes = fs::read(&path).attempt(|| format!("read {path:?}"))?;
        serde_json::from_slice(&bytes).with_context(|| format!("{path:?} can't be read"))
    }

    pub(super) fn has_record(&self, id: &str) -> bool {
        self.directory(id).join(record::FILE).exists()
    }

    /// Finds one container.
    pub fn find(&self, text: &str) -> Result<Container<'_>> {
        let text = text.strip_prefix('/').unwrap_or(text);
        let missing = || format!("No such container: {text}");
        let is_id = text.len() == 64 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
        let id = match self.id_of_name(text) {
            _ if is_id && self.has_record(text) => text.to_owned(),
            Some(id) if self.has_record(&id) => id,
            _ => self.by_beginning(text)?.with_context(missing)?,
        };
        Ok(Container { engine: self, record: self.record(&id).with_context(missing)? })
    }

    fn by_beginning(&self, text: &str) -> Result<Option<String>> {
        if text.is_empty() || !text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f')) {
            return Ok(None);
        }
        let mut ids = self.ids()?.into_iter().filter(|id| id.starts_with(text));
        let first = ids.next();
        if ids.next().is_some() {
            bail!("Multiple IDs found with provided prefix: {text}");
        }
        Ok(first)
    }

    /// The ids of all containers that have a record, in no order.
    pub fn ids(&self) -> Result<Vec<String>> {
        let path = self.containers();
        let what = || format!("read {path:?}");
        let entries = match fs::read_dir(&path) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
            entries => entries.attempt(what)?,
        };
        let mut ids = Vec::new();
        for entry in entries {
            ids.extend(entry.attempt(what)?.file_name().into_string().ok().filter(|id| self.has_record(id)));
        }
        Ok(ids)
    }

    /// All containers, the newest first. One that goes meanwhile is left out.
    pub fn all(&self) -> Result<Vec<Container<'_>>> {
        let records = self.ids()?.into_iter().filter_map(|id| self.record(&id).ok());
        let mut all: Vec<Container<'_>> = records.map(|record| Container { engine: self, record }).collect();
        all.sort_by(|one, other| other.record.created.cmp(&one.record.created));
        Ok(all)
    }
}

impl Container<'_> {
    /// Its id.
    pub fn id(&self) -> &str {
        &self.record.id
    }

    /// Its directory.
    pub fn directory(&self) -> PathBuf {
        self.engine.directory(self.id())
    }

    /// What it has while it runs.
    pub fn running(&self) -> PathBuf {
        self.engine.running(self.id())
    }

    /// Nobody else changes it as long as this is held.
    pub(super) fn lock(&self) -> Result<Lock> {
        let alone = locks::wait(&self.directory(), FlockOperation::LockExclusive);
        // Who had it locked before may have removed it.
        let missing = || format!("No such container: {}", self.record.name);
        let alone = alone.with_context(missing)?;
        ensure!(self.engine.has_record(self.id()), missing());
        Ok(alone)
    }

    /// The same, for who changes its record: that is read again, for another one may have changed it while this one waited, or have been
    /// killed at a change of its networks or name.
    pub(super) fn lock_for_change(&mut self) -> Result<Lock> {
        let alone = self.lock()?;
        self.record =
            self.engine.record(self.id()).with_context(|| format!("No such container: {}", self.record.name))?;
        self.settle_networks()?;
        self.settle_name()?;
        Ok(alone)
    }

    /// Locks one that has no monitor. None if it runs; and if its last monitor was at its end, which is waited for here, because that
    /// may need the lock.
    pub(super) fn lock_at_rest(&self) -> Result<Option<Lock>> {
        let lock = self.lock()?;
        if !self.has_monitor() {
            return Ok(Some(lock));
        }
        let life = self.life();
        drop(lock);
        if !self.state()?.status.is_active() {
            life.wait();
        }
        Ok(None)
    }

    /// Whether its monitor lives.
    pub fn has_monitor(&self) -> bool {
        locks::is_held(&self.running().join("monitor"))
    }

    /// The life of the monitor that it has now. Who will wait for its end looks how the container stands after this, not before: else it
    /// may be the life of one that is just being started, which hears nobody yet, and whose end is that of another run.
    pub(super) fn life(&self) -> Life {
        Life::of(&self.running().join("monitor"))
    }

    /// How it stands. A monitor that was killed a moment ago is seen to first.
    pub fn state(&self) -> Result<State> {
        let mut state = match State::read(&self.directory()) {
            Err(_) if !self.has_monitor() => {
                reconcile::one(self.engine, self.id())?;
                return State::read(&self.directory());
            }
            state => state?,
        };
        if !matches!(state.status, Status::Running | Status::Restarting) {
            return Ok(state);
        }
        if !self.has_monitor() {
            reconcile::one(self.engine, self.id())?;
            return State::read(&self.directory());
        }
        if state.status == Status::Running
            && let Ok(of_runtime) = container::state(&self.engine.host(), self.id())
            && of_runtime.status == container::Status::Paused
        {
            state.status = Status::Paused;
        }
        Ok(state)
    }

    /// A connection to its monitor; an error where it doesn't run.
    pub fn monitor(&self) -> Result<Channel> {
        Channel::connect(&self.running())?.with_context(|| format!("Container {} is not running", self.id()))
    }

    /// Writes a changed record; the container is locked.
    pub(super) fn write(&self) -> Result<()> {
        super::create::write(&self.directory(), &self.record, false)
    }
}
