//! `--userns`: a user namespace of the container's own, in which its ids are others than outside.
//!
//! | mode | whose | ids of the container |
//! | --- | --- | --- |
//! | none, `host` | all | those of the engine |
//! | `auto[:size=N]` | root's | N (65536) of the range for containers, which no other one of the machine has ([`super::id_ranges`]) |
//! | `keep-id[:uid=N,gid=N]` | a user's | the user is N, or has its own number, and a name ([`super::account`]); the subordinate ids are the others |
//! | `nomap` | a user's | the subordinate ids; the user has none |
//! | `private` | all | root's as `auto`; a user's as those of the engine, in a namespace of the container's own |
//! | `container:NAME` | all | the other container's, in its namespace |
//!
//! The range for containers is that of the user `containers` in /etc/subuid and /etc/subgid, which podman has, too; without one it is
//! [`RANGE`]. On the disk files have the image's ids: root's containers have them mapped by mounts. What an ordinary user mounts can't be
//! mapped, so such a container has a copy of its image, which others with the same ids share.

use anyhow::{Context, Result, bail, ensure};

use super::Engine;
use super::id_ranges::{Claims, RANGE, SIZE};
use super::record::Record;
use crate::image::bundle::User;
use crate::image::layer::copy::{IdMaps, IdRange};

/// What `--userns` says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Mode {
    Host,
    Auto(u32),
    KeepId(Option<u32>, Option<u32>),
    NoMap,
    Private,
    Container(String),
}

impl Mode {
    pub(super) fn of(text: &str) -> Result<Mode> {
        let (word, options) = text.split_once(':').unwrap_or((text, ""));
        let pairs = |known: &[&str]| -> Result<Vec<Option<u32>>> {
            let mut values = vec![None; known.len()];
            for option in options.split(',').filter(|option| !option.is_empty()) {
                let place = option.split_once('=').and_then(|(name, value)| {
                    // The last number is nobody's (user_namespaces(7)).
                    let value = value.parse::<u32>().ok().filter(|value| *value != u32::MAX)?;
                    Some((known.iter().position(|known| *known == name)?, value))
                });
                let (place, value) = place.with_context(|| format!("--userns: {word} has no option {option:?}"))?;
                values[place] = Some(value);
            }
            Ok(values)
        };
        Ok(match word {
            "" | "host" | "nomap" | "private" if text.contains(':') => {
                bail!("--userns: {word} has no options: {text:?}")
            }
            "" | "host" => Mode::Host,
            "auto" => {
                let size = pairs(&["size"])?[0].unwrap_or(SIZE);
                ensure!((1..=RANGE.1).contains(&size), "--userns: {size} is no number of ids");
                Mode::Auto(size)
            }
            "keep-id" => {
                let values = pairs(&["uid", "gid"])?;
                Mode::KeepId(values[0], values[1])
            }
            "nomap" => Mode::NoMap,
            "private" => Mode::Private,
            "container" if !options.is_empty() => Mode::Container(options.into()),
            _ => bail!(
                "--userns: invalid user namespace mode {text:?}: there are host, auto, private and container:NAME, and for an ordinary \
                 user keep-id and nomap"
            ),
        })
    }
}

/// Chooses the ids of a new container, which are its own from the moment on in which its record is written; nobody else chooses as
/// long as the lock is held.
pub(super) fn settle(engine: &Engine, record: &mut Record) -> Result<Option<Claims>> {
    let mode = Mode::of(&record.host_config.userns_mode)?;
    let is_joined = |mode: &str| mode.starts_with("container:");
    let joins = [&record.host_config.pid_mode, &record.host_config.ipc_mode].into_iter().find(|mode| is_joined(mode));
    if let Some(joined) = joins.filter(|_| !matches!(mode, Mode::Host | Mode::Container(_))) {
        bail!("--userns: a namespace of {joined} belongs to another user namespace; --userns {joined} joins that, too");
    }
    let (own, claims) = match (&mode, &engine.user) {
        (Mode::Host, _) => (None, None),
        (Mode::Container(name), user) => {
            // Taken before the other one is looked at, for it may be removed.
            let claims = user.is_none().then(Claims::take).transpose()?;
            (engine.find(name)?.record.ids, claims)
        }
        (Mode::Auto(_), Some(_)) => {
            bail!("--userns: auto is root's: a user's ids are too few to be divided; there are keep-id and nomap")
        }
        (Mode::KeepId(..) | Mode::NoMap, None) => {
            bail!("--userns: {} is for containers of an ordinary user", record.host_config.userns_mode)
        }
        (Mode::Auto(_) | Mode::Private, None) => {
            let size = if let Mode::Auto(size) = mode { size } else { SIZE };
            let claims = Claims::take()?;
            (Some(claims.free(engine, size)?), Some(claims))
        }
        (Mode::Private | Mode::NoMap | Mode::KeepId(..), Some(user)) => {
            (Some(of_users(&mode, &user.ids, &mut record.config.user)?), None)
        }
    };
    if let (Some(claims), Some(ids)) = (&claims, &own) {
        claims.add(engine, &record.id, ids)?;
    }
    record.ids = own;
    Ok(claims)
}

/// The ids that an ordinary user's container has of the user's. Whom it runs as, if nothing is said, is `program`.
fn of_users(mode: &Mode, all: &IdMaps, program: &mut String) -> Result<IdMaps> {
    let (users, groups) = (total(&all.users), total(&all.groups));
    let one = |host, length| vec![IdRange { container: 0, host, length }];
    let chosen = match mode {
        Mode::KeepId(uid, gid) => {
            ensure_subordinate(all, "keep-id")?;
            let own = |ranges: &[IdRange]| ranges.first().map_or(0, |range| range.host);
            let (uid, gid) = (uid.unwrap_or(own(&all.users)), gid.unwrap_or(own(&all.groups)));
            if program.is_empty() {
                *program = format!("{uid}:{gid}");
            }
            IdMaps { users: kept(uid, users), groups: kept(gid, groups) }
        }
        Mode::NoMap => {
            ensure_subordinate(all, "nomap")?;
            IdMaps { users: one(1, users - 1), groups: one(1, groups - 1) }
        }
        _ => IdMaps { users: one(0, users), groups: one(0, groups) },
    };
    Ok(IdMaps { users: divided(&chosen.users, &all.users), groups: divided(&chosen.groups, &all.groups) })
}

fn ensure_subordinate(ids: &IdMaps, mode: &str) -> Result<()> {
    let has_others = total(&ids.users) > 1 && total(&ids.groups) > 1;
    ensure!(
        has_others,
        "--userns: {mode} needs subordinate ids, and /etc/subuid and /etc/subgid have none for this user"
    );
    Ok(())
}

/// The number in the container of the user whose the engine's root is.
pub(super) fn own_of(ranges: &[IdRange]) -> Option<u32> {
    ranges.iter().find(|range| range.host == 0).map(|range| range.container)
}

/// Refuses a program's user that is nobody outside.
pub(super) fn ensure_mapped(engine: &Engine, record: &Record, user: &User) -> Result<()> {
    let Some(ids) = record.ids.as_ref().or(engine.user.as_ref().map(|user| &user.ids)) else { return Ok(()) };
    let has = |ranges: &[IdRange], id: u32| {
        ranges.iter().any(|range| id.checked_sub(range.container).is_some_and(|at| at < range.length))
    };
    let group = [user.gid].iter().chain(&user.groups).copied().find(|group| !has(&ids.groups, *group));
    let missing = if has(&ids.users, user.uid) { group.map(|gid| ("group", gid)) } else { Some(("user", user.uid)) };
    if let Some((kind, id)) = missing {
        bail!(
            "the {kind} {id} of the container has no id on the machine: its user namespace (/etc/subuid, /etc/subgid, --userns) is too small"
        );
    }
    Ok(())
}

/// A range must not reach over the end of one that it is inside of (user_namespaces(7)).
fn divided(ranges: &[IdRange], inside: &[IdRange]) -> Vec<IdRange> {
    let mut all = Vec::new();
    for range in ranges {
        for outer in inside {
            let first = range.host.max(outer.container);
            let end = (range.host + range.length).min(outer.container + outer.length);
            if first < end {
                all.push(IdRange {
                    container: range.container + (first - range.host),
                    host: first,
                    length: end - first,
                });
            }
        }
    }
    all
}

/// How many ids there are from 0 on without a gap.
pub(super) fn mapped_from_0(ranges: &[IdRange]) -> u32 {
    let mut next = 0;
    while let Some(range) = ranges.iter().find(|range| range.container == next) {
        next += range.length;
    }
    next
}

/// All ids.
fn total(ranges: &[IdRange]) -> u32 {
    ranges.iter().map(|range| range.length).sum()
}

/// The user, 0 in the engine's namespace, is `own`; the others are in its order around that.
fn kept(own: u32, total: u32) -> Vec<IdRange> {
    let others = total.saturating_sub(1);
    let below = own.min(others);
    let ranges = [
        IdRange { container: 0, host: 1, length: below },
        IdRange { container: own, host: 0, length: 1 },
        IdRange { container: own.saturating_add(1), host: 1 + below, length: others - below },
    ];
    ranges.into_iter().filter(|range| range.length > 0).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn modes() {
        assert_eq!(Mode::of("").unwrap(), Mode::Host);
        assert_eq!(Mode::of("auto").unwrap(), Mode::Auto(65536));
        assert_eq!(Mode::of("auto:size=10").unwrap(), Mode::Auto(10));
        assert_eq!(Mode::of("keep-id").unwrap(), Mode::KeepId(None, None));
        assert_eq!(Mode::of("keep-id:gid=7,uid=5").unwrap(), Mode::KeepId(Some(5), Some(7)));
        assert_eq!(Mode::of("container:web").unwrap(), Mode::Container("web".into()));
        for bad in [
            "auto:size=0",
            "auto:size",
            "keep-id:uid=x",
            "keep-id:uid=4294967295",
            "keep-id:user=1",
            "nomap:x",
            "host:",
            "container:",
            "mine",
        ] {
            let error = Mode::of(bad).unwrap_err().to_string();
            assert!(error.starts_with("--userns: "), "{error}");
        }
    }

    #[test]
    fn the_user_keeps_its_number() {
        let range = |container, host, length| IdRange { container, host, length };
        assert_eq!(kept(1000, 65537), [range(0, 1, 1000), range(1000, 0, 1), range(1001, 1001, 64536)]);
        assert_eq!(kept(0, 3), [range(0, 0, 1), range(1, 1, 2)]);
        assert_eq!(kept(1000, 1), [range(1000, 0, 1)]);
        // Fewer ids than numbers below its own.
        assert_eq!(kept(1000, 11), [range(0, 1, 10), range(1000, 0, 1)]);
    }

    #[test]
    fn ranges_end_where_those_around_them_do() {
        let range = |container, host, length| IdRange { container, host, length };
        let user = [range(0, 1000, 1), range(1, 100_000, 10), range(11, 500_000, 10)];
        assert_eq!(divided(&[range(0, 0, 21)], &user), [range(0, 0, 1), range(1, 1, 10), range(11, 11, 10)]);
        assert_eq!(divided(&[range(0, 1, 15)], &user), [range(0, 1, 10), range(10, 11, 5)]);
    }
}
