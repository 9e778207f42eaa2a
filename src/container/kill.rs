//! `kill`: a signal for init, or for all of a container.

use std::os::fd::AsFd;

use anyhow::{Result, bail};
use rustix::io::Errno;

use super::options::{Host, KillOptions};
use super::status::find;
use crate::error::Attempt;
use crate::sys::signal;

/// Sends a signal to the container's init.
///
/// SIGKILL for a container without a pid namespace of its own goes to every process of its cgroup, since init's end would not end
/// them.
pub fn kill(host: &Host, id: &str, options: &KillOptions) -> Result<()> {
    let found = find(&host.root, id)?;
    let number = options.signal.0;
    let whole_group = number == libc::SIGKILL && !found.record.own_pids;
    let Some((_, init)) = found.init()? else {
        // What init left behind.
        let left = found.group().filter(|group| whole_group && !group.is_empty().unwrap_or(true));
        if let Some(group) = left {
            return group.kill();
        }
        if options.all {
            return Ok(());
        }
        bail!("container not running");
    };
    if let Some(group) = found.group().filter(|_| whole_group) {
        group.kill()?;
    }
    match signal::send(init.as_fd(), number) {
        Err(Errno::SRCH) if whole_group || options.all => Ok(()),
        Err(Errno::SRCH) => bail!("container not running"),
        result => result.attempt(|| format!("send signal {number} to container {id}")),
    }
}
