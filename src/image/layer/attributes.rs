//! Owner, permissions, extended attributes and times: set in the one order in which none undoes another.

use std::collections::{BTreeMap, BTreeSet};
use std::os::fd::{AsFd, BorrowedFd};

use anyhow::Result;
use rustix::fs::{
    AtFlags, Gid, Mode, Stat, Timespec, Timestamps, Uid, XattrFlags, chmodat, chownat, fchmod, fchown, fsetxattr,
    futimens, lsetxattr, utimensat,
};
use rustix::io::Errno;

use super::form::Form;
use super::tree;
use crate::error::Attempt;
use crate::image::tar::{Entry, Kind, Time, shown};

/// What is inherited by what is made in a directory, and so is set when nothing more is made there.
pub const DEFAULT_ACL: &[u8] = b"system.posix_acl_default";

/// The attributes of a file, in the form in which they are on disk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attributes {
    /// Permissions, with the set-id and sticky bits.
    pub mode: u32,
    /// The owner.
    pub uid: u32,
    /// The group.
    pub gid: u32,
    /// When the content changed.
    pub modified: Time,
    /// Extended attributes under the names that they have on disk.
    pub xattrs: BTreeMap<Vec<u8>, Vec<u8>>,
}

impl Attributes {
    /// Those of an archive's entry, with the names of extended attributes as they are stored.
    pub fn of_entry(entry: &Entry, form: Form) -> Attributes {
        let stored = |(name, value): (&Vec<u8>, &Vec<u8>)| Some((form.stored(name)?, value.clone()));
        let xattrs = entry.xattrs.iter().filter_map(stored).collect();
        Attributes { mode: entry.mode, uid: entry.uid, gid: entry.gid, modified: entry.modified, xattrs }
    }

    /// Those of what is on disk, without overlayfs's own.
    pub fn of_file(directory: BorrowedFd<'_>, name: &[u8], stat: &Stat, form: Form) -> Result<Attributes> {
        let mut xattrs = tree::xattrs(directory, name)?;
        xattrs.retain(|name, _| form.original(name).is_some());
        let modified = time_of(stat);
        Ok(Attributes { mode: stat.st_mode & 0o7777, uid: stat.st_uid, gid: stat.st_gid, modified, xattrs })
    }

    /// An archive's entry with them, with the names of extended attributes as archives have them.
    pub fn into_entry(self, path: impl Into<Vec<u8>>, kind: Kind, form: Form) -> Entry {
        let original = |(name, value): (Vec<u8>, Vec<u8>)| Some((form.original(&name)?, value));
        Entry {
            mode: self.mode,
            uid: self.uid,
            gid: self.gid,
            modified: self.modified,
            xattrs: self.xattrs.into_iter().filter_map(original).collect(),
            ..Entry::new(path, kind, 0)
        }
    }
}

/// The time of the last change of the content.
pub fn time_of(stat: &Stat) -> Time {
    Time { seconds: stat.st_mtime, nanoseconds: stat.st_mtime_nsec as u32 }
}

/// What could not be kept, once for each kind of thing.
pub type Warnings = BTreeSet<String>;

/// Sets everything but the time of an open file or directory: chown(2) clears set-id bits and capabilities, so it is first.
pub fn set(file: impl AsFd, wanted: &Attributes, warnings: &mut Warnings) -> Result<()> {
    fchown(&file, Some(Uid::from_raw(wanted.uid)), Some(Gid::from_raw(wanted.gid))).attempt(|| owner(wanted))?;
    fchmod(&file, Mode::from_raw_mode(wanted.mode)).attempt(|| format!("set the mode {:o}", wanted.mode))?;
    for (name, value) in wanted.xattrs.iter().filter(|(name, _)| *name != DEFAULT_ACL) {
        xattr(fsetxattr(&file, &name[..], value, XattrFlags::empty()), name, true, warnings)?;
    }
    Ok(())
}

fn owner(wanted: &Attributes) -> String {
    let hint = match Form::of_process() {
        Form::Trusted => "",
        Form::User => " (an id that isn't among the subordinate ids of /etc/subuid and /etc/subgid can't be given)",
    };
    format!("set the owner {}:{}{hint}", wanted.uid, wanted.gid)
}

/// Sets the default ACL of a directory, if there is one, and its time.
pub fn set_last(directory: impl AsFd, time: Time, acl: Option<&Vec<u8>>, warnings: &mut Warnings) -> Result<()> {
    if let Some(acl) = acl {
        xattr(fsetxattr(&directory, DEFAULT_ACL, acl, XattrFlags::empty()), DEFAULT_ACL, true, warnings)?;
    }
    set_time(directory, time)
}

/// Sets the time of an open file or directory.
pub fn set_time(file: impl AsFd, time: Time) -> Result<()> {
    futimens(file, &times(time)).attempt(|| format!("set the time {}", time.seconds))
}

/// Sets everything of what can't be opened: links, devices, pipes. It was just made, so the name leads to it.
pub fn set_by_name(
    directory: BorrowedFd<'_>,
    name: &[u8],
    wanted: &Attributes,
    is_link: bool,
    warnings: &mut Warnings,
) -> Result<()> {
    let (uid, gid) = (Some(Uid::from_raw(wanted.uid)), Some(Gid::from_raw(wanted.gid)));
    chownat(directory, name, uid, gid, AtFlags::SYMLINK_NOFOLLOW).attempt(|| owner(wanted))?;
    if !is_link {
        chmodat(directory, name, Mode::from_raw_mode(wanted.mode), AtFlags::empty())
            .attempt(|| format!("set the mode {:o}", wanted.mode))?;
    }
    if !wanted.xattrs.is_empty() {
        let path = tree::by_descriptor(directory, name);
        for (name, value) in &wanted.xattrs {
            xattr(lsetxattr(&path[..], &name[..], value, XattrFlags::empty()), name, false, warnings)?;
        }
    }
    utimensat(directory, name, &times(wanted.modified), AtFlags::SYMLINK_NOFOLLOW)
        .attempt(|| format!("set the time {}", wanted.modified.seconds))
}

fn times(time: Time) -> Timestamps {
    let at = Timespec { tv_sec: time.seconds, tv_nsec: time.nanoseconds.into() };
    Timestamps { last_access: at, last_modification: at }
}

/// What a file system has no room for, or this user no right to, is a warning; everything else is an error.
fn xattr(answer: Result<(), Errno>, name: &[u8], is_plain: bool, warnings: &mut Warnings) -> Result<()> {
    let name = shown(name);
    match answer {
        Err(Errno::OPNOTSUPP) => {
            warnings.insert(format!("extended attribute {name}: the file system doesn't keep it"));
        }
        // user.* is for files and directories only (xattr(7)); the rest needs privilege over the initial namespace.
        Err(Errno::PERM) if !is_plain || Form::of_process() == Form::User => {
            warnings.insert(format!("extended attribute {name}: not permitted"));
        }
        answer => answer.attempt(|| format!("set the extended attribute {name}"))?,
    }
    Ok(())
}
