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
//! An ordinary user's scopes are those of the user's own systemd, whose life is a session's, or the machine's with `loginctl enable-linger`.
//! Where there is none, monitor and container are beside whoever starts the container, if a group may be made there.
//!
//! Shares and reservations stand against those of the groups beside, so the scope has them, too. Whatever is counted of containers is
//! counted of each, for `stats`, whether it is limited or not.
//!
//! That the monitor is in the scope keeps the container's group there until its end has been looked at: systemd removes the group of a scope
//! at the moment in which its last process ends, and with it the count of what was killed for want of memory.

use std::ffi::OsStr;
use std::path::{Component, Path, PathBuf};

use anyhow::{Context, Result, ensure};
use rustix::fs::{Access, access};
use rustix::process::{Pid, getpid};

use super::record::Record;
use super::{Container, Engine, specification};
use crate::cgroup::systemd::properties::{Property, limits};
use crate::cgroup::systemd::value::Value;
use crate::cgroup::systemd::{Systemd, Unit, slice_path};
use crate::cgroup::{Group, Hierarchy, Manager};
use crate::sys::signal::Received;

/// The signal by which systemd stops a scope. Every process of it gets this one, but it is meant for the monitor, which stops the
/// container in the way that this one wants it: by default nothing comes of it in other processes (signal(7)).
const STOP: i32 = libc::SIGCONT;

/// Where a container's monitor is.
#[derive(Debug, Default)]
pub(super) struct Entered {
    /// The container's `cgroupsPath`.
    pub(super) group: String,
    /// The scope that it is in.
    scope: Option<Scope>,
}

impl Entered {
    /// Whether systemd says that the container is to stop. Others send SIGCONT to what they have stopped, and mean nothing by it.
    pub(super) fn is_stop(&self, signal: &Received) -> bool {
        let Some(scope) = self.scope.as_ref().filter(|_| signal.number == STOP) else { return false };
        signal.sender.is_some_and(|sender| scope.is_of(sender)) && scope.is_stopped()
    }
}

/// A scope, and the process that ends it.
#[derive(Debug)]
struct Scope {
    owner: Owner,
    unit: String,
    manager: i32,
}

impl Scope {
    /// The machine's manager may be in a pid namespace around this one.
    fn is_of(&self, sender: u32) -> bool {
        i32::try_from(sender).is_ok_and(|sender| self.manager == sender || self.manager == 1 && sender == 0)
    }

    /// Whether systemd stops it, and doesn't only pass somebody's signal on (`systemctl kill`). A manager that doesn't answer is taken to be
    /// going down itself.
    fn is_stopped(&self) -> bool {
        let is_active = self.owner.connect().and_then(|mut systemd| systemd.is_active(&self.unit));
        !is_active.unwrap_or(false)
    }
}

/// How much longer than the container's own time to stop systemd waits.
const GRACE: u64 = 10;

/// The groups below a scope.
const MONITOR: &str = "monitor";
const CONTAINER: &str = "container";

/// The controllers that count something.
const COUNTING: [&str; 4] = ["cpu", "io", "memory", "pids"];

/// Where a container's groups are.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// In a scope of this slice.
    Scope(Owner, String),
    /// Below this group, as a path from the root of the hierarchy.
    Below(PathBuf),
    /// An ordinary user's, where nothing else was asked for: beside the group of whoever starts it, if it may be made there.
    Beside,
}

/// Whose systemd is asked for a scope.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Owner {
    /// The machine's.
    System,
    /// That of the user whose runtime directory this is.
    User(PathBuf),
}

impl Owner {
    /// None where no systemd runs.
    fn of(engine: &Engine) -> Option<Owner> {
        match &engine.user {
            _ if !has_systemd() => None,
            None => Some(Owner::System),
            Some(user) => {
                let directory = user.session.as_ref()?;
                directory.join("systemd/private").exists().then(|| Owner::User(directory.clone()))
            }
        }
    }

    fn connect(&self) -> Result<Systemd> {
        match self {
            Owner::System => Systemd::connect(false),
            Owner::User(directory) => Systemd::of_user(directory),
        }
    }

    /// Where such things are put.
    fn slice(&self) -> &'static str {
        match self {
            Owner::System => "system.slice",
            Owner::User(_) => "user.slice",
        }
    }
}

/// Who makes the groups of containers that don't ask for a place of their own.
pub fn manager(engine: &Engine) -> Manager {
    if Owner::of(engine).is_some() { Manager::Systemd } else { Manager::Cgroupfs }
}

/// sd_booted(3).
fn has_systemd() -> bool {
    Path::new("/run/systemd/system").is_dir()
}

impl Place {
    /// That of a container.
    pub(super) fn of(engine: &Engine, record: &Record) -> Result<Place> {
        let parent = record.host_config.cgroup_parent.as_str();
        match (&engine.user, parent, Owner::of(engine)) {
            (Some(_), "", None) => Ok(Place::Beside),
            (_, parent, owner) => Place::decide(parent, owner),
        }
    }

    /// A slice is systemd's, a path is one in the file system; without systemd a name is a path, whatever it ends in.
    fn decide(parent: &str, systemd: Option<Owner>) -> Result<Place> {
        ensure!(
            !Path::new(parent).components().any(|part| part == Component::ParentDir),
            "--cgroup-parent {parent:?} has a \"..\" in it, which could leave the hierarchy"
        );
        match (parent.trim_matches('/'), systemd) {
            ("", Some(owner)) => Ok(Place::Scope(owner.clone(), owner.slice().into())),
            ("", None) => Ok(Place::Below("/corten".into())),
            (slice, Some(owner)) if slice == parent && slice.ends_with(".slice") => {
                slice_path(slice).with_context(|| format!("--cgroup-parent {parent:?}"))?;
                Ok(Place::Scope(owner, slice.into()))
            }
            (path, _) => Ok(Place::Below(Path::new("/").join(path))),
        }
    }

    /// The group that a monitor is born in; none where it is to find its place itself, or has to stay with whoever starts it.
    pub(super) fn of_monitors(&self) -> Option<Group> {
        let Place::Below(parent) = self else { return None };
        let path = Hierarchy::find().ok()?.directory(parent).join("monitors");
        std::fs::create_dir_all(&path).ok()?;
        Some(Group::at(path))
    }

    /// Has this process, a container's monitor, where it is to be.
    pub(super) fn enter(&self, record: &Record) -> Result<Entered> {
        let mut entered = None;
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
            Place::Scope(owner, slice) => {
                let unit = unit(slice, record)?;
                let mut systemd = owner.connect()?;
                systemd.start_anew(&unit, &properties(&unit, record)?)?;
                let manager = systemd.pid().unwrap_or(1);
                entered = Some(Scope { owner: owner.clone(), unit: unit.name, manager });
                let hierarchy = Hierarchy::find()?;
                let scope = &hierarchy.own;
                Group::create(&hierarchy, &scope.join(MONITOR))?.add(getpid())?;
                count_below(&hierarchy.directory(scope));
                scope.join(CONTAINER)
            }
        };
        Ok(Entered { group: path.to_string_lossy().into_owned(), scope: entered })
    }

    /// Where a container is that whoever is asked here refuses: an ordinary user's has done without before.
    pub(super) fn otherwise(&self, record: &Record) -> Option<Place> {
        let is_users = matches!(self, Place::Scope(Owner::User(_), _));
        (is_users && record.host_config.cgroup_parent.is_empty()).then_some(Place::Beside)
    }

    /// Tells whoever made the groups of a container that runs of its new limits, which it has already.
    pub(super) fn update(&self, container: &Container<'_>) -> Result<()> {
        let Place::Scope(owner, slice) = self else { return Ok(()) };
        let unit = unit(slice, &container.record)?;
        if container.scope().is_none_or(|scope| scope.file_name() != Some(OsStr::new(&unit.name))) {
            return Ok(());
        }
        owner.connect()?.set(&unit.name, &shares(&container.record)?)
    }
}

impl Container<'_> {
    /// The directory of the scope in which it runs, if it runs in one of its own.
    fn scope(&self) -> Option<PathBuf> {
        let group = std::fs::read_link(self.engine.host().root.join(self.id()).join("cgroup")).ok()?;
        let scope = group.parent()?;
        let is_own = group.file_name()? == CONTAINER && scope.extension().is_some_and(|kind| kind == "scope");
        is_own.then(|| scope.to_owned())
    }

    /// The group for what is to live as long as the container does, beside its monitor.
    ///
    /// Who starts a program in the container has to be able to make processes in its group: clone(2) asks for the right to write to the
    /// `cgroup.procs` of the group that has both below it. An ordinary user in a login session has it not, and so has systemd move this
    /// process there.
    pub fn enter_group(&self) -> Result<Option<Group>> {
        let Ok(hierarchy) = Hierarchy::find() else { return Ok(None) };
        let pid = std::fs::read_to_string(self.running().join("monitor")).ok();
        let pid = pid.and_then(|pid| Pid::from_raw(pid.trim().parse().ok()?));
        let Some(group) = pid.and_then(|pid| hierarchy.group_of(pid).ok()) else { return Ok(None) };
        if let (Some(scope), Some(owner)) = (self.scope(), Owner::of(self.engine))
            && matches!(owner, Owner::User(_))
            && group.path().parent() == Some(&scope)
            && !may_move(&hierarchy.directory(&hierarchy.own), &scope)
        {
            let unit = scope.file_name().unwrap_or_default().to_string_lossy();
            owner.connect()?.attach(&unit, &format!("/{MONITOR}"), &[getpid()])?;
        }
        Ok(Some(group))
    }
}

/// Whether processes may be moved from one group into another (cgroups(7), "Delegation containment").
fn may_move(from: &Path, to: &Path) -> bool {
    let above = from.ancestors().find(|above| to.starts_with(above));
    above.is_some_and(|above| access(above.join("cgroup.procs"), Access::WRITE_OK).is_ok())
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
        let scope = |slice: &str| Place::Scope(Owner::System, slice.into());
        let below = |path: &str| Place::Below(path.into());
        for (parent, with, without) in [
            ("", scope("system.slice"), below("/corten")),
            ("/", scope("system.slice"), below("/corten")),
            ("a-b.slice", scope("a-b.slice"), below("/a-b.slice")),
            ("/a.slice", below("/a.slice"), below("/a.slice")),
            ("/pods/one/", below("/pods/one"), below("/pods/one")),
            ("pods", below("/pods"), below("/pods")),
        ] {
            assert_eq!(Place::decide(parent, Some(Owner::System)).unwrap(), with, "{parent}");
            assert_eq!(Place::decide(parent, None).unwrap(), without, "{parent}");
        }
        let user = Owner::User("/run/user/7".into());
        assert_eq!(Place::decide("", Some(user.clone())).unwrap(), Place::Scope(user, "user.slice".into()));
        for parent in ["../../../tmp", "/pods/../x", ".."] {
            let error = Place::decide(parent, None).unwrap_err().to_string();
            assert!(error.starts_with(&format!("--cgroup-parent {parent:?}")), "{error}");
        }
        let error = crate::error::sentence(&Place::decide("a--b.slice", Some(Owner::System)).unwrap_err());
        assert!(error.starts_with("--cgroup-parent \"a--b.slice\""), "{error}");
    }
}
