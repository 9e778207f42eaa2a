//! One block: a header of V7, ustar, GNU or PAX (tar(5), POSIX pax "ustar Interchange Format").

use anyhow::{Result, bail, ensure};

use super::BLOCK;

/// The numbers and names of a header, before longer ones from an extension take their place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Header {
    /// The name, with ustar's prefix before it.
    pub path: Vec<u8>,
    /// What a link points to.
    pub link: Vec<u8>,
    /// The entry's type, one character.
    pub flag: u8,
    /// Permissions.
    pub mode: u32,
    /// The owner.
    pub uid: u64,
    /// The group.
    pub gid: u64,
    /// Bytes that follow, without padding.
    pub size: u64,
    /// Seconds since 1970.
    pub modified: i64,
    /// Major and minor number of a device.
    pub device: (u32, u32),
}

/// Where GNU's sparse header (type `S`) has its first four segments, and what comes after them.
pub const GNU_SPARSE: std::ops::Range<usize> = 386..482;
/// Whether blocks with more segments follow.
pub const GNU_SPARSE_EXTENDED: usize = 482;
/// The size of the file with its holes.
pub const GNU_REAL_SIZE: std::ops::Range<usize> = 483..495;

impl Header {
    /// Reads a block that is not all zeros.
    pub fn parse(block: &[u8; BLOCK]) -> Result<Header> {
        ensure!(has_checksum(block), "the header's checksum is wrong: this is no tar archive, or a damaged one");
        let flag = block[156];
        let gnu = &block[257..265] == b"ustar  \0";
        let ustar = &block[257..262] == b"ustar" && !gnu;
        let name = text(&block[..100]);
        let prefix = if ustar { text(&block[345..500]) } else { b"" };
        let path = if prefix.is_empty() { name.to_vec() } else { [prefix, b"/", name].concat() };
        let device = |range: std::ops::Range<usize>| {
            // V7 has other things there, and only devices have a use for it.
            let means = (ustar || gnu) && matches!(flag, b'3' | b'4');
            if means { u32::try_from(number(&block[range])?).map_err(anyhow::Error::new) } else { Ok(0) }
        };
        let natural = |range: std::ops::Range<usize>, what: &str| match u64::try_from(number(&block[range])?) {
            Ok(number) => Ok(number),
            Err(_) => bail!("the header has a negative {what}"),
        };
        Ok(Header {
            path,
            link: text(&block[157..257]).to_vec(),
            flag,
            // More than the permissions is the file's type, which some writers repeat there.
            mode: (natural(100..108, "mode")? & 0o7777) as u32,
            uid: natural(108..116, "owner")?,
            gid: natural(116..124, "group")?,
            size: natural(124..136, "size")?,
            modified: number(&block[136..148])?,
            device: (device(329..337)?, device(337..345)?),
        })
    }
}

/// Up to the first NUL.
pub fn text(field: &[u8]) -> &[u8] {
    let end = field.iter().position(|byte| *byte == 0).unwrap_or(field.len());
    &field[..end]
}

/// Octal digits between blanks and NULs, or GNU's base 256, told by the first bit.
pub fn number(field: &[u8]) -> Result<i64> {
    if field.first().is_some_and(|first| first & 0x80 != 0) {
        return base_256(field);
    }
    let digits: Vec<u8> =
        text(field.trim_ascii_start()).iter().copied().filter(|byte| !byte.is_ascii_whitespace()).collect();
    let mut value: i64 = 0;
    for digit in digits {
        ensure!(matches!(digit, b'0'..=b'7'), "{} is no octal number", super::shown(field));
        value = value << 3 | i64::from(digit - b'0');
    }
    Ok(value)
}

/// Two's complement, the first bit being the mark and the second the sign.
fn base_256(field: &[u8]) -> Result<i64> {
    let negative = field[0] & 0x40 != 0;
    let mut value: i128 = if negative { -1 } else { 0 };
    for (index, byte) in field.iter().enumerate() {
        let bits = if index == 0 { i128::from(byte & 0x7f) | if negative { 0x80 } else { 0 } } else { (*byte).into() };
        value = value << 8 | bits;
        ensure!(i64::try_from(value).is_ok(), "a number in the header is out of range");
    }
    Ok(value as i64)
}

/// The sum of all bytes, those of the sum itself taken as blanks; some old writers added them up as signed.
fn has_checksum(block: &[u8; BLOCK]) -> bool {
    let Ok(declared) = number(&block[148..156]) else { return false };
    let sums = block.iter().enumerate().fold((0i64, 0i64), |(unsigned, signed), (index, byte)| {
        let byte = if (148..156).contains(&index) { b' ' } else { *byte };
        (unsigned + i64::from(byte), signed + i64::from(byte.cast_signed()))
    });
    declared == sums.0 || declared == sums.1
}

/// Fills in the sum.
pub fn sign(block: &mut [u8; BLOCK]) {
    block[148..156].fill(b' ');
    let sum: u32 = block.iter().map(|byte| u32::from(*byte)).sum();
    block[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_in_all_their_forms() {
        for (field, wanted) in [
            (&b"0000644\0"[..], 0o644),
            (b"   644 \0", 0o644),
            (b"\0\0\0\0\0\0\0\0", 0),
            (b"        ", 0),
            (b"77777777777\0", 0o77777777777),
            (b"\x80\0\0\0\0\0\0\x02\0\0\0\0", 0x2_0000_0000),
            (b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff", -1),
            (b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\x00", -256),
        ] {
            assert_eq!(number(field).unwrap(), wanted, "{field:?}");
        }
        for wrong in [&b"12x\0"[..], b"-1\0", b"\x80\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff", b"9\0"] {
            assert!(number(wrong).is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn a_block_without_its_checksum_is_no_header() {
        let mut block = [0; BLOCK];
        block[..4].copy_from_slice(b"name");
        sign(&mut block);
        assert_eq!(Header::parse(&block).unwrap().path, b"name");
        block[0] = b'N';
        assert!(Header::parse(&block).unwrap_err().to_string().contains("checksum"));
    }
}
