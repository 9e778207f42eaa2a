//! A daemon that a test starts and ends.

use std::fs::File;
use std::os::unix::net::UnixDatagram;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use rustix::process::{Signal, kill_process};

use super::command::{end, pid, readable, wait};

const START: Duration = Duration::from_secs(60);
const STOP: Duration = Duration::from_secs(30);

/// A running daemon. It is asked to stop when this is dropped, and made to if it doesn't.
pub(crate) struct Daemon {
    child: Child,
    log: PathBuf,
}

impl Daemon {
    /// Starts the daemon and waits until it says that it is ready, in the way of sd_notify(3). Its output goes to
    /// `NAME.log` in the directory.
    pub(crate) fn start(mut command: Command, directory: &Path, name: &str) -> Result<Self> {
        let log = directory.join(format!("{name}.log"));
        let output = File::create(&log).with_context(|| format!("create {log:?}"))?;
        let path = directory.join(format!("{name}.notify"));
        let notices = UnixDatagram::bind(&path).with_context(|| format!("bind {path:?}"))?;
        command.env("NOTIFY_SOCKET", &path).stdin(Stdio::null()).process_group(0);
        command.stdout(output.try_clone()?).stderr(output);
        let child = command.spawn().with_context(|| format!("start {name}"))?;
        let daemon = Self { child, log };
        daemon.wait_ready(&notices).with_context(|| format!("{name} did not start:\n{}", daemon.log()))?;
        Ok(daemon)
    }

    fn wait_ready(&self, notices: &UnixDatagram) -> Result<()> {
        let until = Instant::now() + START;
        let mut message = [0; 4096];
        while readable(notices, until.saturating_duration_since(Instant::now()))? {
            let count = notices.recv(&mut message)?;
            if message[..count].split(|byte| *byte == b'\n').any(|line| line == b"READY=1") {
                return Ok(());
            }
        }
        bail!("no READY=1 within {START:?}")
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// What the daemon has written so far.
    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = kill_process(pid(&self.child), Signal::TERM);
        if !matches!(wait(&mut self.child, STOP), Ok(Some(_))) {
            eprintln!("a daemon did not stop within {STOP:?} and is killed:\n{}", self.log());
        }
        end(&mut self.child);
    }
}
