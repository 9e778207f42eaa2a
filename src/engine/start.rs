//! `start`: gives a container its monitor, which starts it.

use std::fs::File;
use std::os::fd::AsFd;

use anyhow::{Result, bail, ensure};
use rustix::fs::{FlockOperation, flock};

use super::group::Place;
use super::protocol::{CHUNK, Channel, Notice, Request, Streams};
use super::record::Record;
use super::state::Status;
use super::{Container, make_directory, monitor, reconcile};
use crate::error::{Attempt, sentence};

/// What a start came to.
#[derive(Debug)]
pub enum Attached {
    /// The program runs; what was attached comes over the channel.
    Runs(Channel),
    /// It could not be started: the exit status for that, and the sentence.
    Failed(u8, String),
}

impl Container<'_> {
    /// Starts it, with some streams attached from the first byte on. A container that runs stays as it is.
    pub fn start(&self, streams: Option<Streams>, warn: impl Fn(&str)) -> Result<Attached> {
        let lock = loop {
            let life = self.life();
            let state = self.state()?;
            if state.status == Status::Paused {
                bail!("cannot start a paused container, try unpause instead");
            }
            if state.status.is_up() {
                let Some(channel) = Channel::connect(&self.running())? else {
                    // One that ended this moment is started again, when its monitor or another command has seen to what it leaves.
                    life.wait();
                    drop(self.lock()?);
                    continue;
                };
                if let Some(streams) = streams {
                    channel.request(&Request::Attach(streams))?;
                }
                return Ok(Attached::Runs(channel));
            }
            if state.status == Status::Restarting {
                // Now instead of later.
                self.stop(Some(libc::SIGKILL), Some(0))?;
            }
            // Whoever starts it has it locked until it runs.
            if let Some(lock) = self.lock_at_rest()? {
                break lock;
            }
        };
        reconcile::clean(self.engine, self.id())?;
        let running = self.running();
        make_directory(&running)?;
        let path = running.join("monitor");
        // A file of its own, for who waits for the last one's end.
        let _ = std::fs::remove_file(&path);
        let life = File::options().read(true).write(true).create(true).truncate(true).open(&path);
        let life = life.attempt(|| format!("make {path:?}"))?;
        flock(&life, FlockOperation::LockExclusive).attempt(|| format!("lock {path:?}"))?;
        let (channel, theirs) = Channel::pair()?;
        if let Some(streams) = streams {
            channel.request(&Request::Attach(streams))?;
        }
        let monitors = Place::of(self.engine, &self.record)?.of_monitors();
        // What the monitor must have is its standard streams: the channel, the lock of its life, and the container's lock, which it
        // gives back when the container runs.
        let streams = [theirs, life.into(), lock.into_file().into()];
        monitor::spawn(self.engine, self.id(), streams, monitors.as_ref())?;
        first_word(channel, warn)
    }

    /// Whether its restart policy says that it runs when the machine has started: docker's rules. One that was never started waits for
    /// its first start, and one that runs needs no other.
    pub fn is_to_run(&self) -> Result<bool> {
        let state = self.state()?;
        let policy = &self.record.host_config.restart_policy;
        let (was_started, was_stopped) = state.for_boot();
        let by_policy = policy.is_for_boot() && was_started && !(policy.name == "unless-stopped" && was_stopped);
        Ok(by_policy && !state.status.is_active())
    }

    /// Has it stopped: by its stop signal or another, and after so many seconds by SIGKILL; less than 0 waits for ever. Returns once
    /// it is over.
    pub fn stop(&self, signal: Option<i32>, seconds: Option<i64>) -> Result<()> {
        let life = self.life();
        if !self.state()?.status.is_active() {
            return Ok(());
        }
        let (signal, patience) = self.manner(signal, seconds)?;
        if let Some(channel) = Channel::connect(&self.running())?
            && channel.request(&Request::Stop(signal, patience))?
            && channel.ended()?.is_none()
        {
            // The monitor ended, or was killed: its successor in this matter is reconciliation.
            self.state()?;
        }
        life.wait();
        Ok(())
    }

    /// By which signal it is stopped, and after how many milliseconds by SIGKILL.
    fn manner(&self, signal: Option<i32>, seconds: Option<i64>) -> Result<(i32, Option<u64>)> {
        let signal = signal.map_or_else(|| stop_signal(&self.record), Ok)?;
        let seconds = seconds.or(self.record.config.stop_timeout).unwrap_or(10);
        Ok((signal, u64::try_from(seconds).ok().map(|seconds| seconds.saturating_mul(1000))))
    }

    /// Has it stopped as [`Container::stop`] does, and started. Whether it was running is told before the start.
    pub fn restart(
        &self,
        signal: Option<i32>,
        seconds: Option<i64>,
        stopped: impl Fn(),
        warn: impl Fn(&str),
    ) -> Result<Attached> {
        let is_up = self.state()?.status.is_up();
        if is_up && self.record.host_config.auto_remove {
            // With its end it would be gone.
            let (signal, patience) = self.manner(signal, seconds)?;
            let channel = self.monitor()?;
            channel.request(&Request::Restart(signal, patience))?;
            let started = first_word(channel, warn);
            ensure!(started.is_ok() || self.engine.has_record(self.id()), "No such container: {}", self.record.name);
            return started;
        }
        self.stop(signal, seconds)?;
        if is_up {
            stopped();
        }
        self.start(None, warn)
    }

    /// Sends a signal.
    pub fn kill(&self, signal: i32) -> Result<()> {
        let state = self.state()?;
        if !state.status.is_up() {
            bail!("Cannot kill container: {}: Container {} is not running", self.record.name, self.id());
        }
        if !self.monitor()?.request(&Request::Kill(signal))? {
            bail!("Cannot kill container: {}: Container {} is not running", self.record.name, self.id());
        }
        Ok(())
    }

    /// Waits for the end, and says how it was. One that doesn't run has ended already, unless the next end is wanted.
    pub fn wait(&self) -> Result<u8> {
        let life = self.life();
        let state = self.state()?;
        if !state.status.is_active() {
            return Ok(state.exit_code);
        }
        if let Some(channel) = Channel::connect(&self.running())?
            && channel.request(&Request::Wait)?
            && let Some(status) = channel.ended()?
        {
            return Ok(status);
        }
        life.wait();
        // One that went with its end was killed, else its monitor had told the status.
        Ok(if self.engine.has_record(self.id()) { self.state()?.exit_code } else { 137 })
    }
}

/// The signal by which a container is stopped.
pub(super) fn stop_signal(record: &Record) -> Result<i32> {
    match record.config.stop_signal.as_str() {
        "" => Ok(libc::SIGTERM),
        own => Ok(crate::cli::signal::parse(own).map_err(anyhow::Error::msg)?.0),
    }
}

fn first_word(channel: Channel, warn: impl Fn(&str)) -> Result<Attached> {
    let mut buffer = vec![0; CHUNK + 1];
    loop {
        match channel.next_notice(&mut buffer)? {
            Some(Notice::Started) => return Ok(Attached::Runs(channel)),
            Some(Notice::Failed(status, text)) => return Ok(Attached::Failed(status, text)),
            Some(Notice::Warning(text)) => warn(&text),
            Some(other) => bail!("the container's monitor said {other:?} before the start"),
            None => bail!("the container's monitor was killed"),
        }
    }
}

/// docker's exit status of a program that could not be executed: 127 where it isn't there, 126 otherwise. None where the failure was
/// another. The runtime's texts are those by which engines tell one from the other.
pub fn exit_status(error: &anyhow::Error) -> Option<u8> {
    let text = sentence(error);
    let cause = &text[text.find("exec: \"")?..];
    let is_missing = ["executable file not found", "no such file or directory", "not a directory"];
    Some(if is_missing.iter().any(|words| cause.contains(words)) { 127 } else { 126 })
}

/// Gives a container's lock back that this process was given by the one that started it.
pub(super) fn unlock(lock: &impl AsFd) -> Result<()> {
    flock(lock, FlockOperation::Unlock).attempt(|| "unlock the container")
}
