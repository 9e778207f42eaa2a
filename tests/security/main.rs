//! Attacks on the runtime: each known way out of a container is tried, and each wall of `DESIGN` is leaned on.
//!
//! A test performs the attack: what an image, a program in a container, or a neighbour who shares a volume can do. It
//! passes when the host is as it was before and nothing of it was seen inside; whether the runtime refuses the
//! container or starts it harmlessly is asked for only where it matters.
//!
//! | known hole | file |
//! | --- | --- |
//! | CVE-2016-3697 users by name | [`users`] |
//! | CVE-2016-9962 a joining process can be traced | [`joining`] |
//! | CVE-2019-5736 the runtime's program overwritten | [`executable`] |
//! | CVE-2019-16884, 2019-19921, 2023-27561, 2023-28642 a false /proc or /sys | [`proc_and_sys`] |
//! | CVE-2021-30465, 2024-45310 exchanged mount targets | [`races`] |
//! | CVE-2021-43784 lengths that overflow | [`overflows`] |
//! | CVE-2022-29162 inheritable capabilities | [`capabilities`] |
//! | CVE-2023-25809 a writable cgroup tree | [`cgroups`] |
//! | CVE-2024-21626 leaked descriptors | [`descriptors`] |
//! | CVE-2025-31133 masks of something else | [`masks`] |
//! | CVE-2025-52565 a console of something else | [`console`] |
//! | CVE-2025-52881 writes to /proc redirected | [`procfs`] |
//! | CVE-2026-41579 /dev as a link | [`dev`] |
//!
//! Which wall each of them runs against, and what happens without it: `README.md` beside this file.

#![allow(unreachable_pub, reason = "a test program has no outside")]

#[path = "../runtime/harness/mod.rs"]
#[allow(dead_code, unused_imports, reason = "the harness serves the tests of tests/runtime, too")]
mod harness;

mod attacker;
mod capabilities;
mod cgroups;
mod confusion;
mod console;
mod descriptors;
mod dev;
mod executable;
mod joining;
mod keyrings;
mod masks;
mod overflows;
mod proc_and_sys;
mod procfs;
mod races;
mod rootless;
mod stdio;
mod users;
