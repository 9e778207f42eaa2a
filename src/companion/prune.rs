//! `image prune`: images without a name, or all, and what nobody needs.

use anyhow::Result;
use clap::Args;

use super::images::Filter;
use super::output::{confirmed, print};
use super::{Context, Operation, units};
use crate::image::store::Store;

/// Remove images that have no name
///
/// What a killed command left behind is removed, too.
#[derive(Debug, Args)]
pub(super) struct Prune {
    /// Remove all images that are not mounted
    #[arg(short, long)]
    all: bool,

    /// label=KEY[=VALUE], until=TIME
    #[arg(long, value_name = "FILTER")]
    filter: Vec<String>,

    /// Don't ask
    #[arg(short, long)]
    force: bool,
}

impl Operation for Prune {
    fn carry_out(self, context: &Context) -> Result<u8> {
        let store = context.store()?;
        let what = if self.all { "all images that are not mounted" } else { "all dangling images" };
        if !self.force && !confirmed(&format!("WARNING! This will remove {what}.\nAre you sure you want to continue?"))?
        {
            return Ok(0);
        }
        print(&self.prune(&store)?)?;
        Ok(0)
    }
}

impl Prune {
    /// A prune that doesn't ask.
    pub(super) fn forced(all: bool, filter: Vec<String>) -> Prune {
        Prune { all, filter, force: true }
    }

    pub(super) fn prune(&self, store: &Store) -> Result<String> {
        let filters = self.filter.iter().map(|filter| Filter::parse(filter, store)).collect::<Result<Vec<_>>>()?;
        let mounted = store.mounts()?;
        let mut lines = String::new();
        for image in store.images(|_| {})? {
            let wanted = self.all || image.names.is_empty();
            let is_mounted = mounted.iter().any(|(id, _)| id == image.id.hex());
            if !wanted || is_mounted || !filters.iter().all(|filter| filter.lets_through(&image)) {
                continue;
            }
            store.change(|table| {
                table.forget(&image.entry.digest);
                Ok(())
            })?;
            lines.extend(image.names.iter().map(|name| format!("untagged: {}\n", name.familiar())));
            lines += &format!("deleted: {}\n", image.id);
        }
        let collected = store.collect()?;
        lines.extend(collected.layers.iter().map(|layer| format!("deleted: {layer}\n")));
        if !lines.is_empty() {
            lines = format!("Deleted Images:\n{lines}\n");
        }
        Ok(lines + &format!("Total reclaimed space: {}\n", units::size(collected.bytes)))
    }
}
