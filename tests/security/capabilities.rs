//! Capabilities: a process has the ones that its configuration gives it, in the sets that it says, and none of its
//! caller's (CVE-2022-29162: an inheritable set that nobody asked for makes file capabilities count).

use crate::attacker;
use crate::harness::{Bundle, Call, probe};

/// Calls the runtime as a process with every capability inheritable and ambient, as a careless service is.
fn by_a_careless_caller(call: Call) -> Call {
    call.through([attacker::text(), "inheritable"])
}

/// The sets of `/proc/self/status`, by name.
#[track_caller]
fn set(status: &str, name: &str) -> u64 {
    let line = status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(":\t"));
    u64::from_str_radix(line.unwrap_or_else(|| panic!("no {name} in {status}")), 16).expect("a set is hexadecimal")
}

fn mask(names: &[&str]) -> u64 {
    u64::from_str_radix(&probe::capability_set(names), 16).expect("a set is hexadecimal")
}

#[track_caller]
fn assert_sets(status: &str, names: &[&str]) {
    for (name, expected) in
        [("CapBnd", mask(names)), ("CapPrm", mask(names)), ("CapEff", mask(names)), ("CapInh", 0), ("CapAmb", 0)]
    {
        assert_eq!(set(status, name), expected, "{name} in {status}");
    }
}

const GIVEN: [&str; 2] = ["CAP_KILL", "CAP_NET_BIND_SERVICE"];

fn bundle() -> Bundle {
    let mut bundle = Bundle::script("cat /proc/self/status");
    bundle.config.capabilities(&["bounding", "effective", "permitted"], &GIVEN);
    bundle
}

#[test]
fn nothing_of_the_caller_is_inherited() {
    let mut bundle = bundle();
    let ran = by_a_careless_caller(bundle.run_call().arg(&bundle.id)).ok();
    assert_sets(&ran.stdout, &GIVEN);
    bundle.config.remove("/process/capabilities");
    let ran = by_a_careless_caller(bundle.run_call().arg(&bundle.id)).ok();
    assert_sets(&ran.stdout, &[]);
}

#[test]
fn exec_gives_what_it_is_told_and_makes_nothing_inheritable() {
    let mut bundle = bundle();
    bundle.config.stay();
    let container = bundle.start();
    let call = container.call("exec").args(["--cap", "CAP_CHOWN", "--cap", "sys_chroot", &container.id]);
    let ran = by_a_careless_caller(call.args(["cat", "/proc/self/status"])).ok();
    assert_sets(&ran.stdout, &[&GIVEN[..], &["CAP_CHOWN", "CAP_SYS_CHROOT"]].concat());
}

#[test]
fn a_user_has_none_that_count() {
    let mut bundle = bundle();
    bundle.config.set("/process/user", serde_json::json!({"uid": 1000, "gid": 1000}));
    bundle.config.capabilities(&["bounding", "permitted", "inheritable"], &GIVEN);
    let ran = by_a_careless_caller(bundle.run_call().arg(&bundle.id)).ok();
    assert_eq!(set(&ran.stdout, "CapEff"), 0, "{ran}");
    assert_eq!(set(&ran.stdout, "CapAmb"), 0, "{ran}");
    assert_eq!(set(&ran.stdout, "CapBnd"), mask(&GIVEN), "{ran}");
}

#[test]
fn a_program_with_set_user_id_gains_nothing_with_no_new_privileges() {
    let mut bundle = bundle();
    bundle.add_probe();
    crate::harness::host(&format!("chmod 4755 {}/bin/probe", bundle.rootfs.display()));
    bundle.config.set("/process/user", serde_json::json!({"uid": 1000, "gid": 1000})).args(["probe", "process"]);
    let shown = bundle.output();
    assert!(shown.contains("effective_user 1000\n"), "{shown}");
    bundle.config.set("/process/noNewPrivileges", false);
    let shown = bundle.output();
    assert!(shown.contains("effective_user 0\n"), "it would become root: {shown}");
}

#[test]
fn the_filter_is_loaded_without_leaving_the_right_to() {
    // Without no_new_privs it takes CAP_SYS_ADMIN, which the program must not see.
    let mut bundle = bundle();
    bundle.config.set("/process/noNewPrivileges", false);
    bundle.config.set(
        "/linux/seccomp",
        serde_json::json!({"defaultAction": "SCMP_ACT_ALLOW",
        "syscalls": [{"names": ["acct"], "action": "SCMP_ACT_ERRNO"}]}),
    );
    assert_sets(&bundle.output(), &GIVEN);
    // execve(2) gives root what the bounding set has; who waits for it has what was given.
    assert_sets(&bundle.create().proc_file("status"), &GIVEN);
}
