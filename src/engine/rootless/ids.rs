//! The ids that a user may give away: subuid(5), subgid(5), newuidmap(1).

use std::fs;
use std::process::Command;

use anyhow::{Context, Result, bail};
use rustix::process::{Gid, Uid};

use crate::helper;
use crate::image::layer::copy::{IdMaps, IdRange};

/// The user itself as root, and after it one subordinate range after the other.
pub(super) fn of_user(user: Uid, group: Gid) -> IdMaps {
    let name = name_of(user);
    let read = |file: &str| fs::read_to_string(file).unwrap_or_default();
    let subordinate = |file: &str| subordinate(&read(file), user.as_raw(), name.as_deref());
    IdMaps {
        users: ranges(user.as_raw(), subordinate("/etc/subuid")),
        groups: ranges(group.as_raw(), subordinate("/etc/subgid")),
    }
}

/// Whether there are others than the user's own, which may be mapped without help.
pub(super) fn need_help(maps: &IdMaps) -> bool {
    maps.users.len() + maps.groups.len() > 2
}

/// Maps the ids of a process's user namespace by the set-user-ID helpers.
pub(super) fn map(pid: u32, maps: &IdMaps) -> Result<()> {
    for (helper, ranges) in [("newuidmap", &maps.users), ("newgidmap", &maps.groups)] {
        let numbers = ranges.iter().flat_map(|range| [range.container, range.host, range.length]);
        let mut command = Command::new(helper);
        command.arg(pid.to_string()).args(numbers.map(|number| number.to_string()));
        let what = || format!("map the subordinate ids by {helper} (package uidmap)");
        let (status, said) = helper::run(&mut command, helper::OF_IDS).with_context(what)?;
        if !status.success() {
            bail!("{helper} can't map the subordinate ids (package uidmap): {said}");
        }
    }
    Ok(())
}

fn ranges(own: u32, subordinate: Vec<(u32, u32)>) -> Vec<IdRange> {
    let mut ranges = vec![IdRange { container: 0, host: own, length: 1 }];
    let mut next: u32 = 1;
    for (host, length) in subordinate {
        // More than there are numbers, on either side, are not to be had: user_namespaces(7).
        let length = length.min(u32::MAX - next).min(u32::MAX - host);
        if length > 0 {
            ranges.push(IdRange { container: next, host, length });
        }
        next += length;
    }
    ranges
}

/// The lines for a user, by name or number.
pub(crate) fn subordinate(text: &str, user: u32, name: Option<&str>) -> Vec<(u32, u32)> {
    let number = user.to_string();
    let line = |line: &str| {
        let mut fields = line.split(':');
        let owner = fields.next()?;
        let (first, length) = (fields.next()?.parse().ok()?, fields.next()?.trim().parse().ok()?);
        (owner == number || Some(owner) == name).then_some((first, length))
    };
    text.lines().filter_map(line).filter(|(_, length)| *length > 0).collect()
}

fn name_of(user: Uid) -> Option<String> {
    let text = fs::read_to_string("/etc/passwd").ok()?;
    let number = user.as_raw().to_string();
    let mut lines = text.lines().map(|line| line.split(':').collect::<Vec<_>>());
    lines.find(|fields| fields.get(2) == Some(&number.as_str()))?.first().map(|name| (*name).to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn subordinate_ids_are_a_users_by_name_or_number() {
        let text = "other:100000:65536\nme:200000:65536\n1000:400000:10\nme:bad:1\nme:7:0\nbroken\n";
        assert_eq!(subordinate(text, 1000, Some("me")), [(200_000, 65536), (400_000, 10)]);
        assert_eq!(subordinate(text, 1001, None), []);
    }

    #[test]
    fn the_user_is_root_and_the_ranges_follow() {
        let maps = ranges(1000, vec![(200_000, 65536), (400_000, 10)]);
        let range = |container, host, length| IdRange { container, host, length };
        assert_eq!(maps, [range(0, 1000, 1), range(1, 200_000, 65536), range(65537, 400_000, 10)]);
        // A file may say anything.
        let maps = ranges(1000, vec![(5, u32::MAX), (7, u32::MAX), (u32::MAX, 1)]);
        assert_eq!(maps, [range(0, 1000, 1), range(1, 5, u32::MAX - 5), range(u32::MAX - 4, 7, 4)]);
    }
}
