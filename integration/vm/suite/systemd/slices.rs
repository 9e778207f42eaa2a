//! Slices: those above a container, and the container that is one.

use std::path::Path;

use serde_json::json;

use super::{assert_no_unit, assert_shows, bundle, show, slice_of};
use crate::harness::host;

#[test]
fn slices_above_are_made_as_their_names_say() {
    let mut bundle = bundle();
    let top = slice_of(&bundle);
    let (middle, low) = (top.replace(".slice", "-pods.slice"), top.replace(".slice", "-pods-pod1.slice"));
    bundle.config.set("/linux/cgroupsPath", format!("{low}:engine:{}", bundle.id));
    let container = bundle.start();
    let unit = format!("engine-{}.scope", bundle.id);
    assert_shows(&unit, &[("Slice", &low), ("ControlGroup", &format!("/{top}/{middle}/{low}/{unit}"))]);
    assert_shows(&low, &[("ActiveState", "active"), ("Slice", &middle)]);
    container.stop();
    container.delete();
    assert_no_unit(&unit);
    // Others may count on the slices by now; they are systemd's own, and whoever wants them away stops the topmost.
    host(&format!("systemctl stop {top}"));
    assert!(!Path::new("/sys/fs/cgroup").join(&top).exists());
}

#[test]
fn a_container_can_be_a_slice() {
    let mut bundle = bundle();
    let top = slice_of(&bundle);
    let slice = top.replace(".slice", "-pod.slice");
    bundle.config.set("/linux/cgroupsPath", format!("{top}:ignored:{slice}"));
    let container = bundle.start();
    assert!(container.proc_file("cgroup").ends_with(&format!("0::/{top}/{slice}\n")));
    assert_shows(&slice, &[("ActiveState", "active"), ("Wants", &top)]);
    assert_eq!(container.shell("cat /proc/self/cgroup").lines().last(), Some("0::/"));
    container.stop();
    assert_eq!(show(&slice, "ActiveState"), "active", "a slice stays without processes");
    container.delete();
    assert_eq!(show(&slice, "ActiveState"), "inactive");
    assert!(!Path::new("/sys/fs/cgroup").join(&top).join(&slice).exists());
    host(&format!("systemctl stop {top}"));
    bundle.assert_nothing_left();
}

#[test]
fn a_slice_that_is_there_is_shared() {
    let mut bundle = bundle();
    let top = slice_of(&bundle);
    let slice = top.replace(".slice", "-pod.slice");
    bundle.config.set("/linux/cgroupsPath", format!("{top}::{slice}"));
    bundle.config.set("/annotations", json!({"org.systemd.property.TasksMax": "uint64 100"}));
    let first = bundle.create();
    assert_eq!(show(&slice, "TasksMax"), "100");
    bundle.config.set("/annotations", json!({"org.systemd.property.TasksMax": "uint64 50"}));
    let second = bundle.create_another("second");
    for container in [&first, &second] {
        assert!(container.proc_file("cgroup").ends_with(&format!("0::/{top}/{slice}\n")));
    }
    assert_eq!(show(&slice, "TasksMax"), "50", "the last word counts");
    for container in [first, second] {
        container.call("delete").args(["--force", &container.id]).ok();
    }
    assert_eq!(show(&slice, "ActiveState"), "inactive");
    host(&format!("systemctl stop {top}"));
    bundle.assert_nothing_left();
}
