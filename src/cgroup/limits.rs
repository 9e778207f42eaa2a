//! Writing limits into a group's files.

use std::os::fd::{AsFd, BorrowedFd};

use anyhow::{Result, bail};
use rustix::io::Errno;

use super::file;
use super::group::Group;
use super::plan::{IfMissing, Write};
use crate::error::Attempt;

impl Group {
    /// Writes limits, in their order, after enabling the controllers they need. The first refusal ends it; who makes a
    /// container removes its group then, and an update puts the old values back.
    pub fn apply(&self, writes: &[Write]) -> Result<()> {
        if writes.is_empty() {
            return Ok(());
        }
        self.enable_controllers(writes)?;
        let directory = self.open()?;
        writes.iter().try_for_each(|write| self.write(directory.as_fd(), write))
    }

    pub(super) fn write(&self, group: BorrowedFd<'_>, write: &Write) -> Result<()> {
        let (file, value) = match file_for(group, write)? {
            Some(target) => target,
            None => return Ok(()),
        };
        let path = self.path().join(file);
        match file::write(group, file, value) {
            Ok(()) => Ok(()),
            // Not worded as "no such file": engines take that for a program that is missing in the image.
            Err(Errno::NOENT) => {
                bail!("{}: write {value:?} to {path:?}: this kernel has no such parameter", write.field)
            }
            Err(error) => Err(error).attempt(|| match hint(file, error) {
                Some(hint) => format!("{}: write {value:?} to {path:?} ({hint})", write.field),
                None => format!("{}: write {value:?} to {path:?}", write.field),
            }),
        }
    }
}

/// The file and value to write, where the kernel has the first, the second or neither of them.
pub(super) fn file_for<'a>(group: BorrowedFd<'_>, write: &'a Write) -> Result<Option<(&'a str, &'a str)>> {
    if write.if_missing == IfMissing::Refuse || exists(group, &write.file)? {
        return Ok(Some((&write.file, &write.value)));
    }
    Ok(match &write.if_missing {
        IfMissing::Instead { file, value } => Some((file, value)),
        IfMissing::Skip | IfMissing::Refuse => None,
    })
}

fn exists(group: BorrowedFd<'_>, file: &str) -> Result<bool> {
    match rustix::fs::accessat(group, file, rustix::fs::Access::EXISTS, rustix::fs::AtFlags::empty()) {
        Ok(()) => Ok(true),
        Err(Errno::NOENT) => Ok(false),
        Err(error) => Err(error).attempt(|| format!("look for {file:?}")),
    }
}

/// What the kernel wants, where its answer alone does not say it.
fn hint(file: &str, answer: Errno) -> Option<&'static str> {
    match (file, answer) {
        ("cpu.max", Errno::INVAL) => {
            Some("a quota is at least 1000 µs and not below the burst, a period 1000 to 1000000 µs")
        }
        ("cpu.max.burst", Errno::INVAL) => Some("a burst is not above the quota"),
        ("cpu.weight", Errno::INVAL) => Some("an idle group, see cpu.idle, takes no weight"),
        ("cpuset.cpus", Errno::INVAL | Errno::RANGE) => Some("a list of processors like \"0-2,7\""),
        ("cpuset.mems", Errno::INVAL | Errno::RANGE) => Some("a list of memory nodes like \"0-1\""),
        ("io.max" | "io.weight" | "io.bfq.weight", Errno::NODEV) => {
            Some("this is no whole block device; a partition has no limits of its own")
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::super::plan;
    use super::super::scratch::Scratch;
    use super::*;
    use crate::error::{errno, sentence};

    fn writes(resources: &str) -> Vec<Write> {
        plan::writes(&serde_json::from_str(resources).unwrap()).unwrap()
    }

    #[test]
    fn a_limit_is_in_the_kernels_file() {
        let Some(scratch) = Scratch::with_controller("hugetlb") else { return };
        let group = Group::create(&scratch.hierarchy, &scratch.below("a")).unwrap();
        group.apply(&writes(r#"{"hugepageLimits":[{"pageSize":"2MB","limit":4194304}]}"#)).unwrap();
        for file in ["hugetlb.2MB.max", "hugetlb.2MB.rsvd.max"] {
            assert_eq!(std::fs::read_to_string(group.path().join(file)).unwrap(), "4194304\n", "{file}");
        }
        group.apply(&writes(r#"{"unified":{"cgroup.max.depth":"7","hugetlb.2MB.max":"max"}}"#)).unwrap();
        assert_eq!(std::fs::read_to_string(group.path().join("cgroup.max.depth")).unwrap(), "7\n");
        assert_eq!(std::fs::read_to_string(group.path().join("hugetlb.2MB.max")).unwrap(), "max\n");
    }

    #[test]
    fn a_refused_value_is_named_with_field_file_value_and_answer() {
        let Some(scratch) = Scratch::new() else { return };
        let group = Group::create(&scratch.hierarchy, &scratch.below("a")).unwrap();
        let error = group.apply(&writes(r#"{"unified":{"cgroup.max.depth":"-5"}}"#)).unwrap_err();
        let expected = format!(
            "linux.resources.unified[\"cgroup.max.depth\"]: write \"-5\" to {:?}: numerical result out of range",
            group.path().join("cgroup.max.depth")
        );
        assert_eq!(sentence(&error), expected);
        assert_eq!(errno(&error), Some(Errno::RANGE));
        let error = group.apply(&writes(r#"{"unified":{"cgroup.nonesuch":"1"}}"#)).unwrap_err();
        assert!(sentence(&error).ends_with("this kernel has no such parameter"), "{error:#}");
    }

    #[test]
    fn a_missing_file_is_skipped_or_replaced_as_the_plan_says() {
        let Some(scratch) = Scratch::new() else { return };
        let group = Group::create(&scratch.hierarchy, &scratch.below("a")).unwrap();
        let write = |if_missing| Write {
            file: "cgroup.nonesuch".into(),
            value: "1".into(),
            field: "linux.resources.x".into(),
            if_missing,
        };
        group.apply(&[write(IfMissing::Skip)]).unwrap();
        let instead = IfMissing::Instead { file: "cgroup.max.descendants".into(), value: "3".into() };
        group.apply(&[write(instead)]).unwrap();
        assert_eq!(std::fs::read_to_string(group.path().join("cgroup.max.descendants")).unwrap(), "3\n");
    }
}
