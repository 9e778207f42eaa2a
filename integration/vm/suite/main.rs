//! What needs a machine with all controllers of cgroup v2, systemd and AppArmor: limits that the kernel really holds.
//!
//! Each limit is seen twice: from outside, in the kernel's files, and from inside, by what a program can no longer do.
//! `integration/vm/run` builds this, and runs it in a virtual machine as root.

#![allow(unreachable_pub, reason = "a test program has no outside")]
#![allow(dead_code, reason = "what the black-box tests share with these is more than these need")]
#![allow(unused_imports, reason = "as above")]

#[path = "../../../tests/runtime/harness/mod.rs"]
mod harness;

mod group;

mod apparmor;
mod bad_input;
mod cpu;
mod cpuset;
mod delegated;
mod devices;
mod events;
mod hugetlb;
mod io;
mod machine;
mod many;
mod memory;
mod pids;
mod placement;
mod selinux;
mod systemd;
mod update;
