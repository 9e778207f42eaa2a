//! `linux.resources.devices`, tried on real nodes.

use serde_json::{Value, json};

use crate::harness::Bundle;

/// Tries each device for each kind of access and says which worked. The nodes are made inside, which is allowed; using
/// them is what is decided about.
const TRY: &str = "
    mknod /tmp/kmsg c 1 11; mknod /tmp/fuse c 10 229; mknod /tmp/root b $DISK 0; mknod /tmp/disk b $DISK 16
    for name in kmsg fuse root disk; do
        (: < /tmp/$name) 2>/dev/null && echo $name read
        (: 3<> /tmp/$name) 2>/dev/null && echo $name both
    done
    (: > /tmp/kmsg) 2>/dev/null && echo kmsg write
    head -c 4 /dev/zero > /dev/null && echo done";

/// What a container with these rules, after one that denies everything or allows it, can do.
fn tried(deny: bool, rules: &[Value]) -> Vec<String> {
    let mut bundle = Bundle::script(TRY);
    bundle.config.all_capabilities().env(format!("DISK={}", disk_major()));
    let first = json!({"allow": !deny, "access": "rwm"});
    bundle.config.set("/linux/resources/devices", [&[first], rules].concat());
    bundle.output().lines().map(str::to_owned).collect()
}

fn rule(allow: bool, kind: &str, major: Option<i64>, minor: Option<i64>, access: &str) -> Value {
    let mut rule = json!({"allow": allow, "type": kind, "access": access});
    if let Some(major) = major {
        rule["major"] = major.into();
    }
    if let Some(minor) = minor {
        rule["minor"] = minor.into();
    }
    rule
}

/// The number that the disks share: the first has 0 for the other one, the second 16.
fn disk_major() -> i64 {
    let numbers = std::fs::read_to_string("/sys/class/block/vdb/dev").expect("read the disk's numbers");
    numbers.split(':').next().and_then(|major| major.parse().ok()).expect("a device has a number")
}

#[test]
fn an_allow_list() {
    assert_eq!(tried(true, &[]), ["done"]);
    assert_eq!(tried(true, &[rule(true, "c", Some(1), Some(11), "r")]), ["kmsg read", "done"]);
    assert_eq!(tried(true, &[rule(true, "c", Some(1), Some(11), "w")]), ["kmsg write", "done"]);
    let both = tried(true, &[rule(true, "c", Some(1), Some(11), "rw")]);
    assert_eq!(both, ["kmsg read", "kmsg both", "kmsg write", "done"]);
    assert_eq!(tried(true, &[rule(true, "b", Some(disk_major()), Some(16), "r")]), ["disk read", "done"]);
}

#[test]
fn without_rules_only_what_every_container_has() {
    for resources in [json!({}), json!({"devices": []}), json!({"devices": null}), json!(null)] {
        let mut bundle = Bundle::script(TRY);
        bundle.config.all_capabilities().env(format!("DISK={}", disk_major())).set("/linux/resources", resources);
        assert_eq!(bundle.output(), "done\n");
    }
}

#[test]
fn wildcards() {
    let disks = tried(true, &[rule(true, "b", Some(disk_major()), None, "r")]);
    assert_eq!(disks, ["root read", "disk read", "done"], "any minor number");
    let characters = tried(true, &[rule(true, "c", None, None, "r")]);
    assert_eq!(characters, ["kmsg read", "fuse read", "done"], "any character device");
    let all = tried(true, &[rule(true, "a", Some(-1), Some(-1), "r")]);
    assert_eq!(all, ["kmsg read", "fuse read", "root read", "disk read", "done"], "any device");
}

#[test]
fn a_deny_list() {
    let every =
        ["kmsg read", "kmsg both", "fuse read", "fuse both", "root read", "root both", "disk read", "disk both"];
    assert_eq!(tried(false, &[]), [&every[..], &["kmsg write", "done"]].concat());
    let rules = [rule(false, "c", Some(1), Some(11), "rwm"), rule(false, "b", Some(disk_major()), Some(16), "w")];
    let some = ["fuse read", "fuse both", "root read", "root both", "disk read", "done"];
    assert_eq!(tried(false, &rules), some);
}

#[test]
fn the_last_rule_that_fits_decides() {
    let deny = rule(false, "c", Some(1), None, "rwm");
    let allow = rule(true, "c", Some(1), Some(11), "r");
    assert_eq!(tried(true, &[allow.clone(), deny.clone()]), ["done"]);
    assert_eq!(tried(true, &[deny, allow]), ["kmsg read", "done"]);
}

#[test]
fn exec_and_update_change_nothing_about_devices() {
    let mut bundle = Bundle::staying();
    bundle.config.all_capabilities().env(format!("DISK={}", disk_major()));
    bundle.config.push("/linux/resources/devices", rule(true, "c", Some(1), Some(11), "r"));
    let container = bundle.start();
    let tried = || container.exec(["sh", "-uc", TRY]).stdout;
    assert_eq!(tried(), "kmsg read\ndone\n");
    let everything = json!({"devices": [{"allow": true, "access": "rwm"}], "pids": {"limit": 100}}).to_string();
    container.call("update").args(["--resources", "-", &container.id]).input(&everything).ok();
    assert_eq!(tried(), "kmsg read\ndone\n");
}
