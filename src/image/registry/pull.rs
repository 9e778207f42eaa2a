//! An image from a registry into the store.

use std::collections::BTreeMap;
use std::io::{self, Read};

use anyhow::{Context, Result, anyhow, bail, ensure};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::client::Client;
use super::progress::{Counted, Event, Progress};
use super::repository::Repository;
use crate::image::config::{Config, chain};
use crate::image::digest::Digest;
use crate::image::layer::attributes::Warnings;
use crate::image::manifest::{Descriptor, Document, Index, Manifest, choose};
use crate::image::platform::Platform;
use crate::image::reference::{LATEST, Reference};
use crate::image::store::intake::{Intake, Source};
use crate::image::store::{Store, document};

/// What was pulled.
#[derive(Debug)]
pub struct Pulled {
    /// The image's id: the digest of its configuration.
    pub id: Digest,
    /// What the tag names: the digest of the manifest or index.
    pub digest: Digest,
    /// The name that it has in the store.
    pub name: Reference,
    /// Whom it is for; nobody, if it is no image.
    pub platform: Option<Platform>,
    /// Whether anything changed.
    pub is_new: bool,
    /// What could not be kept.
    pub warnings: Warnings,
}

/// An image in a registry, with its documents.
struct Remote<'c, 'p> {
    /// The places that it can be read from; the first one had its manifest.
    sources: Vec<Repository<'c>>,
    entry: Descriptor,
    manifest: Manifest,
    config: Vec<u8>,
    documents: BTreeMap<Digest, Vec<u8>>,
    progress: &'p dyn Progress,
}

/// Pulls an image for a platform, or for this machine.
pub fn pull(
    client: &Client,
    store: &Store,
    reference: &Reference,
    platform: Option<&Platform>,
    progress: &dyn Progress,
) -> Result<Pulled> {
    let remote = Remote::find(client, store, reference, platform, progress)?;
    let name = match reference.digest() {
        Some(digest) => reference.with_digest(digest),
        None => reference.clone().or_latest(),
    };
    let own = if remote.manifest.is_image() {
        let config =
            Config::parse(&remote.config).with_context(|| format!("image {}", remote.manifest.config.digest))?;
        fits(reference, &config.platform(), platform)?;
        Some(config)
    } else {
        None
    };
    let diff_ids = own.as_ref().map(|config| config.rootfs.diff_ids.as_slice()).unwrap_or_default();
    let mut intake = Intake::new(store)?;
    let was_there = remote.announce(store, diff_ids);
    let was_named = store.table()?.entries().iter().any(|entry| {
        entry.digest == remote.entry.digest && crate::image::store::table::name_of(entry).as_ref() == Some(&name)
    });
    let brought = intake.image(&remote, &remote.entry, std::slice::from_ref(&name));
    match remote.sources.first().filter(|first| first.is_mirror()) {
        Some(mirror) => brought.with_context(|| format!("from the mirror {}", mirror.host()))?,
        None => brought?,
    }
    let warnings = intake.commit()?;
    for layer in &remote.manifest.layers {
        progress.layer(&layer.digest, Event::Pulled);
    }
    Ok(Pulled {
        id: remote.manifest.config.digest.clone(),
        digest: remote.entry.digest.clone(),
        name,
        platform: own.map(|config| config.platform()),
        is_new: !(was_there && was_named),
        warnings,
    })
}

/// An image for another machine is one only by mistake, if somebody asked for a platform.
fn fits(reference: &Reference, own: &Platform, wanted: Option<&Platform>) -> Result<()> {
    let Some(wanted) = wanted else { return Ok(()) };
    // A configuration need not say it.
    let says_nothing = own.os.is_empty() && own.architecture.is_empty();
    ensure!(
        says_nothing || wanted.distance(own).is_some(),
        "image with reference {} was found but its platform ({own}) does not match the specified platform ({wanted})",
        reference.familiar()
    );
    Ok(())
}

impl<'c, 'p> Remote<'c, 'p> {
    /// Looks for an image in all places, and reads its documents.
    fn find(
        client: &'c Client,
        store: &Store,
        reference: &Reference,
        platform: Option<&Platform>,
        progress: &'p dyn Progress,
    ) -> Result<Remote<'c, 'p>> {
        let sources = client.sources(reference)?;
        let mut failed: Vec<anyhow::Error> = Vec::new();
        for at in 0..sources.len() {
            let mut ordered = sources.clone();
            ordered[..=at].rotate_right(1);
            match Remote::read(ordered, store, reference, platform, progress) {
                Ok(remote) => return Ok(remote),
                Err(error) if sources[at].is_mirror() => {
                    failed.push(error.context(format!("the mirror {}", sources[at].host())));
                }
                Err(error) => failed.push(error),
            }
        }
        let last = failed.pop().context("there is at least the registry itself")?;
        let mirrors = failed.iter().map(|error| format!("{error:#}; ")).collect::<String>();
        if mirrors.is_empty() { Err(last) } else { Err(anyhow!("{mirrors}{last:#}")) }
    }

    fn read(
        sources: Vec<Repository<'c>>,
        store: &Store,
        reference: &Reference,
        platform: Option<&Platform>,
        progress: &'p dyn Progress,
    ) -> Result<Remote<'c, 'p>> {
        let asked = reference.digest().map(ToString::to_string);
        let asked = asked.unwrap_or_else(|| reference.tag().unwrap_or(LATEST).to_owned());
        let (entry, bytes) = sources[0].manifest(&asked)?;
        let mut documents = BTreeMap::from([(entry.digest.clone(), bytes.clone())]);
        let (mut descriptor, mut bytes) = (entry.clone(), bytes);
        let mut depth = 0;
        let manifest = loop {
            match Document::parse(&bytes, &descriptor.media_type)? {
                Document::Manifest(manifest) => break manifest,
                Document::Index(index) => {
                    ensure!(depth < 8, "the index {} has indexes in indexes without end", entry.digest);
                    depth += 1;
                    descriptor = chosen(&index, platform).with_context(|| format!("the index {}", entry.digest))?;
                    let child = match kept(store, &descriptor) {
                        Some(bytes) => bytes,
                        None => sources[0].manifest(&descriptor.digest.to_string())?.1,
                    };
                    descriptor.verify(&child).with_context(|| format!("manifest {}", descriptor.digest))?;
                    documents.insert(descriptor.digest.clone(), child.clone());
                    bytes = child;
                }
            }
        };
        let mut remote = Remote { sources, entry, manifest, config: Vec::new(), documents, progress };
        let config = remote.manifest.config.clone();
        let what = || format!("the configuration {}", config.digest);
        remote.config = match kept(store, &config) {
            Some(bytes) => bytes,
            None => document(remote.open(&config).with_context(what)?, &config)?,
        };
        remote.documents.insert(config.digest, remote.config.clone());
        Ok(remote)
    }

    /// Says what will happen to each layer; whether nothing will.
    fn announce(&self, store: &Store, diff_ids: &[Digest]) -> bool {
        let chain = chain(diff_ids);
        let mut all = true;
        for (index, layer) in self.manifest.layers.iter().enumerate() {
            let exists =
                store.has_blob(&layer.digest) && chain.get(index).is_none_or(|chain_id| store.has_layer(chain_id));
            all &= exists;
            let event = if exists { Event::Exists } else { Event::Waiting(layer.size) };
            self.progress.layer(&layer.digest, event);
        }
        all && store.has_blob(&self.manifest.config.digest)
    }

    /// A blob from the first place that has it.
    fn open(&self, descriptor: &Descriptor) -> Result<Box<dyn Read + Send + 'c>> {
        if let Some(data) = descriptor.rest.get("data").and_then(|data| data.as_str()) {
            let bytes = STANDARD.decode(data).with_context(|| format!("the data of {}", descriptor.digest))?;
            return Ok(Box::new(io::Cursor::new(bytes)));
        }
        let mut failed = None;
        for source in &self.sources {
            match source.blob(descriptor) {
                Ok(download) => return Ok(Box::new(download)),
                // The manifest was from the first, so that is what a person wants to hear of.
                Err(error) => failed = failed.or(Some(error)),
            }
        }
        Err(failed.context("there is at least one place")?)
    }
}

impl Source for Remote<'_, '_> {
    fn blob<'s>(&'s self, descriptor: &Descriptor) -> Result<Option<Box<dyn Read + Send + 's>>> {
        if let Some(bytes) = self.documents.get(&descriptor.digest) {
            return Ok(Some(Box::new(&bytes[..])));
        }
        // Images of the same index for other platforms.
        if crate::image::media_type::is_manifest(&descriptor.media_type)
            || crate::image::media_type::is_index(&descriptor.media_type)
        {
            return Ok(None);
        }
        let stream = self.open(descriptor)?;
        let layer = descriptor.clone();
        Ok(Some(Box::new(Counted { stream, layer, progress: self.progress })))
    }
}

/// A document that the store has; what can't be read there is fetched.
fn kept(store: &Store, descriptor: &Descriptor) -> Option<Vec<u8>> {
    store.has_blob(&descriptor.digest).then(|| store.document(descriptor).ok()).flatten()
}

/// The best image of an index, or what there is instead.
fn chosen(index: &Index, platform: Option<&Platform>) -> Result<Descriptor> {
    let wanted = platform.cloned().unwrap_or_else(Platform::host);
    if let Some(found) = choose(&index.manifests, &wanted) {
        return Ok(found.clone());
    }
    let all = index.manifests.iter().filter_map(|manifest| manifest.platform.as_ref());
    let all: Vec<String> = all.filter(|platform| platform.os != "unknown").map(ToString::to_string).collect();
    match all.len() {
        0 => bail!("no matching manifest for {wanted}: it has no image at all"),
        _ => bail!("no matching manifest for {wanted}: it has {}; --platform takes one of these", all.join(", ")),
    }
}
