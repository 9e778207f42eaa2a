//! An image from a registry into the store.

use std::collections::BTreeMap;
use std::io::{self, Read};

use anyhow::{Context, Result, anyhow, bail, ensure};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::client::Client;
use super::progress::{Counted, Event, Progress};
use super::repository::Repository;
use crate::image::config::Config;
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

/// Which images of an index are wanted.
#[derive(Debug, Clone, Copy)]
pub enum Wanted<'w> {
    /// The best for a platform, or for this machine.
    One(Option<&'w Platform>),
    /// All there are.
    All,
}

/// What a name leads to in a registry, with all documents.
struct Remote<'c, 'p> {
    /// The places that it can be read from; the first one had its manifest.
    sources: Vec<Repository<'c>>,
    entry: Descriptor,
    images: Vec<Image>,
    documents: BTreeMap<Digest, Vec<u8>>,
    progress: &'p dyn Progress,
}

/// One image of it.
struct Image {
    manifest: Manifest,
    /// None of an artifact.
    config: Option<Config>,
}

/// Pulls an image, or all of an index.
pub fn pull(
    client: &Client,
    store: &Store,
    reference: &Reference,
    wanted: Wanted<'_>,
    progress: &dyn Progress,
) -> Result<Pulled> {
    let remote = Remote::find(client, store, reference, wanted, progress)?;
    let name = match reference.digest() {
        Some(digest) => reference.with_digest(digest),
        None => reference.clone().or_latest(),
    };
    let own = remote.own().context("there is no image")?;
    let platform = own.config.as_ref().map(Config::platform);
    if let (Wanted::One(Some(wanted)), Some(platform)) = (wanted, &platform) {
        fits(reference, platform, wanted)?;
    }
    let mut intake = Intake::new(store)?;
    let was_there = remote.announce(store);
    let was_named = store.table()?.entries().iter().any(|entry| {
        entry.digest == remote.entry.digest && crate::image::store::table::name_of(entry).as_ref() == Some(&name)
    });
    let brought = intake.image(&remote, &remote.entry, std::slice::from_ref(&name));
    match remote.sources.first().filter(|first| first.is_mirror()) {
        Some(mirror) => brought.with_context(|| format!("from the mirror {}", mirror.host()))?,
        None => brought?,
    }
    let warnings = intake.commit()?;
    for layer in remote.layers() {
        progress.layer(&layer.digest, Event::Pulled);
    }
    let (id, digest) = (own.manifest.config.digest.clone(), remote.entry.digest.clone());
    Ok(Pulled { id, digest, name, platform, is_new: !(was_there && was_named), warnings })
}

/// An image for another machine is one only by mistake, if somebody asked for a platform.
fn fits(reference: &Reference, own: &Platform, wanted: &Platform) -> Result<()> {
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
        wanted: Wanted<'_>,
        progress: &'p dyn Progress,
    ) -> Result<Remote<'c, 'p>> {
        let sources = client.sources(reference)?;
        let mut failed: Vec<anyhow::Error> = Vec::new();
        for at in 0..sources.len() {
            let mut ordered = sources.clone();
            ordered[..=at].rotate_right(1);
            match Remote::read(ordered, store, reference, wanted, progress) {
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
        wanted: Wanted<'_>,
        progress: &'p dyn Progress,
    ) -> Result<Remote<'c, 'p>> {
        let asked = reference.digest().map(ToString::to_string);
        let asked = asked.unwrap_or_else(|| reference.tag().unwrap_or(LATEST).to_owned());
        let (entry, bytes) = sources[0].manifest(&asked)?;
        let documents = BTreeMap::from([(entry.digest.clone(), bytes)]);
        let mut remote = Remote { sources, entry: entry.clone(), images: Vec::new(), documents, progress };
        let mut below = vec![(entry, 0)];
        while let Some((descriptor, depth)) = below.pop() {
            ensure!(depth < 8, "the index {} has indexes in indexes without end", remote.entry.digest);
            let what = || format!("manifest {}", descriptor.digest);
            let bytes = remote.document(store, &descriptor, true).with_context(what)?;
            match Document::parse(&bytes, &descriptor.media_type).with_context(what)? {
                Document::Manifest(manifest) => remote.add(store, manifest)?,
                Document::Index(index) => {
                    let children = match wanted {
                        Wanted::One(platform) => vec![chosen(&index, platform).with_context(what)?],
                        Wanted::All => index.manifests,
                    };
                    // The last is taken first.
                    below.extend(children.into_iter().rev().map(|child| (child, depth + 1)));
                }
            }
        }
        Ok(remote)
    }

    fn add(&mut self, store: &Store, manifest: Manifest) -> Result<()> {
        let what = || format!("image {}", manifest.config.digest);
        let bytes = self.document(store, &manifest.config, false).with_context(what)?;
        let config = manifest.is_image().then(|| Config::parse(&bytes)).transpose().with_context(what)?;
        self.images.push(Image { manifest, config });
        Ok(())
    }

    /// A document that was read before, or that the store has, or else the registry's.
    fn document(&mut self, store: &Store, descriptor: &Descriptor, is_manifest: bool) -> Result<Vec<u8>> {
        if let Some(known) = self.documents.get(&descriptor.digest) {
            return Ok(known.clone());
        }
        // What can't be read in the store is fetched.
        let kept = store.has_blob(&descriptor.digest).then(|| store.document(descriptor).ok()).flatten();
        let bytes = match kept {
            Some(bytes) => bytes,
            None if is_manifest => self.sources[0].manifest(&descriptor.digest.to_string())?.1,
            None => document(self.open(descriptor)?, descriptor)?,
        };
        descriptor.verify(&bytes)?;
        self.documents.insert(descriptor.digest.clone(), bytes.clone());
        Ok(bytes)
    }

    /// The image that is best here, or the first.
    fn own(&self) -> Option<&Image> {
        let distance = |image: &&Image| {
            let platform = image.config.as_ref().map(Config::platform);
            platform.and_then(|platform| Platform::host().distance(&platform)).unwrap_or(usize::MAX)
        };
        self.images.iter().min_by_key(distance)
    }

    fn layers(&self) -> impl Iterator<Item = &Descriptor> {
        self.images.iter().flat_map(|image| &image.manifest.layers)
    }

    /// Says what will happen to each layer; whether nothing will.
    fn announce(&self, store: &Store) -> bool {
        let mut all = true;
        for image in &self.images {
            all &= store.has_blob(&image.manifest.config.digest);
            let chain = image.config.as_ref().map(Config::chain).unwrap_or_default();
            for (index, layer) in image.manifest.layers.iter().enumerate() {
                let is_unpacked = chain.get(index).is_none_or(|chain_id| store.has_layer(chain_id));
                let exists = is_unpacked && store.has_blob(&layer.digest);
                all &= exists;
                let event = if exists { Event::Exists } else { Event::Waiting(layer.size) };
                self.progress.layer(&layer.digest, event);
            }
        }
        all
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
        // What no image names that is wanted is one of the index that isn't.
        if !self.layers().any(|layer| layer.digest == descriptor.digest) {
            return Ok(None);
        }
        let stream = self.open(descriptor)?;
        let layer = descriptor.clone();
        Ok(Some(Box::new(Counted { stream, layer, progress: self.progress })))
    }

    fn give_up(&self, given_up: bool) {
        self.sources.iter().for_each(|source| source.client.transport.patience.give_up(given_up));
    }
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
