//! `start`.

use anyhow::{Result, bail, ensure};
use clap::Args;

use super::super::output::{complain, print, remark};
use super::super::{Context, Operation};
use super::{each, run};
use crate::engine::protocol::Streams;
use crate::engine::terminal::{self, Session};
use crate::engine::{Attached, Container, Engine};
use crate::error::sentence;

/// Start containers that were created or have ended
#[derive(Debug, Args)]
pub(in crate::companion) struct Start {
    /// Attach to what it says, and pass signals on
    #[arg(short, long)]
    attach: bool,

    /// Attach to what it reads
    #[arg(short, long)]
    interactive: bool,

    /// Those whose restart policy says that they run, after a start of the machine: always, and unless-stopped if nobody stopped it
    #[arg(long, conflicts_with_all = ["attach", "interactive", "containers"])]
    at_boot: bool,

    /// The keys that detach
    #[arg(long, value_name = "KEYS", default_value = terminal::KEYS)]
    detach_keys: String,

    /// Names or ids
    #[arg(required_unless_present = "at_boot", value_name = "CONTAINER")]
    containers: Vec<String>,
}

impl Operation for Start {
    fn carry_out(self, context: &Context) -> Result<u8> {
        let engine = context.engine()?;
        if self.at_boot {
            return at_boot(&engine);
        }
        if self.attach || self.interactive {
            ensure!(self.containers.len() == 1, "you cannot start and attach multiple containers at once");
            let container = engine.find(&self.containers[0])?;
            let config = &container.record.config;
            let session = Session {
                stdin: self.interactive && config.open_stdin,
                terminal: config.tty,
                keys: terminal::keys(&self.detach_keys)?,
                signals: !config.tty,
            };
            session.check()?;
            return run::foreground(&container, &session, Streams { stdin: session.stdin, stdout: true, stderr: true });
        }
        each(&engine, &self.containers, |engine, name| start(&engine.find(name)?))
    }
}

fn start(container: &Container<'_>) -> Result<()> {
    match container.start(None, remark)? {
        Attached::Runs(_) => Ok(()),
        Attached::Failed(_, text) => bail!("{text}"),
    }
}

/// Starts what is to run, the oldest first. Those that failed are tried again as long as others could be started: they may need one of
/// these, for its network.
fn at_boot(engine: &Engine) -> Result<u8> {
    let mut waiting = Vec::new();
    for container in engine.all()?.into_iter().rev() {
        if container.is_to_run()? {
            waiting.push(container);
        }
    }
    loop {
        let (count, mut failed) = (waiting.len(), Vec::new());
        for container in waiting {
            match start(&container) {
                Ok(()) => print(&format!("{}\n", container.record.name))?,
                Err(error) => failed.push((container, error)),
            }
        }
        if failed.len() == count {
            for (container, error) in &failed {
                complain(&format!("Error: {}: {}\n", container.record.name, sentence(error)));
            }
            return Ok(u8::from(count > 0));
        }
        waiting = failed.into_iter().map(|(container, _)| container).collect();
    }
}
