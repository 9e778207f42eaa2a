//! `--init`: the program that is a container's first process in place of the one that was meant, as docker-init is.

use std::fs::{self, File};
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

use anyhow::Result;

use super::record::Record;
use super::{Engine, make_directory};
use crate::error::Attempt;
use crate::image::digest::Digest;

/// Where it is in the container.
pub(super) const POINT: &str = "/sbin/docker-init";
/// `reaper/main.rs`, which build.rs has made a static program of.
const PROGRAM: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/reaper"));

/// The file that is mounted in the container, if it wants an init. It is below the store's root, for `/run` is often mounted without
/// the right to execute anything, and its name tells its content: containers that run keep theirs when ctn is a newer one.
pub(super) fn program(engine: &Engine, record: &Record) -> Result<Option<PathBuf>> {
    if record.host_config.init != Some(true) {
        return Ok(None);
    }
    let directory = engine.store.root().join("init");
    let path = directory.join(&Digest::of(PROGRAM).hex()[..16]);
    if !path.exists() {
        make_directory(&directory)?;
        // Others may make it at the same time: who is last wins, with the same bytes.
        let temporary = directory.join(format!(".{}.new", record.id));
        let what = || format!("write {path:?}");
        let mut file = File::create(&temporary).attempt(what)?;
        file.write_all(PROGRAM).attempt(what)?;
        file.set_permissions(fs::Permissions::from_mode(0o555)).and_then(|()| file.sync_all()).attempt(what)?;
        fs::rename(&temporary, &path).attempt(what)?;
    }
    Ok(Some(path))
}
