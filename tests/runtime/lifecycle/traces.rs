//! What a container has on the host, and what it leaves there.

use std::fs;

use crate::harness::Bundle;
use crate::harness::container::own_namespace;

#[test]
fn each_container_has_its_own_control_group() {
    let bundle = Bundle::staying();
    let first = bundle.create();
    let second = bundle.create_another("second");
    let (first_group, second_group) = (first.proc_file("cgroup"), second.proc_file("cgroup"));
    assert!(first_group.contains(&first.id), "{first_group}");
    assert_ne!(first_group, second_group);
    let own = fs::read_to_string("/proc/thread-self/cgroup").expect("read the tests' control group");
    assert_ne!(first_group, own);
}

#[test]
fn the_cgroups_path_is_taken() {
    let mut bundle = Bundle::staying();
    bundle.config.set("/linux/cgroupsPath", format!("/{}-parent/child", bundle.id));
    let container = bundle.create();
    assert_eq!(container.group(), format!("/{}-parent/child", bundle.id));
    container.delete();
    let left = crate::harness::leftovers::cgroups_of(&bundle.id);
    let parent = left.iter().find(|path| path.ends_with(format!("{}-parent", bundle.id))).cloned();
    // A parent that the runtime made may stay, the container's own group may not.
    assert!(left.iter().all(|path| Some(path) == parent.as_ref()), "{left:?}");
    parent.into_iter().for_each(|path| fs::remove_dir(path).expect("remove the parent group"));
}

#[test]
fn update_refuses_a_stopped_or_unknown_container() {
    let bundle = Bundle::script("true");
    bundle.call("update").args(["--pids-limit", "10", "unknown"]).run().refused(&["does not exist"]);
    let container = bundle.start();
    container.process.wait();
    container.call("update").args(["--pids-limit", "10", &container.id]).run().refused(&["not running"]);
}

#[test]
fn the_host_keeps_its_namespaces_and_mounts() {
    let bundle = Bundle::staying();
    let before = (own_namespace("mnt"), own_namespace("uts"), crate::harness::leftovers::Mounts::now());
    let container = bundle.start();
    let during = crate::harness::leftovers::Mounts::now();
    container.stop();
    container.delete();
    assert_eq!((own_namespace("mnt"), own_namespace("uts"), crate::harness::leftovers::Mounts::now()), before);
    assert_eq!(during, before.2, "the container's mounts are seen on the host");
}
