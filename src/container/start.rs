//! `start`: opens the gate behind which init waits, and says what came of it.

use std::io::{Read, Write};
use std::os::fd::AsFd;
use std::time::Instant;

use anyhow::{Context, Result, anyhow, bail};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;

use super::create::hook_output;
use super::options::Host;
use super::record::Record;
use super::status::{Found, find};
use super::{delete, notify_socket, out_of_memory};
use crate::cgroup::Group;
use crate::error::Attempt;
use crate::launch::hooks;
use crate::plan;
use crate::seccomp::PATIENCE;
use crate::spec::state::Identity;
use crate::spec::{Spec, load};
use crate::sys::clone::Child;
use crate::sys::signal;

/// Lets a created container go. Returns once its program runs and the `poststart` hooks did.
pub fn start(host: &Host, id: &str) -> Result<()> {
    let found = find(&host.root, id)?;
    let lock = found.directory.lock()?;
    let found = find(&host.root, id)?;
    let Some((pid, pidfd)) = found.init()? else {
        bail!("cannot start a container that has stopped");
    };
    let spec = load::config(&found.directory.config_path())?.spec;
    let agent = plan::agent_at_start(&spec)?;
    let notify = notify_socket::listen(found.directory.path())?;
    let init = Child { pid, pidfd };
    let group = found.group();
    let silent = open_gate(&found, agent.as_ref().map(|_| Instant::now() + PATIENCE))?;
    if let Some(agent) = agent.filter(|_| silent) {
        stop(group.as_ref(), &init);
        return Err(agent.silent());
    }
    out_of_memory::check_executed(&found.record, group.as_ref(), &init).context(out_of_memory::REASON)?;
    // What follows may take long, and the container can be looked after meanwhile.
    drop(lock);
    poststart(&spec, &found.record, group.as_ref(), &init)?;
    match notify {
        Some(socket) => socket.forward_until_ready(&init),
        None => Ok(()),
    }
}

/// Writes the word and waits: end of file means that execve(2) closed init's end, a text is what failed. True if nothing came of it
/// until the deadline.
fn open_gate(found: &Found, deadline: Option<Instant>) -> Result<bool> {
    let Some(mut gate) = found.directory.open_gate()? else {
        found.directory.remove_gate();
        bail!("cannot start an already running container");
    };
    let mut report = found.directory.open_report()?;
    gate.write_all(b"!").attempt(|| "open the start gate")?;
    drop(gate);
    let mut text = Vec::new();
    loop {
        if !wait_readable(&report, deadline)? {
            return Ok(true);
        }
        let mut packet = [0; 4096];
        match report.read(&mut packet) {
            Ok(0) => break,
            Ok(length) => text.extend_from_slice(&packet[..length]),
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {}
            Err(error) => return Err(error).attempt(|| "read what came of the start"),
        }
    }
    found.directory.remove_gate();
    if text.is_empty() { Ok(false) } else { Err(anyhow!("{}", String::from_utf8_lossy(&text))) }
}

/// False if the deadline comes first.
fn wait_readable(report: &impl AsFd, deadline: Option<Instant>) -> Result<bool> {
    loop {
        let left = deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
        let timeout = left.map(Timespec::try_from).transpose().context("wait for the program to start")?;
        match poll(&mut [PollFd::new(report, PollFlags::IN)], timeout.as_ref()) {
            Err(Errno::INTR) => {}
            result => return Ok(result.attempt(|| "wait for the program to start")? > 0),
        }
    }
}

/// Runs the hooks that come after the start. If one fails the container is stopped, and that is an error (runtime-spec 1.3,
/// runtime.md, "Lifecycle" 10).
pub(super) fn poststart(spec: &Spec, record: &Record, group: Option<&Group>, init: &Child) -> Result<()> {
    let identity = identity(record);
    let state = identity.at("running", init.pid.as_raw_nonzero().get());
    let result = hooks::run("poststart", &spec.hooks.poststart, &state, &hook_output(spec)?);
    if result.is_err() {
        stop(group, init);
    }
    result
}

pub(super) fn stop(group: Option<&Group>, init: &Child) {
    let _ = group.map(|group| group.kill());
    let _ = signal::send(init.pidfd.as_fd(), libc::SIGKILL);
    let _ = delete::wait_until_gone(&init.pidfd);
}

/// What hooks are told of a container that is on record.
pub(super) fn identity(record: &Record) -> Identity {
    Identity {
        id: record.id.clone(),
        bundle: record.bundle.to_string_lossy().into_owned(),
        annotations: record.annotations.clone(),
    }
}
