//! Where cgroup2 is mounted, and which group the runtime itself is in.

use std::ffi::OsString;
use std::os::fd::AsFd;
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use rustix::fs::{Mode, OFlags};
use rustix::process::Pid;

use super::file;
use super::group::Group;
use crate::error::Attempt;
use crate::mountinfo::{self, Mount};

/// The cgroup2 file system as this process sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hierarchy {
    /// Where it is mounted: `/sys/fs/cgroup` on a unified host, often `/sys/fs/cgroup/unified` on a hybrid one.
    pub mount_point: PathBuf,
    /// The group this process is in, as an absolute path below the mount point.
    pub own: PathBuf,
    /// Which part of the hierarchy is mounted: `/` unless a part of it was bound there.
    root: PathBuf,
}

impl Hierarchy {
    /// Finds the mount in `/proc/self/mountinfo` and the own group in `/proc/self/cgroup`.
    pub fn find() -> Result<Hierarchy> {
        let unified = Path::new("/sys/fs/cgroup");
        if is_whole(unified) {
            let own = membership_of("self")?;
            return Ok(Hierarchy { mount_point: unified.to_owned(), own, root: PathBuf::from("/") });
        }
        let mountinfo = std::fs::read("/proc/self/mountinfo").attempt(|| "read \"/proc/self/mountinfo\"")?;
        let Some(mount) = mounts(&mountinfo).into_iter().find(|mount| is_reachable(&mount.point)) else {
            bail!(
                "no cgroup2 file system is mounted: mount one with \"mount -t cgroup2 cgroup2 /sys/fs/cgroup\", or run \
                 with --cgroup-manager=disabled"
            );
        };
        let own = below_mount(&membership_of("self")?, &mount.root);
        Ok(Hierarchy { mount_point: mount.point, own, root: mount.root })
    }

    /// The group that a process is in now.
    pub fn group_of(&self, process: Pid) -> Result<Group> {
        let membership = membership_of(&process.to_string())?;
        Ok(Group::at(self.directory(&below_mount(&membership, &self.root))))
    }

    /// The directory of a group, given by its absolute path below the mount point.
    pub fn directory(&self, group: &Path) -> PathBuf {
        self.mount_point.join(group.strip_prefix("/").unwrap_or(group))
    }
}

/// Whether a path is the root of the whole hierarchy, as on nearly every host: found without reading a table of mounts
/// that may have thousands of lines. kernfs gives its root the inode number 1 (fs/kernfs/dir.c, kernfs_create_root).
fn is_whole(point: &Path) -> bool {
    const ROOT_INODE: u64 = 1;
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let Ok(found) = rustix::fs::open(point, flags, Mode::empty()) else { return false };
    file::is_cgroup2(found.as_fd()).unwrap_or(false)
        && rustix::fs::fstat(&found).is_ok_and(|status| status.st_ino == ROOT_INODE)
}

/// A mount listed as cgroup2 may lie hidden below a later one: what counts is what an open finds.
fn is_reachable(point: &Path) -> bool {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    rustix::fs::open(point, flags, Mode::empty()).and_then(|found| file::is_cgroup2(found.as_fd())).unwrap_or(false)
}

/// The cgroup2 mounts of a mountinfo file (proc_pid_mountinfo(5)), the most useful one first: one that shows the whole
/// hierarchy before a bind mount of a part, `/sys/fs/cgroup` before other places, and then in the order of mounting.
fn mounts(mountinfo: &[u8]) -> Vec<Mount> {
    let mut found: Vec<Mount> = mountinfo::parse(mountinfo).filter(|mount| mount.kind == b"cgroup2").collect();
    found.sort_by_key(|mount| (mount.root != Path::new("/"), mount.point != Path::new("/sys/fs/cgroup")));
    found
}

fn membership_of(process: &str) -> Result<PathBuf> {
    let file = format!("/proc/{process}/cgroup");
    let memberships = std::fs::read(&file).attempt(|| format!("read {file:?}"))?;
    membership(&memberships).with_context(|| format!("read {file:?}: it has no line \"0::\", so there is no cgroup2"))
}

/// The `0::` line of a /proc/PID/cgroup file (cgroups(7)).
fn membership(memberships: &[u8]) -> Option<PathBuf> {
    let line = memberships.split(|byte| *byte == b'\n').find_map(|line| line.strip_prefix(b"0::"))?;
    // A process that has not been reaped can outlive its group; the path then ends in this mark.
    let path = line.strip_suffix(b" (deleted)").unwrap_or(line);
    Some(PathBuf::from(OsString::from_vec(path.to_vec())))
}

/// A group outside the part that is mounted can't be reached; the top of that part is the nearest there is.
fn below_mount(own: &Path, root: &Path) -> PathBuf {
    Path::new("/").join(own.strip_prefix(root).unwrap_or(Path::new("")))
}

#[cfg(test)]
mod tests {
    use super::*;

    const HYBRID: &[u8] = b"31 23 0:28 / /sys/fs/cgroup rw,relatime - tmpfs tmpfs rw,mode=755
35 31 0:32 / /sys/fs/cgroup/memory rw,relatime shared:9 - cgroup cgroup rw,memory
41 31 0:38 / /sys/fs/cgroup/unified rw,relatime shared:4 master:1 - cgroup2 cgroup2 rw,nsdelegate
";

    fn points(mountinfo: &[u8]) -> Vec<String> {
        mounts(mountinfo).iter().map(|mount| mount.point.display().to_string()).collect()
    }

    #[test]
    fn a_hybrid_host_has_it_beside_the_v1_controllers() {
        assert_eq!(points(HYBRID), ["/sys/fs/cgroup/unified"]);
    }

    #[test]
    fn a_unified_host_has_it_at_the_usual_place() {
        assert_eq!(points(b"29 23 0:26 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n"), ["/sys/fs/cgroup"]);
    }

    #[test]
    fn the_whole_hierarchy_comes_before_a_part_and_the_usual_place_before_others() {
        let part = b"50 1 0:26 /a /sys/fs/cgroup rw - cgroup2 c rw\n51 1 0:26 / /mnt rw - cgroup2 c rw\n52 1 0:26 / /sys/fs/cgroup rw - cgroup2 c rw";
        assert_eq!(points(part), ["/sys/fs/cgroup", "/mnt", "/sys/fs/cgroup"]);
    }

    #[test]
    fn names_that_look_like_the_type_or_the_separator_do_not_confuse() {
        let text = b"9 1 0:5 / /cgroup2 rw - ext4 cgroup2 rw\n8 1 0:6 / /a\\040b\\134 rw shared:1 - cgroup2 - rw\n\nnonsense\n";
        assert_eq!(points(text), ["/a b\\"]);
    }

    #[test]
    fn the_own_group_is_the_line_without_controllers() {
        let text = b"4:memory:/x\n1:name=systemd:/y\n0::/user.slice/a:b\n";
        assert_eq!(membership(text), Some(PathBuf::from("/user.slice/a:b")));
        assert_eq!(membership(b"4:memory:/x\n"), None);
        assert_eq!(membership(b"0::/gone (deleted)\n"), Some(PathBuf::from("/gone")));
    }

    #[test]
    fn the_own_group_is_seen_from_the_mount() {
        assert_eq!(below_mount(Path::new("/docker/x/y"), Path::new("/docker/x")), Path::new("/y"));
        assert_eq!(below_mount(Path::new("/a"), Path::new("/")), Path::new("/a"));
        assert_eq!(below_mount(Path::new("/../b"), Path::new("/docker")), Path::new("/"));
    }

    #[test]
    fn a_group_path_becomes_a_directory() {
        let hierarchy = Hierarchy { mount_point: "/sys/fs/cgroup/unified".into(), own: "/".into(), root: "/".into() };
        assert_eq!(hierarchy.directory(Path::new("/a/b")), Path::new("/sys/fs/cgroup/unified/a/b"));
    }
}
