//! The ids of root's containers with `--userns`: no two containers of the machine have the same, whatever stores they are in.
//!
//! [`CLAIMS`] has a symlink for each such container, `USER-GROUP-LENGTH-ID`, which leads to its directory: the first ids outside, and how
//! many they are. It outlives the machine's run, as containers do. Who chooses has the directory locked until the container's record is
//! written, and the link is made before that and goes after it. So one without a record, whose container does not run, is what somebody
//! left who was killed, and the next one to choose removes it. Where the store itself is not there (it may be on a disk that isn't mounted
//! now) the link stays, unless `system prune` finds out that it is gone for good: beside each link is `ID.store`, which says of the store's
//! directory which one it was ([`identity`]).

mod identity;

use std::fs;
use std::io::ErrorKind;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use rustix::fs::FlockOperation;

use super::locks::{self, Lock};
use super::rootless::subordinate;
use super::{Engine, RUN, make_directory, record};
use crate::error::Attempt;
use crate::image::layer::copy::{IdMaps, IdRange};
use identity::Identity;

const CLAIMS: &str = "/var/lib/corten/id-ranges";
/// What the name of a file ends with that says where a container was.
const STORE: &str = ".store";

/// Ids that nobody else has: systemd leaves them free, and users' subordinate ids are below (first, how many).
pub(super) const RANGE: (u32, u32) = (0x7000_0000, 4000 * SIZE);
/// As many as every image has room in.
pub(super) const SIZE: u32 = 65536;

/// What a container has: of users and of groups.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Claim {
    user: u32,
    group: u32,
    length: u32,
    id: String,
}

/// All claims; nobody else changes them as long as this is held.
#[derive(Debug)]
pub(super) struct Claims {
    _alone: Lock,
    all: Vec<Claim>,
}

impl Claims {
    /// Takes the lock, and looks at what is there.
    pub(super) fn take() -> Result<Claims> {
        let directory = Path::new(CLAIMS);
        make_directory(directory)?;
        let alone = locks::wait(directory, FlockOperation::LockExclusive)?;
        let what = || format!("read {directory:?}");
        let (mut all, mut stores) = (Vec::new(), Vec::new());
        for entry in fs::read_dir(directory).attempt(what)? {
            let entry = entry.attempt(what)?;
            let name = entry.file_name().to_string_lossy().into_owned();
            stores.extend(name.strip_suffix(STORE).map(str::to_owned));
            let Some(claim) = Claim::of(&name) else { continue };
            // A store may be on its way to be gone while a container of it runs.
            if is_left(&entry.path()) && !runs(&claim.id) {
                match fs::remove_file(entry.path()) {
                    // Whoever removed the container has come to it, for which no lock is needed.
                    Err(error) if error.kind() == ErrorKind::NotFound => {}
                    removed => removed.attempt(|| format!("remove {:?}", entry.path()))?,
                }
            } else {
                all.push(claim);
            }
        }
        // Of claims that are gone, and of one that somebody was about to make who was killed.
        for id in stores.iter().filter(|id| all.iter().all(|claim: &Claim| claim.id != **id)) {
            let _ = fs::remove_file(store_of(id));
        }
        Ok(Claims { _alone: alone, all })
    }

    /// The first ids that no container has.
    pub(super) fn free(&self, engine: &Engine, size: u32) -> Result<IdMaps> {
        let range = |file: &str| {
            let text = fs::read_to_string(file).unwrap_or_default();
            let (first, length) = subordinate(&text, u32::MAX, Some("containers")).first().copied().unwrap_or(RANGE);
            // The file may say anything, and the last number is nobody's (user_namespaces(7)).
            (first, length.min(u32::MAX - first))
        };
        let (users, groups) = (range("/etc/subuid"), range("/etc/subgid"));
        let mut used = self.all.clone();
        used.extend(self.unclaimed(engine)?);
        let (first, most) = ((users.0, groups.0), users.1.min(groups.1));
        let used = used.iter().flat_map(|claim| claim.offsets(first)).collect();
        let offset = gap(used, size, most).with_context(|| {
            format!(
                "--userns: no {size} ids are free in the range for containers ({}:{most}); `ctn system prune` frees those of stores that \
                 were removed, and of others their links in {CLAIMS:?} can be",
                users.0
            )
        })?;
        let one = |first: u32| vec![IdRange { container: 0, host: first + offset, length: size }];
        Ok(IdMaps { users: one(users.0), groups: one(groups.0) })
    }

    /// Those of containers of this store that were made before there were claims. One that can't be read has perhaps the ids that would
    /// be given away.
    fn unclaimed(&self, engine: &Engine) -> Result<Vec<Claim>> {
        let mut all = Vec::new();
        for id in engine.ids()? {
            if self.all.iter().any(|claim| claim.id == id) {
                continue;
            }
            match engine.record(&id) {
                Ok(record) => all.extend(record.ids.as_ref().and_then(|ids| Claim::new(&id, ids))),
                Err(_) if !engine.has_record(&id) => {}
                Err(error) => return Err(error).context("--userns: a container's ids are not known"),
            }
        }
        Ok(all)
    }

    /// Has a container have its ids.
    pub(super) fn add(&self, engine: &Engine, id: &str, ids: &IdMaps) -> Result<()> {
        let Some(claim) = Claim::new(id, ids) else { bail!("--userns: there are no ids") };
        if let Some(identity) = Identity::of(engine.store.root()) {
            let path = store_of(id);
            fs::write(&path, identity.text()).attempt(|| format!("write {path:?}"))?;
        }
        let path = Path::new(CLAIMS).join(claim.name());
        symlink(engine.directory(id), &path).attempt(|| format!("make the link {path:?}"))
    }
}

/// Gives the ids of a container back that is not there any more. What can't be removed now is found again.
pub(super) fn release(id: &str) {
    for entry in fs::read_dir(CLAIMS).into_iter().flatten().flatten() {
        if Claim::of(&entry.file_name().to_string_lossy()).is_some_and(|claim| claim.id == id) {
            let _ = fs::remove_file(entry.path());
        }
    }
    let _ = fs::remove_file(store_of(id));
}

/// Gives the ids back of containers that don't run, and whose store is gone for good.
pub fn reclaim() -> Result<()> {
    if !Path::new(CLAIMS).exists() {
        return Ok(());
    }
    let claims = Claims::take()?;
    for claim in &claims.all {
        let identity = fs::read_to_string(store_of(&claim.id)).ok().and_then(|text| Identity::parse(&text));
        let directory = fs::read_link(Path::new(CLAIMS).join(claim.name())).ok();
        let store = directory.as_deref().and_then(Path::parent).and_then(Path::parent);
        let is_gone = identity.zip(store).is_some_and(|(identity, store)| identity.is_gone(store));
        if is_gone && !runs(&claim.id) {
            release(&claim.id);
        }
    }
    Ok(())
}

/// Which store a container with a claim is of.
fn store_of(id: &str) -> PathBuf {
    Path::new(CLAIMS).join(format!("{id}{STORE}"))
}

/// Whether a container lives, of whatever store of root's.
fn runs(id: &str) -> bool {
    let stores = fs::read_dir(RUN).into_iter().flatten().flatten();
    stores.into_iter().any(|store| locks::is_held(&store.path().join(id).join("monitor")))
}

/// Whether the container of a claim is not there, and its store is.
fn is_left(link: &Path) -> bool {
    let Ok(directory) = fs::read_link(link) else { return false };
    let is_there = |path: PathBuf| path.symlink_metadata().is_ok();
    !is_there(directory.join(record::FILE)) && directory.parent().is_some_and(|store| is_there(store.into()))
}

impl Claim {
    fn new(id: &str, ids: &IdMaps) -> Option<Claim> {
        let (user, group) = (ids.users.first()?, ids.groups.first()?);
        Some(Claim { user: user.host, group: group.host, length: user.length.max(group.length), id: id.into() })
    }

    fn of(name: &str) -> Option<Claim> {
        let parts: Vec<&str> = name.split('-').collect();
        let [user, group, length, id] = parts[..] else { return None };
        Some(Claim {
            user: user.parse().ok()?,
            group: group.parse().ok()?,
            length: length.parse().ok()?,
            id: id.into(),
        })
    }

    fn name(&self) -> String {
        format!("{}-{}-{}-{}", self.user, self.group, self.length, self.id)
    }

    /// What it takes of ranges that begin there.
    fn offsets(&self, (user, group): (u32, u32)) -> impl Iterator<Item = (u32, u32)> {
        [(self.user, user), (self.group, group)].into_iter().filter_map(|(own, first)| {
            let end = own.saturating_add(self.length).checked_sub(first)?;
            let begin = own.saturating_sub(first);
            (begin < end).then(|| (begin, end - begin))
        })
    }
}

fn gap(mut used: Vec<(u32, u32)>, size: u32, limit: u32) -> Option<u32> {
    used.sort_unstable();
    let mut next = 0u32;
    for (first, length) in used {
        if first >= next && first - next >= size {
            break;
        }
        next = next.max(first.saturating_add(length));
    }
    (next.checked_add(size)? <= limit).then_some(next)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_gap_is_taken() {
        assert_eq!(gap(vec![], 10, 100), Some(0));
        assert_eq!(gap(vec![(10, 10), (0, 10)], 10, 100), Some(20));
        assert_eq!(gap(vec![(0, 10), (20, 10)], 10, 100), Some(10));
        assert_eq!(gap(vec![(0, 10), (15, 10)], 10, 100), Some(25));
        assert_eq!(gap(vec![(0, 95)], 10, 100), None);
    }

    #[test]
    fn a_claim_is_a_name() {
        let claim = Claim { user: 1000, group: 2000, length: 10, id: "c0ffee".into() };
        assert_eq!(claim.name(), "1000-2000-10-c0ffee");
        assert_eq!(Claim::of(&claim.name()), Some(claim));
        for other in ["", "lock", "1-2-3", "1-2-x-id", "1-2-3-id-more"] {
            assert_eq!(Claim::of(other), None, "{other}");
        }
    }

    #[test]
    fn a_claim_takes_of_both_ranges() {
        let claim = Claim { user: 1000, group: 2000, length: 10, id: String::new() };
        let of = |first| claim.offsets(first).collect::<Vec<_>>();
        assert_eq!(of((1000, 2000)), [(0, 10), (0, 10)]);
        assert_eq!(of((900, 1950)), [(100, 10), (50, 10)]);
        // The ranges were others when it was made.
        assert_eq!(of((1005, 3000)), [(0, 5)]);
        assert_eq!(of((1010, 2010)), []);
    }
}
