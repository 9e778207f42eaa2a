//! Platforms of an image that has several, away: their manifests go, and what only they needed is garbage. The index stays as it is, for it
//! may name what isn't here.

use std::collections::BTreeSet;
use std::fs;

use anyhow::{Result, ensure};
use rustix::fs::FlockOperation;

use super::Store;
use super::lease::What;
use super::table::Image;
use crate::error::Attempt;
use crate::image::digest::Digest;
use crate::image::platform::Platform;

impl Store {
    /// Removes the platforms of an image; says which manifests they were.
    pub fn remove_platforms(&self, image: &Image, platforms: &[Platform]) -> Result<Vec<Digest>> {
        let _alone = self.lock(FlockOperation::LockExclusive)?;
        let conflict = |why: &str| format!("conflict: unable to remove platforms of {}: {why}", image.id.short());
        let mut gone = BTreeSet::new();
        for platform in platforms {
            let found = self.image(&image.entry, Some(platform))?;
            let own = found.descriptor.platform.unwrap_or_else(|| found.config.platform());
            // What merely runs there, as 386 does on amd64, was not meant.
            ensure!(platform.distance(&own) == Some(0), "{} has no image {platform}", image.entry.digest);
            gone.insert(found.descriptor.digest);
        }
        let is_left = self
            .manifests(&image.entry)?
            .iter()
            .any(|(own, manifest)| manifest.is_image() && !gone.contains(&own.digest));
        ensure!(is_left, conflict("there would be none left, remove the image itself"));
        for entry in self.table()?.entries().iter().filter(|entry| entry.digest != image.entry.digest) {
            // What can't be read needs nothing that is known.
            let others = self.manifests(entry).unwrap_or_default();
            ensure!(
                !others.iter().any(|(other, _)| gone.contains(&other.digest)),
                conflict("another image has them, too")
            );
        }
        let held: Vec<Digest> =
            self.held()?.into_iter().filter(|(what, _)| *what == What::Blob).map(|(_, digest)| digest).collect();
        let is_held = held.iter().any(|digest| gone.contains(digest) || *digest == image.entry.digest);
        ensure!(!is_held, conflict("a container or a command is using them"));
        for digest in &gone {
            let path = self.blob_path(digest);
            fs::remove_file(&path).attempt(|| format!("remove {path:?}"))?;
        }
        Ok(gone.into_iter().collect())
    }
}
