//! The program: its start, which process it is, and its end.

use std::fs;
use std::os::fd::OwnedFd;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail, ensure};
use rustix::event::{PollFd, PollFlags, poll};
use rustix::process::{Pid, PidfdFlags, Signal, getpid, pidfd_open, pidfd_send_signal, set_child_subreaper};
use serde::{Deserialize, Serialize};

use crate::aside;
use crate::error::Attempt;
use crate::sys::signal;

/// Where the program is looked for; a monitor has no environment.
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// One that runs, or did.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::engine) struct Process {
    pid: i32,
    /// When it was started, in the kernel's ticks: a number may be another process's by now.
    start: u64,
}

impl Process {
    /// Starts it, and returns when it is ready: its first process ends then, and what goes on is a child of the next subreaper above.
    ///
    /// That is another process for this moment: a monitor has children that its container left, and none of them is to be taken for it.
    pub(in crate::engine) fn start(arguments: &[String]) -> Result<Process> {
        let started = aside::process(|| {
            set_child_subreaper(Some(getpid())).attempt(|| "become the subreaper")?;
            run(arguments)?;
            // Short-lived ones of which the first one didn't hear any more are left, too.
            let is_alive = |pid: &i32| field(*pid, 3).is_some_and(|state| state != "Z");
            let pid = children()?.into_iter().find(is_alive).context("pasta ended as soon as it was ready")?;
            Ok(Process { pid, start: started(pid).unwrap_or(0) })
        });
        started.attempt(|| "make a process that starts pasta")?
    }

    /// Whether a child that has ended was this one.
    pub(in crate::engine) fn is(&self, pid: Pid) -> bool {
        self.pid == pid.as_raw_nonzero().get()
    }

    /// A descriptor that is readable when it has ended; none if it has.
    pub(in crate::engine) fn open(&self) -> Option<OwnedFd> {
        let process = pidfd_open(Pid::from_raw(self.pid)?, PidfdFlags::empty()).ok()?;
        let is_it = started(self.pid) == Some(self.start) && field(self.pid, 3).is_some_and(|state| state != "Z");
        is_it.then_some(process)
    }

    /// Kills it; what is done meanwhile has it gone, and at the end its ports are free.
    pub(in crate::engine) fn end(&self, meanwhile: impl FnOnce() -> Result<()>) -> Result<()> {
        let process = self.open();
        if let Some(process) = &process {
            // It may end at this moment, and it may be root's.
            let _ = pidfd_send_signal(process, Signal::KILL);
        }
        meanwhile()?;
        if let Some(process) = &process {
            let mut wanted = [PollFd::new(process, PollFlags::IN)];
            rustix::io::retry_on_intr(|| poll(&mut wanted, None)).attempt(|| "wait for the end of pasta")?;
        }
        Ok(())
    }
}

fn run(arguments: &[String]) -> Result<()> {
    let mut command = Command::new("pasta");
    command.args(arguments).env_clear().env("PATH", PATH).current_dir("/").stdin(Stdio::null());
    // The monitor has all blocked, and what ends a user's processes begins with SIGTERM.
    signal::unblock_in(&mut command);
    let output = match command.output() {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            bail!(
                "the network \"pasta\" and the networks of an ordinary user need the program pasta (package passt), which is not there: \
                 install it, or choose --network none, host or container:ID"
            )
        }
        output => output.attempt(|| "start pasta")?,
    };
    ensure!(output.status.success(), "pasta: {}", reason(&String::from_utf8_lossy(&output.stderr)));
    Ok(())
}

/// What a pasta that failed said, without what it says of the system's log and of its own options.
fn reason(said: &str) -> String {
    let lines = said.lines().map(|line| line.trim().trim_start_matches("pasta: "));
    let lines = lines
        .take_while(|line| !line.starts_with("Usage:"))
        .filter(|line| !line.is_empty() && !line.contains("to syslog"));
    let lines: Vec<&str> = lines.collect();
    if lines.is_empty() { "it failed without a word".into() } else { lines.join("; ") }
}

/// When a process started.
fn started(pid: i32) -> Option<u64> {
    field(pid, 22)?.parse().ok()
}

/// A field of proc_pid_stat(5) behind the name, by its number there.
fn field(pid: i32, number: usize) -> Option<String> {
    let text = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    text.rsplit_once(") ")?.1.split(' ').nth(number - 3).map(str::to_owned)
}

/// The children of this thread, which is the only one.
fn children() -> Result<Vec<i32>> {
    let path = "/proc/thread-self/children";
    let text = fs::read_to_string(path).attempt(|| format!("read {path:?}"))?;
    Ok(text.split_ascii_whitespace().filter_map(|pid| pid.parse().ok()).collect())
}
