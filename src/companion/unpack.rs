//! `unpack`: a bundle that `corten` runs at once.

use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::DirBuilderExt;
use std::path::PathBuf;

use anyhow::{Context as _, Result, bail, ensure};
use clap::Args;

use super::output::warn;
use super::{Context, Operation};
use crate::error::Attempt;
use crate::image::bundle::{self, Wishes};
use crate::image::layer::attributes::Warnings;
use crate::image::layer::copy::{self, IdMaps, IdRange};
use crate::image::layer::tree;
use crate::image::platform::Platform;
use crate::image::store::lease::{Lease, What};

/// The record of which image a bundle was made from.
pub(super) const RECORD: &str = "image.json";

/// Make a bundle from an image: its files in rootfs/, and a config.json that runs it
#[derive(Debug, Args)]
pub(super) struct Unpack {
    /// The platform of an image that has several
    #[arg(long, value_name = "OS/ARCH[/VARIANT]")]
    platform: Option<Platform>,

    /// Give the process a terminal
    #[arg(short, long)]
    tty: bool,

    /// Map users, and run in a user namespace
    #[arg(long, value_name = "CONTAINER:HOST:LENGTH", requires = "gidmap")]
    uidmap: Vec<IdRange>,

    /// Map groups
    #[arg(long, value_name = "CONTAINER:HOST:LENGTH", requires = "uidmap")]
    gidmap: Vec<IdRange>,

    /// A name or id
    image: String,

    /// The directory of the bundle, new or empty
    bundle: PathBuf,
}

impl Operation for Unpack {
    fn carry_out(self, context: &Context) -> Result<u8> {
        let store = context.store()?;
        let lease = Lease::new(&store)?;
        let image = store.resolve(&self.image, self.platform.as_ref())?;
        let chain = image.config.chain();
        for chain_id in &chain {
            lease.pin(What::Layer, chain_id)?;
        }
        let files = store.stack(&chain)?;
        let asked = IdMaps { users: self.uidmap.clone(), groups: self.gidmap.clone() };
        ensure!(context.user.is_none() || self.uidmap.is_empty(), "an ordinary user's ids are mapped already");
        // An ordinary user's files are mapped by the namespace that this is in.
        let ids = context.ids().cloned().unwrap_or_else(|| asked.clone());
        let wishes = Wishes { terminal: self.tty, ids, rootless: context.user.is_some() };
        let config = bundle::config(&image.config, &files, &wishes)?;
        let existed = self.bundle.exists();
        // Set-user-ID programs of an image are nobody's business; who has mapped ids must get through.
        let mode = if self.uidmap.is_empty() { 0o700 } else { 0o711 };
        let made = fs::DirBuilder::new().recursive(true).mode(mode).create(&self.bundle);
        made.attempt(|| format!("make the directory {:?}", self.bundle))?;
        let mut inside = fs::read_dir(&self.bundle).attempt(|| format!("read {:?}", self.bundle))?;
        ensure!(inside.next().is_none(), "{:?} is not empty", self.bundle);
        let mut warnings = Warnings::new();
        let made = self.fill(&files, &asked, &config, &image.id.to_string(), &mut warnings);
        if let Err(error) = made {
            self.clear(existed)?;
            return Err(error);
        }
        warn(&warnings);
        Ok(0)
    }
}

impl Unpack {
    fn fill(
        &self,
        files: &crate::image::layer::Stack,
        ids: &IdMaps,
        config: &serde_json::Value,
        id: &str,
        warnings: &mut Warnings,
    ) -> Result<()> {
        let rootfs = self.bundle.join("rootfs");
        fs::create_dir(&rootfs).attempt(|| format!("make the directory {rootfs:?}"))?;
        let root = fs::File::open(&rootfs).attempt(|| format!("open {rootfs:?}"))?;
        copy::tree(files, root.into(), ids, warnings).with_context(|| format!("unpack to {rootfs:?}"))?;
        let record = serde_json::json!({ "image": id }).to_string();
        // config.json last: with it, the bundle is complete.
        for (name, text) in [(RECORD, record), ("config.json", serde_json::to_string_pretty(config)? + "\n")] {
            let path = self.bundle.join(name);
            fs::write(&path, text).attempt(|| format!("write {path:?}"))?;
        }
        Ok(())
    }

    /// Leaves the directory as it was found.
    fn clear(&self, existed: bool) -> Result<()> {
        let bundle = fs::File::open(&self.bundle).attempt(|| format!("open {:?}", self.bundle))?;
        for name in tree::names(&bundle)? {
            tree::remove(&bundle, &name)?;
        }
        if !existed && let (Some(parent), Some(name)) = (self.bundle.parent(), self.bundle.file_name()) {
            let parent = if parent.as_os_str().is_empty() { std::path::Path::new(".") } else { parent };
            let parent = fs::File::open(parent).attempt(|| format!("open {parent:?}"))?;
            tree::remove(parent, name.as_bytes())?;
        }
        if !existed && self.bundle.exists() {
            bail!("{:?} can't be removed", self.bundle);
        }
        Ok(())
    }
}
