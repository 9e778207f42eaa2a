//! `spec`: a config.json to start from.

use std::fs::OpenOptions;
use std::io::Write;
use std::path::PathBuf;

use anyhow::{Context as _, Result, bail};
use clap::Parser;

use super::{Context, Operation};
use crate::error::Attempt;
use crate::spec::template;

/// Write a config.json to start from
///
/// It runs `sh` on a terminal, on the root file system in rootfs/. An existing config.json is not touched.
#[derive(Debug, Parser)]
pub(super) struct Spec {
    /// The bundle that gets the file
    #[arg(short, long, value_name = "DIR", default_value = ".", hide_default_value = true)]
    bundle: PathBuf,

    /// Write one for a container without root: in a user namespace, with the host's network
    #[arg(long)]
    rootless: bool,
}

impl Operation for Spec {
    fn carry_out(self, _: &Context) -> Result<u8> {
        let text = if self.rootless {
            template::rootless(rustix::process::geteuid().as_raw(), rustix::process::getegid().as_raw())
        } else {
            template::CONFIG.to_owned()
        };
        let path = self.bundle.join("config.json");
        let mut file = match OpenOptions::new().write(true).create_new(true).open(&path) {
            Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {
                bail!("File config.json exists. Remove it first")
            }
            opened => opened.attempt(|| format!("create {path:?}"))?,
        };
        file.write_all(text.as_bytes()).attempt(|| format!("write {path:?}")).context("the file is incomplete")?;
        Ok(0)
    }
}
