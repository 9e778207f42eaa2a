//! Where the networks of an ordinary user are: a network namespace that belongs to the user's user namespace, made when it is first needed,
//! with the bridges, links and rules of [`crate::network`] in it.
//!
//! ```text
//!  the machine's namespace          the user's networks                       containers
//!
//!                      ┌─ pasta ─── edge ──┬── br-… ── veth… ───────────────── eth0
//!  sockets of the user │                   │
//!                      └─ pasta ─── port1 ─┘ rules: what came by port1 goes to the container that it is before, and back
//! ```
//!
//! | where | what |
//! | --- | --- |
//! | `NAMESPACES/ctn-engine…` | the namespace, mounted |
//! | `RUN/network/namespace.lock` | held by whoever does anything there |
//! | `RUN/network/edge.json` | which process pasta at the edge is |
//!
//! An ordinary user may not come back to the machine's namespace, so what is done there is done by another process
//! ([`crate::network::namespace`]). It goes with the last container that was in one of its networks. When its pasta was killed, every
//! monitor sees it and starts it again, and so does the next command.

use std::fs::{self, File};
use std::os::fd::{AsFd, OwnedFd};
use std::path::PathBuf;

use anyhow::{Context, Result};
use rustix::fs::FlockOperation;
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::join;
use crate::engine::pasta::{self, Process};
use crate::engine::{Engine, make_directory};
use crate::error::Attempt;
use crate::network::{Networks, files, namespace};

/// Whether the networks' way outside has to be there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::engine) enum Outside {
    Needed,
    AsItIs,
}

impl Engine {
    /// Does something where the links and rules of networks are: here, or in the namespace of an ordinary user's.
    pub fn at_networks<T: Serialize + DeserializeOwned + Send>(
        &self,
        work: impl FnOnce(&Networks) -> Result<T> + Send,
    ) -> Result<T> {
        self.at_networks_with(Outside::AsItIs, work)
    }

    pub(in crate::engine) fn at_networks_with<T: Serialize + DeserializeOwned + Send>(
        &self,
        outside: Outside,
        work: impl FnOnce(&Networks) -> Result<T> + Send,
    ) -> Result<T> {
        let networks = self.networks()?;
        if self.user.is_none() {
            return work(&networks);
        }
        let place = Place::of(self);
        let _alone = place.lock(FlockOperation::LockExclusive)?;
        let namespace = place.open_or_make()?;
        let ready = if outside == Outside::Needed { place.need_edge(&namespace) } else { Ok(()) };
        let done = ready.and_then(|()| namespace::inside(namespace.as_fd(), || work(&networks)));
        drop(namespace);
        let left = if networks.are_in_use()? { Ok(()) } else { place.remove() };
        let result = done?;
        left.map(|()| result)
    }
}

/// Where the namespace is found.
pub(in crate::engine) fn name(engine: &Engine) -> PathBuf {
    Place::of(engine).name
}

/// A descriptor that is readable when pasta at the edge has ended.
pub(in crate::engine) fn edge(engine: &Engine) -> Option<OwnedFd> {
    engine.user.as_ref()?;
    Place::of(engine).edge()?.open()
}

/// Somebody killed it: without it no container would reach what is outside.
pub(in crate::engine) fn edge_again(engine: &Engine) -> Result<()> {
    let place = Place::of(engine);
    let _alone = place.lock(FlockOperation::LockExclusive)?;
    match place.open() {
        Some(namespace) if engine.networks()?.are_in_use()? => place.need_edge(&namespace),
        _ => Ok(()),
    }
}

/// Sees to what was left by somebody who was killed: a namespace without containers, and one without its pasta.
pub(in crate::engine) fn reconcile(engine: &Engine) -> Result<()> {
    if engine.user.is_none() {
        return Ok(());
    }
    let place = Place::of(engine);
    let is_cut_off = || place.edge().is_some_and(|edge| edge.open().is_none());
    if !place.name.exists() || engine.networks()?.are_in_use()? && !is_cut_off() {
        return Ok(());
    }
    // Who has it sees to it, too.
    let Ok(_alone) = place.lock(FlockOperation::NonBlockingLockExclusive) else { return Ok(()) };
    if !engine.networks()?.are_in_use()? {
        return place.remove();
    }
    if let Some(namespace) = place.open() {
        // What is wrong with pasta is told by who needs it.
        let _ = place.need_edge(&namespace);
    }
    Ok(())
}

struct Place {
    name: PathBuf,
    lock: PathBuf,
    record: PathBuf,
}

impl Place {
    fn of(engine: &Engine) -> Place {
        let directory = engine.user.as_ref().map(|user| user.namespaces.clone()).unwrap_or_default();
        let store = engine.run.file_name().unwrap_or_default();
        let run = engine.run.join("network");
        Place {
            name: directory.join(format!("ctn-{}", store.display())),
            lock: run.join("namespace.lock"),
            record: run.join("edge.json"),
        }
    }

    fn lock(&self, how: FlockOperation) -> Result<File> {
        join::locked(&self.lock, how)
    }

    /// Where no namespace is mounted the name is nothing, or an empty file.
    fn open(&self) -> Option<File> {
        const NSFS_MAGIC: u32 = 0x6e73_6673;
        let file = File::open(&self.name).ok()?;
        let found = rustix::fs::fstatfs(&file).ok()?;
        (found.f_type as u32 == NSFS_MAGIC).then_some(file)
    }

    fn open_or_make(&self) -> Result<File> {
        if let Some(namespace) = self.open() {
            return Ok(namespace);
        }
        // One that is for a namespace that is gone.
        self.remove()?;
        if let Some(directory) = self.name.parent() {
            make_directory(directory)?;
        }
        File::create(&self.name).attempt(|| format!("make {:?}", self.name))?;
        namespace::make(&self.name)?;
        self.open().with_context(|| format!("the network namespace at {:?} is gone", self.name))
    }

    fn edge(&self) -> Option<Process> {
        serde_json::from_slice(&fs::read(&self.record).ok()?).ok()
    }

    fn need_edge(&self, namespace: &File) -> Result<()> {
        if self.edge().is_some_and(|edge| edge.open().is_some()) {
            return Ok(());
        }
        // What a pasta left that nobody has noted.
        namespace::inside(namespace.as_fd(), namespace::clear_edge)?;
        let mut arguments = pasta::of_edge(files::is_own_resolver(&files::host_resolv_conf()));
        arguments.extend(["--netns".to_owned(), self.name.to_string_lossy().into_owned()]);
        let process = Process::start(&arguments)?;
        fs::write(&self.record, serde_json::to_vec(&process)?).attempt(|| format!("write {:?}", self.record))
    }

    /// The namespace goes with its last name and process.
    fn remove(&self) -> Result<()> {
        self.edge().unwrap_or_default().end(|| pasta::remove_name(&self.name))?;
        let _ = fs::remove_file(&self.record);
        Ok(())
    }
}
