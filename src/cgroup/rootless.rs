//! Ordinary users, who may have been given a part of the tree and may not.

use anyhow::{Result, bail};
use rustix::io::Errno;

use super::plan::Write;
use crate::error::errno;

/// Whether a container of an ordinary user may run without a group of its own after `error`, the refusal to make one. It
/// may if permission is all that was missing and nothing was asked that only a group can hold. Else the error comes back
/// with the reason.
///
/// Such a container can't be paused, its processes can't be listed, and those that leave its pid namespace can't be killed.
pub fn may_do_without_group(error: anyhow::Error, cgroups_path: Option<&str>, limits: &[Write]) -> Result<()> {
    if !matches!(errno(&error), Some(Errno::ACCESS | Errno::PERM | Errno::ROFS)) {
        return Err(error);
    }
    let asked = match (limits.first(), cgroups_path) {
        (Some(limit), _) => limit.field.as_str(),
        (None, Some(path)) if !path.is_empty() => "linux.cgroupsPath",
        (None, _) => return Ok(()),
    };
    bail!(
        "{asked}: it needs a cgroup, and this user may not make one ({error:#}): run inside a delegated one (with \
         \"systemd-run --user --scope -p Delegate=yes\", or with --systemd-cgroup), or leave it out"
    )
}

#[cfg(test)]
mod tests {
    use super::super::plan;
    use super::*;
    use crate::error::Attempt;

    fn refused(number: Errno) -> anyhow::Error {
        Err::<(), _>(number).attempt(|| "make cgroup \"/x\"").unwrap_err()
    }

    #[test]
    fn a_group_is_needed_only_for_what_it_holds() {
        let limits = plan::writes(&serde_json::from_str(r#"{"pids":{"limit":5}}"#).unwrap()).unwrap();
        assert!(may_do_without_group(refused(Errno::ACCESS), None, &[]).is_ok());
        assert!(may_do_without_group(refused(Errno::ROFS), Some(""), &[]).is_ok());
        let words = |path, limits: &[Write]| {
            may_do_without_group(refused(Errno::ACCESS), path, limits).unwrap_err().to_string()
        };
        assert!(
            words(None, &limits).starts_with("linux.resources.pids.limit: it needs a cgroup, and this user may not")
        );
        assert!(words(Some("/a"), &[]).starts_with("linux.cgroupsPath: it needs a cgroup"));
        assert!(words(Some("/a"), &[]).contains("(make cgroup \"/x\": permission denied)"));
    }

    #[test]
    fn other_errors_stay_errors() {
        let error = may_do_without_group(refused(Errno::NOSPC), None, &[]).unwrap_err();
        assert_eq!(errno(&error), Some(Errno::NOSPC));
    }
}
