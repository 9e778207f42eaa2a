//! How long a start may wait for an agent of seccomp: init's own calls go to it, too.
//!
//! Only hooks may take longer, for the time that their author gave them; so init says when one begins and when it is over.

use std::os::fd::AsFd;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;

use crate::error::Attempt;
use crate::seccomp::{Listener, PATIENCE};
use crate::spec::Hook;

/// Where init is among what its filter may ask an agent for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Turn {
    /// A `startContainer` hook is a process now, and init waits for it.
    HookBegins,
    /// Init goes on by itself.
    HookEnds,
}

impl Turn {
    /// As a byte of the report of a start; the sentence of a failure begins with no such byte.
    pub fn byte(self) -> u8 {
        self as u8 + 1
    }

    /// What a byte of the report means, if not a sentence.
    pub fn of(byte: u8) -> Option<Turn> {
        [Turn::HookBegins, Turn::HookEnds].into_iter().find(|turn| turn.byte() == byte)
    }
}

/// The agent of a filter, and until when init must have said something, if that is known.
#[derive(Debug)]
pub struct Patience {
    agent: Listener,
    /// The seconds of the hooks that are still to come.
    hooks: std::vec::IntoIter<Option<i64>>,
    deadline: Option<Instant>,
}

impl Patience {
    /// With an agent that is waited for from now on, in turn with these hooks.
    pub fn new(agent: Listener, hooks: &[Hook]) -> Patience {
        let seconds: Vec<_> = hooks.iter().map(|hook| hook.timeout).collect();
        Patience { agent, hooks: seconds.into_iter(), deadline: Some(Instant::now() + PATIENCE) }
    }

    /// Begins anew, as init has come further.
    pub fn renew(&mut self, turn: Turn) {
        // More seconds than a clock can count are no limit.
        self.deadline = self.time(turn).and_then(|time| Instant::now().checked_add(time));
    }

    /// A hook has its own time, and its end must be noticed; one without may take any.
    fn time(&mut self, turn: Turn) -> Option<Duration> {
        match turn {
            Turn::HookBegins => {
                let seconds = u64::try_from(self.hooks.next().flatten()?).ok()?;
                PATIENCE.checked_add(Duration::from_secs(seconds))
            }
            Turn::HookEnds => Some(PATIENCE),
        }
    }

    /// Waits until init says something.
    pub fn wait(&self, for_init: &impl AsFd) -> Result<()> {
        if readable(for_init, self.deadline)? { Ok(()) } else { Err(self.agent.silent()) }
    }
}

/// Waits until there is something to read, or the other end is closed; false if the deadline comes first.
pub fn readable(descriptor: &impl AsFd, deadline: Option<Instant>) -> Result<bool> {
    loop {
        let left = deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
        let timeout = left.map(Timespec::try_from).transpose().context("wait for init")?;
        match poll(&mut [PollFd::new(descriptor, PollFlags::IN)], timeout.as_ref()) {
            Err(Errno::INTR) => {}
            ready => return Ok(ready.attempt(|| "wait for init")? > 0),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn times(hooks: &[Option<i64>], turns: &[Turn]) -> Vec<Option<u64>> {
        let hooks: Vec<Hook> = hooks.iter().map(|timeout| Hook { timeout: *timeout, ..Hook::default() }).collect();
        let mut patience = Patience::new(Listener { path: "/agent".into(), rule: 0, metadata: None }, &hooks);
        turns.iter().map(|turn| patience.time(*turn).map(|time| time.as_secs())).collect()
    }

    #[test]
    fn a_hook_has_its_own_time_and_init_the_agents() {
        use Turn::{HookBegins, HookEnds};
        let turns = [HookBegins, HookEnds, HookBegins, HookEnds, HookBegins, HookEnds];
        let patience = PATIENCE.as_secs();
        let expected = [Some(100 + patience), Some(patience), None, Some(patience), Some(1 + patience), Some(patience)];
        assert_eq!(times(&[Some(100), None, Some(1)], &turns), expected);
    }

    #[test]
    fn a_time_without_end_is_none() {
        assert_eq!(times(&[Some(-1)], &[Turn::HookBegins]), [None]);
        let mut patience = Patience::new(
            Listener { path: "/agent".into(), rule: 0, metadata: None },
            &[Hook { timeout: Some(i64::MAX), ..Hook::default() }],
        );
        patience.renew(Turn::HookBegins);
    }

    #[test]
    fn turns_are_bytes_and_sentences_are_not() {
        for turn in [Turn::HookBegins, Turn::HookEnds] {
            assert_eq!(Turn::of(turn.byte()), Some(turn));
        }
        assert_eq!(Turn::of(b'\0').or(Turn::of(b's')), None);
    }
}
