//! `update`: limits of a container that runs.

use serde_json::{Value, json};

use crate::group::{Group, MIB};
use crate::harness::{Bundle, Container, Ran};

fn limited() -> Bundle {
    let mut bundle = Bundle::staying();
    bundle.config.set(
        "/linux/resources",
        json!({
            "devices": [{"allow": false, "access": "rwm"}],
            "memory": {"limit": 32 * MIB, "swap": 32 * MIB, "reservation": 8 * MIB},
            "cpu": {"shares": 512, "quota": 50_000, "period": 100_000, "cpus": "0-1"},
            "pids": {"limit": 100}
        }),
    );
    bundle
}

fn update(container: &Container, flags: &[&str]) -> Ran {
    container.call("update").args(flags).arg(&container.id).run()
}

fn update_from(container: &Container, resources: &Value) -> Ran {
    container.call("update").args(["--resources", "-", &container.id]).input(&resources.to_string()).run()
}

#[test]
fn a_raised_memory_limit_lets_more_be_used() {
    let bundle = limited();
    let container = bundle.start();
    let use_48 = ["dd", "if=/dev/zero", "of=/dev/null", "bs=48M", "count=1"];
    assert_eq!(container.exec(use_48).code, 137);
    let ran = update(&container, &["--memory", "64m", "--memory-swap", "64m"]);
    assert_eq!(ran.code, 0, "{ran}");
    Group::of(&container).holds(&[("memory.max", "67108864"), ("memory.swap.max", "0")]);
    assert_eq!(container.exec(use_48).code, 0);
}

#[test]
fn each_flag_is_in_its_file_and_the_rest_stays() {
    let bundle = limited();
    let container = bundle.start();
    let group = Group::of(&container);
    for (flags, file, expected) in [
        (&["--pids-limit", "50"][..], "pids.max", "50"),
        (&["--cpu-share", "2048"], "cpu.weight", "174"),
        (&["--cpu-quota", "20000"], "cpu.max", "20000 100000"),
        (&["--cpu-period", "50000"], "cpu.max", "20000 50000"),
        (&["--cpu-burst", "10000"], "cpu.max.burst", "10000"),
        (&["--cpu-quota", "-1", "--cpu-burst", "0"], "cpu.max", "max 50000"),
        (&["--cpuset-cpus", "1"], "cpuset.cpus", "1"),
        (&["--cpuset-mems", "0"], "cpuset.mems", "0"),
        (&["--memory-reservation", "4m"], "memory.low", "4194304"),
        (&["--memory", "48m", "--memory-swap", "96m"], "memory.max", "50331648"),
        (&["--memory-swap", "64m"], "memory.swap.max", "16777216"),
        (&["--memory-swap", "-1"], "memory.swap.max", "max"),
        (&["--pids-limit", "-1"], "pids.max", "max"),
        (&["--cpu-idle", "1"], "cpu.idle", "1"),
    ] {
        let ran = update(&container, flags);
        assert_eq!(ran.code, 0, "{ran}");
        group.holds(&[(file, expected)]);
    }
    group.holds(&[("memory.low", "4194304"), ("cpuset.cpus", "1"), ("memory.max", "50331648")]);
}

#[test]
fn a_document_says_what_changes() {
    let bundle = limited();
    let container = bundle.start();
    let resources = json!({
        "memory": {"limit": 64 * MIB, "swap": 80 * MIB},
        "cpu": {"quota": 30_000},
        "unified": {"memory.high": "60000000"}
    });
    let ran = update_from(&container, &resources);
    assert_eq!(ran.code, 0, "{ran}");
    Group::of(&container).holds(&[
        ("memory.max", "67108864"),
        ("memory.swap.max", "16777216"),
        ("cpu.max", "30000 100000"),
        ("pids.max", "100"),
        ("memory.high", "59998208"),
    ]);
}

#[test]
fn a_refused_update_leaves_everything_as_it_was() {
    let bundle = limited();
    let container = bundle.start();
    let group = Group::of(&container);
    for (resources, needles) in [
        (json!({"pids": {"limit": 7}, "cpu": {"quota": 20_000, "cpus": "99"}}), ["linux.resources.cpu.cpus", "\"99\""]),
        (
            json!({"memory": {"limit": 40 * MIB, "swap": 40 * MIB}, "unified": {"memory.high": "nonsense"}}),
            ["unified[\"memory.high\"]", "nonsense"],
        ),
        (json!({"memory": {"limit": 40 * MIB, "swap": 20 * MIB}}), ["linux.resources.memory.swap", "can't be below"]),
        (json!({"pids": {"limit": 9}, "cpu": {"quota": 5}}), ["linux.resources.cpu.quota", "cpu.max"]),
        (
            json!({"pids": {"limit": 9}, "hugepageLimits": [{"pageSize": "3MB", "limit": 0}]}),
            ["hugetlb.3MB.max", "no such parameter"],
        ),
    ] {
        update_from(&container, &resources).refused(&needles);
        group.holds(&[
            ("memory.max", "33554432"),
            ("memory.swap.max", "0"),
            ("memory.high", "max"),
            ("cpu.max", "50000 100000"),
            ("cpuset.cpus", "0-1"),
            ("pids.max", "100"),
        ]);
    }
    // What was refused is not on record either: the next update counts on what holds.
    let ran = update(&container, &["--memory-swap", "48m"]);
    assert_eq!(ran.code, 0, "{ran}");
    group.holds(&[("memory.swap.max", "16777216")]);
}

#[test]
fn a_limit_below_what_is_used_is_refused_when_asked() {
    let bundle = Bundle::script(
        "dd if=/dev/zero of=/dev/shm/file bs=1M count=16 2>/dev/null; echo full >&2; exec sleep infinity",
    );
    let (container, _) = bundle.start_until("full\n");
    let memory = |check: bool| json!({"memory": {"limit": 8 * MIB, "swap": 8 * MIB, "checkBeforeUpdate": check}});
    update_from(&container, &memory(true)).refused(&["linux.resources.memory", "checkBeforeUpdate"]);
    Group::of(&container).holds(&[("memory.max", "max")]);
    assert_eq!(container.status(), "running");
    // Unasked, the kernel makes room as it can, which here is by a kill.
    update_from(&container, &memory(false));
    assert_eq!(container.process.wait(), 137);
}

#[test]
fn a_container_that_is_paused_or_created_is_updated_too() {
    let bundle = limited();
    let container = bundle.create();
    assert_eq!(update(&container, &["--pids-limit", "60"]).code, 0);
    Group::of(&container).holds(&[("pids.max", "60")]);
    container.start();
    container.ok("pause");
    assert_eq!(update(&container, &["--pids-limit", "70"]).code, 0);
    Group::of(&container).holds(&[("pids.max", "70"), ("cgroup.freeze", "1")]);
    container.ok("resume");
    assert_eq!(container.shell("echo in"), "in\n");
}

#[test]
fn a_container_that_has_ended_is_not() {
    let bundle = limited();
    let container = bundle.start();
    container.stop();
    update(&container, &["--pids-limit", "60"]).refused(&["not running"]);
}
