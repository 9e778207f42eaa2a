//! Writing images: one archive that is an OCI layout and has docker's table, too; or the layout as a directory.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::Path;

use anyhow::{Context, Result, bail};

use super::DockerImage;
use crate::error::Attempt;
use crate::image::digest::{Digest, Hasher};
use crate::image::manifest::{Descriptor, Document, IMAGE_NAME, Index, REF_NAME};
use crate::image::reference::Reference;
use crate::image::store::Store;
use crate::image::store::table::Image;
use crate::image::tar::{Entry, Kind, Writer};

const LAYOUT: &[u8] = br#"{"imageLayoutVersion":"1.0.0"}"#;

/// What is written: the tables, and which blobs.
#[derive(Debug, Default)]
pub struct Contents {
    index: Index,
    docker: Vec<DockerImage>,
    blobs: BTreeMap<Digest, u64>,
}

impl Contents {
    /// Adds an image under some names; `entry` is what the table shows, the manifest or its index, of which some may be left out.
    pub fn add(
        &mut self,
        store: &Store,
        image: &Image,
        entry: &Descriptor,
        names: &[Reference],
        left_out: &BTreeSet<Digest>,
    ) -> Result<()> {
        self.reach(store, entry, left_out, 0)?;
        let mut bare = entry.clone();
        bare.annotations.clear();
        for name in names {
            let mut named = bare.clone();
            named.annotations.insert(IMAGE_NAME.into(), name.to_string());
            named.annotations.insert(REF_NAME.into(), name.tag().unwrap_or_default().into());
            self.index.manifests.push(named);
        }
        if names.is_empty() && !self.index.manifests.iter().any(|other| other.digest == bare.digest) {
            self.index.manifests.push(bare);
        }
        // In full: docker reads both, and podman takes a short name for one of localhost.
        let tags = names.iter().map(Reference::to_string);
        let config = blob_name(&image.manifest.config.digest);
        match self.docker.iter_mut().find(|known| known.config == config) {
            Some(known) => known.repo_tags.extend(tags),
            None => {
                let layers = image.manifest.layers.iter().map(|layer| blob_name(&layer.digest)).collect();
                self.docker.push(DockerImage { config, repo_tags: tags.collect(), layers, rest: BTreeMap::new() });
            }
        }
        Ok(())
    }

    /// All blobs of a document; of an index those that are there and wanted.
    fn reach(&mut self, store: &Store, descriptor: &Descriptor, left_out: &BTreeSet<Digest>, depth: u32) -> Result<()> {
        if depth > 0 && (!store.has_blob(&descriptor.digest) || left_out.contains(&descriptor.digest)) {
            return Ok(());
        }
        if depth > 8 {
            bail!("indexes in indexes without end");
        }
        self.blobs.insert(descriptor.digest.clone(), descriptor.size);
        let bytes = store.document(descriptor)?;
        match Document::parse(&bytes, &descriptor.media_type)
            .with_context(|| format!("manifest {}", descriptor.digest))?
        {
            Document::Index(index) => {
                index.manifests.iter().try_for_each(|below| self.reach(store, below, left_out, depth + 1))
            }
            Document::Manifest(manifest) => {
                for blob in manifest.layers.iter().chain([&manifest.config]) {
                    self.blobs.insert(blob.digest.clone(), blob.size);
                }
                Ok(())
            }
        }
    }

    fn index_bytes(&self) -> Result<Vec<u8>> {
        serde_json::to_vec(&self.index).context("write the index as JSON")
    }

    /// Writes an archive. docker's table is left out where an OCI archive alone is wanted.
    pub fn archive(&self, store: &Store, output: impl Write, with_docker: bool) -> Result<()> {
        let mut archive = Writer::new(io::BufWriter::with_capacity(128 << 10, output));
        let mut directories = BTreeSet::from(["blobs/".to_owned()]);
        directories.extend(self.blobs.keys().map(|digest| format!("blobs/{}/", digest.algorithm().name())));
        let put = "write the archive";
        for directory in directories {
            archive.entry(&Entry::new(directory, Kind::Directory, 0o755), io::empty()).attempt(|| put)?;
        }
        for (digest, size) in &self.blobs {
            let entry = Entry { size: *size, ..Entry::new(blob_name(digest), Kind::File, 0o644) };
            archive.entry(&entry, Checked::open(store, digest, *size)?).attempt(|| format!("{put}: blob {digest}"))?;
        }
        let docker = serde_json::to_vec(&self.docker).context("write manifest.json")?;
        let tables = [("index.json", self.index_bytes()?), ("manifest.json", docker), ("oci-layout", LAYOUT.to_vec())];
        for (name, bytes) in tables.iter().filter(|(name, _)| with_docker || *name != "manifest.json") {
            let entry = Entry { size: bytes.len() as u64, ..Entry::new(*name, Kind::File, 0o644) };
            archive.entry(&entry, &bytes[..]).attempt(|| put)?;
        }
        archive.finish().and_then(|mut output| output.flush()).attempt(|| put)
    }

    /// Writes an OCI layout into a directory, which may have one already: the images are added to it.
    pub fn directory(&self, store: &Store, directory: &Path) -> Result<()> {
        let mut index = match fs::read(directory.join("index.json")) {
            Ok(bytes) => serde_json::from_slice::<Index>(&bytes).with_context(|| format!("layout {directory:?}"))?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => Index::default(),
            failed => failed.attempt(|| format!("open the layout {directory:?}")).map(|_| Index::default())?,
        };
        for (digest, size) in &self.blobs {
            let path = directory.join(blob_name(digest));
            if fs::metadata(&path).is_ok_and(|data| data.len() == *size) {
                continue;
            }
            let parent = path.parent().unwrap_or(directory);
            fs::create_dir_all(parent).attempt(|| format!("make the directory {parent:?}"))?;
            let temporary = path.with_extension("new");
            let what = || format!("write {path:?}");
            let mut file = File::create(&temporary).attempt(what)?;
            io::copy(&mut Checked::open(store, digest, *size)?, &mut file).attempt(what)?;
            fs::rename(&temporary, &path).attempt(what)?;
        }
        for entry in &self.index.manifests {
            let name = |entry: &Descriptor| entry.annotations.get(REF_NAME).cloned();
            index.manifests.retain(|other| name(other) != name(entry));
            index.manifests.push(entry.clone());
        }
        let bytes = serde_json::to_vec(&index).context("write the index as JSON")?;
        crate::image::store::file::write_whole(directory, "oci-layout", LAYOUT)?;
        crate::image::store::file::write_whole(directory, "index.json", &bytes)
    }
}

fn blob_name(digest: &Digest) -> String {
    format!("blobs/{}/{}", digest.algorithm().name(), digest.hex())
}

/// A blob that is hashed while it is read: what leaves the store is what it says to be.
struct Checked {
    file: File,
    hasher: Hasher,
    digest: Digest,
    left: u64,
}

impl Checked {
    fn open(store: &Store, digest: &Digest, size: u64) -> Result<Checked> {
        let hasher = Hasher::new(digest.algorithm());
        Ok(Checked { file: store.blob(digest)?, hasher, digest: digest.clone(), left: size })
    }
}

impl Read for Checked {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.file.read(buffer)?;
        self.hasher.update(&buffer[..count]);
        self.left = self.left.saturating_sub(count as u64);
        // With the last byte, for nobody may ask for more.
        if self.left == 0 {
            let found = self.hasher.clone().finish();
            if found != self.digest {
                let text = format!("the blob {} is damaged: its content is {found}", self.digest);
                return Err(io::Error::new(io::ErrorKind::InvalidData, text));
            }
        }
        Ok(count)
    }
}
