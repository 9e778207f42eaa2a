//! Changing the limits of a unit that is up.

use anyhow::Result;

use super::manager::Systemd;
use super::properties::{as_systemd_keeps, limits};
use crate::cgroup::{Group, merge, with_partners};
use crate::error::sentence;
use crate::spec::resources::LinuxResources;

impl Systemd {
    /// As [`Group::update`] for the group of a unit, or one below it, with systemd told first: it would else write the old
    /// limits again at the next opportunity. If the group's files refuse, systemd is told what it had before.
    pub fn update(
        &mut self,
        unit: &str,
        group: &Group,
        stored: &LinuxResources,
        change: &LinuxResources,
    ) -> Result<LinuxResources> {
        let partnered = with_partners(stored, change);
        let properties = limits(&partnered, self.version()?)?;
        let names: Vec<&str> = properties.iter().map(|(name, _)| name.as_str()).collect();
        let before = self.get(unit, &names)?;
        self.set(unit, &properties)?;
        match group.update(stored, &as_systemd_keeps(&partnered)) {
            Ok(_) => Ok(merge(stored, change)),
            Err(error) => Err(match self.set(unit, &before) {
                Ok(()) => error,
                Err(other) => {
                    error.context(format!("systemd has not taken the old limits back ({})", sentence(&other)))
                }
            }),
        }
    }
}
