//! Walking a group and all groups below it.

use std::ffi::{CStr, CString};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use rustix::fs::{Dir, FileType};
use rustix::io::Result;

use super::file;

/// What a walk does at each group.
pub(super) trait Visit {
    /// Called for each group before those below it.
    fn enter(&mut self, _group: BorrowedFd<'_>) -> Result<()> {
        Ok(())
    }

    /// Called for each group but the top, after those below it, with its parent and its name.
    fn leave(&mut self, _parent: BorrowedFd<'_>, _name: &CStr) -> Result<()> {
        Ok(())
    }
}

/// Walks the tree below `top`, which is entered first. Groups that vanish meanwhile are passed over.
///
/// A container that was given its group can nest groups as deep as it likes, so neither the stack nor the number of
/// open descriptors grows with the depth: one directory is open, and the way up is `..` (a group is never moved:
/// cgroup2 has no rename).
pub(super) fn walk(top: OwnedFd, visit: &mut impl Visit) -> Result<()> {
    visit.enter(top.as_fd())?;
    let mut levels = vec![Level { name: c".".to_owned(), left: below(top.as_fd())? }];
    let mut current = top;
    while let Some(level) = levels.last_mut() {
        if let Some(name) = level.left.pop() {
            let group = match file::directory(current.as_fd(), Path::new(std::ffi::OsStr::from_bytes(name.as_bytes())))
            {
                Err(error) if file::is_gone(error) => continue,
                opened => opened?,
            };
            passing_over_gone(visit.enter(group.as_fd()))?;
            levels.push(Level { name, left: below(group.as_fd())? });
            current = group;
        } else {
            let done = levels.pop().map(|level| level.name).unwrap_or_default();
            if !levels.is_empty() {
                current = file::directory(current.as_fd(), Path::new(".."))?;
                passing_over_gone(visit.leave(current.as_fd(), &done))?;
            }
        }
    }
    Ok(())
}

struct Level {
    name: CString,
    left: Vec<CString>,
}

fn passing_over_gone(result: Result<()>) -> Result<()> {
    match result {
        Err(error) if file::is_gone(error) => Ok(()),
        other => other,
    }
}

/// The names of the groups directly below one.
fn below(group: BorrowedFd<'_>) -> Result<Vec<CString>> {
    let listing = match Dir::read_from(group) {
        Err(error) if file::is_gone(error) => return Ok(Vec::new()),
        opened => opened?,
    };
    let mut names = Vec::new();
    for entry in listing {
        match entry {
            Ok(entry) if entry.file_type() == FileType::Directory => {
                if entry.file_name() != c"." && entry.file_name() != c".." {
                    names.push(entry.file_name().to_owned());
                }
            }
            Ok(_) => {}
            Err(error) if file::is_gone(error) => break,
            Err(error) => return Err(error),
        }
    }
    Ok(names)
}
