//! Sparse files: maps of where the data is.

use anyhow::{Context, Result, ensure};

use super::header::{self, GNU_SPARSE, GNU_SPARSE_EXTENDED};
use super::{BLOCK, pax};

/// Segments that one file may have: the map is held in memory.
const MOST_SEGMENTS: usize = 1 << 20;

/// A stretch of data; between two there is a hole.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Segment {
    /// Where it starts in the file.
    pub offset: u64,
    /// Bytes.
    pub length: u64,
}

impl Segment {
    /// A stretch of data.
    pub fn new(offset: u64, length: u64) -> Segment {
        Segment { offset, length }
    }
}

/// Checks that a map is in order, inside the file and says as much data as the archive has.
pub fn checked(map: Vec<Segment>, size: u64, stored: u64) -> Result<Vec<Segment>> {
    ensure!(map.len() <= MOST_SEGMENTS, "a sparse file of more than {MOST_SEGMENTS} segments");
    let (mut end, mut sum) = (0u64, 0u64);
    for segment in &map {
        ensure!(segment.offset >= end, "the segments of a sparse file overlap or are not in order");
        end = segment.offset.checked_add(segment.length).context("a segment of a sparse file has no end")?;
        ensure!(end <= size, "a segment of a sparse file ends at {end}, behind the file's {size} bytes");
        sum += segment.length;
    }
    ensure!(sum == stored, "a sparse file's map has {sum} bytes of data, and the archive {stored}");
    // An empty segment at the end only says the size.
    Ok(map.into_iter().filter(|segment| segment.length > 0).collect())
}

/// The segments of one block of GNU's old form: pairs of twelve-byte numbers, up to the first empty one.
fn pairs(fields: &[u8], map: &mut Vec<Segment>) -> Result<()> {
    for pair in fields.chunks_exact(24) {
        if pair[0] == 0 {
            break;
        }
        let natural = |field| u64::try_from(header::number(field)?).context("a negative number in a sparse file's map");
        map.push(Segment::new(natural(&pair[..12])?, natural(&pair[12..])?));
    }
    ensure!(map.len() <= MOST_SEGMENTS, "a sparse file of more than {MOST_SEGMENTS} segments");
    Ok(())
}

/// GNU's old form (type `S`): in the header, and in blocks behind it that `next` reads.
pub fn old_gnu(head: &[u8; BLOCK], mut next: impl FnMut() -> Result<[u8; BLOCK]>) -> Result<(Vec<Segment>, u64)> {
    let mut map = Vec::new();
    pairs(&head[GNU_SPARSE], &mut map)?;
    let size =
        u64::try_from(header::number(&head[header::GNU_REAL_SIZE])?).context("a sparse file of negative size")?;
    let mut extended = head[GNU_SPARSE_EXTENDED] != 0;
    while extended {
        let block = next()?;
        pairs(&block[..504], &mut map)?;
        extended = block[504] != 0;
    }
    Ok((map, size))
}

/// PAX 1.0: decimal lines before the data, padded to a block. Returns the map and the bytes it took.
pub fn pax_1_0(mut next: impl FnMut() -> Result<[u8; BLOCK]>) -> Result<(Vec<Segment>, u64)> {
    let (mut text, mut taken) = (Vec::new(), 0);
    let mut numbers: Vec<u64> = Vec::new();
    loop {
        let block = next()?;
        taken += BLOCK as u64;
        text.extend_from_slice(&block);
        let mut start = 0;
        while let Some(length) = text[start..].iter().position(|byte| *byte == b'\n') {
            numbers.push(pax::natural(&text[start..start + length]).context("a sparse file's map")?);
            start += length + 1;
            let count = usize::try_from(numbers[0]).unwrap_or(usize::MAX);
            ensure!(count <= MOST_SEGMENTS, "a sparse file of more than {MOST_SEGMENTS} segments");
            if numbers.len() == count * 2 + 1 {
                let pair = |pair: &[u64]| Segment::new(pair[0], pair[1]);
                return Ok((numbers[1..].chunks_exact(2).map(pair).collect(), taken));
            }
        }
        text.drain(..start);
        ensure!(text.len() < 2 * BLOCK, "a sparse file's map is broken");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_map_must_be_in_order_and_inside() {
        let of = |pairs: &[(u64, u64)]| pairs.iter().map(|(offset, length)| Segment::new(*offset, *length)).collect();
        assert_eq!(checked(of(&[(0, 5), (10, 5), (20, 0)]), 20, 10).unwrap().len(), 2);
        for (map, size, stored) in [
            (&[(5, 5), (0, 5)][..], 20, 10),
            (&[(0, 6), (5, 4)], 20, 10),
            (&[(15, 10)], 20, 10),
            (&[(u64::MAX, 10)], 20, 10),
            (&[(0, 5)], 20, 10),
        ] {
            assert!(checked(of(map), size, stored).is_err(), "{map:?}");
        }
    }
}
