//! Writing a log, by the monitor alone.

use std::fs::{self, File};
use std::io::Write;
use std::path::PathBuf;

use anyhow::Result;

use super::{Limits, line, rotated};
use crate::engine::now;
use crate::error::Attempt;

/// A line that is longer is written in parts, as docker does.
pub(super) const LONGEST: usize = 16 << 10;

/// A log that is written.
#[derive(Debug)]
pub struct Writer {
    path: PathBuf,
    limits: Limits,
    file: File,
    size: u64,
    /// What each line has beside what was said.
    attributes: String,
    /// The beginnings of lines that have no end yet, of stdout and stderr.
    open: [Vec<u8>; 2],
    /// Kept for its room.
    lines: Vec<u8>,
}

impl Writer {
    /// Opens it, at the end of what is there.
    pub fn open(path: PathBuf, limits: Limits, attributes: String) -> Result<Writer> {
        let file =
            File::options().create(true).append(true).open(&path).attempt(|| format!("open the log {path:?}"))?;
        let size = file.metadata().attempt(|| format!("look at the log {path:?}"))?.len();
        Ok(Writer { path, limits, file, size, attributes, open: Default::default(), lines: Vec::new() })
    }

    /// Takes what was said.
    pub fn write(&mut self, is_stderr: bool, bytes: &[u8]) -> Result<()> {
        let time = now();
        let mut rest = bytes;
        while !rest.is_empty() {
            let end = memchr::memchr(b'\n', rest).map_or(rest.len(), |at| at + 1);
            let part;
            (part, rest) = rest.split_at(end);
            let open = &mut self.open[usize::from(is_stderr)];
            if open.is_empty() && part.ends_with(b"\n") && part.len() <= LONGEST {
                self.line(part, is_stderr, &time)?;
                continue;
            }
            open.extend_from_slice(part);
            let mut open = std::mem::take(open);
            while open.len() >= LONGEST || open.ends_with(b"\n") {
                let length = open.len().min(LONGEST);
                self.line(&open[..length], is_stderr, &time)?;
                open.drain(..length);
            }
            self.open[usize::from(is_stderr)] = open;
        }
        self.put()
    }

    /// At the end: lines that never got theirs.
    pub fn finish(&mut self) -> Result<()> {
        let time = now();
        for is_stderr in [false, true] {
            let open = std::mem::take(&mut self.open[usize::from(is_stderr)]);
            if !open.is_empty() {
                self.line(&open, is_stderr, &time)?;
            }
        }
        self.put()
    }

    /// Puts a line behind those that wait to be written; where the file is full with them, they are written.
    fn line(&mut self, text: &[u8], is_stderr: bool, time: &str) -> Result<()> {
        line::write(&mut self.lines, text, is_stderr, &self.attributes, time);
        let is_full = self.limits.size.is_some_and(|limit| self.size + self.lines.len() as u64 >= limit);
        if is_full { self.put() } else { Ok(()) }
    }

    fn put(&mut self) -> Result<()> {
        let mut lines = std::mem::take(&mut self.lines);
        if !lines.is_empty() {
            if self.limits.size.is_some_and(|limit| self.size > 0 && self.size + lines.len() as u64 > limit) {
                self.rotate()?;
            }
            let written = self.file.write_all(&lines);
            let length = lines.len() as u64;
            lines.clear();
            self.lines = lines;
            if written.is_err() {
                // On a full disk a half line may be there now, which would spoil the next one.
                let _ = self.file.set_len(self.size);
            }
            written.attempt(|| format!("write the log {:?}", self.path))?;
            self.size += length;
        }
        Ok(())
    }

    fn rotate(&mut self) -> Result<()> {
        for number in (1..self.limits.files).rev() {
            match fs::rename(rotated(&self.path, number - 1), rotated(&self.path, number)) {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                    return Err(error).attempt(|| format!("rotate the log {:?}", self.path));
                }
                _ => {}
            }
        }
        if self.limits.files == 1 {
            // As docker has it: the one file begins anew. A reader sees another file.
            fs::remove_file(&self.path).attempt(|| format!("remove the log {:?}", self.path))?;
        }
        self.file = File::options()
            .create(true)
            .append(true)
            .open(&self.path)
            .attempt(|| format!("open the log {:?}", self.path))?;
        self.size = 0;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::Reading;
    use super::*;

    fn texts(reading: &mut Reading) -> Vec<String> {
        let mut all = Vec::new();
        let hand_on = |line: super::super::Line<'_>| {
            all.push(String::from_utf8_lossy(line.text).into_owned());
            Ok(true)
        };
        reading.more(hand_on).unwrap();
        all
    }

    #[test]
    fn lines_come_back_whole_and_rotated_files_in_their_order() {
        let directory = std::env::temp_dir().join(format!("ctn-log-{}", std::process::id()));
        fs::create_dir_all(&directory).unwrap();
        let path = directory.join("x-json.log");
        let mut writer = Writer::open(path.clone(), Limits { size: Some(300), files: 3 }, String::new()).unwrap();
        for part in ["one\ntw", "o\nthree", "\nfour\n"] {
            writer.write(false, part.as_bytes()).unwrap();
        }
        writer.write(true, b"an end").unwrap();
        writer.finish().unwrap();
        assert_eq!(texts(&mut Reading::of(&path).unwrap()), ["one\n", "two\n", "three\n", "four\n", "an end"]);
        assert!(rotated(&path, 1).exists());
        // What doesn't fit into the files that there may be is gone, the oldest first.
        for number in 0..50 {
            writer.write(false, format!("{number}\n").as_bytes()).unwrap();
        }
        let texts = texts(&mut Reading::of(&path).unwrap());
        assert_eq!(texts.last().map(String::as_str), Some("49\n"));
        assert!(texts.len() < 20 && !rotated(&path, 3).exists());
        // A line without an end does not fill the memory.
        writer.write(false, &vec![b'x'; 3 * LONGEST]).unwrap();
        assert!(writer.open[0].is_empty());
        fs::remove_dir_all(&directory).unwrap();
    }
}
