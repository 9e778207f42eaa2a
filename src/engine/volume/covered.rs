//! podman's `:O`: a directory of the host with what the container writes on top, which is thrown away.
//!
//! That is an overlay below `RUN/subpaths/ID/`, and goes as parts of volumes do. What is written is in the container's directory, counts for
//! its quota, and is made anew at each start.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::path::Path;

use anyhow::Result;

use super::source;
use crate::engine::record::Record;
use crate::engine::{Engine, make_directory};
use crate::error::Attempt;
use crate::image::mount::Upper;

/// Below a container's directory: what it has written, for each of its mounts by number.
pub(in crate::engine) const DIRECTORY: &str = "covers";

/// Makes the directory, for a container that needs it.
pub(in crate::engine) fn make_room(directory: &Path, record: &Record) -> Result<()> {
    match record.mounts.iter().any(|mounted| !mounted.covered.is_empty()) {
        true => make_directory(&directory.join(DIRECTORY)),
        false => Ok(()),
    }
}

/// Mounts all that a container has of these.
pub(super) fn mount(engine: &Engine, record: &Record) -> Result<()> {
    let parent = engine.directory(&record.id).join(DIRECTORY);
    for (number, mounted) in record.mounts.iter().enumerate().filter(|(_, mounted)| !mounted.covered.is_empty()) {
        let (below, point) = (Path::new(&mounted.covered), Path::new(&mounted.source));
        let found = fs::metadata(below).attempt(|| format!("look at the directory {below:?} to mount over"))?;
        let own = source::fresh(&parent, &number.to_string())?;
        let (directory, work) = (own.join("upper"), own.join("work"));
        for path in [&directory, &work] {
            fs::create_dir(path).attempt(|| format!("make the directory {path:?}"))?;
        }
        // What is mounted has owner and mode of what is on top.
        let mode = fs::Permissions::from_mode(found.mode() & 0o7777);
        chown(&directory, Some(found.uid()), Some(found.gid()))
            .and_then(|()| fs::set_permissions(&directory, mode))
            .attempt(|| format!("give {directory:?} the owner and the mode of {below:?}"))?;
        make_directory(point)?;
        engine.store.mount_over(
            &[below.into()],
            &Upper { directory: &directory, work: &work, volatile: true },
            point,
        )?;
    }
    Ok(())
}
