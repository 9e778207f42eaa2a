//! `stop`.

use anyhow::Result;
use clap::Args;

use super::super::{Context, Operation};
use super::each;
use crate::engine::Container;

/// Whose end is wanted, and how it comes.
#[derive(Debug, Args)]
pub(super) struct Ending {
    /// The signal in place of the container's own
    #[arg(short, long, value_parser = crate::cli::signal::parse)]
    pub(super) signal: Option<crate::container::Signal>,

    /// Seconds until it is killed; -1 for never
    #[arg(short = 't', long, visible_alias = "timeout", value_name = "SECONDS", allow_hyphen_values = true)]
    pub(super) time: Option<i64>,

    /// Names or ids
    #[arg(required = true, value_name = "CONTAINER")]
    pub(super) containers: Vec<String>,
}

impl Ending {
    pub(super) fn carry_out(&self, container: &Container<'_>) -> Result<()> {
        container.stop(self.signal.map(|signal| signal.0), self.time)
    }
}

/// Stop containers: a signal, and after some time SIGKILL
#[derive(Debug, Args)]
pub(in crate::companion) struct Stop {
    #[command(flatten)]
    ending: Ending,
}

impl Operation for Stop {
    fn carry_out(self, context: &Context) -> Result<u8> {
        each(&context.engine()?, &self.ending.containers, |engine, name| {
            let container = engine.find(name)?;
            self.ending.carry_out(&container)?;
            engine.happened(&container.record, "stop", &[]);
            Ok(())
        })
    }
}
