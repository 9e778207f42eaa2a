//! `pause`: freezes a container.

use anyhow::Result;
use clap::Parser;

use super::{Context, Operation};
use crate::container;

/// Freeze all processes of a container
///
/// They stay as they are until `corten resume ID`.
#[derive(Debug, Parser)]
pub(super) struct Pause {
    /// The container
    #[arg(value_name = "ID")]
    id: String,
}

impl Operation for Pause {
    fn carry_out(self, context: &Context) -> Result<u8> {
        container::pause(&context.host, &self.id)?;
        Ok(0)
    }
}
