//! Commands that end within a bound, and what they left: an exit status and two texts.

use std::fmt;
use std::fs::File;
use std::io::{Read, Seek, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{MemfdFlags, memfd_create};
use rustix::process::{Pid, PidfdFlags, Signal, kill_process_group, pidfd_open};

/// How long a command may take unless it says otherwise: far more than any takes, far less than a person waits.
pub(crate) const BOUND: Duration = Duration::from_secs(60);

/// A command that is about to run.
pub(crate) struct Run {
    command: Command,
    input: Option<Vec<u8>>,
    bound: Duration,
}

impl From<Command> for Run {
    fn from(mut command: Command) -> Self {
        // A group of its own, so that all of it can be ended when the bound is passed.
        command.stdin(Stdio::null()).process_group(0);
        Self { command, input: None, bound: BOUND }
    }
}

/// What a command left.
pub(crate) struct Finished {
    /// As a shell gives it: the exit status, or 128 and the signal's number.
    pub(crate) status: i32,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
    line: String,
}

impl Run {
    /// A command without input.
    pub(crate) fn new(program: impl AsRef<std::ffi::OsStr>) -> Self {
        Self::from(Command::new(program))
    }

    pub(crate) fn args<S: AsRef<std::ffi::OsStr>>(mut self, arguments: impl IntoIterator<Item = S>) -> Self {
        self.command.args(arguments);
        self
    }

    /// What the command reads, then end-of-file. At most what a pipe holds.
    pub(crate) fn input(mut self, text: &str) -> Self {
        self.input = Some(text.as_bytes().to_vec());
        self
    }

    /// Runs the command to its end.
    pub(crate) fn finish(self) -> Result<Finished> {
        let bound = self.bound;
        self.start()?.finish_within(bound)
    }

    /// Runs the command to its end, which must be a good one, and gives its standard output without the last newline.
    pub(crate) fn stdout(self) -> Result<String> {
        Ok(self.finish()?.success()?.stdout.trim_end().to_string())
    }

    /// Starts the command; its texts go to memory, so that no reader is needed and nobody waits for what it leaves.
    pub(crate) fn start(mut self) -> Result<Running> {
        let line = shown(&self.command);
        let stdout = memory()?;
        let stderr = memory()?;
        self.command.stdout(stdout.try_clone()?).stderr(stderr.try_clone()?);
        if self.input.is_some() {
            self.command.stdin(Stdio::piped());
        }
        let mut child = self.command.spawn().with_context(|| format!("start `{line}`"))?;
        if let (Some(text), Some(mut pipe)) = (self.input, child.stdin.take()) {
            pipe.write_all(&text).with_context(|| format!("write to `{line}`"))?;
        }
        Ok(Running { child, stdout, stderr, line })
    }
}

/// A command that runs; it is killed with its process group if it is dropped before its end.
pub(crate) struct Running {
    child: Child,
    stdout: File,
    stderr: File,
    line: String,
}

impl Running {
    pub(crate) fn finish(self) -> Result<Finished> {
        self.finish_within(BOUND)
    }

    fn finish_within(mut self, bound: Duration) -> Result<Finished> {
        let ended = wait(&mut self.child, bound)?;
        let (stdout, stderr) = (read(&mut self.stdout)?, read(&mut self.stderr)?);
        let Some(status) = ended else {
            bail!("`{}` has not ended within {bound:?}\n{}", self.line, streams(&stdout, &stderr));
        };
        Ok(Finished { status: shell_status(status), stdout, stderr, line: self.line.clone() })
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        end(&mut self.child);
    }
}

impl Finished {
    /// Nothing but exit status 0 is good.
    pub(crate) fn success(self) -> Result<Self> {
        self.ends_with(0)
    }

    /// Nothing but this exit status is good.
    pub(crate) fn ends_with(self, status: i32) -> Result<Self> {
        ensure!(self.status == status, "exit status {} and not {status} from {self}", self.status);
        Ok(self)
    }

    /// Nothing but failure, with a text on standard error that contains this one, is good.
    pub(crate) fn fails_saying(self, text: &str) -> Result<Self> {
        ensure!(self.status != 0, "success, where a failure was due, from {self}");
        self.says(text)
    }

    /// Standard error contains this text.
    pub(crate) fn says(self, text: &str) -> Result<Self> {
        ensure!(self.stderr.contains(text), "no {text:?} on standard error from {self}");
        Ok(self)
    }

    /// Standard output contains this text.
    pub(crate) fn prints(self, text: &str) -> Result<Self> {
        ensure!(self.stdout.contains(text), "no {text:?} on standard output from {self}");
        Ok(self)
    }
}

impl fmt::Display for Finished {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}`\n{}", self.line, streams(&self.stdout, &self.stderr))
    }
}

fn streams(stdout: &str, stderr: &str) -> String {
    format!("--- standard output\n{stdout}\n--- standard error\n{stderr}\n---")
}

/// The command as a person would type it, near enough.
pub(crate) fn shown(command: &Command) -> String {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    words.map(|word| word.to_string_lossy()).collect::<Vec<_>>().join(" ")
}

/// Waits for the child's end, at most this long.
pub(crate) fn wait(child: &mut Child, bound: Duration) -> Result<Option<ExitStatus>> {
    let pidfd = pidfd_open(pid(child), PidfdFlags::empty()).context("pidfd_open")?;
    if !readable(&pidfd, bound)? {
        return Ok(None);
    }
    Ok(Some(child.wait()?))
}

/// Whether the descriptor can be read, or has come to its end, within the bound.
pub(crate) fn readable(descriptor: &impl AsFd, bound: Duration) -> Result<bool> {
    let timeout = Timespec { tv_sec: bound.as_secs() as i64, tv_nsec: i64::from(bound.subsec_nanos()) };
    let mut polled = [PollFd::new(descriptor, PollFlags::IN)];
    loop {
        match poll(&mut polled, Some(&timeout)) {
            Ok(count) => return Ok(count > 0),
            Err(rustix::io::Errno::INTR) => {}
            Err(number) => bail!("poll: {number}"),
        }
    }
}

/// Ends a child and its process group, if it still runs.
pub(crate) fn end(child: &mut Child) {
    if let Ok(None) = child.try_wait() {
        // The group, where it has one; the child in any case.
        let _ = kill_process_group(pid(child), Signal::KILL);
        let _ = child.kill();
        let _ = child.wait();
    }
}

pub(crate) fn pid(child: &Child) -> Pid {
    Pid::from_child(child)
}

/// 128 and the signal's number for a command that was killed, as shells give it.
pub(crate) fn shell_status(status: ExitStatus) -> i32 {
    status.code().unwrap_or_else(|| 128 + status.signal().unwrap_or(0))
}

fn memory() -> Result<File> {
    let descriptor: OwnedFd = memfd_create("output", MemfdFlags::CLOEXEC).context("memfd_create")?;
    Ok(File::from(descriptor))
}

fn read(file: &mut File) -> Result<String> {
    let mut bytes = Vec::new();
    // The command wrote through a duplicate, which shares the offset.
    file.rewind()?;
    file.read_to_end(&mut bytes)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}
