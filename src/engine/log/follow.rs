//! `logs`: what a container said, and what it says.

use std::time::{Duration, SystemTime};

use anyhow::{Result, ensure};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use super::{Line, Reading};
use crate::engine::Container;
use crate::engine::events::Followed;
use crate::engine::protocol::{CHUNK, Channel, Notice, Request};

impl Container<'_> {
    /// Hands on what it said: the last lines or all, and what it says until it ends, that time has come, or `each` says false. None is
    /// told where nothing more is there for now.
    pub fn read_log(
        &self,
        tail: Option<usize>,
        follow: Option<Until>,
        mut each: impl FnMut(Option<Line<'_>>) -> Result<bool>,
    ) -> Result<()> {
        if super::is_journal(&self.record.host_config.log_config) {
            return super::journal::read(self, tail, follow, &mut each);
        }
        let directory = self.directory();
        let path = super::path(&directory, self.id());
        ensure!(directory.is_dir(), "No such container: {}", self.record.short());
        // Watched from before the first look on.
        let followed = follow.map(|until| Followed::new(path.clone()).map(|followed| (followed, until))).transpose()?;
        let mut life = Life::default();
        raise_limit();
        let mut reading = Reading::of(&path)?;
        if let Some(count) = tail {
            reading.tail(count)?;
        }
        loop {
            let is_over = match &followed {
                Some((_, until)) => until.is_over() || life.is_over(self)?,
                None => true,
            };
            if !reading.more(|line| each(Some(line)))? || !each(None)? || is_over {
                return Ok(());
            }
            if let Some((followed, until)) = &followed
                && followed.wait_beside(life.channel.as_ref(), until.left())?
            {
                life.hear();
            }
        }
    }
}

/// Until when a log is followed; none for as long as the container runs. After that time nothing is said that is wanted.
#[derive(Debug, Clone, Copy)]
pub struct Until(pub Option<SystemTime>);

impl Until {
    /// How long it is until then.
    pub(super) fn left(self) -> Option<Duration> {
        self.0.map(|until| until.duration_since(SystemTime::now()).unwrap_or_default())
    }

    pub(super) fn is_over(self) -> bool {
        self.left() == Some(Duration::ZERO)
    }
}

/// All files of a log are open, so that those that go meanwhile are read, too, and there may be more than the usual limit.
fn raise_limit() {
    let limit = getrlimit(Resource::Nofile);
    let _ = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit });
}

/// The end of a container, told by its monitor, so that it needn't be looked for whenever the container says something.
#[derive(Debug, Default)]
pub(super) struct Life {
    channel: Option<Channel>,
}

impl Life {
    /// Where the monitor speaks, as long as there is one to be heard.
    pub(super) fn channel(&self) -> Option<&Channel> {
        self.channel.as_ref()
    }

    /// Whether what is in the log now is all there will be.
    pub(super) fn is_over(&mut self, of: &Container<'_>) -> Result<bool> {
        while self.channel.is_none() {
            let life = of.life();
            // Who asks before it looks hears of every end.
            self.channel = asked(of)?;
            if of.state().map_or(true, |state| !state.status.is_active()) {
                return Ok(true);
            }
            if self.channel.is_none() {
                self.channel = asked(of)?;
            }
            // It runs, and nobody is there to be asked: its monitor was killed, and the kernel releases the lock of its life last.
            if self.channel.is_none() {
                life.wait();
            }
        }
        Ok(false)
    }

    /// Takes what the monitor says: after an end, or the monitor's own, is to be looked again.
    pub(super) fn hear(&mut self) {
        let mut buffer = vec![0; CHUNK + 1];
        let said = self.channel.as_ref().map(|channel| channel.next_notice(&mut buffer));
        if !matches!(said, Some(Ok(Some(notice))) if !matches!(notice, Notice::Ended(_))) {
            self.channel = None;
        }
    }
}

/// Where the monitor will tell of the end, if it is to be heard.
fn asked(of: &Container<'_>) -> Result<Option<Channel>> {
    let channel = Channel::connect(&of.running())?;
    if let Some(channel) = &channel {
        channel.request(&Request::Wait)?;
    }
    Ok(channel)
}
