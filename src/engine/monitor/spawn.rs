//! A monitor's own start, by the process that starts its container.

use std::ffi::{CString, OsStr};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};

use anyhow::{Context, Result};
use rustix::process::Pid;
use rustix::stdio::{dup2_stderr, dup2_stdin, dup2_stdout};

use super::{Engine, WORD};
use crate::cgroup::Group;
use crate::error::Attempt;
use crate::security::sealed_executable;
use crate::sys::clone::{self, CloneFlags};
use crate::sys::execute::{execute_file, exit_now};

/// Starts the monitor of a container with these standard streams, in a group if one is given and can be had.
pub(in crate::engine) fn spawn(engine: &Engine, id: &str, streams: [OwnedFd; 3], group: Option<&Group>) -> Result<()> {
    let program = sealed_executable::sealed()?;
    let what = || "start the container's monitor";
    let runtime = engine.user.as_ref().map(|user| user.runtime.as_os_str());
    let words: Vec<&OsStr> = [OsStr::new("ctn"), WORD.as_ref(), engine.store.root().as_os_str(), id.as_ref()]
        .into_iter()
        .chain(runtime)
        .collect();
    let arguments = words.iter().map(|word| CString::new(word.as_bytes()));
    let arguments = arguments.collect::<Result<Vec<_>, _>>().context("a path has no zero byte")?;
    let directory = group.and_then(|group| group.open().ok());
    if let Some(directory) = &directory
        && clone::process(CloneFlags::empty(), Some(directory.as_fd()), || {
            become_one(program.as_fd(), &streams, &arguments);
            exit_now(127)
        })
        .is_ok()
    {
        return Ok(());
    }
    // A process that has had threads can't be copied, and not every group takes one in.
    let mut command = Command::new(format!("/proc/self/fd/{}", program.as_raw_fd()));
    command.arg0(words[0]).args(&words[1..]).env_clear().current_dir("/");
    let [stdin, stdout, stderr] = streams.map(Stdio::from);
    let child = command.stdin(stdin).stdout(stdout).stderr(stderr).spawn().attempt(what)?;
    if let (Some(group), Some(pid)) = (group, Pid::from_raw(child.id().cast_signed())) {
        let _ = group.add(pid);
    }
    Ok(())
}

/// In the copy. It returns where it could not, and then there is nobody to tell but who sees the channel's end.
fn become_one(program: BorrowedFd<'_>, [stdin, stdout, stderr]: &[OwnedFd; 3], arguments: &[CString]) {
    let ready = dup2_stdin(stdin).and_then(|()| dup2_stdout(stdout)).and_then(|()| dup2_stderr(stderr));
    if ready.and_then(|()| rustix::process::chdir("/")).is_ok() {
        execute_file(program, arguments, &[]);
    }
}
