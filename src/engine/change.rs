//! `update`: other limits for a container, and what `exec` and `cp` need of it.

use anyhow::Result;

use super::group::Place;
use super::protocol::Channel;
use super::record::HostConfig;
use super::specification::{self, Further};
use super::state::Status;
use super::{Container, monitor};
use crate::container::{self, UpdateOptions};
use crate::image::bundle::User;

impl Container<'_> {
    /// Changes the record by a function that says whether limits are changed; those of a container that runs are changed at once.
    pub fn update(&mut self, change: impl FnOnce(&mut HostConfig) -> Result<bool>) -> Result<()> {
        let _alone = self.lock_for_change()?;
        let with_limits = change(&mut self.record.host_config)?;
        specification::check(&self.record)?;
        if with_limits && self.state()?.status.is_up() {
            let resources = specification::changeable(&self.record.host_config)?;
            let options = UpdateOptions { resources, l3_cache_schema: None, mem_bw_schema: None };
            container::update(&self.engine.host(), self.id(), &options)?;
            Place::of(self.engine, &self.record)?.update(self)?;
        }
        self.write()?;
        // One that is ending hears nobody any more.
        if let Some(monitor) = Channel::connect(&self.running())? {
            monitor.reload(|_| ())?;
        }
        self.engine.happened(&self.record, "update", &[]);
        Ok(())
    }

    /// Freezes it as long as the value lives, if it runs, and has a cgroup.
    pub fn freeze(&self) -> Result<Option<Frozen<'_>>> {
        if self.state()?.status != Status::Running || !self.has_group() {
            return Ok(None);
        }
        container::pause(&self.engine.host(), self.id())?;
        Ok(Some(Frozen(self)))
    }

    /// A further process for it, as the runtime wants it described.
    pub fn process(&self, user: Option<&str>, further: impl FnOnce(User) -> Further) -> Result<crate::spec::Process> {
        monitor::process_of(self.engine, &self.record, further, user)
    }
}

/// A container that does nothing for a while.
#[derive(Debug)]
pub struct Frozen<'c>(&'c Container<'c>);

impl Drop for Frozen<'_> {
    fn drop(&mut self) {
        let _ = container::resume(&self.0.engine.host(), self.0.id());
    }
}
