//! The image that a container is made of: from the store, built in, or pulled.

use anyhow::{Context as _, Result};
use clap::ValueEnum;

use super::flags::Flags;
use super::hello;
use crate::companion::Context;
use crate::companion::output::{complain, warn};
use crate::companion::progress::{Direction, shown_beside};
use crate::companion::registry::Connection;
use crate::engine::Engine;
use crate::image::reference::Reference;
use crate::image::registry::pull::{Wanted, pull};
use crate::image::store::table::Image;

/// When an image is pulled.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(in crate::companion) enum Policy {
    Always,
    Missing,
    Never,
}

/// Finds the image that the flags name; none with `--rootfs`.
pub(super) fn image(context: &Context, engine: &Engine, flags: &Flags) -> Result<Option<Image>> {
    if flags.rootfs {
        return Ok(None);
    }
    let name = flags.what.first().map(String::as_str).unwrap_or_default();
    let platform = flags.platform.as_ref();
    let found = match flags.pull {
        Policy::Always if !hello::is_meant(name) => None,
        _ => match engine.store.resolve(name, platform) {
            Err(error) if error.to_string().starts_with("No such image") => {
                if flags.pull == Policy::Never && !hello::is_meant(name) {
                    return Err(error);
                }
                None
            }
            found => Some(found?),
        },
    };
    if found.is_some() {
        return Ok(found);
    }
    if hello::is_meant(name) {
        hello::install(&engine.store)?;
    } else {
        from_registry(context, engine, flags, name)?;
    }
    engine.store.resolve(name, platform).map(Some)
}

fn from_registry(context: &Context, engine: &Engine, flags: &Flags, name: &str) -> Result<()> {
    let reference = name.parse::<Reference>().with_context(|| format!("No such image: {name}"))?.or_latest();
    let shown_name = reference.familiar();
    if !flags.quiet {
        // The standard output is the container's.
        complain(&format!("Unable to find image '{shown_name}' locally\n"));
    }
    let client = Connection::default().client(context)?;
    let progress = shown_beside(Direction::Pull, flags.quiet);
    let pulled = pull(&client, &engine.store, &reference, Wanted::One(flags.platform.as_ref()), &*progress);
    warn(&pulled.with_context(|| format!("pull {shown_name}"))?.warnings);
    Ok(())
}
