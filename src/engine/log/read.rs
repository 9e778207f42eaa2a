//! Reading a log, also while it is written and rotated.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{ErrorKind, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use anyhow::Result;

use super::file::{self, Identity, compressed, rotated};
use super::{line, tail};
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
pub(super) const BLOCK: usize = 64 << 10;

/// A log at some place of it.
///
/// A file that is rotated is read to its end, and those that came after it in their order, however many came meanwhile. Of a log
/// that may have few files only what those hold can be read: what went before it was looked at is gone.
#[derive(Debug)]
pub struct Reading {
    path: PathBuf,
    current: Option<Current>,
    /// The file before the current one, which is found where somebody has removed that. None where another one could be taken for it.
    previous: Option<Identity>,
    /// The files that come after the current one, the oldest first. If there is one, the current one doesn't grow any more.
    newer: VecDeque<Piece>,
    /// What was read and not handed on: it ends in a line that was not written to its end yet.
    partial: Vec<u8>,
    /// Kept for its room.
    scratch: line::Scratch,
}

/// One of a log's files.
#[derive(Debug)]
struct Piece {
    file: File,
    /// The name that it was found under.
    path: PathBuf,
    is_compressed: bool,
    own: Identity,
    /// Lines of it that nobody wants, as long as they were not passed by.
    unwanted: usize,
}

/// The file that is read.
struct Current {
    text: Text,
    path: PathBuf,
    own: Identity,
    unwanted: usize,
}

enum Text {
    Plain(File),
    Compressed(Box<dyn Read>),
}

impl Piece {
    /// Of a file that was found under a name.
    fn found(path: &Path, is_compressed: bool) -> std::io::Result<Piece> {
        let file = File::open(path)?;
        let own = if is_compressed { Identity::of_compressed(&file)? } else { Identity::of(&file)? };
        Ok(Piece { file, path: path.into(), is_compressed, own, unwanted: 0 })
    }

    /// Skips all but the last lines, and says how many of them there are.
    fn tail(&mut self, count: usize) -> std::io::Result<usize> {
        if !self.is_compressed {
            let (offset, found) = tail::start_of_last(&self.file, count)?;
            self.file.seek(SeekFrom::Start(offset))?;
            return Ok(found);
        }
        // What is compressed can be read in one direction only, and doesn't grow.
        if count == 0 {
            self.unwanted = usize::MAX;
            return Ok(0);
        }
        let all = tail::count_lines(file::text(self.file.try_clone()?))?;
        self.file.rewind()?;
        self.unwanted = all.saturating_sub(count);
        Ok(all - self.unwanted)
    }

    fn begin(self) -> Current {
        let Piece { file, path, is_compressed, own, unwanted } = self;
        let text = if is_compressed { Text::Compressed(Box::new(file::text(file))) } else { Text::Plain(file) };
        Current { text, path, own, unwanted }
    }
}

impl Current {
    fn read(&mut self, to: &mut [u8]) -> std::io::Result<usize> {
        match &mut self.text {
            Text::Plain(file) => file.read(to),
            Text::Compressed(text) => text.read(to),
        }
    }

    /// At its end: whether it is shorter than what was read of it, so that what is written now stands before that place. Either somebody
    /// has emptied it, or of a line that was not written to its end on a full disk, `partial` bytes, nothing was kept.
    fn was_shortened(&mut self, partial: usize) -> std::io::Result<bool> {
        let Text::Plain(file) = &mut self.text else { return Ok(false) };
        let (length, position) = (file.metadata()?.len(), file.stream_position()?);
        if length >= position {
            return Ok(false);
        }
        let whole = position.saturating_sub(partial as u64);
        file.seek(SeekFrom::Start(if length >= whole { whole } else { 0 }))?;
        Ok(true)
    }
}

impl std::fmt::Debug for Current {
    fn fmt(&self, to: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        to.debug_struct("Current").field("own", &self.own).finish_non_exhaustive()
    }
}

impl Reading {
    /// From the beginning of the oldest file.
    pub fn of(path: &Path) -> Result<Reading> {
        let mut reading = Reading {
            path: path.into(),
            current: None,
            previous: None,
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
            let piece = &mut self.newer[at];
            let found = piece.tail(wanted).attempt(|| format!("read the log {:?}", piece.path))?;
            if found == wanted {
                let before = self.newer.drain(..at).next_back();
                self.previous = before.map(|before| before.own).filter(Identity::is_lasting);
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
                if let Some(before) = self.current.replace(next.begin()) {
                    self.previous = Some(before.own).filter(Identity::is_lasting);
                }
                // Nobody completes it any more.
                self.partial.clear();
                continue;
            }
            self.newer = self.files_after(self.current.as_ref().map(|current| current.own))?;
            // Else what was written last, before the file was put aside, may have been written after it was read.
            if self.newer.is_empty() {
                return Ok(true);
            }
        }
    }

    fn rest_of_current(&mut self, each: &mut impl FnMut(Line<'_>) -> Result<bool>) -> Result<bool> {
        let Some(current) = &mut self.current else { return Ok(true) };
        loop {
            let known = self.partial.len();
            self.partial.resize(known + BLOCK, 0);
            let read = current.read(&mut self.partial[known..]);
            self.partial.truncate(known + read.as_ref().map_or(0, |length| *length));
            match read {
                Ok(0) if current.was_shortened(known).attempt(|| format!("look at the log {:?}", current.path))? => {
                    self.partial.clear();
                    continue;
                }
                Ok(0) => return Ok(true),
                Ok(_) => {}
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Err(error) => return Err(error).attempt(|| format!("read the log {:?}", current.path)),
            }
            let mut begin = 0;
            for end in memchr::memchr_iter(b'\n', &self.partial[known..]) {
                let line = &self.partial[begin..=known + end];
                begin = known + end + 1;
                if current.unwanted > 0 {
                    current.unwanted -= 1;
                    continue;
                }
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
    fn files_after(&self, known: Option<Identity>) -> Result<VecDeque<Piece>> {
        if known.is_some() && Identity::at(&self.path) == known {
            return Ok(VecDeque::new());
        }
        let mut files = VecDeque::new();
        let mut next = self.newest()?;
        while let Some((number, piece)) = next
            && Some(piece.own) != known
            && Some(piece.own) != self.previous
        {
            next = self.older(number, piece.own)?;
            files.push_front(piece);
        }
        Ok(files)
    }

    /// While a rotation goes on there is no file of some number: it may be the first one.
    fn newest(&self) -> Result<Option<(u32, Piece)>> {
        loop {
            for number in 0..2 {
                if let Some(piece) = self.open(number)? {
                    return Ok(Some((number, piece)));
                }
            }
            if !self.path.exists() {
                return Ok(None);
            }
        }
    }

    /// The file that was put aside before another one, which has the number or, rotated since, a higher one. Any number of rotations may
    /// come between two looks, and files only move to higher numbers: what is found at the next number is the one before, if the other
    /// still has its own afterwards.
    fn older(&self, mut number: u32, newer: Identity) -> Result<Option<(u32, Piece)>> {
        let mut missing = 0u32;
        loop {
            match self.at(number)? {
                Some(there) if there == newer => {}
                // Two in a row that are not there are the end: it is gone, and so is what was before it.
                None if missing == 1 => return Ok(None),
                there => {
                    missing = u32::from(there.is_none());
                    number += 1;
                    continue;
                }
            }
            let mut found = None;
            for next in [number + 1, number + 2] {
                found = self.open(next)?.map(|piece| (next, piece));
                if found.is_some() {
                    break;
                }
            }
            if self.at(number)? == Some(newer) {
                return Ok(found);
            }
        }
    }

    /// What has a number, compressed or not: where there are both forms, the other one is about to go.
    fn open(&self, number: u32) -> Result<Option<Piece>> {
        for is_compressed in [false, true] {
            let path = if is_compressed { compressed(&self.path, number) } else { rotated(&self.path, number) };
            match Piece::found(&path, is_compressed) {
                Ok(piece) => return Ok(Some(piece)),
                Err(error) if error.kind() == ErrorKind::NotFound => {}
                Err(error) => return Err(error).attempt(|| format!("open the log {path:?}")),
            }
        }
        Ok(None)
    }

    fn at(&self, number: u32) -> Result<Option<Identity>> {
        match Identity::at(&rotated(&self.path, number)) {
            None => Ok(self.open(number)?.map(|piece| piece.own)),
            own => Ok(own),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    /// A log of at most four files, each with the number that it was made with.
    struct Rotating {
        directory: PathBuf,
        path: PathBuf,
        made: u32,
    }

    impl Rotating {
        const FILES: u32 = 4;

        fn new(name: &str) -> Rotating {
            let directory = std::env::temp_dir().join(format!("ctn-log-{name}-{}", std::process::id()));
            std::fs::create_dir_all(&directory).unwrap();
            Rotating { path: directory.join("x-json.log"), directory, made: 0 }
        }

        /// Renames files up to number `from`, as far as number `to`, and makes no new one.
        fn move_up(&self, from: u32, to: u32) {
            for number in (to..=from).rev() {
                let _ = std::fs::rename(rotated(&self.path, number), rotated(&self.path, number + 1));
            }
        }

        fn begin(&mut self) {
            self.made += 1;
            std::fs::write(&self.path, self.made.to_string()).unwrap();
        }

        fn rotate(&mut self) {
            self.move_up(Rotating::FILES - 2, 0);
            self.begin();
        }
    }

    impl Drop for Rotating {
        fn drop(&mut self) {
            let _ = std::fs::remove_dir_all(&self.directory);
        }
    }

    /// The number that a file was made with.
    fn number(mut file: &File) -> u32 {
        let mut text = String::new();
        file.read_to_string(&mut text).unwrap();
        file.seek(SeekFrom::Start(0)).unwrap();
        text.parse().unwrap()
    }

    #[test]
    fn the_file_before_is_found_however_often_they_were_rotated_since() {
        let mut log = Rotating::new("before");
        (0..4).for_each(|_| log.rotate());
        let reading = Reading::of(&log.path).unwrap();
        assert_eq!(reading.newer.iter().map(|piece| number(&piece.file)).collect::<Vec<_>>(), [1, 2, 3, 4]);
        let (place, newest) = reading.newest().unwrap().unwrap();
        assert_eq!((place, number(&newest.file)), (0, 4));
        // 6 5 4 3: neither 5 nor 6 is the one before 4, though 5 has the next number.
        log.rotate();
        log.rotate();
        let (place, third) = reading.older(place, newest.own).unwrap().unwrap();
        assert_eq!((place, number(&third.file)), (3, 3));
        // 7 6 5 4: it is gone, and so is what was before it.
        log.rotate();
        assert!(reading.older(place, third.own).unwrap().is_none());
        let known = number(&reading.files_after(Some(newest.own)).unwrap()[0].file);
        assert_eq!(known, 5);
    }

    #[test]
    fn a_number_without_a_file_is_not_the_end() {
        for hole in 0..3 {
            let mut log = Rotating::new(&format!("hole-{hole}"));
            (0..3).for_each(|_| log.rotate());
            // In the middle of a rotation.
            log.move_up(2, hole);
            let found: Vec<u32> =
                Reading::of(&log.path).unwrap().newer.iter().map(|piece| number(&piece.file)).collect();
            assert_eq!(found, [1, 2, 3], "{hole}");
        }
    }

    /// A line in a file of its own, which becomes the log; what was there is put aside.
    fn begin(log: &Rotating, text: &str) {
        log.move_up(Rotating::FILES - 2, 0);
        let mut line = Vec::new();
        line::write(&mut line, text.as_bytes(), false, "", "2026-01-02T03:04:05Z");
        std::fs::write(&log.path, line).unwrap();
    }

    /// What is there to be read.
    fn texts(reading: &mut Reading) -> Vec<String> {
        let mut texts = Vec::new();
        let each = |line: Line<'_>| {
            texts.push(String::from_utf8(line.text.into()).unwrap());
            Ok(true)
        };
        reading.more(each).unwrap();
        texts
    }

    #[test]
    fn a_line_of_which_nothing_was_kept_is_not_the_end_of_others() {
        let log = Rotating::new("taken-back");
        begin(&log, "one");
        let line = std::fs::read(&log.path).unwrap();
        let mut file = File::options().append(true).open(&log.path).unwrap();
        let mut reading = Reading::of(&log.path).unwrap();
        assert_eq!(texts(&mut reading), ["one"]);
        // Half a line, longer than the next one, is read, and there is no room for more of it.
        for next in [0, line.len()] {
            file.write_all(format!("{{\"log\":\"{}", "x".repeat(1000)).as_bytes()).unwrap();
            assert!(texts(&mut reading).is_empty());
            file.set_len(line.len() as u64).unwrap();
            file.write_all(&line[..next]).unwrap();
            assert_eq!(texts(&mut reading).len(), usize::from(next > 0));
        }
        // One that somebody has emptied is read from its beginning.
        std::fs::write(&log.path, &line).unwrap();
        assert_eq!(texts(&mut reading), ["one"]);
    }

    #[test]
    fn a_file_that_somebody_removes_is_read_on_and_no_other_again() {
        let log = Rotating::new("removed");
        begin(&log, "one");
        begin(&log, "two");
        let mut file = File::options().append(true).open(&log.path).unwrap();
        let line = std::fs::read(&log.path).unwrap();
        let mut reading = Reading::of(&log.path).unwrap();
        let mut of_last = Reading::of(&log.path).unwrap();
        of_last.tail(1).unwrap();
        assert_eq!(texts(&mut reading), ["one", "two"]);
        assert_eq!(texts(&mut of_last), ["two"]);
        std::fs::remove_file(&log.path).unwrap();
        file.write_all(&line).unwrap();
        begin(&log, "three");
        for mut reading in [reading, of_last] {
            assert_eq!(texts(&mut reading), ["two", "three"]);
        }
    }

    #[test]
    fn no_last_lines_need_no_look_at_others() {
        let log = Rotating::new("none");
        std::fs::write(&log.path, "not compressed\n").unwrap();
        assert_eq!(Piece::found(&log.path, true).unwrap().tail(0).unwrap(), 0);
    }

    #[test]
    fn what_was_read_before_it_was_compressed_is_not_read_again() {
        let log = Rotating::new("compressed");
        let mut reading = Reading::of(&log.path).unwrap();
        let mut more = || texts(&mut reading);
        begin(&log, "one");
        assert_eq!(more(), ["one"]);
        begin(&log, "two");
        begin(&log, "three");
        // "one" and "two": which nobody has read from the file that they are in now.
        for number in [2, 1] {
            let (plain, target) = (rotated(&log.path, number), compressed(&log.path, number));
            super::super::compress::compress(&File::open(&plain).unwrap(), &File::create(target).unwrap()).unwrap();
            std::fs::remove_file(plain).unwrap();
        }
        assert_eq!(more(), ["two", "three"]);
        begin(&log, "four");
        assert_eq!(more(), ["four"]);
    }
}
