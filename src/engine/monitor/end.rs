//! The end of a container, and what comes after it.

use std::time::{Duration, Instant};

use rustix::fs::FlockOperation;

use super::Monitor;
use crate::cgroup::Happening;
use crate::engine::protocol::{Notice, Request};
use crate::engine::state::Status;
use crate::engine::{locks, network, now, pause, start};
use crate::error::sentence;
use crate::sys::signal;

impl Monitor {
    /// Does what a client wants.
    pub(super) fn obey(&mut self, who: usize, request: Request) {
        match request {
            Request::Attach(_) => self.engine.happened(&self.record, "attach", &[]),
            Request::Wait => {}
            Request::Input(bytes) => self.stdio.input(bytes),
            Request::InputEnd if self.record.config.stdin_once => self.stdio.input_end(),
            Request::InputEnd => {}
            Request::Resize(rows, columns) => self.stdio.resize(rows, columns),
            Request::Kill(number) => {
                self.state.stopped |= number == libc::SIGKILL || number == libc::SIGTERM;
                self.signal(number);
            }
            Request::Stop(number, patience) => self.stop(number, patience),
            Request::Restart(number, patience) => {
                self.starts_over = true;
                self.wind_up(number, patience);
            }
            Request::Reload => {
                if let Ok(record) = self.engine.record(&self.record.id) {
                    self.record = record;
                }
                if let Err(error) = network::look_again(&self.engine, &self.record, self.state.pid, &mut self.network) {
                    self.clients.tell(who, &Notice::Warning(sentence(&error)));
                }
                self.clients.tell(who, &Notice::Reloaded);
            }
        }
    }

    /// Ends it for good, since somebody said so.
    pub(super) fn stop(&mut self, number: i32, patience: Option<u64>) {
        self.state.stopped = true;
        self.starts_over = false;
        self.wind_up(number, patience);
    }

    /// Ends it as `stop` would; when the machine starts again, it is one that runs by its restart policy.
    pub(super) fn go_down(&mut self) {
        self.going_down = true;
        let patience = u64::try_from(self.record.config.stop_timeout.unwrap_or(10)).ok();
        let number = start::stop_signal(&self.record).unwrap_or(libc::SIGTERM);
        self.wind_up(number, patience.map(|seconds| seconds.saturating_mul(1000)));
    }

    fn wind_up(&mut self, number: i32, patience: Option<u64>) {
        if self.is_restarting() {
            self.again_at = None;
            let status = self.state.exit_code;
            self.finish(status);
            return;
        }
        self.signal(number);
        let at = patience.and_then(|patience| Instant::now().checked_add(Duration::from_millis(patience)));
        self.kill_at = at.into_iter().chain(self.kill_at).min();
    }

    /// For init. One that is frozen is thawed, for it could not even be killed.
    pub(super) fn signal(&mut self, number: i32) {
        let Some(init) = self.init.as_ref().filter(|_| self.ended.is_none()) else { return };
        let options = crate::container::KillOptions { signal: crate::container::Signal(number), all: true };
        let host = self.engine.host();
        // The runtime's call also reaches all of a container that has no pid namespace of its own.
        if crate::container::kill(&host, &self.record.id, &options).is_err() {
            let _ = signal::send(std::os::fd::AsFd::as_fd(&init.pidfd), number);
        }
        let _ = crate::container::resume(&host, &self.record.id);
        self.engine.happened(&self.record, "kill", &[("signal", number.to_string())]);
    }

    /// Init has ended, and all that it said is passed on, or was long enough on its way.
    pub(super) fn end(&mut self, status: u8) {
        self.finish_log();
        self.init = None;
        self.kill_at = None;
        self.look_for_kills();
        self.memory = None;
        self.probing = None;
        if let Some(health) = &mut self.state.health {
            health.status = "unhealthy".into();
        }
        self.give_back();
        // Only now, for a disk that stands still may keep it waiting.
        if let Some(log) = &mut self.log {
            log.abandon();
        }
        self.state.pid = 0;
        self.state.exit_code = status;
        self.state.finished_at = now();
        let ran = self.started.elapsed();
        self.engine.happened(
            &self.record,
            "die",
            &[("exitCode", status.to_string()), ("execDuration", ran.as_secs().to_string())],
        );
        if std::mem::take(&mut self.starts_over) && !self.going_down {
            self.start_over();
            return;
        }
        if !self.is_to_be_started_again(status) {
            self.finish(status);
            return;
        }
        if ran >= pause::LONG_ENOUGH {
            self.pause = pause::FIRST;
        }
        self.state.status = Status::Restarting;
        self.write_state();
        self.again_at = Some(Instant::now() + self.pause);
        self.pause = (self.pause * 2).min(pause::LONGEST);
        // Who waited for an end has seen one.
        self.clients.tell_end(status);
    }

    /// Notes it, if the kernel has killed processes of the container for want of memory.
    pub(super) fn look_for_kills(&mut self) {
        match self.memory.as_mut().map(|memory| memory.next(Some(Duration::ZERO))) {
            Some(Ok(Happening::OutOfMemory)) => {
                self.state.oom_killed = true;
                self.write_state();
                self.engine.happened(&self.record, "oom", &[]);
            }
            Some(Ok(Happening::TimedOut)) | None => {}
            Some(Ok(Happening::Ended) | Err(_)) => self.memory = None,
        }
    }

    fn is_to_be_started_again(&self, status: u8) -> bool {
        let policy = &self.record.host_config.restart_policy;
        if self.state.stopped || self.going_down {
            return false;
        }
        match policy.name.as_str() {
            "always" | "unless-stopped" => true,
            "on-failure" => {
                status != 0
                    && (policy.maximum_retry_count == 0 || self.state.restart_count < policy.maximum_retry_count)
            }
            _ => false,
        }
    }

    /// `restart` of a container that would be removed at its end: by the same monitor, so that there is no such end.
    fn start_over(&mut self) {
        self.engine.happened(&self.record, "stop", &[]);
        match self.start() {
            Ok(()) => self.clients.tell_all(&Notice::Started),
            Err(error) => {
                let status = start::exit_status(&error).unwrap_or(125);
                self.clients.tell_all(&Notice::Failed(status, sentence(&error)));
                self.finish(status);
            }
        }
    }

    /// The time has come.
    pub(super) fn start_again(&mut self) {
        let count = self.state.restart_count + 1;
        if let Err(error) = self.start() {
            self.state.error = sentence(&error);
            self.clients.tell_all(&Notice::Warning(sentence(&error)));
            self.finish(127);
            return;
        }
        self.state.restart_count = count;
        self.write_state();
        self.engine.happened(&self.record, "restart", &[]);
    }

    /// It is over: the state is written, what is below `/run` goes, and under `--rm` everything.
    pub(super) fn finish(&mut self, status: u8) {
        self.state.status = Status::Exited;
        self.state.exit_code = status;
        self.clients.close();
        if self.record.host_config.auto_remove {
            // Whoever changes the container has it locked, and waits until the change is known: nothing is left that it would change.
            self.clients.tell_all(&Notice::Reloaded);
            // Whoever looks meanwhile sees a container that is going.
            let lock = locks::wait(&self.directory(), FlockOperation::LockExclusive);
            let _ = self.engine.erase(&self.record, true);
            drop(lock);
        } else {
            self.write_state();
        }
        self.remove_running();
        self.clients.tell_end(status);
        self.over = true;
    }
}
