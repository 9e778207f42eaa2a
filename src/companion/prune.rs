//! `image prune`: images without a name, or all that nobody uses, and what is left over.

use anyhow::{Result, bail};
use clap::Args;

use super::output::{confirmed, print};
use super::pruned::{Condition, Pruned, report};
use super::{Context, Operation, truth};

/// Remove images that have no name
///
/// What a killed command left behind is removed, too.
#[derive(Debug, Args)]
pub(super) struct Prune {
    /// Remove all images that no container was made of and that are not mounted
    #[arg(short, long)]
    all: bool,

    /// label=KEY[=VALUE], label!=KEY[=VALUE], until=TIME, dangling=BOOL
    #[arg(long, value_name = "FILTER", value_parser = crate::companion::filter)]
    filter: Vec<String>,

    /// Don't ask
    #[arg(short, long)]
    force: bool,
}

impl Operation for Prune {
    fn carry_out(mut self, context: &Context) -> Result<u8> {
        self.take_dangling()?;
        let conditions = Condition::parse_all(&self.filter)?;
        let what = if self.all {
            "all images without at least one container associated to them"
        } else {
            "all dangling images"
        };
        if !self.force && !confirmed(&format!("WARNING! This will remove {what}.\nAre you sure you want to continue?"))?
        {
            return Ok(0);
        }
        print(&report(&[images(context, self.all, &conditions)?]))?;
        Ok(0)
    }
}

impl Prune {
    /// `dangling=false` says what `--all` says.
    fn take_dangling(&mut self) -> Result<()> {
        for filter in std::mem::take(&mut self.filter) {
            match filter.strip_prefix("dangling=") {
                Some(value) => match truth(value) {
                    Some(dangling) => self.all = !dangling,
                    None => bail!("invalid filter 'dangling={value}'"),
                },
                None => self.filter.push(filter),
            }
        }
        Ok(())
    }
}

/// Removes images without a name, or all, but none that is in use.
pub(super) fn images(context: &Context, all: bool, conditions: &[Condition]) -> Result<Pruned> {
    let store = context.store()?;
    let used = context.used_images(&store)?;
    let mut lines = Vec::new();
    for image in store.images(|_| {})? {
        let wanted = (all || image.names.is_empty()) && !used.contains(image.id.hex());
        let (labels, created) = (&image.config.config.labels, image.config.created.as_deref());
        if !wanted || !Condition::all_let_through(conditions, labels, created) {
            continue;
        }
        store.change(|table| {
            table.forget(&image.entry.digest);
            Ok(())
        })?;
        lines.extend(image.names.iter().map(|name| format!("untagged: {}", name.familiar())));
        lines.push(format!("deleted: {}", image.id));
    }
    let collected = store.collect()?;
    lines.extend(collected.layers.iter().map(|layer| format!("deleted: {layer}")));
    Ok(Pruned { kind: "Images", lines, bytes: collected.bytes })
}
