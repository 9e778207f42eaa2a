//! Nodes and links below `/dev`, made in a directory that was opened inside the root (CVE-2026-41579: `/dev` as a symlink).

use std::ffi::CStr;
use std::os::fd::AsFd;

use rustix::fs::{AtFlags, FileType, Gid, Mode, Uid, chownat, fstat, makedev, mknodat, symlinkat};
use rustix::io::Errno;

use super::{Fault, Init, Outcome, tree};
use crate::plan::step::{Destination, DeviceNode};

impl Init<'_> {
    /// What was made, or was there, is looked at and changed by its descriptor: in a volume that others share, the name may lead
    /// elsewhere by the next call. What was there and is as asked for stays as it is; it may be the host's.
    pub(super) fn make_device(&mut self, node: &DeviceNode) -> Outcome {
        let (directory, name) = tree::ensure_parent(self.root()?, node.path.relative())?;
        let kind = FileType::from_raw_mode(node.kind);
        let number = if kind == FileType::Fifo { 0 } else { makedev(node.number.0, node.number.1) };
        let made = match mknodat(&directory, name, kind, Mode::from_raw_mode(node.mode), number) {
            Err(Errno::EXIST) => false,
            result => result.map(|()| true)?,
        };
        let found = tree::open_nofollow(directory.as_fd(), name)?;
        let status = fstat(&found)?;
        if !tree::is(&status, kind) || (kind != FileType::Fifo && status.st_rdev != number) {
            // An image may have something of its own in place of a node that nobody named.
            if node.field.is_empty() {
                return Ok(());
            }
            let sentence = format!("make device {}: another file is there", node.path);
            return Err(Fault::new(Errno::EXIST, sentence));
        }
        if made && node.owner != (0, 0) {
            let (uid, gid) = (Uid::from_raw(node.owner.0), Gid::from_raw(node.owner.1));
            chownat(&found, c"", Some(uid), Some(gid), AtFlags::EMPTY_PATH)?;
        }
        Ok(())
    }

    pub(super) fn make_symlink(&mut self, path: &Destination, target: &CStr) -> Outcome {
        let (directory, name) = tree::ensure_parent(self.root()?, path.relative())?;
        match symlinkat(target, &directory, name) {
            Err(Errno::EXIST) => Ok(()),
            result => Ok(result?),
        }
    }
}
