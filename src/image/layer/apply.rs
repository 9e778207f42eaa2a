//! Unpacking: an archive of changes becomes a directory in overlayfs's form (image-spec, layer.md).

use std::collections::BTreeMap;
use std::fs::File;
use std::os::fd::{AsFd, OwnedFd};
use std::rc::Rc;

use anyhow::{Context, Result, bail, ensure};
use rustix::fs::{
    AtFlags, FileType, Mode, OFlags, fstatvfs, linkat, makedev, mkdirat, mknodat, openat, symlinkat, unlinkat,
};
use rustix::io::Errno;

use super::attributes::{self, Attributes, DEFAULT_ACL, Warnings};
use super::directories::{Directories, Directory};
use super::form::{self, Form};
use super::stack::{Found, Stack};
use super::{copy, path, tree};
use crate::error::{Attempt, errno};
use crate::image::tar::{Entry, Input, Kind, Reader, Time, reader, shown};

/// What the names of whiteouts begin with.
const WHITEOUT: &[u8] = b".wh.";
/// The name that makes its directory opaque.
const OPAQUE: &[u8] = b".wh..wh..opq";
/// What AUFS kept for itself; of no meaning to anybody else.
const AUFS: &[u8] = b".wh..wh.";
/// Bytes that are read at once.
const BUFFER: usize = 128 << 10;

/// What came of it.
#[derive(Debug, Default)]
pub struct Outcome {
    /// Bytes of all regular files.
    pub size: u64,
    /// Directories without an entry of their own.
    pub implied: Vec<Vec<u8>>,
    /// Whiteouts that were made.
    pub whiteouts: Vec<Vec<u8>>,
    /// Directories that hide all below.
    pub opaque: Vec<Vec<u8>>,
    /// Why it can't be done without a look at the layers below; the directory is of no use then.
    pub needs_below: Option<String>,
    /// What could not be kept.
    pub warnings: Warnings,
}

/// Unpacks an archive into an empty directory. Without `below`, what can't be known without the lower layers is left for
/// [`super::finish()`], or asked for in the outcome.
pub fn apply<R: Input>(archive: &mut Reader<R>, root: OwnedFd, form: Form, below: Option<&Stack>) -> Result<Outcome> {
    let statistics = fstatvfs(&root).attempt(|| "ask for the free space")?;
    let mut apply = Apply {
        directories: Directories::new(root, form, below),
        form,
        below,
        room: statistics.f_bavail.saturating_mul(statistics.f_frsize),
        links: Vec::new(),
        late: BTreeMap::new(),
        buffer: vec![0; BUFFER],
        outcome: Outcome::default(),
    };
    while let Some(entry) = archive.next_entry()? {
        apply.entry(archive, &entry).with_context(|| format!("entry {}", entry.name()))?;
    }
    apply.finish()
}

/// A hard link whose target was not there yet.
struct Link {
    path: Vec<u8>,
    target: Vec<u8>,
}

struct Apply<'a> {
    directories: Directories<'a>,
    form: Form,
    below: Option<&'a Stack>,
    /// Bytes that the file system has left.
    room: u64,
    links: Vec<Link>,
    /// Times and default ACLs of directories, which are set when nothing more is made in them.
    late: BTreeMap<Vec<u8>, (Time, Option<Vec<u8>>)>,
    buffer: Vec<u8>,
    outcome: Outcome,
}

impl Apply<'_> {
    fn entry<R: Input>(&mut self, archive: &mut Reader<R>, entry: &Entry) -> Result<()> {
        let path = path::clean(&entry.path);
        let attributes = Attributes::of_entry(entry, self.form);
        if path.is_empty() {
            ensure!(entry.kind == Kind::Directory, "the root of a layer can only be a directory");
            let root = Rc::clone(self.directories.root());
            return self.directory_attributes(&root, attributes);
        }
        let (parent, name) = path::split(&path);
        if name.starts_with(WHITEOUT) {
            return self.whiteout(parent, name);
        }
        ensure!(name.len() <= 255, "a name of {} bytes, more than 255", name.len());
        let parent = self.directories.enter(parent)?;
        match &entry.kind {
            Kind::Directory => {
                let directory = self.directory(&parent, name)?;
                self.directory_attributes(&directory, attributes)
            }
            Kind::File => self.file(archive, &parent, name, entry, &attributes),
            Kind::Link(target) => self.link(&parent, name, path::clean(target)),
            Kind::Symlink(target) => {
                let link = |at: &Directory| symlinkat(&target[..], &at.descriptor, name);
                self.make(&parent, name, link).context("make the symbolic link")?;
                let warnings = &mut self.outcome.warnings;
                attributes::set_by_name(parent.descriptor.as_fd(), name, &attributes, true, warnings)
            }
            Kind::Fifo => self.node(&parent, name, FileType::Fifo, 0, &attributes),
            Kind::Block(major, minor) => {
                self.node(&parent, name, FileType::BlockDevice, makedev(*major, *minor), &attributes)
            }
            Kind::Character(0, 0) => bail!("a character device 0:0, which overlayfs takes for a removed file"),
            Kind::Character(major, minor) => {
                self.node(&parent, name, FileType::CharacterDevice, makedev(*major, *minor), &attributes)
            }
        }
    }

    /// Makes something; what has the name already gives way.
    fn make<T>(&mut self, at: &Directory, name: &[u8], make: impl Fn(&Directory) -> Result<T, Errno>) -> Result<T> {
        match make(at) {
            Err(Errno::EXIST) => {}
            done => return done.attempt(|| "make it"),
        }
        self.clear(at, name)?;
        make(at).attempt(|| "make it")
    }

    /// Removes what a later entry replaces.
    fn clear(&mut self, at: &Directory, name: &[u8]) -> Result<()> {
        let full = path::join(&at.path, name);
        let Some(stat) = tree::look(&at.descriptor, name)? else { return Ok(()) };
        if tree::is_directory(&stat) {
            // It hid what is below, or merged with it; what takes its place hides it.
            let inside =
                |path: &[u8]| path == full || path.strip_prefix(&full[..]).is_some_and(|p| p.starts_with(b"/"));
            let directories = &mut self.directories;
            for set in [&mut directories.implied, &mut directories.whiteouts, &mut directories.opaque] {
                set.retain(|path| !inside(path));
            }
            self.late.retain(|path, _| !inside(path));
        }
        self.directories.whiteouts.remove(&full);
        self.directories.forget();
        tree::remove(&at.descriptor, name)
    }

    fn directory(&mut self, at: &Directory, name: &[u8]) -> Result<Rc<Directory>> {
        let full = path::join(&at.path, name);
        let make = || mkdirat(&at.descriptor, name, Mode::from_raw_mode(0o755));
        let mut hides = false;
        match make() {
            Ok(()) => {}
            Err(Errno::EXIST) => match tree::look(&at.descriptor, name)? {
                Some(stat) if tree::is_directory(&stat) => {}
                Some(stat) => {
                    hides = form::is_whiteout(&stat);
                    self.clear(at, name)?;
                    make().attempt(|| "make the directory")?;
                }
                None => make().attempt(|| "make the directory")?,
            },
            refused => refused.attempt(|| "make the directory")?,
        }
        let descriptor = tree::open(&at.descriptor, name).attempt(|| "open the directory")?;
        let directory = Rc::new(Directory { descriptor, path: full });
        if hides {
            self.directories.hide_below(&directory)?;
        }
        Ok(directory)
    }

    fn directory_attributes(&mut self, directory: &Directory, attributes: Attributes) -> Result<()> {
        self.directories.implied.remove(&directory.path);
        attributes::set(&directory.descriptor, &attributes, &mut self.outcome.warnings)?;
        let acl = attributes.xattrs.get(DEFAULT_ACL).cloned();
        self.late.insert(directory.path.clone(), (attributes.modified, acl));
        Ok(())
    }

    fn file<R: Input>(
        &mut self,
        archive: &mut Reader<R>,
        at: &Directory,
        name: &[u8],
        entry: &Entry,
        wanted: &Attributes,
    ) -> Result<()> {
        let stored = entry.sparse.as_ref().map_or(entry.size, |map| map.iter().map(|segment| segment.length).sum());
        let room = self.room;
        self.room = room
            .checked_sub(stored)
            .with_context(|| format!("its {stored} bytes don't fit: the file system has {room} bytes left"))?;
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let create = |at: &Directory| openat(&at.descriptor, name, flags, Mode::from_raw_mode(0o600));
        let mut file = File::from(self.make(at, name, create).context("make the file")?);
        reader::write_content(archive, entry, &mut self.buffer, &mut file)?;
        self.outcome.size += entry.size;
        attributes::set(&file, wanted, &mut self.outcome.warnings)?;
        attributes::set_time(&file, wanted.modified)
    }

    fn node(&mut self, at: &Directory, name: &[u8], kind: FileType, device: u64, wanted: &Attributes) -> Result<()> {
        if kind != FileType::Fifo && !self.form.has_devices() {
            // An empty file without permissions, so that the name is taken; umoci does the same.
            self.outcome
                .warnings
                .insert("device nodes can't be made by an ordinary user: empty files stand for them".into());
            let make = |at: &Directory| mknodat(&at.descriptor, name, FileType::RegularFile, Mode::empty(), 0);
            self.make(at, name, make).context("make the file that stands for a device")?;
            let wanted = Attributes { mode: 0, ..wanted.clone() };
            return attributes::set_by_name(at.descriptor.as_fd(), name, &wanted, false, &mut self.outcome.warnings);
        }
        let make = |at: &Directory| mknodat(&at.descriptor, name, kind, Mode::empty(), device);
        self.make(at, name, make).context("make the node")?;
        attributes::set_by_name(at.descriptor.as_fd(), name, wanted, false, &mut self.outcome.warnings)
    }

    /// Removes something of the layers below, and nothing of this one, whatever the order of the entries is.
    fn whiteout(&mut self, parent: &[u8], name: &[u8]) -> Result<()> {
        if name == OPAQUE {
            let directory = self.directories.enter(parent)?;
            return self.directories.hide_below(&directory);
        }
        if name.starts_with(AUFS) {
            return Ok(());
        }
        let removed = &name[WHITEOUT.len()..];
        ensure!(!matches!(removed, b"" | b"." | b".."), "a whiteout of nothing");
        let parent = self.directories.enter(parent)?;
        match tree::look(&parent.descriptor, removed)? {
            None => {
                form::make_whiteout(&parent.descriptor, removed).attempt(|| "make the whiteout")?;
                self.directories.whiteouts.insert(path::join(&parent.path, removed));
            }
            // The directory is this layer's; what is below it goes.
            Some(stat) if tree::is_directory(&stat) => {
                let descriptor = tree::open(&parent.descriptor, removed).attempt(|| "open the directory")?;
                let path = path::join(&parent.path, removed);
                self.directories.hide_below(&Directory { descriptor, path })?;
            }
            // Anything else hides what is below by being there.
            Some(_) => {}
        }
        Ok(())
    }

    fn link(&mut self, at: &Rc<Directory>, name: &[u8], target: Vec<u8>) -> Result<()> {
        let path = path::join(&at.path, name);
        if path == target {
            // A link to itself: it is there, or nowhere.
            ensure!(tree::look(&at.descriptor, name)?.is_some(), "a hard link to itself");
            return Ok(());
        }
        if self.linked(at, name, &target)? {
            return Ok(());
        }
        self.links.push(Link { path, target });
        Ok(())
    }

    /// Makes a hard link, if its target is in this layer.
    fn linked(&mut self, at: &Rc<Directory>, name: &[u8], target: &[u8]) -> Result<bool> {
        let (directory, target_name) = path::split(target);
        let Some(from) = self.directories.find(directory)? else { return Ok(false) };
        match tree::look(&from.descriptor, target_name)? {
            None => return Ok(false),
            Some(stat) if form::is_whiteout(&stat) => return Ok(false),
            Some(stat) if tree::is_directory(&stat) => bail!("a hard link to the directory {}", shown(target)),
            Some(_) => {}
        }
        let link = |at: &Directory| linkat(&from.descriptor, target_name, &at.descriptor, name, AtFlags::empty());
        match self.make(at, name, link) {
            Ok(()) => Ok(true),
            // What gave way held the target.
            Err(error) if errno(&error) == Some(Errno::NOENT) => Ok(false),
            Err(error) => Err(error.context(format!("link to {}", shown(target)))),
        }
    }

    /// Links whose targets came later or are in a layer below, and the times of directories.
    fn finish(mut self) -> Result<Outcome> {
        for link in std::mem::take(&mut self.links) {
            let what = || format!("entry {}: the hard link to {}", shown(&link.path), shown(&link.target));
            if !self.late_link(&link).with_context(what)? {
                self.outcome.needs_below = Some(what());
                return Ok(self.outcome);
            }
        }
        let late = std::mem::take(&mut self.late);
        let from_below =
            std::mem::take(&mut self.directories.times).into_iter().map(|(path, time)| (path, (time, None)));
        for (path, (time, acl)) in from_below.chain(late) {
            if let Some(directory) = self.directories.find(&path)? {
                attributes::set_last(&directory.descriptor, time, acl.as_ref(), &mut self.outcome.warnings)
                    .with_context(|| format!("entry {}", shown(&path)))?;
            }
        }
        let directories = self.directories;
        self.outcome.implied = directories.implied.into_iter().collect();
        self.outcome.whiteouts = directories.whiteouts.into_iter().collect();
        self.outcome.opaque = directories.opaque.into_iter().collect();
        Ok(self.outcome)
    }

    /// Says whether it could be made without knowing the layers below.
    fn late_link(&mut self, link: &Link) -> Result<bool> {
        let (parent, name) = path::split(&link.path);
        let at = self.directories.enter(parent)?;
        if tree::look(&at.descriptor, name)?.is_some_and(|stat| !form::is_whiteout(&stat)) {
            // An entry that came after the link has its name.
            return Ok(true);
        }
        if self.linked(&at, name, &link.target)? {
            return Ok(true);
        }
        let Some(below) = self.below else { return Ok(false) };
        let Some(Found::Other(target)) = below.find(&link.target)? else {
            bail!("there is no such file in this layer or below");
        };
        // A link to a file of another layer: the file has to be in this one.
        let (directory, target_name) = path::split(&link.target);
        let to = self.directories.enter(directory)?;
        copy::other(&target, to.descriptor.as_fd(), target_name, self.form, &mut self.outcome.warnings)?;
        if !self.linked(&at, name, &link.target)? {
            unlinkat(&to.descriptor, target_name, AtFlags::empty()).attempt(|| "remove the copy")?;
            bail!("the target was copied and can't be linked to");
        }
        Ok(true)
    }
}
