//! `restart`.

use anyhow::{Result, bail};
use clap::Args;

use super::super::output::remark;
use super::super::{Context, Operation};
use super::each;
use super::stop::Ending;
use crate::engine::Attached;

/// Stop containers, and start them again
#[derive(Debug, Args)]
pub(in crate::companion) struct Restart {
    #[command(flatten)]
    ending: Ending,
}

impl Operation for Restart {
    fn carry_out(self, context: &Context) -> Result<u8> {
        each(&context.engine()?, &self.ending.containers, |engine, name| {
            let container = engine.find(name)?;
            let stopped = || engine.happened(&container.record, "stop", &[]);
            let Ending { signal, time, .. } = &self.ending;
            match container.restart(signal.map(|signal| signal.0), *time, stopped, remark)? {
                Attached::Runs(_) => {
                    engine.happened(&container.record, "restart", &[]);
                    Ok(())
                }
                Attached::Failed(_, text) => bail!("{text}"),
            }
        })
    }
}
