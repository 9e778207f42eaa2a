//! The store: an OCI layout, and beside it each layer unpacked once.
//!
//! | in the store | what |
//! | --- | --- |
//! | `oci-layout`, `index.json`, `blobs/` | an OCI image layout; the index is the table of images, and whatever isn't in it doesn't exist |
//! | `layers/sha256/HEX/` | an unpacked layer by its chain id: `tree` and `layer.json` |
//! | `ingest/ID/` | what one process is bringing in, with its lease |
//! | `locks/` | a file for each blob that somebody is bringing in |
//! | `mounts/` | images that are mounted |
//! | `manifests/` | lists of manifests that are put together here ([`lists`]) |
//! | `pins/` | what a container needs, a file for each |
//! | `containers/`, `names/`, `volumes/` | the engine's |
//! | `lock` | held exclusively to change the table or to collect garbage, shared to pin |
//!
//! A name appears when what it names is on the disk, by rename; the table is changed last. So at every instant an image is
//! whole or absent, and what a killed process leaves is garbage that [`collect`] knows by its lease.

pub mod collect;
pub mod file;
pub mod intake;
pub mod layers;
pub mod lease;
pub mod lists;
pub mod lock;
mod pin;
mod platforms;
pub mod table;

use std::fs::{self, File};
use std::io::Read;
use std::os::fd::OwnedFd;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use rustix::fs::{FlockOperation, Mode, OFlags};

use super::digest::Digest;
use super::layer::Form;
use super::manifest::{Descriptor, LARGEST_DOCUMENT};
use crate::error::Attempt;

/// Where root's images are.
pub const DEFAULT: &str = "/var/lib/corten";
const LAYOUT: &str = r#"{"imageLayoutVersion":"1.0.0"}"#;

/// An open store.
#[derive(Debug)]
pub struct Store {
    root: PathBuf,
    form: Form,
}

impl Store {
    /// Where this user's images are: what `CTN_ROOT` says, `/var/lib/corten` for root, else below `XDG_DATA_HOME`.
    pub fn default_root(of_root: bool) -> Result<PathBuf> {
        let set = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
        if let Some(root) = set("CTN_ROOT") {
            return Ok(root);
        }
        if of_root {
            return Ok(DEFAULT.into());
        }
        let data = set("XDG_DATA_HOME").or_else(|| set("HOME").map(|home| home.join(".local/share")));
        data.map(|data| data.join("corten")).context("no place for images: set CTN_ROOT, XDG_DATA_HOME or HOME")
    }

    /// Opens a store; makes it where there is none.
    pub fn open(root: &Path) -> Result<Store> {
        let root = std::path::absolute(root).attempt(|| format!("make {root:?} absolute"))?;
        let store = Store { root, form: Form::of_process() };
        if store.path("oci-layout").exists() {
            let mut layout = String::new();
            store.read_to_string("oci-layout", &mut layout)?;
            let version = serde_json::from_str::<serde_json::Value>(&layout).ok();
            let version = version.as_ref().and_then(|layout| layout["imageLayoutVersion"].as_str());
            ensure!(version == Some("1.0.0"), "{:?} is no store: its oci-layout is {layout:?}", store.root);
            return Ok(store);
        }
        for directory in ["blobs/sha256", "blobs/sha512", "layers/sha256", "layers/sha512", "ingest", "locks", "mounts"]
        {
            // 0700: layers have set-id programs and devices of others.
            let directory = store.path(directory);
            let made = fs::DirBuilder::new().recursive(true).mode(0o700).create(&directory);
            made.attempt(|| format!("make the directory {directory:?}"))?;
        }
        let _alone = store.lock(FlockOperation::LockExclusive)?;
        if !store.path("index.json").exists() {
            store.write_table(&table::Table::default())?;
        }
        file::write_whole(&store.root, "oci-layout", LAYOUT.as_bytes())?;
        Ok(store)
    }

    /// Where it is.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// The form of its layers.
    pub fn form(&self) -> Form {
        self.form
    }

    /// Something in the store.
    pub fn path(&self, name: impl AsRef<Path>) -> PathBuf {
        self.root.join(name)
    }

    /// Where a blob is, if it is there.
    pub fn blob_path(&self, digest: &Digest) -> PathBuf {
        self.root.join("blobs").join(digest.algorithm().name()).join(digest.hex())
    }

    /// Whether a blob is there.
    pub fn has_blob(&self, digest: &Digest) -> bool {
        self.blob_path(digest).exists()
    }

    /// Opens a blob.
    pub fn blob(&self, digest: &Digest) -> Result<File> {
        File::open(self.blob_path(digest)).attempt(|| format!("open the blob {digest}"))
    }

    /// Reads a manifest, index or configuration, and checks that it is what its name says.
    pub fn document(&self, descriptor: &Descriptor) -> Result<Vec<u8>> {
        document(self.blob(&descriptor.digest)?, descriptor)
    }

    fn read_to_string(&self, name: &str, text: &mut String) -> Result<()> {
        let path = self.path(name);
        let file = File::open(&path).attempt(|| format!("open {path:?}"))?;
        file.take(LARGEST_DOCUMENT * 16).read_to_string(text).attempt(|| format!("read {path:?}")).map(drop)
    }

    /// A descriptor of the store's root, for syncfs(2) and fsync(2).
    fn directory(&self) -> Result<OwnedFd> {
        open_directory(&self.root)
    }
}

/// Reads a document of a limited size to its end, and checks it.
pub fn document(stream: impl Read, descriptor: &Descriptor) -> Result<Vec<u8>> {
    let what = || format!("document {}", descriptor.digest);
    ensure!(descriptor.size <= LARGEST_DOCUMENT, "{}: {} bytes are too many", what(), descriptor.size);
    let mut bytes = Vec::new();
    stream.take(descriptor.size + 1).read_to_end(&mut bytes).attempt(what)?;
    descriptor.verify(&bytes).with_context(what)?;
    Ok(bytes)
}

fn open_directory(path: &Path) -> Result<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    rustix::fs::open(path, flags, Mode::empty()).attempt(|| format!("open {path:?}"))
}

/// A name that no other process or thread makes.
fn unique() -> String {
    use std::hash::{BuildHasher, RandomState};
    // The hasher's keys are random for each process and different for each call.
    format!("{:08x}-{:016x}", std::process::id(), RandomState::new().hash_one(0))
}
