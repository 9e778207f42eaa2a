//! `rename`.

use anyhow::{Result, ensure};
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
        ensure!(!self.container.is_empty() && !self.name.is_empty(), "Neither old nor new names may be empty");
        context.engine()?.find(&self.container)?.rename(&self.name)?;
        Ok(0)
    }
}
