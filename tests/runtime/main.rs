//! Black-box tests of the runtime: containers are run and looked at from inside and from outside.
//!
//! They need root, busybox-static and a C compiler, and nothing else. `CORTEN_TEST_RUNTIME=/usr/sbin/runc` runs them
//! against another runtime, to see that the tests themselves are right; `scripts/unified-host` gives them a host with
//! nothing but cgroup2.

#![allow(unreachable_pub, reason = "a test program has no outside")]

mod harness;

mod bad_input;
mod command_line;
mod crash;
mod descriptors;
mod devices;
mod engines_bundles;
mod exec;
mod hooks;
mod hostile;
mod landlock;
mod lifecycle;
mod mounts;
mod namespaces;
mod network_devices;
mod plan;
mod process;
mod seccomp;
mod seccomp_agent;
mod sysctl;
mod terminal;
mod users;
