//! `mount` and `unmount`: an image's files, read-only.

use anyhow::{Result, bail, ensure};
use clap::Args;

use super::output::print;
use super::{Context, Operation};
use crate::image::store::lease::{Lease, What};

/// Mount images read-only and print where; without images, list what is mounted
#[derive(Debug, Args)]
pub(super) struct Mount {
    /// Names or ids
    #[arg(value_name = "IMAGE")]
    images: Vec<String>,
}

/// Unmount images
#[derive(Debug, Args)]
pub(super) struct Unmount {
    /// Unmount all that are mounted
    #[arg(short, long)]
    all: bool,

    /// Names or ids
    #[arg(value_name = "IMAGE")]
    images: Vec<String>,
}

impl Operation for Mount {
    fn carry_out(self, context: &Context) -> Result<u8> {
        let store = context.store()?;
        let lasting = self.images.is_empty() || context.user.is_none();
        ensure!(lasting, "an ordinary user's mount would end with this command: use `ctn unpack`, or mount as root");
        let images = store.images(|_| {})?;
        if self.images.is_empty() {
            for (id, point) in store.mounts()? {
                let of = images.iter().find(|image| image.id.hex() == id);
                let name = of.and_then(|image| image.names.first()).map_or(id, |name| name.familiar());
                print(&format!("{name} {}\n", point.display()))?;
            }
        }
        for text in &self.images {
            let lease = Lease::new(&store)?;
            let image = store.resolve(text, None)?;
            for chain_id in image.config.chain() {
                lease.pin(What::Layer, &chain_id)?;
            }
            let point = store.mount(&image)?;
            let what = if self.images.len() > 1 { format!("{text} ") } else { String::new() };
            print(&format!("{what}{}\n", point.display()))?;
        }
        Ok(0)
    }
}

impl Operation for Unmount {
    fn carry_out(self, context: &Context) -> Result<u8> {
        let store = context.store()?;
        ensure!(self.all == self.images.is_empty(), "give images, or --all");
        if self.all {
            for (id, _) in store.mounts()? {
                store.unmount(&format!("sha256:{id}").parse()?)?;
                print(&format!("{id}\n"))?;
            }
        }
        for text in &self.images {
            let image = store.resolve(text, None)?;
            if !store.unmount(&image.id)? {
                bail!("image {text} is not mounted");
            }
            print(&format!("{}\n", image.id.hex()))?;
        }
        Ok(0)
    }
}
