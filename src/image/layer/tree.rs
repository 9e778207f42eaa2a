//! Work on one directory, by descriptor: listing, attributes by name, removal with all that is inside.

use std::collections::BTreeMap;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use anyhow::Result;
use rustix::fs::{AtFlags, FileType, Mode, OFlags, RawDir, Stat, openat, statat, unlinkat};
use rustix::io::Errno;

use crate::error::{Attempt, errno};
use crate::image::tar::shown;

/// Opens a directory itself; a link to one is refused.
pub fn open(directory: impl AsFd, name: &[u8]) -> Result<OwnedFd, Errno> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    openat(directory, name, flags, Mode::empty())
}

/// What is called so, links not followed; none if there is nothing.
pub fn look(directory: impl AsFd, name: &[u8]) -> Result<Option<Stat>> {
    match statat(directory, name, AtFlags::SYMLINK_NOFOLLOW) {
        Ok(stat) => Ok(Some(stat)),
        Err(Errno::NOENT) => Ok(None),
        refused => refused.attempt(|| format!("look at {}", shown(name))).map(Some),
    }
}

/// Whether it is a directory.
pub fn is_directory(stat: &Stat) -> bool {
    FileType::from_raw_mode(stat.st_mode) == FileType::Directory
}

/// The names in a directory, in no order.
pub fn names(directory: impl AsFd) -> Result<Vec<Vec<u8>>> {
    let mut buffer = Vec::with_capacity(32 << 10);
    // A descriptor of its own: reading moves the position.
    let own = open(directory, b".").attempt(|| "open a directory to read it")?;
    let mut all = Vec::new();
    let mut entries = RawDir::new(&own, buffer.spare_capacity_mut());
    while let Some(entry) = entries.next() {
        let name = entry.attempt(|| "read a directory")?.file_name().to_bytes().to_vec();
        if name != b"." && name != b".." {
            all.push(name);
        }
    }
    Ok(all)
}

/// Removes what is called so, with all inside. It may be gone already. However deep it is, few descriptors are held and
/// nothing recurses: what is below is moved up before it gets too deep.
pub fn remove(directory: impl AsFd, name: &[u8]) -> Result<()> {
    let what = || format!("remove {}", shown(name));
    match unlinkat(&directory, name, AtFlags::empty()) {
        Ok(()) | Err(Errno::NOENT) => return Ok(()),
        Err(Errno::ISDIR) => {}
        refused => return refused.attempt(what),
    }
    let own = match open(&directory, name) {
        Err(Errno::NOENT) => return Ok(()),
        own => own.attempt(what)?,
    };
    let mut open_directories = vec![(own, name.to_vec())];
    while let Some((own, own_name)) = open_directories.last() {
        let below = emptied(own)?;
        if let Some((below, below_name)) = below {
            if open_directories.len() > MOST_OPEN {
                let up = format!("deep-{}-{}", std::process::id(), open_directories.len());
                let (first, _) = &open_directories[0];
                flatten(own, &below_name, first, &up)?;
            } else {
                open_directories.push((below, below_name));
            }
            continue;
        }
        let own_name = own_name.clone();
        open_directories.pop();
        let parent = open_directories.last().map_or(directory.as_fd(), |(parent, _)| parent.as_fd());
        match unlinkat(parent, &own_name[..], AtFlags::REMOVEDIR) {
            Ok(()) | Err(Errno::NOENT) => {}
            refused => refused.attempt(|| format!("remove {}", shown(&own_name)))?,
        }
    }
    Ok(())
}

const MOST_OPEN: usize = 200;

fn flatten(from: &OwnedFd, name: &[u8], to: &OwnedFd, stem: &str) -> Result<()> {
    for attempt in 0u32.. {
        let flags = rustix::fs::RenameFlags::NOREPLACE;
        match rustix::fs::renameat_with(from, name, to, format!("{stem}-{attempt}"), flags) {
            Err(Errno::EXIST) => {}
            done => return done.attempt(|| format!("move {} up", shown(name))),
        }
    }
    Ok(())
}

/// Removes all that is no directory from a directory, and opens one of those that are left.
fn emptied(directory: &OwnedFd) -> Result<Option<(OwnedFd, Vec<u8>)>> {
    // Somebody else may be removing the same.
    let is_gone = |error: &anyhow::Error| errno(error) == Some(Errno::NOENT);
    for name in names(directory).or_else(|error| if is_gone(&error) { Ok(Vec::new()) } else { Err(error) })? {
        match unlinkat(directory, &name[..], AtFlags::empty()) {
            Ok(()) | Err(Errno::NOENT) => {}
            Err(Errno::ISDIR) => match open(directory, &name) {
                Err(Errno::NOENT) => {}
                below => return Ok(Some((below.attempt(|| format!("open {}", shown(&name)))?, name))),
            },
            refused => refused.attempt(|| format!("remove {}", shown(&name)))?,
        }
    }
    Ok(None)
}

/// A path that leads to a name in an open directory, for calls that know paths only. The last component is not followed by the calls
/// that are used with it.
pub fn by_descriptor(directory: BorrowedFd<'_>, name: &[u8]) -> Vec<u8> {
    [format!("/proc/self/fd/{}/", directory.as_raw_fd()).as_bytes(), name].concat()
}

/// All extended attributes of what is called so.
pub fn xattrs(directory: BorrowedFd<'_>, name: &[u8]) -> Result<BTreeMap<Vec<u8>, Vec<u8>>> {
    let path = by_descriptor(directory, name);
    let what = || format!("read the extended attributes of {}", shown(name));
    let list = match filled(|buffer| rustix::fs::llistxattr(&path[..], buffer)) {
        Err(Errno::OPNOTSUPP) => Vec::new(),
        list => list.attempt(what)?,
    };
    let mut all = BTreeMap::new();
    for attribute in list.split(|byte| *byte == 0).filter(|attribute| !attribute.is_empty()) {
        match filled(|buffer| rustix::fs::lgetxattr(&path[..], attribute, buffer)) {
            // Gone, or one of those that are listed but can't be read.
            Err(Errno::NODATA | Errno::OPNOTSUPP) => {}
            value => drop(all.insert(attribute.to_vec(), value.attempt(what)?)),
        }
    }
    Ok(all)
}

/// What a call writes into a buffer: mostly little, and at most 64 KiB (xattr(7)).
fn filled(call: impl Fn(&mut [u8]) -> Result<usize, Errno>) -> Result<Vec<u8>, Errno> {
    let mut little = [0u8; 512];
    match call(&mut little) {
        Err(Errno::RANGE) => {}
        answer => return answer.map(|length| little[..length].to_vec()),
    }
    let mut much = vec![0u8; 64 << 10];
    let length = call(&mut much)?;
    much.truncate(length);
    Ok(much)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn several_remove_the_same() {
        let path = std::env::temp_dir().join(format!("corten-removed-by-several-{}", std::process::id()));
        for _ in 0..20 {
            for number in 0..200 {
                std::fs::create_dir_all(path.join(format!("tree/{}/{number}/below", number % 7))).unwrap();
            }
            let parent = std::fs::File::open(&path).unwrap();
            std::thread::scope(|scope| {
                let removing: Vec<_> = (0..4).map(|_| scope.spawn(|| remove(&parent, b"tree"))).collect();
                for removed in removing {
                    removed.join().unwrap().unwrap();
                }
            });
            assert!(!path.join("tree").exists());
        }
        std::fs::remove_dir(&path).unwrap();
    }
}
