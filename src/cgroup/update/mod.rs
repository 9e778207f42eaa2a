//! Changing the limits of a container that runs: what is written, in which order, and what is put back on a failure.

mod merge;
mod order;
mod restore;

use std::os::fd::{AsFd, BorrowedFd};

use anyhow::Result;

use super::group::Group;
use super::plan::{self, Write};
use super::{file, limits};
use crate::error::sentence;
use crate::spec::resources::LinuxResources;

pub use merge::merge;
pub(super) use merge::with_partners;

impl Group {
    /// Changes limits, and gives what the container's `linux.resources` are from now on, for its state. `stored` is what
    /// they have been; devices are left alone. On a failure the old values are put back, as far as the kernel takes them.
    pub fn update(&self, stored: &LinuxResources, change: &LinuxResources) -> Result<LinuxResources> {
        let writes = plan::writes(&with_partners(stored, change))?;
        let merged = merge(stored, change);
        self.check_before_update(&merged, change)?;
        self.enable_controllers(&writes)?;

        let group = self.open()?;
        let current = |file: &str| file::read(group.as_fd(), file).ok();
        let writes = order::ordered(writes, current("cpu.max.burst").as_deref());
        let old = old_values(group.as_fd(), &writes)?;
        for (done, write) in writes.iter().enumerate() {
            if let Err(error) = self.write(group.as_fd(), write) {
                return Err(self.put_back(group.as_fd(), old.into_iter().take(done).flatten().collect(), error));
            }
        }
        Ok(merged)
    }

    fn check_before_update(&self, merged: &LinuxResources, change: &LinuxResources) -> Result<()> {
        let (Some(memory), Some(changed)) = (&merged.memory, &change.memory) else { return Ok(()) };
        // Only what is given now is looked at: an old limit has been lived with.
        let looked_at = crate::spec::resources::LinuxMemory {
            limit: changed.limit,
            swap: changed.swap,
            check_before_update: memory.check_before_update,
            ..Default::default()
        };
        match file::read(self.open()?.as_fd(), "memory.current").ok().and_then(|text| text.trim().parse().ok()) {
            Some(usage) => plan::refuse_below_usage(&looked_at, usage),
            // Without the controller there is no usage; the write will say what is wrong.
            None => Ok(()),
        }
    }

    /// Writes the old values, the last one that was changed first, and words what could not be put back into the error.
    fn put_back(&self, group: BorrowedFd<'_>, old: Vec<Write>, error: anyhow::Error) -> anyhow::Error {
        let failed: Vec<String> =
            old.iter().rev().filter_map(|write| self.write(group, write).err()).map(|error| sentence(&error)).collect();
        if failed.is_empty() {
            error
        } else {
            error.context(format!("the old limits are not all back ({})", failed.join("; ")))
        }
    }
}

/// For each write the one that takes it back, where there is something to take back.
fn old_values(group: BorrowedFd<'_>, writes: &[Write]) -> Result<Vec<Option<Write>>> {
    let old_value = |write: &Write| {
        let Some((file, value)) = limits::file_for(group, write)? else { return Ok(None) };
        // A file that can't be read is left for the write, whose error says more.
        let value = file::read(group, file).ok().and_then(|current| restore::value(file, value, &current));
        let (file, field, if_missing) = (file.to_owned(), write.field.clone(), plan::IfMissing::Skip);
        Ok(value.map(|value| Write { file, value, field, if_missing }))
    };
    writes.iter().map(old_value).collect()
}

#[cfg(test)]
mod tests {
    use super::super::scratch::Scratch;
    use super::*;

    fn resources(text: &str) -> LinuxResources {
        serde_json::from_str(text).unwrap()
    }

    const STORED: &str = r#"{"hugepageLimits":[{"pageSize":"2MB","limit":4194304}]}"#;

    fn limited(scratch: &Scratch) -> Group {
        let group = Group::create(&scratch.hierarchy, &scratch.below("a")).unwrap();
        group.apply(&plan::writes(&resources(STORED)).unwrap()).unwrap();
        group
    }

    fn now(group: &Group, file: &str) -> String {
        std::fs::read_to_string(group.path().join(file)).unwrap()
    }

    #[test]
    fn a_change_is_in_the_kernels_files_and_in_what_is_stored() {
        let Some(scratch) = Scratch::with_controller("hugetlb") else { return };
        let group = limited(&scratch);
        let change = r#"{"hugepageLimits":[{"pageSize":"2MB","limit":2097152}],"unified":{"cgroup.max.depth":"4"}}"#;
        let merged = group.update(&resources(STORED), &resources(change)).unwrap();
        assert_eq!(merged, resources(change));
        assert_eq!(
            (now(&group, "hugetlb.2MB.max"), now(&group, "cgroup.max.depth")),
            ("2097152\n".into(), "4\n".into())
        );
    }

    #[test]
    fn a_failure_puts_everything_back() {
        let Some(scratch) = Scratch::with_controller("hugetlb") else { return };
        let group = limited(&scratch);
        let change = r#"{"hugepageLimits":[{"pageSize":"2MB","limit":0}],
            "unified":{"cgroup.max.depth":"4","cgroup.max.descendants":"-7"}}"#;
        let error = sentence(&group.update(&resources(STORED), &resources(change)).unwrap_err());
        assert!(error.starts_with("linux.resources.unified[\"cgroup.max.descendants\"]: write \"-7\""), "{error}");
        assert_eq!(now(&group, "hugetlb.2MB.max"), "4194304\n");
        assert_eq!(now(&group, "hugetlb.2MB.rsvd.max"), "4194304\n");
        assert_eq!(now(&group, "cgroup.max.depth"), "max\n");
    }

    #[test]
    fn a_change_without_its_controller_changes_nothing() {
        let Some(scratch) = Scratch::new() else { return };
        let group = Group::create(&scratch.hierarchy, &scratch.below("a")).unwrap();
        let change = r#"{"unified":{"cgroup.max.depth":"4","nonesuch.max":"1"}}"#;
        let error = sentence(&group.update(&LinuxResources::default(), &resources(change)).unwrap_err());
        assert!(error.contains("the controller \"nonesuch\" is not available"), "{error}");
        assert_eq!(now(&group, "cgroup.max.depth"), "max\n");
    }
}
