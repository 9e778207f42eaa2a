//! cgroup v2: the tree in which a container's processes are counted, limited, frozen and killed.
//!
//! [`Hierarchy`] says where cgroup2 is mounted, [`path_of`] which group a container gets, and [`Group`] is that group:
//! made, opened for `CLONE_INTO_CGROUP`, listed, frozen, killed and removed. A group is known by its path alone, so that
//! whatever a runtime that died left behind can be found and removed by the next one.
//!
//! Limits go two steps: [`plan`] turns `linux.resources` into values for files, without asking the kernel, and
//! [`Group::apply`] enables the controllers they need and writes them; [`Group::update`] changes them in flight. Devices are
//! decided by a program ([`devices`]). [`statistics`] and [`Watch`] say what goes on in a group. With [`systemd`] it is
//! systemd that makes the group.
//!
//! Only cgroup v2 is driven. On a hybrid host its mount is found wherever it is.

mod controllers;
mod delegation;
pub mod devices;
mod events;
mod file;
mod freezer;
mod group;
mod hierarchy;
mod limits;
mod manager;
mod path;
pub mod plan;
mod process;
mod rootless;
#[cfg(test)]
mod scratch;
pub mod statistics;
pub mod systemd;
mod tree;
mod update;
mod watch;

pub use group::Group;
pub use hierarchy::Hierarchy;
pub use manager::Manager;
pub use path::path_of;
pub use rootless::may_do_without_group;
pub use update::merge;
use update::with_partners;
pub use watch::{Happening, Watch};

use std::time::Duration;

/// How long the kernel may take to freeze a group or to see its last process leave, before that is an error.
///
/// Nobody sleeps for it: `cgroup.events` wakes the waiting side. It bounds what a process in uninterruptible sleep can
/// hold up.
pub const PATIENCE: Duration = Duration::from_secs(10);
