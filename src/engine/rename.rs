//! `rename`.

use anyhow::{Result, ensure};

use super::membership::Change;
use super::{Container, names};

impl Container<'_> {
    /// Gives another name. The new one is claimed, then the record is written, then the old one is given back: whatever is
    /// interrupted, the container has the name that its record says. Those in its networks find it by the new one at once.
    pub fn rename(&mut self, name: &str) -> Result<()> {
        let _alone = self.lock_for_change()?;
        let old = self.record.name.clone();
        let name = name.strip_prefix('/').unwrap_or(name);
        ensure!(name != old, "Renaming a container with the same name as its current name");
        names::check(name)?;
        if self.state()?.status.is_up() {
            Change::IsRenamed([old.clone(), name.to_owned()]).note(&self.running())?;
        }
        self.engine.claim(self.id(), Some(name))?;
        self.record.name = name.to_owned();
        if let Err(error) = self.write() {
            self.engine.release(self.id(), name);
            return Err(error);
        }
        self.engine.release(self.id(), &old);
        self.engine.networks()?.rename(self.id(), name)?;
        self.have_known(|_| ())?;
        self.engine.happened(&self.record, "rename", &[("oldName", format!("/{old}"))]);
        Ok(())
    }
}
