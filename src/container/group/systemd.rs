//! The group as a unit that systemd starts and stops.
//!
//! A scope is started around a process. That is the container's first one, which waits outside for it before it does
//! anything: systemd moves it in, and whatever it makes from then on is in the group. No other process is needed, an
//! ordinary user can do it from anywhere (a clone into the group is allowed only to who may write to all groups between), and
//! it takes no more time than moving a process that would hold the scope for a later clone.

use std::path::Path;

use anyhow::{Result, bail};
use rustix::process::{Pid, geteuid};

use super::limits::Limits;
use super::{Kept, Place, cgroups_path};
use crate::cgroup::systemd::properties::{Property, as_systemd_keeps, limits};
use crate::cgroup::systemd::{Systemd, Unit, annotation, unit_properties};
use crate::cgroup::{Group, Hierarchy};
use crate::container::directory::Directory;
use crate::container::host::in_initial_user_namespace;
use crate::container::options::{Host, Rootless};
use crate::error::Attempt;
use crate::spec::Spec;
use crate::spec::resources::LinuxResources;

/// crun's annotation: the container lives in a group of this name below that of the unit.
const SUB_GROUP: &str = "run.oci.systemd.subgroup";

struct Upcoming {
    systemd: Systemd,
    is_user: bool,
    unit: Unit,
    description: String,
    /// Those that systemd has a property for.
    properties: Vec<Property>,
    /// What annotations ask for.
    asked: Vec<Property>,
    hierarchy: Hierarchy,
    /// That of the unit.
    unit_group: Group,
    /// The container's: the same, or one below it.
    group: Group,
    limits: Limits,
    is_up: bool,
}

pub(super) fn place(host: &Host, spec: &Spec, id: &str) -> Result<Option<Box<dyn Place>>> {
    let is_user = is_user(host);
    let unit = Unit::new(cgroups_path(spec), id, is_user)?;
    let resources = spec.linux.resources.clone().unwrap_or_default();
    let asked = annotation::properties(&spec.annotations)?;
    let limits_of_files = Limits::new(host, &as_systemd_keeps(&resources))?;
    let sub_group = sub_group(spec)?;

    let hierarchy = Hierarchy::find()?;
    let mut systemd = Systemd::connect(is_user)?;
    let unit_group = Group::at(systemd.directory(&hierarchy, &unit)?);
    Ok(Some(Box::new(Upcoming {
        properties: limits(&resources, systemd.version()?)?,
        systemd,
        is_user,
        unit,
        description: format!("container {id}"),
        asked,
        hierarchy,
        group: unit_group.below(sub_group.unwrap_or_default())?,
        unit_group,
        limits: limits_of_files,
        is_up: false,
    })))
}

/// Whether it is the user's systemd that is asked, not the system's.
fn is_user(host: &Host) -> bool {
    match host.rootless {
        Rootless::True => true,
        Rootless::False => false,
        Rootless::Auto if !geteuid().is_root() => true,
        Rootless::Auto => !in_initial_user_namespace() && !owns_system(),
    }
}

/// Root of a user namespace is either an ordinary user of the host, or root of a system container that has a systemd of its
/// own.
fn owns_system() -> bool {
    use std::os::unix::fs::MetadataExt;
    std::fs::metadata("/run/systemd/private").is_ok_and(|socket| socket.uid() == 0)
}

fn sub_group(spec: &Spec) -> Result<Option<&str>> {
    let Some(name) = spec.annotations.get(SUB_GROUP).filter(|name| !name.is_empty()) else { return Ok(None) };
    if name.contains(['/', '\0', '\n']) || matches!(name.as_str(), "." | "..") {
        bail!("annotations[{SUB_GROUP:?}]: {name:?} is not the name of one directory");
    }
    Ok(Some(name))
}

impl Upcoming {
    fn start(&mut self, first: Option<Pid>) -> Result<()> {
        let properties =
            unit_properties(&self.unit, &self.description, first, self.properties.clone(), self.asked.clone());
        let is_new = self.systemd.start(&self.unit, &properties)?;
        self.is_up = true;
        if !is_new {
            let wanted: Vec<Property> = self.properties.iter().chain(&self.asked).cloned().collect();
            self.systemd.set(&self.unit.name, &wanted)?;
        }
        if self.group != self.unit_group {
            let path = self.group.path();
            std::fs::create_dir(path).attempt(|| format!("annotations[{SUB_GROUP:?}]: make cgroup {path:?}"))?;
        }
        Ok(())
    }
}

impl Place for Upcoming {
    fn hierarchy(&self) -> &Hierarchy {
        &self.hierarchy
    }

    fn group(&self) -> &Group {
        &self.group
    }

    fn lines(&self) -> Vec<String> {
        let mut lines = vec![format!("start systemd unit {:?} in {:?}", self.unit.name, self.unit.slice)];
        lines.extend(self.properties.iter().chain(&self.asked).map(|(name, value)| format!("set {name} to {value}")));
        if self.group != self.unit_group {
            lines.push(format!("make {:?}", self.group.path()));
        }
        lines.extend(self.limits.lines());
        lines
    }

    fn write_down(&self, directory: &Directory) -> Result<()> {
        if !self.unit.is_slice() && !self.unit_group.is_empty()? {
            // Not to be written down as this container's, not even for a moment.
            bail!("systemd unit {:?} exists already, with processes in it", self.unit.name);
        }
        self.unit_group.refuse_below_frozen()?;
        directory.link_cgroup(self.group.path())?;
        directory.link_unit(&Path::new(if self.is_user { "user" } else { "system" }).join(&self.unit.name))
    }

    /// A slice needs no process.
    fn make(&mut self) -> Result<bool> {
        if self.unit.is_slice() {
            self.start(None)?;
        }
        Ok(true)
    }

    fn birthplace(&self) -> Option<&Group> {
        self.unit.is_slice().then_some(&self.group)
    }

    fn adopt(&mut self, first: Pid) -> Result<()> {
        if self.unit.is_slice() {
            return Ok(());
        }
        self.start(Some(first))?;
        if self.group != self.unit_group {
            self.group.add(first)?;
        }
        Ok(())
    }

    fn limit(&self) -> Result<()> {
        self.limits.apply(&self.group)
    }

    fn undo(&mut self) {
        if self.is_up {
            let _ = self.unit_group.kill();
            let _ = self.systemd.stop(&self.unit.name);
            let _ = self.unit_group.remove();
        }
    }
}

/// A unit that is written down.
struct Started {
    is_user: bool,
    unit: String,
    unit_group: Group,
    group: Group,
}

/// `link` is what [`Place::write_down`] wrote.
pub(super) fn kept(group: Group, link: &Path) -> Box<dyn Kept> {
    let unit = link.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let of_unit = group.path().ancestors().filter(|path| path.ends_with(&unit)).last().unwrap_or(group.path());
    Box::new(Started { is_user: link.starts_with("user"), unit_group: Group::at(of_unit), unit, group })
}

impl Kept for Started {
    fn group(&self) -> &Group {
        &self.group
    }

    fn update(&self, stored: &LinuxResources, change: &LinuxResources) -> Result<LinuxResources> {
        Systemd::connect(self.is_user)?.update(&self.unit, &self.group, stored, change)
    }

    fn adopts(&self) -> bool {
        true
    }

    fn adopt(&self, process: Pid, group: &Group) -> Result<()> {
        let below = group.path().strip_prefix(self.unit_group.path()).unwrap_or(Path::new(""));
        let below = Path::new("/").join(below).to_string_lossy().into_owned();
        Systemd::connect(self.is_user)?.attach(&self.unit, &below, &[process])
    }

    /// The unit ends with its group even where nobody can ask systemd for it: where it is gone, the user's for one that has
    /// logged out, so are its units.
    fn remove(&self) -> Result<()> {
        self.unit_group.kill()?;
        let stopped = Systemd::connect(self.is_user).map_or(Ok(()), |mut systemd| systemd.stop(&self.unit));
        let removed = self.unit_group.remove();
        stopped.and(removed)
    }
}
