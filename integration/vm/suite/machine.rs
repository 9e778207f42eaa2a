//! The machine itself: what every other case here counts on.

use std::fs;

use crate::harness::host;

#[test]
fn has_every_controller_that_limits_something() {
    let there = fs::read_to_string("/sys/fs/cgroup/cgroup.controllers").expect("read the controllers");
    let there: Vec<&str> = there.split_whitespace().collect();
    for controller in ["cpu", "cpuset", "hugetlb", "io", "memory", "misc", "pids", "rdma"] {
        assert!(there.contains(&controller), "no {controller} among {there:?}");
    }
}

#[test]
fn runs_systemd_and_apparmor() {
    assert_eq!(fs::read_to_string("/proc/1/comm").expect("read the first process's name"), "systemd\n");
    assert_eq!(fs::read_to_string("/sys/module/apparmor/parameters/enabled").expect("ask for AppArmor"), "Y\n");
    assert_ne!(host("systemctl is-system-running || true"), "offline\n");
}
