//! What a seccomp profile costs: its length, the time to compile and to load it, and what it adds to system calls.
//!
//!     cargo run --release --example seccomp-cost -- tests/data/seccomp-docker.json
//!
//! A filter that another compiler made can be measured beside it: a second file, one instruction a line, as the four
//! numbers CODE JT JF K.

use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use corten::seccomp::{Architecture, compile};
use corten::sys::priority::set_personality;
use corten::sys::seccomp::{Flags, Instruction, load};
use rustix::system::sethostname;

/// Short rounds, so that some are not disturbed on a machine that does other things.
const ROUNDS: u32 = 400;
const CALLS: u32 = 5_000;

fn main() -> Result<()> {
    let mut files = std::env::args().skip(1);
    let profile = std::fs::read(files.next().context("which profile?")?)?;
    let profile = serde_json::from_slice(&profile)?;
    let start = Instant::now();
    let program = compile(&profile, Architecture::NATIVE)?;
    let first = start.elapsed();
    let usual = fastest(|| compile(&profile, Architecture::NATIVE).map(drop))?;
    println!("compiled in {first:?} the first time, {usual:?} at best");
    println!("no filter: {}", on_a_thread(None)?);
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
    println!("  {}", on_a_thread(Some(instructions))?);
    Ok(())
}

/// Nanoseconds for a call that is allowed by its number, one that is allowed by an argument, and one that no profile of an engine
/// allows.
fn on_a_thread(filter: Option<Vec<Instruction>>) -> Result<String> {
    let thread = std::thread::spawn(move || -> Result<String> {
        rustix::thread::set_no_new_privs(true)?;
        if let Some(filter) = filter {
            let start = Instant::now();
            load(&filter, Flags::SPEC_ALLOW)?;
            println!("  loaded in {:?}", start.elapsed());
        }
        let by_number = each(|| rustix::process::getppid().is_some());
        // Asks for the personality and sets none.
        let by_argument = each(|| set_personality(u32::MAX).is_ok());
        // Too long a name, which the kernel would refuse as well.
        let refused = each(|| sethostname(&[b'x'; 100]).is_err());
        Ok(format!("getppid {by_number:.1} ns, personality {by_argument:.1} ns, sethostname {refused:.1} ns"))
    });
    thread.join().expect("no call panics")
}

fn each(call: impl Fn() -> bool) -> f64 {
    let mut best = f64::INFINITY;
    for _ in 0..ROUNDS {
        let start = Instant::now();
        for _ in 0..CALLS {
            assert!(call());
        }
        best = best.min(start.elapsed().as_nanos() as f64 / f64::from(CALLS));
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
