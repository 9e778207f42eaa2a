//! What one tree has that another has not: found by looking at both, merged.

use std::io::Read;

use anyhow::{Context, Result};
use rustix::fs::{FileType, Stat};

use super::form::Form;
use super::path;
use super::stack::{Found, Merged, Other, Stack};
use crate::image::tar::shown;

/// One difference.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// It is no longer there.
    Deleted,
    /// It is new, or of another type.
    Added,
    /// Its attributes or its content are others.
    Changed,
    /// A directory that is as it was, above something that isn't.
    Above,
}

/// A difference, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// Clean.
    pub path: Vec<u8>,
    /// What it is.
    pub kind: Kind,
}

/// The differences, each directory before what is in it, in it what was deleted first, all sorted by name. What `left_out` names is not
/// looked at.
pub fn between(base: &Stack, new: &Stack, left_out: impl Fn(&[u8]) -> bool) -> Result<Vec<Change>> {
    let mut walk = Walk { form: base.form(), left_out: &left_out, changes: Vec::new() };
    let Some(new_root) = new.root()? else { return Ok(Vec::new()) };
    match base.root()? {
        Some(base_root) => walk.directory(&base_root, &new_root, b"")?,
        None => {
            walk.push(b"", Kind::Added);
            walk.inside(&new_root, b"")?;
        }
    }
    Ok(walk.changes)
}

struct Walk<'l> {
    form: Form,
    left_out: &'l dyn Fn(&[u8]) -> bool,
    changes: Vec<Change>,
}

impl Walk<'_> {
    fn push(&mut self, path: &[u8], kind: Kind) {
        self.changes.push(Change { path: path.to_vec(), kind });
    }

    /// A directory that is in both.
    fn directory(&mut self, base: &Merged, new: &Merged, path: &[u8]) -> Result<()> {
        if base.is(new)? {
            return Ok(());
        }
        let same = self.same_attributes(&base.stat()?, &new.stat()?) && {
            base.attributes(self.form)?.xattrs == new.attributes(self.form)?.xattrs
        };
        let own = self.changes.len();
        self.push(path, if same { Kind::Above } else { Kind::Changed });
        let (base_names, new_names) = (base.names()?, new.names()?);
        let mut both = Vec::new();
        for name in base_names.union(&new_names) {
            let full = path::join(path, name);
            if (self.left_out)(&full) {
                continue;
            }
            match (base.child(name)?, new.child(name)?) {
                (None, None) => {}
                (Some(_), None) => self.push(&full, Kind::Deleted),
                pair => both.push((full, pair)),
            }
        }
        for (full, pair) in both {
            self.pair(pair, &full).with_context(|| format!("compare {}", shown(&full)))?;
        }
        if same && self.changes.len() == own + 1 {
            self.changes.pop();
        }
        Ok(())
    }

    fn pair(&mut self, pair: (Option<Found>, Option<Found>), path: &[u8]) -> Result<()> {
        match pair {
            (Some(Found::Directory(base)), Some(Found::Directory(new))) => self.directory(&base, &new, path),
            (Some(Found::Other(base)), Some(Found::Other(new))) if base.kind() == new.kind() => {
                if !self.same(&base, &new)? {
                    self.push(path, Kind::Changed);
                }
                Ok(())
            }
            (_, Some(new)) => self.added(&new, path),
            (_, None) => Ok(()),
        }
    }

    fn added(&mut self, new: &Found, path: &[u8]) -> Result<()> {
        match new {
            Found::Directory(directory) => {
                self.push(path, Kind::Added);
                self.inside(directory, path)
            }
            // A socket is nothing without the program that made it.
            Found::Other(other) if other.kind() == FileType::Socket => Ok(()),
            Found::Other(_) => {
                self.push(path, Kind::Added);
                Ok(())
            }
        }
    }

    fn inside(&mut self, new: &Merged, path: &[u8]) -> Result<()> {
        for name in new.names()? {
            let full = path::join(path, &name);
            if !(self.left_out)(&full)
                && let Some(child) = new.child(&name)?
            {
                self.added(&child, &full)?;
            }
        }
        Ok(())
    }

    fn same_attributes(&self, base: &Stat, new: &Stat) -> bool {
        (base.st_mode, base.st_uid, base.st_gid) == (new.st_mode, new.st_uid, new.st_gid)
    }

    fn same(&self, base: &Other, new: &Other) -> Result<bool> {
        let (one, other) = (&base.stat, &new.stat);
        if (one.st_dev, one.st_ino) == (other.st_dev, other.st_ino) {
            return Ok(true);
        }
        if !self.same_attributes(one, other) || one.st_rdev != other.st_rdev || one.st_size != other.st_size {
            return Ok(false);
        }
        if base.link()? != new.link()? {
            return Ok(false);
        }
        if base.attributes(self.form)?.xattrs != new.attributes(self.form)?.xattrs {
            return Ok(false);
        }
        let whole_seconds = one.st_mtime_nsec == 0 || other.st_mtime_nsec == 0;
        if one.st_mtime != other.st_mtime || (!whole_seconds && one.st_mtime_nsec != other.st_mtime_nsec) {
            return Ok(false);
        }
        // A time of whole seconds was set by somebody, and says little of the content.
        if whole_seconds && base.kind() == FileType::RegularFile { same_content(base, new) } else { Ok(true) }
    }
}

fn same_content(base: &Other, new: &Other) -> Result<bool> {
    let (mut one, mut other) = (std::fs::File::from(base.open()?), std::fs::File::from(new.open()?));
    let (mut first, mut second) = (vec![0; 64 << 10], vec![0; 64 << 10]);
    loop {
        let count = one.read(&mut first).context("read the file below")?;
        if count == 0 {
            return Ok(other.read(&mut second[..1]).context("read the file")? == 0);
        }
        if other.read_exact(&mut second[..count]).is_err() || first[..count] != second[..count] {
            return Ok(false);
        }
    }
}
