//! `capabilities` and `noNewPrivileges`.

use serde_json::json;

use super::{status, status_line};
use crate::harness::probe::{capability_set, own_capabilities};
use crate::harness::{Bundle, host};

/// The capability sets of the container's program: inheritable, permitted, effective, bounding, ambient.
fn capability_sets(bundle: &mut Bundle) -> [String; 5] {
    bundle.config.args(["cat", "/proc/self/status"]);
    let status = bundle.output();
    ["CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"].map(|name| status_line(&status, name))
}

#[test]
fn of_root() {
    let (few, more) = (["CAP_CHOWN", "CAP_KILL"], ["CAP_CHOWN", "CAP_KILL", "CAP_NET_RAW"]);
    let (few_set, more_set) = (capability_set(&few), capability_set(&more));
    let none = capability_set(&[]);
    let mut bundle = Bundle::new();
    // no_new_privs keeps execve(2) from giving root the whole bounding set.
    let capabilities = json!({"bounding": more, "permitted": few, "effective": few});
    bundle.config.set("/process/noNewPrivileges", true).set("/process/capabilities", capabilities);
    assert_eq!(capability_sets(&mut bundle), [&none, &few_set, &few_set, &more_set, &none].map(String::as_str));
    bundle.config.set("/process/noNewPrivileges", false);
    assert_eq!(capability_sets(&mut bundle), [&none, &more_set, &more_set, &more_set, &none].map(String::as_str));
}

#[test]
fn of_a_user() {
    let names = ["CAP_CHOWN", "CAP_NET_RAW"];
    let set = capability_set(&names);
    let none = capability_set(&[]);
    let mut bundle = Bundle::new();
    bundle.config.set("/process/user/uid", 1000);
    bundle.config.capabilities(&["bounding", "permitted", "effective"], &names);
    assert_eq!(capability_sets(&mut bundle), [&none, &none, &none, &set, &none].map(String::as_str));
    bundle.config.capabilities(&["bounding", "permitted", "effective", "inheritable"], &names);
    assert_eq!(capability_sets(&mut bundle), [&set, &none, &none, &set, &none].map(String::as_str));
    bundle.config.capabilities(&["bounding", "permitted", "effective", "inheritable", "ambient"], &names);
    assert_eq!(capability_sets(&mut bundle), [&set, &set, &set, &set, &set].map(String::as_str));
    let one = capability_set(&["CAP_CHOWN"]);
    bundle.config.set("/process/capabilities/ambient", json!(["CAP_CHOWN"]));
    assert_eq!(capability_sets(&mut bundle), [&set, &one, &one, &set, &one].map(String::as_str));
}

#[test]
fn work() {
    let mut bundle = Bundle::new();
    bundle.config.set("/process/noNewPrivileges", true);
    bundle.config.capabilities(&["bounding", "permitted", "effective"], &["CAP_CHOWN"]);
    assert_eq!(bundle.shell("touch /f; chown 7 /f; stat -c %u /f; mount -t tmpfs x /tmp 2>&1 || true"), {
        "7\nmount: permission denied (are you root?)\n"
    });
}

#[test]
fn no_capabilities_unless_given() {
    let none = capability_set(&[]);
    let mut bundle = Bundle::new();
    bundle.config.remove("/process/capabilities");
    assert_eq!(capability_sets(&mut bundle), [&none; 5].map(String::as_str));
    bundle.config.set("/process/capabilities", json!({}));
    assert_eq!(capability_sets(&mut bundle), [&none; 5].map(String::as_str));
}

#[test]
fn every_capability() {
    let mut bundle = Bundle::new();
    bundle.config.all_capabilities();
    let names = own_capabilities();
    let set = capability_set(&names.iter().map(String::as_str).collect::<Vec<_>>());
    let [_, permitted, effective, bounding, _] = capability_sets(&mut bundle);
    assert_eq!([permitted, effective, bounding], [&set; 3].map(String::as_str));
}

#[test]
fn unknown_capabilities_are_left_out() {
    let set = capability_set(&["CAP_KILL"]);
    let mut bundle = Bundle::new();
    bundle.config.capabilities(&["bounding", "permitted", "effective"], &["CAP_KILL", "CAP_NO_SUCH"]);
    let [_, permitted, _, bounding, _] = capability_sets(&mut bundle);
    assert_eq!([permitted, bounding], [&set; 2].map(String::as_str));
}

#[test]
fn no_new_privileges() {
    let mut bundle = Bundle::new();
    bundle.add_probe();
    host(&format!("chmod 4755 {}/bin/probe", bundle.rootfs.display()));
    bundle.config.set("/process/user/uid", 1000);
    for (given, line, effective) in [(true, "1", "effective_user 1000"), (false, "0", "effective_user 0")] {
        bundle.config.set("/process/noNewPrivileges", given);
        assert_eq!(status(&mut bundle, "NoNewPrivs"), line);
        bundle.config.args(["probe", "process"]);
        assert!(bundle.output().lines().any(|line| line == effective), "noNewPrivileges: {given}");
    }
    bundle.config.remove("/process/noNewPrivileges");
    assert_eq!(status(&mut bundle, "NoNewPrivs"), "0");
}
