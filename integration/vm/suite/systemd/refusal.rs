//! What can't be: the sentence that says so, and that nothing of it stays.

use std::path::Path;

use serde_json::json;

use super::{assert_no_unit, bundle, bundle_in_slice, show, slice_of};
use crate::harness::{Call, each, host};

#[test]
fn paths_that_are_no_unit() {
    each(
        [
            ("/engine/web", "expected \"slice:prefix:name\" for the systemd driver, got \"/engine/web\""),
            ("a.slice:web", "expected \"slice:prefix:name\""),
            ("a.slice:b:c:d", "expected \"slice:prefix:name\""),
            ("a.scope:engine:web", "is not the name of a slice"),
            ("a--b.slice:engine:web", "is not the name of a slice"),
            ("a.slice:engine:we b", "is not the name of a systemd unit"),
            ("a.slice:../engine:web", "is not the name of a systemd unit"),
        ],
        |(path, words)| {
            let mut bundle = bundle();
            bundle.config.set("/linux/cgroupsPath", path);
            bundle.refused(&["linux.cgroupsPath: ", words]);
        },
    );
}

#[test]
fn a_unit_that_is_another_containers() {
    let (bundle, _, unit) = bundle_in_slice();
    let container = bundle.start();
    let other = bundle.another_id("other");
    bundle.create_call().arg(&other).run().refused(&[&format!("systemd unit {unit:?} exists already")]);
    // Nor does the second one's deletion touch it.
    bundle.call("delete").args(["--force", &other]).ok();
    assert_eq!((container.status().as_str(), show(&unit, "ActiveState").as_str()), ("running", "active"));
    container.stop();
    container.delete();
    bundle.assert_nothing_left();
}

#[test]
fn annotations_that_are_no_properties() {
    for (name, value, words) in [
        ("NoSuchProperty", "5", "NoSuchProperty"),
        ("TimeoutStopSec", "'soon'", "annotations[\"org.systemd.property.TimeoutStopSec\"]"),
        ("After", "['a", "annotations[\"org.systemd.property.After\"]"),
        ("MemoryHigh", "'much'", "start systemd unit"),
    ] {
        let (mut bundle, _, unit) = bundle_in_slice();
        bundle.config.set("/annotations", json!({format!("org.systemd.property.{name}"): value}));
        bundle.refused(&[words]);
        assert_no_unit(&unit);
    }
}

#[test]
fn a_limit_that_has_no_controller() {
    let (mut bundle, _, unit) = bundle_in_slice();
    bundle.config.set("/linux/resources/unified", json!({"no-such-controller.max": "1"}));
    bundle.refused(&["the controller \"no-such-controller\" is not available"]);
    assert_no_unit(&unit);
}

/// A call where nobody listens for systemd.
fn without_systemd(call: Call) -> Call {
    let hide = "mount -t tmpfs tmpfs /run/systemd; mount -t tmpfs tmpfs /run/dbus";
    call.after(hide).through(["unshare", "--mount", "--propagation", "private"])
}

#[test]
fn no_systemd_to_talk_to() {
    let (bundle, _, unit) = bundle_in_slice();
    let words = [
        "reach the system's systemd: there is no socket \"/run/systemd/private\"",
        "the cgroup manager cgroupfs needs none",
    ];
    let ran = without_systemd(bundle.create_call().arg(&bundle.id)).run().refused(&words);
    assert!(!ran.stderr.contains("no such file"), "engines take that for a missing program: {ran}");
    bundle.assert_nothing_left();
    assert_no_unit(&unit);
}

#[test]
fn delete_does_without_systemd_and_update_does_not() {
    let (bundle, slice, unit) = bundle_in_slice();
    let container = bundle.start();
    let update = container.call("update").args(["--pids-limit", "5", &container.id]);
    without_systemd(update).run().refused(&["reach the system's systemd"]);
    without_systemd(container.call("delete").args(["--force", &container.id])).ok();
    assert!(!Path::new(&format!("/sys/fs/cgroup/{slice}/{unit}")).exists());
    bundle.assert_nothing_left();
    // systemd finds out by itself, and whoever asks it for the end of the unit is answered when it has.
    host(&format!("systemctl stop {unit} || true"));
    assert_no_unit(&unit);
}

#[test]
fn a_slice_that_is_frozen() {
    let mut bundle = bundle();
    let slice = slice_of(&bundle);
    bundle.config.set("/linux/cgroupsPath", format!("-.slice::{slice}"));
    let pod = bundle.start();
    pod.ok("pause");
    let other = bundle.another_id("other");
    bundle.config.set("/linux/cgroupsPath", format!("{slice}:engine:{other}"));
    bundle.write().create_call().arg(&other).run().refused(&["container's cgroup unexpectedly frozen"]);
    assert_no_unit(&format!("engine-{other}.scope"));
    assert_eq!(pod.status(), "paused");
    pod.call("delete").args(["--force", &pod.id]).ok();
    bundle.assert_nothing_left();
}
