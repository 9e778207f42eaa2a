//! `state`: how a container is.

use anyhow::Result;
use clap::Parser;

use super::{Context, Operation, output};
use crate::container;

/// Print the state of a container as JSON
///
/// The document is the specification's, with runc's `rootfs`, `created` and `owner` besides. The status is one of
/// created, running, paused and stopped; the pid of a stopped container is 0.
#[derive(Debug, Parser)]
pub(super) struct State {
    /// The container
    #[arg(value_name = "ID")]
    id: String,
}

impl Operation for State {
    fn carry_out(self, context: &Context) -> Result<u8> {
        let state = container::state(&context.host, &self.id)?;
        output::print(&(serde_json::to_string_pretty(&state)? + "\n"))?;
        Ok(0)
    }
}
