//! Opening what init can't open for itself.

use std::ffi::CStr;
use std::os::fd::{AsFd, OwnedFd};

use anyhow::{Context, Result};
use rustix::fs::{CWD, Mode, OFlags, openat};
use rustix::mount::{OpenTreeFlags, open_tree};

use crate::error::Attempt;
use crate::plan::namespaces::Kind;
use crate::plan::{Given, MountIdMaps, Plan, Preparation, TreeCopy};
use crate::sys::mount;

/// Opens all, by slot.
pub(super) fn open(plan: &Plan, mut given: Vec<(Given, OwnedFd)>) -> Result<Vec<Option<OwnedFd>>> {
    let mut slots = Vec::with_capacity(plan.preparations.len());
    for preparation in &plan.preparations {
        slots.push(Some(match preparation {
            Preparation::OpenNamespace { kind, path } => open_namespace(*kind, path)?,
            Preparation::CopyTree(copy) => copy_tree(copy)?,
            Preparation::Given(wanted) => {
                let index = given.iter().position(|(have, _)| have == wanted);
                let index = index.with_context(|| format!("{wanted:?} was not given"))?;
                given.swap_remove(index).1
            }
        }));
    }
    Ok(slots)
}

fn open_namespace(kind: Kind, path: &CStr) -> Result<OwnedFd> {
    openat(CWD, path, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())
        .attempt(|| format!("linux.namespaces: open {} namespace {path:?}", kind.name()))
}

fn copy_tree(copy: &TreeCopy) -> Result<OwnedFd> {
    let path = &copy.path;
    let mut flags = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC;
    flags.set(OpenTreeFlags::AT_RECURSIVE, copy.recursive);
    flags.set(OpenTreeFlags::AT_SYMLINK_NOFOLLOW, !copy.follow);
    let tree = open_tree(CWD, path, flags).attempt(|| format!("open mount tree {path:?}"))?;
    if copy.propagation.kind != libc::MS_SHARED {
        let flags = if copy.propagation.recursive { mount::RECURSIVE } else { 0 };
        mount::propagate(tree.as_fd(), copy.propagation.kind, flags)
            .attempt(|| format!("make mount tree {path:?} {}", copy.propagation))?;
    }
    if let Some(source) = &copy.id_map {
        let namespace = match &source.maps {
            MountIdMaps::Given(maps) => super::user_namespace(maps),
            MountIdMaps::Joined(file) => open_namespace(Kind::User, file),
        };
        let namespace = namespace.with_context(|| format!("map the ids of {path:?}"))?;
        let flags = if source.recursive { mount::RECURSIVE } else { 0 };
        mount::map_ids(tree.as_fd(), namespace.as_fd(), flags)
            .attempt(|| format!("map the ids of {path:?}: does its file system support idmapped mounts?"))?;
    }
    Ok(tree)
}
