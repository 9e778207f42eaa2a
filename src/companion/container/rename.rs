//! `rename`.

use anyhow::Result;
use clap::Args;

use super::super::{Context, Operation};

/// Give a container another name
#[derive(Debug, Args)]
pub(in crate::companion) struct Rename {
    /// A name or id
    container: String,

    /// The new name
    name: String,
}

impl Operation for Rename {
    fn carry_out(self, context: &Context) -> Result<u8> {
        context.engine()?.find(&self.container)?.rename(&self.name)?;
        Ok(0)
    }
}
