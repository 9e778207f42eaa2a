//! `--replace`: a new container takes the place of the one that has its name.
//!
//! The name leads to the new one before that has a record, and from the record on it is whole: until then nothing was done to the other one,
//! and after that the other one is removed. A note below `/run` names the other one, so that the next command removes it when this one is
//! killed ([`settle`]); the name of what was left half-made is given back by who removes that ([`super::remove::remains`]).

use std::fs;
use std::io::ErrorKind;
use std::os::unix::fs::symlink;
use std::path::PathBuf;

use anyhow::Result;

use super::record::{self, Record};
use super::{Container, Engine, locks};
use crate::error::Attempt;

/// What the name of a note begins with; then comes the id of who is replaced.
const NOTE: &str = "replaced-";

/// The container whose note has this name.
pub(super) fn noted(file: &str) -> Option<&str> {
    file.strip_prefix(NOTE)
}

/// Removes who was replaced. What can't be removed now is tried again by the next command.
pub(super) fn settle(engine: &Engine, id: &str) -> Result<()> {
    let directory = engine.directory(id);
    let Some(alone) = locks::try_alone(&directory) else {
        // Gone, or being replaced or removed.
        return if directory.exists() { Ok(()) } else { remove_note(engine, id) };
    };
    match engine.record(id) {
        Ok(record) if is_replaced(engine, &record) => {
            drop(alone);
            let _ = Container { engine, record }.remove(true, false);
            if engine.has_record(id) { Ok(()) } else { remove_note(engine, id) }
        }
        _ => remove_note(engine, id),
    }
}

/// Whether somebody else has its name, with all that makes a container.
fn is_replaced(engine: &Engine, record: &Record) -> bool {
    let other = engine.id_of_name(&record.name).filter(|other| *other != record.id);
    other.is_some_and(|other| engine.record(&other).is_ok_and(|other| other.name == record.name))
}

fn note(engine: &Engine, id: &str) -> PathBuf {
    engine.run.join(format!("{NOTE}{id}"))
}

fn remove_note(engine: &Engine, id: &str) -> Result<()> {
    let path = note(engine, id);
    match fs::remove_file(&path) {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(error).attempt(|| format!("remove {path:?}")),
        _ => Ok(()),
    }
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
        let note = note(engine, self.id());
        fs::write(&note, "").attempt(|| format!("make {note:?}"))?;
        let written = engine.hand_over(&to.name, &to.id, &to.id).and_then(|()| write());
        drop(alone);
        let removed = written.and_then(|()| self.remove(true, false));
        match removed {
            // What is left of it is nobody's.
            Err(_) if !engine.has_record(self.id()) => remove_note(engine, self.id()),
            Ok(()) => remove_note(engine, self.id()),
            Err(error) => {
                let _ = fs::remove_file(engine.directory(&to.id).join(record::FILE));
                remove_note(engine, self.id()).and(Err(error))
            }
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

    /// The container that has a name by its record.
    pub(super) fn named_by_record(&self, name: &str) -> Option<String> {
        let ids = self.ids().unwrap_or_default();
        ids.into_iter().find(|id| self.record(id).is_ok_and(|record| record.name == name))
    }
}
