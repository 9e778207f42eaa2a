//! Programs of others that do one thing for us and end. They have a limit of time, for whoever waits for them keeps others waiting.

use std::os::fd::{AsFd, BorrowedFd};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, pidfd_open};

use crate::error::Attempt;

/// For newuidmap(1) and newgidmap(1), which may ask a directory of users on the network (subid in nsswitch.conf(5)).
pub(crate) const OF_IDS: Duration = Duration::from_secs(30);

/// Runs a program that reads nothing, and prints nothing but what went wrong: how it ended, and what it said.
pub(crate) fn run(command: &mut Command, patience: Duration) -> Result<(ExitStatus, String)> {
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
    let name = command.get_program().display().to_string();
    let mut child = command.spawn().attempt(|| format!("start {name}"))?;
    let mut said = Vec::new();
    if !is_over(&mut child, &mut said, patience)? {
        // One that may not be killed ends when it wants to.
        let _ = child.kill().and_then(|()| child.wait());
        bail!("{name} had not ended after {} seconds", patience.as_secs());
    }
    let status = child.wait().attempt(|| format!("wait for {name}"))?;
    Ok((status, String::from_utf8_lossy(&said).trim().to_owned()))
}

/// Reads what a child says on its standard error until nobody has that open any more and the child has ended. False if that takes too long.
pub(crate) fn is_over(child: &mut Child, said: &mut Vec<u8>, patience: Duration) -> Result<bool> {
    let end = Instant::now() + patience;
    if let Some(errors) = child.stderr.take() {
        let mut buffer = [0; 4096];
        loop {
            if !is_readable(errors.as_fd(), end)? {
                return Ok(false);
            }
            match rustix::io::retry_on_intr(|| rustix::io::read(&errors, &mut buffer)).attempt(|| "hear a program")? {
                0 => break,
                count => said.extend(&buffer[..count]),
            }
        }
    }
    let process = pidfd_open(Pid::from_child(child), PidfdFlags::empty()).attempt(|| "wait for a program")?;
    is_readable(process.as_fd(), end)
}

/// Waits until there is something to read, or nobody is there any more: what a pidfd says of a process's end. False if it is too late.
pub(crate) fn is_readable(descriptor: BorrowedFd<'_>, end: Instant) -> Result<bool> {
    let mut wanted = [PollFd::from_borrowed_fd(descriptor, PollFlags::IN)];
    let ready = rustix::io::retry_on_intr(|| {
        let left = end.saturating_duration_since(Instant::now());
        poll(&mut wanted, Timespec::try_from(left).ok().as_ref())
    });
    Ok(ready.attempt(|| "wait for a program").context("see how far it is")? > 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ran(script: &str, patience: Duration) -> Result<(ExitStatus, String)> {
        run(Command::new("sh").args(["-c", script]), patience)
    }

    #[test]
    fn what_it_says_and_how_it_ends() {
        let (status, said) = ran("echo out; echo wrong >&2; exit 3", Duration::from_secs(60)).unwrap();
        assert_eq!((status.code(), said.as_str()), (Some(3), "wrong"));
    }

    #[test]
    fn one_that_hangs_is_killed() {
        let patience = Duration::from_millis(100);
        // By itself, with its errors closed, and with another one that has them open.
        for script in ["exec sleep 100", "exec sleep 100 2>&-", "sleep 1 & exec 2>&-"] {
            let begun = Instant::now();
            let error = ran(script, patience).unwrap_err().to_string();
            assert_eq!(error, "sh had not ended after 0 seconds", "{script}");
            assert!(begun.elapsed() < Duration::from_secs(50), "{script}");
        }
    }
}
