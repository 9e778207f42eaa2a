//! The program: its start, which process it is, and its end.

use std::fs;
use std::os::fd::{AsFd, OwnedFd};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use rustix::process::{
    Pid, PidfdFlags, Signal, WaitOptions, getpid, pidfd_open, pidfd_send_signal, set_child_subreaper, waitpid,
};
use serde::{Deserialize, Serialize};

use crate::aside;
use crate::error::Attempt;
use crate::helper;
use crate::sys::signal;

/// Where the program is looked for; a monitor has no environment.
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// Pasta is ready within milliseconds. One that isn't after this will not be, and whoever starts it has others waiting.
const PATIENCE: Duration = Duration::from_secs(20);

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
            let is_over = helper::is_readable(process.as_fd(), Instant::now() + PATIENCE)?;
            ensure!(is_over, "pasta, process {}, had not ended after {} seconds", self.pid, PATIENCE.as_secs());
        }
        Ok(())
    }
}

/// Whether it leads what comes to the machine's loopback to the link's address: it does by default since it has an option for the way
/// before, which its help doesn't show.
pub(super) fn leads_to_link() -> Result<bool> {
    let mut command = Command::new("pasta");
    command.args(["--host-lo-to-ns-lo", "--version"]).env_clear().env("PATH", PATH);
    signal::unblock_in(&mut command);
    helper::run(&mut command, PATIENCE).map(|(status, _)| status.success())
}

fn run(arguments: &[String]) -> Result<()> {
    let mut command = Command::new("pasta");
    command.args(arguments).env_clear().env("PATH", PATH).current_dir("/");
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
    // The monitor has all blocked, and what ends a user's processes begins with SIGTERM.
    signal::unblock_in(&mut command);
    let mut child = match command.spawn() {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            bail!(
                "the network \"pasta\" and the networks of an ordinary user need the program pasta (package passt), which is not there: \
                 install it, or choose --network none, host or container:ID"
            )
        }
        child => child.attempt(|| "start pasta")?,
    };
    // Until it is ready or has failed: nobody has its errors open any more, and its first process ends.
    let mut said = Vec::new();
    if !helper::is_over(&mut child, &mut said, PATIENCE)? {
        let late = || format!("pasta was not ready after {} seconds: {}", PATIENCE.as_secs(), reason(&said));
        kill_all().with_context(late)?;
        bail!(late());
    }
    let status = child.wait().attempt(|| "wait for pasta")?;
    ensure!(status.success(), "pasta: {}", reason(&said));
    Ok(())
}

/// All of this process's children, and theirs, which are its own then.
fn kill_all() -> Result<()> {
    let end = Instant::now() + PATIENCE;
    loop {
        let children = children()?;
        if children.is_empty() {
            return Ok(());
        }
        for pid in children.into_iter().filter_map(Pid::from_raw) {
            let process = pidfd_open(pid, PidfdFlags::empty()).attempt(|| "look for pasta")?;
            let _ = pidfd_send_signal(&process, Signal::KILL);
            ensure!(helper::is_readable(process.as_fd(), end)?, "it can't be killed");
            let _ = rustix::io::retry_on_intr(|| waitpid(Some(pid), WaitOptions::empty()));
        }
    }
}

/// What a pasta that failed said, without what it says of the system's log and of its own options.
fn reason(said: &[u8]) -> String {
    let said = String::from_utf8_lossy(said);
    let lines = said.lines().map(|line| line.trim().trim_start_matches("pasta: "));
    let lines = lines
        .take_while(|line| !line.starts_with("Usage:"))
        .filter(|line| !line.is_empty() && !line.contains("to syslog"));
    let lines: Vec<&str> = lines.collect();
    if lines.is_empty() { "it said nothing".into() } else { lines.join("; ") }
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
