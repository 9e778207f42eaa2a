//! A tmux of a test's own, with one window, and what is to be seen in it.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use rustix::fs::{Mode, OFlags};

use crate::harness::command::{BOUND, Run, readable};
use crate::harness::host::Host;

/// A server with a session; it ends when this is dropped.
pub(super) struct Screen {
    host: Arc<Host>,
    socket: PathBuf,
    /// What the program in the window writes, from a fifo that tmux's pipe-pane fills.
    output: File,
    seen: String,
}

impl Screen {
    /// A shell in a window of this size.
    pub(super) fn open(
        host: &Arc<Host>,
        directory: &Path,
        columns: u16,
        rows: u16,
        variables: &[(&str, &str)],
    ) -> Result<Self> {
        let fifo = directory.join("output");
        Run::new("mkfifo").args([&fifo]).stdout()?;
        // For writing, too: the end of one writer is not the end.
        let output = rustix::fs::open(&fifo, OFlags::RDWR | OFlags::CLOEXEC, Mode::empty()).context("open the fifo")?;
        let socket = directory.join("tmux");
        let screen = Self { host: Arc::clone(host), socket, output: output.into(), seen: String::new() };
        let mut start = vec![
            "new-session".to_owned(),
            "-d".into(),
            "-x".into(),
            columns.to_string(),
            "-y".into(),
            rows.to_string(),
        ];
        for (name, value) in variables {
            start.extend(["-e".to_owned(), format!("{name}={value}")]);
        }
        // A shell that writes no more than what it is told to, and that waits to be looked at first.
        start.push("exec sh".into());
        screen.tmux(&start.iter().map(String::as_str).collect::<Vec<_>>())?;
        screen.tmux(&["pipe-pane", "-O", &format!("exec cat > {}", fifo.display())])?;
        screen.type_in("PS1='ended with $?. '; stty -echo; echo rea''dy")?;
        let mut screen = screen;
        screen.until("ready")?;
        Ok(screen)
    }

    fn tmux(&self, arguments: &[&str]) -> Result<String> {
        let mut command = Command::new("tmux");
        self.host.prepare(&mut command);
        command.arg("-f").arg("/dev/null").arg("-S").arg(&self.socket).args(arguments);
        Run::from(command).stdout()
    }

    /// Types a line.
    pub(super) fn type_in(&self, line: &str) -> Result<()> {
        self.tmux(&["send-keys", "-l", "--", line])?;
        self.keys(&["Enter"])
    }

    /// Presses keys: `C-p`, `Enter`.
    pub(super) fn keys(&self, keys: &[&str]) -> Result<()> {
        self.tmux(&[&["send-keys", "--"], keys].concat()).map(drop)
    }

    /// Makes the window larger or smaller, as a person does with the mouse.
    pub(super) fn resize(&self, columns: u16, rows: u16) -> Result<()> {
        self.tmux(&["resize-window", "-x", &columns.to_string(), "-y", &rows.to_string()]).map(drop)
    }

    /// What is to be seen at the moment.
    pub(super) fn contents(&self) -> Result<String> {
        self.tmux(&["capture-pane", "-p"])
    }

    /// Reads what the program writes until the text comes, after what earlier calls have found.
    pub(super) fn until(&mut self, text: &str) -> Result<()> {
        let end = Instant::now() + BOUND;
        loop {
            if let Some(at) = self.seen.find(text) {
                self.seen.drain(..at + text.len());
                return Ok(());
            }
            let left = end.saturating_duration_since(Instant::now());
            if left == Duration::ZERO || !readable(&self.output, left)? {
                bail!("no {text:?} came, but {:?}; the screen shows\n{}", self.seen, self.contents()?);
            }
            let mut bytes = [0; 4096];
            let count = self.output.read(&mut bytes)?;
            self.seen.push_str(&String::from_utf8_lossy(&bytes[..count]));
        }
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        let _ = self.tmux(&["kill-server"]);
    }
}
