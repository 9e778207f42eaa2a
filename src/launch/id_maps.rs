//! `/proc/PID/uid_map` and `gid_map` (user_namespaces(7)).

use std::fmt::Write;
use std::process::Command;

use anyhow::{Context, Result, bail};
use rustix::io::Errno;
use rustix::process::{Pid, getegid, geteuid};

use crate::error::{Attempt, errno};
use crate::helper;
use crate::plan::namespaces::IdMaps;
use crate::spec::IdMapping;

/// Writes both maps of the process's user namespace: directly, or where the caller is an ordinary user by the set-user-ID helpers
/// newuidmap(1) and newgidmap(1).
pub(super) fn write(pid: Pid, maps: &IdMaps) -> Result<()> {
    let pid = pid.as_raw_nonzero().get();
    one(pid, "uid_map", "newuidmap", &maps.uids, geteuid().as_raw()).context("linux.uidMappings")?;
    one(pid, "gid_map", "newgidmap", &maps.gids, getegid().as_raw()).context("linux.gidMappings")
}

fn one(pid: i32, file: &str, helper: &str, mappings: &[IdMapping], own: u32) -> Result<()> {
    let path = format!("/proc/{pid}/{file}");
    let write = || std::fs::write(&path, lines(mappings)).attempt(|| format!("write {path:?}"));
    match write() {
        Err(error) if errno(&error) == Some(Errno::PERM) => {}
        result => return result,
    }
    let is_own = matches!(mappings, [mapping] if mapping.size == 1 && mapping.host_id == own);
    if !is_own {
        return by_helper(pid, helper, mappings);
    }
    if file == "gid_map" {
        // An ordinary user may map its own group only where groups can't be dropped any more.
        let path = format!("/proc/{pid}/setgroups");
        std::fs::write(&path, "deny").attempt(|| format!("write {path:?}"))?;
    }
    write()
}

fn lines(mappings: &[IdMapping]) -> String {
    mappings.iter().fold(String::new(), |mut lines, mapping| {
        // Writing to a String does not fail.
        let _ = writeln!(lines, "{} {} {}", mapping.container_id, mapping.host_id, mapping.size);
        lines
    })
}

fn by_helper(pid: i32, helper: &str, mappings: &[IdMapping]) -> Result<()> {
    let mut command = Command::new(helper);
    command.arg(pid.to_string());
    for mapping in mappings {
        command.args([mapping.container_id, mapping.host_id, mapping.size].map(|number| number.to_string()));
    }
    let what = "map the ids of a user namespace";
    let (status, said) = helper::run(&mut command, helper::OF_IDS).context(what)?;
    if !status.success() {
        bail!("{what}: {helper}: {said}");
    }
    Ok(())
}
