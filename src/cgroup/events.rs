//! `cgroup.events`: the file by which the kernel wakes whoever waits for a group to empty or to freeze.

use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::fs::inotify;
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

/// For how long a change is waited for alone. The kernel tells of changes at most once in 10 ms (`CGROUP_FILE_NOTIFY_MIN_INTV`).
const SOON: Duration = Duration::from_millis(20);

/// Waits until `cgroup.events` says what is wanted. The kernel signals each change as an urgent condition (`POLLPRI`)
/// of the open file until it is read anew, so a change between reading and polling is not lost.
///
/// What is lost is the last change of a group that somebody else removes within those 10 ms, and a removal is no change. So whoever
/// has waited long watches the directory above, too: not before, for an inotify instance takes milliseconds to be closed.
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
    let (mut removals, mut has_waited) = (None, false);
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
        let left = if has_waited { left } else { left.min(SOON) };
        let mut watched = vec![PollFd::new(&events, PollFlags::PRI)];
        watched.extend(removals.as_ref().map(|removals| PollFd::new(removals, PollFlags::IN)));
        match rustix::event::poll(&mut watched, Timespec::try_from(left).ok().as_ref()) {
            Ok(0) if !has_waited => (removals, has_waited) = (removals_beside(group), true),
            Ok(_) => drain(removals.as_ref()),
            Err(Errno::INTR) => {}
            Err(error) => return Err(error),
        }
    }
}

/// Tells when a group is removed from the directory that this one is in. None where that can't be watched: then it is as without.
fn removals_beside(group: BorrowedFd<'_>) -> Option<OwnedFd> {
    use inotify::{CreateFlags, WatchFlags};
    let watch = inotify::init(CreateFlags::CLOEXEC | CreateFlags::NONBLOCK).ok()?;
    let above = format!("/proc/self/fd/{}/..", group.as_raw_fd());
    inotify::add_watch(&watch, above, WatchFlags::DELETE | WatchFlags::ONLYDIR).ok()?;
    Some(watch)
}

/// Which one was removed is seen by reading.
fn drain(removals: Option<&OwnedFd>) {
    let mut buffer = [0; 4096];
    while removals.is_some_and(|removals| rustix::io::read(removals, &mut buffer).is_ok_and(|length| length > 0)) {}
}

#[cfg(test)]
mod tests {
    use super::super::group::Group;
    use super::super::scratch::Scratch;
    use super::*;

    #[test]
    fn a_removal_ends_the_wait() {
        let Some(scratch) = Scratch::new() else { return };
        let group = Group::create(&scratch.hierarchy, &scratch.below("waited-for")).unwrap();
        let directory = std::fs::File::open(group.path()).unwrap();
        let (looked, looks) = std::sync::mpsc::channel();
        std::thread::scope(|scope| {
            let wanted = move |_| looked.send(()).is_err();
            let waiting = scope.spawn(move || wait(directory.as_fd(), Duration::from_secs(20), wanted));
            // At the beginning, and when it has waited long enough to watch for removals.
            looks.iter().take(2).for_each(drop);
            // A change of another kind comes first.
            std::fs::write(group.path().join("cgroup.freeze"), "1").unwrap();
            looks.recv().unwrap();
            group.remove().unwrap();
            let removed = Instant::now();
            assert_eq!(waiting.join().unwrap(), Ok(Waited::Gone));
            assert!(removed.elapsed() < Duration::from_secs(10), "seen at the end of the patience");
        });
    }

    #[test]
    fn both_keys_are_read_in_any_order() {
        assert_eq!(Events::parse("populated 1\nfrozen 0\n"), Events { populated: true, frozen: false });
        assert_eq!(Events::parse("frozen 1\nother 1\npopulated 0\n"), Events { populated: false, frozen: true });
        assert_eq!(Events::parse(""), Events { populated: false, frozen: false });
    }
}
