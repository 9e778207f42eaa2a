//! `save`: images into an archive or layout.

use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;

use anyhow::{Context as _, Result, ensure};
use clap::{Args, ValueEnum};

use super::output::whole_file;
use super::{Context, Operation};
use crate::error::Attempt;
use crate::image::archive::write::Contents;
use crate::image::digest::Digest;
use crate::image::platform::Platform;
use crate::image::reference::Reference;
use crate::image::store::lease::{Lease, What};
use crate::image::store::{Store, table::Image};

/// Save images to an archive or an OCI layout
#[derive(Debug, Args)]
pub(super) struct Save {
    /// Write to a file or directory instead of the standard output
    #[arg(short, long, value_name = "PATH")]
    output: Option<PathBuf>,

    /// What to write; docker-archive is an OCI archive, too
    #[arg(long, value_enum, default_value = "docker-archive")]
    format: Format,

    /// The platforms of an image that has several
    #[arg(long, value_name = "OS/ARCH[/VARIANT],...", value_delimiter = ',')]
    platform: Vec<Platform>,

    /// Save all platforms that are in the store
    #[arg(long, conflicts_with = "platform")]
    all_platforms: bool,

    /// Names or ids
    #[arg(required = true, value_name = "IMAGE")]
    images: Vec<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    DockerArchive,
    OciArchive,
    OciDir,
}

impl Operation for Save {
    fn carry_out(self, context: &Context) -> Result<u8> {
        let store = context.store()?;
        let lease = Lease::new(&store)?;
        let mut contents = Contents::default();
        for text in &self.images {
            let image = store.resolve(text, self.platform.first())?;
            lease.pin(What::Blob, &image.entry.digest)?;
            let has_several = self.all_platforms || self.platform.len() > 1;
            let entry = if has_several { &image.entry } else { &image.descriptor };
            contents.add(&store, &image, entry, &names(text, &image), &self.left_out(&store, &image)?)?;
        }
        if self.format == Format::OciDir {
            let directory = self.output.context("an OCI layout is a directory: --output is needed")?;
            fs::create_dir_all(&directory).attempt(|| format!("make the directory {directory:?}"))?;
            contents.directory(&store, &directory)?;
            return Ok(0);
        }
        self.archive(&store, &contents)?;
        Ok(0)
    }
}

impl Save {
    /// The manifests of an image whose platforms are not among those that were asked for.
    fn left_out(&self, store: &Store, image: &Image) -> Result<BTreeSet<Digest>> {
        if self.platform.is_empty() {
            return Ok(BTreeSet::new());
        }
        let mut others: BTreeSet<Digest> =
            store.manifests(&image.entry)?.into_iter().map(|(descriptor, _)| descriptor.digest).collect();
        for platform in &self.platform {
            others.remove(&store.image(&image.entry, Some(platform))?.descriptor.digest);
        }
        Ok(others)
    }

    fn archive(&self, store: &Store, contents: &Contents) -> Result<()> {
        let with_docker = self.format == Format::DockerArchive;
        let Some(path) = &self.output else {
            let stdout = std::io::stdout();
            ensure!(
                !rustix::termios::isatty(&stdout),
                "cowardly refusing to save to a terminal: give --output or redirect it"
            );
            return contents.archive(store, stdout.lock(), with_docker);
        };
        whole_file(path, |file| contents.archive(store, file, with_docker))
    }
}

/// The names that are saved: the one that was asked for, or none where it was an id.
fn names(text: &str, image: &Image) -> Vec<Reference> {
    let asked = text.parse::<Reference>().ok().map(Reference::or_latest);
    image.names.iter().filter(|name| Some(*name) == asked.as_ref()).cloned().collect()
}
