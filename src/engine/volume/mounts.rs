//! What of volumes is mounted on the host while containers run that have them, and is unmounted with the last of these.
//!
//! | where | what |
//! | --- | --- |
//! | `RUN/volumes/NAME/ID` | an empty file for each container that needs the volume mounted, made **before** that is done |
//! | `RUN/subpaths/ID/NUMBER` | where a part of a volume is mounted, for the container's mount of this number |
//!
//! Whoever mounts or unmounts a volume has its directory locked.

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use rustix::fs::{
    AtFlags, CWD, FileType, FlockOperation, Mode, OFlags, ResolveFlags, StatxAttributes, StatxFlags, fstat, openat2,
    statx,
};
use rustix::io::Errno;
use rustix::mount::{MoveMountFlags, OpenTreeFlags, move_mount, open_tree};

use super::options::{Call, resolve};
use crate::engine::record::Record;
use crate::engine::{Engine, locks, make_directory, root};
use crate::error::Attempt;

/// Who sees to it that it is unmounted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::engine) enum Until {
    /// Whoever ends the container, or finds that its monitor is gone.
    End,
    /// The kernel, with a mount namespace of the caller's own.
    Namespace,
}

/// Mounts what a container needs of volumes.
pub(super) fn mount(engine: &Engine, record: &Record, until: Until) -> Result<()> {
    for mounted in record.mounts.iter().filter(|mounted| mounted.kind == "volume") {
        let volume = engine.volume(&mounted.name)?;
        if volume.options.contains_key("device") {
            let point = engine.volume_data(&volume.name);
            let _alone = locks::wait(&engine.volume_directory(&volume.name), FlockOperation::LockExclusive)?;
            if until == Until::End {
                let users = users(engine).join(&volume.name);
                make_directory(&users)?;
                let user = users.join(&record.id);
                File::create(&user).attempt(|| format!("make {user:?}"))?;
            }
            let mounted = is_mount_point(&point)?;
            Call::of(&volume.options, resolve)
                .and_then(|call| {
                    if !mounted {
                        call.carry_out(&point)?;
                    }
                    // Also where somebody was killed before it.
                    call.propagate(&point)
                })
                .with_context(|| format!("error while mounting volume '{}'", point.display()))?;
        }
        if !mounted.subpath.is_empty() {
            mount_part(&engine.volume_data(&volume.name), &mounted.subpath, Path::new(&mounted.source))
                .with_context(|| format!("cannot access path {} of the volume {}", mounted.subpath, volume.name))?;
        }
    }
    Ok(())
}

/// Unmounts what only this container needed.
pub(in crate::engine) fn unmount(engine: &Engine, id: &str) -> Result<()> {
    unmount_parts(&subpaths(engine, id))?;
    for entry in fs::read_dir(users(engine)).into_iter().flatten().flatten() {
        let (users, name) = (entry.path(), entry.file_name());
        let user = users.join(id);
        if !user.exists() {
            continue;
        }
        // Gone, if somebody has removed it by hand.
        let _alone = locks::wait(&engine.volume_directory(&name.to_string_lossy()), FlockOperation::LockExclusive).ok();
        let others = fs::read_dir(&users).attempt(|| format!("read {users:?}"))?.count();
        if others == 1 {
            root::unmount(&engine.volume_data(&name.to_string_lossy()))?;
        }
        fs::remove_file(&user).attempt(|| format!("remove {user:?}"))?;
        if others == 1 {
            let _ = fs::remove_dir(&users);
        }
    }
    Ok(())
}

/// Sees to what containers left that are not there any more.
pub(in crate::engine) fn unmount_strays(engine: &Engine) -> Result<()> {
    let names = |path: &Path| {
        let entries = fs::read_dir(path).into_iter().flatten().flatten();
        entries.filter_map(|entry| entry.file_name().into_string().ok()).collect::<Vec<_>>()
    };
    let mut ids = names(&engine.run.join("subpaths"));
    for volume in names(&users(engine)) {
        ids.extend(names(&users(engine).join(volume)));
    }
    for id in ids.into_iter().filter(|id| !engine.running(id).exists()) {
        let directory = engine.directory(&id);
        let lock = locks::try_alone(&directory);
        if lock.is_some() || !directory.exists() {
            unmount(engine, &id)?;
        }
    }
    Ok(())
}

fn users(engine: &Engine) -> PathBuf {
    engine.run.join("volumes")
}

/// Where parts of volumes are mounted for a container.
pub(super) fn subpaths(engine: &Engine, id: &str) -> PathBuf {
    engine.run.join("subpaths").join(id)
}

fn is_mount_point(path: &Path) -> Result<bool> {
    let flags = AtFlags::SYMLINK_NOFOLLOW | AtFlags::NO_AUTOMOUNT;
    let data = statx(CWD, path, flags, StatxFlags::TYPE).attempt(|| format!("look at {path:?}"))?;
    Ok(data.stx_attributes.contains(StatxAttributes::MOUNT_ROOT))
}

/// Mounts what is at a path of a volume. It is resolved beneath the volume and mounted by its descriptor, for other containers may be
/// changing what is there.
fn mount_part(data: &Path, path: &str, point: &Path) -> Result<()> {
    let what = || format!("open {path:?} in {data:?}");
    let directory = File::open(data).attempt(|| format!("open {data:?}"))?;
    let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_MAGICLINKS;
    let part = openat2(&directory, path, OFlags::PATH | OFlags::CLOEXEC, Mode::empty(), resolve).attempt(what)?;
    let flags = OpenTreeFlags::OPEN_TREE_CLONE
        | OpenTreeFlags::OPEN_TREE_CLOEXEC
        | OpenTreeFlags::AT_EMPTY_PATH
        | OpenTreeFlags::AT_RECURSIVE;
    let tree = open_tree(&part, "", flags).attempt(what)?;
    let parent = point.parent().context("the point has a parent")?;
    make_directory(parent)?;
    let is_directory = FileType::from_raw_mode(fstat(&part).attempt(what)?.st_mode) == FileType::Directory;
    let made = if is_directory { fs::create_dir(point) } else { File::create_new(point).map(drop) };
    match made {
        Err(error) if error.kind() != std::io::ErrorKind::AlreadyExists => {
            return Err(error).attempt(|| format!("make {point:?}"));
        }
        _ => {}
    }
    move_mount(&tree, "", CWD, point, MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH)
        .attempt(|| format!("mount {path:?} of {data:?} at {point:?}"))
}

/// Never removes more than what is mounted on: behind a mount that is still there is somebody's data.
fn unmount_parts(directory: &Path) -> Result<()> {
    for entry in fs::read_dir(directory).into_iter().flatten().flatten() {
        let point = entry.path();
        root::unmount(&point)?;
        let _ = fs::remove_dir(&point).or_else(|_| fs::remove_file(&point));
    }
    match rustix::fs::rmdir(directory) {
        Ok(()) | Err(Errno::NOENT) => Ok(()),
        Err(error) => Err(error).attempt(|| format!("remove {directory:?}")),
    }
}
