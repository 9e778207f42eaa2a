//! A file, or a directory with all that is in it, becomes an archive.

use std::collections::HashMap;
use std::io::{self, Write};
use std::os::fd::{BorrowedFd, OwnedFd};

use anyhow::{Context, Result};
use rustix::fs::{FileType, Stat, major, minor};

use super::tree::{Found, link, open_file};
use crate::error::{Attempt, Errno, errno};
use crate::image::layer::attributes::Attributes;
use crate::image::layer::copy::IdMaps;
use crate::image::layer::descent::{Descent, Next};
use crate::image::layer::{Form, tree};
use crate::image::tar::{Kind, Writer, shown};

/// Writes an archive of what was found, in which it has this name; empty for what is in a directory, by itself. Owners are those that the
/// container sees, if it has ids of its own and these are given.
pub(super) fn pack<W: Write>(found: &Found, name: &[u8], ids: &IdMaps, output: W) -> Result<W> {
    let mut packing = Packing { archive: Writer::new(output), ids, links: HashMap::new() };
    let mut descent = Descent::default();
    let (directory, own) = found.place();
    if let Some(below) = packing.put(directory, own, &found.stat, name)? {
        descent.enter(below, name.to_vec())?;
    }
    while let Some(Next { directory, name, path }) = descent.next_name()? {
        // What went meanwhile is not there.
        let Some(stat) = tree::look(directory, &name)? else { continue };
        match packing.put(directory, &name, &stat, &path) {
            Err(error) if errno(&error) == Some(Errno::NOENT) => {}
            put => {
                if let Some(below) = put? {
                    descent.enter(below, path)?;
                }
            }
        }
    }
    packing.archive.finish().attempt(|| "write the archive")
}

struct Packing<'i, W> {
    archive: Writer<W>,
    ids: &'i IdMaps,
    /// The first name of files that have several.
    links: HashMap<(u64, u64), Vec<u8>>,
}

impl<W: Write> Packing<'_, W> {
    /// Says what is to be gone into, if it is a directory.
    fn put(&mut self, directory: BorrowedFd<'_>, name: &[u8], stat: &Stat, path: &[u8]) -> Result<Option<OwnedFd>> {
        let is_directory = tree::is_directory(stat);
        let result = match is_directory {
            true => self.directory(directory, name, stat, path).map(Some),
            false => self.entry(directory, name, stat, path).map(|()| None),
        };
        result.with_context(|| format!("copy {}", shown(if path.is_empty() { b"." } else { path })))
    }

    fn entry(&mut self, directory: BorrowedFd<'_>, name: &[u8], stat: &Stat, path: &[u8]) -> Result<()> {
        let form = Form::of_process();
        let key = (stat.st_dev, stat.st_ino);
        let device = (major(stat.st_rdev), minor(stat.st_rdev));
        let kind = match FileType::from_raw_mode(stat.st_mode) {
            // Nobody would listen at a copy; no archive has them.
            FileType::Directory | FileType::Socket | FileType::Unknown => return Ok(()),
            _ if stat.st_nlink > 1
                && let Some(first) = self.links.get(&key) =>
            {
                Kind::Link(first.clone())
            }
            FileType::RegularFile => Kind::File,
            FileType::Symlink => Kind::Symlink(link(directory, name)?),
            FileType::Fifo => Kind::Fifo,
            FileType::CharacterDevice => Kind::Character(device.0, device.1),
            FileType::BlockDevice => Kind::Block(device.0, device.1),
        };
        let attributes = self.ids.in_container(Attributes::of_file(directory, name, stat, form)?)?;
        let mut entry = attributes.into_entry(path, kind, form);
        if entry.kind != Kind::File {
            self.archive.entry(&entry, io::empty()).attempt(|| "write the archive")?;
        } else {
            let file = open_file(directory, name)?;
            entry.size = file.metadata().attempt(|| "ask for the size")?.len();
            self.archive.entry(&entry, file).attempt(|| "write the archive")?;
        }
        self.links.entry(key).or_insert_with(|| path.to_vec());
        Ok(())
    }

    fn directory(&mut self, directory: BorrowedFd<'_>, name: &[u8], stat: &Stat, path: &[u8]) -> Result<OwnedFd> {
        let form = Form::of_process();
        let own = tree::open(directory, name).attempt(|| "open the directory")?;
        let in_archive = if path.is_empty() { b"./".to_vec() } else { [path, b"/"].concat() };
        let attributes = self.ids.in_container(Attributes::of_file(directory, name, stat, form)?)?;
        let entry = attributes.into_entry(in_archive, Kind::Directory, form);
        self.archive.entry(&entry, io::empty()).attempt(|| "write the archive")?;
        Ok(own)
    }
}
