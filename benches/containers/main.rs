//! How long ctn, podman with crun, docker and containerd's ctr take for what is done with containers, and what processor time the whole
//! host takes for it: client, daemon, monitor, hooks and the container itself.
//!
//! The programs take turns, in an order that rotates, with the same image of busybox. Nothing passes or fails here. `ROUNDS` sets the
//! number of rounds, `LOG` how many MB of log are followed, `ONLY` a part of the names of what is to be measured, `CTN` names the ctn.

#![allow(missing_docs, reason = "a program, not a library")]

#[path = "../images/daemon.rs"]
#[allow(dead_code, reason = "it serves the images' benchmark, too")]
mod daemon;
mod engine;
#[path = "../harness.rs"]
mod harness;
mod image;
mod job;
mod memory;

use std::fs;
use std::path::Path;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};

use engine::Engine;
use job::Job;

/// What one thing took.
#[derive(Debug, Clone, Copy)]
struct Cost {
    wall: Duration,
    processors: Duration,
}

fn main() -> ExitCode {
    harness::program(measure)
}

fn measure() -> Result<()> {
    ensure!(std::env::var_os("UNIFIED_HOST").is_some(), "it makes bridges and rules: see `make bench-containers`");
    // It goes with the private host's /run.
    let directory = harness::directory(&std::env::temp_dir())?;
    compare(&directory, harness::number("ROUNDS", 20)?, harness::number("LOG", 1000)?)
}

fn compare(directory: &Path, rounds: usize, log: usize) -> Result<()> {
    let archive = image::archive(directory)?;
    let engines = engine::installed(directory, &archive)?;
    for engine in &engines {
        println!("{:<8} {}", engine.name(), engine.version()?);
    }
    let load = fs::read_to_string("/proc/loadavg")?;
    println!("\nload {}; {}", load.trim_end(), memory::report(&engines)?);
    println!(
        "\nmilliseconds\n\n{:<22} {:<8} {:>6} {:>9} {:>9} {:>8} {:>9} {:>9} {:>8}",
        "", "", "rounds", "least", "median", "to ctn's", "CPU", "median", "to ctn's"
    );
    let only = std::env::var("ONLY").unwrap_or_default();
    for job in job::all(log).iter().filter(|job| job.name.contains(&only)) {
        let mut costs: Vec<Vec<Cost>> = vec![Vec::new(); engines.len()];
        let (warm_up, rounds) = job.rounds(rounds);
        let mut able: Vec<bool> = engines.iter().map(|engine| engine.can(job)).collect();
        for round in 0..warm_up + rounds {
            for turn in 0..engines.len() {
                let number = (round + turn) % engines.len();
                if !able[number] {
                    continue;
                }
                match carry_out(&engines[number], job) {
                    Ok(cost) if round >= warm_up => costs[number].push(cost),
                    Ok(_) => {}
                    Err(error) => {
                        ensure!(number != 0, "{}: {error:#}", job.name);
                        println!("{} can't {}: {error:#}", engines[number].name(), job.name);
                        able[number] = false;
                        let _ = job.clean_up(&engines[number]);
                    }
                }
            }
        }
        print(job, &engines, &costs);
    }
    Ok(())
}

fn carry_out(engine: &Engine, job: &Job) -> Result<Cost> {
    job.prepare(engine)?;
    let before = processors()?;
    let begin = Instant::now();
    job.carry_out(engine)?;
    let wall = begin.elapsed();
    let cost = Cost { wall, processors: processors()?.saturating_sub(before) };
    job.clean_up(engine)?;
    Ok(cost)
}

/// What everything on this private host has taken of processors so far: its cgroup's.
fn processors() -> Result<Duration> {
    let text = fs::read_to_string("/sys/fs/cgroup/cpu.stat")?;
    let line = text.lines().find_map(|line| line.strip_prefix("usage_usec ")).context("cpu.stat has no usage_usec")?;
    Ok(Duration::from_micros(line.parse()?))
}

fn print(job: &Job, engines: &[Engine], costs: &[Vec<Cost>]) {
    let of = |costs: &[Cost], what: fn(&Cost) -> Duration| {
        let mut all: Vec<f64> = costs.iter().map(|cost| what(cost).as_secs_f64() * 1000.0).collect();
        all.sort_by(f64::total_cmp);
        (all.first().copied().unwrap_or(f64::NAN), all.get(all.len() / 2).copied().unwrap_or(f64::NAN))
    };
    let own = costs
        .first()
        .map_or((f64::NAN, f64::NAN), |own| (of(own, |cost| cost.wall).0, of(own, |cost| cost.processors).0));
    for (engine, costs) in engines.iter().zip(costs).filter(|(_, costs)| !costs.is_empty()) {
        let (wall, cpu) = (of(costs, |cost| cost.wall), of(costs, |cost| cost.processors));
        println!(
            "{:<22} {:<8} {:>6} {:>9.1} {:>9.1} {:>8.1} {:>9.1} {:>9.1} {:>8.1}",
            job.name,
            engine.name(),
            costs.len(),
            wall.0,
            wall.1,
            wall.0 / own.0,
            cpu.0,
            cpu.1,
            cpu.0 / own.1,
        );
    }
}
