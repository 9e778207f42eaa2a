//! `cp`: files between the host and a container, as an archive that one thread writes and another unpacks.
//!
//! A container's paths are resolved inside its root by openat2(2), so that no symbolic link of its own leads out of it ([`tree`]); what
//! is copied where is a pure function of what is found at both ends ([`rules`]).

mod files;
mod pack;
pub mod rules;
mod tree;
mod unpack;

use std::io::{BufReader, BufWriter, Read, Write};

use anyhow::{Context, Result};

pub use pack::pack;
pub use tree::{Found, Tree};
pub use unpack::{Owner, unpack};

use crate::error::{Attempt, Errno, errno};
use crate::image::layer::attributes::Warnings;

/// What is written and read at once.
const BUFFER: usize = 128 << 10;

/// What came of a copy.
#[derive(Debug)]
pub struct Copied {
    /// Bytes of the archive.
    pub size: u64,
    /// What could not be kept.
    pub warnings: Warnings,
}

/// Copies what was found to where the rules say.
pub fn copy(from: &Found, to: &Tree, placed: &rules::Placed, owner: Owner) -> Result<Copied> {
    let target = to.directory(&placed.directory)?;
    let (reader, writer) = std::io::pipe().attempt(|| "make a pipe")?;
    let (packed, unpacked) = std::thread::scope(|scope| {
        let packing = scope.spawn(|| {
            let output = BufWriter::with_capacity(BUFFER, writer);
            pack(from, &placed.name, output)?.flush().attempt(|| "write the archive")
        });
        let unpacked = unpack(buffered(reader), target, owner);
        (packing.join(), unpacked)
    });
    let packed = packed.map_err(|_| anyhow::anyhow!("the thread that packs ended")).flatten();
    match (packed, unpacked) {
        // Who can't unpack stops to read.
        (Err(error), unpacked) if errno(&error) != Some(Errno::PIPE) || unpacked.is_ok() => Err(error),
        (_, unpacked) => unpacked.map(|(size, warnings)| Copied { size, warnings }),
    }
}

/// Unpacks an archive that somebody else made, compressed or not.
pub fn unpack_stream(stream: impl Read + Send, to: &Tree, directory: &[u8]) -> Result<Copied> {
    let target = to.directory(directory)?;
    let (_, stream) = crate::image::layer::compression::decoder(stream).context("read the archive")?;
    let (size, warnings) = unpack(buffered(stream), target, Owner::Kept)?;
    Ok(Copied { size, warnings })
}

fn buffered<'r>(stream: impl Read + 'r) -> Box<dyn Read + 'r> {
    Box::new(BufReader::with_capacity(BUFFER, stream))
}
