//! `state`, `list`, `ps` and `events`: what is told of containers.

use std::fs;
use std::path::Path;

use serde_json::{Value, json};

use crate::harness::{Bundle, Call};

#[test]
fn state_has_all_properties() {
    let mut bundle = Bundle::staying();
    bundle.config.set("/annotations", json!({"com.example.key": "value", "empty": ""}));
    let container = bundle.create();
    let state = container.state();
    let directory = fs::canonicalize(&bundle.directory).expect("resolve the bundle");
    assert!(state["ociVersion"].as_str().is_some_and(|version| version.starts_with("1.")), "{state}");
    assert_eq!(state["id"], container.id);
    assert_eq!(state["status"], "created");
    assert_eq!(state["bundle"], directory.to_str().expect("text"));
    assert_eq!(state["rootfs"], directory.join("rootfs").to_str().expect("text"));
    assert_eq!(state["annotations"], json!({"com.example.key": "value", "empty": ""}));
    let created = state["created"].as_str().expect("created is text");
    let parsed = Call::of("date", &bundle.directory).args(["+%s", "--date", created]).ok().stdout;
    let now = Call::of("date", &bundle.directory).arg("+%s").ok().stdout;
    let age = now.trim().parse::<i64>().expect("seconds") - parsed.trim().parse::<i64>().expect("seconds");
    assert!((0..60).contains(&age), "created at {created}, {age} seconds ago");
    assert!(created.contains('T'), "RFC 3339: {created}");

    let pid = state["pid"].as_i64().expect("pid is a number");
    let command = fs::read_to_string(format!("/proc/{pid}/cgroup")).expect("the pid is a process of the host");
    assert!(command.contains(&container.id), "the pid is in the container's own control group: {command}");

    container.start();
    let state = container.state();
    assert_eq!(state["status"], "running");
    assert_eq!(state["pid"], pid);
    assert_eq!(state["created"], created, "the time of creation stays");
    container.stop();
    let state = container.state();
    assert_eq!(state["status"], "stopped");
    assert_eq!(state.get("pid").and_then(Value::as_i64).unwrap_or(0), 0, "a stopped container has no process");
}

#[test]
fn states_are_the_schemas() {
    // The runtime-spec schema of a state: what must be there and of which type.
    let bundle = Bundle::staying();
    let container = bundle.create();
    let state = container.state();
    for text in ["ociVersion", "id", "status", "bundle"] {
        assert!(state[text].is_string(), "{text} in {state}");
    }
    assert!(state["pid"].is_u64(), "pid in {state}");
}

#[test]
fn ps_lists_the_processes() {
    let bundle = Bundle::script("sleep infinity & echo ready >&2; wait");
    let (container, _) = bundle.start_until("ready");

    let pids = container.call("ps").args(["--format", "json", &container.id]).ok().json();
    let pids: Vec<i64> = serde_json::from_value(pids).expect("an array of numbers");
    assert_eq!(pids.len(), 2, "the shell and its child: {pids:?}");
    assert!(pids.contains(&container.process.pid.as_raw_nonzero().get().into()), "{pids:?}");

    let table = container.run("ps").stdout;
    let lines: Vec<&str> = table.lines().collect();
    assert_eq!(lines.len(), 3, "a header and two processes: {table}");
    assert!(lines[0].contains("PID"), "{table}");
    // What follows the id is for ps(1).
    let table = container.call("ps").args([&container.id, "-o", "pid,args"]).ok().stdout;
    let lines: Vec<&str> = table.lines().collect();
    assert_eq!(lines.len(), 3, "{table}");
    assert!(table.contains("sleep infinity"), "{table}");
    assert!(!lines[0].contains("UID"), "{table}");
}

#[test]
fn list_shows_every_container() {
    let bundle = Bundle::staying();
    let none = bundle.call("list").args(["--format", "json"]).ok();
    assert!([json!(null), json!([])].contains(&none.json()), "{none}");
    let first = bundle.create();
    let second = bundle.create_another("second");
    second.start();

    let quiet = bundle.call("list").arg("-q").ok().stdout;
    let mut ids: Vec<&str> = quiet.lines().collect();
    ids.sort_unstable();
    assert_eq!(ids, [first.id.as_str(), second.id.as_str()]);

    let list = bundle.call("list").args(["-f", "json"]).ok().json();
    let list = list.as_array().expect("an array");
    assert_eq!(list.len(), 2);
    for (id, status) in [(&first.id, "created"), (&second.id, "running")] {
        let entry = list.iter().find(|entry| entry["id"] == **id).expect("the container is listed");
        assert_eq!(entry["status"], status);
        assert_eq!(entry["owner"], "root");
        assert!(entry["pid"].as_i64() > Some(0), "{entry}");
    }

    let table = bundle.call("list").ok().stdout;
    let header: Vec<&str> = table.lines().next().expect("a header").split_whitespace().collect();
    assert_eq!(header, ["ID", "PID", "STATUS", "BUNDLE", "CREATED", "OWNER"]);
    let line = table.lines().find(|line| line.starts_with(&format!("{} ", second.id))).expect("a line for each");
    let words: Vec<&str> = line.split_whitespace().collect();
    assert_eq!(words[1], second.process.pid.as_raw_nonzero().to_string());
    assert_eq!(words[2], "running");
    assert_eq!(Path::new(words[3]), bundle.directory);
    assert_eq!(words[5], "root");
}

#[test]
fn list_goes_on_after_a_broken_container() {
    let bundle = Bundle::staying();
    let container = bundle.create();
    fs::create_dir(bundle.state.join("broken")).expect("make a state directory");
    let list = bundle.call("list").args(["--format", "json"]).ok();
    let ids: Vec<&str> = list.stdout.matches(container.id.as_str()).collect();
    assert!(!ids.is_empty(), "{list}");
    fs::remove_dir(bundle.state.join("broken")).expect("remove the state directory");
}

#[test]
fn list_of_a_missing_root() {
    let bundle = Bundle::new();
    let missing = bundle.path("missing");
    Call::new(&bundle.directory).arg("--root").arg(&missing).arg("list").run().refused(&["missing"]);
}

#[test]
fn events_prints_statistics_once() {
    let bundle = Bundle::staying();
    let container = bundle.start();
    let ran = container.call("events").args(["--stats", &container.id]).ok();
    let lines: Vec<&str> = ran.stdout.lines().collect();
    assert_eq!(lines.len(), 1, "{ran}");
    let event: Value = serde_json::from_str(lines[0]).expect("a line is JSON");
    assert_eq!((&event["type"], &event["id"]), (&json!("stats"), &json!(container.id)));
    assert!(event["data"].is_object(), "{event}");
    container.stop();
    container.call("events").args(["--stats", &container.id]).run().refused(&[]);
}
