//! The image that a container is made of: from the store, built in, or pulled.

use anyhow::{Result, bail};
use clap::ValueEnum;

use super::flags::Flags;
use crate::engine::Engine;
use crate::image::platform::Platform;
use crate::image::store::table::Image;

/// When an image is pulled.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(in crate::companion) enum Policy {
    Always,
    Missing,
    Never,
}

/// Finds the image that the flags name; none with `--rootfs`.
pub(super) fn image(engine: &Engine, flags: &Flags) -> Result<Option<Image>> {
    if flags.rootfs {
        return Ok(None);
    }
    let name = flags.what.first().map(String::as_str).unwrap_or_default();
    let platform = flags.platform.as_ref();
    if flags.pull == Policy::Always {
        pull(engine, name, platform, flags.quiet)?;
    }
    match engine.store.resolve(name, platform) {
        Err(error) if super::hello::is_meant(name) && error.to_string().starts_with("No such image") => {
            super::hello::install(&engine.store)?;
            engine.store.resolve(name, platform).map(Some)
        }
        Err(error) if flags.pull == Policy::Missing && error.to_string().starts_with("No such image") => {
            pull(engine, name, platform, flags.quiet)?;
            engine.store.resolve(name, platform).map(Some)
        }
        found => found.map(Some),
    }
}

/// The one place where an image that is not there would be got from a registry.
fn pull(_engine: &Engine, name: &str, _platform: Option<&Platform>, _quiet: bool) -> Result<()> {
    bail!("No such image: {name} (this build pulls nothing: bring it in by `ctn load` or `ctn import`)")
}
