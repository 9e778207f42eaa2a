//! The Corten container runtime.
//!
//! A line a room; `ARCHITECTURE.md` says how data flows through them.

pub mod error; // one sentence, errno kept
pub mod spec; // config.json → Spec
pub mod sys; // the kernel's interfaces that rustix does not have
