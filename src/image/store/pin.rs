//! Pins: what somebody needs for as long as a file says so. A [lease] ends with its process; a pin outlives it.

use std::fs;
use std::path::PathBuf;

use anyhow::{Result, ensure};
use rustix::fs::FlockOperation;

use super::Store;
use super::lease::{self, What};
use crate::error::Attempt;
use crate::image::digest::Digest;

impl Store {
    fn pins(&self) -> PathBuf {
        self.path("pins")
    }

    /// Keeps an image, by its manifest, and its unpacked layers in the store until they are unpinned.
    pub fn pin(&self, name: &str, manifest: &Digest, layers: &[Digest]) -> Result<()> {
        let directory = self.pins();
        if !directory.is_dir() {
            fs::create_dir_all(&directory).attempt(|| format!("make the directory {directory:?}"))?;
        }
        let layers = || layers.iter().map(|layer| (What::Layer, layer));
        let text: String =
            [(What::Blob, manifest)].into_iter().chain(layers()).map(|(what, digest)| what.line(digest)).collect();
        let path = directory.join(name);
        {
            let _nobody_collects = self.lock(FlockOperation::LockShared)?;
            fs::write(&path, text).attempt(|| format!("write {path:?}"))?;
        }
        // Collected a moment before.
        let missing = layers().find(|(_, layer)| !self.has_layer(layer));
        if missing.is_some() {
            self.unpin(name);
        }
        ensure!(missing.is_none(), "the image {manifest} was removed meanwhile");
        Ok(())
    }

    /// Needs it no longer.
    pub fn unpin(&self, name: &str) {
        let _ = fs::remove_file(self.pins().join(name));
    }

    /// All that is pinned.
    pub(super) fn pinned(&self) -> Result<Vec<(What, Digest)>> {
        let mut all = Vec::new();
        for entry in fs::read_dir(self.pins()).into_iter().flatten().flatten() {
            all.extend(lease::read(&entry.path()).unwrap_or_default());
        }
        Ok(all)
    }
}
