//! What of `ctn`'s containers needs a whole machine: limits that the kernel really holds, systemd's scopes, the journal, AppArmor, and
//! what comes after the machine's start.
//!
//! A limit is seen twice: from outside, in the kernel's files, and from inside, by what a program can no longer do.
//! `integration/vm/run` builds this, and runs it in a virtual machine as root, one test after the other.

#![allow(unreachable_pub, reason = "a test program has no outside")]
#![allow(dead_code, reason = "what the black-box tests share with these is more than these need")]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking, wherever it is")]

#[path = "../../../tests/engine/harness.rs"]
mod harness;
#[path = "../../../tests/runtime/harness/wait.rs"]
mod wait;

mod group;

mod apparmor;
mod blocks;
mod boot;
mod cpu;
mod journal;
mod memory;
mod pids;
mod quota;
mod scopes;
mod second_boot;
mod selinux;
mod stats;
mod update;
mod users;
