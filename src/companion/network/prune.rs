//! `network prune`.

use anyhow::Result;
use clap::Args;

use super::{Context, Operation, at_networks};
use crate::companion::output::{confirmed, print};
use crate::companion::pruned::{Condition, Pruned};
use crate::network::Network;

/// Remove all networks that nobody is in
#[derive(Debug, Args)]
pub(in crate::companion) struct Prune {
    /// label=KEY[=VALUE], label!=KEY[=VALUE], until=TIME
    #[arg(long, value_name = "FILTER", value_parser = crate::companion::filter)]
    filter: Vec<String>,

    /// Don't ask
    #[arg(short, long)]
    force: bool,
}

impl Operation for Prune {
    fn carry_out(self, context: &Context) -> Result<u8> {
        let conditions = Condition::parse_all(&self.filter)?;
        let question = "WARNING! This will remove all custom networks not used by at least one container.\n\
                        Are you sure you want to continue?";
        if !self.force && !confirmed(question)? {
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
