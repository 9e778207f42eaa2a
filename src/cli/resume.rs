//! `resume`: thaws a container.

use anyhow::Result;
use clap::Parser;

use super::{Context, Operation};
use crate::container;

/// Thaw a container that `pause` has frozen
///
/// Its processes go on where they were.
#[derive(Debug, Parser)]
pub(super) struct Resume {
    /// The container
    #[arg(value_name = "ID")]
    id: String,
}

impl Operation for Resume {
    fn carry_out(self, context: &Context) -> Result<u8> {
        container::resume(&context.host, &self.id)?;
        Ok(0)
    }
}
