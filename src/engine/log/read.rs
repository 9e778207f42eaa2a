//! Reading a log, also while it is written and rotated.

use std::fs::File;
use std::io::{BufRead, BufReader, Seek, SeekFrom};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use anyhow::Result;

use super::line::Entry;
use super::rotated;
use crate::error::Attempt;

/// A line of a log, or a part of a long one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    /// With its end, if it has one.
    pub text: String,
    /// Whether it was said on stderr.
    pub is_stderr: bool,
    /// RFC 3339.
    pub time: String,
}

/// A log at some place of it.
#[derive(Debug)]
pub struct Reading {
    path: PathBuf,
    /// Older files that are still to be read, the oldest last.
    older: Vec<File>,
    current: Option<BufReader<File>>,
    /// The beginning of a line that was not written to its end yet.
    partial: Vec<u8>,
}

impl Reading {
    /// From the beginning of the oldest file.
    pub fn of(path: &Path) -> Result<Reading> {
        let mut older: Vec<File> = (1..).map_while(|number| File::open(rotated(path, number)).ok()).collect();
        let current = match File::open(path) {
            Ok(file) => Some(file),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => None,
            Err(error) => return Err(error).attempt(|| format!("open the log {path:?}")),
        };
        older.splice(0..0, current);
        let current = older.pop().map(BufReader::new);
        Ok(Reading { path: path.into(), older, current, partial: Vec::new() })
    }

    /// Skips all but the last lines.
    pub fn tail(&mut self, count: usize) -> Result<()> {
        let files = self.current.take().map(BufReader::into_inner);
        let mut files: Vec<File> = self.older.drain(..).chain(files).collect();
        let mut wanted = count;
        // The newest is the first.
        for at in 0..files.len() {
            let (offset, found) =
                start_of_last(&files[at], wanted).attempt(|| format!("read the log {:?}", self.path))?;
            if found == wanted || at + 1 == files.len() {
                files[at].seek(SeekFrom::Start(offset)).attempt(|| format!("read the log {:?}", self.path))?;
                files.truncate(at + 1);
                break;
            }
            wanted -= found;
        }
        self.current = files.pop().map(BufReader::new);
        self.older = files;
        Ok(())
    }

    /// Hands on what is there; false from `each` ends it, and is the answer.
    pub fn more(&mut self, mut each: impl FnMut(Line) -> Result<bool>) -> Result<bool> {
        loop {
            if let Some(reader) = &mut self.current {
                loop {
                    let length = reader
                        .read_until(b'\n', &mut self.partial)
                        .attempt(|| format!("read the log {:?}", self.path))?;
                    if length == 0 || !self.partial.ends_with(b"\n") {
                        break;
                    }
                    let entry = serde_json::from_slice::<Entry>(&self.partial);
                    self.partial.clear();
                    // A line that the power's end left half written.
                    let Ok(Entry { log, stream, time }) = entry else { continue };
                    if !each(Line { text: log, is_stderr: stream == "stderr", time })? {
                        return Ok(false);
                    }
                }
            }
            if !self.next_file() {
                return Ok(true);
            }
        }
    }

    fn next_file(&mut self) -> bool {
        if let Some(file) = self.older.pop() {
            self.current = Some(BufReader::new(file));
            return true;
        }
        let identity = |file: &File| file.metadata().ok().map(|data| (data.dev(), data.ino()));
        let own = self.current.as_ref().and_then(|reader| identity(reader.get_ref()));
        match File::open(&self.path) {
            Ok(file) if identity(&file) != own => {
                self.partial.clear();
                self.current = Some(BufReader::new(file));
                true
            }
            _ => false,
        }
    }
}

/// Where the last `count` lines of a file begin, and how many there are.
fn start_of_last(file: &File, count: usize) -> std::io::Result<(u64, usize)> {
    use std::os::unix::fs::FileExt;
    const BLOCK: u64 = 64 << 10;
    let size = file.metadata()?.len();
    let (mut end, mut found) = (size, 0);
    let mut block = vec![0; BLOCK as usize];
    while end > 0 {
        let start = end.saturating_sub(BLOCK);
        let part = &mut block[..(end - start) as usize];
        file.read_exact_at(part, start)?;
        for at in (0..part.len()).rev() {
            // The end of the last line begins no other.
            if part[at] == b'\n' && start + at as u64 + 1 < size {
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
