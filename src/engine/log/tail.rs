//! The last lines of a log's files.

use std::fs::File;
use std::io::BufRead;
use std::os::unix::fs::FileExt;

use super::read::BLOCK;

/// Where the last `count` lines of a file begin, and how many there are.
pub(super) fn start_of_last(file: &File, count: usize) -> std::io::Result<(u64, usize)> {
    let size = file.metadata()?.len();
    if count == 0 {
        return Ok((size, 0));
    }
    let (mut end, mut found) = (size, 0);
    let mut block = vec![0; BLOCK];
    while end > 0 {
        let start = end.saturating_sub(BLOCK as u64);
        let part = &mut block[..(end - start) as usize];
        file.read_exact_at(part, start)?;
        for at in memchr::memrchr_iter(b'\n', part) {
            // The end of the last line begins no other.
            if start + at as u64 + 1 < size {
                found += 1;
                if found == count {
                    return Ok((start + at as u64 + 1, found));
                }
            }
        }
        end = start;
    }
    Ok((0, found + usize::from(size > 0)))
}

pub(super) fn count_lines(mut text: impl BufRead) -> std::io::Result<usize> {
    let mut count = 0;
    loop {
        let block = text.fill_buf()?;
        let length = block.len();
        if length == 0 {
            return Ok(count);
        }
        count += memchr::memchr_iter(b'\n', block).count();
        text.consume(length);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_lines_are_found_from_the_end_and_none_without_a_look() {
        let path = std::env::temp_dir().join(format!("ctn-log-tail-{}", std::process::id()));
        let lines: Vec<String> = (0..20_000).map(|number| format!("{number}\n")).collect();
        std::fs::write(&path, lines.concat()).unwrap();
        let file = File::open(&path).unwrap();
        let length = file.metadata().unwrap().len();
        for count in [1, 2, 10_000, 20_000, 20_001] {
            let last = lines[lines.len().saturating_sub(count)..].concat().len() as u64;
            assert_eq!(start_of_last(&file, count).unwrap(), (length - last, count.min(20_000)), "{count}");
        }
        // Who can't read it can't count its lines.
        let unread = File::options().write(true).open(&path).unwrap();
        assert_eq!(start_of_last(&unread, 0).unwrap(), (length, 0));
        std::fs::remove_file(path).unwrap();
    }
}
