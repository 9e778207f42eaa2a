//! How long corten, crun and runc take for the same things on the same machine, and what they need.
//!
//! The runtimes take turns: in each round each of them does everything once, in an order that rotates, so that whatever
//! else the machine does falls on all of them alike. Nothing passes or fails here. `ROUNDS` sets the number of rounds,
//! `CORTEN` names the corten to measure.

#![allow(missing_docs, reason = "a program, not a library")]

mod bundle;
mod cost;
mod harness;
mod runtime;
mod table;

use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context, Result, ensure};

use bundle::{Bundle, Programs};
use cost::Meter;
use runtime::Runtime;
use table::Table;

const WARM_UP: usize = 3;

fn main() -> ExitCode {
    harness::program(measure)
}

fn measure() -> Result<()> {
    ensure!(rustix::process::geteuid().is_root(), "containers are made here: run it as root");
    let rounds = harness::number("ROUNDS", 50)?;
    let directory = harness::directory(&std::env::temp_dir())?;
    let result = compare(&directory, rounds);
    std::fs::remove_dir_all(&directory).with_context(|| format!("remove {directory:?}"))?;
    result
}

fn compare(directory: &Path, rounds: usize) -> Result<()> {
    let programs = Programs::build(directory)?;
    let runtimes = runtime::installed(directory)?;
    let devices = may_have_device_rules(directory, &programs, &runtimes)?;
    if !devices {
        println!("Without device rules: one of the runtimes can't load them here.");
    }
    describe(&runtimes, directory, &programs, devices)?;
    for (title, seccomp) in [("without a seccomp profile", false), ("with docker's seccomp profile", true)] {
        let bundle = Bundle::make(directory, &programs, seccomp, devices)?;
        let mut table = Table::new(&runtimes);
        for round in 0..WARM_UP + rounds {
            for turn in 0..runtimes.len() {
                let number = (round + turn) % runtimes.len();
                let times = runtimes[number].everything(&bundle)?;
                if round >= WARM_UP {
                    table.add(number, times);
                }
            }
        }
        println!("\n{rounds} rounds, {title}; milliseconds\n\n{table}");
    }
    Ok(())
}

/// Whether each runtime can run a container with a device program; an older crun needs CAP_SYS_RESOURCE for it.
fn may_have_device_rules(directory: &Path, programs: &Programs, runtimes: &[Runtime]) -> Result<bool> {
    let bundle = Bundle::make(directory, programs, false, true)?;
    Ok(runtimes.iter().all(|runtime| runtime.run(&bundle).is_ok()))
}

/// What is compared: version, size of the program, and the most memory that `run` has resident.
fn describe(runtimes: &[Runtime], directory: &Path, programs: &Programs, devices: bool) -> Result<()> {
    let bundle = Bundle::make(directory, programs, true, devices)?;
    let meter = Meter::build(directory)?;
    println!("\n{:<10} {:>10} {:>14}  version", "", "size, KiB", "peak RSS, KiB");
    for runtime in runtimes {
        let size = std::fs::metadata(&runtime.program)?.len() / 1024;
        let mut peaks = (0..5).map(|_| runtime.peak(&bundle, &meter)).collect::<Result<Vec<_>>>()?;
        peaks.sort_unstable();
        println!("{:<10} {size:>10} {:>14}  {}", runtime.name, peaks[peaks.len() / 2], runtime.version()?);
    }
    Ok(())
}
