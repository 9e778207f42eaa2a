//! Which devices a container may use: `linux.resources.devices` → rules → a program that the kernel asks at each access.
//!
//! cgroup v2 has no files for this. A program of type BPF_PROG_TYPE_CGROUP_DEVICE is attached to the group instead; the
//! kernel runs it when a process in the group opens or makes a device node.

mod attach;
mod program;
mod rule;

pub use program::Program;
pub use rule::{ALWAYS_ALLOWED, Access, Kind, Rule, rules};
