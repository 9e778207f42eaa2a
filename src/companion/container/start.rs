//! `start`.

use anyhow::{Result, bail, ensure};
use clap::Args;

use super::super::output::remark;
use super::super::{Context, Operation};
use super::{each, run};
use crate::engine::Attached;
use crate::engine::protocol::Streams;
use crate::engine::terminal::{self, Session};

/// Start containers that were created or have ended
#[derive(Debug, Args)]
pub(in crate::companion) struct Start {
    /// Attach to what it says, and pass signals on
    #[arg(short, long)]
    attach: bool,

    /// Attach to what it reads
    #[arg(short, long)]
    interactive: bool,

    /// The keys that detach
    #[arg(long, value_name = "KEYS", default_value = terminal::KEYS)]
    detach_keys: String,

    /// Names or ids
    #[arg(required = true, value_name = "CONTAINER")]
    containers: Vec<String>,
}

impl Operation for Start {
    fn carry_out(self, context: &Context) -> Result<u8> {
        let engine = context.engine()?;
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
        each(&engine, &self.containers, |engine, name| match engine.find(name)?.start(None, remark)? {
            Attached::Runs(_) => Ok(()),
            Attached::Failed(_, text) => bail!("{text}"),
        })
    }
}
