//! Digests: the names of blobs, by their content (image-spec, descriptor.md).

use std::fmt;
use std::io;
use std::str::FromStr;

use anyhow::{Result, bail, ensure};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use sha2::digest::Digest as _;
use sha2::{Sha256, Sha512};

/// A registered hash function.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Algorithm {
    /// SHA-256, which everybody writes.
    Sha256,
    /// SHA-512, which everybody must read.
    Sha512,
}

impl Algorithm {
    /// The name before the colon.
    pub fn name(self) -> &'static str {
        match self {
            Algorithm::Sha256 => "sha256",
            Algorithm::Sha512 => "sha512",
        }
    }

    /// Hexadecimal digits in a digest.
    fn digits(self) -> usize {
        match self {
            Algorithm::Sha256 => 64,
            Algorithm::Sha512 => 128,
        }
    }
}

/// `sha256:…`: algorithm and hexadecimal digits, checked, so that it can be part of a path.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Digest {
    algorithm: Algorithm,
    hex: String,
}

impl Digest {
    /// The SHA-256 of some bytes.
    pub fn of(bytes: &[u8]) -> Digest {
        let mut hasher = Hasher::new(Algorithm::Sha256);
        hasher.update(bytes);
        hasher.finish()
    }

    /// The hash function.
    pub fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    /// The digits.
    pub fn hex(&self) -> &str {
        &self.hex
    }

    /// The first twelve digits, as tables show ids.
    pub fn short(&self) -> &str {
        &self.hex[..12]
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.algorithm.name(), self.hex)
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for Digest {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> Result<Digest> {
        let Some((name, hex)) = text.split_once(':') else { bail!("invalid digest {text:?}: there is no colon") };
        let algorithm = match name {
            "sha256" => Algorithm::Sha256,
            "sha512" => Algorithm::Sha512,
            _ => bail!("invalid digest {text:?}: unsupported algorithm {name:?}"),
        };
        let digits = algorithm.digits();
        ensure!(hex.len() == digits, "invalid digest {text:?}: {} digits, not {digits}", hex.len());
        let lower = |byte: u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
        ensure!(hex.bytes().all(lower), "invalid digest {text:?}: not lower-case hexadecimal");
        Ok(Digest { algorithm, hex: hex.to_owned() })
    }
}

impl Serialize for Digest {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Digest {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Digest, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

/// A digest in the making.
#[derive(Debug, Clone)]
pub struct Hasher(State);

#[derive(Debug, Clone)]
enum State {
    Sha256(Sha256),
    Sha512(Sha512),
}

impl Hasher {
    /// Nothing hashed yet.
    pub fn new(algorithm: Algorithm) -> Hasher {
        Hasher(match algorithm {
            Algorithm::Sha256 => State::Sha256(Sha256::new()),
            Algorithm::Sha512 => State::Sha512(Sha512::new()),
        })
    }

    /// Takes the next bytes.
    pub fn update(&mut self, bytes: &[u8]) {
        match &mut self.0 {
            State::Sha256(state) => state.update(bytes),
            State::Sha512(state) => state.update(bytes),
        }
    }

    /// The digest of all bytes.
    pub fn finish(self) -> Digest {
        let (algorithm, hash) = match self.0 {
            State::Sha256(state) => (Algorithm::Sha256, state.finalize().to_vec()),
            State::Sha512(state) => (Algorithm::Sha512, state.finalize().to_vec()),
        };
        Digest { algorithm, hex: hash.iter().map(|byte| format!("{byte:02x}")).collect() }
    }
}

/// A writer that hashes what goes through.
#[derive(Debug)]
pub struct Hashed<W> {
    output: W,
    hasher: Hasher,
    size: u64,
}

impl<W: io::Write> Hashed<W> {
    /// Nothing written yet.
    pub fn new(output: W) -> Hashed<W> {
        Hashed { output, hasher: Hasher::new(Algorithm::Sha256), size: 0 }
    }

    /// The writer, the digest and the number of the bytes that were written.
    pub fn finish(self) -> (W, Digest, u64) {
        (self.output, self.hasher.finish(), self.size)
    }
}

impl<W: io::Write> io::Write for Hashed<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let count = self.output.write(bytes)?;
        self.hasher.update(&bytes[..count]);
        self.size += count as u64;
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.output.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const EMPTY: &str = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

    #[test]
    fn hashes_are_those_of_fips_180() {
        assert_eq!(Digest::of(b"").to_string(), EMPTY);
        assert_eq!(Digest::of(b"{}").hex(), "44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a");
        let mut long = Hasher::new(Algorithm::Sha512);
        long.update(b"a");
        long.update(b"bc");
        assert!(long.finish().to_string().starts_with("sha512:ddaf35a193617abacc417349ae204131"));
    }

    #[test]
    fn only_what_can_be_a_file_name_is_a_digest() {
        assert_eq!(EMPTY.parse::<Digest>().unwrap().short(), "e3b0c44298fc");
        for wrong in [
            "",
            "sha256",
            "sha256:",
            "sha256:../../../../../../../../../../../../../../../../../../../etc/passwd",
            "md5:d41d8cd98f00b204e9800998ecf8427e",
            &EMPTY.to_uppercase().replace("SHA256", "sha256"),
            &EMPTY[..70],
            &format!("{EMPTY}0"),
        ] {
            assert!(wrong.parse::<Digest>().is_err(), "{wrong}");
        }
    }
}
