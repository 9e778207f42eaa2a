//! Giving a group to the container's root user, who may then divide it up but not raise its limits.

use std::os::fd::AsFd;

use anyhow::Result;
use rustix::fs::{AtFlags, Gid, Uid};
use rustix::io::Errno;

use super::group::Group;
use crate::error::Attempt;

/// What may be given away, before /sys/kernel/cgroup/delegate was there to say it (cgroups(7), "Delegation").
const LEAST: &str = "cgroup.procs\ncgroup.threads\ncgroup.subtree_control\n";

impl Group {
    /// Makes `owner` the owner of the directory and of the files that the kernel says are to be delegated; with no
    /// `group`, the files' group stays. The files with the limits stay root's (runtime-spec, config-linux.md, "Cgroup
    /// ownership").
    pub fn delegate(&self, owner: Uid, group: Option<Gid>) -> Result<()> {
        let directory = self.open()?;
        let listed = std::fs::read_to_string("/sys/kernel/cgroup/delegate");
        let what = || format!("change the owner of cgroup {:?} to {}", self.path(), owner.as_raw());
        rustix::fs::fchown(&directory, Some(owner), group).attempt(what)?;
        for file in listed.as_deref().unwrap_or(LEAST).lines() {
            match rustix::fs::chownat(directory.as_fd(), file, Some(owner), group, AtFlags::SYMLINK_NOFOLLOW) {
                // The list is of all controllers, also of those that the group has not.
                Ok(()) | Err(Errno::NOENT) => {}
                Err(error) => Err(error)
                    .attempt(|| format!("change the owner of {:?} to {}", self.path().join(file), owner.as_raw()))?,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::MetadataExt;

    use super::super::scratch::Scratch;
    use super::*;

    #[test]
    fn the_group_is_given_away_and_its_limits_are_not() {
        let Some(scratch) = Scratch::new() else { return };
        let group = Group::create(&scratch.hierarchy, &scratch.below("a")).unwrap();
        group.delegate(Uid::from_raw(1234), Some(Gid::from_raw(4321))).unwrap();
        let owner = |file: &str| {
            let metadata = std::fs::metadata(group.path().join(file)).unwrap();
            (metadata.uid(), metadata.gid())
        };
        for file in [".", "cgroup.procs", "cgroup.threads", "cgroup.subtree_control"] {
            assert_eq!(owner(file), (1234, 4321), "{file}");
        }
        for file in ["cgroup.kill", "cgroup.freeze", "cgroup.max.depth", "cgroup.type"] {
            assert_eq!(owner(file), (0, 0), "{file}");
        }
    }
}
