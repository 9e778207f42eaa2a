//! `rename`.
//!
//! Both names are noted first, below `/run`, where the next command looks anyway; the note goes last. So of a command that is killed between
//! one name is left, whether the container runs or not: the one that its record has ([`settle`]). A new start of the machine finds out by
//! itself.

use anyhow::{Context, Result, ensure};

use super::note::Notes;
use super::{Container, Engine, locks, names};

/// Each has both names.
pub(super) const NOTES: Notes = Notes("renamed-");

/// Brings a rename that nobody is at any more to its end, or takes it back.
pub(super) fn settle(engine: &Engine, id: &str) -> Result<()> {
    let directory = engine.directory(id);
    let Some(_alone) = locks::try_alone(&directory) else {
        if !directory.exists() {
            // It has been removed since, with the name that its record had.
            engine.release_stray_names();
            NOTES.remove(engine, id)?;
        }
        return Ok(());
    };
    let Ok(record) = engine.record(id) else { return Ok(()) };
    let mut container = Container { engine, record };
    container.settle_networks()?;
    container.settle_name()
}

impl Container<'_> {
    /// Gives another name. The new one is claimed, then the record is written, then the old one is given back: whatever is
    /// interrupted, the container has the name that its record says. Those in its networks find it by the new one at once; what stands in
    /// the files of those that are linked to it stays until one of the two starts again, as docker has it.
    pub fn rename(&mut self, name: &str) -> Result<()> {
        let _alone = self.lock_for_change()?;
        let old = self.record.name.clone();
        let name = name.strip_prefix('/').unwrap_or(name);
        ensure!(name != old, "Renaming a container with the same name as its current name");
        names::check(name)?;
        let both = serde_json::to_vec(&[old.as_str(), name]).context("write a note")?;
        NOTES.write(self.engine, self.id(), &both)?;
        let renamed = self.take_name(name);
        let settled = self.settle_name();
        renamed.and(settled)?;
        self.engine.happened(&self.record, "rename", &[("oldName", format!("/{old}"))]);
        Ok(())
    }

    fn take_name(&mut self, name: &str) -> Result<()> {
        self.engine.claim(self.id(), Some(name))?;
        let old = std::mem::replace(&mut self.record.name, name.to_owned());
        let written = self.write();
        if written.is_err() {
            self.record.name = old;
        }
        written
    }

    /// Leaves it with the name that its record has, in its networks as well; it is locked.
    pub(super) fn settle_name(&self) -> Result<()> {
        let Some(bytes) = NOTES.read(self.engine, self.id()) else { return Ok(()) };
        // Half a note is of one who was killed before he began.
        let names: Vec<String> = serde_json::from_slice(&bytes).unwrap_or_default();
        names.iter().filter(|name| **name != self.record.name).for_each(|name| self.engine.release(self.id(), name));
        self.engine.networks()?.rename(self.id(), &self.record.name)?;
        self.have_known(|_| ())?;
        NOTES.remove(self.engine, self.id())
    }
}
