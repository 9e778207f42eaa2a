//! gzip by several processors at once: one member, whose blocks are compressed apart. The bytes depend on the content alone.

use std::io::{self, Write};

use flate2::{Compress, Compression, Crc, FlushCompress, Status};

/// Bytes that are compressed apart: big enough that what is lost at the borders is little.
const BLOCK: usize = 1 << 20;
/// Magic, deflate, no flags, no time, no hint, an unknown system (RFC 1952).
const HEADER: [u8; 10] = [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255];

/// A writer whose output is compressed.
#[derive(Debug)]
pub struct Encoder<W> {
    output: W,
    waiting: Vec<u8>,
    check: Crc,
    parallel: usize,
}

impl<W: Write> Encoder<W> {
    /// Starts a member.
    pub fn new(mut output: W) -> io::Result<Encoder<W>> {
        output.write_all(&HEADER)?;
        let parallel = std::thread::available_parallelism().map_or(1, usize::from);
        Ok(Encoder { output, waiting: Vec::with_capacity(BLOCK * parallel), check: Crc::new(), parallel })
    }

    /// Compresses what waits, in blocks of always the same size.
    fn compress(&mut self) -> io::Result<()> {
        let blocks: Vec<&[u8]> = self.waiting.chunks(BLOCK).collect();
        let compressed: io::Result<Vec<Vec<u8>>> = std::thread::scope(|scope| {
            let workers: Vec<_> = blocks.iter().map(|block| scope.spawn(|| deflated(block))).collect();
            let panicked = |_| io::Error::other("a thread panicked");
            workers.into_iter().map(|worker| worker.join().map_err(panicked)?).collect()
        });
        for block in compressed? {
            self.output.write_all(&block)?;
        }
        self.waiting.clear();
        Ok(())
    }

    /// Ends the member.
    pub fn finish(mut self) -> io::Result<W> {
        self.compress()?;
        // An empty last block.
        self.output.write_all(&[3, 0])?;
        self.output.write_all(&self.check.sum().to_le_bytes())?;
        self.output.write_all(&self.check.amount().to_le_bytes())?;
        Ok(self.output)
    }
}

impl<W: Write> Write for Encoder<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let count = bytes.len().min(BLOCK * self.parallel - self.waiting.len());
        self.waiting.extend_from_slice(&bytes[..count]);
        self.check.update(&bytes[..count]);
        if self.waiting.len() == BLOCK * self.parallel {
            self.compress()?;
        }
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        // What is compressed apart must not depend on when somebody flushes.
        Ok(())
    }
}

/// One block of raw deflate, ended on a byte.
fn deflated(block: &[u8]) -> io::Result<Vec<u8>> {
    let mut state = Compress::new(Compression::new(6), false);
    let mut output = Vec::with_capacity(block.len() / 2 + 1024);
    loop {
        let read = state.total_in() as usize;
        let status = state.compress_vec(&block[read..], &mut output, FlushCompress::Sync).map_err(io::Error::other)?;
        let room = output.capacity() > output.len();
        // With room left, everything was written.
        if state.total_in() as usize == block.len() && room {
            return Ok(output);
        }
        if !matches!(status, Status::Ok | Status::BufError) {
            return Err(io::Error::other("deflate ended early"));
        }
        output.reserve(64 << 10);
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use super::*;

    fn encoded(content: &[u8], parallel: usize, piece: usize) -> Vec<u8> {
        let mut encoder = Encoder::new(Vec::new()).unwrap();
        encoder.parallel = parallel;
        for piece in content.chunks(piece) {
            encoder.write_all(piece).unwrap();
        }
        encoder.finish().unwrap()
    }

    #[test]
    fn the_bytes_depend_on_the_content_alone() {
        let mut state = 1u32;
        let noise = std::iter::repeat_with(|| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            if state >> 31 == 0 { b'a' } else { (state >> 24) as u8 }
        });
        let content: Vec<u8> = noise.take(3 * BLOCK + 12_345).collect();
        for length in [0, 1, BLOCK - 1, BLOCK, BLOCK + 1, content.len()] {
            let one = encoded(&content[..length], 1, 4096);
            assert!(one == encoded(&content[..length], 3, 100_000), "{length}");
            let mut inflated = Vec::new();
            flate2::read::MultiGzDecoder::new(&one[..]).read_to_end(&mut inflated).unwrap();
            assert!(inflated == content[..length], "{length}");
        }
    }
}
