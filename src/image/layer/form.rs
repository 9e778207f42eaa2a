//! How overlayfs marks what a layer removes (Documentation/filesystems/overlayfs.rst).

use std::os::fd::AsFd;

use anyhow::Result;
use rustix::fs::{FileType, Mode, Stat, XattrFlags, fgetxattr, fsetxattr, makedev, mknodat};
use rustix::io::Errno;

use crate::error::Attempt;

/// Where overlayfs looks for its attributes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// `trusted.overlay.*`: mounts of root in the initial user namespace.
    Trusted,
    /// `user.overlay.*`: mounts inside a user namespace, with the option `userxattr`.
    User,
}

impl Form {
    /// The form that fits this process: root of the initial user namespace or not.
    pub fn of_process() -> Form {
        let whole = std::fs::read_to_string("/proc/self/uid_map")
            .is_ok_and(|map| map.split_ascii_whitespace().eq(["0", "0", "4294967295"]));
        if whole && rustix::process::geteuid().is_root() { Form::Trusted } else { Form::User }
    }

    /// Whether device nodes can be made.
    pub fn has_devices(self) -> bool {
        self == Form::Trusted
    }

    /// What the attributes of overlayfs begin with.
    pub fn prefix(self) -> &'static [u8] {
        match self {
            Form::Trusted => b"trusted.overlay.",
            Form::User => b"user.overlay.",
        }
    }

    fn opaque(self) -> &'static [u8] {
        match self {
            Form::Trusted => b"trusted.overlay.opaque",
            Form::User => b"user.overlay.opaque",
        }
    }

    /// Marks a directory as hiding all that is below it in other layers.
    pub fn make_opaque(self, directory: impl AsFd) -> Result<(), Errno> {
        fsetxattr(directory, self.opaque(), b"y", XattrFlags::empty())
    }

    /// Whether a directory hides all below it.
    pub fn is_opaque(self, directory: impl AsFd) -> Result<bool> {
        let mut value = [0u8; 4];
        match fgetxattr(directory, self.opaque(), &mut value[..]) {
            Ok(length) => Ok(&value[..length] == b"y"),
            Err(Errno::NODATA | Errno::OPNOTSUPP) => Ok(false),
            // Longer than four bytes: not the one letter.
            Err(Errno::RANGE) => Ok(false),
            refused => refused.attempt(|| "ask whether a directory is opaque").map(|_| false),
        }
    }

    /// The name under which an image's attribute is kept: an image must not say what only overlayfs says, so such names are
    /// escaped as overlayfs itself does it. None for what is not kept.
    pub fn stored(self, name: &[u8]) -> Option<Vec<u8>> {
        if matches!(name, b"security.selinux" | b"system.nfs4_acl") {
            // The host's policy and the host's file system.
            return None;
        }
        match name.strip_prefix(self.prefix()) {
            Some(rest) => Some([self.prefix(), b"overlay.", rest].concat()),
            None => Some(name.to_vec()),
        }
    }

    /// The name in the image of an attribute that is on disk. None for what is overlayfs's own or not kept.
    pub fn original(self, name: &[u8]) -> Option<Vec<u8>> {
        if matches!(name, b"security.selinux" | b"system.nfs4_acl") {
            return None;
        }
        let Some(rest) = name.strip_prefix(self.prefix()) else { return Some(name.to_vec()) };
        rest.strip_prefix(b"overlay.").map(|rest| [self.prefix(), rest].concat())
    }
}

/// Whether this is a whiteout.
pub fn is_whiteout(stat: &Stat) -> bool {
    FileType::from_raw_mode(stat.st_mode) == FileType::CharacterDevice && stat.st_rdev == 0
}

/// Makes a whiteout. It needs no privilege (Linux 5.8).
pub fn make_whiteout(directory: impl AsFd, name: &[u8]) -> Result<(), Errno> {
    mknodat(directory, name, FileType::CharacterDevice, Mode::empty(), makedev(0, 0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_image_can_not_forge_what_overlayfs_says() {
        let stored = Form::Trusted.stored(b"trusted.overlay.opaque").unwrap();
        assert_eq!(stored, b"trusted.overlay.overlay.opaque");
        assert_eq!(Form::Trusted.original(&stored).unwrap(), b"trusted.overlay.opaque");
        assert_eq!(Form::Trusted.original(b"trusted.overlay.opaque"), None);
        assert_eq!(Form::User.stored(b"user.overlay.redirect").unwrap(), b"user.overlay.overlay.redirect");
        assert_eq!(Form::User.stored(b"trusted.overlay.opaque").unwrap(), b"trusted.overlay.opaque");
        assert_eq!(Form::Trusted.stored(b"user.x").unwrap(), b"user.x");
        assert_eq!(Form::Trusted.stored(b"security.selinux"), None);
    }
}
