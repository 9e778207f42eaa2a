//! The table of images: `index.json`.
//!
//! An entry is a manifest or index, with the image's name as an annotation; an image of several names has several entries, and one
//! that lost its last name has one without.

use anyhow::{Context, Result, bail, ensure};
use rustix::fs::FlockOperation;

use super::{Store, file};
use crate::image::config::Config;
use crate::image::digest::Digest;
use crate::image::manifest::{Descriptor, Document, IMAGE_NAME, Index, Manifest, REF_NAME, choose};
use crate::image::platform::Platform;
use crate::image::reference::{Reference, is_hash};

/// The table.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Table(Index);

/// An image for one platform, read from the store.
#[derive(Debug, Clone)]
pub struct Image {
    /// The digest of the configuration, which is the image's id.
    pub id: Digest,
    /// The entry of the table that led here.
    pub entry: Descriptor,
    /// The image's manifest; the entry itself or one of its index.
    pub descriptor: Descriptor,
    /// The manifest, read.
    pub manifest: Manifest,
    /// The configuration.
    pub config: Config,
    /// All names.
    pub names: Vec<Reference>,
}

impl Table {
    /// All entries.
    pub fn entries(&self) -> &[Descriptor] {
        &self.0.manifests
    }

    /// Gives a name to an image, or enters it without one.
    pub fn add(&mut self, target: &Descriptor, name: Option<&Reference>) {
        let Some(name) = name else {
            if !self.0.manifests.iter().any(|entry| entry.digest == target.digest) {
                self.0.manifests.push(entry(target, None));
            }
            return;
        };
        if let Some(at) = self.position(name) {
            let old = self.0.manifests.remove(at);
            if old.digest != target.digest {
                // docker keeps what lost its name, as an image of none.
                self.add(&old, None);
            }
        }
        self.0.manifests.retain(|entry| entry.digest != target.digest || name_of(entry).is_some());
        self.0.manifests.push(entry(target, Some(name)));
    }

    /// Takes a name away; says what had it.
    pub fn remove(&mut self, name: &Reference) -> Option<Descriptor> {
        self.position(name).map(|at| self.0.manifests.remove(at))
    }

    /// Removes all entries of an image.
    pub fn forget(&mut self, digest: &Digest) {
        self.0.manifests.retain(|entry| entry.digest != *digest);
    }

    fn position(&self, name: &Reference) -> Option<usize> {
        self.0.manifests.iter().position(|entry| name_of(entry).as_ref() == Some(name))
    }
}

fn entry(target: &Descriptor, name: Option<&Reference>) -> Descriptor {
    let mut entry = target.clone();
    entry.annotations.remove(IMAGE_NAME);
    entry.annotations.remove(REF_NAME);
    if let Some(name) = name {
        entry.annotations.insert(IMAGE_NAME.into(), name.to_string());
        // Other tools find it by this one.
        entry.annotations.insert(REF_NAME.into(), name.to_string());
    }
    entry
}

/// The name that an entry gives.
pub fn name_of(entry: &Descriptor) -> Option<Reference> {
    entry.annotations.get(IMAGE_NAME)?.parse().ok()
}

impl Store {
    /// Reads the table.
    pub fn table(&self) -> Result<Table> {
        let mut text = String::new();
        self.read_to_string("index.json", &mut text)?;
        let index =
            serde_json::from_str(&text).with_context(|| format!("{:?} can't be read", self.path("index.json")))?;
        Ok(Table(index))
    }

    pub(super) fn write_table(&self, table: &Table) -> Result<()> {
        let text = serde_json::to_vec(&table.0).context("write the table of images as JSON")?;
        file::write_whole(self.root(), "index.json", &text)
    }

    /// Changes the table, alone.
    pub fn change<T>(&self, change: impl FnOnce(&mut Table) -> Result<T>) -> Result<T> {
        let _alone = self.lock(FlockOperation::LockExclusive)?;
        let before = self.table()?;
        let mut table = before.clone();
        let result = change(&mut table)?;
        if table != before {
            self.write_table(&table)?;
        }
        Ok(result)
    }

    /// The manifests of an entry that are in the store, with their descriptors; an index may have others.
    pub fn manifests(&self, entry: &Descriptor) -> Result<Vec<(Descriptor, Manifest)>> {
        let mut found = Vec::new();
        let mut wanted = vec![(entry.clone(), 0)];
        while let Some((descriptor, depth)) = wanted.pop() {
            ensure!(depth < 8, "the index {} has indexes in indexes without end", entry.digest);
            if depth > 0 && !self.has_blob(&descriptor.digest) {
                continue;
            }
            match Document::parse(&self.document(&descriptor)?, &descriptor.media_type)
                .with_context(|| format!("manifest {}", descriptor.digest))?
            {
                Document::Manifest(manifest) => found.push((descriptor, manifest)),
                Document::Index(index) => wanted.extend(index.manifests.into_iter().map(|below| (below, depth + 1))),
            }
        }
        Ok(found)
    }

    /// The image of an entry, for the platform that is wanted; without one, for this machine's or else the first.
    pub fn image(&self, entry: &Descriptor, platform: Option<&Platform>) -> Result<Image> {
        let manifests = self.manifests(entry)?;
        let images: Vec<&(Descriptor, Manifest)> =
            manifests.iter().filter(|(_, manifest)| self.has_blob(&manifest.config.digest)).collect();
        let all = || images.iter().map(|(descriptor, _)| descriptor).filter(|one| !is_for_nobody(one));
        let chosen = match platform {
            None => choose(all(), &Platform::host()).or_else(|| all().next()),
            Some(wanted) => choose(all(), wanted),
        };
        let platform = platform.map(ToString::to_string).unwrap_or_default();
        let chosen = chosen.with_context(|| format!("{} has no image {platform}", entry.digest))?;
        let (descriptor, manifest) =
            images.iter().find(|(descriptor, _)| descriptor == chosen).context("the chosen image is one of them")?;
        let config = if manifest.is_image() {
            Config::parse(&self.document(&manifest.config)?)
                .with_context(|| format!("image {}", manifest.config.digest))?
        } else {
            Config::default()
        };
        Ok(Image {
            id: manifest.config.digest.clone(),
            entry: entry.clone(),
            descriptor: descriptor.clone(),
            manifest: manifest.clone(),
            config,
            names: Vec::new(),
        })
    }

    /// All images of the table, each one once with all its names. What can't be read is left to `unreadable`.
    pub fn images(&self, mut unreadable: impl FnMut(anyhow::Error)) -> Result<Vec<Image>> {
        let table = self.table()?;
        let mut images: Vec<Image> = Vec::new();
        for entry in table.entries() {
            if let Some(known) = images.iter_mut().find(|image| image.entry.digest == entry.digest) {
                known.names.extend(name_of(entry));
                continue;
            }
            match self.image(entry, None) {
                Ok(image) => images.push(Image { names: name_of(entry).into_iter().collect(), ..image }),
                Err(error) => unreadable(error),
            }
        }
        Ok(images)
    }

    /// Finds an image by its name, or by its id or the beginning of it, as docker does: a name goes before an id.
    pub fn resolve(&self, text: &str, platform: Option<&Platform>) -> Result<Image> {
        let table = self.table()?;
        let entry = match named(&table, text) {
            Some(entry) => entry.clone(),
            None => self.by_id(&table, text)?.with_context(|| format!("No such image: {}", complete(text)))?,
        };
        let names = table.entries().iter().filter(|other| other.digest == entry.digest).filter_map(name_of).collect();
        Ok(Image { names, ..self.image(&entry, platform)? })
    }

    fn by_id(&self, table: &Table, text: &str) -> Result<Option<Descriptor>> {
        let digits = text.strip_prefix("sha256:").unwrap_or(text);
        if digits.is_empty() || !digits.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f')) {
            return Ok(None);
        }
        let mut found: Option<(Digest, Descriptor)> = None;
        for entry in table.entries() {
            let Ok(image) = self.image(entry, None) else { continue };
            let is = |digest: &Digest| {
                if is_hash(digits) { digest.hex() == digits } else { digest.hex().starts_with(digits) }
            };
            if !is(&image.id) && !is(&entry.digest) {
                continue;
            }
            match &found {
                Some((id, _)) if *id != image.id => bail!("several images have ids that begin with {text:?}"),
                Some(_) => {}
                None => found = Some((image.id, entry.clone())),
            }
        }
        Ok(found.map(|(_, entry)| entry))
    }
}

fn is_for_nobody(descriptor: &Descriptor) -> bool {
    descriptor.platform.as_ref().is_some_and(|platform| platform.os == "unknown")
}

fn named<'t>(table: &'t Table, text: &str) -> Option<&'t Descriptor> {
    let wanted = text.parse::<Reference>().ok()?.or_latest();
    let is = |entry: &&Descriptor| match (name_of(entry), wanted.digest()) {
        // With a digest, the name is the repository's, whatever the tag.
        (Some(name), Some(digest)) => name.name() == wanted.name() && entry.digest == *digest,
        (name, None) => name.as_ref() == Some(&wanted),
        (None, _) => false,
    };
    table.entries().iter().find(is)
}

/// The name as docker says it in its messages.
fn complete(text: &str) -> String {
    text.parse::<Reference>().map_or_else(|_| text.to_owned(), |reference| reference.or_latest().familiar())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_loses_its_last_name_stays_without_one() {
        let (one, two) = (Descriptor::of("m", b"1"), Descriptor::of("m", b"2"));
        let name = |text: &str| text.parse::<Reference>().unwrap();
        let mut table = Table::default();
        table.add(&one, None);
        table.add(&one, Some(&name("a:1")));
        table.add(&one, Some(&name("b:1")));
        let show = |table: &Table| -> Vec<(Option<String>, bool)> {
            let of = |entry: &Descriptor| (name_of(entry).map(|name| name.familiar()), entry.digest == one.digest);
            table.entries().iter().map(of).collect()
        };
        assert_eq!(show(&table), [(Some("a:1".into()), true), (Some("b:1".into()), true)]);
        table.add(&two, Some(&name("a:1")));
        assert_eq!(show(&table), [(Some("b:1".into()), true), (Some("a:1".into()), false)]);
        table.add(&two, Some(&name("b:1")));
        assert_eq!(show(&table).iter().filter(|(name, one)| name.is_none() && *one).count(), 1);
        assert!(table.remove(&name("a:1")).is_some() && table.remove(&name("a:1")).is_none());
    }
}
