//! The cgroups of a container and of its monitor: where they are, and who makes them.
//!
//! Neither is in the group of whoever started the container, whose end would else be theirs: a service that is stopped, a session that is
//! closed.
//!
//! | | where systemd runs | elsewhere, and below a path that was asked for |
//! | --- | --- | --- |
//! | made by | systemd, as a scope that is delegated: what is below it is ours | ourselves |
//! | the container | `SLICE/corten-ID.scope/container` | `PARENT/ID` |
//! | the monitor | `SLICE/corten-ID.scope/monitor` | `PARENT/monitors`, with the others |
//!
//! Shares and reservations stand against those of the groups beside, so the scope has them, too. Whatever is counted of containers is
//! counted of each, for `stats`, whether it is limited or not.
//!
//! That the monitor is in the scope keeps the container's group there until its end has been looked at: systemd removes the group of a scope
//! at the moment in which its last process ends, and with it the count of what was killed for want of memory.

use std::path::{Component, Path, PathBuf};

use anyhow::{Context, Result, ensure};
use rustix::process::getpid;

use super::record::Record;
use super::{Engine, specification};
use crate::cgroup::systemd::properties::{Property, limits};
use crate::cgroup::systemd::value::Value;
use crate::cgroup::systemd::{Systemd, Unit, slice_path};
use crate::cgroup::{Group, Hierarchy, Manager};
use crate::sys::signal::Received;

/// The signal by which systemd stops a scope. Every process of it gets this one, but it is meant for the monitor, which stops the
/// container in the way that this one wants it: by default nothing comes of it in other processes (signal(7)).
const STOP: i32 = libc::SIGCONT;

/// Whether systemd says so: it is the first process, or in a pid namespace around this one. Others send SIGCONT to what they have
/// stopped, and mean nothing by it.
pub(super) fn is_stop(signal: &Received) -> bool {
    signal.number == STOP && matches!(signal.sender, Some(0 | 1))
}

/// How much longer than the container's own time to stop systemd waits.
const GRACE: u64 = 10;

/// The controllers that count something.
const COUNTING: [&str; 4] = ["cpu", "io", "memory", "pids"];

/// Where a container's groups are.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// In a scope of this slice.
    Scope(String),
    /// Below this group, as a path from the root of the hierarchy.
    Below(PathBuf),
    /// An ordinary user's, where nothing else was asked for: beside the group of whoever starts it, if it may be made there.
    Beside,
}

/// Who makes the groups of containers that don't ask for a place of their own.
pub fn manager() -> Manager {
    if has_systemd() { Manager::Systemd } else { Manager::Cgroupfs }
}

/// sd_booted(3).
fn has_systemd() -> bool {
    Path::new("/run/systemd/system").is_dir()
}

impl Place {
    /// That of a container.
    pub(super) fn of(engine: &Engine, record: &Record) -> Result<Place> {
        let parent = record.host_config.cgroup_parent.as_str();
        match (&engine.user, parent) {
            (Some(_), "") => Ok(Place::Beside),
            (user, parent) => Place::decide(parent, user.is_none() && has_systemd()),
        }
    }

    /// A slice is systemd's, a path is one in the file system; without systemd a name is a path, whatever it ends in.
    fn decide(parent: &str, has_systemd: bool) -> Result<Place> {
        ensure!(
            !Path::new(parent).components().any(|part| part == Component::ParentDir),
            "--cgroup-parent {parent:?} has a \"..\" in it, which could leave the hierarchy"
        );
        match parent.trim_matches('/') {
            "" if has_systemd => Ok(Place::Scope("system.slice".into())),
            "" => Ok(Place::Below("/corten".into())),
            slice if has_systemd && slice == parent && slice.ends_with(".slice") => {
                slice_path(slice).with_context(|| format!("--cgroup-parent {parent:?}"))?;
                Ok(Place::Scope(slice.into()))
            }
            path => Ok(Place::Below(Path::new("/").join(path))),
        }
    }

    /// The group that a monitor is born in; none where it is to find its place itself, or has to stay with whoever starts it.
    pub(super) fn of_monitors(&self) -> Option<Group> {
        let Place::Below(parent) = self else { return None };
        let path = Hierarchy::find().ok()?.directory(parent).join("monitors");
        std::fs::create_dir_all(&path).ok()?;
        Some(Group::at(path))
    }

    /// Has this process, a container's monitor, where it is to be, and gives the container's `cgroupsPath`.
    pub(super) fn enter(&self, record: &Record) -> Result<String> {
        let path = match self {
            Place::Beside => PathBuf::new(),
            Place::Below(parent) => {
                if let Ok(hierarchy) = Hierarchy::find() {
                    for path in parent.ancestors().collect::<Vec<_>>().into_iter().rev() {
                        count_below(&hierarchy.directory(path));
                    }
                }
                parent.join(&record.id)
            }
            Place::Scope(slice) => {
                let unit = unit(slice, record)?;
                Systemd::connect(false)?.start_anew(&unit, &properties(&unit, record)?)?;
                let hierarchy = Hierarchy::find()?;
                let scope = &hierarchy.own;
                Group::create(&hierarchy, &scope.join("monitor"))?.add(getpid())?;
                count_below(&hierarchy.directory(scope));
                scope.join("container")
            }
        };
        Ok(path.to_string_lossy().into_owned())
    }

    /// Whether systemd ends it.
    pub(super) fn is_scope(&self) -> bool {
        matches!(self, Place::Scope(_))
    }

    /// Tells whoever made the groups of a container that runs of its new limits, which it has already.
    pub(super) fn update(&self, record: &Record) -> Result<()> {
        let Place::Scope(slice) = self else { return Ok(()) };
        Systemd::connect(false)?.set(&unit(slice, record)?.name, &shares(record)?)
    }
}

fn unit(slice: &str, record: &Record) -> Result<Unit> {
    Unit::new(Some(&format!("{slice}:corten:{}", record.id)), &record.id, false)
}

/// Has a group's processes counted for each of the groups below it, as far as that can be had.
fn count_below(group: &Path) {
    let words = |file: &str| std::fs::read_to_string(group.join(file)).unwrap_or_default();
    let (there, enabled) = (words("cgroup.controllers"), words("cgroup.subtree_control"));
    let has = |words: &str, controller: &str| words.split_whitespace().any(|word| word == controller);
    let missing = COUNTING.iter().filter(|controller| has(&there, controller) && !has(&enabled, controller));
    let command: Vec<String> = missing.map(|controller| format!("+{controller}")).collect();
    if !command.is_empty() {
        // Refused, it is so where something is limited, too, and then somebody is told.
        let _ = std::fs::write(group.join("cgroup.subtree_control"), command.join(" "));
    }
}

/// What a container has in proportion to others.
fn shares(record: &Record) -> Result<Vec<Property>> {
    let mut all = limits(&specification::changeable(&record.host_config)?, 0)?;
    all.retain(|(name, _)| matches!(name.as_str(), "CPUWeight" | "IOWeight" | "MemoryLow"));
    Ok(all)
}

/// What systemd is told of the scope. With its default dependencies it is stopped when the machine goes down, before networks are.
fn properties(unit: &Unit, record: &Record) -> Result<Vec<Property>> {
    let patience = match u64::try_from(record.config.stop_timeout.unwrap_or(10)) {
        Ok(seconds) => seconds.saturating_add(GRACE).saturating_mul(1_000_000),
        Err(_) => u64::MAX,
    };
    let own = Value::Uint32(getpid().as_raw_nonzero().get().cast_unsigned());
    let pairs = [
        ("Description", Value::string(format!("container {}", record.name))),
        ("Slice", Value::string(&unit.slice)),
        ("Delegate", Value::Boolean(true)),
        ("CollectMode", Value::string("inactive-or-failed")),
        ("After", Value::strings(["network.target", "local-fs.target"])),
        ("KillSignal", Value::Int32(STOP)),
        ("TimeoutStopUSec", Value::Uint64(patience)),
        ("PIDs", Value::Array("u".into(), vec![own])),
    ];
    let pairs = pairs.into_iter().map(|(name, value)| (name.to_owned(), value));
    Ok(pairs.chain(shares(record)?).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slice_is_systemds_and_a_path_is_not() {
        let scope = |slice: &str| Place::Scope(slice.into());
        let below = |path: &str| Place::Below(path.into());
        for (parent, with, without) in [
            ("", scope("system.slice"), below("/corten")),
            ("/", scope("system.slice"), below("/corten")),
            ("a-b.slice", scope("a-b.slice"), below("/a-b.slice")),
            ("/a.slice", below("/a.slice"), below("/a.slice")),
            ("/pods/one/", below("/pods/one"), below("/pods/one")),
            ("pods", below("/pods"), below("/pods")),
        ] {
            assert_eq!(Place::decide(parent, true).unwrap(), with, "{parent}");
            assert_eq!(Place::decide(parent, false).unwrap(), without, "{parent}");
        }
        for parent in ["../../../tmp", "/pods/../x", ".."] {
            let error = Place::decide(parent, false).unwrap_err().to_string();
            assert!(error.starts_with(&format!("--cgroup-parent {parent:?}")), "{error}");
        }
        let error = crate::error::sentence(&Place::decide("a--b.slice", true).unwrap_err());
        assert!(error.starts_with("--cgroup-parent \"a--b.slice\""), "{error}");
    }
}
