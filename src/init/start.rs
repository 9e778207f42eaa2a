//! From prepared to started: the filter, the gate, the hooks in the container.

use std::os::fd::AsRawFd;

use rustix::fs::Mode;
use rustix::io::Errno;
use rustix::process::{fchdir, umask};

use super::{Fault, Init, Listener, Outcome};
use crate::launch::hooks;
use crate::launch::protocol::{ToInit, ToParent};
use crate::spec::Hook;

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
        let result = self.hooks("createContainer", "creating", list);
        umask(Mode::empty());
        result
    }

    pub(super) fn hooks(&mut self, turn: &str, status: &str, list: &[Hook]) -> Outcome {
        let pid = rustix::process::getpid().as_raw_nonzero().get();
        let state = self.plan.state.at(status, pid);
        hooks::run(turn, list, &state, &self.plan.hook_output).map_err(|error| {
            let errno = crate::error::errno(&error).unwrap_or(Errno::IO);
            Fault::new(errno, crate::error::sentence(&error))
        })
    }
}
