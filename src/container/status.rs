//! A container found by its id, and its status: derived from the kernel at every look, never stored.

use std::os::fd::OwnedFd;
use std::path::Path;

use anyhow::{Error, Result, anyhow};
use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags, pidfd_open};

use super::directory::Directory;
use super::group::{self, Kept};
use super::options::Status;
use super::record::{Record, stat};
use crate::cgroup::Group;
use crate::error::Attempt;

/// A container that has a record.
#[derive(Debug)]
pub(super) struct Found {
    pub(super) directory: Directory,
    pub(super) record: Record,
}

/// Finds a container.
pub(super) fn find(root: &Path, id: &str) -> Result<Found> {
    let directory = Directory::of(root, id)?;
    match directory.record()? {
        Some(record) => Ok(Found { directory, record }),
        None => Err(missing(root, id, directory.exists())),
    }
}

/// Engines look for the words "does not exist".
pub(super) fn missing(root: &Path, id: &str, has_directory: bool) -> Error {
    if !has_directory {
        return anyhow!("container does not exist: {id:?} (in {root:?})");
    }
    anyhow!(
        "container does not exist: {id:?} (in {root:?}, where it is being created or was left half-made; \
         `delete --force` removes it)"
    )
}

impl Found {
    /// Init's pidfd, if it still runs.
    pub(super) fn init(&self) -> Result<Option<(Pid, OwnedFd)>> {
        let init = self.record.init;
        let Some(pid) = Pid::from_raw(init.pid) else { return Ok(None) };
        let pidfd = match pidfd_open(pid, PidfdFlags::empty()) {
            // EINVAL: the process is gone and its number lives on as that of a process group or session, whose members
            // outlived it. Newer kernels say ESRCH there, too.
            Err(Errno::SRCH | Errno::INVAL) => return Ok(None),
            result => result.attempt(|| format!("open the pidfd of process {}", init.pid))?,
        };
        // Looked at after it was opened: what the descriptor stands for is the process that these lines are about.
        let alive =
            stat(init.pid)?.is_some_and(|now| !matches!(now.state, 'Z' | 'X') && now.start_time == init.start_time);
        Ok(alive.then_some((pid, pidfd)))
    }

    pub(super) fn group(&self) -> Option<Group> {
        self.directory.cgroup().map(Group::at)
    }

    /// The group in the hands of who made it.
    pub(super) fn kept_group(&self) -> Option<Box<dyn Kept>> {
        group::kept(&self.directory)
    }

    pub(super) fn status(&self) -> Result<Status> {
        if self.init()?.is_none() {
            return Ok(Status::Stopped);
        }
        if let Some(group) = self.group()
            && group.is_frozen().unwrap_or(false)
        {
            return Ok(Status::Paused);
        }
        Ok(if self.directory.open_gate()?.is_some() { Status::Created } else { Status::Running })
    }
}
