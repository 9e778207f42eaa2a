//! Freezing: what `pause` and `resume` do.

use std::os::fd::AsFd;

use anyhow::{Result, bail};
use rustix::io::Errno;

use super::events::{self, Waited};
use super::group::Group;
use super::{PATIENCE, file};
use crate::error::Attempt;

impl Group {
    /// Stops every process in the group and below it, and returns when the last one stands still. If one does not within
    /// [`PATIENCE`] the group is let go again and the error says so.
    pub fn freeze(&self) -> Result<()> {
        match self.set_frozen(true)? {
            Waited::Reached => Ok(()),
            Waited::Gone => bail!("freeze cgroup {:?}: it was removed meanwhile", self.path()),
            Waited::TimedOut => {
                self.write_freeze("0")?;
                bail!(
                    "freeze cgroup {:?}: a process does not stop within {} s; it was let run again",
                    self.path(),
                    PATIENCE.as_secs()
                )
            }
        }
    }

    /// Lets the processes run again.
    pub fn thaw(&self) -> Result<()> {
        match self.set_frozen(false)? {
            Waited::Reached => Ok(()),
            Waited::Gone => bail!("thaw cgroup {:?}: it was removed meanwhile", self.path()),
            Waited::TimedOut => bail!(
                "thaw cgroup {:?}: it is still frozen after {} s, so a group above it is frozen",
                self.path(),
                PATIENCE.as_secs()
            ),
        }
    }

    /// Whether this group was told to freeze. That a group above it is frozen does not count: a thaw of this one would
    /// not help then. A group that is not there is not frozen.
    pub fn is_frozen(&self) -> Result<bool> {
        let Some(directory) = self.open_if_there()? else { return Ok(false) };
        match file::read(directory.as_fd(), "cgroup.freeze") {
            Ok(text) => Ok(text.trim_end() == "1"),
            // The root of the hierarchy can't be frozen and has no such file.
            Err(error) if file::is_gone(error) => Ok(false),
            Err(error) => Err(error).attempt(|| format!("read {:?}", self.path().join("cgroup.freeze"))),
        }
    }

    fn set_frozen(&self, frozen: bool) -> Result<Waited> {
        let directory = self.write_freeze(if frozen { "1" } else { "0" })?;
        events::wait(directory.as_fd(), PATIENCE, |events| events.frozen == frozen)
            .attempt(|| format!("wait for {:?}", self.path().join("cgroup.events")))
    }

    fn write_freeze(&self, value: &str) -> Result<rustix::fd::OwnedFd> {
        let file = self.path().join("cgroup.freeze");
        let directory = self.open()?;
        match file::write(directory.as_fd(), "cgroup.freeze", value) {
            Ok(()) => Ok(directory),
            Err(Errno::NOENT) => bail!("write {value:?} to {file:?}: the group can't be frozen (is it the root?)"),
            Err(error) => Err(error).attempt(|| format!("write {value:?} to {file:?}")),
        }
    }
}
