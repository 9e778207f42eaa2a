//! One pass over a layer: read, hash and keep the blob in one thread, inflate and hash the content in the next, unpack in the
//! third.

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::OwnedFd;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

use anyhow::{Context, Result, anyhow, ensure};

use super::apply::{Outcome, apply};
use super::compression::{self, Compression};
use super::form::Form;
use super::stack::Stack;
use crate::error::Attempt;
use crate::image::digest::{Algorithm, Digest, Hasher};
use crate::image::manifest::Descriptor;
use crate::image::tar::{Input, Reader};

/// Bytes that are handed on at once; below malloc's threshold for mappings of their own.
const CHUNK: usize = 64 << 10;
/// Chunks that may wait between two threads.
const WAITING: usize = 16;

/// Where a layer is unpacked to.
#[derive(Debug)]
pub struct Target<'a> {
    /// An empty directory.
    pub root: OwnedFd,
    /// The form of its whiteouts.
    pub form: Form,
    /// The layers below, where they have to be looked at.
    pub below: Option<&'a Stack>,
    /// What the content must hash to.
    pub diff_id: &'a Digest,
}

/// Reads a blob to its end: checks it against its descriptor, keeps it in `keep` and unpacks it to `target`.
pub fn run(
    stream: impl Read + Send,
    descriptor: &Descriptor,
    keep: Option<&File>,
    target: Option<Target<'_>>,
) -> Result<Option<Outcome>> {
    let Some(target) = target else {
        copy(stream, descriptor, keep, |_| true)?;
        return Ok(None);
    };
    let (blob, blob_end) = sync_channel(WAITING);
    let (content, content_end) = sync_channel(WAITING);
    std::thread::scope(|scope| {
        let copying = scope.spawn(move || copy(stream, descriptor, keep, |chunk| blob.send(chunk.to_vec()).is_ok()));
        let inflating = scope.spawn(move || inflate(Pipe::new(blob_end), &content));
        let unpacked = unpack(Pipe::new(content_end), &target);
        let joined =
            |ended: std::thread::Result<Result<_>>| ended.unwrap_or_else(|_| Err(anyhow!("a thread panicked")));
        let inflated = inflating.join().unwrap_or_else(|_| Err(anyhow!("a thread panicked")));
        // What came first is the cause of what came after: a blob cut short is no broken archive.
        let complete = joined(copying.join())?;
        let found = inflated?;
        let outcome = unpacked?;
        ensure!(complete, "the blob was not read to its end");
        if let Some(diff_id) = found
            && &diff_id != target.diff_id
        {
            anyhow::bail!("the content is {diff_id}, where the image's configuration says {}", target.diff_id);
        }
        Ok(Some(outcome))
    })
}

/// Reads all of a blob; `next` gets every chunk and says whether anybody wants more. Returns whether the end was reached.
fn copy(
    mut stream: impl Read,
    descriptor: &Descriptor,
    mut keep: Option<&File>,
    mut next: impl FnMut(&[u8]) -> bool,
) -> Result<bool> {
    let mut hasher = Hasher::new(descriptor.digest.algorithm());
    let mut buffer = vec![0; CHUNK];
    let mut size = 0;
    loop {
        let count = match stream.read(&mut buffer) {
            Ok(count) => count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(error).context("read the blob"),
        };
        if count == 0 {
            break;
        }
        size += count as u64;
        // Before it is written: an endless blob must not fill the disk.
        ensure!(size <= descriptor.size, "more than the {} bytes that are declared", descriptor.size);
        hasher.update(&buffer[..count]);
        if let Some(file) = &mut keep {
            file.write_all(&buffer[..count]).attempt(|| "write the blob")?;
        }
        if !next(&buffer[..count]) {
            return Ok(false);
        }
    }
    ensure!(size == descriptor.size, "{size} bytes, where {} are declared", descriptor.size);
    let found = hasher.finish();
    ensure!(found == descriptor.digest, "the content is {found}, where {} is declared", descriptor.digest);
    Ok(true)
}

/// Returns the content's digest, or none if nobody wanted all of it.
fn inflate(blob: Pipe, content: &SyncSender<Vec<u8>>) -> Result<Option<Digest>> {
    let (compression, mut stream) = compression::decoder(blob)?;
    let mut hasher = Hasher::new(Algorithm::Sha256);
    loop {
        let mut chunk = Vec::with_capacity(CHUNK);
        let limit = CHUNK as u64;
        (&mut stream).take(limit).read_to_end(&mut chunk).with_context(|| match compression {
            Compression::None => "read it",
            Compression::Gzip => "undo gzip's compression",
            Compression::Zstd => "undo zstd's compression",
        })?;
        if chunk.is_empty() {
            return Ok(Some(hasher.finish()));
        }
        hasher.update(&chunk);
        if content.send(chunk).is_err() {
            return Ok(None);
        }
    }
}

fn unpack(content: Pipe, target: &Target<'_>) -> Result<Outcome> {
    let root = target.root.try_clone().attempt(|| "duplicate a descriptor")?;
    let mut archive = Reader::new(content);
    let outcome = apply(&mut archive, root, target.form, target.below)?;
    // The digest is of all bytes, those behind the archive's end too.
    archive.drain()?;
    Ok(outcome)
}

/// The reading end between two threads.
struct Pipe {
    chunks: Receiver<Vec<u8>>,
    chunk: Vec<u8>,
    position: usize,
}

impl Pipe {
    fn new(chunks: Receiver<Vec<u8>>) -> Pipe {
        Pipe { chunks, chunk: Vec::new(), position: 0 }
    }
}

impl Read for Pipe {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.position == self.chunk.len() {
            let Ok(chunk) = self.chunks.recv() else { return Ok(0) };
            (self.chunk, self.position) = (chunk, 0);
        }
        let count = buffer.len().min(self.chunk.len() - self.position);
        buffer[..count].copy_from_slice(&self.chunk[self.position..self.position + count]);
        self.position += count;
        Ok(count)
    }
}

impl Input for Pipe {}
