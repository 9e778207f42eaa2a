//! What the calls of `ctn` on a test's own store have in common.

use std::path::Path;
use std::process::{Command, Output, Stdio};

/// Sets up a call: nothing of the caller's environment, the test's store and directory, no input.
pub fn prepare(command: &mut Command, directory: &Path, arguments: &[&str]) {
    command.env_clear().env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin").env("CTN_ROOT", directory.join("store"));
    command.args(arguments).current_dir(directory).stdin(Stdio::null());
}

/// What was printed, by what should have succeeded.
#[track_caller]
pub fn succeeded(output: &Output, what: impl std::fmt::Debug) -> String {
    assert!(output.status.success(), "{what:?}: {:?} {}", output.status, String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout.clone()).unwrap()
}

/// Copies a program to where it is run, by a process of its own: what another thread starts meanwhile would have the file open for writing
/// until its execve(2), and so long the kernel runs it for nobody ("text file busy").
#[track_caller]
pub fn install(from: &Path, to: &Path) {
    let output = Command::new("install").args(["-D", "--mode=755"]).args([from, to]).output().unwrap();
    succeeded(&output, ("install", to));
}

/// Writes a script to where it is run.
#[track_caller]
pub fn install_script(path: &Path, text: &str) {
    let draft = path.with_extension("draft");
    std::fs::write(&draft, format!("#!/bin/sh\n{text}\n")).unwrap();
    install(&draft, path);
    std::fs::remove_file(draft).unwrap();
}
