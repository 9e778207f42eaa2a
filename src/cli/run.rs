//! `run`: a container from its beginning to its end.

use anyhow::{Context as _, Result};
use clap::Parser;

use super::{Context, Operation, create};
use crate::container::{self, RunOptions};

/// Create a container, start it, wait for its end and delete it
///
/// Signals that corten gets are passed on to the container's process, and its exit status, or 128 and the number of the
/// signal that ended it, becomes corten's.
#[derive(Debug, Parser)]
pub(super) struct Run {
    #[command(flatten)]
    create: create::Flags,

    /// Return once the container runs, and leave it running
    #[arg(short, long)]
    detach: bool,

    /// Don't delete the container at its end
    #[arg(long)]
    keep: bool,

    /// Don't become the reaper of the container's orphaned processes
    #[arg(long)]
    no_subreaper: bool,

    /// A name for the container, unique on this host: letters, digits, `_`, `+`, `-` and `.`
    #[arg(value_name = "ID")]
    id: String,
}

impl Operation for Run {
    fn carry_out(self, context: &Context) -> Result<u8> {
        let run = || {
            context.globals.make_root()?;
            let options = RunOptions {
                create: self.create.options(context.inherited)?,
                detach: self.detach,
                keep: self.keep,
                no_subreaper: self.no_subreaper,
            };
            container::run(&context.host, &self.id, &options)
        };
        run().context("corten run failed")
    }
}
