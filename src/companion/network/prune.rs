//! `network prune`.

use anyhow::Result;
use clap::Args;

use super::{Context, Operation, open};
use crate::companion::output::{confirmed, print};
use crate::companion::pruned::{Condition, Pruned};
use crate::network::Networks;

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
        print(&networks(&open(context)?, &conditions)?.listed())?;
        Ok(0)
    }
}

/// Removes all networks that nobody is in.
pub(super) fn networks(networks: &Networks, conditions: &[Condition]) -> Result<Pruned> {
    let removed = networks
        .prune(|network| Condition::all_let_through(conditions, &network.labels, Some(network.created.as_str())))?;
    Ok(Pruned { kind: "Networks", lines: removed.into_iter().map(|network| network.name).collect(), bytes: 0 })
}
