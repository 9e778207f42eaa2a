//! The Corten container runtime.
//!
//! A line a room; `ARCHITECTURE.md` says how data flows through them.

#[cfg(feature = "companion")]
mod aside; // work in a process of its own, whose result comes back
pub mod cgroup; // cgroup v2: the tree, limits, devices, statistics
pub mod cli; // the commands of corten: parse, call, print
#[cfg(feature = "companion")]
pub mod companion; // the commands of ctn: parse, call, print
pub mod container; // the state directory and the life cycle
#[cfg(feature = "companion")]
pub mod engine; // ctn's containers: records, monitors, logs
pub mod error; // one sentence, errno kept
#[cfg(any(test, fuzzing))]
#[doc(hidden)]
pub mod fuzzing; // what holds for every input
mod helper; // programs of others, with a limit of time
#[cfg(feature = "companion")]
pub mod image; // images: names, documents, the store, archives, layers
pub mod init; // the child: the interpreter of steps
pub mod launch; // the parent: preparations, clone, id maps, hooks, handshake
mod mountinfo; // the table of mounts
mod netlink; // requests of netlink(7) and their answers
#[cfg(feature = "companion")]
pub mod network; // networks of containers: bridges, addresses, rules, names
pub mod plan; // Spec + Host → Plan
pub mod seccomp; // profile → BPF, and the listener
pub mod security; // capabilities, the sealed executable
pub mod spec; // config.json → Spec
mod stdio; // whose the standard streams are
pub mod sys; // the kernel's interfaces that rustix does not have
