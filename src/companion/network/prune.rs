//! `network prune`.

use anyhow::Result;
use clap::Args;

use super::filter::Filter;
use super::{Context, Operation, open};
use crate::companion::output::{confirmed, print};

/// Remove all networks that nobody is in
#[derive(Debug, Args)]
pub(in crate::companion) struct Prune {
    /// label=KEY[=VALUE], until=TIME
    #[arg(long, value_name = "FILTER")]
    filter: Vec<String>,

    /// Don't ask
    #[arg(short, long)]
    force: bool,
}

impl Operation for Prune {
    fn carry_out(self, context: &Context) -> Result<u8> {
        let filters = self.filter.iter().map(|text| Filter::parse(text)).collect::<Result<Vec<_>>>()?;
        let question = "WARNING! This will remove all custom networks not used by at least one container.\n\
                        Are you sure you want to continue?";
        if !self.force && !confirmed(question)? {
            return Ok(0);
        }
        let networks = open(context)?;
        let removed = networks.prune(|network| filters.iter().all(|filter| filter.lets_through(&networks, network)))?;
        if !removed.is_empty() {
            let names: String = removed.iter().map(|network| format!("{}\n", network.name)).collect();
            print(&format!("Deleted Networks:\n{names}\n"))?;
        }
        Ok(0)
    }
}
