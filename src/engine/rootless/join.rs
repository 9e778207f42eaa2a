//! The way into the user's namespace.

use std::fs::{self, File};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::Path;

use anyhow::{Context, Result};
use rustix::fs::{FlockOperation, flock};
use rustix::process::{Pid, PidfdFlags, geteuid, pidfd_open};

use super::{User, holder, runtime_directory};
use crate::engine::locks;
use crate::error::Attempt;
use crate::image::layer::Form;
use crate::sys::clone::{self, CloneFlags};

/// Enters the user's namespace, which is made if there is none. None for root of the machine, who needs nothing of it, and for root of
/// a user namespace of another kind.
///
/// To be called with one thread, for only such a process may enter one (setns(2)).
pub fn enter() -> Result<Option<User>> {
    if geteuid().is_root() {
        return if Form::of_process() == Form::Trusted { Ok(None) } else { entered_before() };
    }
    let runtime = runtime_directory(geteuid().as_raw())?;
    let _until_it_is_the_namespaces = membership(&runtime)?;
    let process = match member(&runtime) {
        Some((_, process)) => process,
        None => {
            let _others_wait = locked(&runtime.join("starting"), FlockOperation::LockExclusive)?;
            match member(&runtime) {
                Some((_, process)) => process,
                None => holder::start(&runtime)?,
            }
        }
    };
    let directory = std::env::current_dir();
    clone::join(process.as_fd(), CloneFlags::NEWUSER | CloneFlags::NEWNS).attempt(|| "enter the user's namespace")?;
    // setns(2) leads to the root of the mount namespace.
    if let Ok(directory) = directory {
        std::env::set_current_dir(&directory).attempt(|| format!("go back to {directory:?}"))?;
    }
    User::inside(&runtime).map(Some)
}

/// A program that was started again in the namespace: as the sealed one.
fn entered_before() -> Result<Option<User>> {
    let own = super::map("/proc/self/uid_map")?;
    let Some(root) = own.iter().find(|range| range.container == 0) else { return Ok(None) };
    let Ok(runtime) = runtime_directory(root.host) else { return Ok(None) };
    let Some((pid, _alive)) = member(&runtime) else { return Ok(None) };
    let identity = |path: String| fs::metadata(path).ok().map(|file| (file.dev(), file.ino()));
    let theirs = identity(format!("/proc/{pid}/ns/user"));
    if theirs.is_none() || theirs != identity("/proc/self/ns/user".into()) {
        return Ok(None);
    }
    User::inside(&runtime).map(Some)
}

/// As long as it is open, the namespace stays.
pub(super) fn membership(runtime: &Path) -> Result<File> {
    locked(&runtime.join("members"), FlockOperation::LockShared)
}

pub(super) fn locked(path: &Path, how: FlockOperation) -> Result<File> {
    let file = File::options().read(true).append(true).create(true).open(path).attempt(|| format!("open {path:?}"))?;
    rustix::io::retry_on_intr(|| flock(&file, how)).attempt(|| format!("lock {path:?}"))?;
    Ok(file)
}

/// A process that is in the namespace and stays: the holder, or a monitor.
fn member(runtime: &Path) -> Option<(i32, OwnedFd)> {
    if let Some(holder) = owner(&runtime.join(holder::FILE)) {
        return Some(holder);
    }
    let names = |path: &Path| fs::read_dir(path).into_iter().flatten().flatten();
    let engines = names(runtime).filter(|entry| entry.file_name().to_string_lossy().starts_with("engine"));
    let containers = engines.flat_map(|engine| names(&engine.path()));
    containers.map(|container| container.path().join("monitor")).find_map(|monitor| owner(&monitor))
}

/// The process that has a file locked in which it wrote its pid.
pub(super) fn owner(path: &Path) -> Option<(i32, OwnedFd)> {
    owner_of(&File::open(path).ok()?, |pid| pidfd_open(pid, PidfdFlags::empty()).ok())
}

/// The number is read again when the process has been looked up: it is still there, and the lock held, so it was this process's all the
/// time, and no other one's who got it after its end. All is asked of one open file, for another may take its name meanwhile.
fn owner_of(file: &File, look_up: impl FnOnce(Pid) -> Option<OwnedFd>) -> Option<(i32, OwnedFd)> {
    let number = || {
        let mut text = [0; 16];
        let length = locks::is_held_elsewhere(file).then(|| file.read_at(&mut text, 0).ok())??;
        std::str::from_utf8(&text[..length]).ok()?.trim().parse::<i32>().ok().filter(|pid| *pid > 0)
    };
    let pid = number()?;
    let process = look_up(Pid::from_raw(pid)?)?;
    (number() == Some(pid)).then_some((pid, process))
}

impl User {
    /// For a monitor, which its command started in the namespace.
    pub(in crate::engine) fn of_monitor(runtime: &Path) -> Result<User> {
        User::inside(runtime).context("take part in the user's namespace")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A file of a test's own, and its other end, which has it locked.
    struct Locked(std::path::PathBuf, File);

    impl Locked {
        fn new(name: &str, text: &str) -> Locked {
            let path = std::env::temp_dir().join(format!("ctn-owner-{}-{name}", std::process::id()));
            fs::write(&path, text).unwrap();
            let lock = locked(&path, FlockOperation::LockExclusive).unwrap();
            Locked(path, lock)
        }
    }

    impl Drop for Locked {
        fn drop(&mut self) {
            let _ = fs::remove_file(&self.0);
        }
    }

    fn found(locked: &Locked, meanwhile: impl FnOnce()) -> Option<i32> {
        let process = |pid| {
            meanwhile();
            pidfd_open(pid, PidfdFlags::empty()).ok()
        };
        owner_of(&File::open(&locked.0).unwrap(), process).map(|(pid, _)| pid)
    }

    #[test]
    fn an_owner_has_the_lock_and_the_number_all_the_time() {
        let own = std::process::id();
        let locked = Locked::new("there", &own.to_string());
        assert_eq!(found(&locked, || ()), Some(own.cast_signed()));
        assert_eq!(found(&locked, || fs::write(&locked.0, "1").unwrap()), None, "another one has it now");
        fs::write(&locked.0, own.to_string()).unwrap();
        assert_eq!(found(&locked, || flock(&locked.1, FlockOperation::Unlock).unwrap()), None, "it ended meanwhile");
        assert_eq!(found(&locked, || ()), None, "it has ended");
    }

    #[test]
    fn what_is_no_number_is_nobody() {
        for text in ["", "0", "-1", "x", "99999999999999999999"] {
            assert_eq!(found(&Locked::new("nobody", text), || ()), None, "{text}");
        }
    }
}
