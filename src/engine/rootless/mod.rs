//! Containers of an ordinary user: all of it happens in one user namespace, in which the user is root and has the subordinate ids of
//! `/etc/subuid` and `/etc/subgid`.
//!
//! Only who is in a user namespace, or above it and its owner, has rights there. So all commands and monitors of a user share one, with
//! the mount namespace that belongs to it, in which the roots of containers are mounted.
//!
//! | where | what |
//! | --- | --- |
//! | `RUNTIME/` | `XDG_RUNTIME_DIR/corten`, else `/run/user/UID/corten`, else `/tmp/corten-UID` |
//! | `RUNTIME/members` | locked shared by everybody who is in the namespace ([`join`]) |
//! | `RUNTIME/holder` | the pid of the process that keeps it, which has this file locked ([`holder`]) |
//! | `RUNTIME/starting` | locked by whoever makes the namespace |
//! | `RUNTIME/publishing` | locked by a new holder until it has written its pid, with which it replaces the file of the one before |
//! | `RUNTIME/engine-HASH/` | what the engine has below `/run/corten` for root |
//!
//! Networks that the user makes are in a network namespace of their own ([`network`]).
//!
//! The first command makes the namespace and the holder; the holder ends when nobody is in it any more. When it was killed, any monitor
//! shows the way in.

pub mod holder;
mod ids;
mod join;
pub(super) mod network;

use std::fs::{self, DirBuilder, File};
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::rc::Rc;

use anyhow::{Context, Result, ensure};
use rustix::process::geteuid;

use crate::error::Attempt;
use crate::image::layer::copy::{IdMaps, IdRange};

pub(super) use ids::subordinate;
pub use join::enter;

/// An ordinary user, in the user namespace.
#[derive(Debug, Clone)]
pub struct User {
    /// The user's number on the machine.
    pub uid: u32,
    /// How the ids here are ids of the machine.
    pub ids: IdMaps,
    /// Where what doesn't outlive the machine's run is.
    pub runtime: PathBuf,
    /// The user's own runtime directory, in which a session has the sockets of the user's systemd.
    pub session: Option<PathBuf>,
    /// Where network namespaces are that pasta is shown.
    pub namespaces: PathBuf,
    /// Shared by all who are in the namespace.
    _membership: Rc<File>,
}

impl User {
    /// In the namespace already: takes part in it.
    pub(super) fn inside(runtime: &Path) -> Result<User> {
        let membership = join::membership(runtime)?;
        let ids = IdMaps { users: map("/proc/self/uid_map")?, groups: map("/proc/self/gid_map")? };
        let root = ids.users.iter().find(|range| range.container == 0);
        let uid = root.context("this user namespace has no root")?.host;
        let session = runtime.parent().filter(|_| runtime.file_name().is_some_and(|name| name == "corten"));
        let namespaces = session.unwrap_or(runtime).join("netns");
        let (runtime, session) = (runtime.to_owned(), session.map(Path::to_owned));
        Ok(User { uid, ids, runtime, session, namespaces, _membership: Rc::new(membership) })
    }
}

/// A file of user_namespaces(7), "User and group ID mappings".
fn map(path: &str) -> Result<Vec<IdRange>> {
    let text = fs::read_to_string(path).attempt(|| format!("read {path:?}"))?;
    let range = |line: &str| {
        let mut numbers = line.split_ascii_whitespace().map(str::parse);
        let mut next = || numbers.next()?.ok();
        Some(IdRange { container: next()?, host: next()?, length: next()? })
    };
    Ok(text.lines().filter_map(range).collect())
}

/// Where what doesn't outlive the machine's run is, for a user who is asked for as the owner of this process.
fn runtime_directory(uid: u32) -> Result<PathBuf> {
    let own =
        |path: &PathBuf| fs::metadata(path).is_ok_and(|found| found.is_dir() && found.uid() == geteuid().as_raw());
    let said = std::env::var_os("XDG_RUNTIME_DIR").map(PathBuf::from).filter(|path| path.is_absolute());
    let usual = PathBuf::from(format!("/run/user/{uid}"));
    // One that was left by su(1) is somebody else's.
    let runtime = match said.into_iter().chain([usual]).find(own) {
        Some(directory) => directory.join("corten"),
        None => format!("/tmp/corten-{uid}").into(),
    };
    let made = DirBuilder::new().recursive(true).mode(0o700).create(&runtime);
    made.attempt(|| format!("make the directory {runtime:?}"))?;
    let found = fs::symlink_metadata(&runtime).attempt(|| format!("look at {runtime:?}"))?;
    let is_safe = found.is_dir() && found.uid() == geteuid().as_raw() && found.mode() & 0o077 == 0;
    ensure!(is_safe, "{runtime:?} is not this user's alone: remove it, or set XDG_RUNTIME_DIR");
    Ok(runtime)
}
