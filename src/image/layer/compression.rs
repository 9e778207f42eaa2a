//! What layers are compressed with: told by their first bytes, whatever their media type says.

use std::io::{self, BufRead, BufReader, Read};

use anyhow::{Result, bail};
use flate2::bufread::MultiGzDecoder;

/// How a stream is compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Compression {
    /// Not at all.
    None,
    /// RFC 1952.
    Gzip,
    /// RFC 8878.
    Zstd,
}

impl Compression {
    /// By the first bytes, of which there should be six. What is compressed in another way is an error.
    pub fn of(start: &[u8]) -> Result<Compression> {
        Ok(match start {
            [0x1f, 0x8b, 0x08, ..] => Compression::Gzip,
            [0x28, 0xb5, 0x2f, 0xfd, ..] => Compression::Zstd,
            // A skippable frame of zstd, which zstd:chunked and pzstd may start with.
            [0x50..=0x5f, 0x2a, 0x4d, 0x18, ..] => Compression::Zstd,
            [0xfd, b'7', b'z', b'X', b'Z', 0, ..] => bail!("compressed with xz, which no image format has"),
            [b'B', b'Z', b'h', b'1'..=b'9', b'1', b'A', ..] => {
                bail!("compressed with bzip2, which no image format has")
            }
            _ => Compression::None,
        })
    }
}

/// Looks at the first bytes and undoes the compression.
pub fn decoder<'r>(stream: impl Read + Send + 'r) -> Result<(Compression, Box<dyn Read + Send + 'r>)> {
    let stream = Peeked::new(stream)?;
    let compression = Compression::of(stream.start())?;
    Ok((
        compression,
        match compression {
            Compression::None => Box::new(stream),
            // A member after another is part of the same stream.
            Compression::Gzip => Box::new(MultiGzDecoder::new(BufReader::with_capacity(64 << 10, stream))),
            Compression::Zstd => Box::new(zstd::Decoder::new(stream)?),
        },
    ))
}

/// A stream whose first bytes are known.
struct Peeked<R> {
    start: io::Cursor<Vec<u8>>,
    rest: R,
}

impl<R: Read> Peeked<R> {
    fn new(mut stream: R) -> io::Result<Peeked<R>> {
        let mut start = Vec::with_capacity(6);
        (&mut stream).take(6).read_to_end(&mut start)?;
        Ok(Peeked { start: io::Cursor::new(start), rest: stream })
    }

    fn start(&self) -> &[u8] {
        self.start.get_ref()
    }
}

impl<R: Read> Read for Peeked<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if !self.start.fill_buf()?.is_empty() {
            return self.start.read(buffer);
        }
        self.rest.read(buffer)
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    fn inflated(bytes: &[u8]) -> (Compression, io::Result<Vec<u8>>) {
        let (compression, mut stream) = decoder(bytes).unwrap();
        let mut all = Vec::new();
        (compression, stream.read_to_end(&mut all).map(|_| all))
    }

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    #[test]
    fn several_members_and_frames_are_one_stream() {
        let two = [gzip(b"one, "), gzip(b"two")].concat();
        assert_eq!(inflated(&two).1.unwrap(), b"one, two");
        let frame = |bytes: &[u8]| zstd::encode_all(bytes, 3).unwrap();
        let skippable = b"\x50\x2a\x4d\x18\x03\0\0\0xyz";
        let (compression, bytes) = inflated(&[&skippable[..], &frame(b"one, "), skippable, &frame(b"two")].concat());
        assert_eq!((compression, &bytes.unwrap()[..]), (Compression::Zstd, &b"one, two"[..]));
        for short in [&b""[..], b"x", b"plain text"] {
            assert_eq!(inflated(short).1.unwrap(), short);
        }
    }

    #[test]
    fn a_cut_stream_is_an_error() {
        let bytes: Vec<u8> = (0..100_000u32).flat_map(u32::to_le_bytes).collect();
        let whole = gzip(&bytes);
        assert!(inflated(&whole[..whole.len() - 1]).1.is_err());
        let whole = zstd::encode_all(&bytes[..], 3).unwrap();
        assert!(inflated(&whole[..whole.len() - 1]).1.is_err());
        assert!(Compression::of(b"\xfd7zXZ\0").is_err());
    }
}
