//! Groups and processes for tests, gone when the test ends, whichever way it ends.

use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use rustix::process::Pid;

use super::{Group, Hierarchy};

/// A group of a test's own, for groups below it.
pub(super) struct Scratch {
    pub(super) hierarchy: Hierarchy,
    path: PathBuf,
    /// A controller that the root does not hand down but for this test.
    enabled: Option<&'static str>,
    turn: Option<MutexGuard<'static, ()>>,
}

impl Scratch {
    /// None, with the reason printed, where this machine lets no group be made.
    pub(super) fn new() -> Option<Scratch> {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let name = format!("corten-test-{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        let made = Hierarchy::find().and_then(|hierarchy| {
            let path = Path::new("/").join(&name);
            Group::create(&hierarchy, &path).map(|_| Scratch { hierarchy, path, enabled: None, turn: None })
        });
        made.inspect_err(|error| eprintln!("SKIPPED, no group can be made here: {error:#}")).ok()
    }

    /// As [`Scratch::new`], where a controller can be had in cgroup v2 here. The root is left as it was found, so such
    /// tests run one after the other.
    pub(super) fn with_controller(name: &'static str) -> Option<Scratch> {
        static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());
        let turn = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
        let mut scratch = Scratch::new()?;
        let listed = |file: &str| {
            let list = std::fs::read_to_string(scratch.hierarchy.mount_point.join(file)).expect("the root has lists");
            list.split_whitespace().any(|one| one == name)
        };
        if !listed("cgroup.controllers") {
            eprintln!("SKIPPED, cgroup v2 has no controller {name:?} on this machine");
            return None;
        }
        scratch.enabled = (!listed("cgroup.subtree_control")).then_some(name);
        scratch.turn = Some(turn);
        Some(scratch)
    }

    /// A path below the scratch group, as [`Group::create`] takes it.
    pub(super) fn below(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    /// The directory of such a path.
    pub(super) fn directory(&self, name: &str) -> PathBuf {
        self.hierarchy.directory(&self.below(name))
    }

    /// A process that waits in a group.
    pub(super) fn process_in(&self, group: &Path) -> Process {
        let child = Command::new("sleep").arg("1000").stdin(Stdio::null()).spawn().expect("sleep(1) is everywhere");
        let process = Process(child);
        std::fs::write(group.join("cgroup.procs"), process.pid().to_string()).expect("a process can be moved");
        process
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let group = Group::at(self.hierarchy.directory(&self.path));
        if let Err(error) = group.kill().and_then(|()| group.remove()) {
            eprintln!("left behind: {error:#}");
        }
        if let Some(name) = self.enabled {
            // Someone else may have come to use it meanwhile; then it stays.
            let _ = std::fs::write(self.hierarchy.mount_point.join("cgroup.subtree_control"), format!("-{name}"));
        }
        drop(self.turn.take());
    }
}

/// A child process, killed and reaped at the end.
pub(super) struct Process(Child);

impl Process {
    pub(super) fn pid(&self) -> Pid {
        Pid::from_child(&self.0)
    }

    /// Waits for its end and says which signal it was.
    pub(super) fn ended_by(&mut self) -> Option<i32> {
        self.0.wait().expect("a child can be waited for").signal()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
