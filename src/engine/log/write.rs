//! Writing a log's files, by the monitor alone, or by a process of its own ([`super::aside`]).

use std::fs::{self, File};
use std::io::{self, ErrorKind, Read, Seek, SeekFrom, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use anyhow::Result;
use rustix::process::Pid;

use super::compress::{Compression, tidy};
use super::file::{compressed, next, rotated, unfinished};
use super::line;
use super::options::Limits;
use super::parts::Parts;
use crate::engine::now;
use crate::error::Attempt;

/// Bytes of lines that are written at once. A line that is almost empty is long in the file.
const FULL: usize = 64 << 10;

/// Who may read what a container says, as docker has it.
pub(super) const MODE: u32 = 0o640;

/// A log that is written.
#[derive(Debug)]
pub struct Writer {
    files: Files,
    /// What each line has beside what was said.
    attributes: String,
    parts: Parts,
    /// Kept for its room.
    lines: Vec<u8>,
}

impl Writer {
    /// Opens it, at the end of what is there.
    pub fn open(path: PathBuf, limits: Limits, attributes: String) -> Result<Writer> {
        let files = Files::open(path, limits)?;
        Ok(Writer { files, attributes, parts: Parts::default(), lines: Vec::new() })
    }

    /// Takes what was said. What can't be written is lost, and what comes after it is written if it can be.
    pub fn write(&mut self, is_stderr: bool, bytes: &[u8]) -> Result<()> {
        let time = now();
        let Writer { files, attributes, parts, lines } = self;
        let mut written = Ok(());
        parts.take(is_stderr, bytes, |text| {
            line::write(lines, text, is_stderr, attributes, &time);
            if lines.len() >= FULL {
                let now_written = files.put_all(lines);
                written = std::mem::replace(&mut written, Ok(())).and(now_written);
            }
        });
        written.and(files.put_all(lines))
    }

    /// At the end: lines that never got theirs.
    pub fn finish(&mut self) -> Result<()> {
        let time = now();
        let Writer { files, attributes, parts, lines } = self;
        parts.finish(|is_stderr, text| line::write(lines, text, is_stderr, attributes, &time));
        files.put_all(lines)
    }

    pub(super) fn files(&mut self) -> &mut Files {
        &mut self.files
    }

    /// Whether no file is being compressed.
    pub(super) fn is_settled(&self) -> bool {
        self.files.compression.is_none()
    }
}

/// The files of a log.
#[derive(Debug)]
pub(super) struct Files {
    path: PathBuf,
    limits: Limits,
    file: File,
    size: u64,
    /// The highest number of a file.
    oldest: u32,
    compression: Option<Compression>,
}

impl Files {
    pub(super) fn open(path: PathBuf, limits: Limits) -> Result<Files> {
        let oldest = tidy(&path).attempt(|| format!("tidy up the log {path:?}"))?.min(limits.files - 1);
        let file = File::options().create(true).append(true).read(true).mode(MODE).open(&path);
        let file = file.attempt(|| format!("open the log {path:?}"))?;
        let mut files = Files { path, limits, file, size: 0, oldest, compression: None };
        files.end_half_line().attempt(|| format!("look at the log {:?}", files.path))?;
        files.compress();
        Ok(files)
    }

    /// Of a monitor that was killed there may be a line that was not written to its end, which would spoil the next one.
    fn end_half_line(&mut self) -> io::Result<()> {
        self.size = self.file.metadata()?.len();
        let mut last = *b"\n";
        if self.size > 0 {
            self.file.seek(SeekFrom::End(-1))?;
            self.file.read_exact(&mut last)?;
        }
        if last != *b"\n" {
            // On a full disk the lines that come have no room either.
            let _ = self.append(b"\n");
        }
        Ok(())
    }

    /// Writes lines of the file, and empties what they were in.
    fn put_all(&mut self, lines: &mut Vec<u8>) -> Result<()> {
        let written = self.put(lines);
        lines.clear();
        // A line with many control characters is long.
        lines.shrink_to(2 * FULL);
        written
    }

    /// Writes lines of the file, in as many files as it takes. Where no other one can be begun they go on into the one that there is, for
    /// to have too many is better than to have none.
    pub(super) fn put(&mut self, mut lines: &[u8]) -> Result<()> {
        while !lines.is_empty() {
            let (mut fitting, mut rotated) = (self.fitting(lines), Ok(()));
            if fitting == 0 && self.has_shrunk() {
                fitting = self.fitting(lines);
            }
            if fitting == 0 && self.size > 0 {
                rotated = self.rotate();
                fitting = if rotated.is_ok() { self.fitting(lines) } else { lines.len() };
            }
            if fitting == 0 {
                // Longer than a file may be: it has one for itself.
                fitting = memchr::memchr(b'\n', lines).map_or(lines.len(), |at| at + 1);
            }
            let now;
            (now, lines) = lines.split_at(fitting);
            let written = self.append(now).attempt(|| format!("write the log {:?}", self.path));
            rotated.and(written)?;
        }
        Ok(())
    }

    /// Bytes of the whole lines that the file has room for.
    fn fitting(&self, lines: &[u8]) -> usize {
        let room = self.limits.size.map(|limit| limit.saturating_sub(self.size));
        match room.and_then(|room| usize::try_from(room).ok()) {
            Some(room) if room < lines.len() => memchr::memrchr(b'\n', &lines[..room]).map_or(0, |at| at + 1),
            _ => lines.len(),
        }
    }

    /// Whether somebody else has emptied the file.
    fn has_shrunk(&mut self) -> bool {
        let size = self.file.metadata().map_or(self.size, |data| data.len());
        let known = std::mem::replace(&mut self.size, size);
        size < known
    }

    /// On a full disk whole lines are kept, and not the beginning of one, which would spoil the next one.
    fn append(&mut self, lines: &[u8]) -> io::Result<()> {
        let mut rest = lines;
        while !rest.is_empty() {
            let error = match self.file.write(rest) {
                Ok(length) if length > 0 => {
                    rest = &rest[length..];
                    continue;
                }
                Ok(_) => ErrorKind::WriteZero.into(),
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Err(error) => error,
            };
            let written = &lines[..lines.len() - rest.len()];
            let whole = memchr::memrchr(b'\n', written).map_or(0, |at| at + 1);
            if whole < written.len() {
                // Somebody else may have emptied it meanwhile, so that the size isn't the one that is known.
                let half = (written.len() - whole) as u64;
                let _ = self.file.metadata().and_then(|data| self.file.set_len(data.len().saturating_sub(half)));
            }
            self.size += whole as u64;
            return Err(error);
        }
        self.size += lines.len() as u64;
        Ok(())
    }

    /// Puts the file aside and begins another one, which is made first: where that can't be, all files stay as they are.
    fn rotate(&mut self) -> Result<()> {
        let path = self.path.clone();
        let what = || format!("rotate the log {path:?}");
        let next = next(&path);
        remove(&next).attempt(what)?;
        let file = File::options().create_new(true).append(true).read(true).mode(MODE).open(&next).attempt(what)?;
        self.move_up().attempt(what)?;
        fs::rename(next, &path).attempt(what)?;
        self.file = file;
        self.size = 0;
        self.compress();
        Ok(())
    }

    /// Gives each file the next number, up to the first one that is free, or else the last one that there may be. Where a monitor was
    /// killed, or a rotation came to nothing half-way, one is free further down, and to try again costs no file.
    fn move_up(&mut self) -> io::Result<()> {
        // There may be very many.
        let last = self.oldest.saturating_add(1).min(self.limits.files - 1);
        let free = (0..last).find(|number| self.is_free(*number)).unwrap_or(last);
        self.oldest = self.oldest.max(free);
        if free == last && last > 0 {
            remove(&rotated(&self.path, last))?;
            remove(&compressed(&self.path, last))?;
        }
        for number in (1..=free).rev() {
            rename(&rotated(&self.path, number - 1), &rotated(&self.path, number))?;
            if number > 1 && self.limits.compress {
                rename(&compressed(&self.path, number - 1), &compressed(&self.path, number))?;
            }
        }
        Ok(())
    }

    fn is_free(&self, number: u32) -> bool {
        let is_there = |path: PathBuf| path.symlink_metadata().is_ok();
        !is_there(rotated(&self.path, number)) && (number == 0 || !is_there(compressed(&self.path, number)))
    }

    /// Goes on with what is to be compressed. What can't be stays as it is until the next rotation.
    fn compress(&mut self) {
        if self.limits.compress && self.compression.is_none() {
            self.compression = Compression::begin(&self.path, self.oldest, &self.file).ok().flatten();
        }
    }

    /// A child of this process has ended.
    pub(super) fn reaped(&mut self, pid: Pid, status: u8) {
        if let Some(compression) = self.compression.take_if(|compression| compression.is_by(pid)) {
            let ended = compression.end(&self.path, self.oldest, status == 0);
            if status == 0 && ended.is_ok() {
                self.compress();
            }
        }
    }

    /// Readable when the process has ended that compresses a file.
    pub(super) fn compressing(&self) -> Option<BorrowedFd<'_>> {
        self.compression.as_ref().map(|compression| compression.child().pidfd.as_fd())
    }

    /// Has no file compressed any more.
    pub(super) fn abandon(&mut self) {
        if self.compression.take().is_some() {
            let _ = remove(&unfinished(&self.path));
        }
    }
}

fn remove(path: &Path) -> io::Result<()> {
    not_there_is_fine(fs::remove_file(path))
}

fn rename(from: &Path, to: &Path) -> io::Result<()> {
    not_there_is_fine(fs::rename(from, to))
}

fn not_there_is_fine(done: io::Result<()>) -> io::Result<()> {
    done.or_else(|error| if error.kind() == ErrorKind::NotFound { Ok(()) } else { Err(error) })
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
        let limits = Limits { size: Some(300), files: 3, compress: false };
        let mut writer = Writer::open(path.clone(), limits, String::new()).unwrap();
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
        fs::remove_dir_all(&directory).unwrap();
    }

    /// A log of three files in a directory of its own.
    fn three(name: &str) -> (PathBuf, Writer) {
        let directory = std::env::temp_dir().join(format!("ctn-log-{name}-{}", std::process::id()));
        fs::create_dir_all(&directory).unwrap();
        let path = directory.join("x-json.log");
        let limits = Limits { size: Some(300), files: 3, compress: false };
        (path.clone(), Writer::open(path, limits, String::new()).unwrap())
    }

    /// Says numbers: how many times a warning was the answer.
    fn say(writer: &mut Writer, numbers: std::ops::Range<u32>) -> usize {
        numbers.filter(|number| writer.write(false, format!("{number}\n").as_bytes()).is_err()).count()
    }

    fn said(path: &Path) -> Vec<u32> {
        texts(&mut Reading::of(path).unwrap()).iter().map(|text| text.trim_end().parse().unwrap()).collect()
    }

    #[test]
    fn a_rotation_that_fails_costs_neither_files_nor_lines() {
        // Something else is where the next file is to be, or in the place of the oldest one, which makes way for it.
        for name in [".next", ".2"] {
            let (path, mut writer) = three(&format!("fails{name}"));
            assert_eq!(say(&mut writer, 10..20), 0);
            let mut other = path.clone().into_os_string();
            other.push(name);
            let _ = fs::remove_file(&other);
            fs::create_dir(&other).unwrap();
            assert!(say(&mut writer, 20..40) > 5, "{name}");
            fs::remove_dir(&other).unwrap();
            let meanwhile = said(&path);
            assert!(meanwhile.ends_with(&Vec::from_iter(14..40)), "{name}: {meanwhile:?}");
            assert_eq!(say(&mut writer, 40..43), 0);
            let after = said(&path);
            assert!(after.ends_with(&Vec::from_iter(20..43)), "{name}: {after:?}");
            fs::remove_dir_all(path.parent().unwrap()).unwrap();
        }
    }

    #[test]
    fn a_rotation_that_came_to_nothing_half_way_costs_no_file_when_it_is_tried_again() {
        // What has no file afterwards: one in the middle, or the current one, which goes on under the next number.
        for hole in [1, 0] {
            let (path, mut writer) = three(&format!("half-way-{hole}"));
            assert_eq!(say(&mut writer, 10..24), 0);
            fs::remove_file(rotated(&path, 2)).unwrap();
            fs::rename(rotated(&path, 1), rotated(&path, 2)).unwrap();
            if hole == 0 {
                fs::rename(&path, rotated(&path, 1)).unwrap();
            }
            let mut expected = said(&path);
            assert_eq!(say(&mut writer, 24..28), 0);
            expected.extend(24..28);
            assert_eq!(said(&path), expected, "{hole}");
            fs::remove_dir_all(path.parent().unwrap()).unwrap();
        }
    }

    #[test]
    fn a_line_that_was_not_written_to_its_end_spoils_no_other() {
        let (path, mut writer) = three("half");
        writer.write(false, b"one\n").unwrap();
        let whole = fs::read(&path).unwrap();
        let half = &whole[..whole.len() / 2];
        fs::write(&path, [&whole[..], half].concat()).unwrap();
        drop(writer);
        let (path, mut writer) = three("half");
        writer.write(false, b"two\n").unwrap();
        assert_eq!(texts(&mut Reading::of(&path).unwrap()), ["one\n", "two\n"]);
        fs::remove_dir_all(path.parent().unwrap()).unwrap();
    }
}
