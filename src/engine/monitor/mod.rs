//! The monitor: one small process for each container that runs. It is init's parent and reaps, holds the streams, writes the log, and
//! answers whoever attaches, waits or stops.
//!
//! It is this program, started by whoever starts the container ([`super::start`]), with one thread. All that matters of what it knows
//! is in its container's files, so that it may be killed at any instant ([`super::reconcile`]).

mod clients;
mod end;
mod launch;
mod probe;
mod spawn;
mod streams;

use std::ffi::OsString;
use std::io::Write;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use rustix::process::Pid;

use super::group::Entered;
use super::log::Log;
use super::protocol::Notice;
use super::record::Record;
use super::rootless::User;
use super::state::{State, Status};
use super::{Engine, network, pause};
use crate::cgroup::Watch;
use crate::error::{Attempt, sentence};
use crate::security::sealed_executable;
use crate::sys::clone::{self, Child};
use crate::sys::mapping::Kept;
use crate::sys::signal;
use clients::Clients;
use probe::Probing;
pub(super) use probe::process_of;
pub(super) use spawn::spawn;
use streams::Stdio;
pub(super) use streams::to_null;

/// The word on the command line that makes this program a monitor. It is nobody's command.
pub const WORD: &str = "monitor";

/// For how long clients may be slow to take what the container said last.
const PATIENCE: Duration = Duration::from_secs(10);

/// Everything of one container.
struct Monitor {
    record: Record,
    state: State,
    signals: OwnedFd,
    /// Locked as long as the monitor lives, and not by processes that it has made a moment ago.
    _life: Kept,
    /// The container's lock, held for whoever started it until it runs.
    lock: Option<OwnedFd>,
    clients: Clients,
    log: Option<Log>,
    /// Whether something that was said could not be written there.
    log_failed: bool,
    stdio: Stdio,
    init: Option<Child>,
    network: network::Attached,
    /// Whether it has given its places in networks back.
    released: bool,
    /// Of the container's group, as long as it has one.
    memory: Option<Watch>,
    probing: Option<Probing>,
    started: Instant,
    /// The status of an init that has ended, while what it said last is passed on.
    ended: Option<(u8, Instant)>,
    /// When a container that was told to stop is killed.
    kill_at: Option<Instant>,
    /// When it is started again.
    again_at: Option<Instant>,
    /// How long until it is started again the next time.
    pause: Duration,
    entered: Entered,
    /// The machine goes down, or at least systemd wants the container to end: it is not started again, and nobody has stopped it.
    going_down: bool,
    /// What decides whether the container runs when the machine has started again, as it is on the disk, whatever comes.
    synced: Option<(bool, bool)>,
    /// It is started again at its end, by who has stopped it for that.
    starts_over: bool,
    over: bool,
    /// The last to go: with it goes the connection to the rules, which takes its time, and nobody waits for the monitor any more.
    engine: Engine,
}

/// Is a container's monitor for as long as the container is there to be looked after.
pub fn main(arguments: &[OsString]) -> u8 {
    match run(arguments) {
        Ok(()) => 0,
        // Nobody hears it; whoever waits sees the channel's end.
        Err(_) => 1,
    }
}

fn run(arguments: &[OsString]) -> Result<()> {
    sealed_executable::ensure(arguments.iter().cloned())?;
    let [_, _, root, id, runtime @ ..] = arguments else { anyhow::bail!("not for people") };
    let (channel, life, lock) = take_over()?;
    let mut life = std::fs::File::from(life);
    write!(life, "{}", std::process::id()).attempt(|| "write down the monitor's pid")?;
    let user = runtime.first().map(|runtime| User::of_monitor(Path::new(runtime))).transpose()?;
    let _ = rustix::process::setsid();
    let _ = rustix::thread::set_name(c"ctn-monitor");
    let own = rustix::process::getpid();
    rustix::process::set_child_subreaper(Some(own)).attempt(|| "become the subreaper")?;
    signal::block_all().attempt(|| "block signals")?;
    let signals = signal::descriptor().attempt(|| "make a signalfd")?;
    let id = id.to_str().context("an id is text")?;
    let engine = Engine::open_as_it_is(Path::new(root), user)?;
    let record = engine.record(id)?;
    let directory = engine.directory(id);
    let mut monitor = Monitor {
        state: State::read(&directory)?,
        clients: Clients::new(channel),
        engine,
        record,
        signals,
        _life: Kept::new(life.into()).attempt(|| "keep the lock of the monitor's life")?,
        lock: Some(lock),
        log: None,
        log_failed: false,
        stdio: Stdio::default(),
        init: None,
        network: network::Attached::default(),
        released: true,
        memory: None,
        probing: None,
        started: Instant::now(),
        ended: None,
        kill_at: None,
        again_at: None,
        pause: pause::FIRST,
        entered: Entered::default(),
        going_down: false,
        synced: None,
        starts_over: false,
        over: false,
    };
    monitor.first_start();
    while !monitor.over {
        monitor.turn()?;
    }
    Ok(())
}

/// The standard streams are what the monitor was given; /dev/null takes their place.
fn take_over() -> Result<(OwnedFd, OwnedFd, OwnedFd)> {
    let take = |stream: std::os::fd::BorrowedFd<'_>| {
        rustix::io::fcntl_dupfd_cloexec(stream, 3).attempt(|| "take over a descriptor")
    };
    use rustix::stdio::{stderr, stdin, stdout};
    let taken = (take(stdin())?, take(stdout())?, take(stderr())?);
    streams::to_null()?;
    Ok(taken)
}

impl Monitor {
    fn directory(&self) -> PathBuf {
        self.engine.directory(&self.record.id)
    }

    /// Waits until something is to be done, and does it.
    fn turn(&mut self) -> Result<()> {
        let mut wanted = vec![PollFd::new(&self.signals, PollFlags::IN)];
        let memory = self.memory.as_ref().and_then(Watch::of_memory);
        wanted.extend(memory.map(|memory| PollFd::from_borrowed_fd(memory, PollFlags::PRI)));
        let log = self.log.as_ref().and_then(Log::waits);
        wanted.extend(log.map(|(log, flags)| PollFd::from_borrowed_fd(log, flags)));
        let before_clients = wanted.len();
        let after_clients = self.clients.wants(&mut wanted, self.stdio.takes_input());
        let clients_take = !self.is_full();
        let after_stdio = self.stdio.wants(&mut wanted, clients_take);
        if let Some(probing) = &self.probing {
            probing.wants(&mut wanted);
        }
        let after_probe = wanted.len();
        self.network.wants(&mut wanted);
        let patience = self.next_deadline().map(|at| at.saturating_duration_since(Instant::now()));
        let patience = patience.and_then(|patience| Timespec::try_from(patience).ok());
        match poll(&mut wanted, patience.as_ref()) {
            Ok(_) => {}
            Err(Errno::INTR) => return Ok(()),
            Err(error) => return Err(error).attempt(|| "wait for something to do"),
        }
        let ready: Vec<PollFlags> = wanted.iter().map(PollFd::revents).collect();
        drop(wanted);
        // Before anybody's request changes what there is to be served.
        self.network.serve(&ready[after_probe..]);
        for (who, request) in self.clients.hear(&ready[before_clients..after_clients]) {
            self.obey(who, request);
        }
        self.pass_on(&ready[after_clients..after_stdio], clients_take);
        if let Some(probing) = &mut self.probing {
            probing.read(&ready[after_stdio..after_probe]);
        }
        if ready[1..before_clients].iter().any(|ready| !ready.is_empty()) {
            self.look_for_kills();
            self.flush_log();
        }
        if !ready[0].is_empty() {
            self.reap()?;
        }
        self.deadlines();
        Ok(())
    }

    fn next_deadline(&self) -> Option<Instant> {
        let ended = self.ended.map(|(_, at)| at + PATIENCE);
        let probe = self.probing.as_ref().filter(|_| self.ended.is_none()).and_then(Probing::next_deadline);
        let log = self.log.as_ref().and_then(Log::resumes);
        [self.kill_at, self.again_at, ended, probe, log, self.network.next_deadline()].into_iter().flatten().min()
    }

    fn deadlines(&mut self) {
        let now = Instant::now();
        let is_due = |at: Option<Instant>| at.is_some_and(|at| at <= now);
        if is_due(self.kill_at) {
            self.kill_at = None;
            self.signal(libc::SIGKILL);
        }
        if is_due(self.log.as_ref().and_then(Log::resumes)) {
            self.flush_log();
        }
        if let Some((status, at)) = self.ended
            && (self.has_said_all() || at + PATIENCE <= now)
        {
            self.ended = None;
            self.end(status);
        }
        if let Err(error) = self.network.see_to_pauses(&self.engine, &self.record.id, now) {
            self.clients.tell_all(&Notice::Warning(sentence(&error)));
        }
        if is_due(self.again_at) {
            self.again_at = None;
            self.start_again();
        }
        if self.init.is_some() && self.ended.is_none() {
            self.probe(now);
        }
    }

    /// Whether somebody who takes what the container says has no room for more.
    fn is_full(&self) -> bool {
        self.clients.are_full() || self.log.as_ref().is_some_and(Log::is_full)
    }

    /// Whether all that the container said before it ended is where it belongs.
    fn has_said_all(&mut self) -> bool {
        if !self.stdio.is_drained() || self.is_full() {
            return false;
        }
        self.finish_log();
        self.log.as_ref().is_none_or(Log::is_settled)
    }

    /// What has no end yet has none.
    fn finish_log(&mut self) {
        if let Some(finished) = self.log.as_mut().map(Log::finish) {
            self.tell_of_log(finished);
        }
    }

    fn flush_log(&mut self) {
        if let Some(flushed) = self.log.as_mut().map(Log::flush) {
            self.tell_of_log(flushed);
        }
    }

    /// What could not be written: the container goes on, and whoever is attached hears of it, once. On a disk that is about to be full a
    /// short line has room where a long one had none, again and again.
    fn tell_of_log(&mut self, written: Result<()>) {
        if let (Err(error), false) = (&written, self.log_failed) {
            self.clients.tell_all(&Notice::Warning(sentence(error)));
        }
        self.log_failed |= written.is_err();
    }

    /// What the container said goes to the log and to all that are attached.
    fn pass_on(&mut self, ready: &[PollFlags], clients_take: bool) {
        for (is_stderr, bytes) in self.stdio.read(ready, clients_take) {
            if let Some(log) = &mut self.log {
                let written = log.write(is_stderr, &bytes);
                self.tell_of_log(written);
            }
            self.clients.output(is_stderr, bytes);
        }
        self.clients.flush();
    }

    fn reap(&mut self) -> Result<()> {
        let signals = std::os::fd::AsFd::as_fd(&self.signals);
        let mut goes_down = false;
        while let Some(received) = signal::next_received(signals).attempt(|| "read signals")? {
            goes_down |= received.number == libc::SIGTERM || self.entered.is_stop(&received);
        }
        if goes_down {
            self.go_down();
        }
        loop {
            match clone::reap() {
                Ok(Some((pid, status))) => {
                    if self.init.as_ref().is_some_and(|init| init.pid == pid) {
                        self.stdio.end();
                        self.ended = Some((status, Instant::now()));
                    } else {
                        self.reaped(pid, status);
                    }
                }
                Ok(None) | Err(Errno::CHILD) => return Ok(()),
                Err(Errno::INTR) => {}
                Err(error) => return Err(error).attempt(|| "wait for the container's processes"),
            }
        }
    }

    fn reaped(&mut self, pid: Pid, status: u8) {
        if let Some(probing) = &mut self.probing {
            probing.reaped(pid, status);
        }
        if let Some(log) = &mut self.log {
            log.reaped(pid, status);
        }
        self.network.reaped(pid);
    }

    /// Writes how the container stands. What can't be written is found out by whoever looks next: the monitor's lock says whether it
    /// lives.
    fn write_state(&mut self) {
        let for_boot = self.state.for_boot();
        let is_to_be_synced = self.record.host_config.restart_policy.is_for_boot() && self.synced != Some(for_boot);
        if is_to_be_synced && self.state.write_synced(&self.directory()).is_ok() {
            self.synced = Some(for_boot);
        } else {
            let _ = self.state.write(&self.directory());
        }
    }

    fn is_restarting(&self) -> bool {
        self.state.status == Status::Restarting
    }
}

/// Opens /dev/null.
fn null() -> Result<OwnedFd> {
    rustix::fs::open("/dev/null", OFlags::RDWR | OFlags::CLOEXEC, Mode::empty()).attempt(|| "open \"/dev/null\"")
}
