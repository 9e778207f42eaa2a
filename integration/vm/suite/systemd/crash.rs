//! A runtime that is killed: whatever the instant, `delete --force` finds all that it has made.

use std::path::Path;

use rustix::process::Signal;
use serde_json::json;

use super::{assert_no_unit, bundle_in_slice, units};
use crate::harness::host::write_program;
use crate::harness::{Bundle, host};

/// The system calls by which the runtime tells systemd, the file system and its child what to do, or hears of it.
const CALLS: [&str; 8] = ["symlink", "clone3", "sendto", "recvfrom", "write", "rename", "mkdir", "unlink"];

/// Creates a container and kills the runtime just before its `number`th call of this name. False if there is no such call.
fn create_until(bundle: &Bundle, call: &str, number: usize) -> bool {
    let inject = format!("inject={call}:signal=SIGKILL:when={number}");
    let strace = ["strace", "--quiet=all", "--output=/dev/null", &format!("--trace={call}"), &format!("--{inject}")];
    // strace ends by the signal that ended what it traces.
    let ran = bundle.create_call().arg(&bundle.id).through(strace).run();
    assert!(ran.code == 0 || ran.signal == Some(Signal::KILL.as_raw()), "{ran}");
    ran.code != 0
}

#[track_caller]
fn at_each(call: &str) {
    let (bundle, slice, unit) = bundle_in_slice();
    let is_killed_and_gone = |number: &usize| {
        let killed = create_until(&bundle, call, *number);
        bundle.call("delete").args(["--force", &bundle.id]).ok();
        let left = bundle.leftovers();
        assert!(left.is_empty(), "killed at {call} {number}, delete left {left}");
        // What the runtime had sent and systemd had not read is read in its turn, and finds nobody.
        host(&format!("systemctl stop {unit} || true"));
        assert_no_unit(&unit);
        killed
    };
    let times = (1..).take_while(is_killed_and_gone).count();
    assert!(times > 0 || call == "unlink", "{call} is never called");
    assert!(!Path::new(&format!("/sys/fs/cgroup/{slice}/{unit}")).exists());
}

#[test]
fn at_any_system_call() {
    for call in CALLS {
        at_each(call);
    }
}

#[test]
fn in_a_hook() {
    let (mut bundle, _, unit) = bundle_in_slice();
    let hook = bundle.path("hook");
    write_program(&hook, "#!/bin/sh\nkill -KILL $PPID\n");
    for kind in ["prestart", "createRuntime"] {
        bundle.config.set("/hooks", json!({})).hook(kind, json!({"path": hook}));
        assert_eq!(bundle.create_call().arg(&bundle.id).run().signal, Some(Signal::KILL.as_raw()));
        bundle.call("delete").args(["--force", &bundle.id]).ok();
        assert_no_unit(&unit);
        bundle.assert_nothing_left();
    }
}

#[test]
fn with_a_record_that_can_not_be_read() {
    let (bundle, _, unit) = bundle_in_slice();
    let container = bundle.start();
    std::fs::write(bundle.state.join(&container.id).join("state.json"), "{").expect("spoil the record");
    container.call("delete").args(["--force", &container.id]).ok();
    container.process.wait();
    assert_no_unit(&unit);
    bundle.assert_nothing_left();
}

#[test]
fn the_unit_ends_with_a_container_that_nobody_deletes() {
    let (bundle, _, unit) = bundle_in_slice();
    let container = bundle.start();
    container.stop();
    // Whoever waits for a unit is told by systemd when it is down.
    host(&format!("systemctl stop {unit} || true"));
    assert_eq!(units(&unit), "");
    assert_eq!(container.status(), "stopped");
    assert_eq!(container.call("ps").args(["-f", "json", &container.id]).ok().json(), json!([]));
    container.delete();
    bundle.assert_nothing_left();
}
