//! Health checks at work.

use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

use anyhow::Result;
use rustix::event::{PollFd, PollFlags};
use rustix::pipe::{PipeFlags, pipe_with};
use rustix::process::Pid;
use rustix::stdio::{dup2_stderr, dup2_stdout};

use super::{Monitor, streams};
use crate::container::{self, ExecOptions, Passed, ProcessSource};
use crate::engine::health::LONGEST_ANSWER;
use crate::engine::record::{HealthCheck, Record};
use crate::engine::specification::{self, Further};
use crate::engine::state::{Health, Probe, State};
use crate::engine::{now, root};
use crate::error::{Attempt, sentence};
use crate::image::bundle::User;
use crate::image::layer::Stack;
use crate::sys::clone::Child;
use crate::sys::signal;

/// A container that is asked.
pub(super) struct Probing {
    check: HealthCheck,
    /// The question that waits for its answer.
    asked: Option<Asked>,
    next: Instant,
}

struct Asked {
    child: Child,
    output: Option<OwnedFd>,
    said: Vec<u8>,
    since: String,
    deadline: Instant,
    /// How it ended.
    status: Option<i32>,
}

/// For a container that has a check.
pub(super) fn begin(record: &Record, state: &mut State) -> Option<Probing> {
    let check = record.config.healthcheck.clone().filter(|check| check.command().is_some());
    state.health = check.is_some().then(|| Health { status: "starting".into(), ..Health::default() });
    let health = state.health.as_ref()?;
    let check = check?;
    let next = Instant::now() + check.pause(health, Duration::ZERO);
    Some(Probing { check, asked: None, next })
}

impl Probing {
    pub(super) fn next_deadline(&self) -> Option<Instant> {
        Some(match &self.asked {
            Some(asked) if asked.status.is_none() => asked.deadline,
            Some(_) => Instant::now(),
            None => self.next,
        })
    }

    pub(super) fn wants<'a>(&'a self, to: &mut Vec<PollFd<'a>>) {
        if let Some(output) = self.asked.as_ref().and_then(|asked| asked.output.as_ref()) {
            to.push(PollFd::new(output, PollFlags::IN));
        }
    }

    pub(super) fn read(&mut self, ready: &[PollFlags]) {
        let Some(asked) = &mut self.asked else { return };
        if ready.first().is_some_and(|ready| !ready.is_empty()) {
            asked.read();
        }
    }

    pub(super) fn reaped(&mut self, pid: Pid, status: u8) {
        if let Some(asked) = self.asked.as_mut().filter(|asked| asked.child.pid == pid) {
            asked.read();
            asked.status = Some(status.into());
        }
    }
}

impl Asked {
    fn read(&mut self) {
        let Some(output) = &self.output else { return };
        let mut buffer = [0u8; LONGEST_ANSWER];
        match rustix::io::read(output, &mut buffer[..]) {
            Ok(length) if length > 0 => {
                let room = LONGEST_ANSWER - self.said.len();
                self.said.extend_from_slice(&buffer[..length.min(room)]);
            }
            Err(rustix::io::Errno::AGAIN | rustix::io::Errno::INTR) => {}
            _ => self.output = None,
        }
    }
}

impl Monitor {
    /// Asks, if it is time, and takes the answer, if there is one. A container that is frozen can't be asked and can't answer, which says
    /// nothing of its health: it is asked later, and waited for longer.
    pub(super) fn probe(&mut self, now_is: Instant) {
        let Some(mut probing) = self.probing.take() else { return };
        let since_start = self.started.elapsed();
        let mut probe = None;
        match &mut probing.asked {
            Some(asked) => {
                let is_late = asked.status.is_none() && asked.deadline <= now_is;
                if is_late && self.is_frozen() {
                    asked.deadline = now_is + probing.check.patience();
                } else if is_late {
                    let _ = signal::send(std::os::fd::AsFd::as_fd(&asked.child.pidfd), libc::SIGKILL);
                    let patience = probing.check.patience();
                    asked.said = format!("Health check exceeded timeout ({patience:?})").into_bytes();
                    asked.output = None;
                    asked.status = Some(-1);
                }
                if let Some(exit_code) = asked.status {
                    let output = String::from_utf8_lossy(&asked.said).into_owned();
                    probe = Some(Probe { start: asked.since.clone(), end: now(), exit_code, output });
                    probing.asked = None;
                }
            }
            None if probing.next <= now_is => match self.ask(&probing.check) {
                Ok(asked) => probing.asked = Some(asked),
                Err(_) if self.is_frozen() => {
                    let health = self.state.health.clone().unwrap_or_default();
                    probing.next = now_is + probing.check.pause(&health, since_start);
                }
                Err(error) => {
                    probe = Some(Probe { start: now(), end: now(), exit_code: -1, output: sentence(&error) });
                }
            },
            None => {}
        }
        if let (Some(probe), Some(health)) = (probe, &mut self.state.health) {
            let changed = probing.check.answered(health, probe, since_start);
            probing.next = now_is + probing.check.pause(health, since_start);
            let status = health.status.clone();
            self.write_state();
            if changed {
                self.engine.happened(&self.record, &format!("health_status: {status}"), &[]);
            }
        }
        self.probing = Some(probing);
    }

    fn is_frozen(&self) -> bool {
        let state = container::state(&self.engine.host(), &self.record.id);
        state.is_ok_and(|state| state.status == container::Status::Paused)
    }

    fn ask(&self, check: &HealthCheck) -> Result<Asked> {
        let (output, theirs) = pipe_with(PipeFlags::CLOEXEC | PipeFlags::NONBLOCK).attempt(|| "make a pipe")?;
        let args = check.command().unwrap_or_default();
        let process = process_of(
            &self.engine,
            &self.record,
            |user| Further { args, env: Vec::new(), cwd: None, terminal: false, privileged: false, user },
            None,
        )?;
        let options = ExecOptions {
            process: ProcessSource::Process(Box::new(process)),
            console_socket: None,
            pidfd_socket: None,
            pid_file: None,
            detach: true,
            leaves_holder: false,
            holders_group: None,
            passed: Passed::default(),
            cgroup: None,
            ignore_paused: false,
            detach_keys: Vec::new(),
        };
        dup2_stdout(&theirs).and_then(|()| dup2_stderr(&theirs)).attempt(|| "hand over the standard output")?;
        let child = container::embed_exec(&self.engine.host(), &self.record.id, &options);
        streams::to_null()?;
        let deadline = Instant::now() + check.patience();
        Ok(Asked { child: child?, output: Some(output), said: Vec::new(), since: now(), deadline, status: None })
    }
}

/// The runtime's words for a further process of a container that runs.
pub(in crate::engine) fn process_of(
    engine: &crate::engine::Engine,
    record: &Record,
    further: impl FnOnce(User) -> Further,
    user: Option<&str>,
) -> Result<crate::spec::Process> {
    let point = root::point(engine, record);
    let mut files = Stack::new(engine.store.form());
    files.push(std::fs::File::open(&point).attempt(|| format!("open {point:?}"))?.into());
    let facts = super::launch::facts(engine, record, &files, point)?;
    let user = User::of(user.unwrap_or(&record.config.user), &files)?;
    let process = specification::further(record, &facts, &further(user))?;
    crate::spec::load::parse(&serde_json::to_vec(&process)?)
}
