//! `rm`: a container that goes, with all that it had.

use std::fs;
use std::os::unix::ffi::OsStrExt;

use anyhow::{Result, bail};

use super::locks::Life;
use super::record::Record;
use super::{Container, Engine, id_ranges, quota, reconcile, root, volume};
use crate::error::Attempt;
use crate::image::layer::tree;

impl Container<'_> {
    /// Removes it. `force` kills it before, `volumes` takes those along that were made for it.
    pub fn remove(&self, force: bool, volumes: bool) -> Result<()> {
        let life = self.life();
        let state = self.state()?;
        if state.status.is_active() {
            if !force {
                let word = state.status.word();
                bail!(
                    "cannot remove container \"/{}\": container is {word}: stop the container before removing or force remove",
                    self.record.name
                );
            }
            self.end(life)?;
            // Its monitor has removed it, or is about to.
            if self.record.host_config.auto_remove && !self.engine.has_record(self.id()) {
                return Ok(());
            }
        }
        let alone = match self.lock_at_rest() {
            // Its monitor has removed it at its end.
            Err(_) if self.record.host_config.auto_remove && !self.directory().exists() => return Ok(()),
            alone => alone?,
        };
        // Started again by somebody while we waited.
        let Some(_alone) = alone else { return self.remove(force, volumes) };
        reconcile::clean(self.engine, self.id())?;
        self.engine.erase(&self.record, volumes || self.record.host_config.auto_remove)
    }

    /// Kills it, and waits until its monitor has seen to the rest.
    fn end(&self, life: Life) -> Result<()> {
        if let Some(channel) = super::protocol::Channel::connect(&self.running())?
            && channel.request(&super::protocol::Request::Stop(libc::SIGKILL, Some(0)))?
        {
            channel.ended()?;
        }
        life.wait();
        Ok(())
    }
}

impl Engine {
    /// Removes what a container has on the disk; it is locked, and doesn't run. The record goes first: from then on it isn't there,
    /// and what is left is removed by whoever comes next.
    pub(super) fn erase(&self, record: &Record, volumes: bool) -> Result<()> {
        let directory = self.directory(&record.id);
        let path = directory.join(super::record::FILE);
        // A monitor at its end has not heard of the last rename.
        let name = self.record(&record.id).map_or_else(|_| record.name.clone(), |record| record.name);
        match fs::remove_file(&path) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                return Err(error).attempt(|| format!("remove {path:?}"));
            }
            _ => {}
        }
        if volumes {
            volume::release(self, record);
        }
        if record.ids.is_some() && self.user.is_none() {
            id_ranges::release(&record.id);
        }
        self.release(&record.id, &name);
        let removed = self.remove_directory(&record.id);
        self.happened(record, "destroy", &[]);
        removed
    }

    /// The last of it: who is killed at this leaves the directory, by which the rest is found.
    fn remove_directory(&self, id: &str) -> Result<()> {
        root::unmount(&self.directory(id).join("rootfs"))?;
        self.store.unpin(id);
        let containers = self.containers();
        let parent = fs::File::open(&containers).attempt(|| format!("open {containers:?}"))?;
        let project = quota::of(&self.directory(id));
        let removed = tree::remove(parent, id.as_bytes());
        quota::lift(&containers, project);
        removed
    }
}

/// What is left of a container without a record: nothing of it is worth keeping. What can't be removed now is found again.
pub(super) fn remains(engine: &Engine, id: &str) {
    for entry in fs::read_dir(engine.store.root().join("names")).into_iter().flatten().flatten() {
        if fs::read_link(entry.path()).is_ok_and(|target| target.as_os_str().as_bytes() == id.as_bytes()) {
            let name = entry.file_name().to_string_lossy().into_owned();
            let _ = match engine.named_by_record(&name) {
                // It was to be replaced.
                Some(other) => engine.hand_over(&name, &other, id),
                None => fs::remove_file(entry.path()).attempt(|| format!("remove {:?}", entry.path())),
            };
        }
    }
    volume::release_of(engine, id);
    if engine.user.is_none() {
        id_ranges::release(id);
    }
    let _ = engine.remove_directory(id);
}
