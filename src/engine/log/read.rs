//! Reading a log, also while it is written and rotated.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{ErrorKind, Read, Seek, SeekFrom};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use anyhow::Result;

use super::{line, rotated};
use crate::error::Attempt;

/// A line of a log, or a part of a long one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Line<'l> {
    /// With its end, if it has one.
    pub text: &'l [u8],
    /// Whether it was said on stderr.
    pub is_stderr: bool,
    /// What is said of the container with it, as an object of JSON; empty where nothing is.
    pub attributes: &'l str,
    /// RFC 3339.
    pub time: &'l str,
}

/// Bytes that are read at once.
const BLOCK: usize = 64 << 10;

/// A log at some place of it.
///
/// A file that is rotated is read to its end, and those that came after it in their order, however many came meanwhile. Of a log
/// that may have few files only what those hold can be read: what went before it was looked at is gone.
#[derive(Debug)]
pub struct Reading {
    path: PathBuf,
    current: Option<File>,
    /// The files that come after the current one, the oldest first. If there is one, the current one doesn't grow any more.
    newer: VecDeque<File>,
    /// What was read and not handed on: it ends in a line that was not written to its end yet.
    partial: Vec<u8>,
    /// Kept for its room.
    scratch: line::Scratch,
}

impl Reading {
    /// From the beginning of the oldest file.
    pub fn of(path: &Path) -> Result<Reading> {
        let mut reading = Reading {
            path: path.into(),
            current: None,
            newer: VecDeque::new(),
            partial: Vec::new(),
            scratch: line::Scratch::default(),
        };
        reading.newer = reading.files_after(None)?;
        Ok(reading)
    }

    /// Skips all but the last lines.
    pub fn tail(&mut self, count: usize) -> Result<()> {
        let mut wanted = count;
        for at in (0..self.newer.len()).rev() {
            let file = &mut self.newer[at];
            let what = || format!("read the log {:?}", self.path);
            let (offset, found) = start_of_last(file, wanted).attempt(what)?;
            if found == wanted || at == 0 {
                file.seek(SeekFrom::Start(offset)).attempt(what)?;
                self.newer.drain(..at);
                break;
            }
            wanted -= found;
        }
        Ok(())
    }

    /// Hands on what is there; false from `each` ends it, and is the answer.
    pub fn more(&mut self, mut each: impl FnMut(Line<'_>) -> Result<bool>) -> Result<bool> {
        loop {
            if !self.rest_of_current(&mut each)? {
                return Ok(false);
            }
            if let Some(next) = self.newer.pop_front() {
                self.current = Some(next);
                // Nobody completes it any more.
                self.partial.clear();
                continue;
            }
            self.newer = self.files_after(self.current.as_ref())?;
            // Else what was written last, before the file was put aside, may have been written after it was read.
            if self.newer.is_empty() {
                return Ok(true);
            }
        }
    }

    fn rest_of_current(&mut self, each: &mut impl FnMut(Line<'_>) -> Result<bool>) -> Result<bool> {
        let Some(file) = &mut self.current else { return Ok(true) };
        loop {
            let known = self.partial.len();
            self.partial.resize(known + BLOCK, 0);
            let read = file.read(&mut self.partial[known..]);
            self.partial.truncate(known + read.as_ref().map_or(0, |length| *length));
            match read {
                Ok(0) => return Ok(true),
                Ok(_) => {}
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Err(error) => return Err(error).attempt(|| format!("read the log {:?}", self.path)),
            }
            let mut begin = 0;
            for end in memchr::memchr_iter(b'\n', &self.partial[known..]) {
                let line = &self.partial[begin..=known + end];
                begin = known + end + 1;
                // A line that the power's end left half written is none.
                if let Some(line) = line::read(line, &mut self.scratch)
                    && !each(line)?
                {
                    return Ok(false);
                }
            }
            self.partial.drain(..begin);
        }
    }

    /// The files that are newer than this one, or all, the oldest first.
    fn files_after(&self, known: Option<&File>) -> Result<VecDeque<File>> {
        let identity = |data: std::fs::Metadata| (data.dev(), data.ino());
        let known = known.and_then(|file| file.metadata().ok()).map(identity);
        if known.is_some() && std::fs::metadata(&self.path).ok().map(identity) == known {
            return Ok(VecDeque::new());
        }
        let (mut files, mut seen) = (VecDeque::new(), Vec::new());
        let mut gaps = 0;
        // From the newest to the oldest: a rotation moves files the same way, so that none is missed, but one may be met twice. While
        // it goes on there is no file of some number.
        for number in 0.. {
            let file = match File::open(rotated(&self.path, number)) {
                Ok(file) => file,
                Err(error) if error.kind() == ErrorKind::NotFound && gaps < 1 => {
                    gaps += 1;
                    continue;
                }
                Err(error) if error.kind() == ErrorKind::NotFound => break,
                Err(error) => return Err(error).attempt(|| format!("open the log {:?}", self.path)),
            };
            let own = file.metadata().map(identity).attempt(|| format!("look at the log {:?}", self.path))?;
            if Some(own) == known {
                break;
            }
            if !seen.contains(&own) {
                seen.push(own);
                files.push_front(file);
            }
        }
        Ok(files)
    }
}

/// Where the last `count` lines of a file begin, and how many there are.
fn start_of_last(file: &File, count: usize) -> std::io::Result<(u64, usize)> {
    use std::os::unix::fs::FileExt;
    let size = file.metadata()?.len();
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
    let first = usize::from(size > 0 && count > 0);
    Ok(if count == 0 { (size, 0) } else { (0, found + first) })
}
