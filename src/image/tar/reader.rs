//! Reading an archive, entry by entry, from a stream.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::FileExt;

use anyhow::{Context, Result, bail, ensure};

use super::header::Header;
use super::pax::Extension;
use super::sparse::{self, Segment};
use super::{BLOCK, Entry, Kind, LARGEST_EXTENSION, Time, shown};
use crate::error::Attempt;

/// Where an archive comes from.
pub trait Input: Read {
    /// Passes over some bytes. What is behind the end may be noticed only at the next read.
    fn skip(&mut self, bytes: u64) -> io::Result<()> {
        let passed = io::copy(&mut self.take(bytes), &mut io::sink())?;
        if passed == bytes { Ok(()) } else { Err(io::ErrorKind::UnexpectedEof.into()) }
    }
}

/// A file's content is passed over without being read.
impl Input for File {
    fn skip(&mut self, bytes: u64) -> io::Result<()> {
        let forward = i64::try_from(bytes).map_err(|_| io::ErrorKind::UnexpectedEof)?;
        self.seek(SeekFrom::Current(forward)).map(drop)
    }
}

impl Input for &mut File {
    fn skip(&mut self, bytes: u64) -> io::Result<()> {
        (**self).skip(bytes)
    }
}

impl Input for &[u8] {}
impl Input for Box<dyn Read + '_> {}
impl Input for Box<dyn Read + Send + '_> {}

/// An archive that is being read.
#[derive(Debug)]
pub struct Reader<R> {
    input: R,
    /// Bytes since the start.
    position: u64,
    /// Bytes of the current entry's data that were not read yet.
    left: u64,
    /// Zeros behind the current entry's data.
    padding: u64,
}

impl<R: Input> Reader<R> {
    /// An archive from its first byte.
    pub fn new(input: R) -> Reader<R> {
        Reader { input, position: 0, left: 0, padding: 0 }
    }

    /// Bytes from the start of the archive to where the next read is.
    pub fn position(&self) -> u64 {
        self.position
    }

    /// The next entry; none at the end of the archive. What was not read of the one before is passed over.
    pub fn next_entry(&mut self) -> Result<Option<Entry>> {
        let mut extension = Extension::default();
        let (mut long_path, mut long_link) = (None, None);
        loop {
            self.finish_entry()?;
            let Some(block) = self.header()? else {
                let extended = extension != Extension::default() || long_path.is_some() || long_link.is_some();
                ensure!(!extended, "the archive ends between an extended header and its entry");
                return Ok(None);
            };
            let header = Header::parse(&block).with_context(|| format!("at byte {}", self.position - BLOCK as u64))?;
            match header.flag {
                b'x' => extension = Extension::parse(&self.extension(header.size)?)?,
                // A global header: git puts a comment there. containerd ignores it, too, whatever it says.
                b'g' => drop(self.extension(header.size)?),
                b'L' => long_path = Some(name(&self.extension(header.size)?)),
                b'K' => long_link = Some(name(&self.extension(header.size)?)),
                _ => {
                    let path = extension.path.take().or(long_path).unwrap_or_else(|| header.path.clone());
                    let link = extension.link.take().or(long_link).unwrap_or_else(|| header.link.clone());
                    return self.entry(&block, header, extension, path, link).map(Some);
                }
            }
        }
    }

    /// Puts together what the headers say.
    fn entry(
        &mut self,
        block: &[u8; BLOCK],
        header: Header,
        extension: Extension,
        path: Vec<u8>,
        link: Vec<u8>,
    ) -> Result<Entry> {
        let path = extension.sparse.name.clone().unwrap_or(path);
        let what = || format!("entry {}", shown(&path));
        let stored = extension.size.unwrap_or(header.size);
        let kind = kind(&header, &path, link).with_context(what)?;
        let id = |number: u64, who: &str| {
            u32::try_from(number).ok().filter(|id| *id != u32::MAX).with_context(|| format!("{who} {number}"))
        };
        let mut entry = Entry {
            uid: id(extension.uid.unwrap_or(header.uid), "the owner is out of range:").with_context(what)?,
            gid: id(extension.gid.unwrap_or(header.gid), "the group is out of range:").with_context(what)?,
            modified: extension.modified.unwrap_or(Time { seconds: header.modified, nanoseconds: 0 }),
            mode: header.mode,
            xattrs: extension.xattrs,
            size: 0,
            sparse: None,
            kind,
            path: path.clone(),
        };
        if entry.kind != Kind::File {
            // A hard link's and a directory's size is not that of content to GNU tar and Go, and so to all engines: who took it
            // for one would see other entries than they do. Of the rest some pass over content and some don't.
            let means_nothing = matches!(entry.kind, Kind::Link(_) | Kind::Directory);
            ensure!(
                means_nothing || stored == 0,
                "entry {}: {stored} bytes of content in what is no file",
                shown(&path)
            );
            return Ok(entry);
        }
        entry.size = stored;
        if header.flag == b'S' {
            let (map, size) = sparse::old_gnu(block, || self.block()).with_context(what)?;
            self.content(stored);
            entry.sparse = Some(sparse::checked(map, size, stored).with_context(what)?);
            entry.size = size;
        } else if extension.sparse.is_there() {
            self.pax_sparse(&mut entry, extension.sparse, stored).with_context(what)?;
        } else {
            self.content(stored);
        }
        Ok(entry)
    }

    fn pax_sparse(&mut self, entry: &mut Entry, said: super::pax::Sparse, stored: u64) -> Result<()> {
        let size = said.real_size.context("a sparse file without its size")?;
        let (map, taken) = match said.major {
            Some(1) => sparse::pax_1_0(|| self.block())?,
            None | Some(0) => (said.map.context("a sparse file without its map")?, 0),
            Some(version) => bail!("a sparse file of version {version}"),
        };
        let data = stored.checked_sub(taken).context("a sparse file whose map is longer than its content")?;
        self.content(data);
        entry.sparse = Some(sparse::checked(map, size, data)?);
        entry.size = size;
        Ok(())
    }

    /// Declares the data of the entry that was just read.
    fn content(&mut self, bytes: u64) {
        self.left = bytes;
        self.padding = bytes.next_multiple_of(BLOCK as u64) - bytes;
    }

    fn finish_entry(&mut self) -> Result<()> {
        let rest = self.left + self.padding;
        if rest > 0 {
            self.input.skip(rest).map_err(ended).context("pass over an entry's content")?;
            self.position += rest;
            (self.left, self.padding) = (0, 0);
        }
        Ok(())
    }

    /// The next header; none at the end, which is a block of zeros or the end of the stream.
    fn header(&mut self) -> Result<Option<[u8; BLOCK]>> {
        let mut block = [0; BLOCK];
        let mut filled = 0;
        while filled < BLOCK {
            match self.input.read(&mut block[filled..]) {
                Ok(0) if filled == 0 => return Ok(None),
                Ok(0) => bail!("the archive ends in the middle of a header"),
                Ok(count) => filled += count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error).context("read the archive"),
            }
        }
        self.position += BLOCK as u64;
        Ok((block != [0; BLOCK]).then_some(block))
    }

    fn block(&mut self) -> Result<[u8; BLOCK]> {
        let mut block = [0; BLOCK];
        self.input.read_exact(&mut block).map_err(ended)?;
        self.position += BLOCK as u64;
        Ok(block)
    }

    /// The content of an extended header.
    fn extension(&mut self, size: u64) -> Result<Vec<u8>> {
        ensure!(size <= LARGEST_EXTENSION, "an extended header of {size} bytes, more than {LARGEST_EXTENSION}");
        self.content(size);
        let mut content = vec![0; size as usize];
        self.read_exact(&mut content).map_err(ended).context("read an extended header")?;
        Ok(content)
    }

    /// Reads what is behind the archive's end, so that all bytes of the stream were seen.
    pub fn drain(&mut self) -> Result<()> {
        io::copy(&mut self.input, &mut io::sink()).context("read what is behind the archive's end").map(drop)
    }
}

/// The data of the current entry; of a sparse file without the holes.
impl<R: Input> Read for Reader<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let most = usize::try_from(self.left).unwrap_or(usize::MAX).min(buffer.len());
        if most == 0 {
            return Ok(0);
        }
        let count = self.input.read(&mut buffer[..most])?;
        if count == 0 {
            return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the archive ends in the middle of an entry"));
        }
        self.left -= count as u64;
        self.position += count as u64;
        Ok(count)
    }
}

/// The end of a stream in the middle of something, in words.
fn ended(error: io::Error) -> io::Error {
    if error.kind() != io::ErrorKind::UnexpectedEof {
        return error;
    }
    io::Error::new(error.kind(), "the archive ends in the middle of an entry")
}

/// GNU's long names end with a NUL.
fn name(content: &[u8]) -> Vec<u8> {
    super::header::text(content).to_vec()
}

fn kind(header: &Header, path: &[u8], link: Vec<u8>) -> Result<Kind> {
    ensure!(!path.is_empty(), "an entry without a name");
    Ok(match header.flag {
        // V7 has no type for directories, but a slash behind their names.
        0 | b'0' if path.ends_with(b"/") => Kind::Directory,
        0 | b'0' | b'7' | b'S' => Kind::File,
        b'1' => Kind::Link(target(link)?),
        b'2' => Kind::Symlink(target(link)?),
        b'3' => Kind::Character(header.device.0, header.device.1),
        b'4' => Kind::Block(header.device.0, header.device.1),
        b'5' => Kind::Directory,
        b'6' => Kind::Fifo,
        flag => bail!("an entry of the unknown type {:?}", char::from(flag)),
    })
}

fn target(link: Vec<u8>) -> Result<Vec<u8>> {
    ensure!(!link.is_empty(), "a link to nothing");
    Ok(link)
}

/// Writes the content of an entry to a new file.
pub fn write_content(reader: &mut impl Read, entry: &Entry, buffer: &mut [u8], file: &mut File) -> Result<()> {
    let sparse = entry.sparse.is_some();
    spread(reader, entry, buffer, |offset, bytes| {
        let written = if sparse { file.write_all_at(bytes, offset) } else { file.write_all(bytes) };
        written.attempt(|| "write the content")
    })?;
    if sparse {
        file.set_len(entry.size).attempt(|| format!("set the size {}", entry.size))?;
    }
    Ok(())
}

/// Writes the data of a sparse or plain file to where it belongs; `write` gets an offset and bytes.
pub fn spread(
    reader: &mut impl Read,
    entry: &Entry,
    buffer: &mut [u8],
    mut write: impl FnMut(u64, &[u8]) -> Result<()>,
) -> Result<()> {
    let whole = [Segment::new(0, entry.size)];
    for segment in entry.sparse.as_deref().unwrap_or(&whole) {
        let mut done = 0;
        while done < segment.length {
            let most = usize::try_from(segment.length - done).unwrap_or(usize::MAX).min(buffer.len());
            let count = reader.read(&mut buffer[..most]).context("read the content")?;
            ensure!(count > 0, "the archive ends in the middle of an entry");
            write(segment.offset + done, &buffer[..count])?;
            done += count as u64;
        }
    }
    Ok(())
}
