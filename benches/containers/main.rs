//! How long ctn, podman with crun and docker take for a container from its beginning to its end, and what processor time the whole
//! host takes for it: client, daemon, monitor, hooks and the container itself.
//!
//! The programs take turns, in an order that rotates, with the same image of busybox. Nothing passes or fails here. `ROUNDS` sets the
//! number of rounds, `CTN` names the ctn to measure.

#![allow(missing_docs, reason = "a program, not a library")]

#[path = "../images/daemon.rs"]
#[allow(dead_code, reason = "it serves the images' benchmark, too")]
mod daemon;
mod engine;

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};

use engine::Engine;

/// Something to do: its name, the flags of `run`, and how many of it at once.
const JOBS: [(&str, &[&str], usize); 4] = [
    ("no network", &["--network", "none"], 1),
    ("bridge", &[], 1),
    ("bridge, one port", &["--publish", "18080:80"], 1),
    ("bridge, 10 at once", &[], 10),
];

const WARM_UP: usize = 1;

/// What one thing took.
#[derive(Debug, Clone, Copy)]
struct Cost {
    wall: Duration,
    processors: Duration,
}

fn main() -> ExitCode {
    match measure() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error:#}");
            ExitCode::FAILURE
        }
    }
}

fn measure() -> Result<()> {
    ensure!(std::env::var_os("UNIFIED_HOST").is_some(), "it makes bridges and rules: see `make bench-containers`");
    let rounds: usize = std::env::var("ROUNDS").map_or(Ok(20), |text| text.parse()).context("ROUNDS")?;
    let directory = std::env::temp_dir().join(format!("ctn-bench-{}", std::process::id()));
    fs::create_dir(&directory).with_context(|| format!("create {directory:?}"))?;
    // It goes with the private host's /run.
    compare(&directory, rounds)
}

fn compare(directory: &Path, rounds: usize) -> Result<()> {
    let archive = image(directory)?;
    let engines = engine::installed(directory, &archive)?;
    for engine in &engines {
        println!("{:<8} {}", engine.name(), engine.version()?);
    }
    println!(
        "\n{rounds} rounds; milliseconds\n\n{:<20} {:<8} {:>8} {:>8} {:>9} {:>8} {:>8} {:>9}",
        "run --rm", "", "least", "median", "to ctn's", "CPU", "median", "to ctn's"
    );
    for (name, flags, count) in JOBS {
        let mut costs: Vec<Vec<Cost>> = vec![Vec::new(); engines.len()];
        for round in 0..WARM_UP + rounds {
            for turn in 0..engines.len() {
                let number = (round + turn) % engines.len();
                let cost = carry_out(&engines[number], flags, count)?;
                if round >= WARM_UP {
                    costs[number].push(cost);
                }
            }
        }
        print(name, &engines, &costs);
    }
    Ok(())
}

fn carry_out(engine: &Engine, flags: &[&str], count: usize) -> Result<Cost> {
    let before = processors()?;
    let begin = Instant::now();
    let children = (0..count).map(|_| engine.run(flags).spawn()).collect::<Result<Vec<_>, _>>()?;
    for child in children {
        let output = child.wait_with_output()?;
        ensure!(output.status.success(), "{}: {}", engine.name(), String::from_utf8_lossy(&output.stderr));
    }
    let wall = begin.elapsed();
    Ok(Cost { wall, processors: processors()?.saturating_sub(before) })
}

/// What everything on this private host has taken of processors so far: its cgroup's.
fn processors() -> Result<Duration> {
    let text = fs::read_to_string("/sys/fs/cgroup/cpu.stat")?;
    let line = text.lines().find_map(|line| line.strip_prefix("usage_usec ")).context("cpu.stat has no usage_usec")?;
    Ok(Duration::from_micros(line.parse()?))
}

/// Busybox alone, as an archive that all three import.
fn image(directory: &Path) -> Result<PathBuf> {
    let root = directory.join("image");
    for below in ["bin", "etc", "proc", "sys", "dev"] {
        fs::create_dir_all(root.join(below))?;
    }
    fs::copy("/bin/busybox", root.join("bin/busybox")).context("copy busybox")?;
    symlink("busybox", root.join("bin/true"))?;
    let archive = directory.join("image.tar");
    let status = Command::new("tar").arg("-C").arg(&root).args(["-c", "-f"]).arg(&archive).arg(".").status()?;
    ensure!(status.success(), "{archive:?} can't be made");
    Ok(archive)
}

fn print(job: &str, engines: &[Engine], costs: &[Vec<Cost>]) {
    let of = |costs: &[Cost], what: fn(&Cost) -> Duration| {
        let mut all: Vec<f64> = costs.iter().map(|cost| what(cost).as_secs_f64() * 1000.0).collect();
        all.sort_by(f64::total_cmp);
        (all.first().copied().unwrap_or(f64::NAN), all.get(all.len() / 2).copied().unwrap_or(f64::NAN))
    };
    let own = costs
        .first()
        .map_or((f64::NAN, f64::NAN), |own| (of(own, |cost| cost.wall).0, of(own, |cost| cost.processors).0));
    for (engine, costs) in engines.iter().zip(costs) {
        let (wall, cpu) = (of(costs, |cost| cost.wall), of(costs, |cost| cost.processors));
        println!(
            "{job:<20} {:<8} {:>8.1} {:>8.1} {:>9.1} {:>8.1} {:>8.1} {:>9.1}",
            engine.name(),
            wall.0,
            wall.1,
            wall.0 / own.0,
            cpu.0,
            cpu.1,
            cpu.0 / own.1,
        );
    }
}
