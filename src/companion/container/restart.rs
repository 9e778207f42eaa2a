//! `restart`.

use anyhow::{Result, bail};
use clap::Args;

use super::super::output::remark;
use super::super::{Context, Operation};
use super::each;
use crate::engine::Attached;

/// Stop containers, and start them again
#[derive(Debug, Args)]
pub(in crate::companion) struct Restart {
    /// The signal in place of the container's own
    #[arg(short, long, value_parser = crate::cli::signal::parse)]
    signal: Option<crate::container::Signal>,

    /// Seconds until it is killed; -1 for never
    #[arg(short = 't', long, visible_alias = "timeout", value_name = "SECONDS", allow_hyphen_values = true)]
    time: Option<i64>,

    /// Names or ids
    #[arg(required = true, value_name = "CONTAINER")]
    containers: Vec<String>,
}

impl Operation for Restart {
    fn carry_out(self, context: &Context) -> Result<u8> {
        each(&context.engine()?, &self.containers, |engine, name| {
            let container = engine.find(name)?;
            let stopped = || engine.happened(&container.record, "stop", &[]);
            match container.restart(self.signal.map(|signal| signal.0), self.time, stopped, remark)? {
                Attached::Runs(_) => {
                    engine.happened(&container.record, "restart", &[]);
                    Ok(())
                }
                Attached::Failed(_, text) => bail!("{text}"),
            }
        })
    }
}
