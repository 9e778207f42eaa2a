//! The container's cgroup in its file system.

use crate::harness::Bundle;

#[test]
fn cgroup_with_a_namespace_shows_the_containers_own_group() {
    let mut bundle = Bundle::new();
    let shown = bundle.shell(
        "cat /proc/self/cgroup; cat /sys/fs/cgroup/cgroup.procs | head -1; ls -d /sys/fs/cgroup/*/ 2>/dev/null || true",
    );
    assert!(shown.contains("0::/\n"), "{shown}");
    let procs = shown.lines().filter(|line| *line == "1").count();
    assert_eq!(procs, 1, "only the container's processes: {shown}");
    assert!(bundle.shell("mkdir /sys/fs/cgroup/x 2>&1 || true").contains("Read-only file system"));
}

#[test]
fn cgroup_without_a_namespace_shows_the_containers_own_group_or_the_tree() {
    let mut bundle = Bundle::new();
    bundle.config.without_namespace("cgroup");
    let shown = bundle.shell("cat /proc/self/cgroup; ls /sys/fs/cgroup");
    assert!(shown.contains(&bundle.id), "{shown}");
    assert!(shown.contains("cgroup.procs"), "{shown}");
}

#[test]
fn cgroup_can_be_writable() {
    let mut bundle = Bundle::new();
    bundle.config.without_mount("/sys/fs/cgroup");
    bundle.config.mount("/sys/fs/cgroup", "cgroup", "cgroup", &["nosuid", "noexec", "nodev", "rw"]);
    assert_eq!(bundle.shell("mkdir /sys/fs/cgroup/x && rmdir /sys/fs/cgroup/x && echo done"), "done\n");
}
