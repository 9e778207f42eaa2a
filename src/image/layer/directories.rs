//! The directories of a layer that is being unpacked: each one is opened without leaving the layer, and kept open for what
//! comes next.

use std::collections::{BTreeSet, HashMap};
use std::os::fd::{AsFd, OwnedFd};
use std::rc::Rc;

use anyhow::{Result, bail};
use rustix::fs::{AtFlags, Mode, OFlags, ResolveFlags, fchmod, mkdirat, openat2, readlinkat, unlinkat};
use rustix::io::Errno;

use super::attributes::{self, Warnings};
use super::form::{self, Form};
use super::stack::{Found, Stack};
use super::{path, tree};
use crate::error::{Attempt, Refusal};
use crate::image::tar::{Time, shown};

/// Links that one path may lead through, as in path_resolution(7).
const MOST_LINKS: u32 = 40;
/// Bytes that openat2(2) takes.
const PATH_MAX: usize = 4096;
/// Directories that are kept open.
const MOST_OPEN: usize = 128;

/// An open directory of the layer.
#[derive(Debug)]
pub struct Directory {
    /// The directory.
    pub descriptor: OwnedFd,
    /// Where it is, links resolved; clean.
    pub path: Vec<u8>,
}

/// All directories of a layer.
#[derive(Debug)]
pub struct Directories<'a> {
    root: Rc<Directory>,
    open: HashMap<Vec<u8>, Rc<Directory>>,
    form: Form,
    below: Option<&'a Stack>,
    /// Directories that had to be made though the archive has no entry for them.
    pub implied: BTreeSet<Vec<u8>>,
    /// Directories that hide all below them.
    pub opaque: BTreeSet<Vec<u8>>,
    /// What was removed from the layers below.
    pub whiteouts: BTreeSet<Vec<u8>>,
    /// Times of directories copied from below, to be set when nothing more is made in them.
    pub times: Vec<(Vec<u8>, Time)>,
}

impl<'a> Directories<'a> {
    /// A layer whose root is open. What is in the layers below, if they are given, says where links lead and what the
    /// directories are like that the archive has no entries for.
    pub fn new(root: OwnedFd, form: Form, below: Option<&'a Stack>) -> Directories<'a> {
        let root = Rc::new(Directory { descriptor: root, path: Vec::new() });
        let implied = BTreeSet::from([Vec::new()]);
        let (opaque, whiteouts) = (BTreeSet::new(), BTreeSet::new());
        Directories { root, open: HashMap::new(), form, below, implied, opaque, whiteouts, times: Vec::new() }
    }

    /// The layer's root.
    pub fn root(&self) -> &Rc<Directory> {
        &self.root
    }

    /// Opens a directory, given by its clean path; makes what is missing of it.
    pub fn enter(&mut self, path: &[u8]) -> Result<Rc<Directory>> {
        self.walk(path, true, 0)
    }

    /// Opens a directory; none if there is none.
    pub fn find(&mut self, path: &[u8]) -> Result<Option<Rc<Directory>>> {
        match self.walk(path, false, 0) {
            Err(error) if matches!(crate::error::errno(&error), Some(Errno::NOENT | Errno::NOTDIR)) => Ok(None),
            found => found.map(Some),
        }
    }

    /// Forgets what is open: a directory, or a link that one was reached through, is replaced.
    pub fn forget(&mut self) {
        self.open.clear();
    }

    fn walk(&mut self, path: &[u8], make: bool, links: u32) -> Result<Rc<Directory>> {
        if path.is_empty() {
            return Ok(Rc::clone(&self.root));
        }
        if let Some(known) = self.open.get(path) {
            return Ok(Rc::clone(known));
        }
        let (mut at, mut done) = self.nearest(path);
        let rest = if done == 0 { path } else { &path[done + 1..] };
        if at.path.len() == done
            && let Some(whole) = beneath(&at, rest)?
        {
            return Ok(self.keep(path, whole));
        }
        for name in rest.split(|byte| *byte == b'/') {
            at = self.step(&at, name, make, links)?;
            done += name.len() + usize::from(done > 0);
            self.keep_shared(&path[..done], &at);
        }
        Ok(at)
    }

    /// The open directory that is nearest above a path, and how much of the path leads there.
    fn nearest(&self, path: &[u8]) -> (Rc<Directory>, usize) {
        let mut end = path.len();
        while let Some(slash) = path[..end].iter().rposition(|byte| *byte == b'/') {
            if let Some(known) = self.open.get(&path[..slash]) {
                return (Rc::clone(known), slash);
            }
            end = slash;
        }
        (Rc::clone(&self.root), 0)
    }

    fn keep(&mut self, path: &[u8], directory: Directory) -> Rc<Directory> {
        let directory = Rc::new(directory);
        self.keep_shared(path, &directory);
        directory
    }

    fn keep_shared(&mut self, path: &[u8], directory: &Rc<Directory>) {
        if self.open.len() >= MOST_OPEN {
            self.open.clear();
        }
        self.open.insert(path.to_vec(), Rc::clone(directory));
    }

    /// One component further.
    fn step(&mut self, at: &Rc<Directory>, name: &[u8], make: bool, links: u32) -> Result<Rc<Directory>> {
        let full = path::join(&at.path, name);
        match tree::open(&at.descriptor, name) {
            Ok(descriptor) => return Ok(Rc::new(Directory { descriptor, path: full })),
            Err(Errno::NOENT) => {}
            Err(Errno::NOTDIR | Errno::LOOP) => match readlinkat(&at.descriptor, name, Vec::new()) {
                Ok(target) => return self.follow(at, target.as_bytes(), make, links),
                Err(Errno::INVAL) => return self.replaced_whiteout(at, name, full, make),
                refused => drop(refused.attempt(|| format!("read the link {}", shown(&full)))?),
            },
            refused => drop(refused.attempt(|| format!("open {}", shown(&full)))?),
        }
        if !make {
            return Err(Refusal(Errno::NOENT).into());
        }
        match self.below.map(|below| below.find(&full)).transpose()?.flatten() {
            Some(Found::Directory(below)) => {
                let like = below.attributes(self.form)?;
                let made = self.make(at, name, full)?;
                attributes::set(&made.descriptor, &like, &mut Warnings::new())?;
                self.times.push((made.path.clone(), like.modified));
                Ok(made)
            }
            Some(Found::Other(other)) => match other.link()? {
                Some(target) => self.follow(at, &target, make, links),
                None => bail!("{} is no directory in the layers below", shown(&full)),
            },
            None => {
                self.implied.insert(full.clone());
                self.make(at, name, full)
            }
        }
    }

    /// A link is followed as if the layer were mounted at `/`.
    fn follow(&mut self, at: &Directory, target: &[u8], make: bool, links: u32) -> Result<Rc<Directory>> {
        if links >= MOST_LINKS {
            return Err(Refusal(Errno::LOOP).into());
        }
        let absolute = target.starts_with(b"/");
        let target = if absolute { path::clean(target) } else { path::clean(&path::join(&at.path, target)) };
        self.walk(&target, make, links + 1)
    }

    /// Where a directory is wanted, there is something else: a whiteout gives way to a directory that hides what it hid.
    fn replaced_whiteout(&mut self, at: &Directory, name: &[u8], full: Vec<u8>, make: bool) -> Result<Rc<Directory>> {
        let whiteout = tree::look(&at.descriptor, name)?.is_some_and(|stat| form::is_whiteout(&stat));
        if !make || !whiteout {
            return Err(Refusal(Errno::NOTDIR).into());
        }
        unlinkat(&at.descriptor, name, AtFlags::empty()).attempt(|| format!("remove {}", shown(&full)))?;
        self.whiteouts.remove(&full);
        self.implied.insert(full.clone());
        let made = self.make(at, name, full)?;
        self.hide_below(&made)?;
        Ok(made)
    }

    /// Makes a directory opaque.
    pub fn hide_below(&mut self, directory: &Directory) -> Result<()> {
        let path = shown(&directory.path);
        self.form.make_opaque(&directory.descriptor).attempt(|| format!("make {path} opaque"))?;
        self.opaque.insert(directory.path.clone());
        Ok(())
    }

    fn make(&self, at: &Directory, name: &[u8], full: Vec<u8>) -> Result<Rc<Directory>> {
        let what = || format!("make the directory {}", shown(&full));
        mkdirat(&at.descriptor, name, Mode::from_raw_mode(0o755)).attempt(what)?;
        let descriptor = tree::open(&at.descriptor, name).attempt(what)?;
        fchmod(&descriptor, Mode::from_raw_mode(0o755)).attempt(what)?;
        Ok(Rc::new(Directory { descriptor, path: full }))
    }
}

/// Opens a whole path at once, if no link is on it; the kernel sees to it that it is beneath.
fn beneath(at: &Directory, path: &[u8]) -> Result<Option<Directory>> {
    if path.len() >= PATH_MAX {
        return Ok(None);
    }
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let resolve =
        ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS | ResolveFlags::NO_XDEV;
    match openat2(at.descriptor.as_fd(), path, flags, Mode::empty(), resolve) {
        Ok(descriptor) => Ok(Some(Directory { descriptor, path: path::join(&at.path, path) })),
        // Something is missing or is a link: step by step.
        Err(Errno::NOENT | Errno::LOOP | Errno::NOTDIR | Errno::NAMETOOLONG) => Ok(None),
        refused => refused.attempt(|| format!("open {}", shown(path))).map(|_| None),
    }
}
