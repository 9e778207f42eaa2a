//! Collection of garbage: what no image of the table needs, no lease pins and no mount shows.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use anyhow::Result;
use rustix::fs::FlockOperation;

use super::lease::{self, What};
use super::{Store, file, lock, open_directory, unique};
use crate::error::Attempt;
use crate::image::config::Config;
use crate::image::digest::Digest;
use crate::image::layer::tree;
use crate::image::manifest::{Document, LARGEST_DOCUMENT};

/// What was removed.
#[derive(Debug, Default)]
pub struct Collected {
    /// Blobs.
    pub blobs: Vec<Digest>,
    /// Unpacked layers, by their chain ids.
    pub layers: Vec<Digest>,
    /// Bytes of the disk.
    pub bytes: u64,
}

/// What must stay.
#[derive(Debug, Default)]
struct Marked {
    blobs: BTreeSet<Digest>,
    layers: BTreeSet<Digest>,
}

impl Store {
    /// Removes what nobody needs. Nothing that is in use or on its way is touched: under the lock, things are only moved aside; the
    /// work of removing comes after.
    pub fn collect(&self) -> Result<Collected> {
        let mut collected = Collected::default();
        let trash = self.path("ingest").join(format!("trash-{}", unique()));
        let mut dead = Vec::new();
        {
            let _alone = self.lock(FlockOperation::LockExclusive)?;
            let mut marked = Marked::default();
            for entry in self.table()?.entries() {
                self.mark(&entry.digest, &mut marked, 0);
            }
            self.mark_mounts(&mut marked)?;
            for (what, digest) in self.pinned()? {
                self.mark_as(what, digest, &mut marked);
            }
            for name in names(&self.path("ingest"))? {
                let directory = self.path("ingest").join(name);
                let list = directory.join(lease::FILE);
                if !list.exists() || lock::is_free(&list) {
                    dead.push(directory);
                    continue;
                }
                for (what, digest) in lease::read(&list)? {
                    self.mark_as(what, digest, &mut marked);
                }
            }
            for name in ["index.json", "oci-layout"] {
                // Left by who was killed while writing it; nobody writes it now.
                let _ = fs::remove_file(file::temporary(&self.path(name)));
            }
            for (kind, marked, removed) in
                [("blobs", &marked.blobs, &mut collected.blobs), ("layers", &marked.layers, &mut collected.layers)]
            {
                *removed = self.sweep(kind, marked, &trash)?;
            }
        }
        collected.bytes = usage(&trash);
        if trash.exists() {
            dead.push(trash);
        }
        for directory in dead {
            remove_ingest(&directory)?;
        }
        Ok(collected)
    }

    /// What must stay for containers, and for processes that live.
    pub(super) fn held(&self) -> Result<Vec<(What, Digest)>> {
        let mut all = self.pinned()?;
        for name in names(&self.path("ingest"))? {
            let list = self.path("ingest").join(name).join(lease::FILE);
            if list.exists() && !lock::is_free(&list) {
                all.extend(lease::read(&list)?);
            }
        }
        Ok(all)
    }

    fn mark_as(&self, what: What, digest: Digest, marked: &mut Marked) {
        match what {
            What::Blob => self.mark(&digest, marked, 0),
            What::Layer => drop(marked.layers.insert(digest)),
        }
    }

    /// Marks a blob, and if it is a document all that it leads to. What can't be read is still marked.
    fn mark(&self, digest: &Digest, marked: &mut Marked, depth: u32) {
        if depth > 8 || !marked.blobs.insert(digest.clone()) {
            return;
        }
        let path = self.blob_path(digest);
        if fs::metadata(&path).map_or(u64::MAX, |data| data.len()) > LARGEST_DOCUMENT {
            return;
        }
        let Ok(bytes) = fs::read(&path) else { return };
        match Document::parse(&bytes, "") {
            Ok(Document::Index(index)) => {
                for below in &index.manifests {
                    self.mark(&below.digest, marked, depth + 1);
                }
            }
            Ok(Document::Manifest(manifest)) => {
                for below in manifest.layers.iter().chain([&manifest.config]) {
                    marked.blobs.insert(below.digest.clone());
                }
                let config = fs::read(self.blob_path(&manifest.config.digest)).ok();
                if let Some(config) = config.and_then(|bytes| Config::parse(&bytes).ok()) {
                    marked.layers.extend(config.chain());
                }
            }
            Err(_) => {}
        }
    }

    fn mark_mounts(&self, marked: &mut Marked) -> Result<()> {
        for chain_id in self.mounted_layers()? {
            marked.layers.insert(chain_id);
        }
        Ok(())
    }

    /// Moves what isn't marked to the trash.
    fn sweep(&self, kind: &str, marked: &BTreeSet<Digest>, trash: &Path) -> Result<Vec<Digest>> {
        let mut removed = Vec::new();
        for algorithm in ["sha256", "sha512"] {
            let directory = self.path(kind).join(algorithm);
            for name in names(&directory)? {
                let digest = name.to_str().and_then(|hex| format!("{algorithm}:{hex}").parse::<Digest>().ok());
                if digest.as_ref().is_some_and(|digest| marked.contains(digest)) {
                    continue;
                }
                if removed.is_empty() && !trash.exists() {
                    fs::create_dir(trash).attempt(|| format!("make the directory {trash:?}"))?;
                }
                let from = directory.join(&name);
                let to = trash.join(format!("{kind}-{algorithm}-{}", name.display()));
                fs::rename(&from, &to).attempt(|| format!("move {from:?} aside"))?;
                removed.extend(digest);
            }
        }
        Ok(removed)
    }
}

fn names(directory: &Path) -> Result<Vec<std::ffi::OsString>> {
    let what = || format!("read {directory:?}");
    match fs::read_dir(directory) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Vec::new()),
        entries => entries.attempt(what)?.map(|entry| entry.map(|entry| entry.file_name()).attempt(what)).collect(),
    }
}

/// Removes a directory of `ingest/`, the lease last. Somebody else may be removing it, too.
pub fn remove_ingest(directory: &Path) -> Result<()> {
    match emptied_and_removed(directory) {
        Err(_) if !directory.exists() => Ok(()),
        removed => removed,
    }
}

fn emptied_and_removed(directory: &Path) -> Result<()> {
    for name in names(directory)?.iter().filter(|name| *name != lease::FILE).map(|name| name.as_bytes()) {
        tree::remove(open_directory(directory)?, name)?;
    }
    let (Some(parent), Some(name)) = (directory.parent(), directory.file_name()) else { return Ok(()) };
    tree::remove(open_directory(parent)?, name.as_bytes())
}

/// Bytes of the disk that a tree takes; hard links once.
pub fn usage(path: &Path) -> u64 {
    use std::os::unix::fs::MetadataExt;
    let mut seen = BTreeSet::new();
    let mut bytes = 0;
    let mut wanted: Vec<PathBuf> = vec![path.into()];
    while let Some(path) = wanted.pop() {
        let Ok(data) = fs::symlink_metadata(&path) else { continue };
        if data.is_dir() {
            wanted.extend(fs::read_dir(&path).into_iter().flatten().flatten().map(|entry| entry.path()));
        }
        if data.nlink() < 2 || data.is_dir() || seen.insert((data.dev(), data.ino())) {
            bytes += data.blocks() * 512;
        }
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn several_remove_the_same() {
        let above = std::env::temp_dir().join(format!("corten-ingest-of-several-{}", std::process::id()));
        let path = above.join("trash");
        for _ in 0..50 {
            for number in 0..20 {
                fs::create_dir_all(path.join(number.to_string())).unwrap();
            }
            std::thread::scope(|scope| {
                let removing: Vec<_> = (0..4).map(|_| scope.spawn(|| remove_ingest(&path))).collect();
                for removed in removing {
                    removed.join().unwrap().unwrap();
                }
            });
            assert!(!path.exists());
        }
        fs::remove_dir(&above).unwrap();
    }
}
