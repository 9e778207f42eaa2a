//! `pause` and `unpause`.

use anyhow::{Result, bail};
use clap::Args;

use super::super::{Context, Operation};
use super::each;
use crate::container;
use crate::engine::state::Status;

/// Freeze all processes of containers
#[derive(Debug, Args)]
pub(in crate::companion) struct Pause {
    /// Names or ids
    #[arg(required = true, value_name = "CONTAINER")]
    containers: Vec<String>,
}

/// Thaw all processes of containers
#[derive(Debug, Args)]
pub(in crate::companion) struct Unpause {
    /// Names or ids
    #[arg(required = true, value_name = "CONTAINER")]
    containers: Vec<String>,
}

impl Operation for Pause {
    fn carry_out(self, context: &Context) -> Result<u8> {
        each(&context.engine()?, &self.containers, |engine, name| {
            let container = engine.find(name)?;
            match container.state()?.status {
                Status::Running => container::pause(&engine.host(), container.id())?,
                Status::Paused => bail!("Container {} is already paused", container.id()),
                _ => bail!("Container {} is not running", container.id()),
            }
            engine.happened(&container.record, "pause", &[]);
            Ok(())
        })
    }
}

impl Operation for Unpause {
    fn carry_out(self, context: &Context) -> Result<u8> {
        each(&context.engine()?, &self.containers, |engine, name| {
            let container = engine.find(name)?;
            if container.state()?.status != Status::Paused {
                bail!("Container {} is not paused", container.id());
            }
            container::resume(&engine.host(), container.id())?;
            engine.happened(&container.record, "unpause", &[]);
            Ok(())
        })
    }
}
