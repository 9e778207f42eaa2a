//! A container's group as the host sees it.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::harness::{Place, succeeded};

/// Where cgroup2 is mounted on this machine.
pub const MOUNT_POINT: &str = "/sys/fs/cgroup";

#[derive(Debug)]
pub struct Group(pub PathBuf);

impl Group {
    /// The group that the kernel says a process is in.
    #[track_caller]
    pub fn of_process(pid: &str) -> Group {
        let text = fs::read_to_string(format!("/proc/{pid}/cgroup")).unwrap();
        Group(Path::new(MOUNT_POINT).join(text.trim_end().strip_prefix("0::/").unwrap()))
    }

    /// That of a container's first process.
    #[track_caller]
    pub fn of(place: &Place, name: &str) -> Group {
        Group::of_process(&place.field(name, ".State.Pid"))
    }

    /// A file without its last line feed.
    #[track_caller]
    pub fn read(&self, file: &str) -> String {
        let path = self.0.join(file);
        let text = fs::read_to_string(&path).unwrap_or_else(|error| panic!("read {}: {error}", path.display()));
        text.trim_end().to_owned()
    }

    #[track_caller]
    pub fn number(&self, file: &str) -> u64 {
        let text = self.read(file);
        text.parse().unwrap_or_else(|error| panic!("{file} is {text:?}: {error}"))
    }

    /// A number of a file whose lines are `key number`.
    #[track_caller]
    pub fn count(&self, file: &str, key: &str) -> u64 {
        let text = self.read(file);
        let found = text.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(' ')?.parse().ok());
        found.unwrap_or_else(|| panic!("no {key} in {file}:\n{text}"))
    }

    /// What each of these files holds.
    #[track_caller]
    pub fn holds(&self, files: &[(&str, &str)]) {
        for (file, expected) in files {
            assert_eq!(self.read(file), *expected, "{file} of {}", self.0.display());
        }
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
