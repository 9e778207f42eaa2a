//! PAX extended headers: records of `LENGTH KEYWORD=VALUE\n` (POSIX pax).

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use anyhow::{Context, Result, ensure};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD};

use super::sparse::Segment;
use super::{Time, shown};

/// What an extended header says of the entry after it; it wins over the entry's own header.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Extension {
    /// The path.
    pub path: Option<Vec<u8>>,
    /// What a link points to.
    pub link: Option<Vec<u8>>,
    /// Bytes that follow.
    pub size: Option<u64>,
    /// The owner.
    pub uid: Option<u64>,
    /// The group.
    pub gid: Option<u64>,
    /// When the content changed.
    pub modified: Option<Time>,
    /// Extended attributes.
    pub xattrs: BTreeMap<Vec<u8>, Vec<u8>>,
    /// GNU's sparse files, if this is one.
    pub sparse: Sparse,
}

/// `GNU.sparse.*`, in any of its three versions.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Sparse {
    /// 1.0 has its map before the data.
    pub major: Option<u64>,
    /// The real name, where the entry's own is made up.
    pub name: Option<Vec<u8>>,
    /// The size with holes.
    pub real_size: Option<u64>,
    /// The map of 0.0 and 0.1.
    pub map: Option<Vec<Segment>>,
    /// The start of a segment of 0.0, whose length is in the next record.
    offset: Option<u64>,
}

impl Extension {
    /// Reads the records.
    pub fn parse(records: &[u8]) -> Result<Extension> {
        let mut extension = Extension::default();
        let mut rest = records;
        // Padding with NULs is not what POSIX says, but is seen.
        while !rest.is_empty() && rest[0] != 0 {
            let (keyword, value, after) = record(rest)?;
            extension.take(keyword, value).with_context(|| format!("the extended header's {}", shown(keyword)))?;
            rest = after;
        }
        Ok(extension)
    }

    fn take(&mut self, keyword: &[u8], value: &[u8]) -> Result<()> {
        match keyword {
            b"path" => self.path = Some(without_nul(value)?),
            b"linkpath" => self.link = Some(without_nul(value)?),
            b"size" => self.size = Some(natural(value)?),
            b"uid" => self.uid = Some(natural(value)?),
            b"gid" => self.gid = Some(natural(value)?),
            b"mtime" => self.modified = Some(time(value)?),
            _ => {
                if let Some(name) = keyword.strip_prefix(b"SCHILY.xattr.") {
                    self.xattrs.insert(without_nul(name)?, value.to_vec());
                } else if let Some(name) = keyword.strip_prefix(b"LIBARCHIVE.xattr.") {
                    // bsdtar writes both; the other has the bytes as they are.
                    let name = without_nul(&percent_decoded(name))?;
                    if let Entry::Vacant(place) = self.xattrs.entry(name) {
                        place.insert(decoded(value)?);
                    }
                } else if let Some(what) = keyword.strip_prefix(b"GNU.sparse.") {
                    self.sparse.take(what, value)?;
                }
                // POSIX: unknown keywords are ignored.
            }
        }
        Ok(())
    }
}

impl Sparse {
    /// Whether anything was said.
    pub fn is_there(&self) -> bool {
        self.major.is_some() || self.real_size.is_some() || self.map.is_some()
    }

    fn take(&mut self, what: &[u8], value: &[u8]) -> Result<()> {
        match what {
            b"major" => self.major = Some(natural(value)?),
            b"name" => self.name = Some(without_nul(value)?),
            b"realsize" | b"size" => self.real_size = Some(natural(value)?),
            b"map" => {
                let numbers = value.split(|byte| *byte == b',').filter(|number| !number.is_empty()).map(natural);
                let numbers = numbers.collect::<Result<Vec<u64>>>()?;
                ensure!(numbers.len().is_multiple_of(2), "a number is missing");
                self.map = Some(numbers.chunks_exact(2).map(|pair| Segment::new(pair[0], pair[1])).collect());
            }
            b"offset" => self.offset = Some(natural(value)?),
            b"numbytes" => {
                let offset = self.offset.take().context("comes without its offset")?;
                self.map.get_or_insert_default().push(Segment::new(offset, natural(value)?));
            }
            // The number of segments, which the map shows; the minor version, which changes nothing.
            _ => {}
        }
        Ok(())
    }
}

/// Splits off one record: keyword, value, and what follows.
fn record(bytes: &[u8]) -> Result<(&[u8], &[u8], &[u8])> {
    let broken = || format!("the extended header has a broken record: {}", shown(bytes));
    let blank = bytes.iter().take(20).position(|byte| *byte == b' ').with_context(broken)?;
    let length = natural(&bytes[..blank]).ok().and_then(|length| usize::try_from(length).ok()).with_context(broken)?;
    let whole = bytes.get(..length).filter(|_| length > blank + 1).with_context(broken)?;
    let content = whole[blank + 1..].strip_suffix(b"\n").with_context(broken)?;
    let equals = content.iter().position(|byte| *byte == b'=').with_context(broken)?;
    Ok((&content[..equals], &content[equals + 1..], &bytes[length..]))
}

/// One record as it is written, its length counting itself.
pub fn written(keyword: &[u8], value: &[u8]) -> Vec<u8> {
    let rest = keyword.len() + value.len() + 3;
    let mut length = rest;
    while rest + length.to_string().len() != length {
        length = rest + length.to_string().len();
    }
    [length.to_string().as_bytes(), b" ", keyword, b"=", value, b"\n"].concat()
}

fn without_nul(bytes: &[u8]) -> Result<Vec<u8>> {
    ensure!(!bytes.contains(&0), "has a NUL byte");
    Ok(bytes.to_vec())
}

/// A decimal number.
pub fn natural(bytes: &[u8]) -> Result<u64> {
    let digits = std::str::from_utf8(bytes).ok().filter(|text| text.bytes().all(|byte| byte.is_ascii_digit()));
    let number = digits.and_then(|digits| digits.parse().ok());
    number.filter(|number| i64::try_from(*number).is_ok()).with_context(|| format!("is no number: {}", shown(bytes)))
}

/// `[-]SECONDS[.FRACTION]`, the nanoseconds cut off towards the past.
fn time(bytes: &[u8]) -> Result<Time> {
    let wrong = || format!("is no time: {}", shown(bytes));
    let text = std::str::from_utf8(bytes).ok().with_context(wrong)?;
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let negative = whole.starts_with('-');
    let seconds = natural(whole.strip_prefix('-').unwrap_or(whole).as_bytes()).with_context(wrong)?;
    let seconds = i64::try_from(seconds).with_context(wrong)?;
    ensure!(fraction.bytes().all(|byte| byte.is_ascii_digit()), "{}", wrong());
    let digits: String = fraction.chars().chain("000000000".chars()).take(9).collect();
    let nanoseconds: u32 = digits.parse().with_context(wrong)?;
    Ok(match (negative, nanoseconds) {
        (false, _) => Time { seconds, nanoseconds },
        (true, 0) => Time { seconds: -seconds, nanoseconds },
        (true, _) => Time { seconds: -seconds - 1, nanoseconds: 1_000_000_000 - nanoseconds },
    })
}

fn decoded(value: &[u8]) -> Result<Vec<u8>> {
    STANDARD.decode(value).or_else(|_| STANDARD_NO_PAD.decode(value)).context("is no base64")
}

fn percent_decoded(name: &[u8]) -> Vec<u8> {
    let mut decoded = Vec::with_capacity(name.len());
    let mut rest = name;
    while let Some((&first, after)) = rest.split_first() {
        let digits = after.get(..2).filter(|_| first == b'%').and_then(|digits| std::str::from_utf8(digits).ok());
        match digits.and_then(|digits| u8::from_str_radix(digits, 16).ok()) {
            Some(byte) => {
                decoded.push(byte);
                rest = &after[2..];
            }
            None => {
                decoded.push(first);
                rest = after;
            }
        }
    }
    decoded
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_counts_its_own_length() {
        for length in [1, 5, 88, 89, 90, 91, 985, 990, 995, 9980] {
            let value = vec![b'v'; length];
            let written = written(b"path", &value);
            assert_eq!(record(&written).unwrap(), (&b"path"[..], &value[..], &b""[..]), "{length}");
        }
    }

    #[test]
    fn values_may_have_any_bytes() {
        let records = [
            written(b"SCHILY.xattr.user.a", b"x\n12 y=z\0\xff"),
            written(b"path", b"caf\xc3\xa9/\xff"),
            written(b"mtime", b"-1.25"),
            written(b"size", b"8589934592"),
            written(b"vendor.unknown", b""),
            written(b"LIBARCHIVE.xattr.user.b%20c", b"aGk"),
            written(b"LIBARCHIVE.xattr.user.a", b"aGk"),
        ];
        let extension = Extension::parse(&records.concat()).unwrap();
        assert_eq!(extension.xattrs[&b"user.a"[..]], b"x\n12 y=z\0\xff");
        assert_eq!(extension.xattrs[&b"user.b c"[..]], b"hi");
        assert_eq!(extension.path.unwrap(), b"caf\xc3\xa9/\xff");
        assert_eq!(extension.size, Some(8 << 30));
        assert_eq!(extension.modified, Some(Time { seconds: -2, nanoseconds: 750_000_000 }));
    }

    #[test]
    fn broken_records_are_refused() {
        for wrong in [
            &b"5 a=b"[..],
            b"99 path=x\n",
            b"x path=y\n",
            b"6 abcd\n",
            b"3 \n",
            b"0 a=b\n",
            b"18446744073709551616 a=b\n",
            b"11 size=-1\n",
            b"12 path=a\0b\n",
            b"12 mtime=x\n",
            b"28 GNU.sparse.map=1,2,3\n",
        ] {
            assert!(Extension::parse(wrong).is_err(), "{}", shown(wrong));
        }
    }
}
