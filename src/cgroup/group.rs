//! One group: made, opened, removed.

use std::ffi::CStr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Component, Path, PathBuf};
use std::time::Duration;

use anyhow::{Result, bail};
use rustix::fs::{AtFlags, CWD, Mode};
use rustix::io::Errno;

use super::events::{self, Events, Waited};
use super::hierarchy::Hierarchy;
use super::{PATIENCE, file, tree};
use crate::error::Attempt;

/// A group of cgroup2, known by the path of its directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Group {
    path: PathBuf,
    made: Vec<PathBuf>,
}

impl Group {
    /// The group at a directory, for example one that a state file names. Nothing is looked at.
    pub fn at(path: impl Into<PathBuf>) -> Group {
        Group { path: path.into(), made: Vec::new() }
    }

    /// Makes the group at `path`, an absolute path below the mount point as [`super::path_of`] gives it, with the groups
    /// above it. One that is there already is taken if it is empty and not frozen. On an error nothing stays.
    pub fn create(hierarchy: &Hierarchy, path: &Path) -> Result<Group> {
        let mut group = Group::at(hierarchy.directory(path));
        let made = group.make(hierarchy, path).and_then(|()| group.check_usable());
        match made {
            Ok(()) => Ok(group),
            Err(error) => {
                group.undo();
                Err(error)
            }
        }
    }

    /// The directory of the group.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The group at a path below this one, as `exec --cgroup` names it; nothing is made or looked at. `/` is this group.
    pub fn below(&self, path: &str) -> Result<Group> {
        let mut below = self.path.clone();
        for component in Path::new(path).components() {
            match component {
                Component::Normal(name) => below.push(name),
                Component::ParentDir => bail!("{path:?} has a \"..\" in it, which could leave the container's cgroup"),
                Component::RootDir | Component::CurDir | Component::Prefix(_) => {}
            }
        }
        Ok(Group::at(below))
    }

    /// The directories that [`Group::create`] made, the uppermost first.
    pub fn made(&self) -> &[PathBuf] {
        &self.made
    }

    /// Opens the directory, for `CLONE_INTO_CGROUP` and for everything done in the group; close-on-exec. It is sure to be
    /// one of cgroup2.
    pub fn open(&self) -> Result<OwnedFd> {
        file::directory(CWD, &self.path).attempt(|| format!("open cgroup {:?}", self.path))
    }

    /// As [`Group::open`]; a group that is not there is no error.
    pub(super) fn open_if_there(&self) -> Result<Option<OwnedFd>> {
        match file::directory(CWD, &self.path) {
            Ok(directory) => Ok(Some(directory)),
            Err(error) if file::is_gone(error) => Ok(None),
            Err(error) => Err(error).attempt(|| format!("open cgroup {:?}", self.path)),
        }
    }

    /// Whether the directory is there.
    pub fn exists(&self) -> Result<bool> {
        Ok(self.open_if_there()?.is_some())
    }

    /// Whether no live process is in the group or below it. A group that is not there is empty.
    pub fn is_empty(&self) -> Result<bool> {
        let Some(directory) = self.open_if_there()? else { return Ok(true) };
        match Events::read(directory.as_fd()) {
            Ok(events) => Ok(!events.populated),
            // The root of the hierarchy has no such file; it is never empty in practice.
            Err(error) if file::is_gone(error) => Ok(!self.exists()? || self.pids(true)?.is_empty()),
            Err(error) => Err(error).attempt(|| format!("read {:?}", self.path.join("cgroup.events"))),
        }
    }

    /// Removes the group and all groups below it. Processes that are dying are waited for, those that live are an error
    /// after [`PATIENCE`]. A group that is not there is no error.
    pub fn remove(&self) -> Result<()> {
        self.remove_within(PATIENCE)
    }

    fn remove_within(&self, patience: Duration) -> Result<()> {
        // The common case is one empty group without others below it.
        match rustix::fs::unlinkat(CWD, &self.path, AtFlags::REMOVEDIR) {
            Ok(()) | Err(Errno::NOENT | Errno::NODEV) => return Ok(()),
            Err(Errno::BUSY | Errno::NOTEMPTY) => {}
            Err(error) => return Err(error).attempt(|| format!("remove cgroup {:?}", self.path)),
        }
        let Some(directory) = self.open_if_there()? else { return Ok(()) };
        let waited = events::wait(directory.as_fd(), patience, |events| !events.populated)
            .attempt(|| format!("wait for {:?}", self.path.join("cgroup.events")))?;
        match waited {
            Waited::Gone => return Ok(()),
            Waited::Reached => {}
            Waited::TimedOut => bail!(
                "remove cgroup {:?}: processes {:?} are still in it after {} s",
                self.path,
                self.members(true)?,
                patience.as_secs()
            ),
        }
        tree::walk(directory, &mut Removal).attempt(|| format!("remove the cgroups below {:?}", self.path))?;
        match rustix::fs::unlinkat(CWD, &self.path, AtFlags::REMOVEDIR) {
            Ok(()) | Err(Errno::NOENT | Errno::NODEV) => Ok(()),
            Err(error) => Err(error).attempt(|| format!("remove cgroup {:?}", self.path)),
        }
    }

    /// Takes back what [`Group::create`] made, as far as nobody uses it: a group above may have got others below it
    /// meanwhile.
    pub fn undo(&self) {
        for path in self.made.iter().rev() {
            match rustix::fs::unlinkat(CWD, path, AtFlags::REMOVEDIR) {
                Ok(()) | Err(Errno::NOENT | Errno::NODEV) => {}
                Err(_) => return,
            }
        }
    }

    /// Someone may remove a group above between our finding it and our making one in it, as the last user of it does; then
    /// the walk starts again. Who loses such a race eight times in a row meets something else than a race.
    fn make(&mut self, hierarchy: &Hierarchy, path: &Path) -> Result<()> {
        for _ in 0..8 {
            match self.make_along(&hierarchy.mount_point, path) {
                Err(Errno::NOENT | Errno::NODEV) => {}
                other => return other.attempt(|| format!("make cgroup {:?}", self.path)),
            }
        }
        Err(Errno::NOENT).attempt(|| format!("make cgroup {:?}", self.path))
    }

    fn make_along(&mut self, mount_point: &Path, path: &Path) -> rustix::io::Result<()> {
        let mut here = mount_point.to_path_buf();
        let mut parent = file::directory(CWD, mount_point)?;
        for component in path.components() {
            let Component::Normal(name) = component else { continue };
            here.push(name);
            match file::directory(parent.as_fd(), Path::new(name)) {
                Ok(found) => parent = found,
                Err(Errno::NOENT) => {
                    match rustix::fs::mkdirat(&parent, name, Mode::from_raw_mode(0o755)) {
                        Ok(()) => self.made.push(here.clone()),
                        Err(Errno::EXIST) => {}
                        Err(error) => return Err(error),
                    }
                    parent = file::directory(parent.as_fd(), Path::new(name))?;
                }
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// A container's first process must not land beside others, nor stand still before its first instruction. The texts
    /// are runc's, which engines know.
    fn check_usable(&self) -> Result<()> {
        let directory = self.open()?;
        self.make_threaded_if_it_must_be(directory.as_fd())?;
        let events =
            Events::read(directory.as_fd()).attempt(|| format!("read {:?}", self.path.join("cgroup.events")))?;
        if events.populated {
            let count = self.members(true)?.len();
            if count > 0 {
                bail!("container's cgroup is not empty: {count} process(es) found in {:?}", self.path);
            }
        }
        if events.frozen {
            bail!("container's cgroup unexpectedly frozen: {:?} or a group above it", self.path);
        }
        Ok(())
    }

    /// Refuses a group in which a process would stand still: that is not there yet, below one that is frozen.
    pub fn refuse_below_frozen(&self) -> Result<()> {
        for above in self.path.ancestors().skip(1) {
            let Some(directory) = Group::at(above).open_if_there()? else { continue };
            return match Events::read(directory.as_fd()) {
                Ok(events) if events.frozen => {
                    bail!("container's cgroup unexpectedly frozen: {above:?} or a group above it")
                }
                Ok(_) => Ok(()),
                // The root of the hierarchy can't be.
                Err(error) if file::is_gone(error) => Ok(()),
                Err(error) => Err(error).attempt(|| format!("read {:?}", above.join("cgroup.events"))),
            };
        }
        Ok(())
    }

    /// A group made below a threaded one can't hold processes until it is threaded itself (cgroups(7), "domain invalid").
    /// The limits that need a domain are refused later, by [`Group::enable_controllers`].
    fn make_threaded_if_it_must_be(&self, group: BorrowedFd<'_>) -> Result<()> {
        match file::read(group, "cgroup.type") {
            Ok(kind) if kind.trim_end() == "domain invalid" => file::write(group, "cgroup.type", "threaded")
                .attempt(|| format!("write \"threaded\" to {:?}", self.path.join("cgroup.type"))),
            _ => Ok(()),
        }
    }
}

struct Removal;

impl tree::Visit for Removal {
    fn leave(&mut self, parent: BorrowedFd<'_>, name: &CStr) -> rustix::io::Result<()> {
        rustix::fs::unlinkat(parent, name, AtFlags::REMOVEDIR)
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::super::scratch::Scratch;
    use super::*;
    use crate::error::{errno, sentence};

    #[test]
    fn a_group_is_made_with_those_above_it_and_removed() {
        let Some(scratch) = Scratch::new() else { return };
        let group = Group::create(&scratch.hierarchy, &scratch.below("a/b")).unwrap();
        assert_eq!(group.made().len(), 2, "the scratch group itself was there: {:?}", group.made());
        assert!(group.exists().unwrap() && group.is_empty().unwrap());
        assert_eq!(group.pids(true).unwrap(), []);
        group.remove().unwrap();
        assert!(!group.path().exists());
        group.remove().unwrap();
        group.kill().unwrap();
        assert!(group.is_empty().unwrap() && !group.exists().unwrap() && !group.is_frozen().unwrap());
    }

    #[test]
    fn a_group_below_stays_below() {
        let group = Group::at("/sys/fs/cgroup/x");
        for (path, expected) in [("", "x"), ("/", "x"), ("a/b", "x/a/b"), ("/a", "x/a"), ("./a//b/", "x/a/b")] {
            assert_eq!(group.below(path).unwrap().path(), Path::new("/sys/fs/cgroup").join(expected), "{path}");
        }
        assert!(group.below("a/../../y").is_err());
    }

    #[test]
    fn a_process_is_moved_and_found() {
        let Some(scratch) = Scratch::new() else { return };
        let from = Group::create(&scratch.hierarchy, &scratch.below("from")).unwrap();
        let to = Group::create(&scratch.hierarchy, &scratch.below("to/deep")).unwrap();
        let process = scratch.process_in(from.path());
        to.add(process.pid()).unwrap();
        assert_eq!(scratch.hierarchy.group_of(process.pid()).unwrap().path(), to.path());
        assert!(from.is_empty().unwrap());
    }

    #[test]
    fn undo_takes_back_what_was_made_and_nothing_else() {
        let Some(scratch) = Scratch::new() else { return };
        let first = Group::create(&scratch.hierarchy, &scratch.below("a/b")).unwrap();
        let second = Group::create(&scratch.hierarchy, &scratch.below("a/c/d")).unwrap();
        second.undo();
        assert!(first.path().exists() && !scratch.directory("a/c").exists());
        first.undo();
        assert!(!scratch.directory("a").exists());
    }

    #[test]
    fn groups_come_and_go_beside_each_other() {
        let Some(scratch) = Scratch::new() else { return };
        // The groups above are shared: who takes his own back takes them along whenever nobody else has any.
        std::thread::scope(|scope| {
            for worker in 0..4 {
                let scratch = &scratch;
                scope.spawn(move || {
                    for round in 0..250 {
                        let path = scratch.below(&format!("a/b/{worker}-{round}"));
                        Group::create(&scratch.hierarchy, &path).unwrap().undo();
                        Group::create(&scratch.hierarchy, &path).unwrap().remove().unwrap();
                    }
                });
            }
        });
        let left = std::fs::read_dir(scratch.directory("a/b")).unwrap();
        assert_eq!(left.filter(|entry| entry.as_ref().unwrap().file_type().unwrap().is_dir()).count(), 0);
    }

    #[test]
    fn a_group_with_processes_or_frozen_is_refused_and_left_as_it_is() {
        let Some(scratch) = Scratch::new() else { return };
        let group = Group::create(&scratch.hierarchy, &scratch.below("used")).unwrap();
        let process = scratch.process_in(group.path());
        let error = Group::create(&scratch.hierarchy, &scratch.below("used")).unwrap_err();
        assert!(sentence(&error).starts_with("container's cgroup is not empty: 1 process(es) found"), "{error:#}");
        assert_eq!(group.pids(false).unwrap(), [process.pid()]);
        drop(process);

        group.freeze().unwrap();
        let error = Group::create(&scratch.hierarchy, &scratch.below("used/below")).unwrap_err();
        assert!(sentence(&error).starts_with("container's cgroup unexpectedly frozen"), "{error:#}");
        assert!(group.path().exists() && !scratch.directory("used/below").exists());
    }

    #[test]
    fn pids_are_listed_here_and_below() {
        let Some(scratch) = Scratch::new() else { return };
        let group = Group::create(&scratch.hierarchy, &scratch.below("top")).unwrap();
        let below = Group::create(&scratch.hierarchy, &scratch.below("top/x/y")).unwrap();
        let (one, two) = (scratch.process_in(group.path()), scratch.process_in(below.path()));
        let mut both = vec![one.pid(), two.pid()];
        both.sort_by_key(|pid| pid.as_raw_nonzero());
        assert_eq!(group.pids(false).unwrap(), [one.pid()]);
        assert_eq!(group.pids(true).unwrap(), both);
        assert!(!group.is_empty().unwrap());
    }

    #[test]
    fn kill_reaches_every_process_frozen_or_below_and_remove_waits_for_them() {
        let Some(scratch) = Scratch::new() else { return };
        let group = Group::create(&scratch.hierarchy, &scratch.below("top")).unwrap();
        let below = Group::create(&scratch.hierarchy, &scratch.below("top/x/y")).unwrap();
        let (mut one, mut two) = (scratch.process_in(group.path()), scratch.process_in(below.path()));
        group.freeze().unwrap();
        group.kill().unwrap();
        group.remove().unwrap();
        assert!(!group.path().exists());
        assert_eq!((one.ended_by(), two.ended_by()), (Some(9), Some(9)));
    }

    #[test]
    fn a_group_whose_processes_stay_is_not_removed_and_they_are_named() {
        let Some(scratch) = Scratch::new() else { return };
        let group = Group::create(&scratch.hierarchy, &scratch.below("busy")).unwrap();
        let process = scratch.process_in(group.path());
        let error = sentence(&group.remove_within(Duration::ZERO).unwrap_err());
        assert!(error.contains(&format!("processes [{}] are still in it", process.pid())), "{error}");
        assert!(group.exists().unwrap());
    }

    #[test]
    fn freezing_stops_and_thawing_lets_run() {
        let Some(scratch) = Scratch::new() else { return };
        let group = Group::create(&scratch.hierarchy, &scratch.below("cold")).unwrap();
        let mut process = scratch.process_in(group.path());
        assert!(!group.is_frozen().unwrap());
        group.freeze().unwrap();
        assert!(group.is_frozen().unwrap());
        rustix::process::kill_process(process.pid(), rustix::process::Signal::TERM).unwrap();
        let status = std::fs::read_to_string(format!("/proc/{}/status", process.pid())).unwrap();
        assert!(status.contains("ShdPnd:\t0000000000004000"), "the signal waits for the thaw: {status}");
        group.thaw().unwrap();
        assert!(!group.is_frozen().unwrap());
        assert_eq!(process.ended_by(), Some(15));
    }

    #[test]
    fn a_threaded_group_is_listed_and_killed_all_the_same() {
        let Some(scratch) = Scratch::new() else { return };
        let top = Group::create(&scratch.hierarchy, &scratch.below("top")).unwrap();
        let threaded = Group::create(&scratch.hierarchy, &scratch.below("top/threaded")).unwrap();
        std::fs::write(threaded.path().join("cgroup.type"), "threaded").unwrap();
        let mut process = scratch.process_in(top.path());
        std::fs::write(threaded.path().join("cgroup.threads"), process.pid().to_string()).unwrap();
        assert_eq!(top.pids(true).unwrap(), [process.pid()], "listed once, by the domain");
        assert_eq!(threaded.pids(true).unwrap(), [process.pid()]);
        threaded.kill().unwrap();
        assert_eq!(process.ended_by(), Some(9));
    }

    #[test]
    fn a_very_deep_tree_is_removed() {
        let Some(scratch) = Scratch::new() else { return };
        let group = Group::create(&scratch.hierarchy, &scratch.below("deep")).unwrap();
        let mut here = group.open().unwrap();
        // Deeper than a path name can say (PATH_MAX) and than descriptors may be open.
        for _ in 0..1500 {
            rustix::fs::mkdirat(&here, "nest", Mode::from_raw_mode(0o755)).unwrap();
            here = file::directory(here.as_fd(), Path::new("nest")).unwrap();
        }
        drop(here);
        assert_eq!(group.pids(true).unwrap(), []);
        group.remove().unwrap();
        assert!(!group.path().exists());
    }

    #[test]
    fn only_cgroup2_is_opened() {
        let error = Group::at("/proc").open().unwrap_err();
        assert_eq!(errno(&error), Some(Errno::MEDIUMTYPE));
        assert_eq!(errno(&Group::at("/nonexistent").open().unwrap_err()), Some(Errno::NOENT));
    }
}
