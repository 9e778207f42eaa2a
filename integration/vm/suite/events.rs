//! `events`: what a container uses, and when it runs out of memory.

use serde_json::{Value, json};

use crate::group::{Group, MIB};
use crate::harness::Bundle;
use crate::harness::wait::read_until;

#[test]
fn statistics_are_the_kernels_numbers() {
    let mut bundle = Bundle::script(
        "dd if=/dev/zero of=/dev/shm/file bs=1M count=8 2>/dev/null; (ulimit -t 1; while :; do :; done) 2>/dev/null || :; \
         dd if=/dev/disk of=/dev/null bs=64k count=4 iflag=direct 2>/dev/null; echo ready >&2; exec sleep infinity",
    );
    let disk = std::fs::read_to_string("/sys/class/block/vdb/dev").expect("read the disk's numbers");
    let (major, minor) = disk.trim().split_once(':').expect("a device has two numbers");
    let (major, minor): (u64, u64) = (major.parse().expect("a number"), minor.parse().expect("a number"));
    bundle.config.push("/linux/devices", json!({"path": "/dev/disk", "type": "b", "major": major, "minor": minor}));
    let rule = json!({"allow": true, "type": "b", "major": major, "minor": minor, "access": "r"});
    bundle.config.push("/linux/resources/devices", rule);
    bundle.config.set("/linux/resources/memory", json!({"limit": 64 * MIB, "swap": 96 * MIB}));
    bundle.config.set("/linux/resources/cpu", json!({"quota": 50_000, "period": 100_000}));
    bundle.config.set("/linux/resources/pids", json!({"limit": 20}));
    bundle.config.set("/linux/resources/blockIO", json!({"weight": 100}));
    bundle.config.set("/linux/resources/hugepageLimits", json!([{"pageSize": "2MB", "limit": 0}]));
    let (container, _) = bundle.start_until("ready\n");
    let group = Group::of(&container);

    // The kernel may count on for a moment after the last use: a period that has begun still ends.
    let counted =
        || ["usage_usec", "nr_periods", "nr_throttled", "throttled_usec"].map(|key| group.count("cpu.stat", key));
    let before = counted();
    let ran = container.call("events").args(["--stats", &container.id]).ok();
    let after = counted();
    assert_eq!(ran.stdout.lines().count(), 1, "{ran}");
    let event = ran.json();
    assert_eq!(event["type"], "stats");
    assert_eq!(event["id"], container.id.as_str());
    let data = &event["data"];

    let cpu = &data["cpu"];
    let told = [
        (&cpu["usage"]["total"], 1000),
        (&cpu["throttling"]["periods"], 1),
        (&cpu["throttling"]["throttledPeriods"], 1),
        (&cpu["throttling"]["throttledTime"], 1000),
    ];
    for (index, (value, unit)) in told.into_iter().enumerate() {
        let value = value.as_u64().expect("a number");
        let between = before[index] * unit..=after[index] * unit;
        assert!(between.contains(&value), "{value} is not in {between:?}: {cpu}");
    }
    assert!(cpu["usage"]["total"].as_u64() > Some(900_000_000), "{cpu}");
    assert_eq!(data["memory"]["usage"]["limit"], 64 * MIB);
    assert_eq!(data["memory"]["swap"]["limit"], 96 * MIB);
    assert!(data["memory"]["usage"]["usage"].as_u64() >= Some(8 << 20), "{data}");
    assert!(data["memory"]["usage"]["max"].as_u64() >= data["memory"]["usage"]["usage"].as_u64(), "{data}");
    assert!(data["memory"]["cache"].as_u64() >= Some(8 << 20), "{data}");
    assert!(data["memory"]["raw"]["shmem"].as_u64() >= Some(8 << 20), "{data}");
    assert_eq!(data["pids"], json!({"current": 1, "limit": 20}));
    assert!(data["hugetlb"]["2MB"].is_object(), "{data}");
    assert!(data["cpu"]["psi"]["some"]["total"].is_u64() && data["memory"]["psi"].is_object(), "{data}");
    let read = |list: &str| -> Vec<Value> {
        let entries = data["blkio"][list].as_array().cloned().unwrap_or_default();
        entries.into_iter().filter(|entry| entry["major"] == major && entry["minor"] == minor).collect()
    };
    let bytes = json!({"major": major, "minor": minor, "op": "Read", "value": 262_144});
    assert!(read("ioServiceBytesRecursive").contains(&bytes), "{data}");
    assert!(
        read("ioServicedRecursive").iter().any(|entry| entry["op"] == "Read" && entry["value"].as_u64() >= Some(4)),
        "{data}"
    );
}

#[test]
fn running_out_of_memory_is_told_of() {
    let mut bundle =
        Bundle::script("read line; dd if=/dev/zero of=/dev/null bs=64M count=1 2>/dev/null || :; read line");
    bundle.config.set("/linux/resources/memory", json!({"limit": 32 * MIB, "swap": 32 * MIB}));
    let (go, input) = (bundle.path("go"), bundle.text_path("go"));
    crate::harness::host(&format!("mkfifo {input}"));
    // Opened for both, so that no open waits and no end comes before it is wanted.
    let mut writer = std::fs::File::options().read(true).write(true).open(&go).expect("open the fifo");
    let reader = std::fs::File::open(&go).expect("open the fifo");
    bundle.detach_call().arg(&bundle.id).stdin(reader).ok();

    let (events, output) = std::io::pipe().expect("make a pipe");
    let watching = bundle.call("events").args(["--interval", "100ms", &bundle.id]).stdout(output).spawn();
    read_until(&events, "\"type\":\"stats\"");
    std::io::Write::write_all(&mut writer, b"\n").expect("let the program go on");
    let until = read_until(&events, "\"type\":\"oom\"");
    assert!(!until.contains("\"type\":\"oom\",\"id\":\"\""), "{until}");
    std::io::Write::write_all(&mut writer, b"\n").expect("let the program end");
    let ran = watching.wait();
    assert_eq!(ran.code, 0, "events end with the container: {ran}");
}

#[test]
fn a_container_that_has_ended_has_no_events() {
    let bundle = Bundle::staying();
    let container = bundle.start();
    container.stop();
    container.call("events").arg(&container.id).run().refused(&["not running"]);
}
