//! `pause`, `resume` and `ps`: what the cgroup can do for all processes of a container.

use anyhow::{Result, bail};

use super::options::{Host, Status};
use super::status::{Found, find};
use crate::cgroup::Group;

fn group(found: &Found) -> Result<Group> {
    match found.group() {
        Some(group) => Ok(group),
        None => bail!("container {} has no cgroup of its own", found.record.id),
    }
}

/// Freezes a container.
pub fn pause(host: &Host, id: &str) -> Result<()> {
    let found = find(&host.root, id)?;
    match found.status()? {
        Status::Running | Status::Created => group(&found)?.freeze(),
        status => bail!("container not running: it is {status}"),
    }
}

/// Thaws a container.
pub fn resume(host: &Host, id: &str) -> Result<()> {
    let found = find(&host.root, id)?;
    match found.status()? {
        Status::Paused => group(&found)?.thaw(),
        _ => bail!("container not paused"),
    }
}

/// The pids of all processes of a container, as the caller sees them.
pub fn pids(host: &Host, id: &str) -> Result<Vec<i32>> {
    let found = find(&host.root, id)?;
    if found.status()? == Status::Stopped && found.group().is_none_or(|group| group.is_empty().unwrap_or(true)) {
        return Ok(Vec::new());
    }
    let pids = group(&found)?.pids(true)?;
    Ok(pids.into_iter().map(|pid| pid.as_raw_nonzero().get()).collect())
}
