//! `:z` and `:Z`: SELinux's labels of what is mounted, on a machine that has them.

use std::fs;
use std::os::fd::{AsRawFd, BorrowedFd};

use anyhow::{Context, Result};
use rustix::fs::{XattrFlags, setxattr};
use rustix::io::Errno;

use super::source;
use crate::engine::record::{Mounted, Record};
use crate::engine::{Engine, specification};

/// Files of containers, where the policy doesn't say which these are.
const DEFAULT: &str = "system_u:object_r:container_file_t:s0";

/// Whether SELinux is there (selinuxfs).
pub(in crate::engine) fn is_enabled() -> bool {
    fs::exists("/sys/fs/selinux/enforce").unwrap_or(false)
}

/// Gives all files of a source the label of the container's.
pub(super) fn change(engine: &Engine, record: &Record, mounted: &Mounted) -> Result<()> {
    if mounted.relabel.is_empty() || !is_enabled() {
        return Ok(());
    }
    let (kind, level) = specification::file_label(record)?;
    let level = if mounted.relabel == "private" { level } else { "s0".into() };
    let label = label(&of_policy(), &kind, &level);
    let set = |file: BorrowedFd<'_>| {
        // The link of /proc leads to the file itself, also where that is a link.
        let path = format!("/proc/self/fd/{}", file.as_raw_fd());
        match setxattr(path, c"security.selinux", label.as_bytes(), XattrFlags::empty()) {
            // A file system that has one label for all of it (setxattr(2)).
            Err(Errno::OPNOTSUPP) => Ok(()),
            done => done,
        }
    };
    source::open(engine, mounted)
        .and_then(|top| source::each(top, set))
        .with_context(|| format!("give {} the label {label}", mounted.source))
}

/// A label with another type and another level, where these are said and the policy has levels.
fn label(base: &str, kind: &str, level: &str) -> String {
    let mut parts: Vec<&str> = base.splitn(4, ':').collect();
    for (at, said) in [(2, kind), (3, level)] {
        if let Some(part) = parts.get_mut(at).filter(|_| !said.is_empty()) {
            *part = said;
        }
    }
    parts.join(":")
}

/// The label that the policy has for files of containers (selabel_lxc_contexts(5)).
fn of_policy() -> String {
    let read = |path: String| fs::read_to_string(path).unwrap_or_default();
    let configuration = read("/etc/selinux/config".into());
    let policy = value(&configuration, "SELINUXTYPE").unwrap_or("targeted");
    let contexts = read(format!("/etc/selinux/{policy}/contexts/lxc_contexts"));
    value(&contexts, "file").unwrap_or(DEFAULT).to_owned()
}

/// The value of `KEY = "VALUE"`, with or without blanks and quotes.
fn value<'t>(text: &'t str, key: &str) -> Option<&'t str> {
    text.lines().find_map(|line| {
        let (name, value) = line.split_once('=')?;
        (name.trim() == key).then(|| value.trim().trim_matches('"'))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_label_is_the_policys_with_what_is_said() {
        assert_eq!(label(DEFAULT, "", "s0:c1,c2"), "system_u:object_r:container_file_t:s0:c1,c2");
        assert_eq!(label("u:r:t:s0:c5,c6", "other_t", "s0"), "u:r:other_t:s0");
        assert_eq!(label("u:r:t:s0:c5,c6", "", ""), "u:r:t:s0:c5,c6");
        assert_eq!(label("u:r:t", "", "s0"), "u:r:t");
        assert_eq!(value("# SELINUXTYPE=x\nSELINUXTYPE=mine\n", "SELINUXTYPE"), Some("mine"));
        assert_eq!(value("process = \"a\"\nfile = \"u:r:t:s0\"\n", "file"), Some("u:r:t:s0"));
    }
}
