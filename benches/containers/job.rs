//! What is measured.

use std::io::Read;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};

use crate::engine::{Engine, Kind};
use crate::image;

/// The name of containers that stay.
pub(crate) const NAME: &str = "bench-stays";

/// Something to do.
pub(crate) struct Job {
    pub(crate) name: String,
    what: What,
}

enum What {
    /// `run --rm IMAGE true`, with flags, so many at once.
    Run(&'static [&'static str], usize),
    /// In a container that runs.
    Exec,
    Create,
    Start,
    Stop,
    Remove,
    /// So many MB.
    Logs(usize),
}

pub(crate) fn all(log: usize) -> Vec<Job> {
    let port: &[&str] = &["--publish", "18080:80"];
    let jobs = [
        ("run, no network", What::Run(&["--network", "none"], 1)),
        ("run, bridge", What::Run(&[], 1)),
        ("run, bridge and port", What::Run(port, 1)),
        ("run, 10 at once", What::Run(&[], 10)),
        ("run, 50 at once", What::Run(&[], 50)),
        ("create", What::Create),
        ("start", What::Start),
        ("exec", What::Exec),
        ("stop", What::Stop),
        ("rm", What::Remove),
    ];
    let jobs = jobs.into_iter().map(|(name, what)| Job { name: name.into(), what });
    jobs.chain([Job { name: format!("logs -f, {log} MB"), what: What::Logs(log) }]).collect()
}

impl Job {
    /// Rounds to warm up, and rounds.
    pub(crate) fn rounds(&self, rounds: usize) -> (usize, usize) {
        match self.what {
            What::Run(_, many) if many >= 50 => (0, rounds.div_ceil(6)),
            What::Run(_, many) if many > 1 => (1, rounds.div_ceil(2)),
            What::Logs(_) => (0, rounds.div_ceil(10)),
            _ => (1, rounds),
        }
    }

    /// ctr has neither networks nor logs.
    pub(crate) fn is_for(&self, kind: &Kind) -> bool {
        match kind {
            Kind::Containerd { .. } => matches!(self.what, What::Run(["--network", "none"], _)),
            _ => true,
        }
    }

    pub(crate) fn prepare(&self, engine: &Engine) -> Result<()> {
        match self.what {
            What::Start => done(engine.made("create", NAME, &["sleep", "1000"])),
            What::Exec | What::Stop => done(engine.made("run", NAME, &["sleep", "1000"])),
            What::Remove => {
                done(engine.made("run", NAME, &["sleep", "1000"]))?;
                done(engine.command(&["kill", NAME]))?;
                done(engine.command(&["wait", NAME]))
            }
            _ => Ok(()),
        }
    }

    pub(crate) fn carry_out(&self, engine: &Engine) -> Result<()> {
        match self.what {
            What::Run(flags, many) => {
                let children = (0..many).map(|_| engine.run(flags).spawn()).collect::<Result<Vec<_>, _>>()?;
                for child in children {
                    let output = child.wait_with_output()?;
                    ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
                }
                Ok(())
            }
            What::Create => done(engine.made("create", NAME, &["sleep", "1000"])),
            What::Start => done(engine.command(&["start", NAME])),
            What::Exec => done(engine.command(&["exec", NAME, "/bin/true"])),
            What::Stop => done(engine.command(&["stop", NAME])),
            What::Remove => done(engine.command(&["rm", NAME])),
            What::Logs(megabytes) => follow(engine, megabytes),
        }
    }

    pub(crate) fn clean_up(&self, engine: &Engine) -> Result<()> {
        match self.what {
            What::Run(..) | What::Remove => Ok(()),
            _ => done(engine.command(&["rm", "--force", NAME])),
        }
    }
}

fn done(mut command: Command) -> Result<()> {
    let output = command.output()?;
    ensure!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
    Ok(())
}

/// Starts a container that says much and has it followed: every byte comes once, in order.
fn follow(engine: &Engine, megabytes: usize) -> Result<()> {
    let script = format!("i=0; while [ $i -lt {megabytes} ]; do cat /lines; i=$((i+1)); done");
    done(engine.made("run", NAME, &["sh", "-c", &script]))?;
    let mut child = engine.command(&["logs", "--follow", NAME]).stderr(Stdio::null()).spawn()?;
    let mut said = child.stdout.take().context("it is a pipe")?;
    let (lines, mut at, mut buffer) = (image::lines(), 0, vec![0; 64 << 10]);
    loop {
        let length = said.read(&mut buffer)?;
        if length == 0 {
            break;
        }
        let mut heard = &buffer[..length];
        while !heard.is_empty() {
            let wanted = &lines[at % lines.len()..];
            let length = wanted.len().min(heard.len());
            ensure!(heard[..length] == wanted[..length], "what comes after {at} bytes is not what was said");
            (heard, at) = (&heard[length..], at + length);
        }
    }
    ensure!(at == megabytes * lines.len(), "{at} bytes came of {megabytes} MB");
    child.wait()?;
    Ok(())
}
