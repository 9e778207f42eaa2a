//! Quotas of projects: which one a directory is of (ioctl_xfs_fsgetxattr(2)), and how much that may have (quotactl_fd(2)).

use std::os::fd::{AsRawFd, BorrowedFd};

use rustix::io::Result;

use super::check;

/// The kernel's `struct fsxattr`.
#[repr(C)]
#[derive(Debug, Clone, Copy, Default)]
struct Attributes {
    flags: u32,
    extent_size: u32,
    extents: u32,
    project: u32,
    copy_extent_size: u32,
    padding: [u8; 8],
}

/// _IOR('X', 31, struct fsxattr) and _IOW('X', 32, struct fsxattr), linux/fs.h.
const GET_ATTRIBUTES: libc::Ioctl = 0x801c_581f;
const SET_ATTRIBUTES: libc::Ioctl = 0x401c_5820;
/// FS_XFLAG_PROJINHERIT: what is made in the directory is of its project, too.
const INHERITED: u32 = 0x200;

/// Makes a directory, and what will be made in it, a project's.
pub fn set_project(directory: BorrowedFd<'_>, project: u32) -> Result<()> {
    let mut attributes = Attributes::default();
    // SAFETY: the kernel writes a structure of the size that is part of the request's number.
    check(unsafe { libc::ioctl(directory.as_raw_fd(), GET_ATTRIBUTES, &raw mut attributes) }.into())?;
    attributes.project = project;
    attributes.flags |= INHERITED;
    // SAFETY: the kernel reads a structure of that size.
    check(unsafe { libc::ioctl(directory.as_raw_fd(), SET_ATTRIBUTES, &raw const attributes) }.into()).map(drop)
}

/// The kernel's `struct fs_disk_quota`, linux/dqblk_xfs.h. Blocks are of 512 bytes.
#[repr(C)]
#[derive(Debug, Clone, Copy, Default)]
struct Limits {
    version: i8,
    flags: i8,
    fields: u16,
    id: u32,
    blocks_hard: u64,
    blocks_soft: u64,
    inodes_hard: u64,
    inodes_soft: u64,
    blocks: u64,
    inodes: u64,
    rest: [u64; 7],
}

/// QCMD(Q_XGETQUOTA, PRJQUOTA) and QCMD(Q_XSETQLIM, PRJQUOTA).
const GET_QUOTA: libc::c_uint = (0x5803 << 8) | 2;
const SET_LIMITS: libc::c_uint = (0x5804 << 8) | 2;
/// FS_DQ_BSOFT | FS_DQ_BHARD.
const BLOCKS: u16 = 0b1100;

fn control(file_system: BorrowedFd<'_>, command: libc::c_uint, project: u32, limits: &mut Limits) -> Result<()> {
    // SAFETY: both commands take a structure of this type, which is alive until the call is over.
    let done = unsafe {
        libc::syscall(libc::SYS_quotactl_fd, file_system.as_raw_fd(), command, project, std::ptr::from_mut(limits))
    };
    check(done).map(drop)
}

/// Whether a project has something in a file system, or is limited there.
pub fn is_used(file_system: BorrowedFd<'_>, project: u32) -> Result<bool> {
    let mut found = Limits::default();
    match control(file_system, GET_QUOTA, project, &mut found) {
        Err(rustix::io::Errno::NOENT) => Ok(false),
        asked => asked.map(|()| (found.blocks_hard, found.blocks, found.inodes) != (0, 0, 0)),
    }
}

/// Limits what a project may have in a file system; 0 is no limit.
pub fn limit(file_system: BorrowedFd<'_>, project: u32, bytes: u64) -> Result<()> {
    let blocks = bytes.div_ceil(512);
    let mut limits = Limits {
        version: 1,
        flags: 2,
        fields: BLOCKS,
        id: project,
        blocks_hard: blocks,
        blocks_soft: blocks,
        ..Limits::default()
    };
    control(file_system, SET_LIMITS, project, &mut limits)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_structures_are_as_long_as_the_kernels() {
        assert_eq!((size_of::<Attributes>(), size_of::<Limits>()), (28, 112));
        assert_eq!(std::mem::offset_of!(Limits, inodes), 48);
    }
}
