//! The keys by which a person leaves a program at its terminal, and what holds the terminal from then on.

use std::convert::Infallible;
use std::fs::File;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use anyhow::Result;
use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;

use crate::cgroup::Group;
use crate::error::Attempt;
use crate::sys::clone::{self, CloneFlags};
use crate::sys::execute::{close_all_but, exit_now};

/// How a person leaves a program.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Leaving<'a> {
    /// The keys for it; without any there is no way.
    pub(super) keys: &'a [u8],
    /// The group of who holds the terminal then.
    pub(super) group: Option<&'a Group>,
}

/// Looks for the keys in what is typed.
#[derive(Debug)]
pub(crate) struct Keys<'k> {
    keys: &'k [u8],
    /// How many of them were pressed.
    matched: usize,
}

impl<'k> Keys<'k> {
    /// Without any there is no way to detach.
    pub(crate) fn new(keys: &'k [u8]) -> Keys<'k> {
        Keys { keys, matched: 0 }
    }

    /// What is typed without the keys, and whether they were pressed. Keeps back what may be the beginning of the keys.
    pub(crate) fn taken_out(&mut self, bytes: &[u8]) -> (Vec<u8>, bool) {
        if self.keys.is_empty() {
            return (bytes.to_vec(), false);
        }
        let mut passed = Vec::with_capacity(bytes.len());
        for byte in bytes {
            if *byte == self.keys[self.matched] {
                self.matched += 1;
                if self.matched == self.keys.len() {
                    return (passed, true);
                }
                continue;
            }
            passed.extend_from_slice(&self.keys[..self.matched]);
            self.matched = usize::from(*byte == self.keys[0]);
            if self.matched == 0 {
                passed.push(*byte);
            }
        }
        (passed, false)
    }
}

/// Leaves a terminal to a process of its own, which takes what the program says until nobody has the terminal any more: without
/// anybody at its other end the program would be hung up on. It is born in a group, if one is given and can be had, for the caller's
/// may end with a session.
pub(super) fn leave(master: &OwnedFd, group: Option<&Group>) -> Result<()> {
    let null = File::options().read(true).write(true).open("/dev/null").attempt(|| "open \"/dev/null\"")?;
    let group = group.and_then(|group| group.open().ok());
    if group.is_some_and(|group| {
        clone::process(CloneFlags::empty(), Some(group.as_fd()), || keep(master.as_fd(), &null)).is_ok()
    }) {
        return Ok(());
    }
    let child = clone::process(CloneFlags::empty(), None, || keep(master.as_fd(), &null));
    child.attempt(|| "make a process that holds the terminal").map(drop)
}

fn keep(master: BorrowedFd<'_>, null: &File) -> Infallible {
    let _ = rustix::process::setsid();
    let streams = [rustix::stdio::dup2_stdin(null), rustix::stdio::dup2_stdout(null), rustix::stdio::dup2_stderr(null)];
    if streams.iter().any(Result::is_err) {
        return exit_now(1);
    }
    // Nothing else of the caller's: whoever waits for the end of a pipe would wait for the program's.
    let _ = close_all_but(&[master], 3);
    let mut buffer = [0; 8192];
    loop {
        match rustix::io::read(master, &mut buffer[..]) {
            Ok(1..) | Err(Errno::INTR) => {}
            Err(Errno::AGAIN) => drop(poll(&mut [PollFd::new(&master, PollFlags::IN)], None)),
            // EIO: nobody has the other end open any more.
            Ok(0) | Err(_) => return exit_now(0),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_all_keys_in_a_row_detach() {
        let mut keys = Keys::new(&[16, 17]);
        assert_eq!(keys.taken_out(b"a\x10b"), (b"a\x10b".to_vec(), false));
        assert_eq!(keys.taken_out(b"\x10"), (Vec::new(), false));
        assert_eq!(keys.taken_out(b"\x10x"), (b"\x10\x10x".to_vec(), false));
        assert_eq!(keys.taken_out(b"y\x10\x11z"), (b"y".to_vec(), true));
    }
}
