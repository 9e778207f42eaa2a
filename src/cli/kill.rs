//! `kill`: a signal for a container.

use anyhow::Result;
use clap::Parser;

use super::{Context, Operation, selection, signal};
use crate::container::{self, KillOptions, Signal};

/// Send a signal to a container's process
///
/// SIGKILL for a container that shares its pid namespace goes to all of its processes, which would outlive the first
/// one otherwise.
#[derive(Debug, Parser)]
pub(super) struct Kill {
    /// Don't complain about a container that isn't running
    ///
    /// Once this sent the signal to every process, and engines still pass it.
    #[arg(short, long)]
    all: bool,

    /// ID is a regular expression: take all containers whose id it matches
    #[arg(short, long)]
    regex: bool,

    /// The container
    #[arg(value_name = "ID")]
    id: String,

    /// A name, with or without SIG, or a number
    #[arg(value_name = "SIGNAL", default_value = "SIGTERM", value_parser = signal::parse)]
    signal: Signal,
}

impl Operation for Kill {
    fn carry_out(self, context: &Context) -> Result<u8> {
        let options = KillOptions { signal: self.signal, all: self.all };
        let kill = |id: &str| container::kill(&context.host, id, &options);
        if self.regex {
            selection::each(context, &self.id, false, kill)?
        } else {
            kill(&self.id)?
        }
        Ok(0)
    }
}
