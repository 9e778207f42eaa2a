//! How long ctn, podman, skopeo with umoci, and docker take to bring an image from a registry or an archive onto the disk, and
//! back, and what they need for it.
//!
//! The programs take turns, in an order that rotates, each with an empty store; the registry is on the loopback. Nothing passes or
//! fails here. `ROUNDS` sets the number of rounds, `CTN` names the ctn to measure, `DIRECTORY` where the stores are, if not in the
//! directory for temporary files, and `ONLY` a part of the names of what is to be measured.

#![allow(missing_docs, reason = "a program, not a library")]

#[path = "../cost.rs"]
mod cost;
mod daemon;
mod engine;
mod fixture;
#[path = "../harness.rs"]
mod harness;
mod table;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use anyhow::{Result, ensure};

use cost::Cost;
use engine::Job;
use fixture::Fixture;
use table::Table;

fn main() -> ExitCode {
    harness::program(measure)
}

fn measure() -> Result<()> {
    ensure!(rustix::process::geteuid().is_root(), "images are unpacked with owners and devices: run it as root");
    let rounds = harness::number("ROUNDS", 5)?;
    let directory = harness::directory(&std::env::var_os("DIRECTORY").map_or_else(std::env::temp_dir, PathBuf::from))?;
    let result = compare(&directory, rounds);
    remove(&directory)?;
    result
}

fn compare(directory: &Path, rounds: usize) -> Result<()> {
    let meter = cost::Meter::build(directory)?;
    let fixture = Fixture::make(directory)?;
    println!("{fixture}");
    let engines = engine::installed(directory, &meter)?;
    for engine in &engines {
        println!("{:<13} {}", engine.name(), engine.version()?);
    }
    let only = std::env::var("ONLY").unwrap_or_default();
    let mut table = Table::new(&engines);
    for job in jobs(&fixture).iter().filter(|job| job.name().contains(&only)) {
        let mut costs: Vec<Vec<Cost>> = vec![Vec::new(); engines.len()];
        // The first round warms caches up and isn't counted.
        for round in 0..=rounds {
            for turn in 0..engines.len() {
                let number = (round + turn) % engines.len();
                match engines[number].carry_out(job) {
                    Ok(cost) if round > 0 => costs[number].push(cost),
                    Ok(_) => {}
                    Err(error) if round == 0 => {
                        let error = format!("{error:#}");
                        let why = error.lines().next().unwrap_or_default();
                        println!("{} can't {}: {why}", engines[number].name(), job.name());
                    }
                    Err(_) => {}
                }
            }
        }
        table.add(job.name(), costs);
    }
    println!("\n{rounds} rounds in {directory:?}\n\n{table}");
    Ok(())
}

fn jobs(fixture: &Fixture) -> Vec<Job> {
    let pulls = fixture.images.iter().map(|image| Job::Pull { what: image.what.clone(), name: image.name.clone() });
    let archives = fixture.archives.iter().flat_map(|(what, path)| {
        let (what, path) = (what.clone(), path.clone());
        [Job::Load { what: what.clone(), path: path.clone() }, Job::Save { what, path }]
    });
    pulls.chain(archives).collect()
}

/// Removes a tree, with what is mounted in it.
pub(crate) fn remove(path: &Path) -> Result<()> {
    let mounts = fs::read_to_string("/proc/self/mounts")?;
    let inside = mounts.lines().filter_map(|line| line.split(' ').nth(1)).filter(|at| Path::new(at).starts_with(path));
    for point in inside.collect::<Vec<_>>().into_iter().rev() {
        let _ = Command::new("umount").args(["--lazy", point]).status();
    }
    let status = Command::new("rm").arg("-rf").arg(path).status()?;
    ensure!(status.success(), "{path:?} can't be removed");
    Ok(())
}
