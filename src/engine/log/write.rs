//! Writing a log, by the monitor alone.

use std::fs::{self, File};
use std::io::Write;
use std::path::PathBuf;

use anyhow::Result;

use super::{Limits, line, rotated};
use crate::engine::now;
use crate::error::Attempt;

/// A line that is longer is written in parts, as docker does.
const LONGEST: usize = 16 << 10;

/// A log that is written.
#[derive(Debug)]
pub struct Writer {
    path: PathBuf,
    limits: Limits,
    file: File,
    size: u64,
    /// The beginnings of lines that have no end yet, of stdout and stderr.
    open: [Vec<u8>; 2],
    /// Kept for its room.
    lines: Vec<u8>,
}

impl Writer {
    /// Opens it, at the end of what is there.
    pub fn open(path: PathBuf, limits: Limits) -> Result<Writer> {
        let file =
            File::options().create(true).append(true).open(&path).attempt(|| format!("open the log {path:?}"))?;
        let size = file.metadata().attempt(|| format!("look at the log {path:?}"))?.len();
        Ok(Writer { path, limits, file, size, open: Default::default(), lines: Vec::new() })
    }

    /// Takes what was said.
    pub fn write(&mut self, is_stderr: bool, bytes: &[u8]) -> Result<()> {
        let time = now();
        for part in bytes.split_inclusive(|byte| *byte == b'\n') {
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
        line::write(&mut self.lines, text, is_stderr, time);
        let is_full = self.limits.size.is_some_and(|limit| self.size + self.lines.len() as u64 >= limit);
        if is_full { self.put() } else { Ok(()) }
    }

    fn put(&mut self) -> Result<()> {
        let mut lines = std::mem::take(&mut self.lines);
        if !lines.is_empty() {
            if self.limits.size.is_some_and(|limit| self.size > 0 && self.size + lines.len() as u64 > limit) {
                self.rotate()?;
            }
            self.file.write_all(&lines).attempt(|| format!("write the log {:?}", self.path))?;
            self.size += lines.len() as u64;
            lines.clear();
        }
        self.lines = lines;
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
    use super::super::read::Line;
    use super::*;

    fn lines(path: &std::path::Path) -> Vec<Line> {
        let mut all = Vec::new();
        let mut reading = super::super::Reading::of(path).unwrap();
        reading
            .more(|line| {
                all.push(line);
                Ok(true)
            })
            .unwrap();
        all
    }

    #[test]
    fn lines_come_back_whole_and_rotated_files_in_their_order() {
        let directory = std::env::temp_dir().join(format!("ctn-log-{}", std::process::id()));
        fs::create_dir_all(&directory).unwrap();
        let path = directory.join("x-json.log");
        let mut writer = Writer::open(path.clone(), Limits { size: Some(300), files: 3 }).unwrap();
        for part in ["one\ntw", "o\nthree", "\nfour\n"] {
            writer.write(false, part.as_bytes()).unwrap();
        }
        writer.write(true, b"an end").unwrap();
        writer.finish().unwrap();
        let texts: Vec<String> = lines(&path).into_iter().map(|line| line.text).collect();
        assert_eq!(texts, ["one\n", "two\n", "three\n", "four\n", "an end"]);
        assert!(rotated(&path, 1).exists());
        // What doesn't fit into the files that there may be is gone, the oldest first.
        for number in 0..50 {
            writer.write(false, format!("{number}\n").as_bytes()).unwrap();
        }
        let texts: Vec<String> = lines(&path).into_iter().map(|line| line.text).collect();
        assert_eq!(texts.last().map(String::as_str), Some("49\n"));
        assert!(texts.len() < 20 && !rotated(&path, 3).exists());
        // A line without an end does not fill the memory.
        writer.write(false, &vec![b'x'; 3 * LONGEST]).unwrap();
        assert!(writer.open[0].is_empty());
        fs::remove_dir_all(&directory).unwrap();
    }
}
