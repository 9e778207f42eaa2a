//! `system prune`: containers, networks, volumes and images that nobody uses, in this order, for each uses those after it.

use anyhow::{Result, ensure};
use clap::Args;

use super::super::container::containers_pruned;
use super::super::network::pruned as networks_pruned;
use super::super::output::print;
use super::super::prune::images;
use super::super::pruned::{Asked, Condition, report};
use super::super::volume::volumes;
use super::super::{Context, Operation};
use crate::engine::id_ranges;

/// Remove what nobody uses: containers, networks, images
///
/// Ids of their own that containers had whose store was removed are free again, too.
#[derive(Debug, Args)]
pub(in crate::companion) struct Prune {
    /// All images that no container was made of, not only those without a name
    #[arg(short, long)]
    all: bool,

    #[command(flatten)]
    asked: Asked,

    /// Volumes that nobody named, too
    #[arg(long)]
    volumes: bool,
}

impl Operation for Prune {
    fn carry_out(self, context: &Context) -> Result<u8> {
        let conditions = self.asked.conditions()?;
        let has_time = conditions.iter().any(|condition| matches!(condition, Condition::Until(_)));
        ensure!(!(self.volumes && has_time), "the \"until\" filter is not supported with \"--volumes\"");
        let has_containers = context.has_containers();
        if !self.asked.is_meant(&self.warning(has_containers))? {
            return Ok(0);
        }
        let mut pruned = Vec::new();
        if has_containers {
            let engine = context.engine()?;
            if engine.user.is_none() {
                id_ranges::reclaim()?;
            }
            pruned.push(containers_pruned(&engine, &conditions)?);
            pruned.push(networks_pruned(context, &conditions)?);
            if self.volumes {
                pruned.push(volumes(&engine, false, &conditions));
            }
        }
        pruned.push(images(context, self.all, &conditions)?);
        print(&report(&pruned))?;
        Ok(0)
    }
}

impl Prune {
    fn warning(&self, has_containers: bool) -> String {
        let images = if self.all {
            "all images without at least one container associated to them"
        } else {
            "all dangling images"
        };
        let list = [
            ("all stopped containers", has_containers),
            ("all networks not used by at least one container", has_containers),
            ("all anonymous volumes not used by at least one container", has_containers && self.volumes),
            (images, true),
        ];
        let list: String = list.iter().filter(|(_, is)| *is).map(|(what, _)| format!("  - {what}\n")).collect();
        format!("WARNING! This will remove:\n{list}")
    }
}
