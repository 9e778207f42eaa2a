//! `start`: opens the gate behind which init waits, and says what came of it.

use std::fs::File;
use std::io::{ErrorKind, Read, Write};
use std::os::fd::AsFd;

use anyhow::{Context, Result, bail};

use super::create::hook_output;
use super::options::Host;
use super::record::Record;
use super::status::{Found, find};
use super::{delete, notify_socket, out_of_memory};
use crate::cgroup::Group;
use crate::error::Attempt;
use crate::launch::hooks;
use crate::launch::patience::{Patience, Turn, readable};
use crate::plan;
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
    let agent = plan::agent(&spec)?;
    let notify = notify_socket::listen(found.directory.path())?;
    let init = Child { pid, pidfd };
    let group = found.group();
    let patience = agent.map(|agent| Patience::new(agent, &spec.hooks.start_container));
    let mut report = open_gate(&found)?;
    let text = last_words(&mut report, patience).inspect_err(|_| stop(group.as_ref(), &init))?;
    found.directory.remove_gate();
    if !text.is_empty() {
        bail!("{}", String::from_utf8_lossy(&text));
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

/// Writes the word; what is returned is where init says what comes of it.
fn open_gate(found: &Found) -> Result<File> {
    let Some(mut gate) = found.directory.open_gate()? else {
        found.directory.remove_gate();
        bail!("cannot start an already running container");
    };
    let report = found.directory.open_report()?;
    gate.write_all(b"!").attempt(|| "open the start gate")?;
    Ok(report)
}

/// Waits for the end of file, which means that execve(2) closed init's end; a text before that is what failed.
fn last_words(report: &mut File, mut patience: Option<Patience>) -> Result<Vec<u8>> {
    let mut text = Vec::new();
    loop {
        match &patience {
            Some(patience) => patience.wait(report)?,
            None => drop(readable(report, None)?),
        }
        let mut packet = [0; 4096];
        let length = match report.read(&mut packet) {
            Ok(0) => return Ok(text),
            Ok(length) => length,
            Err(error) if error.kind() == ErrorKind::WouldBlock => continue,
            Err(error) => return Err(error).attempt(|| "read what came of the start"),
        };
        // Turns come before a text, and no text begins with one.
        let turns: Vec<Turn> = packet[..length].iter().map_while(|byte| Turn::of(*byte)).collect();
        text.extend_from_slice(&packet[turns.len()..length]);
        patience.iter_mut().for_each(|patience| turns.iter().for_each(|turn| patience.renew(*turn)));
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
