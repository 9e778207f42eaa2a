//! Writing an archive: ustar headers, PAX records where they are too small, and nothing that depends on the machine.
//! Equal entries give equal bytes.

use std::io::{self, Read, Write};

use super::header::sign;
use super::{BLOCK, Entry, Kind, pax};

/// What ustar's octal fields of 8 and 12 bytes hold.
const LARGEST_ID: u32 = 0o7_777_777;
const LARGEST_SIZE: u64 = 0o77_777_777_777;

/// An archive that is being written.
#[derive(Debug)]
pub struct Writer<W> {
    output: W,
}

impl<W: Write> Writer<W> {
    /// An archive with no entries yet.
    pub fn new(output: W) -> Writer<W> {
        Writer { output }
    }

    /// Writes an entry. A regular file's content has as many bytes as the entry says, or this is an error.
    pub fn entry(&mut self, entry: &Entry, content: impl Read) -> io::Result<()> {
        let records = records(entry);
        if !records.is_empty() {
            // Those who can't read it unpack a file of this name.
            let mut name = b"PaxHeaders.0/".to_vec();
            name.extend(base(&entry.path).iter().copied().filter(u8::is_ascii_graphic).take(80));
            let extended = Entry { size: records.len() as u64, ..Entry::new(name, Kind::File, 0o644) };
            self.output.write_all(&block(&extended, b'x'))?;
            self.content(&records[..], records.len() as u64)?;
        }
        self.output.write_all(&block(entry, flag(&entry.kind)))?;
        if entry.kind == Kind::File { self.content(content, entry.size) } else { Ok(()) }
    }

    fn content(&mut self, content: impl Read, size: u64) -> io::Result<()> {
        let written = io::copy(&mut content.take(size), &mut self.output)?;
        if written != size {
            let text = format!("it has {written} bytes, where {size} were announced");
            return Err(io::Error::new(io::ErrorKind::UnexpectedEof, text));
        }
        let padding = (size.next_multiple_of(BLOCK as u64) - size) as usize;
        self.output.write_all(&[0; BLOCK][..padding])
    }

    /// Ends the archive.
    pub fn finish(mut self) -> io::Result<W> {
        self.output.write_all(&[0; 2 * BLOCK])?;
        Ok(self.output)
    }
}

fn flag(kind: &Kind) -> u8 {
    match kind {
        Kind::File => b'0',
        Kind::Link(_) => b'1',
        Kind::Symlink(_) => b'2',
        Kind::Character(..) => b'3',
        Kind::Block(..) => b'4',
        Kind::Directory => b'5',
        Kind::Fifo => b'6',
    }
}

fn link(kind: &Kind) -> &[u8] {
    match kind {
        Kind::Link(target) | Kind::Symlink(target) => target,
        _ => b"",
    }
}

/// The extended header: what the plain one can't hold, in the order of the keywords.
fn records(entry: &Entry) -> Vec<u8> {
    let decimal = |number: i128| number.to_string().into_bytes();
    let mut records: Vec<(Vec<u8>, Vec<u8>)> = Vec::new();
    let mut add = |keyword: &[u8], value: Vec<u8>| records.push((keyword.to_vec(), value));
    for (name, value) in &entry.xattrs {
        add(&[b"SCHILY.xattr.", &name[..]].concat(), value.clone());
    }
    if !entry.path.is_ascii() || split(&entry.path).is_none() {
        add(b"path", entry.path.clone());
    }
    if link(&entry.kind).len() > 100 || !link(&entry.kind).is_ascii() {
        add(b"linkpath", link(&entry.kind).to_vec());
    }
    if !(0..=LARGEST_SIZE as i64).contains(&entry.modified.seconds) {
        add(b"mtime", decimal(entry.modified.seconds.into()));
    }
    if entry.size > LARGEST_SIZE {
        add(b"size", decimal(entry.size.into()));
    }
    for (keyword, id) in [(&b"uid"[..], entry.uid), (b"gid", entry.gid)] {
        if id > LARGEST_ID {
            add(keyword, decimal(id.into()));
        }
    }
    records.sort();
    records.iter().flat_map(|(keyword, value)| pax::written(keyword, value)).collect()
}

/// Prefix and name as ustar has them; none for a path that is too long for both.
fn split(path: &[u8]) -> Option<(&[u8], &[u8])> {
    if path.len() <= 100 {
        return Some((b"", path));
    }
    let slashes = (1..path.len().min(156)).filter(|at| path[*at] == b'/');
    let fits = |at: &usize| (1..=100).contains(&(path.len() - at - 1));
    slashes.rev().find(fits).map(|at| (&path[..at], &path[at + 1..]))
}

fn base(path: &[u8]) -> &[u8] {
    let path = path.strip_suffix(b"/").unwrap_or(path);
    path.rsplit(|byte| *byte == b'/').next().unwrap_or(path)
}

fn block(entry: &Entry, flag: u8) -> [u8; BLOCK] {
    let mut block = [0; BLOCK];
    let mut put = |at: usize, bytes: &[u8]| block[at..at + bytes.len()].copy_from_slice(bytes);
    let (prefix, name) = split(&entry.path).unwrap_or_else(|| (b"", &entry.path[..100]));
    put(0, name);
    put(345, prefix);
    put(100, format!("{:07o}", entry.mode & 0o7777).as_bytes());
    let or_zero = |id: u32| if id > LARGEST_ID { 0 } else { id };
    put(108, format!("{:07o}", or_zero(entry.uid)).as_bytes());
    put(116, format!("{:07o}", or_zero(entry.gid)).as_bytes());
    let size = if flag == b'0' || flag == b'x' { entry.size } else { 0 };
    put(124, format!("{:011o}", if size > LARGEST_SIZE { 0 } else { size }).as_bytes());
    let seconds = u64::try_from(entry.modified.seconds).ok().filter(|seconds| *seconds <= LARGEST_SIZE);
    put(136, format!("{:011o}", seconds.unwrap_or(0)).as_bytes());
    put(156, &[flag]);
    put(157, &link(&entry.kind)[..link(&entry.kind).len().min(100)]);
    put(257, b"ustar\x0000");
    let (major, minor) = match entry.kind {
        Kind::Character(major, minor) | Kind::Block(major, minor) => (major, minor),
        _ => (0, 0),
    };
    put(329, format!("{major:07o}").as_bytes());
    put(337, format!("{minor:07o}").as_bytes());
    sign(&mut block);
    block
}
