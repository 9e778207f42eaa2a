//! `user`: ids, groups, umask; and what belongs to that user.

use std::fs;
use std::os::unix::fs::MetadataExt;

use serde_json::json;

use super::status_line;
use crate::harness::Bundle;

#[test]
fn user_and_groups() {
    let mut bundle = Bundle::new();
    bundle.config.set("/process/user", json!({"uid": 1000, "gid": 2000, "additionalGids": [3000, 0, 4000]}));
    bundle.config.args(["cat", "/proc/self/status"]);
    let text = bundle.output();
    assert_eq!(status_line(&text, "Uid"), "1000 1000 1000 1000");
    assert_eq!(status_line(&text, "Gid"), "2000 2000 2000 2000");
    let mut groups: Vec<String> = status_line(&text, "Groups").split(' ').map(str::to_owned).collect();
    groups.retain(|group| group != "2000");
    assert_eq!(groups, ["0", "3000", "4000"]);
}

#[test]
fn groups_of_the_caller_are_dropped() {
    let mut bundle = Bundle::new();
    bundle.config.args(["cat", "/proc/self/status"]);
    let call = bundle.run_call().arg(&bundle.id).through(["setpriv", "--groups", "7001,7002", "--"]);
    assert_eq!(status_line(&call.ok().stdout, "Groups"), "");
}

#[test]
fn groups_of_the_caller_are_kept_if_an_annotation_asks() {
    let mut bundle = Bundle::new();
    bundle.config.args(["cat", "/proc/self/status"]).set("/annotations/run.oci.keep_original_groups", "1");
    let call = bundle.run_call().arg(&bundle.id).through(["setpriv", "--groups", "7001,7002", "--"]);
    assert_eq!(status_line(&call.ok().stdout, "Groups"), "7001 7002");
}

#[test]
fn umask() {
    let mut bundle = Bundle::new();
    let with = |bundle: &Bundle| {
        let call = bundle.run_call().arg(&bundle.id).after("umask 077");
        status_line(&call.ok().stdout, "Umask")
    };
    bundle.config.args(["cat", "/proc/self/status"]);
    assert_eq!(with(&bundle), "0022", "the caller's is not inherited");
    bundle.config.set("/process/user/umask", 0o27);
    assert_eq!(with(&bundle), "0027");
    bundle.config.set("/process/user/umask", 0);
    assert_eq!(with(&bundle), "0000");
}

#[test]
fn stdio_belongs_to_the_user() {
    let mut bundle = Bundle::script("echo out >/proc/self/fd/1; echo err >/proc/self/fd/2; cat /proc/self/fd/0");
    bundle.config.set("/process/user", json!({"uid": 1000, "gid": 1000}));
    let ran = bundle.run_call().arg(&bundle.id).input("in\n").run();
    assert_eq!((ran.code, ran.stdout.as_str(), ran.stderr.as_str()), (0, "out\nin\n", "err\n"), "{ran}");
    // The null device is everybody's: it must not change its owner.
    assert_eq!(bundle.run().code, 0);
    assert_eq!(fs::metadata("/dev/null").expect("look at the null device").uid(), 0);
}

#[test]
fn a_file_that_the_caller_only_reads_stays_the_callers() {
    // Its owner could make it writable, and it may be any file of the host.
    let mut bundle = Bundle::script("cat");
    bundle.config.set("/process/user", json!({"uid": 1000, "gid": 1000}));
    let path = bundle.write_file("input", "in\n");
    let owner = || fs::metadata(&path).expect("look at the input").uid();
    let call = bundle.run_call().arg(&bundle.id).stdin(fs::File::open(&path).expect("open the input"));
    assert_eq!((call.ok().stdout.as_str(), owner()), ("in\n", 0));
    bundle.config.user_namespace(100_000);
    let call = bundle.run_call().arg(&bundle.id).stdin(fs::File::open(&path).expect("open the input"));
    assert_eq!((call.ok().stdout.as_str(), owner()), ("in\n", 0));
}
