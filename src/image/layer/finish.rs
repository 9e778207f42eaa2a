//! Putting an unpacked layer on those below it: what could not be known while it was unpacked by itself.

use std::collections::BTreeSet;
use std::os::fd::{AsFd, OwnedFd};

use anyhow::{Context, Result};
use rustix::fs::{AtFlags, unlinkat};

use super::apply::Outcome;
use super::attributes::{self, DEFAULT_ACL, Warnings};
use super::directories::Directories;
use super::form::Form;
use super::path;
use super::stack::{Found, Stack};
use crate::error::Attempt;
use crate::image::tar::{Time, shown};

/// Gives implied directories the attributes that they have below, and removes whiteouts of what isn't there: overlayfs would show them
/// where nothing is merged. Returns why the layer must be unpacked again with a look at those below, if it must.
pub fn finish(outcome: &Outcome, root: OwnedFd, below: &Stack, form: Form) -> Result<Option<String>> {
    if outcome.needs_below.is_some() {
        return Ok(outcome.needs_below.clone());
    }
    let opaque: BTreeSet<&[u8]> = outcome.opaque.iter().map(Vec::as_slice).collect();
    let is_hidden = |path: &[u8]| path::ancestors(path).any(|above| opaque.contains(above));
    let mut directories = Directories::new(root, form, None);
    for implied in &outcome.implied {
        let hidden = is_hidden(implied) || opaque.contains(&implied[..]);
        let found = if hidden { None } else { below.find(implied)? };
        if let Some(Found::Other(_)) = found {
            return Ok(Some(format!("{} is no directory in the layers below", shown(implied))));
        }
        let Some(directory) = directories.find(implied)? else { continue };
        copy_attributes(found, &directory.descriptor, form).with_context(|| format!("directory {}", shown(implied)))?;
    }
    for whiteout in &outcome.whiteouts {
        if !is_hidden(whiteout) && below.find(whiteout)?.is_some() {
            continue;
        }
        let (parent, name) = path::split(whiteout);
        if let Some(parent) = directories.find(parent)? {
            let modified = rustix::fs::fstat(&parent.descriptor).attempt(|| "look at a directory")?;
            unlinkat(&parent.descriptor, name, AtFlags::empty())
                .attempt(|| format!("remove the whiteout {}", shown(whiteout)))?;
            attributes::set_time(&parent.descriptor, attributes::time_of(&modified))?;
        }
    }
    Ok(None)
}

fn copy_attributes(below: Option<Found>, directory: impl AsFd, form: Form) -> Result<()> {
    let Some(below) = below else {
        // Nobody knows when it was made; this way it is the same each time.
        return attributes::set_time(&directory, Time::default());
    };
    let wanted = below.attributes(form)?;
    let mut warnings = Warnings::new();
    attributes::set(&directory, &wanted, &mut warnings)?;
    attributes::set_last(&directory, wanted.modified, wanted.xattrs.get(DEFAULT_ACL), &mut warnings)
}
