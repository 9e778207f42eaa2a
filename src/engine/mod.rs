//! The engine: `ctn`'s containers, without a daemon.
//!
//! A container is a directory below the store's root, and while it runs one below `/run` and a small process, its [`monitor`]:
//!
//! | where | what |
//! | --- | --- |
//! | `ROOT/containers/ID/container.json` | the [`record`]: what was asked for, in docker's words; written last, so that whatever is without it isn't there |
//! | `ROOT/containers/ID/state.json` | how it stands, as far as the kernel doesn't know it |
//! | `ROOT/containers/ID/{upper,work,rootfs}` | what the container wrote, overlayfs's own directory, and where the root is mounted |
//! | `ROOT/containers/ID/{hostname,hosts,resolv.conf}` | what is mounted on these files of the container |
//! | `ROOT/containers/ID/project` | the project whose quota limits what it writes (`quota`) |
//! | `ROOT/containers/ID/linked/ID` | an empty file for each container that is linked to it ([`links`]) |
//! | `ROOT/containers/ID/hosts.lock` | who writes the files of one with links |
//! | `ROOT/containers/ID/ID-json.log` | what it said ([`log`]) |
//! | `ROOT/names/NAME` | a symlink to the id: who makes it first has the name |
//! | `ROOT/init/` | what is the first process under `--init` |
//! | `ROOT/volumes/NAME/` | a volume ([`volume`]) |
//! | `/var/lib/corten/id-ranges/` | whose ids are whose, of all stores, and where those are ([`id_ranges`]) |
//! | `RUN/ID/monitor` | its pid; locked by the monitor for as long as it lives |
//! | `RUN/ID/socket` | where it is spoken to ([`protocol`]) |
//! | `RUN/volumes/NAME/ID`, `RUN/subpaths/ID/` | who needs a volume mounted, and parts of volumes ([`volume`]) |
//! | `RUN/ID/change-of-networks` | which one it is about to be in, or to leave ([`membership`]) |
//! | `RUN/ID/release-failed` | it is still in its networks, and somebody was told ([`reconcile`]) |
//! | `RUN/renamed-ID` | which two names it is about to change ([`rename`]) |
//! | `RUN/replaced-ID` | it is removed when another one has its place ([`replace`]) |
//! | `RUN/runtime/ID/` | the runtime's state directory |
//! | `RUN/events` | what happened ([`events`]) |
//!
//! `ROOT` is the store's; `RUN` is `/run/corten/engine` for the default store, and for others has the beginning of a hash of its path. What is so for
//! an ordinary user is in [`rootless`].
//! Whoever changes a container has its directory locked (flock(2)). Before a command looks at containers it sees to what a killed
//! monitor or a crash of the machine left ([`reconcile`]).

mod account;
pub mod apparmor;
pub mod cdi;
mod change;
pub mod copy;
mod create;
pub mod events;
mod find;
pub mod group;
pub mod health;
pub mod id_ranges;
mod init;
pub mod links;
mod locks;
pub mod log;
mod membership;
pub mod monitor;
mod names;
pub mod network;
mod note;
pub mod options;
mod pasta;
mod pause;
mod processes;
pub mod protocol;
mod quota;
pub mod reconcile;
pub mod record;
mod remove;
mod rename;
mod replace;
mod root;
pub mod rootless;
pub mod specification;
mod start;
pub mod state;
pub mod terminal;
mod user_namespace;
pub mod volume;

use std::fs::DirBuilder;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::OnceLock;

use anyhow::{Result, ensure};

pub use create::Wanted;
pub use find::Container;
pub use root::{changes_of, files_of};
pub use start::{Attached, exit_status};

use crate::cgroup::Manager;
use crate::container::{Host, Rootless, Warn};
use crate::error::Attempt;
use crate::image::digest::Digest;
use crate::image::layer::Form;
use crate::image::store::{self, Store};
use crate::network::Networks;
use rootless::User;

/// Where what doesn't outlive the machine's run is.
const RUN: &str = "/run/corten";

/// All containers of a store.
#[derive(Debug)]
pub struct Engine {
    /// Their images.
    pub store: Store,
    /// Whose they are, if not root's.
    pub user: Option<User>,
    run: PathBuf,
    networks: OnceLock<Networks>,
}

impl Engine {
    /// Opens it, and sees to what others left that were killed.
    pub fn open(root: &Path, user: Option<User>) -> Result<Engine> {
        let engine = Engine::open_as_it_is(root, user)?;
        reconcile::all(&engine)?;
        Ok(engine)
    }

    /// For the monitor, whose container has been seen to.
    pub fn open_as_it_is(root: &Path, user: Option<User>) -> Result<Engine> {
        ensure!(
            user.is_some() || Form::of_process() != Form::User,
            "containers need root of the machine, or an ordinary user: root of a user namespace has only images"
        );
        let store = Store::open(root)?;
        let run = user.as_ref().map_or(Path::new(RUN), |user| &user.runtime).join(match store.root() {
            root if root == Path::new(store::DEFAULT) => "engine".to_owned(),
            root => format!("engine-{}", &Digest::of(root.as_os_str().as_bytes()).hex()[..8]),
        });
        let engine = Engine { store, user, run, networks: OnceLock::new() };
        if !engine.run.join("runtime").is_dir() {
            // The machine was started since, or nothing has run yet.
            reconcile::after_boot(&engine)?;
        }
        Ok(engine)
    }

    /// The directory of a container.
    pub fn directory(&self, id: &str) -> PathBuf {
        self.store.root().join("containers").join(id)
    }

    fn containers(&self) -> PathBuf {
        self.store.root().join("containers")
    }

    /// What a container has while it runs.
    fn running(&self, id: &str) -> PathBuf {
        self.run.join(id)
    }

    /// How the runtime is called.
    pub fn host(&self) -> Host {
        Host {
            root: self.run.join("runtime"),
            cgroup_manager: Manager::Cgroupfs,
            rootless: if self.user.is_some() { Rootless::True } else { Rootless::False },
            debug: false,
            warn: Warn(Rc::new(|_| ())),
        }
    }
}

/// Makes a directory that only root looks into, with those above it.
fn make_directory(path: &Path) -> Result<()> {
    let made = DirBuilder::new().recursive(true).mode(0o700).create(path);
    made.attempt(|| format!("make the directory {path:?}"))
}

/// Now, as RFC 3339 with nanoseconds.
fn now() -> String {
    humantime::format_rfc3339_nanos(std::time::SystemTime::now()).to_string()
}
