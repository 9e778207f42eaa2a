//! Copies of files of a stack: content, holes and attributes.

use std::collections::HashMap;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use anyhow::{Context, Result};
use rustix::fs::{
    AtFlags, Mode, OFlags, SeekFrom, copy_file_range, ftruncate, ioctl_ficlone, linkat, mknodat, openat, seek,
    symlinkat,
};
use rustix::io::Errno;

use super::attributes::{self, Attributes, DEFAULT_ACL, Warnings};
use super::directories::Directories;
use super::form::Form;
pub use super::ids::{IdMaps, IdRange};
use super::path;
use super::stack::{Found, Other, Stack};
use crate::error::Attempt;
use crate::image::tar::shown;

/// Copies what is no directory to a name that is free.
pub fn other(from: &Other, to: BorrowedFd<'_>, name: &[u8], form: Form, warnings: &mut Warnings) -> Result<()> {
    let wanted = from.attributes(form)?;
    with_attributes(from, &wanted, to, name, warnings)
}

/// The same, with attributes that were changed on the way.
pub fn with_attributes(
    from: &Other,
    wanted: &Attributes,
    to: BorrowedFd<'_>,
    name: &[u8],
    warnings: &mut Warnings,
) -> Result<()> {
    let what = || format!("copy {}", shown(name));
    if from.stat.st_mode & libc::S_IFMT == libc::S_IFREG {
        let source = from.open()?;
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let target = openat(to, name, flags, Mode::from_raw_mode(0o600)).attempt(what)?;
        content(source.as_fd(), target.as_fd(), from.stat.st_size as u64).attempt(what)?;
        attributes::set(&target, wanted, warnings)?;
        return attributes::set_time(&target, wanted.modified);
    }
    let link = from.link()?;
    match &link {
        Some(target) => symlinkat(&target[..], to, name).attempt(what)?,
        None => mknodat(to, name, from.kind(), Mode::empty(), from.stat.st_rdev).attempt(what)?,
    }
    attributes::set_by_name(to, name, wanted, link.is_some(), warnings)
}

/// By sharing the blocks where the file system can, else inside the kernel; holes stay holes.
fn content(from: BorrowedFd<'_>, to: BorrowedFd<'_>, size: u64) -> Result<(), Errno> {
    if size == 0 || ioctl_ficlone(to, from).is_ok() {
        return Ok(());
    }
    ftruncate(to, size)?;
    let mut at = 0;
    while at < size {
        let start = match seek(from, SeekFrom::Data(at)) {
            Ok(start) => start,
            // Nothing but a hole up to the end.
            Err(Errno::NXIO) => break,
            Err(errno) => return Err(errno),
        };
        let end = seek(from, SeekFrom::Hole(start))?.min(size);
        stretch(from, to, start, end)?;
        at = end;
    }
    Ok(())
}

fn stretch(from: BorrowedFd<'_>, to: BorrowedFd<'_>, start: u64, end: u64) -> Result<(), Errno> {
    let (mut input, mut output) = (start, start);
    while input < end {
        let length = usize::try_from(end - input).unwrap_or(usize::MAX);
        match copy_file_range(from, Some(&mut input), to, Some(&mut output), length) {
            // The file became shorter.
            Ok(0) => break,
            Ok(_) => {}
            Err(Errno::XDEV | Errno::INVAL | Errno::OPNOTSUPP | Errno::NOSYS) => {
                return by_hand(from, to, input, end);
            }
            Err(errno) => return Err(errno),
        }
    }
    Ok(())
}

fn by_hand(from: BorrowedFd<'_>, to: BorrowedFd<'_>, mut at: u64, end: u64) -> Result<(), Errno> {
    let mut buffer = vec![0u8; 128 << 10];
    while at < end {
        let most = usize::try_from(end - at).unwrap_or(usize::MAX).min(buffer.len());
        let count = rustix::io::pread(from, &mut buffer[..most], at)?;
        if count == 0 {
            break;
        }
        let mut done = 0;
        while done < count {
            done += rustix::io::pwrite(to, &buffer[done..count], at + done as u64)?;
        }
        at += count as u64;
    }
    Ok(())
}

/// Copies a whole stack into an empty directory, as it would be seen mounted.
pub fn tree(from: &Stack, to: OwnedFd, ids: &IdMaps, warnings: &mut Warnings) -> Result<()> {
    let form = from.form();
    let mut directories = Directories::new(to, form, None);
    let mut links: HashMap<(u64, u64), Vec<u8>> = HashMap::new();
    let mut finished = Vec::new();
    let mut wanted: Vec<Vec<u8>> = vec![Vec::new()];
    while let Some(path) = wanted.pop() {
        let Some(Found::Directory(source)) = from.find(&path)? else { continue };
        let target = directories.enter(&path)?;
        let attributes = ids.on_host(source.attributes(form)?)?;
        attributes::set(&target.descriptor, &attributes, warnings).with_context(|| shown(&path))?;
        finished.push((path.clone(), attributes));
        for name in source.names()? {
            let full = path::join(&path, &name);
            match source.child(&name)? {
                None => {}
                Some(Found::Directory(_)) => wanted.push(full),
                Some(Found::Other(other)) => {
                    let key = (other.stat.st_dev, other.stat.st_ino);
                    if other.stat.st_nlink > 1
                        && let Some(first) = links.get(&key)
                    {
                        let (directory, first_name) = path::split(first);
                        let first_directory = directories.enter(directory)?;
                        linkat(
                            &first_directory.descriptor,
                            first_name,
                            &target.descriptor,
                            &name[..],
                            AtFlags::empty(),
                        )
                        .attempt(|| format!("link {} to {}", shown(&full), shown(first)))?;
                        continue;
                    }
                    let attributes = ids.on_host(other.attributes(form)?)?;
                    with_attributes(&other, &attributes, target.descriptor.as_fd(), &name, warnings)?;
                    links.insert(key, full);
                }
            }
        }
    }
    for (path, attributes) in finished {
        let acl = attributes.xattrs.get(DEFAULT_ACL);
        attributes::set_last(&directories.enter(&path)?.descriptor, attributes.modified, acl, warnings)?;
    }
    Ok(())
}
