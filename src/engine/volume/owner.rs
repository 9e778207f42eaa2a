//! podman's `:U`: the files of what is mounted become those of the container's user.

use std::os::fd::BorrowedFd;

use anyhow::{Context, Result};
use rustix::fs::{AtFlags, Gid, Uid, chownat, fstat};
use rustix::io::Errno;

use super::source;
use crate::engine::Engine;
use crate::engine::record::{Mounted, Record};
use crate::image::bundle::User;
use crate::image::layer::Stack;

/// Changes the owners of all files of a source; `files` are the container's, which know its users.
pub(super) fn change(engine: &Engine, record: &Record, mounted: &Mounted, files: &Stack) -> Result<()> {
    if !mounted.owned {
        return Ok(());
    }
    let user = User::of(&record.config.user, files)?;
    // The mount of a volume maps ids, unless it is an ordinary user's, and that of a directory of the machine does not.
    let is_mapped = mounted.kind == "volume" && engine.user.is_none();
    let (uid, gid) = match record.ids.as_ref().filter(|_| !is_mapped) {
        Some(ids) => ids.owner(user.uid, user.gid)?,
        None => (user.uid, user.gid),
    };
    let own = |file: BorrowedFd<'_>| -> Result<(), Errno> {
        let found = fstat(file)?;
        match (found.st_uid, found.st_gid) == (uid, gid) {
            true => Ok(()),
            false => chownat(file, "", Some(Uid::from_raw(uid)), Some(Gid::from_raw(gid)), AtFlags::EMPTY_PATH),
        }
    };
    source::open(engine, mounted)
        .and_then(|top| source::each(top, own))
        .with_context(|| format!("give {} to the container's user", mounted.source))
}
