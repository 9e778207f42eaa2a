//! What a seccomp profile costs: its length, the time to compile and to load it, and what it adds to system calls.
//!
//!     cargo run --release --example seccomp-cost -- tests/data/seccomp-docker.json
//!
//! A filter that another compiler made can be measured beside it: a second file, one instruction a line, as the four
//! numbers CODE JT JF K.

use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use corten::seccomp::{Architecture, compile};
use corten::sys::seccomp::{Flags, Instruction, load};
use rustix::system::sethostname;

const ROUNDS: u32 = 2_000_000;

fn main() -> Result<()> {
    let mut files = std::env::args().skip(1);
    let profile = std::fs::read(files.next().context("which profile?")?)?;
    let profile = serde_json::from_slice(&profile)?;
    let start = Instant::now();
    let program = compile(&profile, Architecture::NATIVE)?;
    let first = start.elapsed();
    let usual = fastest(|| compile(&profile, Architecture::NATIVE).map(drop))?;
    println!("compiled in {first:?} the first time, {usual:?} at best");
    let (allowed, refused) = on_a_thread(None)?;
    println!("no filter: getppid {allowed:.1} ns, sethostname {refused:.1} ns");
    measure("this filter", program.instructions)?;
    if let Some(file) = files.next() {
        let text = std::fs::read_to_string(file)?;
        measure("the other filter", text.lines().map(instruction).collect::<Result<_>>()?)?;
    }
    Ok(())
}

fn instruction(line: &str) -> Result<Instruction> {
    let fields = line.split(' ').map(str::parse).collect::<Result<Vec<u32>, _>>()?;
    let [code, jt, jf, k] = fields[..] else { anyhow::bail!("{line:?} is no instruction") };
    Ok(Instruction { code: code as u16, jt: jt as u8, jf: jf as u8, k })
}

fn measure(what: &str, instructions: Vec<Instruction>) -> Result<()> {
    let length = instructions.len();
    println!("{what}: {length} instructions");
    let (allowed, refused) = on_a_thread(Some(instructions))?;
    println!("  getppid {allowed:.1} ns, sethostname {refused:.1} ns");
    Ok(())
}

/// Nanoseconds for a call that is allowed by its number, and for one that no profile of an engine allows.
fn on_a_thread(filter: Option<Vec<Instruction>>) -> Result<(f64, f64)> {
    let thread = std::thread::spawn(move || -> Result<(f64, f64)> {
        rustix::thread::set_no_new_privs(true)?;
        if let Some(filter) = filter {
            let start = Instant::now();
            load(&filter, Flags::SPEC_ALLOW)?;
            println!("  loaded in {:?}", start.elapsed());
        }
        let allowed = each(|| rustix::process::getppid().is_some());
        // Too long a name, which the kernel would refuse as well.
        Ok((allowed, each(|| sethostname(&[b'x'; 100]).is_err())))
    });
    thread.join().expect("neither call panics")
}

fn each(call: impl Fn() -> bool) -> f64 {
    let mut best = f64::INFINITY;
    for _ in 0..5 {
        let start = Instant::now();
        for _ in 0..ROUNDS / 5 {
            assert!(call());
        }
        best = best.min(start.elapsed().as_nanos() as f64 / f64::from(ROUNDS / 5));
    }
    best
}

fn fastest(compile: impl Fn() -> Result<()>) -> Result<Duration> {
    let mut best = Duration::MAX;
    for _ in 0..200 {
        let start = Instant::now();
        compile()?;
        best = best.min(start.elapsed());
    }
    Ok(best)
}
