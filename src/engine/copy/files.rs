//! A container's files with all that is mounted in it, also when it doesn't run.

use std::fs::File;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

use anyhow::Result;
use rustix::fs::CWD;
use rustix::mount::{MountPropagationFlags, MoveMountFlags, OpenTreeFlags, mount_change, move_mount, open_tree};

use super::Tree;
use crate::engine::locks::Lock;
use crate::engine::record::Mounted;
use crate::engine::state::Status;
use crate::engine::{Container, root, volume};
use crate::error::Attempt;
use crate::image::layer::{Stack, path};
use crate::image::{self, mount::FileIds};
use crate::sys;
use crate::sys::clone::CloneFlags;

/// A container's files, and what keeps others from starting it meanwhile if it doesn't run.
#[derive(Debug)]
pub struct Files {
    /// The files.
    pub tree: Tree,
    _lock: Option<Lock>,
}

impl Container<'_> {
    /// Opens its files: those that its processes see, or a mount of its root in a namespace of this process's own, which is gone with
    /// this process however that ends.
    pub fn files(&self, name: &str) -> Result<Files> {
        let lock = self.lock()?;
        let state = self.state()?;
        let read_only = self.record.host_config.readonly_rootfs;
        let ids = self.record.ids.clone().unwrap_or_default();
        let tree = |root| Tree::of_container(root, name, read_only, ids);
        if matches!(state.status, Status::Running | Status::Paused) {
            let path = format!("/proc/{}/root", state.pid);
            let root = File::open(&path).attempt(|| format!("open {path:?}"))?;
            return Ok(Files { tree: tree(root.into()), _lock: None });
        }
        Ok(Files { tree: self.mounted(tree)?, _lock: Some(lock) })
    }

    fn mounted(&self, tree: impl FnOnce(OwnedFd) -> Tree) -> Result<Tree> {
        sys::clone::unshare(CloneFlags::NEWNS).attempt(|| "make a mount namespace")?;
        let flags = MountPropagationFlags::PRIVATE | MountPropagationFlags::REC;
        mount_change("/", flags).attempt(|| "make all mounts private")?;
        let path = root::mount(self.engine, &self.record)?;
        let root: OwnedFd = File::open(&path).attempt(|| format!("open {path:?}"))?.into();
        let mut files = Stack::new(self.engine.store.form());
        files.push(root.try_clone().attempt(|| "copy a descriptor")?);
        volume::prepare(self.engine, &self.record, &files, volume::Until::Namespace)?;
        let mut all: Vec<&Mounted> = self.record.mounts.iter().filter(|mounted| mounted.kind != "tmpfs").collect();
        all.sort_by_key(|mounted| mounted.destination.split('/').count());
        // Points that are missing are made, which in a root with other ids only somebody can who has one of these.
        let ids = self.record.ids.as_ref();
        let _as_its_root = ids.map(FileIds::of_root).transpose()?;
        // An ordinary user can't have mounts mapped.
        let namespace = ids.filter(|_| self.engine.user.is_none()).map(image::mount::user_namespace).transpose()?;
        let tree = tree(root);
        for mounted in all {
            mount(&tree, mounted, namespace.as_ref().filter(|_| mounted.kind == "volume"))?;
        }
        Ok(tree)
    }
}

/// Mounts something as the runtime does it, with its ids mapped by a user namespace if one is given.
fn mount(within: &Tree, mounted: &Mounted, namespace: Option<&OwnedFd>) -> Result<()> {
    let what = || format!("mount {:?} at {}", mounted.source, mounted.destination);
    let mut flags = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC;
    flags.set(OpenTreeFlags::AT_RECURSIVE, mounted.recursion != "disabled");
    let tree = open_tree(CWD, &mounted.source, flags).attempt(what)?;
    if !mounted.writable {
        let depth = if mounted.recursion == "writable" { 0 } else { sys::mount::RECURSIVE };
        sys::mount::change(tree.as_fd(), libc::MOUNT_ATTR_RDONLY, 0, depth).attempt(what)?;
    }
    if let Some(namespace) = namespace {
        sys::mount::map_ids(tree.as_fd(), namespace.as_fd(), 0).attempt(what)?;
    }
    let is_directory = Path::new(&mounted.source).is_dir();
    // A link that leads to nothing yet is no reason to fail: the runtime makes what it leads to.
    let path = within.followed(&path::clean(mounted.destination.as_bytes()))?;
    let point = root::make_point(within.root(), &path, is_directory).attempt(what)?;
    let flags = MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH | MoveMountFlags::MOVE_MOUNT_T_EMPTY_PATH;
    move_mount(&tree, "", &point, "", flags).attempt(what)
}
