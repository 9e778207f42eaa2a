//! What stands for a container that does nothing, beside its own processes: how much memory is there for it alone.

use std::fs;

use anyhow::{Context, Result};

use crate::engine::{Engine, Kind};
use crate::job::NAME;

/// A sentence: the parent of a container's process, and its private memory (proc_pid_smaps(5)). A second container is there, so that
/// the program's own pages are not one process's alone.
pub(crate) fn report(engines: &[Engine]) -> Result<String> {
    let mut parts = Vec::new();
    for engine in engines.iter().filter(|engine| !matches!(engine.kind, Kind::Containerd { .. })) {
        let names = [NAME, "bench-beside"];
        for name in names {
            let made = engine.made("run", name, &["sleep", "1000"]).output()?;
            anyhow::ensure!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        }
        let told = engine.command(&["inspect", "--format", "{{.State.Pid}}", NAME]).output()?;
        let pid = String::from_utf8_lossy(&told.stdout).trim().to_owned();
        let (name, kibibytes) = parent(&pid).with_context(|| format!("look at the parent of {pid:?}"))?;
        parts.push(format!("{} {name} {kibibytes} KiB", engine.name()));
        engine.command(&["rm", "--force"]).args(names).output()?;
    }
    Ok(format!("private memory of what stands for a container: {}", parts.join(", ")))
}

fn parent(pid: &str) -> Result<(String, u64)> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat"))?;
    let parent = stat.rsplit_once(") ").and_then(|(_, rest)| rest.split(' ').nth(1)).context("no parent")?;
    let maps = fs::read_to_string(format!("/proc/{parent}/smaps_rollup"))?;
    let private = maps.lines().filter(|line| line.starts_with("Private_"));
    let sum = private.filter_map(|line| line.split_whitespace().nth(1)?.parse::<u64>().ok()).sum();
    Ok((fs::read_to_string(format!("/proc/{parent}/comm"))?.trim().to_owned(), sum))
}
