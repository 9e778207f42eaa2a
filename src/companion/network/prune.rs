//! `network prune`.

use anyhow::Result;
use clap::Args;

use super::{Context, Operation, at_networks};
use crate::companion::output::print;
use crate::companion::pruned::{Asked, Condition, Pruned};
use crate::network::Network;

/// Remove all networks that nobody is in
#[derive(Debug, Args)]
pub(in crate::companion) struct Prune {
    #[command(flatten)]
    asked: Asked,
}

impl Operation for Prune {
    fn carry_out(self, context: &Context) -> Result<u8> {
        let conditions = self.asked.conditions()?;
        let warning = "WARNING! This will remove all custom networks not used by at least one container.";
        if !self.asked.is_meant(warning)? {
            return Ok(0);
        }
        print(&networks(context, &conditions)?.listed())?;
        Ok(0)
    }
}

/// Removes all networks that nobody is in.
pub(super) fn networks(context: &Context, conditions: &[Condition]) -> Result<Pruned> {
    let is_wanted =
        |network: &Network| Condition::all_let_through(conditions, &network.labels, Some(network.created.as_str()));
    let removed = at_networks(context, |networks| networks.prune(is_wanted))?;
    Ok(Pruned { kind: "Networks", lines: removed.into_iter().map(|network| network.name).collect(), bytes: 0 })
}
