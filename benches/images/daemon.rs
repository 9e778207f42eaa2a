//! Programs that go on running: the registry, and docker's daemon.

use std::fs;
use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::channel;
use std::time::Duration;

use anyhow::{Context, Result, anyhow};
use rustix::process::{Pid, Signal, kill_process};

/// A daemon that ends when this is dropped.
pub(crate) struct Daemon {
    child: Child,
    /// The line in which it said that it is ready.
    pub(crate) ready: String,
}

impl Daemon {
    /// Starts it, and waits for a line of its log.
    pub(crate) fn start(mut command: Command, ready: &'static str) -> Result<Daemon> {
        command.env_clear().env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin").stdin(Stdio::null()).stdout(Stdio::null());
        let mut child = command.stderr(Stdio::piped()).spawn().with_context(|| format!("start {command:?}"))?;
        let log = child.stderr.take().context("its standard error is a pipe")?;
        let (says, said) = channel();
        // It reads to the end, so that the daemon is never kept waiting.
        std::thread::spawn(move || {
            let mut last = String::new();
            for line in BufReader::new(log).lines().map_while(Result::ok) {
                if line.contains(ready) {
                    let _ = says.send(Ok(line.clone()));
                }
                last = line;
            }
            let _ = says.send(Err(last));
        });
        let mut daemon = Daemon { child, ready: String::new() };
        let line = said.recv_timeout(Duration::from_secs(60)).context("a daemon doesn't say that it is ready")?;
        daemon.ready = line.map_err(|last| anyhow!("a daemon ended: {last}"))?;
        Ok(daemon)
    }

    /// The daemon and the children that it has now.
    fn processes(&self) -> Vec<u32> {
        let own = self.child.id();
        let children = fs::read_to_string(format!("/proc/{own}/task/{own}/children")).unwrap_or_default();
        let tasks = fs::read_dir(format!("/proc/{own}/task")).into_iter().flatten().flatten();
        let of_tasks = tasks.filter_map(|task| fs::read_to_string(task.path().join("children")).ok());
        let text = of_tasks.fold(children, |text, more| text + " " + &more);
        let mut all: Vec<u32> = text.split_whitespace().filter_map(|pid| pid.parse().ok()).chain([own]).collect();
        all.sort_unstable();
        all.dedup();
        all
    }

    /// What it has taken of processors since its start, with the children that it has waited for.
    pub(crate) fn cpu(&self) -> Duration {
        let ticks = |pid: &u32| {
            let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
            // Behind the name, which may hold anything: fields 14 to 17 of proc_pid_stat(5).
            let rest = stat.rsplit_once(')').map_or("", |(_, rest)| rest);
            rest.split_whitespace().skip(11).take(4).filter_map(|field| field.parse::<u64>().ok()).sum::<u64>()
        };
        let per_second = rustix::param::clock_ticks_per_second();
        Duration::from_secs_f64(self.processes().iter().map(ticks).sum::<u64>() as f64 / per_second as f64)
    }

    /// The most memory that it has had resident since the last call of [`Daemon::forget_peak`], in KiB.
    pub(crate) fn peak(&self) -> u64 {
        let peak = |pid: &u32| {
            let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
            let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?.to_owned();
            line.split_whitespace().next()?.parse::<u64>().ok()
        };
        self.processes().iter().filter_map(peak).sum()
    }

    pub(crate) fn forget_peak(&self) {
        for pid in self.processes() {
            // proc_pid_clear_refs(5): 5 is the peak.
            let _ = fs::write(format!("/proc/{pid}/clear_refs"), "5");
        }
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = kill_process(Pid::from_child(&self.child), Signal::TERM);
        let _ = self.child.wait();
    }
}
