//! A container's cgroup: made, limited, and given up where nobody needs it.

use std::path::{Path, PathBuf};

use anyhow::{Result, bail};
use rustix::io::Errno;
use rustix::process::{Gid, Uid, geteuid};

use super::options::{Host, Rootless};
use crate::cgroup::{self, Group, Hierarchy, Manager, devices, plan};
use crate::error::errno;
use crate::plan::namespaces::{Kind, Wanted};
use crate::spec::Spec;
use crate::spec::resources::LinuxResources;

/// Where the container's group will be.
pub(super) struct Place {
    pub(super) hierarchy: Hierarchy,
    /// Below the hierarchy's mount point.
    path: PathBuf,
    pub(super) directory: PathBuf,
}

/// Decides where; nothing with the manager `disabled`.
pub(super) fn place(host: &Host, spec: &Spec, id: &str) -> Result<Option<Place>> {
    match host.cgroup_manager {
        Manager::Disabled => return Ok(None),
        Manager::Systemd => {
            bail!("--cgroup-manager systemd: the systemd driver is not built yet; use cgroupfs or disabled")
        }
        Manager::Cgroupfs => {}
    }
    let hierarchy = match Hierarchy::find() {
        Err(_) if ignores_refusal(host) && !needs_group(spec) => return Ok(None),
        result => result?,
    };
    let asked = (!spec.linux.cgroups_path.is_empty()).then_some(spec.linux.cgroups_path.as_str());
    let path = cgroup::path_of(asked, id, &hierarchy.own)?;
    Ok(Some(Place { directory: hierarchy.directory(&path), hierarchy, path }))
}

/// Makes it; an ordinary user who has no right to goes without, if nothing was to be limited.
pub(super) fn make(place: &Place, host: &Host, spec: &Spec) -> Result<Option<Group>> {
    match Group::create(&place.hierarchy, &place.path) {
        Err(error)
            if matches!(errno(&error), Some(Errno::ACCESS | Errno::PERM | Errno::ROFS)) && ignores_refusal(host) =>
        {
            if needs_group(spec) {
                return Err(error.context(
                    "rootless needs no limits + no cgrouppath when no permission is granted for cgroups; ask for a delegated \
                     cgroup, or remove linux.resources and linux.cgroupsPath",
                ));
            }
            Ok(None)
        }
        result => result.map(Some),
    }
}

fn ignores_refusal(host: &Host) -> bool {
    match host.rootless {
        Rootless::True => true,
        Rootless::False => false,
        Rootless::Auto => !geteuid().is_root() || !super::host::in_initial_user_namespace(),
    }
}

fn needs_group(spec: &Spec) -> bool {
    let writes = spec.linux.resources.as_ref().map(plan::writes);
    !spec.linux.cgroups_path.is_empty()
        || !matches!(writes, None | Some(Ok(_)))
        || writes.is_some_and(|writes| writes.is_ok_and(|w| !w.is_empty()))
}

/// Writes the limits, and attaches the program that decides about devices.
pub(super) fn limit(group: &Group, resources: &LinuxResources) -> Result<()> {
    group.apply(&plan::writes(resources)?)?;
    let rules = resources.devices.as_deref().unwrap_or_default();
    if rules.is_empty() {
        return Ok(());
    }
    let program = devices::Program::new(&devices::rules(rules)?);
    match group.restrict_devices(&program) {
        // In a user namespace bpf(2) is refused, and there are no device nodes but those that were bound.
        Err(error) if errno(&error) == Some(Errno::PERM) && !super::host::in_initial_user_namespace() => Ok(()),
        result => result,
    }
}

/// config-linux.md, "Cgroup ownership": root of the container's user namespace owns the group where it is mounted writable.
pub(super) fn delegate(group: &Group, spec: &Spec, wanted: &Wanted) -> Result<()> {
    let is_writable = |mount: &crate::spec::Mount| {
        matches!(mount.kind.as_str(), "cgroup" | "cgroup2")
            && Path::new(&mount.destination) == Path::new("/sys/fs/cgroup")
            && !mount.options.iter().any(|option| option == "ro")
    };
    if !wanted.is_new(Kind::Cgroup) || !wanted.is_new(Kind::User) || !spec.mounts.iter().any(is_writable) {
        return Ok(());
    }
    let root_of =
        |mappings: &[crate::spec::IdMapping]| mappings.iter().find(|m| m.container_id == 0).map(|m| m.host_id);
    let Some(uid) = root_of(&spec.linux.uid_mappings) else { return Ok(()) };
    let gid = root_of(&spec.linux.gid_mappings);
    group.delegate(Uid::from_raw(uid), gid.map(Gid::from_raw))
}
