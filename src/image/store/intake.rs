//! Bringing images in: documents, blobs and layers from wherever they are, into the table at the end.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::Read;
use std::os::unix::fs::DirBuilderExt;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

use anyhow::{Context, Result, bail, ensure};

use super::layers::{self, RECORD, Record, TREE};
use super::lease::{Lease, What};
use super::lock::BlobLock;
use super::{Store, document, file};
use crate::error::Attempt;
use crate::image::config::{Config, chain};
use crate::image::digest::Digest;
use crate::image::layer::attributes::Warnings;
use crate::image::layer::pipeline::{self, Target};
use crate::image::layer::{Outcome, Stack, finish};
use crate::image::manifest::{Descriptor, Document, Manifest};
use crate::image::media_type;
use crate::image::reference::Reference;

/// Layers that are brought in at the same time, with three threads each.
const PARALLEL: usize = 4;

/// Where blobs come from: an archive, a layout, a registry.
pub trait Source: Sync {
    /// Opens a blob; none if the source doesn't have it.
    fn blob<'s>(&'s self, descriptor: &Descriptor) -> Result<Option<Box<dyn Read + Send + 's>>>;

    /// Whoever waits for a blob waits in vain, since another one can't be had; or it is of use again.
    fn give_up(&self, _given_up: bool) {}
}

/// The store itself, for what is there already.
impl Source for Store {
    fn blob<'s>(&'s self, descriptor: &Descriptor) -> Result<Option<Box<dyn Read + Send + 's>>> {
        if !self.has_blob(&descriptor.digest) {
            return Ok(None);
        }
        Ok(Some(Box::new(Store::blob(self, &descriptor.digest)?)))
    }
}

/// A layer that is unpacked, but not in its place yet.
#[derive(Debug)]
struct Unpacked {
    directory: PathBuf,
    outcome: Outcome,
}

/// Images on their way into the store. Until [`Intake::commit`] nothing of it can be seen.
#[derive(Debug)]
pub struct Intake<'s> {
    lease: Lease<'s>,
    locks: Vec<BlobLock>,
    /// Blobs that are written but not in their place.
    blobs: Mutex<BTreeMap<Digest, PathBuf>>,
    /// Layers that are ready, by chain id, each before those above it.
    layers: Vec<(Digest, PathBuf)>,
    entries: Vec<(Descriptor, Option<Reference>)>,
    /// What could not be kept.
    pub warnings: Warnings,
}

impl<'s> Intake<'s> {
    /// Nothing on its way yet.
    pub fn new(store: &'s Store) -> Result<Intake<'s>> {
        let lease = Lease::new(store)?;
        let (blobs, warnings) = (Mutex::default(), Warnings::new());
        Ok(Intake { lease, locks: Vec::new(), blobs, layers: Vec::new(), entries: Vec::new(), warnings })
    }

    /// The store.
    pub fn store(&self) -> &'s Store {
        self.lease.store()
    }

    /// The lease that holds it all.
    pub fn lease(&self) -> &Lease<'s> {
        &self.lease
    }

    /// Takes in a small blob that is in memory.
    pub fn bytes(&mut self, media_type: &str, bytes: &[u8]) -> Result<Descriptor> {
        let descriptor = Descriptor::of(media_type, bytes);
        self.keep(&descriptor, bytes)?;
        Ok(descriptor)
    }

    fn keep(&self, descriptor: &Descriptor, bytes: &[u8]) -> Result<()> {
        self.lease.pin(What::Blob, &descriptor.digest)?;
        if self.has(&descriptor.digest) {
            return Ok(());
        }
        let path = self.lease.fresh("blob");
        fs::write(&path, bytes).attempt(|| format!("write {path:?}"))?;
        self.adopt(&descriptor.digest, path);
        Ok(())
    }

    /// Takes in a file of the lease that was already written and hashed.
    pub fn adopt(&self, digest: &Digest, path: PathBuf) {
        self.blobs.lock().unwrap_or_else(std::sync::PoisonError::into_inner).insert(digest.clone(), path);
    }

    fn has(&self, digest: &Digest) -> bool {
        self.pending(digest).is_some() || self.store().has_blob(digest)
    }

    fn pending(&self, digest: &Digest) -> Option<PathBuf> {
        self.blobs.lock().unwrap_or_else(std::sync::PoisonError::into_inner).get(digest).cloned()
    }

    /// A document: from the store, from what is on its way, or from the source, from where it is taken in. None if nobody has it.
    fn document(&self, source: &dyn Source, descriptor: &Descriptor) -> Result<Option<Vec<u8>>> {
        self.lease.pin(What::Blob, &descriptor.digest)?;
        if self.store().has_blob(&descriptor.digest) {
            return self.store().document(descriptor).map(Some);
        }
        if let Some(path) = self.pending(&descriptor.digest) {
            return document(File::open(&path).attempt(|| format!("open {path:?}"))?, descriptor).map(Some);
        }
        let Some(stream) = source.blob(descriptor)? else { return Ok(None) };
        let bytes = document(stream, descriptor)?;
        self.keep(descriptor, &bytes)?;
        Ok(Some(bytes))
    }

    /// Takes in an image or all images of an index that the source has, and remembers the name for it.
    pub fn image(&mut self, source: &dyn Source, entry: &Descriptor, names: &[Reference]) -> Result<()> {
        let mut wanted = vec![(entry.clone(), 0)];
        let mut found = 0;
        while let Some((descriptor, depth)) = wanted.pop() {
            ensure!(depth < 8, "the index {} has indexes in indexes without end", entry.digest);
            let what = || format!("manifest {}", descriptor.digest);
            let Some(bytes) = self.document(source, &descriptor).with_context(what)? else {
                // An index may have images of other platforms that were not taken along.
                ensure!(depth > 0, "the manifest {} is missing", descriptor.digest);
                continue;
            };
            match Document::parse(&bytes, &descriptor.media_type).with_context(what)? {
                Document::Index(index) => wanted.extend(index.manifests.into_iter().map(|below| (below, depth + 1))),
                Document::Manifest(manifest) => {
                    self.manifest(source, &manifest).with_context(|| format!("image {}", manifest.config.digest))?;
                    found += 1;
                }
            }
        }
        ensure!(found > 0, "the index {} has no image that is there", entry.digest);
        let named = names.iter().map(|name| (entry.clone(), Some(name.clone())));
        self.entries.extend(named);
        if names.is_empty() {
            self.entries.push((entry.clone(), None));
        }
        Ok(())
    }

    /// Takes in what a manifest leads to.
    fn manifest(&mut self, source: &dyn Source, manifest: &Manifest) -> Result<()> {
        let config = self.document(source, &manifest.config).context("the configuration")?;
        let config = config.context("the configuration is missing")?;
        let diff_ids = if manifest.is_image() { Config::parse(&config)?.rootfs.diff_ids } else { Vec::new() };
        if manifest.is_image() {
            let (layers, ids) = (manifest.layers.len(), diff_ids.len());
            ensure!(layers == ids, "the manifest has {layers} layers, and the configuration {ids}");
        }
        let chain = chain(&diff_ids);
        for layer in &manifest.layers {
            self.lease.pin(What::Blob, &layer.digest)?;
        }
        for chain_id in &chain {
            self.lease.pin(What::Layer, chain_id)?;
        }
        self.lock(manifest.layers.iter().map(|layer| &layer.digest))?;
        let unpacked = self.layers_of(source, manifest, &diff_ids, &chain)?;
        self.put_on_each_other(source, manifest, &diff_ids, &chain, unpacked)
    }

    /// Waits for everybody who is bringing in one of these blobs that are missing.
    fn lock<'d>(&mut self, digests: impl Iterator<Item = &'d Digest>) -> Result<()> {
        // Sorted, so that nobody waits for somebody who waits for him; locks of an earlier image are held already, so these are
        // given back first.
        let mut missing: Vec<&Digest> = digests.filter(|digest| !self.has(digest)).collect();
        missing.sort();
        missing.dedup();
        if !missing.is_empty() {
            self.locks.clear();
        }
        for digest in missing {
            self.locks.push(self.store().lock_blob(digest)?);
        }
        Ok(())
    }

    /// Brings in all layers at once, each one in one pass.
    fn layers_of(
        &self,
        source: &dyn Source,
        manifest: &Manifest,
        diff_ids: &[Digest],
        chain: &[Digest],
    ) -> Result<Vec<Option<Unpacked>>> {
        let count = manifest.layers.len();
        let (next, failed) = (AtomicUsize::new(0), AtomicBool::new(false));
        // The first refusal is what is told: the others were given up for it.
        let refused: Mutex<Option<anyhow::Error>> = Mutex::default();
        let work = || {
            let mut done = Vec::new();
            loop {
                let index = next.fetch_add(1, Ordering::Relaxed);
                if index >= count || failed.load(Ordering::Relaxed) {
                    return done;
                }
                let layer = &manifest.layers[index];
                // The same blob twice is brought in once, and unpacked for each place.
                let first = manifest.layers[..index].iter().all(|other| other.digest != layer.digest);
                let wanted = chain.get(index).filter(|chain_id| !self.is_unpacked(chain_id));
                let wanted = wanted.map(|_| &diff_ids[index]).filter(|_| first);
                let result = self.layer(source, layer, wanted, None);
                match result.with_context(|| format!("layer {}", layer.digest)) {
                    Ok(unpacked) => done.push((index, unpacked)),
                    Err(error) => {
                        failed.store(true, Ordering::Relaxed);
                        refused.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(error);
                        source.give_up(true);
                        return done;
                    }
                }
            }
        };
        let mut all: Vec<Option<Unpacked>> = (0..count).map(|_| None).collect();
        std::thread::scope(|scope| {
            let workers: Vec<_> = (0..PARALLEL.min(count)).map(|_| scope.spawn(work)).collect();
            let joined: Vec<_> = workers.into_iter().map(std::thread::ScopedJoinHandle::join).collect();
            for worker in joined {
                let Ok(done) = worker else { bail!("a thread panicked") };
                done.into_iter().for_each(|(index, unpacked)| all[index] = unpacked);
            }
            Ok(())
        })?;
        source.give_up(false);
        refused.into_inner().unwrap_or_else(PoisonError::into_inner).map_or(Ok(all), Err)
    }

    fn is_unpacked(&self, chain_id: &Digest) -> bool {
        self.store().has_layer(chain_id) || self.layers.iter().any(|(ready, _)| ready == chain_id)
    }

    /// Brings in one blob, if it is missing, and unpacks it, if that is wanted.
    fn layer(
        &self,
        source: &dyn Source,
        layer: &Descriptor,
        diff_id: Option<&Digest>,
        below: Option<&Stack>,
    ) -> Result<Option<Unpacked>> {
        let missing = !self.has(&layer.digest);
        if !missing && diff_id.is_none() {
            return Ok(None);
        }
        let stream: Box<dyn Read + Send + '_> = match self.pending(&layer.digest) {
            Some(path) => Box::new(File::open(&path).attempt(|| format!("open {path:?}"))?),
            None if !missing => Box::new(self.store().blob(&layer.digest)?),
            None => source.blob(layer)?.context("the blob is missing")?,
        };
        let kept = missing.then(|| self.lease.fresh("blob"));
        let keep = match &kept {
            Some(path) => Some(File::create_new(path).attempt(|| format!("create {path:?}"))?),
            None => None,
        };
        let directory = diff_id.map(|_| self.fresh_layer()).transpose()?;
        let target = match (&directory, diff_id) {
            (Some(directory), Some(diff_id)) => {
                let root = layers::open_tree(directory)?;
                Some(Target { root, form: self.store().form(), below, diff_id })
            }
            _ => None,
        };
        let outcome = pipeline::run(stream, layer, keep.as_ref(), target)?;
        if let Some(path) = kept {
            self.adopt(&layer.digest, path);
        }
        Ok(directory.zip(outcome).map(|(directory, outcome)| Unpacked { directory, outcome }))
    }

    fn fresh_layer(&self) -> Result<PathBuf> {
        let directory = self.lease.fresh("layer");
        let made = fs::DirBuilder::new().recursive(true).mode(0o755).create(directory.join(TREE));
        made.attempt(|| format!("make the directory {directory:?}"))?;
        Ok(directory)
    }

    /// From the lowest up: what could not be known of a layer by itself, and its record.
    fn put_on_each_other(
        &mut self,
        source: &dyn Source,
        manifest: &Manifest,
        diff_ids: &[Digest],
        chain: &[Digest],
        unpacked: Vec<Option<Unpacked>>,
    ) -> Result<()> {
        let form = self.store().form();
        let mut below = Stack::new(form);
        for (index, mut unpacked) in unpacked.into_iter().enumerate().take(chain.len()) {
            let (chain_id, diff_id, layer) = (&chain[index], &diff_ids[index], &manifest.layers[index]);
            if let Some((_, ready)) = self.layers.iter().find(|(ready, _)| ready == chain_id) {
                below.push(layers::open_tree(ready)?);
                continue;
            }
            if self.store().has_layer(chain_id) {
                below.push(self.store().tree(chain_id)?);
                continue;
            }
            let what = || format!("layer {}", layer.digest);
            if unpacked.is_none() {
                unpacked = self.layer(source, layer, Some(diff_id), None).with_context(what)?;
            }
            let mut done = unpacked.with_context(|| format!("layer {} was not unpacked", layer.digest))?;
            if finish(&done.outcome, layers::open_tree(&done.directory)?, &below, form).with_context(what)?.is_some() {
                let again = self.layer(source, layer, Some(diff_id), Some(&below)).with_context(what)?;
                done = again.with_context(|| format!("layer {} was not unpacked again", layer.digest))?;
                let why =
                    finish(&done.outcome, layers::open_tree(&done.directory)?, &below, form).with_context(what)?;
                ensure!(why.is_none(), "layer {}: {}", layer.digest, why.unwrap_or_default());
            }
            self.warnings.append(&mut done.outcome.warnings);
            let parent = index.checked_sub(1).map(|below| chain[below].clone());
            let record = Record { diff_id: diff_id.clone(), parent, size: done.outcome.size };
            let path = done.directory.join(RECORD);
            let text = serde_json::to_vec(&record).context("write the layer's record as JSON")?;
            fs::write(&path, text).attempt(|| format!("write {path:?}"))?;
            below.push(layers::open_tree(&done.directory)?);
            self.layers.push((chain_id.clone(), done.directory));
        }
        Ok(())
    }

    /// Puts everything onto the disk, in its place, and into the table, in this order.
    pub fn commit(mut self) -> Result<Warnings> {
        let store = self.store();
        rustix::fs::syncfs(store.directory()?).attempt(|| format!("sync the file system of {:?}", store.root()))?;
        let blobs = std::mem::take(&mut *self.blobs.lock().unwrap_or_else(std::sync::PoisonError::into_inner));
        let blobs = blobs.iter().map(|(digest, path)| (path, store.blob_path(digest)));
        let layers = self.layers.iter().map(|(chain_id, path)| (path, store.layer_path(chain_id)));
        let mut directories = std::collections::BTreeSet::new();
        for (from, to) in blobs.chain(layers) {
            match fs::rename(from, &to) {
                // Somebody else unpacked the same content from another blob.
                Err(error) if matches!(error.raw_os_error(), Some(libc::ENOTEMPTY | libc::EEXIST)) => {}
                done => done.attempt(|| format!("move {from:?} to {to:?}"))?,
            }
            directories.extend(to.parent().map(PathBuf::from));
        }
        for directory in &directories {
            file::sync_directory(directory)?;
        }
        store.change(|table| {
            for (entry, name) in &self.entries {
                table.add(entry, name.as_ref());
            }
            Ok(())
        })?;
        Ok(std::mem::take(&mut self.warnings))
    }
}

/// The media type of a layer in the family of a configuration.
pub fn layer_type(config: &str, suffix: &str) -> String {
    match (config, suffix) {
        (media_type::DOCKER_CONFIG, "") => media_type::DOCKER_LAYER.to_owned(),
        (media_type::DOCKER_CONFIG, suffix) => format!("{}.{suffix}", media_type::DOCKER_LAYER),
        (_, "") => media_type::OCI_LAYER.to_owned(),
        (_, suffix) => format!("{}+{suffix}", media_type::OCI_LAYER),
    }
}
