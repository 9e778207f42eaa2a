//! Many containers: nothing of them stays.

use std::fs;
use std::path::Path;

use serde_json::json;

use crate::group::MOUNT_POINT;
use crate::harness::Bundle;

const COUNT: usize = 1000;
const AT_ONCE: usize = 4;

fn groups(directory: &Path) -> Vec<String> {
    let entries = fs::read_dir(directory).expect("list the groups").flatten().map(|entry| entry.path());
    let mut found = Vec::new();
    for path in entries.filter(|path| path.is_dir()) {
        found.push(path.display().to_string());
        found.extend(groups(&path));
    }
    found
}

#[test]
fn a_thousand_containers_leave_no_group() {
    let mut bundle = Bundle::new();
    bundle.config.set("/linux/resources/pids/limit", 10).set("/linux/resources/memory/limit", 1 << 24);
    bundle.config.set("/linux/resources/cpu", json!({"shares": 100}));
    // Their groups are the point, and not what they see of the host.
    bundle.config.without_namespace("network").without_namespace("ipc").set("/mounts", json!([]));
    bundle.config.set("/linux/maskedPaths", json!([])).set("/linux/readonlyPaths", json!([]));
    bundle.write();
    let live = |number: usize| {
        let id = bundle.another_id(&number.to_string());
        let make = |command: &str| drop(bundle.call(command).arg("--bundle").arg(&bundle.directory).arg(&id).ok());
        // The ways that a person and an engine go.
        if number.is_multiple_of(2) {
            make("run");
        } else {
            make("create");
            bundle.call("delete").args(["--force", &id]).ok();
        }
    };
    // Some at once, as on a busy host.
    std::thread::scope(|scope| {
        for first in 0..AT_ONCE {
            scope.spawn(move || (first..COUNT).step_by(AT_ONCE).for_each(live));
        }
    });
    let left: Vec<String> =
        groups(Path::new(MOUNT_POINT)).into_iter().filter(|group| group.contains(&bundle.id)).collect();
    assert_eq!(left, Vec::<String>::new());
    assert_eq!(fs::read_dir(&bundle.state).expect("list the state directory").count(), 0);
}
