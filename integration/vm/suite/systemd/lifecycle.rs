//! From `create` to `delete`: the unit is there, holds all processes of the container, and goes with it.

use std::fs;
use std::io::{BufRead, BufReader, Read};

use rustix::process::{Signal, kill_process};

use super::{assert_no_unit, assert_shows, bundle, bundle_in_slice, show};
use crate::harness::host;

/// The group of a process below the cgroup2 mount.
#[track_caller]
fn group(pid: impl std::fmt::Display) -> String {
    let text = fs::read_to_string(format!("/proc/{pid}/cgroup")).expect("read the groups of a process");
    text.lines().find_map(|line| line.strip_prefix("0::")).expect("it has a group of cgroup2").to_owned()
}

#[test]
fn a_container_is_a_scope_from_create_to_delete() {
    let (bundle, slice, unit) = bundle_in_slice();
    let container = bundle.create();
    assert_eq!(group(container.process.pid), format!("/{slice}/{unit}"));
    assert_shows(
        &unit,
        &[
            ("ActiveState", "active"),
            ("Slice", &slice),
            ("Description", &format!("container {}", bundle.id)),
            ("Delegate", "yes"),
            ("MemoryAccounting", "yes"),
            ("CPUAccounting", "yes"),
            ("IOAccounting", "yes"),
            ("TasksAccounting", "yes"),
            ("ControlGroup", &format!("/{slice}/{unit}")),
        ],
    );
    assert_eq!(container.status(), "created");
    container.start();
    assert_eq!(container.shell("cat /proc/self/cgroup").lines().last(), Some("0::/"), "its group is its root");
    container.stop();
    container.delete();
    assert_no_unit(&unit);
    bundle.assert_nothing_left();
}

#[test]
fn without_a_path_the_id_is_the_name() {
    let bundle = bundle();
    let container = bundle.create();
    let unit = format!("corten-{}.scope", bundle.id);
    assert_eq!(group(container.process.pid), format!("/system.slice/{unit}"));
    container.call("delete").arg("--force").arg(&container.id).ok();
    assert_no_unit(&unit);
    bundle.assert_nothing_left();
}

#[test]
fn the_foreground_leaves_no_unit() {
    let (mut bundle, _, unit) = bundle_in_slice();
    bundle.config.script("cat /proc/self/cgroup; exit 7");
    let ran = bundle.run();
    assert_eq!((ran.code, ran.stdout.lines().last()), (7, Some("0::/")), "{ran}");
    assert_no_unit(&unit);
    bundle.assert_nothing_left();
    // The name is free again.
    assert_eq!(bundle.run().code, 7);
}

#[test]
fn a_process_of_exec_is_in_the_scope() {
    let (bundle, slice, unit) = bundle_in_slice();
    let container = bundle.start();
    let process = container.exec_detached(["sleep", "1000"]);
    assert_eq!(group(process.pid), format!("/{slice}/{unit}"));
    let listed = container.call("ps").args(["--format", "json", &container.id]).ok().json();
    let mut expected = [&container.process, &process].map(|process| process.pid.as_raw_nonzero().get());
    expected.sort_unstable();
    assert_eq!(listed, serde_json::json!(expected));
    process.kill();
}

#[test]
fn a_process_of_exec_can_be_put_below() {
    let (bundle, slice, unit) = bundle_in_slice();
    let container = bundle.start();
    fs::create_dir(format!("/sys/fs/cgroup/{slice}/{unit}/inner")).expect("make a group below");
    let call = container.call("exec").args(["--cgroup", "/inner", &container.id, "cat", "/proc/self/cgroup"]);
    assert_eq!(call.ok().stdout.lines().last(), Some("0::/inner"));
    container.stop();
    container.delete();
    assert_no_unit(&unit);
    bundle.assert_nothing_left();
}

#[test]
fn a_scope_is_paused_resumed_and_counted() {
    let (bundle, slice, unit) = bundle_in_slice();
    let container = bundle.start();
    let frozen = || {
        let events = fs::read_to_string(format!("/sys/fs/cgroup/{slice}/{unit}/cgroup.events")).expect("read events");
        events.lines().any(|line| line == "frozen 1")
    };
    container.ok("pause");
    assert!(frozen() && container.status() == "paused");
    container.ok("resume");
    assert!(!frozen() && container.status() == "running");
    let stats = container.call("events").args(["--stats", &container.id]).ok().json();
    assert_eq!(stats["type"], "stats");
    assert!(stats["data"]["cpu"]["usage"]["total"].as_u64().is_some_and(|time| time > 0), "{stats}");
    container.ok("pause");
    container.call("delete").arg("--force").arg(&container.id).ok();
    assert_no_unit(&unit);
}

#[test]
fn events_end_with_the_unit() {
    let (bundle, _, unit) = bundle_in_slice();
    let container = bundle.start();
    let (reader, writer) = std::io::pipe().expect("make a pipe");
    let events = container.call("events").args(["--interval", "1ms", &container.id]).stdout(writer).spawn();
    let mut reader = BufReader::new(reader);
    reader.read_line(&mut String::new()).expect("read the first event");
    container.stop();
    reader.read_to_end(&mut Vec::new()).expect("read the other events");
    let ran = events.wait();
    assert_eq!((ran.code, ran.stderr.as_str()), (0, ""), "{ran}");
    container.delete();
    assert_no_unit(&unit);
}

#[test]
fn a_container_that_fails_to_start_leaves_no_unit() {
    let (mut bundle, _, unit) = bundle_in_slice();
    bundle.config.args(["no-such-program"]);
    bundle.refused(&["no-such-program"]);
    assert_no_unit(&unit);
    bundle.config.stay().mount("/broken", "no-such-type", "none", &[]);
    bundle.refused(&["no-such-type"]);
    assert_no_unit(&unit);
}

#[test]
fn what_is_left_of_a_scope_is_killed() {
    // In the host's pid namespace the end of the first process is not that of the others.
    let (mut bundle, _, unit) = bundle_in_slice();
    bundle.config.without_namespace("pid").script("sleep 1000 & echo both >&2; exec sleep 2000");
    let (container, _) = bundle.start_until("both");
    kill_process(container.process.pid, Signal::KILL).expect("kill the first process");
    container.process.wait();
    let left = container.call("ps").args(["--format", "json", &container.id]).ok().json();
    assert_eq!(left.as_array().map(Vec::len), Some(1), "one is left");
    assert_eq!(show(&unit, "ActiveState"), "active");
    container.delete();
    assert_no_unit(&unit);
    bundle.assert_nothing_left();
}

#[test]
fn root_of_a_user_namespace_owns_the_group() {
    use std::os::unix::fs::MetadataExt;
    let (mut bundle, slice, unit) = bundle_in_slice();
    bundle.config.user_namespace(300_000);
    bundle.config.without_mount("/sys/fs/cgroup").mount("/sys/fs/cgroup", "cgroup", "cgroup", &["rw"]);
    host(&format!("chown -R --no-dereference 300000:300000 {}", bundle.rootfs.display()));
    let container = bundle.start();
    let owner =
        |file: &str| fs::metadata(format!("/sys/fs/cgroup/{slice}/{unit}/{file}")).expect("look at a group").uid();
    assert_eq!((owner("."), owner("cgroup.procs"), owner("cgroup.freeze")), (300_000, 300_000, 0));
    container.shell("mkdir /sys/fs/cgroup/own; echo $$ >/sys/fs/cgroup/own/cgroup.procs");
    container.stop();
    container.delete();
    assert_no_unit(&unit);
}

#[test]
fn many_at_once_leave_nothing() {
    let (bundle, slice, _) = bundle_in_slice();
    bundle.write();
    let ids: Vec<String> = (0..24).map(|number| bundle.another_id(&number.to_string())).collect();
    let create = |id: &String| {
        let path = bundle.path(&format!("{id}.json"));
        let mut config = bundle.config.clone();
        config.set("/linux/cgroupsPath", format!("{slice}:engine:{id}"));
        fs::write(&path, config.0.to_string()).expect("write a configuration");
        bundle.create_call().arg("--config").arg(path).arg(id).spawn()
    };
    let delete = |id: &String| bundle.call("delete").args(["--force", id]).spawn();
    let all_well = |calls: Vec<crate::harness::Running>| {
        for call in calls {
            let ran = call.wait();
            assert_eq!(ran.code, 0, "{ran}");
        }
    };
    all_well(ids.iter().map(create).collect());
    assert_eq!(super::units(&format!("engine-{}-*.scope", bundle.id)).lines().count(), ids.len());
    all_well(ids.iter().map(delete).collect());
    assert_eq!(super::units(&format!("engine-{}-*", bundle.id)), "");
    bundle.assert_nothing_left();
}

#[test]
fn whoever_kills_the_unit_ends_the_container() {
    let (bundle, _, unit) = bundle_in_slice();
    let container = bundle.start();
    // sleep, the first process of its pid namespace, has no handler for SIGTERM.
    host(&format!("systemctl kill --signal KILL {unit}"));
    assert_eq!(container.process.wait(), 137);
    assert_eq!(container.status(), "stopped");
    container.delete();
    assert_no_unit(&unit);
}
