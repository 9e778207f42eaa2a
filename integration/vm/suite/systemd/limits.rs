//! Limits: what systemd knows of them, what is in the group's files, and that both stay so.

use std::fs;

use serde_json::{Value, json};

use super::{assert_no_unit, assert_shows, bundle_in_slice, show};
use crate::group::{Group, MIB};
use crate::harness::{Container, Ran, host};

/// A file of a container's group.
#[track_caller]
fn file(slice: &str, unit: &str, name: &str) -> String {
    let path = format!("/sys/fs/cgroup/{slice}/{unit}/{name}");
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("read {path}: {error}")).trim_end().to_owned()
}

fn update(container: &Container, change: &Value) -> Ran {
    container.call("update").args(["--resources", "-", &container.id]).input(&change.to_string()).run()
}

/// What a unit and its group hold.
struct Held<'a> {
    properties: &'a [(&'a str, &'a str)],
    files: &'a [(&'a str, &'a str)],
}

impl Held<'_> {
    /// Both are so, and are still so when systemd has read all units again, and has looked at all of the slice for another
    /// unit's change.
    #[track_caller]
    fn assert(&self, slice: &str, unit: &str) {
        for reloads in 0..2 {
            if reloads > 0 {
                host("systemctl daemon-reload");
                host(&format!("systemctl set-property --runtime {slice} CPUWeight=200"));
            }
            assert_shows(unit, self.properties);
            for (name, value) in self.files {
                assert_eq!(file(slice, unit, name), *value, "{name} after {reloads} reloads");
            }
        }
    }
}

#[test]
fn limits_are_properties_and_files_and_outlive_a_reload() {
    let (mut bundle, slice, unit) = bundle_in_slice();
    let resources = json!({
        "memory": {"limit": 67_108_864, "swap": 100_663_296, "reservation": 33_554_432},
        "cpu": {"shares": 512, "quota": 33_333, "period": 100_000, "cpus": "1", "mems": "0"},
        "pids": {"limit": 64},
        "blockIO": {"weight": 500},
        "hugepageLimits": [{"pageSize": "2MB", "limit": 4_194_304}],
        "unified": {"memory.high": "50331648", "cgroup.max.depth": "5"},
    });
    bundle.config.set("/linux/resources", resources);
    let container = bundle.start();
    let first = Held {
        properties: &[
            ("MemoryMax", "67108864"),
            ("MemorySwapMax", "33554432"),
            ("MemoryLow", "33554432"),
            ("MemoryHigh", "50331648"),
            ("CPUWeight", "59"),
            ("CPUQuotaPerSecUSec", "340ms"),
            ("CPUQuotaPeriodUSec", "100ms"),
            ("AllowedCPUs", "1"),
            ("AllowedMemoryNodes", "0"),
            ("TasksMax", "64"),
        ],
        files: &[
            ("memory.max", "67108864"),
            ("memory.swap.max", "33554432"),
            ("memory.low", "33554432"),
            ("memory.high", "50331648"),
            ("cpu.weight", "59"),
            ("cpu.max", "34000 100000"),
            ("cpuset.cpus", "1"),
            ("cpuset.mems", "0"),
            ("pids.max", "64"),
            ("hugetlb.2MB.max", "4194304"),
            ("hugetlb.2MB.rsvd.max", "4194304"),
            ("cgroup.max.depth", "5"),
        ],
    };
    first.assert(&slice, &unit);

    let change = json!({"memory": {"limit": 100_663_296, "swap": -1}, "pids": {"limit": -1}, "cpu": {"quota": 70_000},
        "unified": {"cgroup.max.depth": "6"}});
    let ran = update(&container, &change);
    assert_eq!(ran.code, 0, "{ran}");
    let second = Held {
        properties: &[
            ("MemoryMax", "100663296"),
            ("MemorySwapMax", "infinity"),
            ("MemoryLow", "33554432"),
            ("TasksMax", "infinity"),
            ("CPUQuotaPerSecUSec", "700ms"),
        ],
        files: &[
            ("memory.max", "100663296"),
            ("memory.low", "33554432"),
            ("pids.max", "max"),
            ("cpu.max", "70000 100000"),
            ("cgroup.max.depth", "6"),
        ],
    };
    second.assert(&slice, &unit);

    // The first file of the change is taken, the second refused: both sides are as before.
    let refused = json!({"pids": {"limit": 7}, "unified": {"cgroup.max.depth": "-7"}});
    update(&container, &refused).refused(&["cgroup.max.depth"]);
    second.assert(&slice, &unit);
    container.call("delete").args(["--force", &container.id]).ok();
    assert_no_unit(&unit);
}

#[test]
fn limits_that_only_files_have_outlive_a_reload() {
    let (mut bundle, slice, unit) = bundle_in_slice();
    bundle.config.set("/linux/resources/unified", json!({"cgroup.max.depth": "5"}));
    let container = bundle.start();
    Held { properties: &[], files: &[("cgroup.max.depth", "5")] }.assert(&slice, &unit);
    let ran = update(&container, &json!({"unified": {"cgroup.max.depth": "6"}}));
    assert_eq!(ran.code, 0, "{ran}");
    update(&container, &json!({"unified": {"cgroup.max.depth": "7", "cgroup.max.descendants": "-1"}}))
        .refused(&["linux.resources.unified[\"cgroup.max.descendants\"]"]);
    Held { properties: &[], files: &[("cgroup.max.depth", "6")] }.assert(&slice, &unit);
}

#[test]
fn rates_of_devices_and_idleness_outlive_a_reload() {
    let (mut bundle, slice, unit) = bundle_in_slice();
    let disk = fs::read_to_string("/sys/class/block/vdb/dev").expect("read the disk's numbers");
    let (major, minor) = disk.trim().split_once(':').expect("a device has two numbers");
    let numbers: [u32; 2] = [major, minor].map(|number| number.parse().expect("a number"));
    let rate = json!([{"major": numbers[0], "minor": numbers[1], "rate": 1 << 20}]);
    bundle.config.set("/linux/resources/blockIO", json!({"throttleReadBpsDevice": rate}));
    bundle.config.set("/linux/resources/cpu", json!({"idle": 1}));
    let container = bundle.start();
    let limit = format!("{} rbps=1048576 wbps=max riops=max wiops=max", disk.trim());
    let files = [("io.max", limit.as_str()), ("cpu.idle", "1")];
    Held { properties: &[("CPUWeight", "idle")], files: &files }.assert(&slice, &unit);
    container.stop();
    container.delete();
    assert_no_unit(&unit);
}

#[test]
fn a_change_that_the_files_refuse_is_taken_back_from_systemd() {
    let (bundle, _, unit) = bundle_in_slice();
    let container = bundle.start();
    let before = show(&unit, "MemoryHigh");
    let change = json!({"unified": {"memory.high": "50331648", "no-such-controller.max": "1"}});
    update(&container, &change).refused(&["is not available in"]);
    assert_eq!(show(&unit, "MemoryHigh"), before);
}

#[test]
fn devices_are_those_of_the_rules() {
    let (mut bundle, _, unit) = bundle_in_slice();
    // Nobody has this device (admin-guide/devices.txt: for experiments): opening it says so, where the rules let it.
    let allowed = json!({"allow": true, "type": "c", "major": 60, "minor": 0, "access": "r"});
    bundle.config.set("/linux/devices", json!([{"path": "/dev/nobodys", "type": "c", "major": 60, "minor": 0}]));
    for (rules, expected) in [(json!([allowed]), "No such device"), (json!([]), "Operation not permitted")] {
        bundle.config.set("/linux/resources/devices", rules);
        let container = bundle.start();
        host("systemctl daemon-reload");
        let shown = container.shell("(: </dev/nobodys) 2>&1 || true; : >/dev/null");
        assert!(shown.contains(expected), "{shown}");
        container.stop();
        container.delete();
        assert_no_unit(&unit);
    }
}

#[test]
fn annotations_are_properties() {
    let (mut bundle, _, unit) = bundle_in_slice();
    let annotations = json!({
        "org.systemd.property.TimeoutStopSec": "7",
        "org.systemd.property.MemoryHigh": "uint64 50331648",
        "org.systemd.property.CollectMode": "'inactive'",
        "org.systemd.property.Documentation": "['man:corten(8)']",
        "org.systemd.property.SendSIGHUP": "true",
        "org.example.other": "[",
    });
    bundle.config.set("/annotations", annotations);
    let container = bundle.create();
    assert_shows(
        &unit,
        &[
            ("TimeoutStopUSec", "7s"),
            ("MemoryHigh", "50331648"),
            ("CollectMode", "inactive"),
            ("Documentation", "\"man:corten(8)\""),
            ("SendSIGHUP", "yes"),
        ],
    );
    container.call("delete").args(["--force", &container.id]).ok();
    assert_no_unit(&unit);
}

#[test]
fn a_plan_tells_of_the_unit_and_makes_none() {
    let (mut bundle, slice, _) = bundle_in_slice();
    bundle.config.set("/linux/resources/pids", json!({"limit": 64}));
    bundle.config.set("/annotations", json!({"org.systemd.property.TimeoutStopSec": "7"}));
    let plan = || bundle.write().call("plan").arg("--bundle").arg(&bundle.directory);
    let text = plan().ok().stdout;
    for line in [
        &format!("start systemd unit \"engine-{}.scope\" in \"{slice}\"", bundle.id),
        "set TasksMax to 64",
        "set TimeoutStopUSec to 7000000",
        "write \"64\" to \"pids.max\" (linux.resources.pids.limit)",
        "wait to be moved into the cgroup",
    ] {
        assert!(text.contains(line), "no {line:?} in {text}");
    }
    let json = plan().args(["--format", "json"]).ok().json();
    assert!(json["cgroup"][0].as_str().is_some_and(|line| line.starts_with("start systemd unit")), "{json}");
    assert_eq!(super::units(&format!("engine-{}*", bundle.id)), "");
}

#[test]
fn the_flags_of_update_change_both() {
    let (mut bundle, slice, unit) = bundle_in_slice();
    let resources =
        json!({"memory": {"limit": 67_108_864, "swap": 100_663_296}, "cpu": {"quota": 20_000, "period": 50_000}});
    bundle.config.set("/linux/resources", resources);
    let container = bundle.start();
    // Without the driver's flag: it is on record.
    let flags = "--memory 128m --memory-swap 128m --pids-limit 60 --cpu-quota 40000 --cpuset-cpus 0";
    container.call("update").args(flags.split(' ')).arg(&container.id).ok();
    Held {
        properties: &[
            ("MemoryMax", "134217728"),
            ("MemorySwapMax", "0"),
            ("TasksMax", "60"),
            ("CPUQuotaPerSecUSec", "800ms"),
            ("AllowedCPUs", "0"),
        ],
        files: &[
            ("memory.max", "134217728"),
            ("memory.swap.max", "0"),
            ("pids.max", "60"),
            ("cpu.max", "40000 50000"),
            ("cpuset.cpus", "0"),
        ],
    }
    .assert(&slice, &unit);
}

#[test]
fn the_device_program_outlives_a_reload_and_an_update() {
    let (mut bundle, slice, _) = bundle_in_slice();
    let fuse = json!({"allow": true, "type": "c", "major": 10, "minor": 229, "access": "r"});
    bundle.config.set("/linux/resources/devices", json!([{"allow": false, "access": "rwm"}, fuse])).all_capabilities();
    let container = bundle.start();
    let opened = || {
        container.shell(
            "cd /tmp; [ -e fuse ] || { mknod fuse c 10 229; mknod kmsg c 1 11; }
            (: <fuse) 2>/dev/null && echo read; (: 3<>fuse) 2>/dev/null && echo both
            (: <kmsg) 2>/dev/null && echo kmsg; echo x >/dev/null",
        )
    };
    assert_eq!(opened(), "read\n");
    host("systemctl daemon-reload");
    host(&format!("systemctl set-property --runtime {slice} CPUWeight=150"));
    assert_eq!(opened(), "read\n");
    container.call("update").args(["--pids-limit", "60", &container.id]).ok();
    assert_eq!(opened(), "read\n");
}

#[test]
fn a_program_that_exceeds_the_limit_is_killed_and_the_unit_lives_on() {
    let (mut bundle, _, unit) = bundle_in_slice();
    let program =
        "dd if=/dev/zero of=/dev/null bs=64M count=1 2>/dev/null || echo ended with $? >&2; exec sleep infinity";
    bundle.config.set("/linux/resources/memory", json!({"limit": 32 * MIB, "swap": 32 * MIB})).script(program);
    let (container, _) = bundle.start_until("ended with 137\n");
    assert_eq!(Group::of(&container).count("memory.events", "oom_kill"), 1);
    assert_eq!((container.status().as_str(), show(&unit, "ActiveState").as_str()), ("running", "active"));
}
