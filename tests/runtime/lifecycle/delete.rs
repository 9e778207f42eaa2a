//! `delete`.

use std::fs;

use crate::harness::Bundle;
use crate::harness::wait::Process;

#[test]
fn needs_a_stopped_container_or_force() {
    let bundle = Bundle::staying();
    let container = bundle.start();
    let text = format!("cannot delete container {} that is not stopped: running", container.id);
    container.run("delete").refused(&[&text]);
    assert!(container.process.alive());
    assert_eq!(container.status(), "running");
    container.call("delete").args(["--force", &container.id]).ok();
    assert_eq!(container.process.wait(), 137);
    bundle.assert_nothing_left();
}

#[test]
fn ends_a_created_container() {
    // The specification wants an error, containerd relies on this.
    let bundle = Bundle::staying();
    let container = bundle.create();
    container.delete();
    assert_eq!(container.process.wait(), 137);
    bundle.assert_nothing_left();
}

#[test]
fn of_an_unknown_container() {
    let bundle = Bundle::new();
    bundle.call("delete").arg("unknown").run().refused(&["does not exist"]);
    let ran = bundle.call("delete").args(["--force", "unknown"]).ok();
    assert_eq!(ran.stderr, "", "{ran}");
}

#[test]
fn by_force_removes_a_directory_without_a_state() {
    let bundle = Bundle::new();
    fs::create_dir(bundle.state.join("half")).expect("make a state directory");
    bundle.call("delete").args(["--force", "half"]).ok();
    bundle.assert_nothing_left();
}

#[test]
fn removes_what_remains_of_a_container_killed_from_outside() {
    let bundle = Bundle::staying();
    let container = bundle.start();
    rustix::process::kill_process(container.process.pid, rustix::process::Signal::KILL).expect("kill the container");
    container.process.wait();
    assert_eq!(container.status(), "stopped");
    container.delete();
    bundle.assert_nothing_left();
}

#[test]
fn by_force_ends_every_process_where_the_pid_namespace_is_shared() {
    let mut bundle = Bundle::script("sleep infinity & echo $! ready >&2; exit 0");
    bundle.config.without_namespace("pid");
    let (container, line) = bundle.start_until("ready");
    let child = Process::watch(line.split(' ').next().and_then(|pid| pid.parse().ok()).expect("a pid"));
    assert_eq!(container.process.wait(), 0);
    container.call("delete").args(["--force", &container.id]).ok();
    child.wait_gone();
    bundle.assert_nothing_left();
}
