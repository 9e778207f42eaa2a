//! An ordinary user's images: everything is done as root of a user namespace, so that files keep their owners.

use std::fs;
use std::io::Write;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};
use rustix::process::{Gid, Uid, getegid, geteuid};

use crate::error::Attempt;
use crate::image::layer::copy::{IdMaps, IdRange};
use crate::sys::clone::{CloneFlags, unshare};

/// Waits until the namespace is there, and maps its ids from outside with the set-user-ID helpers.
const HELPER: &str = r#"read -r _ && newuidmap "$1" $2 && newgidmap "$1" $3"#;

/// Enters a user namespace in which this user is root and has all the subordinate ids of /etc/subuid and /etc/subgid. Returns the
/// maps; none for root, who needs nothing of it.
pub(super) fn enter() -> Result<Option<IdMaps>> {
    let (user, group) = (geteuid(), getegid());
    if user.is_root() {
        return Ok(None);
    }
    let name = name_of(user);
    let maps = IdMaps {
        users: ranges(user.as_raw(), subordinate("/etc/subuid", user, name.as_deref())),
        groups: ranges(group.as_raw(), subordinate("/etc/subgid", user, name.as_deref())),
    };
    if maps.users.len() + maps.groups.len() > 2 {
        by_helpers(&maps)?;
    } else {
        alone(user, group)?;
    }
    Ok(Some(maps))
}

/// Without subordinate ids: files of other owners than root will be refused.
fn alone(user: Uid, group: Gid) -> Result<()> {
    make()?;
    let write = |file: &str, text: String| fs::write(file, text).attempt(|| format!("write {file:?}"));
    write("/proc/self/setgroups", "deny".into())?;
    write("/proc/self/uid_map", format!("0 {} 1", user.as_raw()))?;
    write("/proc/self/gid_map", format!("0 {} 1", group.as_raw()))
}

fn make() -> Result<()> {
    unshare(CloneFlags::NEWUSER | CloneFlags::NEWNS).attempt(|| "make a user namespace")
}

fn by_helpers(maps: &IdMaps) -> Result<()> {
    let text = |ranges: &[IdRange]| {
        let numbers = ranges.iter().flat_map(|range| [range.container, range.host, range.length]);
        numbers.map(|number| number.to_string()).collect::<Vec<_>>().join(" ")
    };
    let pid = std::process::id().to_string();
    let mut helper = Command::new("/bin/sh")
        .args(["-c", HELPER, "map", &pid, &text(&maps.users), &text(&maps.groups)])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .spawn()
        .attempt(|| "start the helper that maps ids")?;
    let made = make();
    let mut stdin = helper.stdin.take().context("the helper's input is a pipe")?;
    if made.is_ok() {
        stdin.write_all(b"go\n").attempt(|| "tell the helper that maps ids")?;
    }
    drop(stdin);
    let status = helper.wait().attempt(|| "wait for the helper that maps ids")?;
    made?;
    ensure!(status.success(), "newuidmap or newgidmap failed (package uidmap): the subordinate ids can't be mapped");
    Ok(())
}

/// The user itself as root, and after it one subordinate range after the other.
fn ranges(own: u32, subordinate: Vec<(u32, u32)>) -> Vec<IdRange> {
    let mut ranges = vec![IdRange { container: 0, host: own, length: 1 }];
    let mut next = 1;
    for (host, length) in subordinate {
        ranges.push(IdRange { container: next, host, length });
        next += length;
    }
    ranges
}

/// The lines of subuid(5) for a user, by name or number.
fn subordinate(file: &str, user: Uid, name: Option<&str>) -> Vec<(u32, u32)> {
    let text = fs::read_to_string(file).unwrap_or_default();
    let number = user.as_raw().to_string();
    let line = |line: &str| {
        let mut fields = line.split(':');
        let owner = fields.next()?;
        let (first, length) = (fields.next()?.parse().ok()?, fields.next()?.trim().parse().ok()?);
        (owner == number || Some(owner) == name).then_some((first, length))
    };
    text.lines().filter_map(line).collect()
}

fn name_of(user: Uid) -> Option<String> {
    let text = fs::read_to_string("/etc/passwd").ok()?;
    let number = user.as_raw().to_string();
    let mut lines = text.lines().map(|line| line.split(':').collect::<Vec<_>>());
    lines.find(|fields| fields.get(2) == Some(&number.as_str()))?.first().map(|name| (*name).to_owned())
}
