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
use std::os::fd::OwnedFd;

use anyhow::{Context, Result};

use pack::pack;
pub use tree::{Found, Tree};
pub use unpack::Owner;
use unpack::unpack;

use crate::error::{Attempt, Errno, errno};
use crate::image::layer::attributes::Warnings;
use crate::image::layer::copy::IdMaps;
use crate::image::mount::FileIds;

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

/// Copies what was found in a tree to where the rules say. Owners that are kept have the same number in the container and on the host.
pub fn copy(from: (&Tree, &Found), to: &Tree, placed: &rules::Placed, owner: Owner) -> Result<Copied> {
    let (tree, found) = from;
    let target = to.directory(&placed.directory)?;
    let none = IdMaps::default();
    // Owners that are not kept stay the machine's up to there: root of a container with ids of its own is not the root who gets a copy,
    // and so not whose set-id bits are kept.
    let ids = if owner == Owner::Kept { tree.ids() } else { &none };
    let (reader, writer) = std::io::pipe().attempt(|| "make a pipe")?;
    let (packed, unpacked) = std::thread::scope(|scope| {
        let packing = scope.spawn(|| {
            let output = BufWriter::with_capacity(BUFFER, writer);
            pack(found, &placed.name, ids, output)?.flush().attempt(|| "write the archive")
        });
        let unpacked = unpacked(reader, target, owner, to);
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
    let (size, warnings) = unpacked(stream, target, Owner::Kept, to)?;
    Ok(Copied { size, warnings })
}

/// Writes an archive of what was found in a tree.
pub fn pack_stream(from: (&Tree, &Found), name: &[u8], stream: impl Write) -> Result<()> {
    let output = BufWriter::with_capacity(BUFFER, stream);
    pack(from.1, name, from.0.ids(), output)?.flush().attempt(|| "write the archive")
}

/// Files are made by this thread as by the container's root, where root of this process is nobody.
fn unpacked<'r>(stream: impl Read + 'r, target: OwnedFd, owner: Owner, to: &Tree) -> Result<(u64, Warnings)> {
    let ids = to.ids();
    let _as_its_root = (!ids.is_identity()).then(|| FileIds::of_root(ids)).transpose()?;
    unpack(buffered(stream), target, owner, ids)
}

fn buffered<'r>(stream: impl Read + 'r) -> Box<dyn Read + 'r> {
    Box::new(BufReader::with_capacity(BUFFER, stream))
}
