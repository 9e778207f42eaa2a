//! `kill`.

use anyhow::Result;
use clap::Args;

use super::super::{Context, Operation};
use super::each;

/// Send a signal to containers
#[derive(Debug, Args)]
pub(in crate::companion) struct Kill {
    /// The signal
    #[arg(short, long, default_value = "KILL", value_parser = crate::cli::signal::parse)]
    signal: crate::container::Signal,

    /// Names or ids
    #[arg(required = true, value_name = "CONTAINER")]
    containers: Vec<String>,
}

impl Operation for Kill {
    fn carry_out(self, context: &Context) -> Result<u8> {
        each(&context.engine()?, &self.containers, |engine, name| engine.find(name)?.kill(self.signal.0))
    }
}
