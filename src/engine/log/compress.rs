//! Files that were put aside are compressed by a process beside the one that writes the log, which neither waits for it nor gets larger.
//!
//! That process writes a file without a number, and the one that writes the log gives it its number when it is done and on the disk: it
//! alone renames files, so that a rotation may come at any time. Who is killed in between leaves a file that is whole, and perhaps both
//! forms of it, or one that has no number yet, which is nobody's ([`tidy`]).

use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::os::fd::AsFd;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use flate2::GzBuilder;
use rustix::process::{Pid, Signal, getpid, getppid, set_parent_process_death_signal};

use super::file::{self, Identity};
use super::write::MODE;
use crate::sys::clone::{self, Child, CloneFlags};
use crate::sys::execute::{close_all_but, exit_now};
use crate::sys::signal;

/// A file that is being compressed.
#[derive(Debug)]
pub(super) struct Compression {
    child: Child,
    /// Open, so that no other file gets its inode meanwhile.
    source: File,
}

impl Compression {
    /// Begins with the oldest file that is to be compressed, if there is one.
    pub(super) fn begin(path: &Path, oldest: u32, written: &File) -> io::Result<Option<Compression>> {
        let Some(source) = oldest_of(path, oldest, written) else { return Ok(None) };
        let target = file::unfinished(path);
        let _ = fs::remove_file(&target);
        let target = File::options().write(true).create_new(true).mode(MODE).open(target)?;
        let parent = getpid();
        let child = clone::process(CloneFlags::empty(), None, || {
            let done = set_parent_process_death_signal(Some(Signal::KILL))
                .and_then(|()| close_all_but(&[source.as_fd(), target.as_fd()], 3))
                .map_err(io::Error::from);
            let is_orphan = getppid() != Some(parent);
            let done = done.and_then(|()| if is_orphan { Ok(()) } else { compress(&source, &target) });
            exit_now(done.is_err().into())
        })?;
        Ok(Some(Compression { child, source }))
    }

    pub(super) fn child(&self) -> &Child {
        &self.child
    }

    /// Its process has ended, well or not: a file that is compressed takes the place of the other one, wherever that is by now.
    pub(super) fn end(self, path: &Path, oldest: u32, is_done: bool) -> io::Result<()> {
        let target = file::unfinished(path);
        let own = Identity::of(&self.source).ok();
        let is_source = |number: &u32| own.is_some() && Identity::at(&file::rotated(path, *number)) == own;
        match (1..=oldest).find(is_source).filter(|_| is_done) {
            Some(number) => {
                fs::rename(target, file::compressed(path, number))?;
                fs::remove_file(file::rotated(path, number))
            }
            None => fs::remove_file(target),
        }
    }

    pub(super) fn is_by(&self, pid: Pid) -> bool {
        self.child.pid == pid
    }
}

impl Drop for Compression {
    fn drop(&mut self) {
        // One that has ended is not reached by it, whoever has its number now: it goes by the descriptor.
        let _ = signal::send(self.child.pidfd.as_fd(), libc::SIGKILL);
    }
}

/// The oldest file that is not compressed. The one that is written is none, though it may have a number: by a rotation that came to
/// nothing half-way, or from somebody else.
fn oldest_of(path: &Path, oldest: u32, written: &File) -> Option<File> {
    let written = Identity::of(written).ok();
    let mut files = (1..=oldest).rev().filter_map(|number| File::open(file::rotated(path, number)).ok());
    files.find(|file| Identity::of(file).ok() != written)
}

/// Writes what a file has, compressed, with the time of its last change, and until it is on the disk: the other one is removed then.
pub(super) fn compress(source: &File, target: &File) -> io::Result<()> {
    let field = Identity::of(source)?.field();
    let to = BufWriter::with_capacity(64 << 10, target);
    let mut encoder = GzBuilder::new().extra(field).write(to, flate2::Compression::default());
    let mut source_bytes = source;
    io::copy(&mut source_bytes, &mut encoder)?;
    encoder.finish()?.flush()?;
    target.set_modified(source.metadata()?.modified()?)?;
    target.sync_all()
}

/// Removes what a process that was killed has left: a file that is half compressed, the next one that has no name yet, and the first form
/// of one that has both, for the other one was whole before it got its number. The highest number of a file is handed on. A number that
/// is written in another way is not ours.
pub(super) fn tidy(path: &Path) -> io::Result<u32> {
    let mut highest = 0;
    let mut useless: Vec<PathBuf> = vec![file::unfinished(path), file::next(path)];
    let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    for entry in fs::read_dir(path.parent().unwrap_or(path))? {
        let entry = entry?.file_name();
        let Some(suffix) = entry.to_str().and_then(|entry| entry.strip_prefix(&name)?.strip_prefix('.')) else {
            continue;
        };
        let (number, is_compressed) = suffix.strip_suffix(".gz").map_or((suffix, false), |number| (number, true));
        if let Some(parsed) = number.parse::<u32>().ok().filter(|parsed| *parsed > 0 && parsed.to_string() == number) {
            highest = highest.max(parsed);
            useless.extend(is_compressed.then(|| file::rotated(path, parsed)));
        }
    }
    for path in useless {
        match fs::remove_file(path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
    }
    Ok(highest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_file_that_is_written_is_not_compressed_whatever_its_name() {
        let directory = std::env::temp_dir().join(format!("ctn-log-written-{}", std::process::id()));
        fs::create_dir_all(&directory).unwrap();
        let path = directory.join("x-json.log");
        let [one, two] = [1, 2].map(|number| file::rotated(&path, number));
        let written = File::create(&two).unwrap();
        assert!(oldest_of(&path, 2, &written).is_none());
        fs::write(&one, "").unwrap();
        let oldest = oldest_of(&path, 2, &written).unwrap();
        assert_eq!(Identity::of(&oldest).ok(), Identity::at(&one));
        fs::remove_dir_all(directory).unwrap();
    }

    #[test]
    fn what_others_put_beside_a_log_is_theirs() {
        let directory = std::env::temp_dir().join(format!("ctn-log-others-{}", std::process::id()));
        fs::create_dir_all(&directory).unwrap();
        let path = directory.join("x-json.log");
        let names = ["x-json.log", "x-json.log.0.gz", "x-json.log.1", "x-json.log.01.gz", "x-json.log.+1.gz"];
        names.iter().for_each(|name| fs::write(directory.join(name), "").unwrap());
        assert_eq!(tidy(&path).unwrap(), 1);
        names.iter().for_each(|name| assert!(directory.join(name).exists(), "{name}"));
        fs::remove_dir_all(directory).unwrap();
    }

    #[test]
    fn a_compressed_file_is_the_same_one() {
        let directory = std::env::temp_dir().join(format!("ctn-log-compressed-{}", std::process::id()));
        fs::create_dir_all(&directory).unwrap();
        let (plain, target) = (directory.join("plain"), directory.join("target"));
        let text = "what was said\n".repeat(10_000);
        fs::write(&plain, &text).unwrap();
        let source = File::open(&plain).unwrap();
        compress(&source, &File::create(&target).unwrap()).unwrap();
        let done = File::open(&target).unwrap();
        assert!(done.metadata().unwrap().len() < 2000);
        assert_eq!(done.metadata().unwrap().modified().unwrap(), source.metadata().unwrap().modified().unwrap());
        assert_eq!(Identity::of_compressed(&done).unwrap(), Identity::at(&plain).unwrap());
        assert_eq!(io::read_to_string(file::text(done)).unwrap(), text);
        // One that somebody else has compressed is the file that it is.
        let mut other = flate2::write::GzEncoder::new(File::create(&target).unwrap(), flate2::Compression::fast());
        other.write_all(b"x").unwrap();
        other.finish().unwrap();
        let done = File::open(&target).unwrap();
        assert_eq!(Identity::of_compressed(&done).unwrap(), Identity::at(&target).unwrap());
        fs::remove_dir_all(directory).unwrap();
    }
}
