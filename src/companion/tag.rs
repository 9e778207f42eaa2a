//! `tag`: another name.

use anyhow::{Result, ensure};
use clap::Args;

use super::{Context, Operation};
use crate::image::reference::Reference;
use crate::image::store::lease::{Lease, What};

/// Give an image another name
#[derive(Debug, Args)]
pub(super) struct Tag {
    /// The name or id that it has
    #[arg(value_name = "SOURCE_IMAGE[:TAG]")]
    source: String,

    /// The name that it gets
    #[arg(value_name = "TARGET_IMAGE[:TAG]")]
    target: Reference,
}

impl Operation for Tag {
    fn carry_out(self, context: &Context) -> Result<u8> {
        let store = context.store()?;
        ensure!(self.target.digest().is_none(), "refusing to create a tag with a digest reference");
        let lease = Lease::new(&store)?;
        let image = store.resolve(&self.source, None)?;
        lease.pin(What::Blob, &image.entry.digest)?;
        // Whoever removed it before it was pinned was faster.
        ensure!(store.has_blob(&image.entry.digest), "No such image: {}", self.source);
        store.change(|table| {
            table.add(&image.entry, Some(&self.target.clone().or_latest()));
            Ok(())
        })?;
        Ok(0)
    }
}
