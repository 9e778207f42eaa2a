//! Black-box tests of `ctn`'s containers: looked at from inside and outside.
//!
//! They need root, busybox-static, uidmap and passt.

#![allow(unreachable_pub, reason = "a test program has no outside")]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking, wherever it is")]

mod harness;

#[path = "../helpers/lock.rs"]
mod lock;
#[path = "../runtime/harness/terminal.rs"]
#[allow(dead_code, reason = "it serves the tests of tests/runtime, too")]
mod pty;
#[path = "../runtime/harness/wait.rs"]
#[allow(dead_code, reason = "it serves the tests of tests/runtime, too")]
mod wait;

#[path = "../network/harness.rs"]
#[allow(dead_code, reason = "it serves the tests of tests/network, too")]
mod wire;

mod bad_input;
mod concurrency;
mod copy;
mod crash;
mod deep;
mod devices;
mod full_disk;
mod images;
mod inside;
mod lifecycle;
mod links;
mod lists;
mod logs;
mod many;
mod mapped_files;
mod monitor;
mod network;
mod rootless;
mod sources;
mod terminal;
mod user_namespace;
mod volumes;
