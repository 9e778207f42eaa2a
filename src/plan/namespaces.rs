//! Which namespaces are new, which are joined, and in which process: the order in which the container is entered.

use anyhow::{Result, bail};

use super::step::{Step, c_string};
use super::{Host, Preparation, Preparations};
use crate::spec::{IdMapping, Linux};
use crate::sys::clone::CloneFlags;

/// A kind of namespace.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// cgroup_namespaces(7).
    Cgroup,
    /// ipc_namespaces(7).
    Ipc,
    /// mount_namespaces(7).
    Mount,
    /// network_namespaces(7).
    Network,
    /// pid_namespaces(7).
    Pid,
    /// time_namespaces(7).
    Time,
    /// user_namespaces(7).
    User,
    /// uts_namespaces(7).
    Uts,
}

impl Kind {
    /// All of them, the user namespace last: the others may belong to the one that is left by joining it.
    pub const ALL: [Kind; 8] =
        [Kind::Cgroup, Kind::Ipc, Kind::Mount, Kind::Network, Kind::Pid, Kind::Time, Kind::Uts, Kind::User];

    /// The specification's name.
    pub fn name(self) -> &'static str {
        match self {
            Kind::Cgroup => "cgroup",
            Kind::Ipc => "ipc",
            Kind::Mount => "mount",
            Kind::Network => "network",
            Kind::Pid => "pid",
            Kind::Time => "time",
            Kind::User => "user",
            Kind::Uts => "uts",
        }
    }

    /// The file's name in /proc/PID/ns.
    pub fn file(self) -> &'static str {
        match self {
            Kind::Mount => "mnt",
            Kind::Network => "net",
            other => other.name(),
        }
    }

    /// CLONE_NEW*.
    pub fn flag(self) -> CloneFlags {
        match self {
            Kind::Cgroup => CloneFlags::NEWCGROUP,
            Kind::Ipc => CloneFlags::NEWIPC,
            Kind::Mount => CloneFlags::NEWNS,
            Kind::Network => CloneFlags::NEWNET,
            Kind::Pid => CloneFlags::NEWPID,
            Kind::Time => CloneFlags::NEWTIME,
            Kind::User => CloneFlags::NEWUSER,
            Kind::Uts => CloneFlags::NEWUTS,
        }
    }
}

/// What the configuration says of the namespaces, by kind.
#[derive(Debug, Clone, Default)]
pub struct Wanted {
    entries: Vec<(Kind, Option<String>)>,
    /// Joined by a path that leads to the runtime's own.
    shared: Vec<Kind>,
}

impl Wanted {
    /// Reads `linux.namespaces` with all that hangs on it.
    pub fn new(linux: &Linux) -> Result<Wanted> {
        let mut entries = Vec::new();
        for (index, namespace) in linux.namespaces.iter().enumerate() {
            let at = format!("linux.namespaces[{index}]");
            let Some(kind) = Kind::ALL.into_iter().find(|kind| kind.name() == namespace.kind) else {
                bail!("{at}.type: {:?} is not a namespace that Linux has", namespace.kind);
            };
            let path = (!namespace.path.is_empty()).then(|| namespace.path.clone());
            if path.as_ref().is_some_and(|path| !path.starts_with('/')) {
                bail!("{at}.path: {:?} is not an absolute path", namespace.path);
            }
            entries.push((kind, path));
        }
        let wanted = Wanted { entries, shared: Vec::new() };
        wanted.check(linux)?;
        Ok(wanted)
    }

    fn check(&self, linux: &Linux) -> Result<()> {
        let mapped = !linux.uid_mappings.is_empty() || !linux.gid_mappings.is_empty();
        if self.is_new(Kind::User) && (linux.uid_mappings.is_empty() || linux.gid_mappings.is_empty()) {
            bail!("linux.uidMappings: a new user namespace needs uidMappings and gidMappings");
        }
        if mapped && !self.has(Kind::User) {
            bail!("linux.uidMappings: ids are mapped, but linux.namespaces has no user namespace");
        }
        if !linux.time_offsets.is_empty() && !self.is_new(Kind::Time) {
            bail!("linux.timeOffsets: needs a new time namespace in linux.namespaces");
        }
        for (clock, offset) in &linux.time_offsets {
            if offset.nanosecs >= 1_000_000_000 {
                bail!("linux.timeOffsets.{clock}.nanosecs: {} is a second or more", offset.nanosecs);
            }
            if !matches!(clock.as_str(), "monotonic" | "boottime") {
                bail!("linux.timeOffsets.{clock}: the kernel shifts the clocks \"monotonic\" and \"boottime\" only");
            }
        }
        Ok(())
    }

    /// Listed at all.
    pub fn has(&self, kind: Kind) -> bool {
        self.entries.iter().any(|(listed, _)| *listed == kind)
    }

    /// Says which of the joined ones are the runtime's own, and so the host's.
    pub fn sharing(self, shared: &[Kind]) -> Wanted {
        Wanted { shared: shared.to_vec(), ..self }
    }

    /// Listed, and not the runtime's own under another name: what is changed in it does not change the host.
    pub fn is_apart(&self, kind: Kind) -> bool {
        self.has(kind) && !self.shared.contains(&kind)
    }

    /// Listed without a path.
    pub fn is_new(&self, kind: Kind) -> bool {
        self.entries.iter().any(|(listed, path)| *listed == kind && path.is_none())
    }

    /// Listed with a path.
    pub fn path(&self, kind: Kind) -> Option<&str> {
        self.entries.iter().find(|(listed, _)| *listed == kind)?.1.as_deref()
    }
}

/// The lines for `uid_map` and `gid_map` of a new user namespace.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IdMaps {
    /// In order.
    pub uids: Vec<IdMapping>,
    /// In order.
    pub gids: Vec<IdMapping>,
}

/// How the container's namespaces are entered.
#[derive(Debug, Clone)]
pub struct Entry {
    /// Steps of a process between the runtime and init; empty when one clone does it all.
    ///
    /// It is needed where init must be born in a pid namespace that is joined, where a user namespace is joined, where
    /// namespaces outside are joined before a new user namespace takes the rights to, and for a new time namespace, whose
    /// offsets can only be set while nothing runs in it. The runtime itself never changes its namespaces: its hooks run in
    /// them.
    pub between: Vec<Step>,
    /// The flags of the runtime's own clone.
    pub clone: CloneFlags,
    /// What init does first.
    pub first: Vec<Step>,
    /// The maps of a new user namespace.
    pub id_maps: Option<IdMaps>,
}

/// Decides how to enter.
pub fn entry(linux: &Linux, wanted: &Wanted, host: &Host, preparations: &mut Preparations) -> Entry {
    let joins = joins(wanted, preparations);
    let new_user = wanted.is_new(Kind::User);
    let new_time = wanted.is_new(Kind::Time);
    let joined_user = wanted.path(Kind::User).is_some() && wanted.is_apart(Kind::User);
    let maps = IdMaps { uids: linux.uid_mappings.clone(), gids: linux.gid_mappings.clone() };
    // A new cgroup namespace is rooted at the cgroup of whoever calls, so init makes it, from inside its cgroup.
    let mut new = CloneFlags::empty();
    for kind in Kind::ALL.into_iter().filter(|kind| *kind != Kind::Cgroup && wanted.is_new(*kind)) {
        new |= kind.flag();
    }
    let mut first = Vec::new();
    let mut between = Vec::new();
    // An ipc namespace has a file system, mqueue, whose root belongs to the user who makes it: root of the container, once it is that.
    let mut by_init = if new.contains(CloneFlags::NEWUSER) { new & CloneFlags::NEWIPC } else { CloneFlags::empty() };
    new -= by_init;
    let mut clone = new;
    if wanted.path(Kind::Pid).is_some() || joined_user || new_time || (new_user && !joins.is_empty()) {
        clone = CloneFlags::empty();
        // Of an undumpable process /proc/PID belongs to root, and an ordinary user could not write its maps and offsets.
        let early = host.privileged || !new_user;
        between.extend(early.then_some(Step::Undumpable));
        between.extend(joins);
        if joined_user {
            between.extend([Step::BecomeRoot, Step::JoinRefused]);
            if !linux.uid_mappings.is_empty() {
                between.push(Step::CheckIdMaps(maps.clone()));
            }
        }
        if new_time {
            if new_user {
                new -= CloneFlags::NEWUSER;
                between.extend([Step::Unshare(CloneFlags::NEWUSER), Step::AwaitIdMaps, Step::BecomeRoot]);
            }
            new -= CloneFlags::NEWTIME;
            between.push(Step::Unshare(CloneFlags::NEWTIME));
            if !linux.time_offsets.is_empty() {
                between.push(Step::TimeOffsets(time_offsets(linux)));
            }
        }
        between.push(Step::CloneInit(new | CloneFlags::PARENT));
    } else {
        first.extend(joins);
    }
    if new.contains(CloneFlags::NEWUSER) {
        first.extend([Step::AwaitIdMaps, Step::BecomeRoot]);
    }
    first.push(Step::Undumpable);
    if wanted.is_new(Kind::Cgroup) {
        by_init |= CloneFlags::NEWCGROUP;
    }
    if !by_init.is_empty() {
        first.push(Step::Unshare(by_init));
    }
    Entry { between, clone, first, id_maps: new_user.then_some(maps) }
}

/// The joins, in an order in which the kernel allows them: with a user namespace among them the others are tried first, for what
/// belongs to the outside, and again from within.
fn joins(wanted: &Wanted, preparations: &mut Preparations) -> Vec<Step> {
    let may_fail = wanted.path(Kind::User).is_some() && wanted.is_apart(Kind::User);
    let mut steps = Vec::new();
    for kind in Kind::ALL {
        let Some(path) = wanted.path(kind) else { continue };
        // setns(2): the user namespace that one is in can't be joined again.
        if kind == Kind::User && !wanted.is_apart(kind) {
            continue;
        }
        let path = c_string(path);
        let slot = preparations.add(Preparation::OpenNamespace { kind, path: path.clone() });
        let index = wanted.entries.iter().position(|(listed, _)| *listed == kind).unwrap_or_default();
        let field = format!("linux.namespaces[{index}].path");
        let may_fail = may_fail && kind != Kind::User;
        steps.push(Step::Join { namespaces: kind.flag(), path, slot, may_fail, field });
    }
    steps
}

fn time_offsets(linux: &Linux) -> String {
    linux.time_offsets.iter().map(|(clock, offset)| format!("{clock} {} {}\n", offset.secs, offset.nanosecs)).collect()
}
