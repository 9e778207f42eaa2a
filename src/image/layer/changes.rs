//! What one tree has that another has not: found by looking at both, merged.

use std::collections::BTreeSet;
use std::io::Read;

use anyhow::{Context, Result};
use rustix::fs::{FileType, Stat};

use super::form::Form;
use super::path;
use super::stack::{Found, Merged, Other, Stack};
use crate::error::{Errno, errno};
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

/// Descriptors of directories that are held while what is below them is compared: a process may have a thousand, and what is nested in a
/// container may be deeper, and is merged of many layers.
const MOST_OPEN: usize = 256;

/// The differences, each directory before what is in it, in it what was deleted first, all sorted by name. What `left_out` names is not
/// looked at.
pub fn between(base: &Stack, new: &Stack, left_out: impl Fn(&[u8]) -> bool) -> Result<Vec<Change>> {
    let (form, levels, changes) = (base.form(), Vec::new(), Vec::new());
    let mut walk = Walk { base, new, form, left_out: &left_out, levels, first_open: 0, open: 0, changes };
    let Some(new_root) = new.root()? else { return Ok(Vec::new()) };
    match base.root()? {
        Some(base_root) => walk.compare(base_root, new_root, Vec::new())?,
        None => walk.add(Found::Directory(new_root), Vec::new())?,
    }
    while let Some(level) = walk.levels.last_mut() {
        match level.names.pop_first() {
            Some(name) => {
                let (path, before) = (path::join(&level.path, &name), walk.changes.len());
                match walk.visit(&name, &path) {
                    // Of a container that runs: what went meanwhile is not there.
                    Err(error) if errno(&error) == Some(Errno::NOENT) => walk.changes.truncate(before),
                    visited => visited.with_context(|| format!("compare {}", shown(&path)))?,
                }
            }
            None => walk.leave(),
        }
    }
    Ok(walk.changes)
}

/// A directory that is being looked at.
struct Level {
    path: Vec<u8>,
    /// Whether it is in both, and not only new.
    is_compared: bool,
    /// What it is, as long as that is held open.
    open: Option<(Option<Merged>, Merged)>,
    /// What is still to be looked at.
    names: BTreeSet<Vec<u8>>,
    deleted: Vec<Change>,
    /// The place of its own change.
    own: usize,
}

impl Level {
    fn descriptors(&self) -> usize {
        let (base, new) = self.open.as_ref().map_or((None, None), |(base, new)| (base.as_ref(), Some(new)));
        base.into_iter().chain(new).map(Merged::descriptors).sum()
    }
}

struct Walk<'l> {
    base: &'l Stack,
    new: &'l Stack,
    form: Form,
    left_out: &'l dyn Fn(&[u8]) -> bool,
    /// From the root down to where the walk is.
    levels: Vec<Level>,
    /// The levels from here on are held open, and are so many descriptors.
    first_open: usize,
    open: usize,
    changes: Vec<Change>,
}

impl Walk<'_> {
    fn push(&mut self, path: Vec<u8>, kind: Kind) {
        self.changes.push(Change { path, kind });
    }

    /// A directory that is in both.
    fn compare(&mut self, base: Merged, new: Merged, path: Vec<u8>) -> Result<()> {
        if base.is(&new)? {
            return Ok(());
        }
        let same = self.same_attributes(&base.stat()?, &new.stat()?)
            && base.attributes(self.form)?.xattrs == new.attributes(self.form)?.xattrs;
        self.push(path.clone(), if same { Kind::Above } else { Kind::Changed });
        self.enter(Some(base), new, path)
    }

    fn add(&mut self, new: Found, path: Vec<u8>) -> Result<()> {
        match new {
            Found::Directory(directory) => {
                self.push(path.clone(), Kind::Added);
                self.enter(None, directory, path)
            }
            // A socket is nothing without the program that made it.
            Found::Other(other) if other.kind() == FileType::Socket => Ok(()),
            Found::Other(_) => {
                self.push(path, Kind::Added);
                Ok(())
            }
        }
    }

    /// What is in a directory comes next.
    fn enter(&mut self, base: Option<Merged>, new: Merged, path: Vec<u8>) -> Result<()> {
        let mut names = new.names()?;
        if let Some(base) = &base {
            names.append(&mut base.names()?);
        }
        let (is_compared, open, own) = (base.is_some(), Some((base, new)), self.changes.len() - 1);
        let level = Level { path, is_compared, open, names, deleted: Vec::new(), own };
        self.open += level.descriptors();
        self.levels.push(level);
        while self.open > MOST_OPEN && self.first_open + 1 < self.levels.len() {
            let level = &mut self.levels[self.first_open];
            self.open -= level.descriptors();
            level.open = None;
            self.first_open += 1;
        }
        Ok(())
    }

    /// Opens the last level again. It is none of the walk's any more if somebody removed it meanwhile.
    fn reopen(&mut self) -> Result<()> {
        let Some(last) = self.levels.last_mut().filter(|level| level.open.is_none()) else { return Ok(()) };
        let base = if last.is_compared { self.base.find(&last.path)? } else { None };
        match (base, self.new.find(&last.path)?) {
            (Some(Found::Directory(base)), Some(Found::Directory(new))) => last.open = Some((Some(base), new)),
            (None, Some(Found::Directory(new))) if !last.is_compared => last.open = Some((None, new)),
            _ => last.names.clear(),
        }
        self.open = last.descriptors();
        self.first_open = self.levels.len() - 1;
        Ok(())
    }

    /// All of a directory has been looked at.
    fn leave(&mut self) {
        let Some(level) = self.levels.pop() else { return };
        self.open -= level.descriptors();
        self.first_open = self.first_open.min(self.levels.len());
        let own = level.own;
        self.changes.splice(own + 1..own + 1, level.deleted);
        if self.changes.len() == own + 1 && self.changes[own].kind == Kind::Above {
            self.changes.pop();
        }
    }

    /// What is called so in the last level's directory.
    fn visit(&mut self, name: &[u8], path: &[u8]) -> Result<()> {
        if (self.left_out)(path) {
            return Ok(());
        }
        self.reopen()?;
        let Some(level) = self.levels.last_mut() else { return Ok(()) };
        let Some((base, new)) = &level.open else { return Ok(()) };
        let base = base.as_ref().map(|base| base.child(name)).transpose()?.flatten();
        match (base, new.child(name)?) {
            (None, None) => {}
            (Some(_), None) => level.deleted.push(Change { path: path.into(), kind: Kind::Deleted }),
            (Some(Found::Directory(base)), Some(Found::Directory(new))) => self.compare(base, new, path.into())?,
            (Some(Found::Other(base)), Some(Found::Other(new))) if base.kind() == new.kind() => {
                if !self.same(&base, &new)? {
                    self.push(path.into(), Kind::Changed);
                }
            }
            (_, Some(new)) => self.add(new, path.into())?,
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
