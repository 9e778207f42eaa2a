//! A container's group as the host sees it.

use std::fs;
use std::path::PathBuf;

use crate::harness::Container;

#[path = "../group.rs"]
mod files;
pub use files::{Group, MOUNT_POINT};

pub const MIB: i64 = 1 << 20;

impl Group {
    /// The group that the kernel says the container's first process is in.
    #[track_caller]
    pub fn of(container: &Container) -> Group {
        Group::from_memberships(&container.proc_file("cgroup"))
    }
}

/// The group that this process is in.
pub fn own() -> PathBuf {
    Group::from_memberships(&fs::read_to_string("/proc/self/cgroup").expect("read the tests' own group")).0
}
