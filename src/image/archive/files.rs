//! The files of a layout, in a directory or a tar archive.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::os::fd::OwnedFd;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};
use rustix::fs::{Mode, OFlags, ResolveFlags, openat2};
use rustix::io::Errno;

use crate::error::Attempt;
use crate::image::layer::{compression, path};
use crate::image::tar::{Kind, Reader, shown};

/// Links that one name may lead through; old archives of docker have one.
const MOST_LINKS: u32 = 8;
/// Entries of an archive of images.
const MOST_ENTRIES: usize = 1 << 20;

/// Where the files are.
#[derive(Debug)]
pub enum Files {
    /// In a directory.
    Directory(PathBuf, OwnedFd),
    /// In an archive, each at its place.
    Archive(File, BTreeMap<Vec<u8>, Place>),
}

/// What a name in an archive stands for.
#[derive(Debug, Clone)]
pub enum Place {
    /// Bytes of the archive.
    Content {
        /// Where they start.
        offset: u64,
        /// How many there are.
        size: u64,
    },
    /// Another name.
    Link(Vec<u8>),
}

impl Files {
    /// Opens a directory or an archive, whichever it is. What is compressed or can't be read at any place is copied to a file that
    /// `spool` makes.
    pub fn open(path: &Path, spool: impl FnOnce() -> Result<File>) -> Result<Files> {
        let data = std::fs::metadata(path).attempt(|| format!("open {path:?}"))?;
        if data.is_dir() {
            let directory = File::open(path).attempt(|| format!("open {path:?}"))?;
            return Ok(Files::Directory(path.into(), directory.into()));
        }
        let file = File::open(path).attempt(|| format!("open {path:?}"))?;
        Files::of_file(file, spool).with_context(|| format!("archive {path:?}"))
    }

    /// The same for an open file or stream.
    pub fn of_file(mut file: File, spool: impl FnOnce() -> Result<File>) -> Result<Files> {
        let regular = file.metadata().attempt(|| "look at it")?.is_file();
        let mut start = [0; 6];
        let seekable = regular && {
            let count = file.read_at(&mut start, 0).attempt(|| "read it")?;
            compression::Compression::of(&start[..count])? == compression::Compression::None
        };
        if seekable {
            file.rewind().attempt(|| "read it from its start")?;
        } else {
            let mut copy = spool()?;
            let (_, mut stream) = compression::decoder(file)?;
            io::copy(&mut stream, &mut copy).attempt(|| "copy it")?;
            copy.rewind().attempt(|| "read it from its start")?;
            file = copy;
        }
        let places = scan(&mut file)?;
        Ok(Files::Archive(file, places))
    }

    /// Opens a file, with the bytes that it has; none if there is none.
    pub fn find(&self, name: &[u8]) -> Result<Option<(u64, Box<dyn Read + Send + '_>)>> {
        match self {
            Files::Directory(_, directory) => in_directory(directory, name),
            Files::Archive(file, places) => {
                let mut name = path::clean(name);
                for _ in 0..MOST_LINKS {
                    match places.get(&name) {
                        None => return Ok(None),
                        Some(Place::Link(target)) => name.clone_from(target),
                        Some(&Place::Content { offset, size }) => {
                            return Ok(Some((size, Box::new(Section { file, offset, left: size }))));
                        }
                    }
                }
                bail!("{} leads through too many links", shown(&name))
            }
        }
    }

    /// Reads a small file; none if there is none.
    pub fn read(&self, name: &str, most: u64) -> Result<Option<Vec<u8>>> {
        let Some((size, mut stream)) = self.find(name.as_bytes())? else { return Ok(None) };
        ensure!(size <= most, "{name:?} has {size} bytes, more than {most}");
        let mut content = Vec::new();
        stream.read_to_end(&mut content).attempt(|| format!("read {name:?}"))?;
        Ok(Some(content))
    }
}

fn in_directory(directory: &OwnedFd, name: &[u8]) -> Result<Option<(u64, Box<dyn Read + Send + 'static>)>> {
    let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_MAGICLINKS;
    let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK;
    let file = match openat2(directory, path::clean(name), flags, Mode::empty(), resolve) {
        Err(Errno::NOENT | Errno::NOTDIR) => return Ok(None),
        opened => File::from(opened.attempt(|| format!("open {}", shown(name)))?),
    };
    let data = file.metadata().attempt(|| format!("look at {}", shown(name)))?;
    ensure!(data.is_file(), "{} is no regular file", shown(name));
    Ok(Some((data.len(), Box::new(file))))
}

/// Finds out where everything is, without reading the content.
fn scan(file: &mut File) -> Result<BTreeMap<Vec<u8>, Place>> {
    let length = file.seek(SeekFrom::End(0)).attempt(|| "find its end")?;
    file.rewind().attempt(|| "read it from its start")?;
    let mut places = BTreeMap::new();
    let mut archive = Reader::new(file);
    while let Some(entry) = archive.next_entry()? {
        let name = path::clean(&entry.path);
        let (directory, _) = path::split(&name);
        let place = match &entry.kind {
            Kind::File => {
                ensure!(entry.sparse.is_none(), "{} is sparse", entry.name());
                let (offset, size) = (archive.position(), entry.size);
                let end = offset.checked_add(size).filter(|end| *end <= length);
                ensure!(end.is_some(), "it ends in the middle of {}", entry.name());
                Place::Content { offset, size }
            }
            Kind::Symlink(target) if target.starts_with(b"/") => Place::Link(path::clean(target)),
            Kind::Symlink(target) => Place::Link(path::clean(&path::join(directory, target))),
            Kind::Link(target) => Place::Link(path::clean(target)),
            _ => continue,
        };
        places.insert(name, place);
        ensure!(places.len() <= MOST_ENTRIES, "more than {MOST_ENTRIES} entries");
    }
    Ok(places)
}

/// A part of a file. It has no position in common with others.
struct Section<'f> {
    file: &'f File,
    offset: u64,
    left: u64,
}

impl Read for Section<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let most = usize::try_from(self.left).unwrap_or(usize::MAX).min(buffer.len());
        let count = self.file.read_at(&mut buffer[..most], self.offset)?;
        self.offset += count as u64;
        self.left -= count as u64;
        Ok(count)
    }
}
