//! Locks of containers: flock(2), which the kernel releases when a process ends, however it ends.

use std::fs::File;
use std::path::Path;

use anyhow::Result;
use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;

use crate::error::Attempt;

/// Held; it goes with the value.
#[derive(Debug)]
pub(super) struct Lock(File);

impl Lock {
    /// The open file, for whoever takes the lock over.
    pub(super) fn into_file(self) -> File {
        self.0
    }
}

/// Waits for the lock of a file or directory.
pub(super) fn wait(path: &Path, how: FlockOperation) -> Result<Lock> {
    let file = File::open(path).attempt(|| format!("open {path:?}"))?;
    loop {
        match flock(&file, how) {
            Err(Errno::INTR) => {}
            taken => return taken.attempt(|| format!("lock {path:?}")).map(|()| Lock(file)),
        }
    }
}

/// What somebody may have locked as long as it lives. It is opened before anything is asked of that process: who comes after it has another
/// file of this name, and is not waited for.
#[derive(Debug)]
pub(super) struct Life(Option<File>);

impl Life {
    /// Of whoever has it now.
    pub(super) fn of(path: &Path) -> Life {
        Life(File::open(path).ok())
    }

    /// Waits for its end.
    pub(super) fn wait(self) {
        if let Some(file) = self.0 {
            let _ = rustix::io::retry_on_intr(|| flock(&file, FlockOperation::LockShared));
        }
    }
}

/// Takes a lock if nobody has it; none also where there is nothing of this name.
pub(super) fn try_alone(path: &Path) -> Option<Lock> {
    let file = File::open(path).ok()?;
    flock(&file, FlockOperation::NonBlockingLockExclusive).ok().map(|()| Lock(file))
}

/// Whether somebody has it locked for good. Looking takes it shared for a moment, which does not keep others from looking.
pub(super) fn is_held(path: &Path) -> bool {
    File::open(path).is_ok_and(|file| is_held_elsewhere(&file))
}

/// The same of a file that is open; where nobody has it, it is locked shared until it is closed.
pub(super) fn is_held_elsewhere(file: &File) -> bool {
    flock(file, FlockOperation::NonBlockingLockShared) == Err(Errno::WOULDBLOCK)
}
