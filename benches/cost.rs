//! What a command takes: time, processors, memory.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};

/// What something took.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Cost {
    pub(crate) wall: Duration,
    /// User and kernel.
    pub(crate) cpu: Duration,
    /// KiB.
    pub(crate) peak: u64,
}

impl std::ops::Add for Cost {
    type Output = Cost;

    /// One after the other.
    fn add(self, other: Cost) -> Cost {
        Cost { wall: self.wall + other.wall, cpu: self.cpu + other.cpu, peak: self.peak.max(other.peak) }
    }
}

/// What measures commands.
pub(crate) struct Meter(PathBuf);

impl Meter {
    /// Compiles `programs/cost.c`.
    pub(crate) fn build(directory: &Path) -> Result<Meter> {
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("benches/programs/cost.c");
        let program = directory.join("cost");
        let status = Command::new("cc").args(["-O2", "-static", "-s", "-o"]).args([&program, &source]).status()?;
        ensure!(status.success(), "{source:?} does not compile: {status}");
        Ok(Meter(program))
    }

    /// Runs a command, from before its process is made until it has been waited for.
    pub(crate) fn run<S: AsRef<std::ffi::OsStr>>(&self, words: &[S], environment: &[(&str, &Path)]) -> Result<Cost> {
        let mut command = Command::new(&self.0);
        command.args(words).env_clear().env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin").stdin(Stdio::null());
        command.envs(environment.iter().copied()).stdout(Stdio::null());
        let begin = Instant::now();
        let output = command.output()?;
        let wall = begin.elapsed();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        if !output.status.success() {
            let line = words.iter().map(|word| word.as_ref().to_string_lossy()).collect::<Vec<_>>().join(" ");
            bail!("{line}: {said}");
        }
        let line = said.lines().rev().find_map(|line| line.strip_prefix("cost ")).context("no cost is said")?;
        let numbers = line.split(' ').map(str::parse::<u64>).collect::<Result<Vec<_>, _>>()?;
        let [user, system, peak] = numbers[..] else { bail!("{line:?} is no cost") };
        Ok(Cost { wall, cpu: Duration::from_micros(user + system), peak })
    }
}
