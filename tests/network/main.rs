//! Networks of containers, with real traffic: hosts and containers are network namespaces.
//!
//! They need root, iproute2, nftables and strace, and a kernel with nftables, bridges and veth.

#![allow(unreachable_pub, reason = "a test program has no outside")]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking, wherever it is")]

mod harness;

mod commands;
mod crash;
mod names;
mod state;
mod traffic;
