//! `create`: a container that waits to be started.

use std::fs::File;
use std::io::Write;
use std::path::Path;

use anyhow::{Result, bail};
use clap::Args;

use super::super::output::{print, remark};
use super::super::{Context, Operation};
use super::flags::Flags;
use super::pull;
use super::run::Stream;
use crate::engine::{Container, Engine};
use crate::error::Attempt;

/// Create a container, without starting it
#[derive(Debug, Args)]
#[command(disable_help_flag = true, override_usage = "ctn create [OPTIONS] IMAGE [COMMAND [ARGUMENT]...]")]
pub(in crate::companion) struct Create {
    /// Attach to stdin, stdout or stderr alone
    #[arg(short, long, value_name = "STREAM")]
    attach: Vec<Stream>,

    #[command(flatten)]
    flags: Flags,
}

impl Operation for Create {
    fn carry_out(self, context: &Context) -> Result<u8> {
        let engine = context.engine()?;
        let container = create(context, &engine, self.flags, &self.attach, true, false)?;
        print(&format!("{}\n", container.id()))?;
        Ok(0)
    }
}

/// Makes the container that the flags describe.
pub(super) fn create<'e>(
    context: &Context,
    engine: &'e Engine,
    flags: Flags,
    attach: &[Stream],
    attached: bool,
    starts: bool,
) -> Result<Container<'e>> {
    flags.check()?;
    let discarded = flags.discarded()?;
    let file = flags.cidfile.clone().map(|path| IdFile::claim(&path)).transpose()?;
    let lease = crate::image::store::lease::Lease::new(&engine.store);
    let image = pull::image(context, engine, &flags)?;
    let mut wanted = flags.wanted(image, attached)?;
    if !attach.is_empty() {
        let config = &mut wanted.record.config;
        config.attach_stdin |= attach.contains(&Stream::Stdin);
        config.attach_stdout = attach.contains(&Stream::Stdout);
        config.attach_stderr = attach.contains(&Stream::Stderr);
    }
    wanted.starts = starts;
    let container = engine.create(wanted)?;
    drop(lease);
    discarded.into_iter().for_each(remark);
    if let Some(file) = file {
        file.write(container.id())?;
    }
    Ok(container)
}

/// `--cidfile`: a file that must not be there before, and isn't there after a failure.
struct IdFile {
    path: std::path::PathBuf,
    file: File,
    kept: bool,
}

impl IdFile {
    fn claim(path: &Path) -> Result<IdFile> {
        let file = match File::create_new(path) {
            Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => bail!(
                "container ID file found, make sure the other container isn't running or delete {}",
                path.display()
            ),
            file => file.attempt(|| format!("failed to create the container ID file {path:?}"))?,
        };
        Ok(IdFile { path: path.into(), file, kept: false })
    }

    fn write(mut self, id: &str) -> Result<()> {
        self.file.write_all(id.as_bytes()).attempt(|| format!("write {:?}", self.path))?;
        self.kept = true;
        Ok(())
    }
}

impl Drop for IdFile {
    fn drop(&mut self) {
        if !self.kept {
            let _ = std::fs::remove_file(&self.path);
        }
    }
}
