//! The group as a directory that the runtime makes itself.

use std::path::PathBuf;

use anyhow::Result;
use rustix::process::Pid;

use super::limits::Limits;
use super::{Kept, Place, cgroups_path, ignores_refusal};
use crate::cgroup::{Group, Hierarchy, may_do_without_group, path_of};
use crate::container::directory::Directory;
use crate::container::options::Host;
use crate::spec::Spec;
use crate::spec::resources::LinuxResources;

struct Upcoming {
    hierarchy: Hierarchy,
    /// Below the hierarchy's mount point.
    path: PathBuf,
    group: Group,
    limits: Limits,
    cgroups_path: Option<String>,
    ignores_refusal: bool,
}

pub(super) fn place(host: &Host, spec: &Spec, id: &str) -> Result<Option<Box<dyn Place>>> {
    let limits = Limits::new(host, &spec.linux.resources.clone().unwrap_or_default())?;
    let asked = cgroups_path(spec);
    let hierarchy = match Hierarchy::find() {
        Err(_) if ignores_refusal(host) && asked.is_none() && limits.writes.is_empty() => return Ok(None),
        result => result?,
    };
    let path = path_of(asked, id, &hierarchy.own)?;
    Ok(Some(Box::new(Upcoming {
        group: Group::at(hierarchy.directory(&path)),
        hierarchy,
        path,
        limits,
        cgroups_path: asked.map(str::to_owned),
        ignores_refusal: ignores_refusal(host),
    })))
}

impl Place for Upcoming {
    fn hierarchy(&self) -> &Hierarchy {
        &self.hierarchy
    }

    fn group(&self) -> &Group {
        &self.group
    }

    fn lines(&self) -> Vec<String> {
        let mut lines = vec![format!("make {:?}", self.group.path())];
        lines.extend(self.limits.lines());
        lines
    }

    fn write_down(&self, directory: &Directory) -> Result<()> {
        directory.link_cgroup(self.group.path())
    }

    /// An ordinary user who has no right to goes without, if nothing was to be limited.
    fn make(&mut self) -> Result<bool> {
        match Group::create(&self.hierarchy, &self.path) {
            Ok(group) => self.group = group,
            Err(error) if self.ignores_refusal => {
                may_do_without_group(error, self.cgroups_path.as_deref(), &self.limits.writes)?;
                return Ok(false);
            }
            Err(error) => return Err(error),
        }
        Ok(true)
    }

    fn birthplace(&self) -> Option<&Group> {
        Some(&self.group)
    }

    fn adopt(&mut self, _: Pid) -> Result<()> {
        Ok(())
    }

    fn limit(&self) -> Result<()> {
        self.limits.apply(&self.group)
    }

    fn undo(&mut self) {
        let _ = self.group.kill();
        let _ = self.group.remove();
        self.group.undo();
    }
}

pub(super) fn kept(group: Group) -> Box<dyn Kept> {
    Box::new(group)
}

impl Kept for Group {
    fn group(&self) -> &Group {
        self
    }

    fn update(&self, stored: &LinuxResources, change: &LinuxResources) -> Result<LinuxResources> {
        Group::update(self, stored, change)
    }

    fn adopts(&self) -> bool {
        false
    }

    fn adopt(&self, process: Pid, group: &Group) -> Result<()> {
        group.add(process)
    }

    fn remove(&self) -> Result<()> {
        Group::remove(self)
    }
}
