//! Locks: flock(2), which the kernel releases when a process ends, however it ends.

use std::fs::File;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use anyhow::Result;
use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;

use super::Store;
use crate::error::Attempt;
use crate::image::digest::Digest;

/// A lock that is held; it goes with the value.
#[derive(Debug)]
pub struct Lock {
    _file: File,
}

fn open(path: &Path) -> Result<File> {
    let mut options = File::options();
    options.read(true).write(true).create(true).truncate(false);
    options.open(path).attempt(|| format!("open the lock {path:?}"))
}

fn take(file: &File, how: FlockOperation, path: &Path) -> Result<()> {
    loop {
        match flock(file, how) {
            Err(Errno::INTR) => {}
            taken => return taken.attempt(|| format!("lock {path:?}")),
        }
    }
}

impl Lock {
    /// Waits for the lock of this file, which is made if it isn't there.
    pub fn take(path: &Path, how: FlockOperation) -> Result<Lock> {
        let file = open(path)?;
        take(&file, how, path)?;
        Ok(Lock { _file: file })
    }
}

impl Store {
    /// The store's own lock, which is only ever held for a moment.
    pub fn lock(&self, how: FlockOperation) -> Result<Lock> {
        Lock::take(&self.path("lock"), how)
    }

    /// Waits until nobody else is bringing in a blob. Whoever takes several takes them sorted.
    pub fn lock_blob(&self, digest: &Digest) -> Result<BlobLock> {
        let path = self.path("locks").join(format!("{}-{}", digest.algorithm().name(), digest.hex()));
        loop {
            let file = open(&path)?;
            take(&file, FlockOperation::LockExclusive, &path)?;
            // The one who had it may have removed the file while we waited.
            let own = file.metadata().attempt(|| format!("look at {path:?}"))?;
            if std::fs::metadata(&path).is_ok_and(|there| (there.dev(), there.ino()) == (own.dev(), own.ino())) {
                return Ok(BlobLock { path, _lock: Lock { _file: file } });
            }
        }
    }
}

/// The right to bring in one blob.
#[derive(Debug)]
pub struct BlobLock {
    path: PathBuf,
    _lock: Lock,
}

impl Drop for BlobLock {
    fn drop(&mut self) {
        // While it is still locked; an error leaves an empty file behind.
        let _ = std::fs::remove_file(&self.path);
    }
}

/// Whether nobody has a file locked: its owner is gone.
pub fn is_free(path: &Path) -> bool {
    File::open(path).is_ok_and(|file| flock(&file, FlockOperation::NonBlockingLockExclusive).is_ok())
}
