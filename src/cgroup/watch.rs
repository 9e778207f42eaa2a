//! Waiting for what happens to a group: a process killed for want of memory, or its end.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::{Duration, Instant};

use anyhow::Result;
use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::io::Errno;

use super::events::Events;
use super::file;
use super::group::Group;
use super::statistics;
use crate::error::Attempt;

/// What has happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Happening {
    /// Processes of the group, or below it, were killed for want of memory.
    OutOfMemory,
    /// The last process has left, or the group was removed.
    Ended,
    /// The time is over.
    TimedOut,
}

/// Watches `memory.events` and `cgroup.events`, whose changes the kernel signals to poll(2). Without the memory controller
/// only the end is seen.
#[derive(Debug)]
pub struct Watch {
    group: Option<OwnedFd>,
    memory: Option<OwnedFd>,
    kills: u64,
}

impl Group {
    /// Watches the group from now on: kills that were before are not told of.
    pub fn watch(&self) -> Result<Watch> {
        let mut watch = self.watch_from_its_beginning()?;
        watch.kills = watch.kills_now();
        Ok(watch)
    }

    /// Watches the group; kills that were before are told of, too.
    pub fn watch_from_its_beginning(&self) -> Result<Watch> {
        let Some(directory) = self.open_if_there()? else { return Ok(Watch { group: None, memory: None, kills: 0 }) };
        let open = |name: &str| match file::open(directory.as_fd(), name) {
            Ok(file) => Ok(Some(file)),
            Err(error) if file::is_gone(error) => Ok(None),
            Err(error) => Err(error).attempt(|| format!("open {:?}", self.path().join(name))),
        };
        Ok(Watch { group: open("cgroup.events")?, memory: open("memory.events")?, kills: 0 })
    }
}

impl Watch {
    /// Waits until something happens, no longer than `patience` if that is given. After [`Happening::Ended`] nothing else
    /// will come.
    pub fn next(&mut self, patience: Option<Duration>) -> Result<Happening> {
        let deadline = patience.and_then(|patience| Instant::now().checked_add(patience));
        loop {
            // In this order: a kill that emptied the group was counted before the group was empty.
            let has_ended = self.has_ended();
            let kills = self.kills_now();
            if let Some(happening) = happening(self.kills, kills, has_ended) {
                self.kills = kills;
                return Ok(happening);
            }
            let left = deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
            if left.is_some_and(|left| left.is_zero()) {
                return Ok(Happening::TimedOut);
            }
            self.poll(left)?;
        }
    }

    /// What poll(2) is to be asked for POLLPRI of, by who waits for other things, too, and then calls [`Watch::next`] without patience.
    /// After the end of the group it is ready for ever.
    pub fn of_memory(&self) -> Option<BorrowedFd<'_>> {
        self.memory.as_ref().map(AsFd::as_fd)
    }

    fn poll(&self, patience: Option<Duration>) -> Result<()> {
        let files = [&self.group, &self.memory].into_iter().flatten();
        let mut watched: Vec<PollFd<'_>> = files.map(|file| PollFd::new(file, PollFlags::PRI)).collect();
        let patience = patience.and_then(|patience| Timespec::try_from(patience).ok());
        match rustix::event::poll(&mut watched, patience.as_ref()) {
            Ok(_) | Err(Errno::INTR) => Ok(()),
            Err(error) => Err(error).attempt(|| "wait for a change of the cgroup"),
        }
    }

    fn has_ended(&self) -> bool {
        let text = self.group.as_ref().and_then(|file| file::read_again(file.as_fd()).ok());
        text.is_none_or(|text| !Events::parse(&text).populated)
    }

    /// The group may be gone, and then no process of it is killed any more.
    fn kills_now(&self) -> u64 {
        let text = self.memory.as_ref().and_then(|file| file::read_again(file.as_fd()).ok());
        text.map_or(self.kills, |text| statistics::kills(&text))
    }
}

/// What is to be told of: kills first, for nothing comes after the end.
fn happening(kills_before: u64, kills_now: u64, has_ended: bool) -> Option<Happening> {
    match (kills_now > kills_before, has_ended) {
        (true, _) => Some(Happening::OutOfMemory),
        (false, true) => Some(Happening::Ended),
        (false, false) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::super::scratch::Scratch;
    use super::*;

    #[test]
    fn patience_may_be_longer_than_the_clock_runs() {
        let mut watch = Watch { group: None, memory: None, kills: 0 };
        assert_eq!(watch.next(Some(Duration::MAX)).unwrap(), Happening::Ended);
    }

    #[test]
    fn the_end_of_the_last_process_is_seen() {
        let Some(scratch) = Scratch::new() else { return };
        let group = Group::create(&scratch.hierarchy, &scratch.below("a")).unwrap();
        let (one, two) = (scratch.process_in(group.path()), scratch.process_in(group.path()));
        let mut watch = group.watch().unwrap();
        assert_eq!(watch.next(Some(Duration::ZERO)).unwrap(), Happening::TimedOut);
        drop(one);
        assert_eq!(watch.next(Some(Duration::ZERO)).unwrap(), Happening::TimedOut);
        group.kill().unwrap();
        assert_eq!(watch.next(None).unwrap(), Happening::Ended);
        drop(two);
        group.remove().unwrap();
        assert_eq!(watch.next(None).unwrap(), Happening::Ended);
        assert_eq!(group.watch().unwrap().next(None).unwrap(), Happening::Ended);
    }

    #[test]
    fn each_growth_of_the_kills_is_told_of_once_and_before_the_end() {
        assert_eq!(happening(2, 2, false), None);
        assert_eq!(happening(2, 4, false), Some(Happening::OutOfMemory));
        assert_eq!(happening(2, 4, true), Some(Happening::OutOfMemory));
        assert_eq!(happening(4, 4, true), Some(Happening::Ended));
        assert_eq!(statistics::kills("low 0\noom 5\noom_kill 4\noom_group_kill 0\n"), 4);
    }
}
