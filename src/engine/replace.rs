//! `--replace`: a new container takes the place of the one that has its name.
//!
//! The name leads to the new one before that has a record, and from the record on it is whole: until then nothing was done to the other one,
//! and after that the other one is removed. A note below `/run` names the other one, so that the next command removes it when this one is
//! killed ([`settle`]); the name of what was left half-made is given back by who removes that ([`super::remove::remains`]).

use std::fs;
use std::os::unix::fs::symlink;
use std::time::Duration;

use anyhow::Result;

use super::note::Notes;
use super::protocol::{Channel, Request};
use super::record::{self, Record};
use super::{Container, Engine, locks};
use crate::error::Attempt;

/// Each of who is replaced.
pub(super) const NOTES: Notes = Notes("replaced-");

/// For how long a command waits that has nothing to do with it.
const PATIENCE: Duration = Duration::from_secs(10);

/// Removes who was replaced by a command that is not at it any more: its name is that of another one, which is whole. What can't be removed
/// now is tried again by the next command.
pub(super) fn settle(engine: &Engine, id: &str) -> Result<()> {
    let directory = engine.directory(id);
    let Some(alone) = locks::try_alone(&directory) else {
        // Gone, or being replaced or removed.
        return if directory.exists() { Ok(()) } else { NOTES.remove(engine, id) };
    };
    let Ok(record) = engine.record(id) else { return NOTES.remove(engine, id) };
    let Some(owner) = engine.id_of_name(&record.name).filter(|owner| owner != id) else {
        // Given back to it, or free again. Else somebody has it this moment, who is seen by the next command.
        return if engine.claim(id, Some(&record.name)).is_ok() { NOTES.remove(engine, id) } else { Ok(()) };
    };
    drop(alone);
    // Whoever makes the one that has the name now has it locked until the other one is removed.
    if locks::try_alone(&engine.directory(&owner)).is_none() || !engine.has_record(&owner) {
        return Ok(());
    }
    let old = Container { engine, record };
    if let Some(monitor) = Channel::connect(&old.running())?
        && monitor.request(&Request::Stop(libc::SIGKILL, Some(0)))?
        && !monitor.ends_within(PATIENCE)?
    {
        return Ok(());
    }
    let _ = old.remove(true, false);
    if engine.has_record(id) { Ok(()) } else { NOTES.remove(engine, id) }
}

impl Container<'_> {
    /// Gives its name to a new container that lacks nothing but its record, which is written by `write`, and is removed after that. An error
    /// leaves it there.
    pub(super) fn give_way(&self, to: &Record, write: impl FnOnce() -> Result<()>) -> Result<()> {
        let engine = self.engine;
        let has_name = || engine.id_of_name(&to.name).as_deref() == Some(self.id());
        let Some(alone) = self.lock().ok().filter(|_| has_name()) else {
            // It went meanwhile, or has another name.
            engine.claim(&to.id, Some(&to.name))?;
            return write();
        };
        NOTES.write(engine, self.id(), b"")?;
        let written = engine.hand_over(&to.name, &to.id, &to.id).and_then(|()| write());
        drop(alone);
        let removed = written.and_then(|()| self.remove(true, false));
        match removed {
            Err(error) if engine.has_record(self.id()) => {
                let _ = fs::remove_file(engine.directory(&to.id).join(record::FILE));
                NOTES.remove(engine, self.id()).and(Err(error))
            }
            // What may be left of it is nobody's.
            _ => NOTES.remove(engine, self.id()),
        }
    }
}

impl Engine {
    /// Has a name lead to a container in one step, whomever it leads to now. The new link is made in the directory of `by`, who has it locked.
    pub(super) fn hand_over(&self, name: &str, to: &str, by: &str) -> Result<()> {
        let (temporary, path) = (self.directory(by).join("name"), self.name_path(name));
        let _ = fs::remove_file(&temporary);
        let made = symlink(to, &temporary).and_then(|()| fs::rename(&temporary, &path));
        made.attempt(|| format!("make the symlink {path:?}"))
    }

    /// The container that has a name by its record; the newest one, for another may have been replaced, and not be removed yet.
    pub(super) fn named_by_record(&self, name: &str) -> Option<String> {
        let records = self.ids().unwrap_or_default().into_iter().filter_map(|id| self.record(&id).ok());
        let named = records.filter(|record| record.name == name);
        named.max_by(|one, other| one.created.cmp(&other.created)).map(|record| record.id)
    }
}
