//! An archive is unpacked into a directory that has something in it already. Nothing leads out of that directory.

use std::collections::BTreeMap;
use std::fs::File;
use std::os::fd::{AsFd, OwnedFd};

use anyhow::{Context, Result, bail, ensure};
use rustix::fs::{
    AtFlags, FileType, Mode, OFlags, ResolveFlags, linkat, makedev, mkdirat, mknodat, openat, openat2, symlinkat,
    unlinkat,
};
use rustix::io::Errno;

use crate::error::Attempt;
use crate::image::layer::attributes::{self, Attributes, DEFAULT_ACL, Warnings};
use crate::image::layer::copy::IdMaps;
use crate::image::layer::{Form, path, tree};
use crate::image::tar::{Entry, Input, Kind, Reader, Time, reader, shown};

/// Whose the copies are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Owner {
    /// Of those whose the originals are.
    Kept,
    /// Of a user and a group.
    Of(u32, u32),
}

impl Owner {
    /// Who gives a file to somebody else doesn't give what its program may do.
    fn of(self, mut wanted: Attributes) -> Attributes {
        let Owner::Of(uid, gid) = self else { return wanted };
        if (wanted.uid, wanted.gid) != (uid, gid) {
            wanted.mode &= if wanted.uid == uid { !0o2000 } else { !0o6000 };
            wanted.xattrs.retain(|name, _| !name.starts_with(b"security."));
        }
        Attributes { uid, gid, ..wanted }
    }
}

/// Unpacks an archive to its end; says how long it is, and what could not be kept. The attributes of the directory itself stay. Ids of
/// the archive and of the owner are those of the container that the target is in, if it is in one.
pub(super) fn unpack(input: impl Input, target: OwnedFd, owner: Owner, ids: &IdMaps) -> Result<(u64, Warnings)> {
    let mut archive = Reader::new(input);
    let buffer = vec![0; super::BUFFER];
    let mut unpacking = Unpacking { target, owner, ids, late: BTreeMap::new(), buffer, warnings: Warnings::new() };
    while let Some(entry) = archive.next_entry()? {
        unpacking.entry(&mut archive, &entry).with_context(|| format!("copy {}", entry.name()))?;
    }
    let size = archive.position();
    archive.drain()?;
    for (path, (time, acl)) in std::mem::take(&mut unpacking.late) {
        if let Ok(directory) = unpacking.open(&path) {
            attributes::set_last(&directory, time, acl.as_ref(), &mut unpacking.warnings)
                .with_context(|| format!("copy {}", shown(&path)))?;
        }
    }
    Ok((size, unpacking.warnings))
}

struct Unpacking<'i> {
    target: OwnedFd,
    owner: Owner,
    ids: &'i IdMaps,
    /// Times and default ACLs of directories, which are set when nothing more is made in them.
    late: BTreeMap<Vec<u8>, (Time, Option<Vec<u8>>)>,
    buffer: Vec<u8>,
    warnings: Warnings,
}

impl Unpacking<'_> {
    /// Opens a directory below the target.
    fn open(&self, path: &[u8]) -> Result<OwnedFd, Errno> {
        let path = if path.is_empty() { b"." } else { path };
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_MAGICLINKS;
        openat2(&self.target, path, flags, Mode::empty(), resolve)
    }

    /// The same; directories that the archive doesn't name are made.
    fn enter(&self, path: &[u8]) -> Result<OwnedFd> {
        match self.open(path) {
            Err(Errno::NOENT) if !path.is_empty() => {}
            Err(Errno::XDEV) => bail!("{} leads out of the directory that is copied to", shown(path)),
            directory => return directory.attempt(|| format!("open the directory {}", shown(path))),
        }
        let (parent, name) = path::split(path);
        let above = self.enter(parent)?;
        mkdirat(&above, name, Mode::from_raw_mode(0o755)).attempt(|| format!("make the directory {}", shown(path)))?;
        tree::open(&above, name).attempt(|| format!("open the directory {}", shown(path)))
    }

    fn entry<R: Input>(&mut self, archive: &mut Reader<R>, entry: &Entry) -> Result<()> {
        let path = path::clean(&entry.path);
        if path.is_empty() {
            ensure!(entry.kind == Kind::Directory, "a name is missing");
            return Ok(());
        }
        let (parent, name) = path::split(&path);
        let at = self.enter(parent)?;
        let wanted = self.ids.on_host(self.owner.of(Attributes::of_entry(entry, Form::of_process())))?;
        let is_there = tree::look(&at, name)?;
        let is_directory = is_there.as_ref().is_some_and(tree::is_directory);
        if entry.kind == Kind::Directory {
            ensure!(is_there.is_none() || is_directory, "cannot overwrite non-directory with directory");
            return self.directory(&at, &path, &wanted, is_directory);
        }
        ensure!(!is_directory, "cannot overwrite directory with non-directory");
        if is_there.is_some() {
            unlinkat(&at, name, AtFlags::empty()).attempt(|| "remove what has the name")?;
        }
        let node = |kind, device| mknodat(&at, name, kind, Mode::empty(), device).attempt(|| "make the node");
        match &entry.kind {
            Kind::File | Kind::Directory => return self.file(archive, &at, entry, &wanted),
            Kind::Link(first) => {
                let (directory, first) = (path::split(first).0.to_vec(), path::split(first).1.to_vec());
                let from = self.enter(&path::clean(&directory))?;
                return linkat(from, &first[..], &at, name, AtFlags::empty()).attempt(|| "make the hard link");
            }
            Kind::Symlink(to) => symlinkat(&to[..], &at, name).attempt(|| "make the symbolic link")?,
            Kind::Fifo => node(FileType::Fifo, 0)?,
            Kind::Character(major, minor) => node(FileType::CharacterDevice, makedev(*major, *minor))?,
            Kind::Block(major, minor) => node(FileType::BlockDevice, makedev(*major, *minor))?,
        }
        let is_link = matches!(entry.kind, Kind::Symlink(_));
        attributes::set_by_name(at.as_fd(), name, &wanted, is_link, &mut self.warnings)
    }

    fn directory(&mut self, at: &OwnedFd, path: &[u8], wanted: &Attributes, is_there: bool) -> Result<()> {
        let name = path::split(path).1;
        if !is_there {
            mkdirat(at, name, Mode::from_raw_mode(0o700)).attempt(|| "make the directory")?;
        }
        let own = tree::open(at, name).attempt(|| "open the directory")?;
        attributes::set(&own, wanted, &mut self.warnings)?;
        self.late.insert(path.to_vec(), (wanted.modified, wanted.xattrs.get(DEFAULT_ACL).cloned()));
        Ok(())
    }

    fn file<R: Input>(
        &mut self,
        archive: &mut Reader<R>,
        at: &OwnedFd,
        entry: &Entry,
        wanted: &Attributes,
    ) -> Result<()> {
        let path = path::clean(&entry.path);
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let file = openat(at, path::split(&path).1, flags, Mode::from_raw_mode(0o600)).attempt(|| "make the file")?;
        let mut file = File::from(file);
        reader::write_content(archive, entry, &mut self.buffer, &mut file)?;
        attributes::set(&file, wanted, &mut self.warnings)?;
        attributes::set_time(&file, wanted.modified)
    }
}
