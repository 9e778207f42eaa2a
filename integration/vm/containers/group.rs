//! A container's group as the host sees it.

use std::fs;
use std::process::Command;

use crate::harness::{Place, succeeded};

#[path = "../group.rs"]
mod files;
pub use files::{Group, MOUNT_POINT};

impl Group {
    /// The group that the kernel says a process is in.
    #[track_caller]
    pub fn of_process(pid: &str) -> Group {
        Group::from_memberships(&fs::read_to_string(format!("/proc/{pid}/cgroup")).unwrap())
    }

    /// That of a container's first process.
    #[track_caller]
    pub fn of(place: &Place, name: &str) -> Group {
        Group::of_process(&place.field(name, ".State.Pid"))
    }
}

/// The group around a container's.
pub fn scope(container: &Group) -> Group {
    Group(container.0.parent().unwrap().into())
}

/// What a line of the host's shell prints.
#[track_caller]
pub fn host(line: &str) -> String {
    let output = Command::new("sh").args(["-euc", line]).output().unwrap();
    succeeded(&output, line)
}

/// Waits until a container has said something, and gives all that it said.
#[track_caller]
pub fn said(place: &Place, name: &str, text: &str) -> String {
    let mut all = String::new();
    crate::harness::until(&format!("{name} said {text:?}"), || {
        let (_, output, errors) = place.outcome(&["logs", name]);
        all = output + &errors;
        all.contains(text)
    });
    all
}
