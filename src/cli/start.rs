//! `start`: starts what `create` has made.

use anyhow::Result;
use clap::Parser;

use super::{Context, Operation};
use crate::container;

/// Start a created container
///
/// Returns once the container's program runs, or says why it doesn't.
#[derive(Debug, Parser)]
pub(super) struct Start {
    /// The container
    #[arg(value_name = "ID")]
    id: String,
}

impl Operation for Start {
    fn carry_out(self, context: &Context) -> Result<u8> {
        container::start(&context.host, &self.id)?;
        Ok(0)
    }
}
