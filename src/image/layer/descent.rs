//! The way down into a tree of directories that others may be changing: by descriptors, of which few are held, however deep it is.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use anyhow::{Context, Result, ensure};
use rustix::fs::{Mode, OFlags, fstat, openat};
use rustix::io::Errno;

use super::{path, tree};
use crate::error::{Attempt, errno};
use crate::image::tar::shown;

/// Directories that are held open.
const MOST_OPEN: usize = 128;
const HELD: &str = "the last directory of a walk is held open";

/// A directory on the way.
#[derive(Debug)]
struct Level {
    /// None while it is too far above: it is found again as the parent of what is below.
    directory: Option<OwnedFd>,
    /// Device and inode, by which it is known again.
    identity: (u64, u64),
    path: Vec<u8>,
    /// What is still to come, the last name first.
    names: Vec<Vec<u8>>,
}

/// The directories from the top down to where a walk is.
#[derive(Debug, Default)]
pub struct Descent {
    levels: Vec<Level>,
}

/// A name in a directory, and its path below the top.
#[derive(Debug)]
pub struct Next<'d> {
    /// The directory.
    pub directory: BorrowedFd<'d>,
    /// The name.
    pub name: Vec<u8>,
    /// The path.
    pub path: Vec<u8>,
}

impl Descent {
    /// Goes into a directory: what is in it comes next, sorted by name. If it was removed meanwhile there is nothing.
    pub fn enter(&mut self, directory: OwnedFd, path: Vec<u8>) -> Result<()> {
        let identity = identity(&directory).attempt(|| format!("look at {}", shown(&path)))?;
        let mut names = match tree::names(&directory) {
            Err(error) if errno(&error) == Some(Errno::NOENT) => Vec::new(),
            names => names.with_context(|| shown(&path))?,
        };
        names.sort_by(|one, other| other.cmp(one));
        if let Some(far) = self.levels.len().checked_sub(MOST_OPEN) {
            self.levels[far].directory = None;
        }
        self.levels.push(Level { directory: Some(directory), identity, path, names });
        Ok(())
    }

    /// What comes next; none when all has been seen.
    pub fn next_name(&mut self) -> Result<Option<Next<'_>>> {
        while let Some(level) = self.levels.pop_if(|level| level.names.is_empty()) {
            let Some(parent) = self.levels.last_mut().filter(|parent| parent.directory.is_none()) else { continue };
            let below = level.directory.context(HELD)?;
            parent.directory = Some(above(&below, parent)?);
        }
        let Some(Level { directory, path, names, .. }) = self.levels.last_mut() else { return Ok(None) };
        let Some(name) = names.pop() else { return Ok(None) };
        let directory = directory.as_ref().context(HELD)?.as_fd();
        Ok(Some(Next { directory, path: path::join(path, &name), name }))
    }
}

fn identity(directory: impl AsFd) -> Result<(u64, u64), Errno> {
    fstat(directory).map(|stat| (stat.st_dev, stat.st_ino))
}

/// The parent of a directory, which must be the one that led there: somebody may have moved what is below.
fn above(below: &OwnedFd, wanted: &Level) -> Result<OwnedFd> {
    let what = || format!("go back to {}", shown(&wanted.path));
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let directory = openat(below, "..", flags, Mode::empty()).attempt(what)?;
    let is_same = identity(&directory).attempt(what)? == wanted.identity;
    ensure!(is_same, "{}: what is in it was moved away meanwhile", shown(&wanted.path));
    Ok(directory)
}
