//! What a runtime has left of a bundle's containers: mounts, control groups, processes, state files.

use std::collections::BTreeSet;
use std::fmt;
use std::fs;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::time::Instant;

use rustix::process::{Pid, PidfdFlags, Signal, WaitId, WaitIdOptions, kill_process, pidfd_open, waitid};

use super::Bundle;
use super::container::own_namespace;
use super::host::{Host, devices_are_untouched};
use super::wait::{LIMIT, readable};

/// The mounts of the test's own mount namespace.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mounts(BTreeSet<(u64, PathBuf)>);

impl Mounts {
    pub fn now() -> Mounts {
        let table = fs::read_to_string("/proc/thread-self/mountinfo").expect("read the mounts of the test");
        let mounts = table.lines().map(|line| {
            let words: Vec<&str> = line.split(' ').collect();
            (words[0].parse().expect("a mount has a number"), PathBuf::from(words[4]))
        });
        Mounts(mounts.collect())
    }
}

#[derive(Debug, Default)]
pub struct Leftovers {
    pub mounts: Vec<PathBuf>,
    pub cgroups: Vec<PathBuf>,
    pub processes: Vec<(Pid, String)>,
    pub files: Vec<PathBuf>,
    /// Whether a device of the host has another owner or mode than before.
    pub devices_changed: bool,
}

impl Leftovers {
    pub fn of(bundle: &Bundle) -> Leftovers {
        Leftovers {
            mounts: mounts_left(bundle),
            cgroups: cgroups_of(&bundle.id),
            processes: processes_left(&bundle.rootfs),
            files: entries(&bundle.state),
            devices_changed: !devices_are_untouched(),
        }
    }

    pub fn is_empty(&self) -> bool {
        let nothing = self.mounts.is_empty() && self.cgroups.is_empty() && self.processes.is_empty();
        nothing && self.files.is_empty() && !self.devices_changed
    }

    /// Removes what can be removed, so that a failed test doesn't burden the machine.
    pub fn clear(&self) {
        for cgroup in &self.cgroups {
            let _ = fs::write(cgroup.join("cgroup.kill"), "1");
        }
        for (pid, _) in &self.processes {
            let _ = kill_process(*pid, Signal::KILL);
        }
        for mount in self.mounts.iter().rev() {
            let _ = rustix::mount::unmount(mount, rustix::mount::UnmountFlags::DETACH);
        }
        for cgroup in self.cgroups.iter().rev() {
            let _ = fs::remove_dir(cgroup);
        }
    }
}

impl fmt::Display for Leftovers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "mounts {:?}, control groups {:?}, processes {:?}, files {:?}, devices changed: {}",
            self.mounts, self.cgroups, self.processes, self.files, self.devices_changed
        )
    }
}

/// New mounts, but for those that the test has made beside the root file system.
fn mounts_left(bundle: &Bundle) -> Vec<PathBuf> {
    let Mounts(now) = Mounts::now();
    let Mounts(before) = bundle.mounts_before();
    let own = |path: &PathBuf| {
        path.starts_with(&bundle.directory) && !path.starts_with(&bundle.rootfs) && !path.starts_with(&bundle.state)
    };
    now.difference(before).map(|(_, path)| path.clone()).filter(|path| !own(path)).collect()
}

/// The cgroup2 directories that are named after a container id, parents first.
pub fn cgroups_of(id: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for root in cgroup_mounts() {
        find_cgroups(&root, &root, id, &mut found);
    }
    found
}

/// Kills the processes in the control groups of a container id and reaps those that have come to the tests, the first
/// process of a pid namespace last: it can't end before the others are gone.
pub fn end_processes(id: &str) {
    reap_orphans(id);
    let lists = cgroups_of(id).into_iter().filter_map(|cgroup| fs::read_to_string(cgroup.join("cgroup.procs")).ok());
    let mut pids: Vec<i32> =
        lists.flat_map(|list| list.lines().filter_map(|pid| pid.parse().ok()).collect::<Vec<_>>()).collect();
    pids.sort_unstable();
    for pid in pids.iter().rev().filter_map(|pid| Pid::from_raw(*pid)) {
        if let Ok(pidfd) = pidfd_open(pid, PidfdFlags::empty()) {
            let _ = kill_process(pid, Signal::KILL);
            readable(&pidfd, Instant::now() + LIMIT);
            let _ = waitid(WaitId::PidFd(pidfd.as_fd()), WaitIdOptions::EXITED | WaitIdOptions::NOHANG);
        }
    }
}

/// Reaps what a container's control groups have left to the tests, the subreaper, and no test has waited for: a pid
/// namespace can't end before.
fn reap_orphans(id: &str) {
    let own = std::process::id().to_string();
    for path in entries(Path::new("/proc")) {
        let read = |name: &str| fs::read_to_string(path.join(name)).unwrap_or_default();
        let stat = read("stat");
        let mut after_name = stat.rsplit(") ").next().unwrap_or_default().split(' ');
        if (after_name.next(), after_name.next()) != (Some("Z"), Some(&own)) || !read("cgroup").contains(id) {
            continue;
        }
        let pid = path.file_name().and_then(|name| name.to_str()?.parse().ok()).and_then(Pid::from_raw);
        if let Some(pid) = pid {
            let _ = waitid(WaitId::Pid(pid), WaitIdOptions::EXITED | WaitIdOptions::NOHANG);
        }
    }
}

fn cgroup_mounts() -> Vec<PathBuf> {
    let table = fs::read_to_string("/proc/thread-self/mountinfo").expect("read the mounts of the test");
    let of_cgroup2 = table.lines().filter(|line| line.contains(" - cgroup2 "));
    of_cgroup2.filter_map(|line| line.split(' ').nth(4)).map(PathBuf::from).collect()
}

fn find_cgroups(root: &Path, directory: &Path, id: &str, found: &mut Vec<PathBuf>) {
    for path in entries(directory).into_iter().filter(|path| path.is_dir()) {
        // Not in what comes before: a test may mount the hierarchy in its own directory, which has the id in its name.
        if path.strip_prefix(root).is_ok_and(|group| group.to_string_lossy().contains(id)) {
            found.push(path.clone());
        }
        find_cgroups(root, &path, id, found);
    }
}

/// The processes that live in the test's mount namespace beside the tests themselves, and those whose own mount
/// namespace shows the bundle's root file system.
fn processes_left(rootfs: &Path) -> Vec<(Pid, String)> {
    let ours = own_namespace("mnt");
    let mark = Host::enter().mark;
    let root = rootfs.strip_prefix(Host::enter().directory).expect("the root is on the tests' tmpfs");
    let root = format!("/{}", root.display());
    let mut left = Vec::new();
    for path in entries(Path::new("/proc")) {
        let Some(pid) = path.file_name().and_then(|name| name.to_str()?.parse().ok()).and_then(Pid::from_raw) else {
            continue;
        };
        if pid == rustix::process::getpid() || fs::read(path.join("cmdline")).is_ok_and(|line| line.is_empty()) {
            continue;
        }
        let in_ours = fs::read_link(path.join("ns/mnt")).is_ok_and(|link| link.to_string_lossy() == ours);
        let mounts = fs::read_to_string(path.join("mountinfo")).unwrap_or_default();
        let shows_root =
            mounts.lines().any(|line| line.contains(&mark) && line.split(' ').nth(3) == Some(root.as_str()));
        if in_ours || shows_root {
            let command = fs::read_to_string(path.join("cmdline")).unwrap_or_default().replace('\0', " ");
            left.push((pid, command));
        }
    }
    left
}

fn entries(directory: &Path) -> Vec<PathBuf> {
    fs::read_dir(directory).into_iter().flatten().flatten().map(|entry| entry.path()).collect()
}
