//! mount_setattr(2).

use std::ffi::CStr;
use std::os::fd::{AsRawFd, BorrowedFd};

use rustix::io::Result;

use super::check;

/// AT_RECURSIVE: the whole tree below, not the one mount.
pub const RECURSIVE: u32 = libc::AT_RECURSIVE as u32;

/// The kernel's `struct mount_attr`.
#[repr(C)]
#[derive(Debug, Clone, Copy, Default)]
struct Attributes {
    set: u64,
    clear: u64,
    propagation: u64,
    user_namespace: u64,
}

fn set_attributes(mount: BorrowedFd<'_>, flags: u32, attributes: Attributes) -> Result<()> {
    let empty: &CStr = c"";
    let flags = flags | libc::AT_EMPTY_PATH as u32;
    // SAFETY: an empty C string and a structure of the size that is said, both alive until the call is over.
    check(unsafe {
        libc::syscall(
            libc::SYS_mount_setattr,
            mount.as_raw_fd(),
            empty.as_ptr(),
            flags,
            &raw const attributes,
            size_of::<Attributes>(),
        )
    })
    .map(drop)
}

/// Sets and clears MOUNT_ATTR_* of a mount, or with [`RECURSIVE`] of all mounts of its tree.
pub fn change(mount: BorrowedFd<'_>, set: u64, clear: u64, flags: u32) -> Result<()> {
    set_attributes(mount, flags, Attributes { set, clear, ..Attributes::default() })
}

/// Sets the propagation (MS_SHARED, MS_SLAVE, MS_PRIVATE or MS_UNBINDABLE).
pub fn propagate(mount: BorrowedFd<'_>, propagation: u64, flags: u32) -> Result<()> {
    set_attributes(mount, flags, Attributes { propagation, ..Attributes::default() })
}

/// Maps the owners of files by a user namespace (MOUNT_ATTR_IDMAP, Linux 5.12), on a mount that is not attached yet.
pub fn map_ids(mount: BorrowedFd<'_>, user_namespace: BorrowedFd<'_>, flags: u32) -> Result<()> {
    let attributes = Attributes {
        set: libc::MOUNT_ATTR_IDMAP,
        user_namespace: user_namespace.as_raw_fd() as u64,
        ..Attributes::default()
    };
    set_attributes(mount, flags, attributes)
}
