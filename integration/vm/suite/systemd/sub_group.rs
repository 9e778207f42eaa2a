//! `run.oci.systemd.subgroup`: the container lives below its unit.

use std::fs;

use serde_json::json;

use super::{assert_no_unit, bundle, bundle_in_slice, slice_of};
use crate::harness::wait::Process;
use crate::harness::{Bundle, host, host_fails};

const ANNOTATION: &str = "/annotations/run.oci.systemd.subgroup";

fn with_sub_group(name: &str) -> (Bundle, String, String) {
    let (mut bundle, slice, unit) = bundle_in_slice();
    bundle.config.set("/annotations", json!({})).set(ANNOTATION, name);
    (bundle, slice, unit)
}

#[test]
fn all_processes_are_in_the_sub_group() {
    let (bundle, slice, unit) = with_sub_group("payload");
    let container = bundle.start();
    let process = container.exec_detached(["sleep", "1000"]);
    for pid in [container.process.pid, process.pid] {
        let groups = fs::read_to_string(format!("/proc/{pid}/cgroup")).expect("read a process's groups");
        assert!(groups.ends_with(&format!("0::/{slice}/{unit}/payload\n")), "{groups}");
    }
    assert_eq!(container.shell("cat /proc/self/cgroup").lines().last(), Some("0::/"), "it is the container's root");
    let listed = container.call("ps").args(["-f", "json", &container.id]).ok().json();
    assert_eq!(listed.as_array().map(Vec::len), Some(2));
    container.ok("pause");
    container.ok("resume");
    process.kill();
    container.stop();
    container.delete();
    assert_no_unit(&unit);
    bundle.assert_nothing_left();
}

#[test]
fn limits_that_systemd_has_no_property_for_are_those_of_the_sub_group() {
    let (mut bundle, slice, unit) = with_sub_group("payload");
    bundle.config.set("/linux/resources/unified", json!({"cgroup.max.depth": "5"}));
    let container = bundle.start();
    let depth = |group: &str| {
        let path = format!("/sys/fs/cgroup/{slice}/{unit}{group}/cgroup.max.depth");
        fs::read_to_string(path).expect("read a limit").trim_end().to_owned()
    };
    assert_eq!((depth("/payload").as_str(), depth("").as_str()), ("5", "max"));
    let change = json!({"unified": {"cgroup.max.depth": "6"}}).to_string();
    container.call("update").args(["--resources", "-", &container.id]).input(&change).ok();
    assert_eq!((depth("/payload").as_str(), depth("").as_str()), ("6", "max"));
    container.call("delete").args(["--force", &container.id]).ok();
    assert_no_unit(&unit);
}

#[test]
fn a_slice_can_have_one_too() {
    let mut bundle = bundle();
    let slice = slice_of(&bundle);
    bundle.config.set("/linux/cgroupsPath", format!("-.slice::{slice}"));
    bundle.config.set("/annotations", json!({})).set(ANNOTATION, "payload");
    let container = bundle.start();
    assert!(container.proc_file("cgroup").ends_with(&format!("0::/{slice}/payload\n")));
    container.call("delete").args(["--force", &container.id]).ok();
    assert_eq!(super::show(&slice, "ActiveState"), "inactive");
    assert!(host_fails(&format!("test -e /sys/fs/cgroup/{slice}")));
}

#[test]
fn an_empty_name_is_none() {
    let (bundle, slice, unit) = with_sub_group("");
    let container = bundle.start();
    assert!(container.proc_file("cgroup").ends_with(&format!("0::/{slice}/{unit}\n")));
}

#[test]
fn a_name_with_the_units_own_is_no_riddle() {
    let (mut bundle, slice, unit) = with_sub_group("");
    bundle.config.set(ANNOTATION, unit.as_str());
    let container = bundle.start();
    assert!(container.proc_file("cgroup").ends_with(&format!("0::/{slice}/{unit}/{unit}\n")));
    // A process beside the container's, which only the end of the whole unit ends.
    let beside =
        host(&format!("sleep 1000 >/dev/null 2>&1 & echo $! >/sys/fs/cgroup/{slice}/{unit}/cgroup.procs; echo $!"));
    let beside = Process::watch(beside.trim().parse().expect("the shell prints a number"));
    container.call("delete").args(["--force", &container.id]).ok();
    assert_no_unit(&unit);
    beside.wait();
}

#[test]
fn what_is_no_name_is_refused() {
    for name in ["a/b", "..", ".", "a\nb"] {
        let (bundle, _, unit) = with_sub_group(name);
        bundle.refused(&["run.oci.systemd.subgroup", "is not the name of one directory"]);
        assert_no_unit(&unit);
    }
    let (bundle, _, unit) = with_sub_group("cgroup.procs");
    bundle.refused(&["run.oci.systemd.subgroup", "file exists"]);
    assert_no_unit(&unit);
}
