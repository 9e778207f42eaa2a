//! `linux.resources.cpu`: cpus and mems.

use serde_json::json;

use crate::group::Group;
use crate::harness::Bundle;

#[test]
fn only_the_given_processors_are_used() {
    let mut bundle = Bundle::staying();
    bundle.config.set("/linux/resources/cpu", json!({"cpus": "1", "mems": "0"}));
    let container = bundle.start();
    let group = Group::of(&container);
    group.holds(&[("cpuset.cpus", "1"), ("cpuset.cpus.effective", "1"), ("cpuset.mems", "0")]);
    assert!(container.proc_file("status").contains("\nCpus_allowed_list:\t1\n"), "{}", container.proc_file("status"));
    assert_eq!(container.shell("nproc; grep Cpus_allowed_list /proc/self/status"), "1\nCpus_allowed_list:\t1\n");
    let refused = container.exec(["taskset", "-c", "0", "true"]);
    assert!(refused.code != 0 && refused.stderr.contains("Invalid argument"), "{refused}");
}

#[test]
fn without_a_set_all_of_the_machines_are() {
    assert_eq!(Bundle::new().shell("nproc"), "2\n");
}

#[test]
fn the_running_processes_move_with_the_set() {
    let mut bundle = Bundle::staying();
    bundle.config.set("/linux/resources/cpu", json!({"cpus": "1"}));
    let container = bundle.start();
    container.call("update").args(["--cpuset-cpus", "0", &container.id]).ok();
    Group::of(&container).holds(&[("cpuset.cpus", "0")]);
    assert!(container.proc_file("status").contains("\nCpus_allowed_list:\t0\n"), "{}", container.proc_file("status"));
}
