//! From prepared to started: the filter, the gate, the hooks in the container.

use std::os::fd::AsRawFd;

use rustix::fs::Mode;
use rustix::io::Errno;
use rustix::process::{fchdir, umask};

use super::{Fault, Init, Listener, Outcome};
use crate::launch::hooks;
use crate::launch::patience::Turn;
use crate::launch::protocol::{ToInit, ToParent};
use crate::spec::Hook;
use crate::spec::state::State;

impl Init<'_> {
    /// Puts the filter in force. Its listener is taken by the parent through the pidfd: sending it would need a system call that the
    /// filter may just have handed to the listener.
    pub(super) fn load_filter(&mut self) -> Outcome {
        let Some(filter) = &self.plan.filter else { return Ok(()) };
        let Some(listener) = crate::sys::seccomp::load(&filter.instructions, filter.flags)? else { return Ok(()) };
        self.channel.send(&ToParent::Listener(listener.as_raw_fd()))?;
        self.channel.expect(ToInit::ListenerTaken)?;
        // Closed by execve(2), of itself: close(2) may be a call that the filter refuses.
        std::mem::forget(listener);
        Ok(())
    }

    /// Waits for `start`, with read(2) alone. From here on nobody but `start` is there to be told what fails.
    pub(super) fn await_start(&mut self, gate: usize, report: usize) -> Outcome {
        let (gate, report) = (self.take(gate)?, self.take(report)?);
        self.listener = Listener::Start(report);
        let mut word = [0; 1];
        loop {
            match rustix::io::read(&gate, &mut word) {
                Ok(1) => {
                    // Closed by execve(2), of itself, as the listener is.
                    std::mem::forget(gate);
                    return Ok(());
                }
                Ok(_) => return Err(Errno::PIPE.into()),
                Err(Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// In the root to be, as hooks of runc find themselves, and with the caller's umask: what they make is not to be open to everybody.
    pub(super) fn create_container_hooks(&mut self, list: &[Hook]) -> Outcome {
        fchdir(self.root()?)?;
        umask(self.umask);
        let state = self.state("creating");
        let result = hooks::run("createContainer", list, &state, &self.plan.hook_output).map_err(of_hook);
        umask(Mode::empty());
        result
    }

    /// An agent of seccomp may be asked for what is called here, so whoever waits is told where the hooks' own time begins and ends.
    pub(super) fn start_container_hooks(&mut self, list: &[Hook]) -> Outcome {
        let asks = self.plan.filter.as_ref().is_some_and(|filter| filter.listener.is_some());
        let tell = |turn: Turn| match &self.listener {
            _ if !asks => {}
            Listener::Parent => drop(self.channel.send(&ToParent::Turn(turn))),
            Listener::Start(report) => drop(rustix::io::write(report, &[turn.byte()])),
        };
        let state = self.state("created");
        hooks::run_watched("startContainer", list, &state, &self.plan.hook_output, &tell).map_err(of_hook)
    }

    fn state(&self, status: &'static str) -> State<'_> {
        self.plan.state.at(status, rustix::process::getpid().as_raw_nonzero().get())
    }
}

fn of_hook(error: anyhow::Error) -> Fault {
    Fault::new(crate::error::errno(&error).unwrap_or(Errno::IO), crate::error::sentence(&error))
}
