//! An image of the store into a registry.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

use anyhow::{Context, Result, bail};

use super::progress::{Event, Progress};
use super::repository::Repository;
use super::upload::{Blob, Sent, Uploaded};
use crate::error::Attempt;
use crate::image::config::{Config, chain};
use crate::image::digest::{Digest, Hashed};
use crate::image::layer::compression::Compression;
use crate::image::layer::gzip;
use crate::image::manifest::{Descriptor, Document, Manifest};
use crate::image::media_type;
use crate::image::platform::Platform;
use crate::image::reference::Reference;
use crate::image::store::Store;
use crate::image::store::intake::layer_type;
use crate::image::store::lease::{Lease, What};
use crate::image::store::table::{Image, name_of};

/// Layers that are sent at the same time.
const PARALLEL: usize = 4;

/// What was pushed.
#[derive(Debug)]
pub struct Pushed {
    /// What the tag names now.
    pub digest: Digest,
    /// The bytes of that document.
    pub size: u64,
    /// The index that was not pushed as a whole, because the store has only a part of it.
    pub part_of: Option<Digest>,
}

/// A push on its way.
struct Push<'p> {
    repository: &'p Repository<'p>,
    store: &'p Store,
    lease: Lease<'p>,
    /// Where the registry has blobs already.
    elsewhere: BTreeMap<Digest, Vec<String>>,
    progress: &'p dyn Progress,
}

/// A layer that is to be sent.
struct Planned {
    descriptor: Descriptor,
    /// What it is called for a person.
    name: Digest,
    /// Where it is unpacked, if it may be compressed.
    chain_id: Option<Digest>,
}

/// A blob as it is sent.
struct Ready {
    descriptor: Descriptor,
    path: PathBuf,
}

/// Pushes the image of a name; all platforms of it, if the store has them and none is asked for.
pub fn push(
    repository: &Repository<'_>,
    store: &Store,
    reference: &Reference,
    platform: Option<&Platform>,
    progress: &dyn Progress,
) -> Result<Pushed> {
    let lease = Lease::new(store)?;
    let image = store.resolve(&reference.to_string(), platform)?;
    let elsewhere = elsewhere(store, reference)?;
    let push = Push { repository, store, lease, elsewhere, progress };
    let tag = reference.tag().map_or_else(|| image.entry.digest.to_string(), str::to_owned);
    let is_index = image.entry.digest != image.descriptor.digest;
    if is_index && platform.is_none() && push.is_whole(&image.entry)? {
        push.documents(&image.entry)?;
        let bytes = store.document(&image.entry)?;
        push.manifest(&tag, &image.entry.media_type, &bytes)?;
        return Ok(Pushed { digest: image.entry.digest, size: bytes.len() as u64, part_of: None });
    }
    let (media_type, bytes) = push.image(&image)?;
    push.manifest(&tag, &media_type, &bytes)?;
    let part_of = Some(image.entry.digest).filter(|_| is_index);
    Ok(Pushed { digest: Digest::of(&bytes), size: bytes.len() as u64, part_of })
}

/// Repositories of the same registry that have blobs of the store, as far as names tell.
fn elsewhere(store: &Store, reference: &Reference) -> Result<BTreeMap<Digest, Vec<String>>> {
    let mut found: BTreeMap<Digest, Vec<String>> = BTreeMap::new();
    for entry in store.table()?.entries() {
        let Some(name) = name_of(entry) else { continue };
        if name.domain() != reference.domain() || name.path() == reference.path() {
            continue;
        }
        // What can't be read is none to mount from.
        for (_, manifest) in store.manifests(entry).unwrap_or_default() {
            // A configuration is sent sooner than it is asked for.
            for blob in &manifest.layers {
                let paths = found.entry(blob.digest.clone()).or_default();
                if !paths.iter().any(|path| path == name.path()) {
                    paths.push(name.path().to_owned());
                }
            }
        }
    }
    Ok(found)
}

impl Push<'_> {
    /// Whether all that an index leads to is in the store.
    fn is_whole(&self, entry: &Descriptor) -> Result<bool> {
        let mut wanted = vec![entry.clone()];
        while let Some(descriptor) = wanted.pop() {
            self.lease.pin(What::Blob, &descriptor.digest)?;
            if !self.store.has_blob(&descriptor.digest) {
                return Ok(false);
            }
            match Document::parse(&self.store.document(&descriptor)?, &descriptor.media_type)? {
                Document::Index(index) => wanted.extend(index.manifests),
                Document::Manifest(manifest) => {
                    let mut blobs = manifest.layers.iter().filter(|layer| is_sent(layer)).chain([&manifest.config]);
                    if !blobs.all(|blob| self.store.has_blob(&blob.digest)) {
                        return Ok(false);
                    }
                }
            }
        }
        Ok(true)
    }

    /// Sends all that an index leads to, as it is, each before what names it.
    fn documents(&self, entry: &Descriptor) -> Result<()> {
        let Document::Index(index) = Document::parse(&self.store.document(entry)?, &entry.media_type)? else {
            bail!("{} is no index", entry.digest);
        };
        for descriptor in &index.manifests {
            let bytes = self.store.document(descriptor)?;
            match Document::parse(&bytes, &descriptor.media_type)? {
                Document::Index(_) => self.documents(descriptor)?,
                Document::Manifest(manifest) => {
                    self.blobs(&manifest, false)?;
                }
            }
            self.manifest(&descriptor.digest.to_string(), &descriptor.media_type, &bytes)?;
        }
        Ok(())
    }

    /// Sends one image; its manifest, which is another one if layers had to be compressed.
    fn image(&self, image: &Image) -> Result<(String, Vec<u8>)> {
        let bytes = self.store.document(&image.descriptor)?;
        let layers = self.blobs(&image.manifest, image.manifest.is_image())?;
        let media_type = image.descriptor.media_type.clone();
        if layers.iter().map(|layer| &layer.digest).eq(image.manifest.layers.iter().map(|layer| &layer.digest)) {
            return Ok((media_type, bytes));
        }
        // All else stays as it is.
        let mut manifest: serde_json::Value = serde_json::from_slice(&bytes)?;
        manifest["layers"] = serde_json::to_value(layers)?;
        Ok((media_type, serde_json::to_vec(&manifest)?))
    }

    /// Sends what a manifest leads to; the layers as they are there.
    fn blobs(&self, manifest: &Manifest, compress: bool) -> Result<Vec<Descriptor>> {
        for blob in manifest.layers.iter().chain([&manifest.config]) {
            self.lease.pin(What::Blob, &blob.digest)?;
        }
        let layers = self.planned(manifest, compress)?;
        for layer in &layers {
            self.progress.layer(&layer.name, Event::Waiting(layer.descriptor.size));
        }
        let sent = self.layers(&layers)?;
        let what = || format!("the configuration {}", manifest.config.digest);
        let config = Ready { path: self.store.blob_path(&manifest.config.digest), descriptor: manifest.config.clone() };
        self.upload(&config, &|_| {}).with_context(what)?;
        Ok(sent)
    }

    fn planned(&self, manifest: &Manifest, compress: bool) -> Result<Vec<Planned>> {
        let ids = if manifest.is_image() {
            Config::parse(&self.store.document(&manifest.config)?)?.rootfs.diff_ids
        } else {
            Vec::new()
        };
        let chain = chain(&ids);
        let is_image = ids.len() == manifest.layers.len();
        let planned = |(index, layer): (usize, &Descriptor)| {
            let chain_id = chain.get(index).filter(|_| is_image && compress).cloned();
            // As docker names layers here: by their content, whatever they are compressed to.
            let name = ids.get(index).filter(|_| is_image).unwrap_or(&layer.digest).clone();
            Planned { descriptor: layer.clone(), name, chain_id }
        };
        Ok(manifest.layers.iter().enumerate().map(planned).collect())
    }

    /// Sends the layers, several at a time.
    fn layers(&self, layers: &[Planned]) -> Result<Vec<Descriptor>> {
        let (next, failed) = (AtomicUsize::new(0), AtomicBool::new(false));
        let done: Mutex<Vec<Option<Descriptor>>> = Mutex::new(vec![None; layers.len()]);
        let patience = &self.repository.client.transport.patience;
        // The first refusal is what is told: the others were given up for it.
        let refused: Mutex<Option<anyhow::Error>> = Mutex::default();
        let work = || {
            while !failed.load(Ordering::Relaxed) {
                let index = next.fetch_add(1, Ordering::Relaxed);
                let Some(layer) = layers.get(index) else { break };
                match self.layer(layer).with_context(|| format!("layer {}", layer.descriptor.digest)) {
                    Ok(sent) => done.lock().unwrap_or_else(PoisonError::into_inner)[index] = Some(sent),
                    Err(error) => {
                        failed.store(true, Ordering::Relaxed);
                        refused.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(error);
                        patience.give_up(true);
                    }
                }
            }
        };
        std::thread::scope(|scope| {
            let workers: Vec<_> = (0..PARALLEL.min(layers.len())).map(|_| scope.spawn(work)).collect();
            let joined: Vec<_> = workers.into_iter().map(std::thread::ScopedJoinHandle::join).collect();
            if joined.iter().any(std::result::Result::is_err) {
                bail!("a thread panicked");
            }
            Ok(())
        })?;
        patience.give_up(false);
        if let Some(error) = refused.into_inner().unwrap_or_else(PoisonError::into_inner) {
            return Err(error);
        }
        let done = done.into_inner().unwrap_or_else(PoisonError::into_inner);
        done.into_iter().collect::<Option<Vec<_>>>().context("every layer was sent")
    }

    fn layer(&self, layer: &Planned) -> Result<Descriptor> {
        let (descriptor, name) = (&layer.descriptor, &layer.name);
        if !is_sent(descriptor) {
            self.progress.layer(name, Event::Exists);
            return Ok(descriptor.clone());
        }
        let path = self.store.blob_path(&descriptor.digest);
        let ready = match &layer.chain_id {
            Some(chain_id) if media_type::is_layer(&descriptor.media_type) && !is_compressed(&path)? => {
                let before = self.store.compressed(chain_id);
                if let Some(before) = before.filter(|before| self.repository.has_blob(before, true).unwrap_or(false)) {
                    self.progress.layer(name, Event::Exists);
                    return Ok(before);
                }
                self.progress.layer(name, Event::Compressing);
                let ready = self.compressed(descriptor, &path)?;
                self.store.remember_compressed(chain_id, &ready.descriptor)?;
                ready
            }
            _ => Ready { descriptor: descriptor.clone(), path },
        };
        self.progress.layer(name, Event::Waiting(ready.descriptor.size));
        let uploaded = self.upload(&ready, &|sent| {
            let event = match sent {
                Sent::More(count) => Event::Transferred(count),
                Sent::From(at) => Event::At(at),
            };
            self.progress.layer(name, event);
        })?;
        let event = match &uploaded {
            Uploaded::Existed => Event::Exists,
            Uploaded::Mounted(from) => Event::Mounted(from),
            Uploaded::Sent => Event::Pushed,
        };
        self.progress.layer(name, event);
        Ok(ready.descriptor)
    }

    fn upload(&self, ready: &Ready, sent: &dyn Fn(Sent)) -> Result<Uploaded> {
        let open = || File::open(&ready.path).attempt(|| format!("open {:?}", ready.path));
        let elsewhere = self.elsewhere.get(&ready.descriptor.digest).map(Vec::as_slice).unwrap_or_default();
        self.repository.upload(&Blob { descriptor: &ready.descriptor, open: &open, elsewhere, sent })
    }

    /// The same layer, compressed by all processors.
    fn compressed(&self, layer: &Descriptor, path: &PathBuf) -> Result<Ready> {
        let what = || "compress the layer";
        let target = self.lease.fresh("blob");
        let file = File::create_new(&target).attempt(|| format!("create {target:?}"))?;
        let output = Hashed::new(BufWriter::with_capacity(128 << 10, file));
        let mut encoder = gzip::Encoder::new(output).attempt(what)?;
        let mut input = File::open(path).attempt(|| format!("open {path:?}"))?;
        std::io::copy(&mut input, &mut encoder).attempt(what)?;
        let (mut output, digest, size) = encoder.finish().attempt(what)?.finish();
        output.flush().attempt(what)?;
        let docker = layer.media_type.starts_with(media_type::DOCKER_LAYER);
        let family = if docker { media_type::DOCKER_CONFIG } else { media_type::OCI_CONFIG };
        let descriptor = Descriptor { media_type: layer_type(family, "gzip"), digest, size, ..layer.clone() };
        Ok(Ready { descriptor, path: target })
    }

    fn manifest(&self, reference: &str, media_type: &str, bytes: &[u8]) -> Result<()> {
        let what = || format!("manifest {reference}");
        let keeps = self.repository.put_manifest(reference, media_type, bytes).with_context(what)?;
        let Document::Manifest(Manifest { subject: Some(subject), .. }) = Document::parse(bytes, media_type)? else {
            return Ok(());
        };
        if !keeps {
            self.repository
                .refer(&subject.digest, media_type, bytes)
                .with_context(|| format!("the referrers of {}", subject.digest))?;
        }
        Ok(())
    }
}

/// What may not be passed on isn't: it is fetched from where it always is.
pub(super) fn is_sent(layer: &Descriptor) -> bool {
    !layer.media_type.contains("nondistributable") && !layer.media_type.contains(".foreign.")
}

fn is_compressed(path: &PathBuf) -> Result<bool> {
    let mut start = Vec::with_capacity(6);
    let file = File::open(path).attempt(|| format!("open {path:?}"))?;
    std::io::Read::read_to_end(&mut std::io::Read::take(file, 6), &mut start).attempt(|| format!("read {path:?}"))?;
    Ok(Compression::of(&start)? != Compression::None)
}
