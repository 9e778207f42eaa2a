//! `linux.intelRdt`: a class of service for cache and memory bandwidth (the kernel's Documentation/filesystems/resctrl.rst).

use std::path::{Path, PathBuf};

use anyhow::{Result, bail};
use rustix::io::Errno;

use crate::error::{Attempt, errno};
use crate::spec::Linux;
use crate::sys::clone::Child;

const MOUNT: &str = "/sys/fs/resctrl";

/// The group that is made for a container and removed with it: its own, or the one that it names and that is not there yet.
/// That the name leads nowhere else is checked with the configuration.
pub(super) fn directory(linux: &Linux, id: &str) -> Option<PathBuf> {
    let rdt = linux.intel_rdt.as_ref()?;
    let name = if rdt.clos_id.is_empty() { id } else { &rdt.clos_id };
    let path = Path::new(MOUNT).join(name);
    (name != "/" && !path.exists()).then_some(path)
}

/// Makes the group, sets what it may use, and moves init into it.
pub(super) fn apply(linux: &Linux, made: Option<&Path>, init: &Child) -> Result<()> {
    let Some(rdt) = &linux.intel_rdt else { return Ok(()) };
    if !Path::new(MOUNT).join("schemata").exists() {
        bail!(
            "linux.intelRdt: resctrl is not mounted at {MOUNT:?}; mount it with \"mount -t resctrl resctrl {MOUNT}\""
        );
    }
    let own = Path::new(MOUNT).join(rdt.clos_id.trim_start_matches('/'));
    let path = made.unwrap_or(&own);
    if made.is_some() {
        std::fs::create_dir(path).attempt(|| format!("linux.intelRdt: make group {path:?}"))?;
    }
    let lines = [rdt.l3_cache_schema.as_str(), rdt.mem_bw_schema.as_str()];
    let lines: Vec<&str> =
        lines.into_iter().chain(rdt.schemata.iter().map(String::as_str)).filter(|l| !l.is_empty()).collect();
    match made {
        Some(_) => write_schemata(path, lines)?,
        None => check_schemata(path, &lines)?,
    }
    let pid = init.pid.as_raw_nonzero().to_string();
    let tasks = path.join("tasks");
    std::fs::write(&tasks, &pid).attempt(|| format!("linux.intelRdt: write {pid} to {tasks:?}"))?;
    if rdt.enable_monitoring {
        let monitor = path.join("mon_groups").join(&pid);
        std::fs::create_dir(&monitor).attempt(|| format!("linux.intelRdt.enableMonitoring: make group {monitor:?}"))?;
        let tasks = monitor.join("tasks");
        std::fs::write(&tasks, &pid).attempt(|| format!("linux.intelRdt: write {pid} to {tasks:?}"))?;
    }
    Ok(())
}

/// Writes lines of `schemata`, each in a write(2) of its own, as the kernel wants it.
pub(super) fn write_schemata<'a>(group: &Path, lines: impl IntoIterator<Item = &'a str>) -> Result<()> {
    let path = group.join("schemata");
    for line in lines {
        let line = format!("{}\n", line.trim_end());
        std::fs::write(&path, &line).attempt(|| format!("linux.intelRdt: write {line:?} to {path:?}"))?;
    }
    Ok(())
}

/// config-linux.md, "IntelRdt": a group that was there before must have what is asked for already.
fn check_schemata(group: &Path, lines: &[&str]) -> Result<()> {
    let path = group.join("schemata");
    let text = std::fs::read_to_string(&path).attempt(|| format!("linux.intelRdt: read {path:?}"))?;
    let normal = |line: &str| line.chars().filter(|letter| !letter.is_whitespace()).collect::<String>();
    let have: Vec<String> = text.lines().map(normal).collect();
    match lines.iter().flat_map(|lines| lines.lines()).find(|line| !have.contains(&normal(line))) {
        Some(line) => bail!("linux.intelRdt.schemata: {line:?} differs from what group {group:?} has"),
        None => Ok(()),
    }
}

/// Removes a container's group.
pub(super) fn remove(path: &Path) -> Result<()> {
    match std::fs::remove_dir(path).attempt(|| format!("remove resctrl group {path:?}")) {
        Err(error) if errno(&error) == Some(Errno::NOENT) => Ok(()),
        result => result,
    }
}
