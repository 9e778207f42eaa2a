//! Paths of the host or of a container, and what is found there.

use std::fs::File;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use anyhow::{Context, Result, bail};
use rustix::fs::{
    FileType, Mode, OFlags, ResolveFlags, Stat, StatVfsMountFlags, fstatvfs, openat, openat2, readlinkat,
};
use rustix::io::Errno;

use crate::error::Attempt;
use crate::image::layer::copy::IdMaps;
use crate::image::layer::{path, tree};
use crate::image::tar::shown;

/// Links that are followed before it is a loop, as many as the kernel does.
const MOST_LINKS: usize = 40;

/// A root, and how paths are resolved below it. Paths are clean: without a slash at the beginning, empty for the root.
#[derive(Debug)]
pub struct Tree {
    root: OwnedFd,
    resolve: ResolveFlags,
    /// The container's name, for messages.
    container: Option<String>,
    /// Whether the root's own mount may not be written, whatever its file system says.
    read_only: bool,
    /// How the container's ids are ids here.
    ids: IdMaps,
}

/// Something that is there; a symbolic link is not followed.
#[derive(Debug)]
pub struct Found {
    directory: OwnedFd,
    name: Vec<u8>,
    /// What it is.
    pub stat: Stat,
}

impl Tree {
    /// The host's files.
    pub fn of_host() -> Result<Tree> {
        let root = File::open("/").attempt(|| "open \"/\"")?.into();
        Ok(Tree { root, resolve: ResolveFlags::empty(), container: None, read_only: false, ids: IdMaps::default() })
    }

    /// A container's files, below its root.
    pub(super) fn of_container(root: OwnedFd, name: &str, read_only: bool, ids: IdMaps) -> Tree {
        let resolve = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
        Tree { root, resolve, container: Some(name.into()), read_only, ids }
    }

    pub(super) fn root(&self) -> &OwnedFd {
        &self.root
    }

    pub(super) fn ids(&self) -> &IdMaps {
        &self.ids
    }

    fn open(&self, path: &[u8], flags: OFlags, further: ResolveFlags) -> Result<OwnedFd, Errno> {
        let path = if path.is_empty() { b"." } else { path };
        let flags = OFlags::PATH | OFlags::CLOEXEC | flags;
        loop {
            match openat2(&self.root, path, flags, Mode::empty(), self.resolve | further) {
                // Somebody renames directories while `..` is resolved (openat2(2)).
                Err(Errno::AGAIN) => {}
                answer => return answer,
            }
        }
    }

    /// What is at a path, if anything is.
    pub fn find(&self, path: &[u8]) -> Result<Option<Found>> {
        let (parent, name) = path::split(path);
        let directory = match self.open(parent, OFlags::DIRECTORY, ResolveFlags::empty()) {
            Err(Errno::NOENT) => return Ok(None),
            directory => directory.attempt(|| format!("open {}", shown(&[b"/", parent].concat())))?,
        };
        let name = if name.is_empty() { b".".to_vec() } else { name.to_vec() };
        Ok(tree::look(&directory, &name)?.map(|stat| Found { directory, name, stat }))
    }

    /// The path that symbolic links at the end of a path lead to, and in a container those on the way: `..` is above what they lead to. On
    /// the host the kernel follows these, for what they say is not where all of them lead (proc(5)). There may be nothing.
    pub fn followed(&self, path: &[u8]) -> Result<Vec<u8>> {
        let (mut real, mut links) = (Vec::new(), MOST_LINKS);
        let names = |path: &[u8]| -> Vec<Vec<u8>> { path.split(|byte| *byte == b'/').rev().map(Vec::from).collect() };
        // What is still to go, the next name last.
        let mut ahead = names(path);
        while let Some(name) = ahead.pop() {
            let next = path::clean(&[&real[..], b"/", &name].concat());
            let is_looked_at = self.container.is_some() || ahead.is_empty();
            let found = if is_looked_at { self.find(&next)? } else { None };
            let Some(link) = found.filter(|found| found.kind() == FileType::Symlink) else {
                real = next;
                continue;
            };
            links -= 1;
            if links == 0 {
                bail!("{}: too many levels of symbolic links", shown(&[b"/", path].concat()));
            }
            let target = link.target()?;
            if target.starts_with(b"/") {
                real.clear();
            }
            ahead.extend(names(&target));
        }
        Ok(real)
    }

    /// Opens a directory that something is to be written to.
    pub fn directory(&self, path: &[u8]) -> Result<OwnedFd> {
        let what = || format!("open the directory {}", shown(&[b"/", path].concat()));
        let is_below_root = || self.open(path, OFlags::empty(), ResolveFlags::NO_XDEV).is_ok();
        if self.read_only && is_below_root() {
            bail!("container rootfs is marked read-only");
        }
        let found = self.open(path, OFlags::DIRECTORY, ResolveFlags::empty()).attempt(what)?;
        let flags = fstatvfs(&found).attempt(what)?.f_flag;
        if flags.contains(StatVfsMountFlags::RDONLY) && self.container.is_some() {
            bail!("mounted volume is marked read-only");
        }
        Ok(found)
    }

    /// Docker's words for what isn't there.
    pub fn missing(&self, path: &[u8]) -> anyhow::Error {
        let path = String::from_utf8_lossy(path);
        match &self.container {
            Some(name) => anyhow::anyhow!("Could not find the file /{path} in container {name}"),
            None => anyhow::anyhow!("lstat /{path}: no such file or directory"),
        }
    }
}

impl Found {
    /// What kind of file it is.
    pub fn kind(&self) -> FileType {
        FileType::from_raw_mode(self.stat.st_mode)
    }

    /// The directory that it is in, and its name there.
    pub fn place(&self) -> (BorrowedFd<'_>, &[u8]) {
        (self.directory.as_fd(), &self.name)
    }

    fn target(&self) -> Result<Vec<u8>> {
        link(self.directory.as_fd(), &self.name)
    }
}

/// Where a symbolic link points to.
pub(super) fn link(directory: BorrowedFd<'_>, name: &[u8]) -> Result<Vec<u8>> {
    let target = readlinkat(directory, name, Vec::new());
    Ok(target.attempt(|| format!("read the link {}", shown(name)))?.into_bytes())
}

/// Opens a regular file, and nothing else: a device or a pipe that took its place meanwhile is not touched.
pub(super) fn open_file(directory: BorrowedFd<'_>, name: &[u8]) -> Result<File> {
    let what = || format!("open {}", shown(name));
    let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let file = openat(directory, name, flags, Mode::empty()).attempt(what)?;
    let stat = rustix::fs::fstat(&file).attempt(what)?;
    if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
        bail!("{} is no regular file any more", shown(name));
    }
    File::open(format!("/proc/self/fd/{}", file.as_raw_fd())).attempt(what).context("read a file")
}
