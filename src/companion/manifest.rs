//! `manifest inspect`: the document as it is.

use anyhow::Result;
use clap::{Args, Subcommand};

use super::output::print;
use super::{Context, Operation};

#[derive(Debug, Subcommand)]
pub(super) enum Manifest {
    Inspect(Inspect),
}

/// Print the manifest or index of an image of the store, byte for byte
#[derive(Debug, Args)]
pub(super) struct Inspect {
    /// A name or id
    image: String,
}

impl Operation for Manifest {
    fn carry_out(self, context: &Context) -> Result<u8> {
        let Manifest::Inspect(inspect) = self;
        let store = context.store()?;
        let image = store.resolve(&inspect.image, None)?;
        print(&String::from_utf8_lossy(&store.document(&image.entry)?))?;
        Ok(0)
    }
}
