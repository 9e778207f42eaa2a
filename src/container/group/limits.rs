//! What a container's group is to hold, decided before anything is made.

use anyhow::Result;
use rustix::io::Errno;

use super::ignores_refusal;
use crate::cgroup::plan::{self, Write};
use crate::cgroup::{Group, devices};
use crate::container::host::in_initial_user_namespace;
use crate::container::options::Host;
use crate::error::errno;
use crate::spec::resources::LinuxResources;

pub(super) struct Limits {
    pub(super) writes: Vec<Write>,
    devices: devices::Program,
    /// An ordinary user, or root of a user namespace, may not attach a device program, and can make no device.
    may_lack_devices: bool,
}

impl Limits {
    pub(super) fn new(host: &Host, resources: &LinuxResources) -> Result<Limits> {
        // Without any rule of its own a container has the devices that every container has, and no others.
        let rules = devices::rules(resources.devices.as_deref().unwrap_or_default())?;
        Ok(Limits {
            writes: plan::writes(resources)?,
            devices: devices::Program::new(&rules),
            may_lack_devices: ignores_refusal(host) || !in_initial_user_namespace(),
        })
    }

    pub(super) fn apply(&self, group: &Group) -> Result<()> {
        group.apply(&self.writes)?;
        match group.restrict_devices(&self.devices) {
            Err(error) if self.may_lack_devices && errno(&error) == Some(Errno::PERM) => Ok(()),
            result => result,
        }
    }

    pub(super) fn lines(&self) -> Vec<String> {
        let line = |write: &Write| format!("write {:?} to {:?} ({})", write.value, write.file, write.field);
        self.writes.iter().map(line).collect()
    }
}
