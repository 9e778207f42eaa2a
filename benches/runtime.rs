//! A runtime, and what is timed of it.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};

use crate::bundle::Bundle;
use crate::cost::Meter;

/// What one round times, in this order.
pub(crate) const OPERATIONS: [&str; 7] = ["--version", "run", "create", "start", "state", "exec", "delete -f"];

/// A runtime and where it keeps its state here.
pub(crate) struct Runtime {
    pub(crate) name: &'static str,
    pub(crate) program: PathBuf,
    state: PathBuf,
}

/// corten, and those of its peers that this machine has.
pub(crate) fn installed(directory: &Path) -> Result<Vec<Runtime>> {
    // Not the one that cargo builds beside this program: what is measured is what is shipped.
    let corten =
        std::env::var_os("CORTEN").map(PathBuf::from).context("CORTEN names no corten to measure: see `make bench`")?;
    ensure!(corten.is_file(), "there is no corten at {corten:?}");
    let mut runtimes = vec![Runtime { name: "corten", program: corten, state: directory.join("state-corten") }];
    for name in ["crun", "runc"] {
        let path = std::env::var_os("PATH").unwrap_or_default();
        match std::env::split_paths(&path).map(|directory| directory.join(name)).find(|program| program.is_file()) {
            Some(program) => runtimes.push(Runtime { name, program, state: directory.join(format!("state-{name}")) }),
            None => println!("{name} is not installed and is left out."),
        }
    }
    Ok(runtimes)
}

impl Runtime {
    /// Everything once: a time for each of the operations.
    pub(crate) fn everything(&self, bundle: &Bundle) -> Result<[Duration; OPERATIONS.len()]> {
        let waiting = bundle.waiting.to_string_lossy();
        Ok([
            self.time(&["--version"])?,
            self.run(bundle)?,
            self.time(&["create", "--bundle", &waiting, "bench"])?,
            self.time(&["start", "bench"])?,
            self.time(&["state", "bench"])?,
            self.time(&["exec", "bench", "/true"])?,
            self.time(&["delete", "--force", "bench"])?,
        ])
    }

    /// Runs the program that ends at once.
    pub(crate) fn run(&self, bundle: &Bundle) -> Result<Duration> {
        self.time(&["run", "--bundle", &bundle.ending.to_string_lossy(), "bench"])
    }

    /// The first line of `--version`.
    pub(crate) fn version(&self) -> Result<String> {
        let output = self.command(&self.program).arg("--version").output()?;
        Ok(String::from_utf8_lossy(&output.stdout).lines().next().unwrap_or_default().to_string())
    }

    /// The most memory that `run` and its children have resident, in KiB.
    pub(crate) fn peak(&self, bundle: &Bundle, meter: &Meter) -> Result<u64> {
        let paths = [&self.program, &self.state, &bundle.ending].map(|path| path.as_os_str());
        let [program, state, ending] = paths;
        let words = [program, "--root".as_ref(), state, "run".as_ref(), "--bundle".as_ref(), ending, "bench".as_ref()];
        Ok(meter.run(&words, &[])?.peak)
    }

    /// How long it takes from before the process is made until it has been waited for.
    fn time(&self, arguments: &[&str]) -> Result<Duration> {
        let mut command = self.command(&self.program);
        command.arg("--root").arg(&self.state).args(arguments).stdout(Stdio::null()).stderr(Stdio::null());
        let begin = Instant::now();
        let status = command.status().with_context(|| format!("start {:?}", self.program))?;
        let time = begin.elapsed();
        if !status.success() {
            // Again, to hear why; what the first try left is removed.
            let error = command.stderr(Stdio::piped()).output()?;
            let _ = self
                .command(&self.program)
                .arg("--root")
                .arg(&self.state)
                .args(["delete", "--force", "bench"])
                .output();
            let words = arguments.join(" ");
            bail!("{} {words}: {status}: {}", self.name, String::from_utf8_lossy(&error.stderr).trim());
        }
        Ok(time)
    }

    fn command(&self, program: &Path) -> Command {
        let mut command = Command::new(program);
        command.env_clear().env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin").stdin(Stdio::null());
        command
    }
}
