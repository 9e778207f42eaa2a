//! The Corten container runtime.
//!
//! A line a room; `ARCHITECTURE.md` says how data flows through them.

pub mod cgroup; // cgroup v2: the tree, limits, devices, statistics
pub mod error; // one sentence, errno kept
mod mountinfo; // the table of mounts
pub mod seccomp; // profile → BPF, and the listener
pub mod spec; // config.json → Spec
pub mod sys; // the kernel's interfaces that rustix does not have
