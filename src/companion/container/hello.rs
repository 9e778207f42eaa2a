//! `corten/hello`: an image that is part of this program, and needs no registry and no archive.

use anyhow::{Context as _, Result};
use serde_json::json;

use crate::companion::commit::{Packed, packed};
use crate::image::manifest::Manifest;
use crate::image::media_type;
use crate::image::platform::Platform;
use crate::image::reference::Reference;
use crate::image::store::Store;
use crate::image::store::intake::Intake;
use crate::image::tar::{Entry, Kind, Writer};

/// What it is called.
const NAME: &str = "corten/hello";
/// `hello/main.rs`, which build.rs has made a static program of.
const PROGRAM: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/hello"));
/// The same bytes of this program give the same image.
const CREATED: &str = "2026-01-01T00:00:00Z";

/// Whether a name means it.
pub(super) fn is_meant(name: &str) -> bool {
    let reference = |text: &str| text.parse::<Reference>().ok().map(Reference::or_latest);
    reference(name).is_some_and(|meant| Some(meant) == reference(NAME))
}

/// Brings it into the store.
pub(super) fn install(store: &Store) -> Result<()> {
    let mut intake = Intake::new(store)?;
    let (layer, diff_id) = packed(&intake, media_type::OCI_CONFIG, Packed::None, |output| {
        let mut writer = Writer::new(Vec::new());
        let directory = Entry::new("./", Kind::Directory, 0o755);
        let program = Entry { size: PROGRAM.len() as u64, ..Entry::new("hello", Kind::File, 0o755) };
        writer.entry(&directory, &b""[..])?;
        writer.entry(&program, PROGRAM)?;
        Ok(output.write_all(&writer.finish()?)?)
    })?;
    let platform = Platform::host();
    let config = json!({
        "created": CREATED,
        "architecture": platform.architecture,
        "os": platform.os,
        "config": {"Entrypoint": ["/hello"]},
        "rootfs": {"type": "layers", "diff_ids": [diff_id]},
        "history": [{"created": CREATED, "created_by": "ctn", "comment": "what a container sees"}],
    });
    let config = intake.bytes(media_type::OCI_CONFIG, &serde_json::to_vec(&config)?)?;
    let entry = intake.bytes(media_type::OCI_MANIFEST, &serde_json::to_vec(&Manifest::new(config, vec![layer]))?)?;
    let name = NAME.parse::<Reference>()?.or_latest();
    intake.image(store, &entry, &[name]).context("bring in the image that is built in")?;
    intake.commit().map(drop)
}
