//! Which directory it was: so that it can be told of one that is not at its path whether it is gone for good. It may have another name, or
//! be on a disk that isn't mounted now.

use std::fs::File;
use std::io::ErrorKind;
use std::os::fd::AsFd;
use std::path::Path;

use rustix::fs::{fstatfs, fstatvfs};
use rustix::io::Errno;

use crate::image::mount::boot;
use crate::sys::handle::{self, Handle};

/// File systems whose own id is the one that they were made with, linux/magic.h: ext4 and btrfs. Others have a device's number or a random
/// one, which mean something else when the machine has started again.
const OF_THEIR_OWN: [u64; 2] = [0xef53, 0x9123_683e];

/// A directory, as its file system knows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Identity {
    boot: String,
    kind: u64,
    file_system: u64,
    handle: Handle,
}

impl Identity {
    /// None where the file system has no handles.
    pub(super) fn of(directory: &Path) -> Option<Identity> {
        let directory = File::open(directory).ok()?;
        let (kind, file_system) = file_system(&directory)?;
        Some(Identity { boot: boot().ok()?, kind, file_system, handle: handle::of(directory.as_fd()).ok()? })
    }

    /// As it is written down.
    pub(super) fn text(&self) -> String {
        let Identity { boot, kind, file_system, handle } = self;
        let bytes: String = handle.bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        format!("{boot} {kind:x} {file_system:x} {} {bytes}\n", handle.kind)
    }

    pub(super) fn parse(text: &str) -> Option<Identity> {
        let words: Vec<&str> = text.split_whitespace().collect();
        let [boot, kind, file_system, kind_of_handle, bytes] = words[..] else { return None };
        let number = |text| u64::from_str_radix(text, 16).ok();
        let byte = |at| u8::from_str_radix(bytes.get(at..at + 2)?, 16).ok();
        let bytes = (0..bytes.len()).step_by(2).map(byte).collect::<Option<_>>()?;
        let handle = Handle { kind: kind_of_handle.parse().ok()?, bytes };
        Some(Identity { boot: boot.into(), kind: number(kind)?, file_system: number(file_system)?, handle })
    }

    /// Whether the file system that it was in is where it was, and has it no more; another one may have its path. Whatever can't be told is a no.
    pub(super) fn is_gone(&self, path: &Path) -> bool {
        let mut found = None;
        for above in path.ancestors() {
            match File::open(above) {
                Err(error) if error.kind() == ErrorKind::NotFound => {}
                opened => {
                    found = opened.ok();
                    break;
                }
            }
        }
        let Some(above) = found else { return false };
        let is_known = OF_THEIR_OWN.contains(&self.kind) || boot().is_ok_and(|boot| boot == self.boot);
        is_known
            && file_system(&above) == Some((self.kind, self.file_system))
            && handle::open(above.as_fd(), &self.handle).is_err_and(|error| error == Errno::STALE)
    }
}

/// The kind, and which one of these.
fn file_system(file: &File) -> Option<(u64, u64)> {
    let kind = fstatfs(file).ok()?.f_type;
    Some((kind.cast_unsigned(), fstatvfs(file).ok()?.f_fsid))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read() {
        let handle = Handle { kind: -2, bytes: vec![0, 0xff, 0x10] };
        let identity = Identity { boot: "a-b".into(), kind: 0xef53, file_system: u64::MAX, handle };
        assert_eq!(identity.text(), "a-b ef53 ffffffffffffffff -2 00ff10\n");
        assert_eq!(Identity::parse(&identity.text()), Some(identity));
        for text in ["", "a-b ef53 1 1", "a-b ef53 1 1 0", "a-b ef53 1 1 zz", "a-b x 1 1 00", "a-b ef53 1 1 00 00"] {
            assert_eq!(Identity::parse(text), None, "{text}");
        }
    }
}
