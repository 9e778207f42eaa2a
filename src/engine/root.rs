//! A container's root: overlayfs over the image's layers, mounted while it runs.

use std::fs::File;
use std::os::fd::OwnedFd;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use anyhow::{Result, bail, ensure};
use rustix::fs::{FileType, Mode, OFlags, ResolveFlags, fstat, mkdirat, mknodat, openat2};
use rustix::io::Errno;
use rustix::mount::{MountFlags, UnmountFlags};
use serde_json::Value;

use super::record::Record;
use super::{Container, Engine};
use crate::error::Attempt;
use crate::image::layer::changes::{self, Change};
use crate::image::layer::copy::IdMaps;
use crate::image::layer::{Stack, path};
use crate::image::mount::Upper;
use crate::image::tar::shown;

/// Mounts it, and says where it is.
pub(super) fn mount(engine: &Engine, record: &Record) -> Result<std::path::PathBuf> {
    if let Some(rootfs) = &record.rootfs {
        ensure!(Path::new(rootfs).is_dir(), "the root directory {rootfs:?} is not there");
        return Ok(rootfs.into());
    }
    let directory = engine.directory(&record.id);
    let (upper, work, point) = (directory.join("upper"), directory.join("work"), directory.join("rootfs"));
    // Left by a mount that could lose what was written, which this one may not: a container that is started again after a crash of
    // the machine has what it has.
    let _ = std::fs::remove_dir_all(work.join("work/incompat"));
    let upper = Upper { directory: &upper, work: &work, volatile: record.host_config.auto_remove };
    match (record.ids.as_ref().filter(|ids| !ids.is_identity()), &engine.user) {
        (None, _) => engine.store.mount_writable(&record.layers, &upper, &point)?,
        (Some(ids), None) => engine.store.mount_mapped(&record.layers, &upper, &directory, &point, ids)?,
        (Some(ids), Some(_)) => {
            let image = engine.store.copy_mapped(&record.layers, ids)?;
            let owner = std::fs::metadata(&image).attempt(|| format!("look at {image:?}"))?;
            std::os::unix::fs::chown(upper.directory, Some(owner.uid()), Some(owner.gid()))
                .attempt(|| format!("change the owner of {:?}", upper.directory))?;
            engine.store.mount_over(&[image], &upper, &point)?;
        }
    }
    Ok(point)
}

/// Where it is mounted while the container runs.
pub(super) fn point(engine: &Engine, record: &Record) -> std::path::PathBuf {
    match &record.rootfs {
        Some(rootfs) => rootfs.into(),
        None => engine.directory(&record.id).join("rootfs"),
    }
}

/// Makes what will be mounted on in a root directory of the caller's whose owner is nobody in the container, and whose the container's
/// own root can't make anything in. What is below another mount is made there.
pub(super) fn make_points(record: &Record, config: &Value) -> Result<()> {
    let (Some(rootfs), Some(ids)) = (&record.rootfs, &record.ids) else { return Ok(()) };
    let root: OwnedFd = File::open(rootfs).attempt(|| format!("open {rootfs:?}"))?.into();
    let owner = fstat(&root).attempt(|| format!("look at {rootfs:?}"))?;
    if ids.has_owner(owner.st_uid, owner.st_gid) {
        return Ok(());
    }
    let mounts = || config["mounts"].as_array().into_iter().flatten();
    let destination = |mount: &Value| path::clean(mount["destination"].as_str().unwrap_or_default().as_bytes());
    let all: Vec<Vec<u8>> = mounts().map(destination).collect();
    let is_below =
        |path: &[u8], other: &Vec<u8>| path.strip_prefix(&other[..]).is_some_and(|rest| rest.starts_with(b"/"));
    for mount in mounts() {
        let path = destination(mount);
        if all.iter().any(|other| is_below(&path, other)) {
            continue;
        }
        let is_directory =
            mount["type"] != "bind" || mount["source"].as_str().is_some_and(|source| Path::new(source).is_dir());
        match make_point(&root, &path, is_directory) {
            Ok(_) => {}
            Err(Errno::EXIST) => {
                bail!(
                    "{} in {rootfs:?} leads to nothing, and the container's root can't make that: it has no id there",
                    shown(&path)
                )
            }
            Err(error) => return Err(error).attempt(|| format!("make {} in {rootfs:?}", shown(&path))),
        }
    }
    Ok(())
}

/// What is mounted on, below a root: made as the runtime makes it, where it is missing.
pub(super) fn make_point(root: &OwnedFd, path: &[u8], is_directory: bool) -> Result<OwnedFd, Errno> {
    let path_or_root = if path.is_empty() { b"." } else { path };
    let resolve = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
    let open = || openat2(root, path_or_root, OFlags::PATH | OFlags::CLOEXEC, Mode::empty(), resolve);
    match open() {
        Err(Errno::NOENT) if !path.is_empty() => {}
        found => return found,
    }
    let (parent, name) = path::split(path);
    let parent = make_point(root, parent, true)?;
    match is_directory {
        true => mkdirat(&parent, name, Mode::from_raw_mode(0o755))?,
        false => mknodat(&parent, name, FileType::RegularFile, Mode::from_raw_mode(0o644), 0)?,
    }
    open()
}

/// Where the shared memory of a container is that others may have, too.
pub(super) fn shared_memory(engine: &Engine, record: &Record) -> std::path::PathBuf {
    engine.running(&record.id).join("shm")
}

/// Mounts it.
pub(super) fn mount_shared_memory(engine: &Engine, record: &Record) -> Result<()> {
    let point = shared_memory(engine, record);
    super::make_directory(&point)?;
    let flags = MountFlags::NOSUID | MountFlags::NODEV | MountFlags::NOEXEC;
    let size = super::specification::shared_memory_size(&record.host_config);
    let data = std::ffi::CString::new(format!("mode=1777,size={size}"))?;
    rustix::mount::mount("shm", &point, "tmpfs", flags, Some(data.as_c_str()))
        .attempt(|| format!("mount a tmpfs at {point:?}"))
}

/// Unmounts whatever is there.
pub(super) fn unmount(point: &Path) -> Result<()> {
    loop {
        // Lazily: somebody who looks into it must not keep the container.
        match rustix::mount::unmount(point, UnmountFlags::DETACH | UnmountFlags::NOFOLLOW) {
            Ok(()) => {}
            // It is no mount point, or not there.
            Err(Errno::INVAL | Errno::NOENT) => return Ok(()),
            Err(error) => return Err(error).attempt(|| format!("unmount {point:?}")),
        }
    }
}

/// The ids that a container's files have on the disk in place of the image's.
fn copied<'c>(container: &'c Container<'_>) -> Option<&'c IdMaps> {
    container.engine.user.as_ref()?;
    container.record.ids.as_ref().filter(|ids| !ids.is_identity())
}

/// A container's files without what is mounted in it: those of its image alone, and all. Of a root directory of the caller's all is
/// the container's own.
pub fn files_of(container: &Container<'_>) -> Result<(Stack, Stack)> {
    let store = &container.engine.store;
    let open = |path: &Path| std::fs::File::open(path).attempt(|| format!("open {path:?}"));
    let below = match (copied(container), &container.engine.user) {
        (Some(ids), Some(_)) => {
            let mut copy = Stack::mapped(store.form(), ids.clone());
            copy.push(open(&store.copy_mapped(&container.record.layers, ids)?)?.into());
            copy
        }
        _ => store.stack(&container.record.layers)?,
    };
    let mut files = below.clone();
    let top = match &container.record.rootfs {
        Some(rootfs) => open(Path::new(rootfs))?,
        None => open(&container.directory().join("upper"))?,
    };
    files.push(top.into());
    Ok((below, files))
}

/// Where nothing is the container's own doing: what is mounted there, and the files that the runtime makes for that.
fn is_mounted_over(container: &Container<'_>, path: &[u8]) -> bool {
    const ALWAYS: [&str; 6] = ["dev", "proc", "sys", "etc/hostname", "etc/hosts", "etc/resolv.conf"];
    let record = &container.record;
    let own = record.mounts.iter().map(|mounted| &mounted.destination).chain(record.host_config.tmpfs.keys());
    // Where `/sbin` is a link, as it is in most images, it leads to the second.
    let init: &[&str] =
        if record.host_config.init == Some(true) { &[super::init::POINT, "usr/sbin/docker-init"] } else { &[] };
    let own = own.map(String::as_str).chain(init.iter().copied());
    let mut points = own.map(|point| point.trim_start_matches('/')).chain(ALWAYS);
    points.any(|point| point.as_bytes() == path)
}

/// What it changed of its image.
pub fn changes_of(container: &Container<'_>) -> Result<(Vec<Change>, Stack)> {
    let (below, files) = files_of(container)?;
    let changes = changes::between(&below, &files, |path| is_mounted_over(container, path))?;
    Ok((changes, files))
}
