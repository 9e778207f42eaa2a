//! Small files that are there as a whole or not at all, whenever the power goes.

use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::Result;

use super::open_directory;
use crate::error::Attempt;

/// Writes a file of a directory: to a temporary name, onto the disk, to its own name, and that onto the disk. The caller sees to it that
/// nobody else writes the same file.
pub fn write_whole(directory: &Path, name: &str, content: &[u8]) -> Result<()> {
    let path = directory.join(name);
    let temporary = temporary(&path);
    let what = || format!("write {path:?}");
    let mut file = File::create(&temporary).attempt(what)?;
    file.write_all(content).and_then(|()| file.sync_all()).attempt(what)?;
    fs::rename(&temporary, &path).attempt(what)?;
    sync_directory(directory)
}

/// The temporary name of a file.
pub fn temporary(path: &Path) -> PathBuf {
    path.with_file_name(format!(".{}.new", path.file_name().unwrap_or_default().display()))
}

/// Has the names in a directory written to the disk.
pub fn sync_directory(directory: &Path) -> Result<()> {
    rustix::fs::fsync(open_directory(directory)?).attempt(|| format!("sync {directory:?}"))
}
