//! The cgroup tree of an ordinary user (CVE-2023-25809): what the service manager has delegated to the user belongs to root of
//! the user's container as well, and must not be open to it.

use std::path::{Path, PathBuf};

use serde_json::json;

use crate::harness::host;
use crate::harness::host::unique;
use crate::rootless::{GROUP, Rootless, USER};

/// A group of the host that belongs to the user, gone with the test.
struct Delegated(PathBuf);

impl Delegated {
    fn new() -> Delegated {
        let path = Path::new("/sys/fs/cgroup").join(unique("delegated"));
        host(&format!("mkdir {0} {0}/inner; chown -R {USER}:{GROUP} {0}", path.display()));
        Delegated(path)
    }
}

impl Drop for Delegated {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir(self.0.join("inner"));
        let _ = std::fs::remove_dir(&self.0);
    }
}

/// Makes, changes and removes, wherever in the container the host's group can be seen.
fn attack(group: &Path) -> String {
    let name = group.file_name().and_then(|name| name.to_str()).expect("a group's name is text");
    format!(
        "for group in $(find / -xdev -name {name} 2>/dev/null; find /sys -name {name} 2>/dev/null); do
            echo seen
            mkdir $group/made 2>/dev/null && echo made && rmdir $group/made
            echo 5 2>/dev/null >$group/cgroup.max.depth && echo written
            rmdir $group/inner 2>/dev/null && echo removed
        done; true"
    )
}

#[track_caller]
fn assert_not_writable(rootless: &Rootless, seen: bool) {
    let ran = rootless.run();
    assert_eq!(ran.code, 0, "{ran}");
    assert_eq!(ran.stdout.contains("seen"), seen, "{ran}");
    for done in ["made", "written", "removed"] {
        assert!(!ran.stdout.contains(done), "the host's group was changed: {ran}");
    }
}

#[test]
fn the_hosts_sys_in_a_users_container() {
    // `ro` on a recursive bind mount is the top's alone, and cgroup2 is mounted below.
    for namespace in [true, false] {
        let group = Delegated::new();
        let mut rootless = Rootless::new();
        if !namespace {
            rootless.bundle.config.without_namespace("cgroup");
        }
        rootless.bundle.config.script(&attack(&group.0));
        assert_not_writable(&rootless, true);
    }
}

#[test]
fn a_cgroup_mount_in_a_users_container() {
    for (namespace, seen) in [(true, false), (false, true)] {
        let group = Delegated::new();
        let mut rootless = Rootless::new();
        if !namespace {
            rootless.bundle.config.without_namespace("cgroup");
        }
        let options = ["nosuid", "noexec", "nodev", "relatime", "ro"];
        rootless.bundle.config.mount("/sys/fs/cgroup", "cgroup", "cgroup", &options);
        rootless.bundle.config.script(&attack(&group.0));
        assert_not_writable(&rootless, seen);
    }
}

#[test]
fn the_template_for_users() {
    let group = Delegated::new();
    let mut rootless = Rootless::new();
    let spec = rootless.call("spec").args(["--rootless", "--bundle"]).arg(&rootless.bundle.directory);
    std::fs::remove_file(rootless.bundle.path("config.json")).ok();
    spec.ok();
    let text = rootless.bundle.read_file("config.json");
    rootless.bundle.config.0 = serde_json::from_str(&text).expect("a template is JSON");
    rootless.bundle.config.set("/process/terminal", false).set("/root/readonly", json!(false));
    rootless.bundle.config.script(&attack(&group.0));
    let ran = rootless.run();
    assert_eq!(ran.code, 0, "{ran}");
    for done in ["made", "written", "removed"] {
        assert!(!ran.stdout.contains(done), "the host's group was changed: {ran}");
    }
}
