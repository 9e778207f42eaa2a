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
