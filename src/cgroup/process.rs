//! The processes of a group: listing, adding and killing them.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use anyhow::Result;
use rustix::io::Errno;
use rustix::process::{Pid, Signal};

use super::group::Group;
use super::{file, tree};
use crate::error::Attempt;

impl Group {
    /// The processes in the group, and with `recursive` those of the groups below it too, in ascending order.
    ///
    /// The numbers are those of the caller's pid namespace; processes that have none there are left out. A group that is
    /// not there has no processes. Threads stand for processes where the group is threaded (cgroups(7)), for the kernel
    /// lists only them there.
    pub fn pids(&self, recursive: bool) -> Result<Vec<Pid>> {
        let numbers = self.members(recursive)?;
        Ok(numbers.into_iter().filter_map(Pid::from_raw).collect())
    }

    /// As [`Group::pids`], with a 0 for each process that this pid namespace has no number for.
    pub(super) fn members(&self, recursive: bool) -> Result<Vec<i32>> {
        match self.open_if_there()? {
            None => Ok(Vec::new()),
            Some(directory) => {
                members(directory, recursive).attempt(|| format!("list the processes of cgroup {:?}", self.path()))
            }
        }
    }

    /// Moves a process into the group. It waits for a grace period of the kernel, some 10 ms: a new process is better
    /// started in the group right away (`CLONE_INTO_CGROUP` with [`Group::open`]).
    pub fn add(&self, process: Pid) -> Result<()> {
        let directory = self.open()?;
        file::write(directory.as_fd(), "cgroup.procs", &process.to_string())
            .attempt(|| format!("write \"{process}\" to {:?}", self.path().join("cgroup.procs")))
    }

    /// Kills every process in the group and below it with SIGKILL, frozen or not, new children included. They are gone
    /// when [`Group::is_empty`] says so, or [`Group::remove`] has returned. A group that is not there is no error.
    pub fn kill(&self) -> Result<()> {
        let Some(directory) = self.open_if_there()? else { return Ok(()) };
        match file::write(directory.as_fd(), "cgroup.kill", "1") {
            Ok(()) | Err(Errno::NODEV) => Ok(()),
            // Removed meanwhile, as systemd does with a unit whose last process has ended.
            Err(Errno::NOENT) if !self.exists()? => Ok(()),
            // A threaded group has the file but refuses (a process could have threads elsewhere); the root of the
            // hierarchy has none.
            Err(Errno::OPNOTSUPP | Errno::NOENT) => self.kill_each(),
            Err(error) => Err(error).attempt(|| format!("write \"1\" to {:?}", self.path().join("cgroup.kill"))),
        }
    }

    /// Holds the group still so that nothing forks, signals one process after the other, and lets it go: the signals
    /// act then. A group without a freezer (the root of the hierarchy) is left alone.
    fn kill_each(&self) -> Result<()> {
        self.freeze()?;
        let mut outcome = Ok(());
        for pid in self.pids(true)? {
            match rustix::process::kill_process(pid, Signal::KILL) {
                Ok(()) | Err(Errno::SRCH) => {}
                Err(error) => {
                    outcome = Err(error).attempt(|| format!("kill process {pid} of cgroup {:?}", self.path()));
                }
            }
        }
        self.thaw().and(outcome)
    }
}

/// The processes of an open group.
pub(super) fn members(top: OwnedFd, recursive: bool) -> rustix::io::Result<Vec<i32>> {
    let mut members = Members { numbers: Vec::new(), of_domain: false };
    if recursive {
        tree::walk(top, &mut members)?;
    } else {
        tree::Visit::enter(&mut members, top.as_fd())?;
    }
    members.numbers.sort_unstable();
    Ok(members.numbers)
}

struct Members {
    numbers: Vec<i32>,
    /// A group that lists processes was met: it lists those of threaded groups below it as well.
    of_domain: bool,
}

impl tree::Visit for Members {
    fn enter(&mut self, group: BorrowedFd<'_>) -> rustix::io::Result<()> {
        let list = match file::read(group, "cgroup.procs") {
            Ok(list) => {
                self.of_domain = true;
                list
            }
            Err(Errno::OPNOTSUPP) if self.of_domain => return Ok(()),
            Err(Errno::OPNOTSUPP) => file::read(group, "cgroup.threads")?,
            Err(error) if file::is_gone(error) => return Ok(()),
            Err(error) => return Err(error),
        };
        self.numbers.extend(list.lines().filter_map(|line| line.parse::<i32>().ok()));
        Ok(())
    }
}
