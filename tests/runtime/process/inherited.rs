//! What the program has of its caller, and what it has not.

use std::fs;

use super::{status, status_line};
use crate::harness::Bundle;

#[test]
fn signals_are_as_at_the_beginning() {
    // Engines, shells and the Rust library leave ignored and blocked signals behind, and execve(2) keeps them.
    let mut bundle = Bundle::new();
    bundle.config.args(["cat", "/proc/self/status"]);
    let call = bundle.run_call().arg(&bundle.id).through([
        "env",
        "--block-signal=USR1,TERM,CHLD",
        "--ignore-signal=PIPE,INT,QUIT,USR2,HUP,CHLD",
    ]);
    let status = call.ok().stdout;
    for name in ["SigBlk", "SigIgn", "ShdPnd", "SigPnd"] {
        assert_eq!(status_line(&status, name), "0000000000000000", "{name}");
    }
}

#[test]
fn nothing_of_the_runtime_sticks_to_the_program() {
    let mut bundle = Bundle::new();
    let text = bundle.probe(&["process"]);
    for line in [
        "dumpable 1",
        "parent_death_signal 0",
        "subreaper 0",
        "keep_capabilities 0",
        "securebits 0",
        "session 1",
        "group 1",
    ] {
        assert!(text.lines().any(|found| found == line), "no {line:?} in {text}");
    }
    assert_eq!(status(&mut bundle, "Seccomp"), "0");
    assert_eq!(status(&mut bundle, "Threads"), "1");
}

#[test]
fn affinity_of_the_caller_is_reset() {
    // An engine that is bound to one CPU must not bind its containers: the cpuset decides.
    let mut bundle = Bundle::new();
    bundle.config.args(["cat", "/proc/self/status"]);
    let all = fs::read_to_string("/proc/self/status").expect("read the tests' status");
    let all = status_line(&all, "Cpus_allowed_list");
    let call = bundle.run_call().arg(&bundle.id).through(["taskset", "--cpu-list", "0"]);
    assert_eq!(status_line(&call.ok().stdout, "Cpus_allowed_list"), all);
}
