//! `container prune`.

use anyhow::Result;
use clap::Args;

use super::super::output::{confirmed, print};
use super::super::{Context, Operation, units};
use crate::engine::state::Status;
use crate::image::store::collect::usage;

/// Remove all containers that don't run
#[derive(Debug, Args)]
pub(in crate::companion) struct Prune {
    /// Don't ask
    #[arg(short, long)]
    force: bool,
}

impl Operation for Prune {
    fn carry_out(self, context: &Context) -> Result<u8> {
        let engine = context.engine()?;
        let question = "WARNING! This will remove all stopped containers.\nAre you sure you want to continue?";
        if !self.force && !confirmed(question)? {
            return Ok(0);
        }
        let (mut lines, mut bytes) = (String::new(), 0);
        for container in engine.all()? {
            if matches!(container.state()?.status, Status::Created | Status::Exited | Status::Dead) {
                let size = usage(&container.directory().join("upper"));
                // One that was started meanwhile stays.
                if container.remove(false, false).is_ok() {
                    bytes += size;
                    lines += &format!("{}\n", container.id());
                }
            }
        }
        let heading = if lines.is_empty() { "" } else { "Deleted Containers:\n" };
        let line_break = if lines.is_empty() { "" } else { "\n" };
        print(&format!("{heading}{lines}{line_break}Total reclaimed space: {}\n", units::size(bytes)))?;
        Ok(0)
    }
}
