//! Layers on top of each other, looked at as overlayfs would show them, without a mount.

use std::collections::BTreeSet;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;

use anyhow::{Context, Result};
use rustix::fs::{FileType, Mode, OFlags, Stat, fstat, openat, readlinkat};

use super::attributes::Attributes;
use super::form::{self, Form};
use super::ids::IdMaps;
use super::{path, tree};
use crate::error::Attempt;
use crate::image::tar::shown;

/// The layers of an image, or the lower part of them.
#[derive(Debug, Clone)]
pub struct Stack {
    /// The topmost first.
    layers: Vec<Arc<OwnedFd>>,
    form: Form,
    /// What the ids of files on the disk are ids of.
    ids: Arc<IdMaps>,
}

/// A directory of a stack: all directories that are merged there, the topmost first.
#[derive(Debug)]
pub struct Merged {
    parts: Vec<Arc<OwnedFd>>,
    form: Form,
    ids: Arc<IdMaps>,
}

/// Something that is no directory.
#[derive(Debug)]
pub struct Other {
    directory: Arc<OwnedFd>,
    name: Vec<u8>,
    ids: Arc<IdMaps>,
    /// What it is.
    pub stat: Stat,
}

/// What is in a stack.
#[derive(Debug)]
pub enum Found {
    /// A directory.
    Directory(Merged),
    /// Anything else.
    Other(Other),
}

impl Stack {
    /// No layers yet.
    pub fn new(form: Form) -> Stack {
        Stack::mapped(form, IdMaps::default())
    }

    /// The same for layers that have ids of the machine on the disk in place of those of an image, which are those that are found.
    pub fn mapped(form: Form, ids: IdMaps) -> Stack {
        Stack { layers: Vec::new(), form, ids: Arc::new(ids) }
    }

    /// Puts a layer on top.
    pub fn push(&mut self, root: OwnedFd) {
        self.layers.insert(0, Arc::new(root));
    }

    /// Whether there are no layers.
    pub fn is_empty(&self) -> bool {
        self.layers.is_empty()
    }

    /// The form of the layers.
    pub fn form(&self) -> Form {
        self.form
    }

    /// The root directories, the topmost first.
    pub fn layers(&self) -> impl ExactSizeIterator<Item = BorrowedFd<'_>> {
        self.layers.iter().map(|layer| layer.as_fd())
    }

    /// The root of the merged tree; none without layers. A root that is opaque hides the others.
    pub fn root(&self) -> Result<Option<Merged>> {
        let mut parts = Vec::new();
        for layer in &self.layers {
            parts.push(Arc::clone(layer));
            if self.form.is_opaque(layer)? {
                break;
            }
        }
        Ok((!parts.is_empty()).then_some(Merged { parts, form: self.form, ids: Arc::clone(&self.ids) }))
    }

    /// What a clean path leads to. Links are not followed, and nothing is found behind one.
    pub fn find(&self, path: &[u8]) -> Result<Option<Found>> {
        let Some(root) = self.root()? else { return Ok(None) };
        let mut at = Found::Directory(root);
        for name in path.split(|byte| *byte == b'/').filter(|name| !name.is_empty()) {
            let Found::Directory(directory) = at else { return Ok(None) };
            match directory.child(name)? {
                Some(child) => at = child,
                None => return Ok(None),
            }
        }
        Ok(Some(at))
    }

    /// What a path leads to with links followed, as if the stack were mounted at `/`; none also where links go round.
    pub fn resolve(&self, path: &[u8]) -> Result<Option<Found>> {
        let mut left = 40;
        let mut wanted = path::clean(path);
        'again: loop {
            let Some(root) = self.root()? else { return Ok(None) };
            let mut at = Found::Directory(root);
            let mut done: Vec<u8> = Vec::new();
            let names: Vec<&[u8]> = wanted.split(|byte| *byte == b'/').filter(|name| !name.is_empty()).collect();
            for (index, name) in names.iter().enumerate() {
                let Found::Directory(directory) = at else { return Ok(None) };
                let Some(child) = directory.child(name)? else { return Ok(None) };
                if let Found::Other(other) = &child
                    && let Some(target) = other.link()?
                {
                    let base = if target.starts_with(b"/") { b"" } else { &done[..] };
                    let rest = names[index + 1..].join(&b'/');
                    wanted = path::clean(&[base, b"/", &target, b"/", &rest].concat());
                    left -= 1;
                    if left == 0 {
                        return Ok(None);
                    }
                    continue 'again;
                }
                done = path::join(&done, name);
                at = child;
            }
            return Ok(Some(at));
        }
    }
}

impl Merged {
    /// The topmost of the directories: the attributes are its.
    pub fn top(&self) -> BorrowedFd<'_> {
        self.parts[0].as_fd()
    }

    /// The attributes.
    pub fn attributes(&self, form: Form) -> Result<Attributes> {
        let mut attributes = Attributes::of_file(self.top(), b".", &self.stat()?, form)?;
        self.ids.xattrs_in_container(&mut attributes.xattrs)?;
        Ok(attributes)
    }

    /// What it is.
    pub fn stat(&self) -> Result<Stat> {
        let mut stat = fstat(self.top()).attempt(|| "look at a directory")?;
        self.ids.owners_in_container(&mut stat)?;
        Ok(stat)
    }

    /// Whether two are made of the same directories, so that nothing below can differ.
    pub fn is(&self, other: &Merged) -> Result<bool> {
        if self.parts.len() != other.parts.len() {
            return Ok(false);
        }
        for (own, other) in self.parts.iter().zip(&other.parts) {
            let (own, other) =
                (fstat(own).attempt(|| "look at a directory")?, fstat(other).attempt(|| "look at a directory")?);
            if (own.st_dev, own.st_ino) != (other.st_dev, other.st_ino) {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// How many descriptors it is.
    pub fn descriptors(&self) -> usize {
        self.parts.len()
    }

    /// What is in it, as a stack of its own.
    pub fn stack(&self) -> Stack {
        Stack { layers: self.parts.clone(), form: self.form, ids: Arc::clone(&self.ids) }
    }

    /// What is called so in it.
    pub fn child(&self, name: &[u8]) -> Result<Option<Found>> {
        let mut parts = Vec::new();
        for part in &self.parts {
            let Some(mut stat) = tree::look(part, name)? else { continue };
            if !tree::is_directory(&stat) {
                if parts.is_empty() && !form::is_whiteout(&stat) {
                    self.ids.owners_in_container(&mut stat).with_context(|| shown(name))?;
                    let (directory, ids) = (Arc::clone(part), Arc::clone(&self.ids));
                    return Ok(Some(Found::Other(Other { directory, name: name.into(), ids, stat })));
                }
                break;
            }
            let directory = tree::open(part, name).attempt(|| format!("open {}", shown(name)))?;
            let opaque = self.form.is_opaque(&directory)?;
            parts.push(Arc::new(directory));
            if opaque {
                break;
            }
        }
        Ok((!parts.is_empty()).then_some(Found::Directory(Merged {
            parts,
            form: self.form,
            ids: Arc::clone(&self.ids),
        })))
    }

    /// All names in it, sorted; also those that a whiteout removes, for which there is no child.
    pub fn names(&self) -> Result<BTreeSet<Vec<u8>>> {
        let mut all = BTreeSet::new();
        for part in &self.parts {
            all.extend(tree::names(part)?);
        }
        Ok(all)
    }
}

impl Found {
    /// What it is.
    pub fn stat(&self) -> Result<Stat> {
        match self {
            Found::Directory(directory) => directory.stat(),
            Found::Other(other) => Ok(other.stat),
        }
    }

    /// The attributes.
    pub fn attributes(&self, form: Form) -> Result<Attributes> {
        match self {
            Found::Directory(directory) => directory.attributes(form),
            Found::Other(other) => other.attributes(form),
        }
    }
}

impl Other {
    /// Its type.
    pub fn kind(&self) -> FileType {
        FileType::from_raw_mode(self.stat.st_mode)
    }

    /// The directory of the one layer that it is in, and its name there.
    pub fn place(&self) -> (BorrowedFd<'_>, &[u8]) {
        (self.directory.as_fd(), &self.name)
    }

    /// Where it points to, if it is a symbolic link.
    pub fn link(&self) -> Result<Option<Vec<u8>>> {
        if self.kind() != FileType::Symlink {
            return Ok(None);
        }
        let target = readlinkat(&self.directory, &self.name[..], Vec::new());
        target.attempt(|| format!("read the link {}", shown(&self.name))).map(|target| Some(target.into_bytes()))
    }

    /// Opens a regular file for reading.
    pub fn open(&self) -> Result<OwnedFd> {
        // NONBLOCK: should it be a pipe after all, nobody waits for its other end.
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::NONBLOCK;
        openat(&self.directory, &self.name[..], flags, Mode::empty()).attempt(|| format!("open {}", shown(&self.name)))
    }

    /// The attributes.
    pub fn attributes(&self, form: Form) -> Result<Attributes> {
        let mut attributes = Attributes::of_file(self.directory.as_fd(), &self.name, &self.stat, form)?;
        self.ids.xattrs_in_container(&mut attributes.xattrs)?;
        Ok(attributes)
    }
}
