//! A container's state directory, `ROOT/ID`. Whoever changes the container has it locked (flock(2)).
//!
//! | file | what |
//! | --- | --- |
//! | `config.json` | the configuration as it was at `create`: a later edit of the bundle changes nothing |
//! | `state.json` | the record ([`super::record`]), written to a temporary name and renamed |
//! | `cgroup` | a symlink to the container's cgroup, made before it: whatever else is lost, its processes are found |
//! | `unit` | a symlink that says `system/NAME` or `user/NAME`, made before the unit: the cgroup is that systemd's to end |
//! | `start` | a fifo that init reads: the start gate, there until the container is started |
//! | `started` | a fifo that init writes: why the container could not be started |
//! | `notify` | with NOTIFY_SOCKET: the directory with the socket that the container sees |

use std::fs::{DirBuilder, File, OpenOptions};
use std::io::Write;
use std::os::fd::OwnedFd;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use anyhow::{Result, bail};
use rustix::fs::{CWD, FlockOperation, Mode, OFlags, flock, mkfifoat};
use rustix::io::Errno;

use super::record::Record;
use crate::error::{Attempt, errno};
use crate::spec::load;

/// The state directory of one container.
#[derive(Debug, Clone)]
pub(super) struct Directory {
    path: PathBuf,
}

/// Held while a container is changed; released with the process at the latest: the copy of it that becomes the container's closes what
/// is its parent's ([`crate::init`]).
#[derive(Debug)]
pub(super) struct Lock(#[allow(dead_code)] OwnedFd);

/// Refuses what can't be an id: it becomes a file's name, and part of a cgroup's.
pub(super) fn check_id(id: &str) -> Result<()> {
    let fits = |letter: char| letter.is_ascii_alphanumeric() || "_+-.".contains(letter);
    if id.is_empty() || id.len() > 1024 || matches!(id, "." | "..") || !id.chars().all(fits) {
        bail!("invalid container ID format: {id:?} (letters, digits, \"_\", \"+\", \"-\" and \".\" make an ID)");
    }
    Ok(())
}

impl Directory {
    /// Where a container of this id is, if it is.
    pub(super) fn of(root: &Path, id: &str) -> Result<Directory> {
        check_id(id)?;
        Ok(Directory { path: root.join(id) })
    }

    /// Makes it: of two at the same time one succeeds.
    pub(super) fn create(root: &Path, id: &str) -> Result<Directory> {
        let directory = Directory::of(root, id)?;
        let make = || DirBuilder::new().mode(0o711).create(&directory.path);
        let made = make().or_else(|error| {
            if error.kind() != std::io::ErrorKind::NotFound {
                return Err(error);
            }
            DirBuilder::new().recursive(true).mode(0o700).create(root)?;
            make()
        });
        match made.attempt(|| format!("make state directory {:?}", directory.path)) {
            Err(error) if errno(&error) == Some(Errno::EXIST) => {
                bail!("container with given ID already exists: {id:?} (in {root:?})")
            }
            result => result.map(|()| directory),
        }
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    pub(super) fn exists(&self) -> bool {
        self.path.is_dir()
    }

    /// The directory itself, opened; what is locked is the open file, so that a look at the directory elsewhere in this process
    /// does not release it, as it would with fcntl(2) locks.
    fn open(&self) -> Result<OwnedFd> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        rustix::fs::open(&self.path, flags, Mode::empty()).attempt(|| format!("open state directory {:?}", self.path))
    }

    /// Waits for the lock.
    pub(super) fn lock(&self) -> Result<Lock> {
        let directory = self.open()?;
        loop {
            match flock(&directory, FlockOperation::LockExclusive) {
                Err(Errno::INTR) => {}
                result => return result.attempt(|| format!("lock {:?}", self.path)).map(|()| Lock(directory)),
            }
        }
    }

    /// The record; none where there is no container, or one whose process is not prepared yet.
    pub(super) fn record(&self) -> Result<Option<Record>> {
        let path = self.path.join("state.json");
        let bytes = match load::read(&path) {
            Err(error) if matches!(errno(&error), Some(Errno::NOENT | Errno::NOTDIR)) => return Ok(None),
            result => result?,
        };
        load::parse(&bytes).map(Some).map_err(|error| error.context(format!("parse {path:?}")))
    }

    pub(super) fn write_record(&self, record: &Record) -> Result<()> {
        let json = serde_json::to_vec(record)?;
        write_atomically(&self.path.join("state.json"), &json, 0o600)
    }

    pub(super) fn config_path(&self) -> PathBuf {
        self.path.join("config.json")
    }

    pub(super) fn write_config(&self, bytes: &[u8]) -> Result<()> {
        let path = self.config_path();
        let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path);
        file.and_then(|mut file| file.write_all(bytes)).attempt(|| format!("write {path:?}"))
    }

    /// Notes where the cgroup will be.
    pub(super) fn link_cgroup(&self, path: &Path) -> Result<()> {
        let link = self.path.join("cgroup");
        std::os::unix::fs::symlink(path, &link).attempt(|| format!("make symlink {link:?}"))
    }

    /// Notes which systemd will make the cgroup, and as which unit.
    pub(super) fn link_unit(&self, unit: &Path) -> Result<()> {
        let link = self.path.join("unit");
        std::os::unix::fs::symlink(unit, &link).attempt(|| format!("make symlink {link:?}"))
    }

    /// The cgroup is not, or no longer, the container's.
    pub(super) fn unlink_cgroup(&self) {
        let _ = std::fs::remove_file(self.path.join("cgroup"));
        let _ = std::fs::remove_file(self.path.join("unit"));
    }

    /// Where the cgroup is, if there is one.
    pub(super) fn cgroup(&self) -> Option<PathBuf> {
        std::fs::read_link(self.path.join("cgroup")).ok()
    }

    /// What [`Directory::link_unit`] noted.
    pub(super) fn unit(&self) -> Option<PathBuf> {
        std::fs::read_link(self.path.join("unit")).ok()
    }

    /// Makes a fifo and opens it for both directions, so that neither end waits for the other to open it.
    pub(super) fn make_fifo(&self, name: &str) -> Result<File> {
        let path = self.path.join(name);
        mkfifoat(CWD, &path, Mode::RUSR | Mode::WUSR).attempt(|| format!("make fifo {path:?}"))?;
        OpenOptions::new().read(true).write(true).open(&path).attempt(|| format!("open fifo {path:?}"))
    }

    /// The start gate, opened for writing; none where nobody waits behind it.
    pub(super) fn open_gate(&self) -> Result<Option<File>> {
        let path = self.path.join("start");
        let opened = OpenOptions::new().write(true).custom_flags(libc::O_NONBLOCK).open(&path);
        match opened.attempt(|| format!("open start gate {path:?}")) {
            Err(error) if matches!(errno(&error), Some(Errno::NOENT | Errno::NXIO | Errno::NOTDIR)) => Ok(None),
            result => result.map(Some),
        }
    }

    /// The fifo from which `start` reads what failed.
    pub(super) fn open_report(&self) -> Result<File> {
        let path = self.path.join("started");
        OpenOptions::new().read(true).custom_flags(libc::O_NONBLOCK).open(&path).attempt(|| format!("open {path:?}"))
    }

    /// What `start` leaves nobody in need of.
    pub(super) fn remove_gate(&self) {
        for name in ["start", "started"] {
            let _ = std::fs::remove_file(self.path.join(name));
        }
    }

    /// Removes it all, the record last: as long as it is there, what is left can be found again.
    pub(super) fn remove(&self) -> Result<()> {
        let notify = self.path.join("notify");
        let _ = rustix::mount::unmount(&notify, rustix::mount::UnmountFlags::DETACH);
        let _ = std::fs::remove_dir_all(&notify);
        for name in ["config.json", "start", "started", "cgroup", "unit", "state.json"] {
            match std::fs::remove_file(self.path.join(name)) {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                    return Err(error).attempt(|| format!("remove {:?}", self.path.join(name)));
                }
                _ => {}
            }
        }
        // Whatever else is there (a temporary name of a writer that was killed) goes too.
        match std::fs::remove_dir(&self.path).or_else(|_| std::fs::remove_dir_all(&self.path)) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                Err(error).attempt(|| format!("remove state directory {:?}", self.path))
            }
            _ => Ok(()),
        }
    }
}

/// Writes to a name beside it and renames: a reader sees the old file or the whole new one.
pub(super) fn write_atomically(path: &Path, bytes: &[u8], mode: u32) -> Result<()> {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let temporary = path.with_file_name(format!(".{name}.{}", std::process::id()));
    let written = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(mode)
        .open(&temporary)
        .and_then(|mut file| file.write_all(bytes))
        .and_then(|()| std::fs::rename(&temporary, path));
    if written.is_err() {
        let _ = std::fs::remove_file(&temporary);
    }
    written.attempt(|| format!("write {path:?}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_a_plain_name() {
        for good in ["web", "a.b-c_d+e", "0", "...", "-x"] {
            assert!(check_id(good).is_ok(), "{good}");
        }
        for bad in ["", ".", "..", "a/b", "a b", "ü", "a\n", "a:b"] {
            let text = check_id(bad).unwrap_err().to_string();
            assert!(text.starts_with("invalid container ID format"), "{text}");
        }
    }
}
