//! A group's files.

use std::fs;
use std::path::{Path, PathBuf};

/// Where cgroup2 is mounted on this machine.
pub const MOUNT_POINT: &str = "/sys/fs/cgroup";

#[derive(Debug)]
pub struct Group(pub PathBuf);

impl Group {
    /// That of a process, from what its `/proc/PID/cgroup` says.
    #[track_caller]
    pub fn from_memberships(text: &str) -> Group {
        let path = text.trim_end().strip_prefix("0::/").expect("the process is in a group of cgroup2");
        Group(Path::new(MOUNT_POINT).join(path))
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
