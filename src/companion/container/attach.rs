//! `attach`.

use anyhow::{Result, bail};
use clap::Args;

use super::super::{Context, Operation};
use crate::engine::protocol::{Request, Streams};
use crate::engine::state::Status;
use crate::engine::terminal::{self, Outcome, Session, Signals};

/// Attach to a container that runs
#[derive(Debug, Args)]
pub(in crate::companion) struct Attach {
    /// The keys that detach
    #[arg(long, value_name = "KEYS", default_value = terminal::KEYS)]
    detach_keys: String,

    /// Don't attach to what it reads
    #[arg(long)]
    no_stdin: bool,

    /// Pass signals on to the process
    #[arg(long, value_name = "BOOL", default_value_t = true, num_args = 0..=1, require_equals = true, default_missing_value = "true", action = clap::ArgAction::Set)]
    sig_proxy: bool,

    /// A name or id
    container: String,
}

impl Operation for Attach {
    fn carry_out(self, context: &Context) -> Result<u8> {
        let engine = context.engine()?;
        let container = engine.find(&self.container)?;
        match container.state()?.status {
            Status::Running => {}
            Status::Paused => bail!("You cannot attach to a paused container, unpause it first"),
            Status::Restarting => bail!("You cannot attach to a restarting container, wait until it is running"),
            _ => bail!("You cannot attach to a stopped container, start it first"),
        }
        let config = &container.record.config;
        let session = Session {
            stdin: !self.no_stdin && config.open_stdin,
            terminal: config.tty,
            keys: terminal::keys(&self.detach_keys)?,
            signals: self.sig_proxy && !config.tty,
        };
        session.check()?;
        let signals = Signals::block()?;
        let channel = container.monitor()?;
        channel.request(&Request::Attach(Streams { stdin: session.stdin, stdout: true, stderr: true }))?;
        Ok(match session.attend(&container, &channel, &signals)? {
            Outcome::Ended(status) => status,
            Outcome::Detached => 0,
            Outcome::Lost => bail!("the container's monitor was killed"),
        })
    }
}
