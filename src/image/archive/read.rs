//! Finding the images of an archive or layout.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Read;

use anyhow::{Context, Result, bail, ensure};

use super::DockerImage;
use super::files::Files;
use crate::image::config::Config;
use crate::image::digest::{Algorithm, Digest, Hasher};
use crate::image::layer::compression::Compression;
use crate::image::manifest::{Descriptor, Document, IMAGE_NAME, Index, LARGEST_DOCUMENT, Manifest, REF_NAME};
use crate::image::media_type;
use crate::image::platform::Platform;
use crate::image::reference::Reference;
use crate::image::store::intake::{Source, layer_type};

/// Images that are in files.
#[derive(Debug)]
pub struct Archive {
    files: Files,
    /// What is called by another name than its digest.
    named: BTreeMap<Digest, String>,
    /// What was made because the archive has it not: manifests of docker's old form.
    made: BTreeMap<Digest, Vec<u8>>,
    /// Manifests of platforms that nobody wants.
    left_out: BTreeSet<Digest>,
    /// The images.
    pub images: Vec<Found>,
}

/// An image of an archive.
#[derive(Debug, Clone)]
pub struct Found {
    /// Its manifest or index.
    pub entry: Descriptor,
    /// The names that the archive gives it.
    pub names: Vec<Reference>,
}

impl Archive {
    /// Reads the tables.
    pub fn new(files: Files) -> Result<Archive> {
        let (named, made, left_out) = (BTreeMap::new(), BTreeMap::new(), BTreeSet::new());
        let mut archive = Archive { files, named, made, left_out, images: Vec::new() };
        let table = |name: &str| archive.files.read(name, LARGEST_DOCUMENT * 16);
        let (index, docker) = (table("index.json")?, table("manifest.json")?);
        let docker: Vec<DockerImage> = match &docker {
            Some(bytes) => serde_json::from_slice(bytes).context("\"manifest.json\" can't be read")?,
            None => Vec::new(),
        };
        if let Some(bytes) = index {
            let index: Index = serde_json::from_slice(&bytes).context("\"index.json\" can't be read")?;
            archive.layout(&index, &docker)?;
        } else if docker.is_empty() {
            bail!("no images: neither an OCI layout (index.json) nor an archive of docker save (manifest.json)");
        } else {
            for image in &docker {
                archive.docker_image(image).with_context(|| format!("image {:?}", image.config))?;
            }
        }
        Ok(archive)
    }

    /// Leaves some platforms of each image: of several an index that has others as well, and of one its manifest.
    pub fn only(&mut self, platforms: &[Platform]) -> Result<()> {
        let (mut images, mut kept) = (Vec::new(), BTreeSet::new());
        for image in &self.images {
            let mut chosen = Vec::new();
            for platform in platforms {
                let missing = || match image.names.first() {
                    Some(name) => format!("{} has no image for {platform}", name.familiar()),
                    None => format!("{} has no image for {platform}", image.entry.digest),
                };
                chosen.push(self.best(&image.entry, platform, 0)?.with_context(missing)?.1);
            }
            kept.extend(chosen.iter().map(|manifest| manifest.digest.clone()));
            let entry = if let [one] = &chosen[..] { one.clone() } else { image.entry.clone() };
            images.push(Found { entry, names: image.names.clone() });
        }
        let mut left_out = BTreeSet::new();
        for image in &images {
            self.manifests_below(&image.entry, 0, &mut left_out)?;
        }
        self.left_out = left_out.difference(&kept).cloned().collect();
        self.images = images;
        Ok(())
    }

    fn manifests_below(&self, entry: &Descriptor, depth: usize, found: &mut BTreeSet<Digest>) -> Result<()> {
        ensure!(depth < 8, "the index {} is in indexes without end", entry.digest);
        let Some(stream) = self.blob(entry)? else { return Ok(()) };
        let bytes = crate::image::store::document(stream, entry)?;
        match Document::parse(&bytes, &entry.media_type)? {
            Document::Manifest(_) => drop(found.insert(entry.digest.clone())),
            Document::Index(index) => {
                for below in &index.manifests {
                    self.manifests_below(below, depth + 1, found)?;
                }
            }
        }
        Ok(())
    }

    /// The manifest that an entry leads to which suits a platform best, with how well it does.
    fn best(&self, entry: &Descriptor, platform: &Platform, depth: usize) -> Result<Option<(usize, Descriptor)>> {
        ensure!(depth < 8, "the index {} is in indexes without end", entry.digest);
        let Some(stream) = self.blob(entry)? else { return Ok(None) };
        let bytes = crate::image::store::document(stream, entry)?;
        let manifest = match Document::parse(&bytes, &entry.media_type)? {
            Document::Index(index) => {
                let below = index.manifests.iter().map(|below| self.best(below, platform, depth + 1));
                let found: Vec<_> = below.collect::<Result<Vec<_>>>()?.into_iter().flatten().collect();
                return Ok(found.into_iter().min_by_key(|(distance, _)| *distance));
            }
            Document::Manifest(manifest) => manifest,
        };
        let Some(stream) = self.blob(&manifest.config)?.filter(|_| manifest.is_image()) else { return Ok(None) };
        let config = Config::parse(&crate::image::store::document(stream, &manifest.config)?)?;
        Ok(platform.distance(&config.platform()).map(|distance| (distance, entry.clone())))
    }

    fn layout(&mut self, index: &Index, docker: &[DockerImage]) -> Result<()> {
        for entry in &index.manifests {
            let mut names: Vec<Reference> = name(entry).into_iter().collect();
            // docker's new archives have both tables, and podman's names are in the second only.
            if let Some(config) = self.config_of(entry)? {
                let of_image = docker.iter().filter(|image| image.config.contains(config.hex()));
                names.extend(of_image.flat_map(tags).filter(|_| names.is_empty()).collect::<Vec<_>>());
            }
            match self.images.iter_mut().find(|image| image.entry.digest == entry.digest) {
                Some(known) => known.names.extend(names),
                None => self.images.push(Found { entry: without_name(entry), names }),
            }
        }
        ensure!(!self.images.is_empty(), "no images: \"index.json\" is empty");
        Ok(())
    }

    /// The configuration of an entry that is a manifest.
    fn config_of(&self, entry: &Descriptor) -> Result<Option<Digest>> {
        let Some(stream) = self.blob(entry)? else { return Ok(None) };
        let bytes = crate::image::store::document(stream, entry)?;
        Ok(match Document::parse(&bytes, &entry.media_type)? {
            Document::Manifest(manifest) => Some(manifest.config.digest),
            Document::Index(_) => None,
        })
    }

    /// Makes the manifest of an image that has none.
    fn docker_image(&mut self, image: &DockerImage) -> Result<()> {
        let bytes = self.files.read(&image.config, LARGEST_DOCUMENT)?.context("its configuration is missing")?;
        let diff_ids = Config::parse(&bytes)?.rootfs.diff_ids;
        let (count, ids) = (image.layers.len(), diff_ids.len());
        ensure!(count == ids, "it has {count} layers, and its configuration {ids}");
        let config = Descriptor::of(media_type::DOCKER_CONFIG, &bytes);
        self.named.insert(config.digest.clone(), image.config.clone());
        let mut layers = Vec::new();
        for (name, diff_id) in image.layers.iter().zip(&diff_ids) {
            let layer = self.docker_layer(name, diff_id).with_context(|| format!("layer {name:?}"))?;
            self.named.insert(layer.digest.clone(), name.clone());
            layers.push(layer);
        }
        let manifest = serde_json::to_vec(&Manifest::new(config, layers)).context("write the manifest as JSON")?;
        let entry = Descriptor::of(media_type::DOCKER_MANIFEST, &manifest);
        self.made.insert(entry.digest.clone(), manifest);
        let names = tags(image).collect();
        self.images.push(Found { entry, names });
        Ok(())
    }

    /// The descriptor of a layer of which only the name is known. What isn't compressed is its own diff id, which is checked
    /// when it is read; anything else has to be hashed first.
    fn docker_layer(&self, name: &str, diff_id: &Digest) -> Result<Descriptor> {
        let (size, mut stream) = self.files.find(name.as_bytes())?.context("it is missing")?;
        let mut start = Vec::new();
        (&mut stream).take(6).read_to_end(&mut start).context("read it")?;
        let suffix = match Compression::of(&start)? {
            Compression::None => {
                let media_type = layer_type(media_type::DOCKER_CONFIG, "");
                return Ok(Descriptor::new(&media_type, diff_id.clone(), size));
            }
            Compression::Gzip => "gzip",
            Compression::Zstd => "zstd",
        };
        let mut hasher = Hasher::new(Algorithm::Sha256);
        hasher.update(&start);
        let mut buffer = vec![0; 128 << 10];
        loop {
            match stream.read(&mut buffer).context("read it")? {
                0 => break,
                count => hasher.update(&buffer[..count]),
            }
        }
        Ok(Descriptor::new(&layer_type(media_type::DOCKER_CONFIG, suffix), hasher.finish(), size))
    }
}

impl Source for Archive {
    fn blob<'s>(&'s self, descriptor: &Descriptor) -> Result<Option<Box<dyn Read + Send + 's>>> {
        let digest = &descriptor.digest;
        if self.left_out.contains(digest) {
            return Ok(None);
        }
        if let Some(bytes) = self.made.get(digest) {
            return Ok(Some(Box::new(&bytes[..])));
        }
        let own = || format!("blobs/{}/{}", digest.algorithm().name(), digest.hex());
        let name = self.named.get(digest).cloned().unwrap_or_else(own);
        Ok(self.files.find(name.as_bytes())?.map(|(_, stream)| stream))
    }
}

fn tags(image: &DockerImage) -> impl Iterator<Item = Reference> {
    image.repo_tags.iter().filter_map(|tag| tag.parse::<Reference>().ok()).map(Reference::or_latest)
}

/// The name that a layout's table gives: containerd's annotation, or OCI's where it isn't a tag alone.
fn name(entry: &Descriptor) -> Option<Reference> {
    let parsed = |key: &str| entry.annotations.get(key)?.parse::<Reference>().ok().map(Reference::or_latest);
    let is_whole = |text: &&String| text.contains(['/', ':']);
    parsed(IMAGE_NAME).or_else(|| entry.annotations.get(REF_NAME).filter(is_whole).and_then(|_| parsed(REF_NAME)))
}

fn without_name(entry: &Descriptor) -> Descriptor {
    let mut entry = entry.clone();
    entry.annotations.remove(IMAGE_NAME);
    entry.annotations.remove(REF_NAME);
    entry
}
