//! `linux.resources.memory`.

use std::sync::LazyLock;

use serde_json::json;

use crate::group::{Group, MIB};
use crate::harness::{Bundle, host};

/// A shell function that uses so much memory at once, for a moment, and says in which way that went. Not with zeros, for
/// which the kernel needs neither memory nor swap once it has noticed.
const USE: &str = "use() { dd if=/dev/urandom of=/dev/null bs=$1 count=1 iflag=fullblock 2>/dev/null && echo $1 fits >&2 || echo $1 ended with $? >&2; }; ";

#[test]
fn a_program_that_exceeds_the_limit_is_killed() {
    let mut bundle = Bundle::script(&format!("{USE} use 16M; use 64M; exec sleep infinity"));
    bundle.config.set("/linux/resources/memory", json!({"limit": 32 * MIB, "swap": 32 * MIB}));
    let (container, said) = bundle.start_until("64M ended with 137\n");
    assert!(said.contains("16M fits\n"), "{said}");
    let group = Group::of(&container);
    group.holds(&[("memory.max", "33554432"), ("memory.swap.max", "0")]);
    assert_eq!(group.count("memory.events", "oom_kill"), 1);
    assert!(group.number("memory.peak") <= 32 << 20, "{}", group.read("memory.peak"));
    assert_eq!(container.status(), "running", "the rest of the container lives on");
}

#[test]
fn the_container_ends_when_its_first_process_is_killed() {
    let mut bundle = Bundle::script("exec dd if=/dev/zero of=/dev/null bs=64M count=1");
    bundle.config.set("/linux/resources/memory", json!({"limit": 32 * MIB, "swap": 32 * MIB}));
    let ran = bundle.run();
    assert_eq!(ran.code, 137, "{ran}");
}

#[test]
fn swap_is_counted_with_the_memory() {
    static SWAP: LazyLock<()> = LazyLock::new(|| {
        host("cd /var/tmp; dd if=/dev/zero of=swap bs=1M count=256; chmod 600 swap; mkswap swap; swapon swap");
    });
    LazyLock::force(&SWAP);
    let mut bundle = Bundle::script(&format!("{USE} use 64M; use 160M; exec sleep infinity"));
    bundle.config.set("/linux/resources/memory", json!({"limit": 32 * MIB, "swap": 128 * MIB}));
    let (container, said) = bundle.start_until("160M ended with 137\n");
    assert!(said.contains("64M fits\n"), "{said}");
    let group = Group::of(&container);
    group.holds(&[("memory.max", "33554432"), ("memory.swap.max", "100663296")]);
    assert!(group.number("memory.swap.peak") > 24 << 20, "{}", group.read("memory.swap.peak"));
}

#[test]
fn a_reservation_is_memory_that_is_protected() {
    let mut bundle = Bundle::staying();
    bundle.config.set("/linux/resources/memory", json!({"limit": 32 * MIB, "reservation": 8 * MIB}));
    Group::of(&bundle.start()).holds(&[("memory.max", "33554432"), ("memory.low", "8388608")]);
}

#[test]
fn no_limit_is_no_limit() {
    let mut bundle = Bundle::staying();
    bundle.config.set("/linux/resources/memory", json!({"limit": -1, "swap": -1, "reservation": 0}));
    Group::of(&bundle.start()).holds(&[("memory.max", "max"), ("memory.swap.max", "max"), ("memory.low", "0")]);
}

#[test]
fn a_static_program_starts_within_half_a_mebibyte() {
    let mut bundle = Bundle::new();
    bundle.config.set("/linux/resources/memory", json!({"limit": 512 << 10, "swap": 512 << 10}));
    bundle.config.args(["true"]);
    let ran = bundle.run();
    assert_eq!(ran.code, 0, "{ran}");
}

#[test]
fn unified_reaches_the_files_that_nothing_else_does() {
    let mut bundle = Bundle::staying();
    let unified = json!({"memory.high": "25165824", "memory.oom.group": "1", "memory.max": "50331648"});
    bundle.config.set("/linux/resources/memory/limit", 32 * MIB).set("/linux/resources/unified", unified);
    let expected = [("memory.high", "25165824"), ("memory.oom.group", "1"), ("memory.max", "50331648")];
    Group::of(&bundle.start()).holds(&expected);
}

#[test]
fn a_group_that_dies_together_does() {
    let mut bundle = Bundle::script("dd if=/dev/zero of=/dev/null bs=64M count=1 || :; sleep infinity");
    bundle.config.set("/linux/resources/memory", json!({"limit": 32 * MIB, "swap": 32 * MIB}));
    bundle.config.set("/linux/resources/unified", json!({"memory.oom.group": "1"}));
    let container = bundle.start();
    assert_eq!(container.process.wait(), 137);
}
