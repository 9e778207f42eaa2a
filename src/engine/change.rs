//! `update`: other limits for a container, and what `exec` and `logs` need of it.

use anyhow::{Result, ensure};

use super::events::Followed;
use super::log::{self, Line, Reading};
use super::record::HostConfig;
use super::specification::{self, Further};
use super::state::Status;
use super::{Container, monitor};
use crate::container::{self, UpdateOptions};
use crate::image::bundle::User;

impl Container<'_> {
    /// Changes the record by a function that says whether limits are changed; those of a container that runs are changed at once.
    pub fn update(&mut self, change: impl FnOnce(&mut HostConfig) -> Result<bool>) -> Result<()> {
        let _alone = self.lock()?;
        let with_limits = change(&mut self.record.host_config)?;
        specification::check(&self.record)?;
        if with_limits && self.state()?.status.is_up() {
            let mut resources = specification::limits(&self.record.host_config);
            let block = specification::weights(&self.record.host_config);
            if !block.is_empty() {
                resources.insert("blockIO".into(), block.into());
            }
            let options = UpdateOptions {
                resources: serde_json::from_value(resources.into())?,
                l3_cache_schema: None,
                mem_bw_schema: None,
            };
            container::update(&self.engine.host(), self.id(), &options)?;
        }
        self.write()?;
        if self.has_monitor() {
            self.monitor()?.reload(|_| ())?;
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

    /// Hands on what it said: the last lines or all, and what it says until it ends or `each` says false. None is told where
    /// nothing more is there for now.
    pub fn read_log(
        &self,
        tail: Option<usize>,
        follow: bool,
        mut each: impl FnMut(Option<Line>) -> Result<bool>,
    ) -> Result<()> {
        let directory = self.directory();
        let path = log::path(&directory, self.id());
        ensure!(directory.is_dir(), "No such container: {}", self.record.short());
        // Watched from before the first look on.
        let followed = follow.then(|| Followed::new(path.clone())).transpose()?;
        let mut reading = Reading::of(&path)?;
        if let Some(count) = tail {
            reading.tail(count)?;
        }
        loop {
            let is_over = match self.state() {
                Ok(state) => !state.status.is_up() && state.status != Status::Restarting,
                Err(_) => true,
            };
            if !reading.more(|line| each(Some(line)))? || !each(None)? {
                return Ok(());
            }
            match &followed {
                Some(followed) if !is_over => followed.wait(None)?,
                _ => return Ok(()),
            }
        }
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
