//! landlock(7): what a process, and all that it starts, may do with files from now on.
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::ptr;

use rustix::io::Result;

use super::check;

bitflags::bitflags! {
    /// `LANDLOCK_ACCESS_FS_*`, linux/landlock.h.
    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    pub struct Access: u64 {
        /// Execute a file.
        const EXECUTE = 1 << 0;
        /// Open a file for writing.
        const WRITE_FILE = 1 << 1;
        /// Open a file for reading.
        const READ_FILE = 1 << 2;
        /// List a directory.
        const READ_DIR = 1 << 3;
        /// Remove what is in a directory, or make something in it: of each kind.
        const CHANGE_DIR = 0x1ff << 4;
        /// Move or link a file from one directory to another.
        const REFER = 1 << 13;
        /// Cut a file short.
        const TRUNCATE = 1 << 14;
        /// ioctl(2) on a device.
        const IOCTL_DEV = 1 << 15;

        /// What can be done with something that is no directory.
        const OF_FILES = Self::EXECUTE.bits() | Self::WRITE_FILE.bits() | Self::READ_FILE.bits() | Self::TRUNCATE.bits()
            | Self::IOCTL_DEV.bits();
    }
}

const NO_FLAGS: libc::c_ulong = 0;

/// `struct landlock_path_beneath_attr`.
#[repr(C, packed)]
struct PathBeneath {
    allowed: u64,
    parent: i32,
}

/// Rules that are not in force yet.
#[derive(Debug)]
pub struct Ruleset(OwnedFd);

/// The version of Landlock that the kernel has.
pub fn version() -> Result<u32> {
    const VERSION: libc::c_ulong = 1;
    // SAFETY: a null pointer of length 0 is what this flag wants.
    let version = unsafe { libc::syscall(libc::SYS_landlock_create_ruleset, ptr::null::<u64>(), 0_usize, VERSION) };
    check(version).map(|version| version as u32)
}

impl Ruleset {
    /// Rules by which nothing of this is allowed.
    pub fn of(handled: Access) -> Result<Ruleset> {
        // The first member of struct landlock_ruleset_attr; what a kernel doesn't get is 0.
        let attribute = handled.bits();
        // SAFETY: the attribute is as long as is said.
        let ruleset = unsafe {
            libc::syscall(libc::SYS_landlock_create_ruleset, &raw const attribute, size_of_val(&attribute), NO_FLAGS)
        };
        let ruleset = check(ruleset)?;
        // SAFETY: a new descriptor that nobody else owns; the kernel makes it close-on-exec.
        Ok(Ruleset(unsafe { OwnedFd::from_raw_fd(ruleset as i32) }))
    }

    /// Allows something to be done with what is there, and all that is below.
    pub fn allow(&self, access: Access, beneath: BorrowedFd<'_>) -> Result<()> {
        const PATH_BENEATH: libc::c_long = 1;
        let rule = PathBeneath { allowed: access.bits(), parent: beneath.as_raw_fd() };
        let ruleset = self.0.as_fd().as_raw_fd();
        // SAFETY: the rule outlives the call.
        let added =
            unsafe { libc::syscall(libc::SYS_landlock_add_rule, ruleset, PATH_BENEATH, &raw const rule, NO_FLAGS) };
        check(added).map(drop)
    }

    /// Puts the rules in force for this thread; without no_new_privs it takes CAP_SYS_ADMIN.
    pub fn restrict(self) -> Result<()> {
        // SAFETY: numbers go in.
        let restricted = unsafe { libc::syscall(libc::SYS_landlock_restrict_self, self.0.as_raw_fd(), NO_FLAGS) };
        check(restricted).map(drop)
    }
}
