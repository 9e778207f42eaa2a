//! Leases: what a process needs or is bringing in, so that nobody collects it.

use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use anyhow::Result;
use rustix::fs::{FlockOperation, flock};

use super::{Store, unique};
use crate::error::Attempt;
use crate::image::digest::Digest;

/// The file in a directory of `ingest/` that its owner has locked.
pub const FILE: &str = "lease";

/// What may be pinned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum What {
    /// A blob.
    Blob,
    /// An unpacked layer, by its chain id.
    Layer,
}

impl What {
    fn word(self) -> &'static str {
        match self {
            What::Blob => "blob",
            What::Layer => "layer",
        }
    }

    /// How it is written down.
    pub(super) fn line(self, digest: &Digest) -> String {
        format!("{} {digest}\n", self.word())
    }
}

/// A directory for what is on its way, and the list of what must stay.
#[derive(Debug)]
pub struct Lease<'s> {
    store: &'s Store,
    directory: PathBuf,
    list: Mutex<File>,
}

impl<'s> Lease<'s> {
    /// A lease of nothing yet.
    pub fn new(store: &'s Store) -> Result<Lease<'s>> {
        let directory = store.path("ingest").join(unique());
        // Between these steps it would look like that of a dead process.
        let _nobody_collects = store.lock(FlockOperation::LockShared)?;
        fs::create_dir(&directory).attempt(|| format!("make the directory {directory:?}"))?;
        let path = directory.join(FILE);
        let list = File::options().append(true).create_new(true).open(&path).attempt(|| format!("create {path:?}"))?;
        flock(&list, FlockOperation::LockExclusive).attempt(|| format!("lock {path:?}"))?;
        Ok(Lease { store, directory, list: Mutex::new(list) })
    }

    /// The store that it is of.
    pub fn store(&self) -> &'s Store {
        self.store
    }

    /// Keeps something, whether it is there or not: what is found there afterwards stays.
    pub fn pin(&self, what: What, digest: &Digest) -> Result<()> {
        let _nobody_collects = self.store.lock(FlockOperation::LockShared)?;
        let line = what.line(digest);
        let mut list = self.list.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        list.write_all(line.as_bytes()).attempt(|| format!("write the lease in {:?}", self.directory))
    }

    /// A path for something that is on its way.
    pub fn fresh(&self, kind: &str) -> PathBuf {
        self.directory.join(format!("{kind}-{}", unique()))
    }
}

impl Drop for Lease<'_> {
    fn drop(&mut self) {
        // The lease file goes last: until then nobody else removes anything of it. What can't be removed is garbage that a
        // collection finds.
        let _ = super::collect::remove_ingest(&self.directory);
    }
}

/// What a lease pins.
pub fn read(path: &Path) -> Result<Vec<(What, Digest)>> {
    let text = fs::read_to_string(path).attempt(|| format!("read {path:?}"))?;
    // A last line that isn't whole was never relied on.
    let lines = text.split_inclusive('\n').filter_map(|line| line.strip_suffix('\n'));
    let pin = |line: &str| {
        let (word, digest) = line.split_once(' ')?;
        let what = [What::Blob, What::Layer].into_iter().find(|what| what.word() == word)?;
        Some((what, digest.parse().ok()?))
    };
    Ok(lines.filter_map(pin).collect())
}
