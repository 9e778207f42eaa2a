//! Controllers: a group has those that each group above it hands down in `cgroup.subtree_control`.

use std::collections::BTreeMap;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};

use anyhow::{Result, anyhow, bail};
use rustix::fs::CWD;
use rustix::io::Errno;

use super::group::Group;
use super::plan::{self, Write};
use super::{file, process};
use crate::error::Attempt;

impl Group {
    /// Enables, down the path to the group, the controllers that these writes need and that are not there yet; others
    /// are left as they are. Done before the container's first process is in the group it costs the kernel nothing,
    /// later it has to stop all that fork meanwhile.
    ///
    /// What was enabled stays so even if the container fails: a group beside it may count on it by then.
    pub fn enable_controllers(&self, writes: &[Write]) -> Result<()> {
        let needed = plan::controllers(writes);
        if needed.is_empty() { Ok(()) } else { provide(self.path(), &self.open()?, needed) }
    }
}

/// Controllers by name, each with the property that needs it.
type Needed = BTreeMap<String, String>;

fn provide(path: &Path, group: &OwnedFd, needed: Needed) -> Result<()> {
    let missing = lacking(path, group, needed)?;
    let Some(first_field) = missing.values().next().cloned() else { return Ok(()) };
    let Some((above, parent)) = parent_of(path)? else { return Err(unavailable(path, &missing)) };
    provide(&above, &parent, missing.clone())?;

    let command = missing.keys().map(|name| format!("+{name}")).collect::<Vec<_>>().join(" ");
    let subtree_control = above.join("cgroup.subtree_control");
    match file::write(parent.as_fd(), "cgroup.subtree_control", &command) {
        Ok(()) => Ok(()),
        Err(Errno::BUSY) => bail!(
            "{first_field}: write {command:?} to {subtree_control:?}: device or resource busy: processes {:?} are in \
             {above:?} itself, and a group with processes hands no controllers down (cgroups(7), \"no internal \
             processes\"): move them to a group below it, or let linux.cgroupsPath name another place",
            process::members(parent, false).unwrap_or_default()
        ),
        Err(Errno::OPNOTSUPP) => bail!(
            "{first_field}: write {command:?} to {subtree_control:?}: operation not supported: {above:?} is threaded \
             (its cgroup.type is {:?}), and in a threaded tree only cpu, cpuset, pids and perf_event can be had",
            file::read(parent.as_fd(), "cgroup.type").unwrap_or_default().trim_end()
        ),
        Err(error @ (Errno::ACCESS | Errno::PERM | Errno::ROFS)) => Err(error).attempt(|| {
            format!(
                "{first_field}: write {command:?} to {subtree_control:?} (the controllers are not delegated to this user; \
                 \"Delegate=cpu cpuset io memory pids\" in the unit user@.service does it)"
            )
        }),
        Err(error) => Err(error).attempt(|| format!("{first_field}: write {command:?} to {subtree_control:?}")),
    }
}

/// Those of the needed controllers that the group has not.
fn lacking(path: &Path, group: &OwnedFd, mut needed: Needed) -> Result<Needed> {
    let there = file::read(group.as_fd(), "cgroup.controllers")
        .attempt(|| format!("read {:?}", path.join("cgroup.controllers")))?;
    needed.retain(|name, _| !there.split_whitespace().any(|one| one == name));
    Ok(needed)
}

/// The group above, unless this one is the top of what is mounted.
fn parent_of(path: &Path) -> Result<Option<(PathBuf, OwnedFd)>> {
    let Some(above) = path.parent() else { return Ok(None) };
    match file::directory(CWD, above) {
        Ok(parent) => Ok(Some((above.to_path_buf(), parent))),
        Err(Errno::MEDIUMTYPE) => Ok(None),
        Err(error) => Err(error).attempt(|| format!("open cgroup {above:?}")),
    }
}

/// The sentence for a controller that the topmost group has not either.
fn unavailable(top: &Path, missing: &Needed) -> anyhow::Error {
    let bound = std::fs::read_to_string("/proc/cgroups").unwrap_or_default();
    let Some((controller, field)) = missing.iter().next() else { return anyhow!("no controller is missing") };
    anyhow!(
        "{field}: the controller {controller:?} is not available in {top:?}: {}",
        match host_state(&bound, controller) {
            HostState::Version1 =>
                "this host drives it with cgroup v1; boot with \"systemd.unified_cgroup_hierarchy=1\" or \
                 \"cgroup_no_v1=all\" on the kernel's command line, or leave the limit out",
            HostState::Disabled =>
                "it is disabled by \"cgroup_disable=\" on the kernel's command line; take it off there (for memory on \
                 some boards: put \"cgroup_enable=memory\" on), or leave the limit out",
            HostState::Free =>
                "the groups above do not hand it down to here; have them delegate it (in a systemd unit: \
                 \"Delegate=yes\"), or leave the limit out",
            HostState::Unknown => "this kernel is built without it; leave the limit out",
        }
    )
}

#[derive(Debug, PartialEq, Eq)]
enum HostState {
    Version1,
    Disabled,
    Free,
    Unknown,
}

/// Reads /proc/cgroups (cgroups(7)): name, hierarchy (0 for cgroup v2 or none), number of groups, enabled.
fn host_state(proc_cgroups: &str, controller: &str) -> HostState {
    let name = if controller == "io" { "blkio" } else { controller };
    let fields = proc_cgroups.lines().map(|line| line.split_whitespace().collect::<Vec<_>>());
    match fields.into_iter().find(|fields| fields.first() == Some(&name)).as_deref() {
        Some([_, _, _, "0"]) => HostState::Disabled,
        Some([_, "0", ..]) => HostState::Free,
        Some([_, _, ..]) => HostState::Version1,
        _ => HostState::Unknown,
    }
}

#[cfg(test)]
mod tests {
    use super::super::scratch::Scratch;
    use super::*;
    use crate::error::sentence;

    fn writes(resources: &str) -> Vec<Write> {
        plan::writes(&serde_json::from_str(resources).unwrap()).unwrap()
    }

    const HUGE: &str = r#"{"hugepageLimits":[{"pageSize":"2MB","limit":4194304}]}"#;

    #[test]
    fn proc_cgroups_tells_why_a_controller_is_missing() {
        let text = "#subsys_name\thierarchy\tnum_cgroups\tenabled\nblkio\t7\t1\t1\nmemory\t0\t1\t0\npids\t0\t1\t1\n";
        assert_eq!(host_state(text, "io"), HostState::Version1);
        assert_eq!(host_state(text, "memory"), HostState::Disabled);
        assert_eq!(host_state(text, "pids"), HostState::Free);
        assert_eq!(host_state(text, "rdma"), HostState::Unknown);
    }

    #[test]
    fn a_controller_that_nobody_has_is_named_with_the_property() {
        let Some(scratch) = Scratch::new() else { return };
        let group = Group::create(&scratch.hierarchy, &scratch.below("a")).unwrap();
        let error = sentence(&group.enable_controllers(&writes(r#"{"unified":{"nonesuch.max":"1"}}"#)).unwrap_err());
        let expected = format!(
            "linux.resources.unified[\"nonesuch.max\"]: the controller \"nonesuch\" is not available in {:?}: this kernel",
            scratch.hierarchy.mount_point
        );
        assert!(error.starts_with(&expected), "{error}");
    }

    #[test]
    fn controllers_are_enabled_down_the_path() {
        let Some(scratch) = Scratch::with_controller("hugetlb") else { return };
        let group = Group::create(&scratch.hierarchy, &scratch.below("a/b/c")).unwrap();
        group.enable_controllers(&writes(HUGE)).unwrap();
        group.enable_controllers(&writes(HUGE)).unwrap();
        for (above, handed_down) in [("", "hugetlb\n"), ("a", "hugetlb\n"), ("a/b", "hugetlb\n"), ("a/b/c", "\n")] {
            let file = scratch.directory(above).join("cgroup.subtree_control");
            assert_eq!(std::fs::read_to_string(&file).unwrap().trim(), handed_down.trim(), "{file:?}");
        }
        assert!(group.path().join("hugetlb.2MB.max").exists());
    }

    #[test]
    fn a_group_with_processes_hands_nothing_down_and_the_error_says_so() {
        let Some(scratch) = Scratch::with_controller("hugetlb") else { return };
        let above = Group::create(&scratch.hierarchy, &scratch.below("a")).unwrap();
        let process = scratch.process_in(above.path());
        let group = Group::create(&scratch.hierarchy, &scratch.below("a/b")).unwrap();
        let error = sentence(&group.enable_controllers(&writes(HUGE)).unwrap_err());
        assert!(error.starts_with("linux.resources.hugepageLimits[0].limit: write \"+hugetlb\" to "), "{error}");
        assert!(error.contains(&format!("processes [{}] are in", process.pid())), "{error}");
    }

    #[test]
    fn a_threaded_tree_takes_a_container_but_no_domain_controller() {
        let Some(scratch) = Scratch::with_controller("hugetlb") else { return };
        let beside = Group::create(&scratch.hierarchy, &scratch.below("top/beside")).unwrap();
        std::fs::write(beside.path().join("cgroup.type"), "threaded").unwrap();
        let group = Group::create(&scratch.hierarchy, &scratch.below("top/container")).unwrap();
        let process = scratch.process_in(group.path());
        assert_eq!(group.pids(false).unwrap(), [process.pid()]);
        let error = sentence(&group.enable_controllers(&writes(HUGE)).unwrap_err());
        assert!(error.contains("\"domain threaded\"") && error.contains("operation not supported"), "{error}");
    }
}
