//! Black-box tests of `ctn`: archives go in and out of stores, and both are looked at from outside.
//!
//! They need root, busybox-static, strace and mkfs.ext4, and nothing else.

#![allow(unreachable_pub, reason = "a test program has no outside")]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking, wherever it is")]

mod harness;
mod server;

mod archives;
mod bad_input;
mod bundles;
mod commands;
mod concurrency;
mod crash;
mod monsters;
mod registry;
mod rootless;
