//! A log's files: their names, and which is which whatever its name.

use std::fs::File;
use std::io::{BufRead, BufReader, Seek};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use flate2::bufread::{GzDecoder, MultiGzDecoder};

fn with(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

/// An older file.
pub(super) fn rotated(path: &Path, number: u32) -> PathBuf {
    if number == 0 { path.into() } else { with(path, &format!(".{number}")) }
}

/// An older file that is compressed.
pub(super) fn compressed(path: &Path, number: u32) -> PathBuf {
    with(path, &format!(".{number}.gz"))
}

/// What is being compressed, as long as it isn't done.
pub(super) fn unfinished(path: &Path) -> PathBuf {
    with(path, ".gz.part")
}

/// The next file, before it has its name.
pub(super) fn next(path: &Path) -> PathBuf {
    with(path, ".next")
}

/// Which file it is, whatever its name, and also when it was compressed: device, inode, and the time when it was made, as inodes are
/// used again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Identity([u64; 3]);

/// The name of our own in the extra field of a compressed file (RFC 1952, 2.3.1.1).
const FIELD: [u8; 2] = *b"Ct";

impl Identity {
    pub(super) fn of(file: &File) -> std::io::Result<Identity> {
        file.metadata().map(|data| Identity::from(&data))
    }

    pub(super) fn at(path: &Path) -> Option<Identity> {
        std::fs::metadata(path).ok().map(|data| Identity::from(&data))
    }

    /// Of the file that a compressed one was made of.
    pub(super) fn of_compressed(file: &File) -> std::io::Result<Identity> {
        let mut file = file;
        let decoder = GzDecoder::new(BufReader::with_capacity(512, file));
        let extra = decoder.header().and_then(|header| header.extra()).map(<[u8]>::to_vec);
        file.rewind()?;
        match extra.as_deref().and_then(Identity::from_field) {
            Some(own) => Ok(own),
            // Compressed by somebody else.
            None => Identity::of(file),
        }
    }

    /// Whether no other file ever has it.
    pub(super) fn is_lasting(&self) -> bool {
        self.0[2] != 0
    }

    /// As the extra field of a compressed file has it.
    pub(super) fn field(self) -> Vec<u8> {
        let content: Vec<u8> = self.0.iter().flat_map(|number| number.to_le_bytes()).collect();
        [&FIELD[..], &(content.len() as u16).to_le_bytes(), &content].concat()
    }

    fn from_field(field: &[u8]) -> Option<Identity> {
        let content = field.strip_prefix(&FIELD)?.strip_prefix(&24u16.to_le_bytes())?;
        let (numbers, rest) = content.as_chunks::<8>();
        let numbers: [[u8; 8]; 3] = numbers.try_into().ok()?;
        rest.is_empty().then_some(Identity(numbers.map(u64::from_le_bytes)))
    }
}

impl From<&std::fs::Metadata> for Identity {
    fn from(data: &std::fs::Metadata) -> Identity {
        // Not every file system knows it.
        let made = data.created().ok().and_then(|made| made.duration_since(SystemTime::UNIX_EPOCH).ok());
        Identity([data.dev(), data.ino(), made.map_or(0, |made| made.as_nanos() as u64)])
    }
}

/// The text of a compressed file.
pub(super) fn text(file: File) -> impl BufRead {
    BufReader::with_capacity(64 << 10, MultiGzDecoder::new(BufReader::with_capacity(32 << 10, file)))
}
