//! Tar archives as layers and saved images have them: read in all forms that are in use, written in one.
//!
//! The tar crate isn't used: it has no sparse files of PAX 1.0, writes what it doesn't know as regular files, and we need neither
//! its unpacking nor its paths.

pub mod header;
pub mod pax;
pub mod reader;
pub mod sparse;
#[cfg(test)]
mod tests;
pub mod writer;

use std::collections::BTreeMap;

pub use reader::{Input, Reader};
pub use writer::Writer;

/// Bytes of a header, and what content is padded to.
pub const BLOCK: usize = 512;
/// Bytes that one extended header or long name may have: it is held in memory.
pub const LARGEST_EXTENSION: u64 = 1 << 20;

/// What an entry is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Kind {
    /// A regular file.
    File,
    /// A directory.
    Directory,
    /// A symbolic link to what is said, verbatim.
    Symlink(Vec<u8>),
    /// Another name of an entry of this archive, or of a layer below.
    Link(Vec<u8>),
    /// A named pipe.
    Fifo,
    /// A character device.
    Character(u32, u32),
    /// A block device.
    Block(u32, u32),
}

/// A point in time, before 1970 with negative seconds; the nanoseconds always count forward.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Time {
    /// Since 1970.
    pub seconds: i64,
    /// Below 1,000,000,000.
    pub nanoseconds: u32,
}

/// One entry: what it is called and all that is known of it but its content.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// As in the archive: any bytes but NUL.
    pub path: Vec<u8>,
    /// What it is.
    pub kind: Kind,
    /// Permissions, with the set-id and sticky bits.
    pub mode: u32,
    /// The owner.
    pub uid: u32,
    /// The group.
    pub gid: u32,
    /// When the content changed.
    pub modified: Time,
    /// Bytes of a regular file, holes and all.
    pub size: u64,
    /// Extended attributes by name.
    pub xattrs: BTreeMap<Vec<u8>, Vec<u8>>,
    /// Where a sparse file has data; none for a file that is not sparse.
    pub sparse: Option<Vec<sparse::Segment>>,
}

impl Entry {
    /// An entry of root's with no attributes.
    pub fn new(path: impl Into<Vec<u8>>, kind: Kind, mode: u32) -> Entry {
        let (modified, xattrs) = (Time::default(), BTreeMap::new());
        Entry { path: path.into(), kind, mode, uid: 0, gid: 0, modified, size: 0, xattrs, sparse: None }
    }

    /// The path for a message.
    pub fn name(&self) -> String {
        shown(&self.path)
    }
}

/// Bytes of a path for a message: quoted, with everything that isn't text escaped, and not longer than a line or two.
pub fn shown(path: &[u8]) -> String {
    const LONGEST: usize = 200;
    if path.len() <= LONGEST {
        return format!("\"{}\"", path.escape_ascii());
    }
    format!("\"{}…\" ({} bytes)", path[..LONGEST].escape_ascii(), path.len())
}
