//! Where the container's group is, who owns it, and what the groups above hand down.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use serde_json::json;

use crate::group::{Group, MOUNT_POINT, own};
use crate::harness::host::unique;
use crate::harness::{Bundle, host, host_fails};

/// A group of the test's own at the root.
struct Above(PathBuf);

impl Above {
    fn make() -> Above {
        let path = Path::new(MOUNT_POINT).join(unique("above"));
        fs::create_dir(&path).expect("make a group");
        Above(path)
    }

    /// The `linux.cgroupsPath` of a group in it.
    fn path(&self, group: &str) -> String {
        let name = self.0.file_name().expect("a group has a name").to_string_lossy();
        format!("/{name}/{group}")
    }
}

impl Drop for Above {
    fn drop(&mut self) {
        let _ = fs::write(self.0.join("cgroup.kill"), "1");
        host_fails(&format!("find {} -depth -type d -exec rmdir {{}} +", self.0.display()));
    }
}

#[test]
fn without_a_path_it_is_beside_the_callers() {
    let bundle = Bundle::staying();
    let container = bundle.start();
    let expected = own().parent().expect("the tests are not in the root").join(&container.id);
    assert_eq!(Group::of(&container).0, expected);
}

#[test]
fn an_absolute_path_counts_from_the_root_and_gets_its_controllers() {
    let above = Above::make();
    let mut bundle = Bundle::staying();
    bundle.config.set("/linux/cgroupsPath", above.path("a/b"));
    bundle.config.set("/linux/resources/pids/limit", 10).set("/linux/resources/cpu", json!({"cpus": "0"}));
    let container = bundle.start();
    let group = Group::of(&container);
    assert_eq!(group.0, above.0.join("a/b"));
    group.holds(&[("pids.max", "10"), ("cpuset.cpus", "0")]);
    for handing_down in [&above.0, &above.0.join("a")] {
        let text = fs::read_to_string(handing_down.join("cgroup.subtree_control")).expect("read the controllers");
        let words: Vec<&str> = text.split_whitespace().collect();
        assert!(words.contains(&"cpuset") && words.contains(&"pids"), "{}: {text}", handing_down.display());
        assert!(!words.contains(&"io"), "nobody has asked for it: {text}");
    }
    container.stop();
    container.delete();
    assert!(!group.0.exists());
}

#[test]
fn a_group_with_processes_hands_nothing_down() {
    let above = Above::make();
    let mut bundle = Bundle::staying();
    let mut process = std::process::Command::new("sleep").arg("infinity").spawn().expect("start a process");
    fs::write(above.0.join("cgroup.procs"), process.id().to_string()).expect("move the process");
    bundle.config.set("/linux/cgroupsPath", above.path("inner"));
    bundle.config.set("/linux/resources/memory/limit", 1 << 25);
    let ran = bundle.create_call().arg(&bundle.id).run();
    assert!(!above.0.join("inner").exists());
    process.kill().expect("kill the process");
    process.wait().expect("reap the process");
    ran.refused(&["linux.resources.memory.limit", "cgroup.subtree_control", &format!("[{}]", process.id())]);
}

#[test]
fn below_a_threaded_group_it_is_threaded_and_has_what_that_can_have() {
    let above = Above::make();
    let mut bundle = Bundle::staying();
    fs::create_dir(above.0.join("beside")).expect("make a group");
    fs::write(above.0.join("beside/cgroup.type"), "threaded").expect("make it threaded");
    bundle.config.set("/linux/cgroupsPath", above.path("inner"));
    bundle.config.set("/linux/resources/pids/limit", 10);
    let container = bundle.start();
    Group::of(&container).holds(&[("cgroup.type", "threaded"), ("pids.max", "10")]);
    container.stop();
    container.delete();
    bundle.config.set("/linux/resources/memory/limit", 1 << 25);
    bundle.refused(&["linux.resources.memory.limit", "+memory", "threaded"]);
}

#[test]
fn the_containers_root_owns_a_group_that_it_can_write_to() {
    let mut bundle = Bundle::new();
    host(&format!("chown -R 100000:100000 {}", bundle.rootfs.display()));
    bundle.config.user_namespace(100_000).without_mount("/sys/fs/cgroup");
    bundle.config.mount("/sys/fs/cgroup", "cgroup", "cgroup", &["nosuid", "noexec", "nodev", "relatime", "rw"]);
    bundle.config.set("/linux/resources/memory/limit", 1 << 26).set("/linux/resources/pids/limit", 20);
    bundle.config.script(
        "cd /sys/fs/cgroup; mkdir inner; echo 1 > inner/cgroup.procs; echo +pids > cgroup.subtree_control; echo 5 > inner/pids.max
         (echo max > memory.max) 2>/dev/null || echo its limit is not its own >&2
         exec sleep infinity",
    );
    let (container, _) = bundle.start_until("its limit is not its own\n");
    let group = Group(Group::of(&container).0.parent().expect("the process is in a group below").to_owned());
    group.holds(&[("inner/pids.max", "5"), ("memory.max", "67108864"), ("pids.max", "20")]);
    for (file, uid) in
        [(".", 100_000), ("cgroup.procs", 100_000), ("cgroup.subtree_control", 100_000), ("memory.max", 0)]
    {
        assert_eq!(fs::metadata(group.0.join(file)).expect("look at a file").uid(), uid, "{file}");
    }
    // Processes of groups below belong to the container as well.
    let listed = container.call("ps").args(["--format", "json", &container.id]).ok().json();
    assert_eq!(listed, json!([container.process.pid.as_raw_nonzero().get()]));
    assert_eq!(container.shell("echo in"), "in\n");
    container.stop();
    container.delete();
    assert!(!group.0.exists(), "with the groups that the container has made");
}

#[test]
fn one_that_is_only_to_be_read_stays_the_hosts() {
    let mut bundle = Bundle::new();
    host(&format!("chown -R 100000:100000 {}", bundle.rootfs.display()));
    bundle.config.user_namespace(100_000).stay();
    let group = Group::of(&bundle.start());
    assert_eq!(fs::metadata(&group.0).expect("look at the group").uid(), 0);
}
