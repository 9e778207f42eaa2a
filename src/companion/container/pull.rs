//! The image that a container is made of: from the store, built in, or pulled.

use anyhow::{Context as _, Result, bail};
use clap::ValueEnum;

use super::flags::Flags;
use super::hello;
use crate::companion::Context;
use crate::companion::output::{complain, remark, warn};
use crate::companion::progress::{Direction, shown};
use crate::companion::registry::Connection;
use crate::engine::Engine;
use crate::image::platform::Platform;
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
    let found = match found.map(|image| (other_platform(&image, platform), image)) {
        Some((Some(other), _)) if flags.pull == Policy::Never => bail!(
            "image with reference {name} was found but does not match the specified platform: wanted {}, actual: {other}",
            platform.map(ToString::to_string).unwrap_or_default()
        ),
        // The registry may have one for it.
        Some((Some(_), _)) => None,
        found => found.map(|(_, image)| image),
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

/// The image's platform, where it isn't what is wanted, or where nothing is wanted and this machine can't run it, which is told.
fn other_platform(image: &Image, wanted: Option<&Platform>) -> Option<Platform> {
    let config = &image.config;
    let own = Platform::new(&config.os, &config.architecture, &config.variant);
    // One that says nothing is taken for this machine's.
    if own.os.is_empty() || own.architecture.is_empty() {
        return None;
    }
    let host = Platform::host();
    match wanted {
        Some(wanted) => wanted.distance(&own).is_none().then_some(own),
        None => {
            if host.distance(&own).is_none() {
                remark(&format!(
                    "the requested image's platform ({own}) does not match the detected host platform ({host}) and no specific platform was requested"
                ));
            }
            None
        }
    }
}

fn from_registry(context: &Context, engine: &Engine, flags: &Flags, name: &str) -> Result<()> {
    let reference = name.parse::<Reference>().with_context(|| format!("No such image: {name}"))?.or_latest();
    let shown_name = reference.familiar();
    if !flags.quiet {
        // The standard output is the container's.
        complain(&format!("Unable to find image '{shown_name}' locally\n"));
    }
    let client = Connection::default().client(context)?;
    let progress = shown(Direction::Pull, flags.quiet);
    let pulled = pull(&client, &engine.store, &reference, Wanted::One(flags.platform.as_ref()), &*progress);
    warn(&pulled.with_context(|| format!("pull {shown_name}"))?.warnings);
    Ok(())
}
