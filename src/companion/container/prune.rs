//! `container prune`.

use anyhow::Result;
use clap::Args;

use super::super::output::print;
use super::super::pruned::{Asked, Condition, Pruned, report};
use super::super::{Context, Operation};
use crate::engine::Engine;
use crate::engine::state::Status;
use crate::image::store::collect::usage;

/// Remove all containers that don't run
#[derive(Debug, Args)]
pub(in crate::companion) struct Prune {
    #[command(flatten)]
    asked: Asked,
}

impl Operation for Prune {
    fn carry_out(self, context: &Context) -> Result<u8> {
        let engine = context.engine()?;
        let conditions = self.asked.conditions()?;
        if !self.asked.is_meant("WARNING! This will remove all stopped containers.")? {
            return Ok(0);
        }
        print(&report(&[containers(&engine, &conditions)?]))?;
        Ok(0)
    }
}

/// Removes all containers that don't run.
pub(in crate::companion) fn containers(engine: &Engine, conditions: &[Condition]) -> Result<Pruned> {
    let mut pruned = Pruned { kind: "Containers", lines: Vec::new(), bytes: 0 };
    for container in engine.all()? {
        let (labels, created) = (&container.record.config.labels, Some(container.record.created.as_str()));
        let is_stopped = matches!(container.state()?.status, Status::Created | Status::Exited | Status::Dead);
        if is_stopped && Condition::all_let_through(conditions, labels, created) {
            let size = usage(&container.directory().join("upper"));
            // One that was started meanwhile stays.
            if container.remove(false, false).is_ok() {
                pruned.bytes += size;
                pruned.lines.push(container.id().to_owned());
            }
        }
    }
    Ok(pruned)
}
