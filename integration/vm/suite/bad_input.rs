//! Limits that can't be: the error names the field, the file, the value and the kernel's answer, and nothing stays.

use serde_json::json;

use crate::harness::{Bundle, Config};

#[test]
fn limits_that_can_not_be_are_refused_and_nothing_stays() {
    let mut bundle = Bundle::new();
    for (resources, needles) in [
        (
            json!({"memory": {"limit": 1 << 25, "swap": 1 << 24}}),
            &["linux.resources.memory.swap", "can't be below"][..],
        ),
        (json!({"memory": {"limit": -5}}), &["linux.resources.memory.limit", "-5"]),
        (
            json!({"cpu": {"quota": 5}}),
            &["linux.resources.cpu.quota", "\"5 100000\"", "cpu.max", "invalid argument", "1000"],
        ),
        (json!({"cpu": {"period": 5}}), &["linux.resources.cpu.period", "cpu.max", "invalid argument"]),
        (json!({"cpu": {"period": 2_000_000}}), &["linux.resources.cpu.period", "cpu.max", "invalid argument"]),
        (
            json!({"cpu": {"quota": 2000, "burst": 9000}}),
            &["linux.resources.cpu.burst", "cpu.max.burst", "invalid argument"],
        ),
        (json!({"cpu": {"idle": 3}}), &["linux.resources.cpu.idle"]),
        (json!({"cpu": {"cpus": "0-99"}}), &["linux.resources.cpu.cpus", "cpuset.cpus", "\"0-99\""]),
        (
            json!({"cpu": {"cpus": "zero"}}),
            &["linux.resources.cpu.cpus", "cpuset.cpus", "\"zero\"", "invalid argument"],
        ),
        (json!({"cpu": {"mems": "7"}}), &["linux.resources.cpu.mems", "cpuset.mems", "\"7\""]),
        (json!({"blockIO": {"weight": 5}}), &["linux.resources.blockIO.weight", "5"]),
        (json!({"hugepageLimits": [{"pageSize": "2M", "limit": 1}]}), &["linux.resources.hugepageLimits[0].pageSize"]),
        (
            json!({"unified": {"memory.max": "lots"}}),
            &["linux.resources.unified[\"memory.max\"]", "\"lots\"", "invalid argument"],
        ),
        (json!({"unified": {"../memory.max": "1"}}), &["linux.resources.unified"]),
        (
            json!({"unified": {"nonesuch.max": "1"}}),
            &["linux.resources.unified[\"nonesuch.max\"]", "controller", "nonesuch"],
        ),
        (json!({"rdma": {"nonesuch0": {"hcaHandles": 1}}}), &["linux.resources.rdma", "nonesuch0"]),
    ] {
        bundle.config = Config::usual();
        bundle.config.set("/linux/resources", resources);
        bundle.refused(needles);
    }
}

#[test]
fn paths_that_lead_nowhere_good_are_refused() {
    let mut bundle = Bundle::new();
    for path in ["../../x", "/a/../../b", "/", "a\nb"] {
        bundle.config.set("/linux/cgroupsPath", path);
        bundle.refused(&["linux.cgroupsPath"]);
    }
}

#[test]
fn a_group_that_is_in_use_is_refused_and_left_alone() {
    let bundle = Bundle::staying();
    let first = bundle.start();
    let mut second = Bundle::staying();
    second.config.set("/linux/cgroupsPath", first.id.as_str());
    second.config.set("/linux/resources/pids/limit", 3);
    let ran = second.create_call().arg(&second.id).run();
    ran.refused(&["container's cgroup is not empty"]);
    assert_eq!(first.status(), "running");
    assert_eq!(first.shell("echo in"), "in\n");

    first.ok("pause");
    second.config.set("/linux/cgroupsPath", format!("{}/inner", first.id));
    let ran = second.create_call().arg(&second.id).run();
    ran.refused(&["container's cgroup unexpectedly frozen"]);
    assert_eq!(first.status(), "paused");
    first.ok("resume");
}

#[test]
fn a_container_that_can_not_start_within_its_memory_says_so() {
    let mut bundle = Bundle::new();
    bundle.config.set("/linux/resources/memory", json!({"limit": 4096, "swap": 4096}));
    // When the kernel kills, init may be anywhere between its first page and execve(2).
    for _ in 0..5 {
        for ran in [bundle.run(), bundle.create_call().arg(&bundle.id).run()] {
            assert_eq!(ran.code, 1, "{ran}");
            assert!(ran.stderr.contains("container init was OOM-killed (memory limit too low?)"), "{ran}");
            bundle.assert_nothing_left();
        }
    }
}
