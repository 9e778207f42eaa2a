//! `kill`.

use anyhow::Result;
use clap::Args;

use super::super::{Context, Operation};
use super::each;

/// Send a signal to containers
#[derive(Debug, Args)]
pub(in crate::companion) struct Kill {
    /// The signal
    #[arg(short, long, default_value = "KILL")]
    signal: String,

    /// Names or ids
    #[arg(required = true, value_name = "CONTAINER")]
    containers: Vec<String>,
}

impl Operation for Kill {
    fn carry_out(self, context: &Context) -> Result<u8> {
        each(&context.engine()?, &self.containers, |engine, name| {
            let container = engine.find(name)?;
            let signal = crate::cli::signal::parse(&self.signal);
            container.kill(signal.map_err(|_| anyhow::anyhow!("Invalid signal: {}", self.signal))?.0)
        })
    }
}
