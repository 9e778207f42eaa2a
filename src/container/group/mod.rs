//! A container's cgroup: where it is, who makes it, how it is changed and how it ends.
//!
//! The two managers stand beside each other: [`cgroupfs`] makes the group itself, [`systemd`] has systemd make it. A group
//! to be is a [`Place`]; one that is written down in the state directory is [`Kept`], whatever the caller's flags say: engines
//! name the manager at `create` only.

mod cgroupfs;
mod limits;
mod systemd;

use std::path::Path;

use anyhow::Result;
use rustix::process::{Gid, Pid, Uid, geteuid};

use super::directory::Directory;
use super::options::{Host, Rootless};
use crate::cgroup::{Group, Hierarchy, Manager};
use crate::plan::namespaces::{Kind, Wanted};
use crate::spec::resources::LinuxResources;
use crate::spec::{IdMapping, Mount, Spec};

/// A container's group that is to be.
pub(super) trait Place {
    /// The file system that it is in.
    fn hierarchy(&self) -> &Hierarchy;

    /// The group, which may not be there yet.
    fn group(&self) -> &Group;

    /// What will be done, a line each.
    fn lines(&self) -> Vec<String>;

    /// Notes in the state directory what will be there, before it is: whatever else is lost, `delete` finds it.
    fn write_down(&self, directory: &Directory) -> Result<()>;

    /// Makes what can be made before the container has a process. False where the container has to do without a group.
    fn make(&mut self) -> Result<bool>;

    /// The group in which the container's first process is born; none where it is born elsewhere and waits for
    /// [`Place::adopt`].
    fn birthplace(&self) -> Option<&Group>;

    /// Takes the first process in that was born elsewhere.
    fn adopt(&mut self, first: Pid) -> Result<()>;

    /// Writes the limits, and attaches the program that decides about devices.
    fn limit(&self) -> Result<()>;

    /// Takes back what was made, as far as it goes.
    fn undo(&mut self);
}

/// A container's group that is written down.
pub(super) trait Kept {
    /// The group. Nothing is sure to be there.
    fn group(&self) -> &Group;

    /// Changes limits, and gives what the container's `linux.resources` are from now on.
    fn update(&self, stored: &LinuxResources, change: &LinuxResources) -> Result<LinuxResources>;

    /// Whether the manager may move a process into the group where the caller may not.
    fn adopts(&self) -> bool;

    /// Moves a process into `group`, this one or one below it.
    fn adopt(&self, process: Pid, group: &Group) -> Result<()>;

    /// Removes the group once its processes have ended.
    fn remove(&self) -> Result<()>;
}

/// Decides where the group will be; nowhere with the manager `disabled`.
pub(super) fn place(host: &Host, spec: &Spec, id: &str) -> Result<Option<Box<dyn Place>>> {
    match host.cgroup_manager {
        Manager::Disabled => Ok(None),
        Manager::Cgroupfs => cgroupfs::place(host, spec, id),
        Manager::Systemd => systemd::place(host, spec, id),
    }
}

/// The group that a state directory tells of.
pub(super) fn kept(directory: &Directory) -> Option<Box<dyn Kept>> {
    let group = Group::at(directory.cgroup()?);
    Some(match directory.unit() {
        Some(unit) => systemd::kept(group, &unit),
        None => cgroupfs::kept(group),
    })
}

/// Whether a refusal for want of privilege is ignored.
fn ignores_refusal(host: &Host) -> bool {
    match host.rootless {
        Rootless::True => true,
        Rootless::False => false,
        Rootless::Auto => !geteuid().is_root() || !super::host::in_initial_user_namespace(),
    }
}

fn cgroups_path(spec: &Spec) -> Option<&str> {
    Some(spec.linux.cgroups_path.as_str()).filter(|path| !path.is_empty())
}

/// config-linux.md, "Cgroup ownership": root of the container's user namespace owns the group where it is mounted writable.
pub(super) fn delegate(group: &Group, spec: &Spec, wanted: &Wanted) -> Result<()> {
    let is_writable = |mount: &Mount| {
        matches!(mount.kind.as_str(), "cgroup" | "cgroup2")
            && Path::new(&mount.destination) == Path::new("/sys/fs/cgroup")
            && !mount.options.iter().any(|option| option == "ro")
    };
    if !wanted.is_new(Kind::Cgroup) || !wanted.is_new(Kind::User) || !spec.mounts.iter().any(is_writable) {
        return Ok(());
    }
    let root_of = |mappings: &[IdMapping]| mappings.iter().find(|m| m.container_id == 0).map(|m| m.host_id);
    let Some(uid) = root_of(&spec.linux.uid_mappings) else { return Ok(()) };
    let gid = root_of(&spec.linux.gid_mappings);
    group.delegate(Uid::from_raw(uid), gid.map(Gid::from_raw))
}
