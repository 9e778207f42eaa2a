//! `cgroup.events`: the file by which the kernel wakes whoever waits for a group to empty or to freeze.

use std::os::fd::{AsFd, BorrowedFd};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::io::Errno;

use super::file;

/// The state of a group and everything below it (Documentation/admin-guide/cgroup-v2.rst, `cgroup.events`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Events {
    /// A live process is in the group or below it.
    pub(super) populated: bool,
    /// The group is frozen, by itself or by a group above.
    pub(super) frozen: bool,
}

impl Events {
    pub(super) fn read(group: BorrowedFd<'_>) -> rustix::io::Result<Events> {
        file::read(group, "cgroup.events").map(|text| Events::parse(&text))
    }

    pub(super) fn parse(text: &str) -> Events {
        let is_set = |key: &str| text.lines().any(|line| line.split_once(' ') == Some((key, "1")));
        Events { populated: is_set("populated"), frozen: is_set("frozen") }
    }
}

/// How a wait ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Waited {
    /// What was waited for has come.
    Reached,
    /// The group was removed meanwhile.
    Gone,
    /// It has not come in time.
    TimedOut,
}

/// Waits until `cgroup.events` says what is wanted. The kernel signals each change as an urgent condition (`POLLPRI`)
/// of the open file until it is read anew, so a change between reading and polling is not lost.
pub(super) fn wait(
    group: BorrowedFd<'_>,
    patience: Duration,
    wanted: impl Fn(Events) -> bool,
) -> rustix::io::Result<Waited> {
    let deadline = Instant::now() + patience;
    let events = match file::open(group, "cgroup.events") {
        Err(error) if file::is_gone(error) => return Ok(Waited::Gone),
        opened => opened?,
    };
    loop {
        match file::read_again(events.as_fd()) {
            Ok(text) if wanted(Events::parse(&text)) => return Ok(Waited::Reached),
            Ok(_) => {}
            Err(error) if file::is_gone(error) => return Ok(Waited::Gone),
            Err(error) => return Err(error),
        }
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Ok(Waited::TimedOut);
        }
        let mut watched = [PollFd::new(&events, PollFlags::PRI)];
        match rustix::event::poll(&mut watched, Timespec::try_from(left).ok().as_ref()) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(error) => return Err(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_keys_are_read_in_any_order() {
        assert_eq!(Events::parse("populated 1\nfrozen 0\n"), Events { populated: true, frozen: false });
        assert_eq!(Events::parse("frozen 1\nother 1\npopulated 0\n"), Events { populated: false, frozen: true });
        assert_eq!(Events::parse(""), Events { populated: false, frozen: false });
    }
}
