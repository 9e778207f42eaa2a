//! `load`: images from an archive or layout.

use std::fs::File;
use std::os::fd::AsFd;
use std::path::PathBuf;

use anyhow::{Context as _, Result, ensure};
use clap::Args;

use super::output::{complain, print, warn};
use super::{Context, Operation};
use crate::error::Attempt;
use crate::image::archive::Archive;
use crate::image::archive::files::Files;
use crate::image::platform::Platform;
use crate::image::reference::Reference;
use crate::image::store::intake::Intake;

/// Load images from an archive or an OCI layout
///
/// Archives of docker save (old and new), podman save and skopeo are read, compressed or not, and OCI layouts as archives or
/// directories.
#[derive(Debug, Args)]
pub(super) struct Load {
    /// Read from a file or directory instead of the standard input
    #[arg(short, long, value_name = "PATH")]
    input: Option<PathBuf>,

    /// Load some platforms of images that have several
    #[arg(long, value_name = "OS/ARCH[/VARIANT],...", value_delimiter = ',')]
    platform: Vec<Platform>,

    /// Print the ids alone
    #[arg(short, long)]
    quiet: bool,
}

impl Operation for Load {
    fn carry_out(self, context: &Context) -> Result<u8> {
        let store = context.store()?;
        let mut intake = Intake::new(&store)?;
        let spool = || {
            let path = intake.lease().fresh("archive");
            File::options().read(true).write(true).create_new(true).open(&path).attempt(|| format!("create {path:?}"))
        };
        let files = match &self.input {
            Some(path) => Files::open(path, spool)?,
            None => {
                let stdin = std::io::stdin();
                let terminal = rustix::termios::isatty(&stdin);
                ensure!(!terminal, "requested load from stdin, but stdin is a terminal: give --input or redirect it");
                let stdin = stdin.as_fd().try_clone_to_owned().attempt(|| "duplicate the standard input")?;
                Files::of_file(File::from(stdin), spool).context("the archive from the standard input")?
            }
        };
        let mut archive = Archive::new(files)?;
        if !self.platform.is_empty() {
            archive.only(&self.platform)?;
        }
        for found in &archive.images {
            intake.image(&archive, &found.entry, &found.names).with_context(|| match found.names.first() {
                Some(name) => format!("load {}", name.familiar()),
                None => format!("load {}", found.entry.digest),
            })?;
        }
        warn(&intake.commit()?);
        for found in &archive.images {
            let image = store.image(&found.entry, None)?;
            let (own, its) = (Platform::host(), image.config.platform());
            if image.manifest.is_image() && own.distance(&its).is_none() {
                complain(&format!("Warning: {} is for {its}, and this machine is {own}\n", image.id.short()));
            }
            let id = image.id;
            let names = found.names.iter().map(Reference::familiar);
            let lines: String = match (self.quiet, found.names.is_empty()) {
                (true, _) => format!("{id}\n"),
                (_, true) => format!("Loaded image ID: {id}\n"),
                _ => names.map(|name| format!("Loaded image: {name}\n")).collect(),
            };
            print(&lines)?;
        }
        Ok(0)
    }
}
