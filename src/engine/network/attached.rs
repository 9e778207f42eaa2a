//! What a container has of the network while it runs, and its monitor looks after.

use std::os::fd::OwnedFd;
use std::time::Instant;

use anyhow::Result;
use rustix::event::{PollFd, PollFlags};
use rustix::process::Pid;

use crate::engine::Engine;
use crate::engine::pasta::Pasta;
use crate::engine::pause::Pause;
use crate::engine::rootless::network as users;
use crate::network::names::Responder;

/// What a container has of the network while it runs.
#[derive(Debug, Default)]
pub(in crate::engine) struct Attached {
    /// Bound, so that nobody else takes the host's ports.
    #[allow(dead_code, reason = "open is what they are to be")]
    pub(super) ports: Vec<OwnedFd>,
    pub(super) names: Option<Responder>,
    pub(super) pasta: Option<Pasta>,
    /// Before pasta is started again.
    pasta_pause: Pause,
    /// Pasta at the edge of a user's networks, which is everybody's.
    pub(super) edge: Option<OwnedFd>,
    pub(super) edge_pause: Pause,
    /// What should be known.
    pub(in crate::engine) warnings: Vec<String>,
}

impl Attached {
    /// Adds what is waited for.
    pub(in crate::engine) fn wants<'a>(&'a self, to: &mut Vec<PollFd<'a>>) {
        to.extend(self.edge.as_ref().map(|edge| PollFd::new(edge, PollFlags::IN)));
        if let Some(names) = &self.names {
            to.extend(
                names.descriptors().into_iter().map(|(descriptor, flags)| PollFd::from_borrowed_fd(descriptor, flags)),
            );
        }
    }

    /// When it is to be called though nothing came.
    pub(in crate::engine) fn next_deadline(&self) -> Option<Instant> {
        let names = self.names.as_ref().and_then(Responder::deadline);
        [names, self.pasta_pause.until(), self.edge_pause.until()].into_iter().flatten().min()
    }

    /// A child of the monitor's has ended: without pasta, which somebody killed then, the container would be cut off.
    pub(in crate::engine) fn reaped(&mut self, pid: Pid) {
        if self.pasta.as_ref().is_some_and(|pasta| pasta.is(pid)) {
            self.pasta_pause.begin(Instant::now());
        }
    }

    /// Starts what was killed again, when its time has come; what fails is tried again later.
    pub(in crate::engine) fn see_to_pauses(&mut self, engine: &Engine, id: &str, now: Instant) -> Result<()> {
        if self.pasta_pause.is_over(now)
            && let Some(pasta) = &mut self.pasta
        {
            pasta.again(engine, id).inspect_err(|_| self.pasta_pause.begin(now))?;
        }
        if self.edge_pause.is_over(now) {
            users::edge_again(engine).inspect_err(|_| self.edge_pause.begin(now))?;
            self.edge = users::edge(engine);
        }
        Ok(())
    }

    /// Answers who asked for names, and sees that the edge has gone.
    pub(in crate::engine) fn serve(&mut self, mut ready: &[PollFlags]) {
        if self.edge.is_some()
            && let Some((edge, rest)) = ready.split_first()
        {
            ready = rest;
            if !edge.is_empty() {
                self.edge = None;
                self.edge_pause.begin(Instant::now());
            }
        }
        let is_due = self.names.as_ref().and_then(Responder::deadline).is_some_and(|at| at <= Instant::now());
        if let Some(names) = &mut self.names
            && (is_due || ready.iter().any(|ready| !ready.is_empty()))
        {
            names.serve_ready();
        }
    }
}
