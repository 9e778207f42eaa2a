//! `delete`: removes all that a container left, also what a runtime left that was killed half-way.

use std::os::fd::{AsFd, OwnedFd};

use anyhow::{Result, bail};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;

use super::create::hook_output;
use super::directory::Directory;
use super::group;
use super::options::{Host, Status};
use super::start::identity;
use super::status::{Found, find, missing};
use crate::error::{Attempt, sentence};
use crate::launch::hooks;
use crate::spec::{Spec, load};
use crate::sys::signal;

/// How long a killed process may take to be gone.
const PATIENCE: Timespec = Timespec { tv_sec: 10, tv_nsec: 0 };

/// Removes a container. `force` kills what still runs, and what is not there is removed already.
pub fn delete(host: &Host, id: &str, force: bool) -> Result<()> {
    let directory = Directory::of(&host.root, id)?;
    if !directory.exists() {
        if force {
            return Ok(());
        }
        return Err(missing(&host.root, id, false));
    }
    let _lock = directory.lock()?;
    if force && !matches!(directory.record(), Ok(Some(_))) {
        return remove_without_record(&directory);
    }
    if directory.record()?.is_none() {
        return Err(missing(&host.root, id, directory.exists()));
    }
    let found = find(&host.root, id)?;
    let status = found.status()?;
    let deletable = force || matches!(status, Status::Stopped | Status::Created);
    if !deletable {
        bail!("cannot delete container {id} that is not stopped: {status}");
    }
    let config = load::config(&found.directory.config_path());
    remove(host, &found, config.as_ref().map(|loaded| &loaded.spec).ok())
}

/// Of a container whose runtime was killed before it had written the record, or whose record can't be read: the processes are those
/// of its cgroup.
fn remove_without_record(directory: &Directory) -> Result<()> {
    if let Some(kept) = group::kept(directory) {
        kept.group().kill()?;
        kept.remove()?;
    }
    directory.remove()
}

/// After the end of a container that ran in the foreground.
pub(super) fn remove_ended(host: &Host, id: &str, spec: &Spec) -> Result<()> {
    let directory = Directory::of(&host.root, id)?;
    let _lock = directory.lock()?;
    match directory.record()? {
        Some(record) => remove(host, &Found { directory, record }, Some(spec)),
        // Somebody else deleted it the moment it ended.
        None => Ok(()),
    }
}

/// Kills what is left, then removes the cgroup, the state directory, and runs the hooks. An error does not keep the rest from being
/// tried; the first one is returned.
fn remove(host: &Host, found: &Found, spec: Option<&Spec>) -> Result<()> {
    let mut errors = Vec::new();
    errors.extend(kill_all(found).err());
    errors.extend(found.kept_group().and_then(|kept| kept.remove().err()));
    errors.extend(found.record.resctrl.as_ref().and_then(|path| super::resctrl::remove(path).err()));
    if errors.is_empty() {
        errors.extend(found.directory.remove().err());
    }
    if let Some(spec) = spec.filter(|spec| !spec.hooks.poststop.is_empty()) {
        let identity = identity(&found.record);
        let state = identity.at("stopped", None);
        let output = hook_output(spec).unwrap_or_default();
        // runtime.md, "Lifecycle" 13: a failure is a warning, and the remaining hooks run.
        let failures = hooks::run_each("poststop", &spec.hooks.poststop, &state, &output);
        host.warn.all(&failures.iter().map(sentence).collect::<Vec<_>>());
    }
    errors.into_iter().next().map_or(Ok(()), Err)
}

fn kill_all(found: &Found) -> Result<()> {
    let init = found.init()?;
    if let Some(group) = found.group() {
        // Also without init: processes may be left that its end did not kill, or an init that never got on record.
        if !group.is_empty().unwrap_or(false) {
            group.kill()?;
        }
    }
    let Some((_, pidfd)) = init else { return Ok(()) };
    match signal::send(pidfd.as_fd(), libc::SIGKILL) {
        Ok(()) | Err(Errno::SRCH) => {}
        Err(error) => return Err(error).attempt(|| "kill init"),
    }
    if !wait_until_gone(&pidfd)? {
        bail!("init was killed and has not ended within {} s", PATIENCE.tv_sec);
    }
    Ok(())
}

/// Waits until a process has ended; false if it does not in time.
pub(super) fn wait_until_gone(pidfd: &OwnedFd) -> Result<bool> {
    loop {
        match poll(&mut [PollFd::new(pidfd, PollFlags::IN)], Some(&PATIENCE)) {
            Ok(ready) => return Ok(ready > 0),
            Err(Errno::INTR) => {}
            Err(error) => return Err(error).attempt(|| "wait for the end of init"),
        }
    }
}
