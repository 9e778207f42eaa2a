//! Paths inside the container, resolved to descriptors. Symlinks are followed as the container would see them, never out of
//! the root; magic links never.

use std::ffi::{CStr, CString};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::fs::{
    AtFlags, FileType, Mode, OFlags, RawMode, ResolveFlags, Stat, fstat, fstatfs, mkdirat, openat2, readlinkat, statat,
};
use rustix::io::{Errno, Result};

/// PROC_SUPER_MAGIC (statfs(2)).
const PROC_MAGIC: i64 = 0x9fa0;

/// How many dangling symlinks may lead from one to the next while missing directories are made.
const MOST_LINKS: usize = 40;

fn in_root() -> ResolveFlags {
    ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS
}

/// Opens what is at a path, O_PATH. Empty is the root itself.
pub(super) fn open(root: BorrowedFd<'_>, path: &CStr) -> Result<OwnedFd> {
    open_with(root, path, OFlags::PATH, in_root())
}

/// Opens what is at a path through no symlink at all.
pub(super) fn open_ordinary(root: BorrowedFd<'_>, path: &CStr) -> Result<OwnedFd> {
    // Without O_NOFOLLOW, with which a symlink at the end would be opened itself.
    open_with(root, path, OFlags::PATH, in_root() | ResolveFlags::NO_SYMLINKS)
}

/// Opens what is at a path but does not follow a symlink at its end.
pub(super) fn open_nofollow(root: BorrowedFd<'_>, path: &CStr) -> Result<OwnedFd> {
    open_with(root, path, OFlags::PATH | OFlags::NOFOLLOW, in_root())
}

/// Opens a device that was found at a path, if it still is one: the open of another file could wait, or do something.
pub(super) fn open_device(root: BorrowedFd<'_>, path: &CStr) -> Result<OwnedFd> {
    if !is(&fstat(open_nofollow(root, path)?)?, FileType::CharacterDevice) {
        return Err(Errno::NODEV);
    }
    open_with(root, path, OFlags::RDWR | OFlags::NOFOLLOW | OFlags::NOCTTY, in_root())
}

/// Opens for reading.
pub(super) fn open_file(root: BorrowedFd<'_>, path: &CStr) -> Result<OwnedFd> {
    open_with(root, path, OFlags::RDONLY | OFlags::NOCTTY | OFlags::NONBLOCK, in_root())
}

fn open_with(root: BorrowedFd<'_>, path: &CStr, flags: OFlags, resolve: ResolveFlags) -> Result<OwnedFd> {
    let path = if path.is_empty() { c"." } else { path };
    // openat2(2): EAGAIN when a rename raced with the resolution of "..".
    let mut tries = 0;
    loop {
        match openat2(root, path, flags | OFlags::CLOEXEC, Mode::empty(), resolve) {
            Err(Errno::AGAIN | Errno::INTR) if tries < 128 => tries += 1,
            result => return result,
        }
    }
}

/// Opens a directory, making what is missing of it with mode 0755.
pub(super) fn ensure_directory(root: BorrowedFd<'_>, path: &CStr) -> Result<OwnedFd> {
    ensure(root, path, Want::Directory)
}

/// Opens a directory to mount on, making it with what a tmpfs has by default: mode 1777 (tmpfs(5)). What is missing on its way has 0755.
pub(super) fn ensure_directory_for_all(root: BorrowedFd<'_>, path: &CStr) -> Result<OwnedFd> {
    ensure(root, path, Want::DirectoryForAll)
}

/// Opens a file, making it (empty, 0644) and the directories on its way if they are missing.
pub(super) fn ensure_file(root: BorrowedFd<'_>, path: &CStr) -> Result<OwnedFd> {
    ensure(root, path, Want::File)
}

/// Opens the directory in which the last component of a path is to be made, making it if it is missing.
pub(super) fn ensure_parent<'p>(root: BorrowedFd<'_>, path: &'p CStr) -> Result<(OwnedFd, &'p CStr)> {
    let (parent, name) = split(path);
    let directory = match parent {
        Some(parent) => ensure_directory(root, &parent)?,
        None => open(root, c"")?,
    };
    Ok((directory, name))
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Want {
    Directory,
    DirectoryForAll,
    File,
}

/// From the root on, name by name: a way through an image's symlinks may be longer than any stack is deep.
fn ensure(root: BorrowedFd<'_>, path: &CStr, want: Want) -> Result<OwnedFd> {
    match open(root, path) {
        Err(Errno::NOENT) => {}
        result => return result,
    }
    let mut links = MOST_LINKS;
    // What is still to go, the next name last.
    let mut ahead = names(path);
    let mut here = CString::default();
    let mut directory = open(root, c"")?;
    while let Some(name) = ahead.pop() {
        let next = join(&here, &name);
        match open(root, &next) {
            Ok(found) => {
                (here, directory) = (next, found);
                continue;
            }
            Err(Errno::NOENT) => {}
            Err(error) => return Err(error),
        }
        let mode = if want == Want::DirectoryForAll && ahead.is_empty() { 0o1777 } else { 0o755 };
        let made = match want {
            Want::File if ahead.is_empty() => make_file(directory.as_fd(), &name),
            _ => mkdirat(&directory, &name, Mode::from_raw_mode(mode)),
        };
        match made {
            Ok(()) | Err(Errno::EXIST) => {}
            Err(error) => return Err(error),
        }
        // Beneath the directory that was just opened: what an attacker puts in its place leads nowhere else.
        let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_MAGICLINKS;
        let found = openat2(&directory, &name, flags, Mode::empty(), resolve)?;
        if !is(&fstat(&found)?, FileType::Symlink) {
            (here, directory) = (next, found);
            continue;
        }
        // A dangling symlink: what it leads to is made, still inside the root.
        links = links.checked_sub(1).ok_or(Errno::LOOP)?;
        let target = readlinkat(&directory, &name, Vec::new())?;
        if target.to_bytes().starts_with(b"/") {
            (here, directory) = (CString::default(), open(root, c"")?);
        }
        ahead.extend(names(&target));
    }
    Ok(directory)
}

/// The names in a path, the first one last.
fn names(path: &CStr) -> Vec<CString> {
    let names = path.to_bytes().split(|byte| *byte == b'/').rev();
    names.filter(|name| !matches!(*name, b"" | b".")).map(|name| CString::new(name).unwrap_or_default()).collect()
}

fn join(directory: &CStr, name: &CStr) -> CString {
    if directory.is_empty() {
        return name.to_owned();
    }
    CString::new([directory.to_bytes(), b"/", name.to_bytes()].concat()).unwrap_or_default()
}

fn make_file(directory: BorrowedFd<'_>, name: &CStr) -> Result<()> {
    let flags = OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::WRONLY;
    let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_MAGICLINKS;
    openat2(directory, name, flags, Mode::from_raw_mode(0o644), resolve).map(drop)
}

/// A path without its last component, and that component.
fn split(path: &CStr) -> (Option<CString>, &CStr) {
    let bytes = path.to_bytes();
    match bytes.iter().rposition(|byte| *byte == b'/') {
        Some(slash) => {
            let parent = CString::new(&bytes[..slash]).unwrap_or_default();
            let with_nul = &path.to_bytes_with_nul()[slash + 1..];
            (Some(parent), CStr::from_bytes_with_nul(with_nul).unwrap_or(c"."))
        }
        None => (None, path),
    }
}

/// Whether a file is of this type.
pub(super) fn is(status: &Stat, kind: FileType) -> bool {
    FileType::from_raw_mode(status.st_mode as RawMode) == kind
}

/// Whether a descriptor is on procfs.
pub(super) fn is_on_proc(descriptor: BorrowedFd<'_>) -> Result<bool> {
    Ok(fstatfs(descriptor)?.f_type == PROC_MAGIC)
}

/// Whether a node is the character device with these numbers.
pub(super) fn is_character_device(status: &Stat, major: u32, minor: u32) -> bool {
    is(status, FileType::CharacterDevice) && status.st_rdev == rustix::fs::makedev(major, minor)
}

/// lstat(2) of a name in a directory.
pub(super) fn status(directory: BorrowedFd<'_>, name: &CStr) -> Result<Stat> {
    statat(directory, name, AtFlags::SYMLINK_NOFOLLOW)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    struct Scratch(std::path::PathBuf);

    impl Scratch {
        fn new(name: &str) -> Scratch {
            let path = std::env::temp_dir().join(format!("corten-tree-{name}-{}", std::process::id()));
            std::fs::create_dir_all(path.join("root")).unwrap();
            Scratch(path)
        }

        fn root(&self) -> OwnedFd {
            let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
            rustix::fs::open(self.0.join("root"), flags, Mode::empty()).unwrap()
        }
    }

    impl Drop for Scratch {
        fn drop(&mut self) {
            let _ = std::fs::remove_dir_all(&self.0);
        }
    }

    #[test]
    fn a_dangling_symlink_is_followed_inside_the_root() {
        let scratch = Scratch::new("dangling");
        let root = scratch.root();
        symlink("/outside/deep", scratch.0.join("root/link")).unwrap();
        ensure_directory(root.as_fd(), c"link/below").unwrap();
        assert!(scratch.0.join("root/outside/deep/below").is_dir());
        symlink("../../../up/file", scratch.0.join("root/relative")).unwrap();
        ensure_file(root.as_fd(), c"relative").unwrap();
        assert!(scratch.0.join("root/up/file").is_file());
        assert!(!scratch.0.join("up").exists());
    }

    #[test]
    fn symlinks_that_lead_in_a_circle_end_in_an_error() {
        let scratch = Scratch::new("circle");
        symlink("b", scratch.0.join("root/a")).unwrap();
        symlink("a", scratch.0.join("root/b")).unwrap();
        assert_eq!(ensure_directory(scratch.root().as_fd(), c"a").unwrap_err(), Errno::LOOP);
    }

    #[test]
    fn a_way_may_be_longer_than_a_path() {
        let scratch = Scratch::new("long");
        let root = scratch.root();
        let way = "/d".repeat(2000);
        for number in 0..3 {
            symlink(format!("l{}{way}", number + 1), scratch.0.join(format!("root/l{number}"))).unwrap();
        }
        assert_eq!(ensure_directory(root.as_fd(), c"l0").unwrap_err(), Errno::NAMETOOLONG);
        ensure_file(root.as_fd(), c"l2/file").unwrap();
        assert!(std::fs::metadata(scratch.0.join("root/l2/file")).unwrap().is_file());

        let scratch = Scratch::new("circle");
        let root = scratch.root();
        for number in 0..=MOST_LINKS {
            symlink(format!("l{}{way}", number + 1), scratch.0.join(format!("root/l{number}"))).unwrap();
        }
        assert_eq!(ensure_directory(root.as_fd(), c"l0").unwrap_err(), Errno::LOOP);
    }

    #[test]
    fn a_file_in_the_way_is_an_error() {
        let scratch = Scratch::new("file");
        std::fs::write(scratch.0.join("root/file"), "").unwrap();
        assert_eq!(ensure_directory(scratch.root().as_fd(), c"file/below").unwrap_err(), Errno::NOTDIR);
    }

    #[test]
    fn an_ordinary_path_has_no_symlink_in_it() {
        let scratch = Scratch::new("ordinary");
        std::fs::create_dir(scratch.0.join("root/real")).unwrap();
        symlink("real", scratch.0.join("root/link")).unwrap();
        assert!(open_ordinary(scratch.root().as_fd(), c"real").is_ok());
        assert_eq!(open_ordinary(scratch.root().as_fd(), c"link").unwrap_err(), Errno::LOOP);
    }
}
