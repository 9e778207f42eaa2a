//! `delete`: what is left of a container.

use anyhow::Result;
use clap::Parser;

use super::{Context, Operation, selection};
use crate::container;

/// Delete a container that has stopped or has not been started
#[derive(Debug, Parser)]
pub(super) struct Delete {
    /// Kill the container if it runs; don't complain if there is none
    #[arg(short, long)]
    force: bool,

    /// ID is a regular expression: delete all containers whose id it matches
    #[arg(short, long)]
    regex: bool,

    /// The container
    #[arg(value_name = "ID")]
    id: String,
}

impl Operation for Delete {
    fn carry_out(self, context: &Context) -> Result<u8> {
        let delete = |id: &str| container::delete(&context.host, id, self.force);
        if self.regex {
            selection::each(context, &self.id, self.force, delete)?
        } else {
            delete(&self.id)?
        }
        Ok(0)
    }
}
