//! Every property of `process`, as the program itself and the kernel see it.

mod capabilities;
mod cwd;
mod environment;
mod inherited;
mod program;
mod rlimits;
mod scheduling;
mod user;

use serde_json::json;

use crate::harness::Bundle;

/// One line of /proc/self/status as the container's program sees it.
fn status(bundle: &mut Bundle, name: &str) -> String {
    bundle.config.args(["cat", "/proc/self/status"]);
    let status = bundle.output();
    status_line(&status, name)
}

fn status_line(status: &str, name: &str) -> String {
    let value = status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
    value.unwrap_or_else(|| panic!("no {name} in {status}")).trim().replace('\t', " ")
}

#[test]
fn properties_that_nobody_knows_are_ignored() {
    let mut bundle = Bundle::script("echo fine");
    bundle.config.set("/process/futureProperty", json!({"deep": [1, 2]})).set("/future", json!(null));
    bundle.config.set("/linux/future", json!([])).set("/root/future", "x").set("/process/user/future", 3);
    bundle.config.set("/mounts/0/future", true).set("/linux/resources/future", json!({"limit": 1}));
    bundle.config.set("/solaris", json!({})).set("/windows", json!({"layerFolders": []})).set("/zos", json!({}));
    assert_eq!(bundle.output(), "fine\n");
}
