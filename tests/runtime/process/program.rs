//! `args`, and what becomes of them: the program that is executed.

use std::fs;

use serde_json::json;

use crate::harness::{Bundle, each};

#[test]
fn args_arrive_as_they_are() {
    let mut bundle = Bundle::new();
    bundle.config.args(["cat", "/proc/self/cmdline", "", "a b", "$HOME", "\n", "ü"]);
    let ran = bundle.run();
    assert_eq!(ran.stdout, "cat\0/proc/self/cmdline\0\0a b\0$HOME\0\n\0ü\0");
}

#[test]
fn the_program_is_looked_for_in_the_path_of_env() {
    let mut bundle = Bundle::new();
    crate::harness::host::write_program(&bundle.rootfs.join("opt/first/tool"), "#!/bin/sh\necho first\n");
    crate::harness::host::write_program(&bundle.rootfs.join("opt/second/tool"), "#!/bin/sh\necho second\n");
    fs::create_dir_all(bundle.rootfs.join("opt/directory/tool")).expect("make a directory named like the program");
    bundle.write_file("rootfs/opt/plain/tool", "not executable");
    bundle.config.args(["tool"]);
    for (path, output) in [
        ("/opt/second:/opt/first", "second\n"),
        ("/nonexistent:/opt/first", "first\n"),
        ("/opt/directory:/opt/plain:/opt/second", "second\n"),
    ] {
        bundle.config.set("/process/env", json!([format!("PATH={path}")]));
        assert_eq!(bundle.output(), output, "{path}");
    }
}

#[test]
fn a_program_with_a_slash_is_not_looked_for() {
    let mut bundle = Bundle::new();
    bundle.config.args(["/bin/echo", "absolute"]);
    assert_eq!(bundle.output(), "absolute\n");
    bundle.config.args(["./echo", "relative"]).set("/process/cwd", "/bin");
    assert_eq!(bundle.output(), "relative\n");
}

#[test]
fn programs_that_can_not_be_run_are_errors_of_create() {
    // The words decide about the exit codes 126 and 127 of docker and podman.
    let mut bundle = Bundle::new();
    bundle.write_file("rootfs/opt/plain", "not executable");
    each(
        [
            ("missing", &["exec: \"missing\": executable file not found in $PATH"][..]),
            ("/missing", &["exec: \"/missing\": stat /missing: no such file or directory"]),
            ("/opt/plain", &["exec: \"/opt/plain\": permission denied"]),
            ("/opt/plain/x", &["/opt/plain/x", "not a directory"]),
            ("/tmp", &["exec: \"/tmp\":", "is a directory"]),
            ("", &["exec: \"\""]),
        ],
        |(program, needles)| {
            bundle.config.args([program]);
            bundle.refused(needles);
        },
    );
    bundle.config.set("/process/args", json!([]));
    bundle.refused(&["args"]);
}

#[test]
fn a_program_that_the_kernel_refuses_is_an_error_of_start() {
    let bundle = Bundle::new();
    crate::harness::host::write_program(&bundle.rootfs.join("bin/empty"), "");
    crate::harness::host::write_program(&bundle.rootfs.join("bin/lost"), "#!/no/such/interpreter\n");
    for (program, needle) in [("empty", "exec format error"), ("lost", "no such file or directory")] {
        let mut bundle = Bundle::new();
        crate::harness::host::write_program(&bundle.rootfs.join("bin/empty"), "");
        crate::harness::host::write_program(&bundle.rootfs.join("bin/lost"), "#!/no/such/interpreter\n");
        bundle.config.args([program]);
        let container = bundle.create();
        container.run("start").refused(&[program, needle]);
        container.process.wait();
        assert_eq!(container.status(), "stopped");
        container.delete();
        bundle.run().refused(&[program, needle]);
        bundle.assert_nothing_left();
    }
}
