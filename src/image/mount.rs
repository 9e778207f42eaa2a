//! Images as read-only file systems: overlayfs over the unpacked layers.

use std::fs;
use std::io::Read as _;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};
use rustix::fs::CWD;
use rustix::io::Errno;
use rustix::mount::{
    FsMountFlags, FsOpenFlags, MountAttrFlags, MountFlags, MountPropagationFlags, MoveMountFlags, OpenTreeFlags,
    UnmountFlags, fsconfig_create, fsconfig_set_flag, fsconfig_set_string, fsmount, fsopen, mount, mount_change,
    move_mount, open_tree, unmount,
};
use rustix::process::{chdir, chroot, fchdir};
use rustix::thread::{CapabilitiesSecureBits, capabilities_secure_bits, set_capabilities_secure_bits};
use serde::{Deserialize, Serialize};

use super::digest::Digest;
use super::layer::attributes::Warnings;
use super::layer::copy::{IdMaps, IdRange};
use super::layer::{self, Form, tree};
use super::store::lease::Lease;
use super::store::table::Image;
use super::store::{Store, file};
use crate::error::Attempt;
use crate::mountinfo;
use crate::plan::namespaces;
use crate::spec::IdMapping;
use crate::sys::clone::{CloneFlags, join, unshare};
use crate::sys::file_ids;
use crate::sys::mount::map_ids;

const RECORD: &str = "mount.json";
const POINT: &str = "merged";
/// Bytes that fsconfig(2) takes as a value, with its NUL.
const LONGEST_VALUE: usize = 256;

/// What is known of a mounted image.
#[derive(Debug, Serialize, Deserialize)]
struct Record {
    /// The layers that are in use.
    layers: Vec<Digest>,
    /// The kernel's run in which it was mounted.
    boot: String,
}

impl Store {
    fn mount_directory(&self, id: &Digest) -> PathBuf {
        self.path("mounts").join(id.hex())
    }

    /// Mounts an image, if it isn't mounted already, and says where.
    pub fn mount(&self, image: &Image) -> Result<PathBuf> {
        let directory = self.mount_directory(&image.id);
        let point = directory.join(POINT);
        if is_mounted(&point)? {
            return Ok(point);
        }
        let chain = image.config.chain();
        ensure!(!chain.is_empty(), "the image {} has no layers", image.id);
        fs::create_dir_all(&point).attempt(|| format!("make the directory {point:?}"))?;
        // The record is first: from then on the layers stay.
        let record = Record { layers: chain.clone(), boot: boot()? };
        let text = serde_json::to_vec(&record).context("write the mount's record as JSON")?;
        {
            let _nobody_collects = self.lock(rustix::fs::FlockOperation::LockShared)?;
            file::write_whole(&directory, RECORD, &text)?;
        }
        let result = self.mount_layers(&chain, &directory, &point);
        if result.is_err() {
            // Nothing is in use after all.
            let _ = remove(&directory);
        }
        result.map(|()| point)
    }

    fn mount_layers(&self, chain: &[Digest], directory: &Path, point: &Path) -> Result<()> {
        let mut lower = self.lower(chain)?;
        if let [_] = lower[..] {
            // overlayfs wants two where nothing can be written.
            let empty = directory.join("empty");
            fs::create_dir_all(&empty).attempt(|| format!("make the directory {empty:?}"))?;
            lower.push(empty);
        }
        attach(&overlay(&lower, None, self.form())?, point)
    }

    /// The trees of a chain of layers, the topmost first.
    fn lower(&self, chain: &[Digest]) -> Result<Vec<PathBuf>> {
        let tree = |chain_id: &Digest| {
            ensure!(self.has_layer(chain_id), "the layer {chain_id} is not unpacked");
            Ok(self.layer_path(chain_id).join(super::store::layers::TREE))
        };
        chain.iter().rev().map(tree).collect()
    }

    /// Mounts a chain of layers that somebody has pinned, with a directory on top that takes what is written.
    pub fn mount_writable(&self, chain: &[Digest], upper: &Upper<'_>, point: &Path) -> Result<()> {
        attach(&overlay(&self.lower(chain)?, Some(upper), self.form())?, point)
    }

    /// The same with a directory that is the only one below.
    pub fn mount_over(&self, lower: &[PathBuf], upper: &Upper<'_>, point: &Path) -> Result<()> {
        attach(&overlay(lower, Some(upper), self.form())?, point)
    }

    /// The same, with ids of the files that are others than on the disk: all directories are there by mounts that map them. The upper two
    /// are below `parent`.
    pub fn mount_mapped(
        &self,
        chain: &[Digest],
        upper: &Upper<'_>,
        parent: &Path,
        point: &Path,
        ids: &IdMaps,
    ) -> Result<()> {
        let namespace = user_namespace(ids)?;
        let mapped = |path: &Path| -> Result<OwnedFd> {
            let flags = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC;
            let mount = open_tree(CWD, path, flags).attempt(|| format!("clone the mount of {path:?}"))?;
            map_ids(mount.as_fd(), namespace.as_fd(), 0).attempt(|| format!("map the ids of {path:?}"))?;
            Ok(mount)
        };
        let lower = self.lower(chain)?.iter().map(|path| mapped(path)).collect::<Result<Vec<_>>>()?;
        let above = mapped(parent)?;
        let overlay = in_own_namespace(parent, || {
            let names: Vec<PathBuf> = (0..lower.len()).map(|number| number.to_string().into()).collect();
            for (mount, name) in lower.iter().zip(&names) {
                attach_here(mount, name)?;
            }
            attach_here(&above, Path::new("above"))?;
            let below = |path: &Path| Path::new("above").join(path.file_name().unwrap_or_default());
            let (directory, work) = (below(upper.directory), below(upper.work));
            let _as_root_of_it = FileIds::of_root(ids)?;
            overlay(&names, Some(&Upper { directory: &directory, work: &work, ..*upper }), self.form())
        })?;
        attach(&overlay, point)
    }

    /// A copy of a chain of layers whose files have other ids: made once, beside the topmost layer, with which it goes.
    pub fn copy_mapped(&self, chain: &[Digest], ids: &IdMaps) -> Result<PathBuf> {
        let top = chain.last().context("the image has no layers")?;
        let text = serde_json::to_vec(ids).context("write ids as JSON")?;
        let path = self.layer_path(top).join(format!("mapped-{}", &Digest::of(&text).hex()[..16]));
        if path.is_dir() {
            return Ok(path);
        }
        let lease = Lease::new(self)?;
        let copy = lease.fresh("mapped");
        let what = || format!("copy the image to {copy:?} with other ids");
        fs::create_dir(&copy).attempt(what)?;
        let target = fs::File::open(&copy).attempt(what)?;
        layer::copy::tree(&self.stack(chain)?, target.into(), ids, &mut Warnings::new()).with_context(what)?;
        let target = fs::File::open(&copy).attempt(what)?;
        rustix::fs::syncfs(&target).attempt(what)?;
        match fs::rename(&copy, &path) {
            // Somebody else was faster.
            Err(_) if path.is_dir() => {}
            renamed => renamed.attempt(what)?,
        }
        Ok(path)
    }

    /// Unmounts an image; says whether it was mounted.
    pub fn unmount(&self, id: &Digest) -> Result<bool> {
        let directory = self.mount_directory(id);
        let point = directory.join(POINT);
        let mounted = is_mounted(&point)?;
        if mounted {
            unmount(&point, UnmountFlags::NOFOLLOW).attempt(|| format!("unmount {point:?}"))?;
        }
        if directory.exists() {
            remove(&directory)?;
        }
        Ok(mounted)
    }

    /// The images that are mounted, and where.
    pub fn mounts(&self) -> Result<Vec<(String, PathBuf)>> {
        let mut all = Vec::new();
        for directory in self.mount_directories()? {
            let point = directory.join(POINT);
            if is_mounted(&point)? {
                all.push((directory.file_name().unwrap_or_default().display().to_string(), point));
            }
        }
        Ok(all)
    }

    /// Layers that a mount of this run of the kernel uses, perhaps in a mount namespace that can't be seen from here.
    pub(super) fn mounted_layers(&self) -> Result<Vec<Digest>> {
        let boot = boot()?;
        let mut all = Vec::new();
        for directory in self.mount_directories()? {
            let Ok(bytes) = fs::read(directory.join(RECORD)) else { continue };
            let Ok(record) = serde_json::from_slice::<Record>(&bytes) else { continue };
            if record.boot == boot {
                all.extend(record.layers);
            }
        }
        Ok(all)
    }

    fn mount_directories(&self) -> Result<Vec<PathBuf>> {
        let path = self.path("mounts");
        let what = || format!("read {path:?}");
        fs::read_dir(&path).attempt(what)?.map(|entry| entry.map(|entry| entry.path()).attempt(what)).collect()
    }
}

/// Where what is written to an overlay goes.
#[derive(Debug, Clone, Copy)]
pub struct Upper<'a> {
    /// The directory on top.
    pub directory: &'a Path,
    /// overlayfs's own, on the same file system.
    pub work: &'a Path,
    /// Whether what was written may be lost with the machine's power: nothing is synced then, not even at the end.
    pub volatile: bool,
}

/// The ids with which files are made, as long as the value lives: overlayfs makes its own as whoever mounts it, and where ids are mapped
/// the machine's root has none.
pub(crate) struct FileIds {
    before: (u32, u32),
    bits: CapabilitiesSecureBits,
}

impl FileIds {
    /// Those of root behind a mapping.
    pub(crate) fn of_root(ids: &IdMaps) -> Result<FileIds> {
        let bits = capabilities_secure_bits().attempt(|| "ask for the secure bits")?;
        // capabilities(7): otherwise the capabilities for files went with root's number.
        set_capabilities_secure_bits(bits | CapabilitiesSecureBits::NO_SETUID_FIXUP)
            .attempt(|| "set the secure bits")?;
        let (uid, gid) = ids.root();
        Ok(FileIds { before: file_ids::set(uid, gid), bits })
    }
}

impl Drop for FileIds {
    fn drop(&mut self) {
        file_ids::set(self.before.0, self.before.1);
        let _ = set_capabilities_secure_bits(self.bits);
    }
}

/// A user namespace for mounts.
pub(crate) fn user_namespace(ids: &IdMaps) -> Result<OwnedFd> {
    let lines = |ranges: &[IdRange]| {
        let line =
            |range: &IdRange| IdMapping { container_id: range.container, host_id: range.host, size: range.length };
        ranges.iter().map(line).collect()
    };
    crate::launch::user_namespace(&namespaces::IdMaps { uids: lines(&ids.users), gids: lines(&ids.groups) })
}

/// Does something in a mount namespace of its own, in a directory that is empty there, and comes back. overlayfs takes mounts that are
/// attached somewhere alone (clone_private_mount() in fs/namespace.c, up to Linux 6.14), and keeps hold of them; so they are attached where
/// nobody else sees them, and where they go whatever becomes of this process.
fn in_own_namespace<T>(place: &Path, work: impl FnOnce() -> Result<T>) -> Result<T> {
    let open = |path: &str| fs::File::open(path).attempt(|| format!("open {path:?}"));
    let (own, root, here) = (open("/proc/self/ns/mnt")?, open("/")?, open(".")?);
    let home = || fchdir(&root).and_then(|()| chroot(".")).and_then(|()| fchdir(&here));
    // setns(2) asks for CAP_SYS_CHROOT, too, which unshare(2) does not: who may do this now can come back.
    home().attempt(
        || "change to the root directory that is there already, as the way back from a mount namespace needs",
    )?;
    unshare(CloneFlags::NEWNS).attempt(|| "make a mount namespace")?;
    let result = || -> Result<T> {
        let private = MountPropagationFlags::PRIVATE | MountPropagationFlags::REC;
        mount_change("/", private).attempt(|| "keep the mounts of the namespace in it")?;
        mount("layers", place, "tmpfs", MountFlags::empty(), None).attempt(|| format!("mount a tmpfs at {place:?}"))?;
        chdir(place).attempt(|| format!("change to {place:?}"))?;
        work()
    };
    let result = result();
    // setns(2) leads to the root of the namespace.
    let back = join(own.as_fd(), CloneFlags::NEWNS).and_then(|()| home());
    #[allow(clippy::expect_used, reason = "nothing may go on in a namespace that is not its own")]
    back.expect("what is open may be entered by who has CAP_SYS_ADMIN, as unshare showed, and CAP_SYS_CHROOT");
    result
}

/// Attaches a mount to a new directory of the working directory.
fn attach_here(mount: &OwnedFd, name: &Path) -> Result<()> {
    fs::create_dir(name).attempt(|| format!("make the directory {name:?}"))?;
    attach(mount, name)
}

fn attach(mount: &OwnedFd, point: &Path) -> Result<()> {
    move_mount(mount, c"", CWD, point, MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH)
        .attempt(|| format!("attach the mount to {point:?}"))
}

/// A detached mount of some directories, the topmost first; read-only without one that takes what is written.
fn overlay(lower: &[PathBuf], upper: Option<&Upper<'_>>, form: Form) -> Result<OwnedFd> {
    let add = |context: BorrowedFd<'_>| -> Result<()> {
        let set = |name: &std::ffi::CStr, directory: &Path| {
            let value = directory.as_os_str().as_bytes();
            let long = value.len() >= LONGEST_VALUE;
            ensure!(!long, "the path {directory:?} is longer than the {LONGEST_VALUE} bytes that fsconfig(2) takes");
            fsconfig_set_string(context, name, value).attempt(|| format!("add the layer {directory:?}"))
        };
        for directory in lower {
            // Since Linux 6.5.
            set(c"lowerdir+", directory)?;
        }
        if let Some(upper) = upper {
            set(c"upperdir", upper.directory)?;
            set(c"workdir", upper.work)?;
        }
        Ok(())
    };
    let context = fsopen(c"overlay", FsOpenFlags::FSOPEN_CLOEXEC).attempt(|| "open the file system overlay")?;
    let mount = || -> Result<OwnedFd> {
        add(context.as_fd())?;
        if upper.is_some_and(|upper| upper.volatile) {
            fsconfig_set_flag(&context, c"volatile").attempt(|| "set volatile")?;
        }
        if form == Form::User {
            fsconfig_set_flag(&context, c"userxattr").attempt(|| "set userxattr")?;
        }
        fsconfig_create(&context).attempt(|| "make the overlay")?;
        let attributes = match upper {
            None => MountAttrFlags::MOUNT_ATTR_RDONLY | MountAttrFlags::MOUNT_ATTR_NODEV,
            Some(_) => MountAttrFlags::empty(),
        };
        fsmount(&context, FsMountFlags::FSMOUNT_CLOEXEC, attributes).attempt(|| "mount the overlay")
    };
    mount().map_err(|error| match log(&context) {
        log if log.is_empty() => error,
        log => error.context(format!("overlayfs says: {log}")),
    })
}

/// What the file system said of its refusals, which is more than an errno.
fn log(context: impl AsFd) -> String {
    let mut said = Vec::new();
    let mut buffer = [0u8; 1024];
    while let Ok(length) = rustix::io::read(&context, &mut buffer[..]) {
        if length == 0 {
            break;
        }
        said.push(String::from_utf8_lossy(&buffer[..length]).trim().to_owned());
    }
    said.join("; ")
}

/// Whether something is mounted there.
pub fn is_mounted(point: &Path) -> Result<bool> {
    let mut table = Vec::new();
    let mut file = fs::File::open("/proc/self/mountinfo").attempt(|| "open the table of mounts")?;
    file.read_to_end(&mut table).attempt(|| "read the table of mounts")?;
    let Ok(point) = fs::canonicalize(point) else { return Ok(false) };
    Ok(mountinfo::parse(&table).any(|mount| mount.point == point))
}

/// Which run of the kernel this is.
pub fn boot() -> Result<String> {
    let path = "/proc/sys/kernel/random/boot_id";
    fs::read_to_string(path).attempt(|| format!("read {path:?}")).map(|id| id.trim().to_owned())
}

/// Removes the directory of a mount that is gone; the record last, and nothing that is not empty.
fn remove(directory: &Path) -> Result<()> {
    for name in [POINT, "empty"] {
        match fs::remove_dir(directory.join(name)) {
            Err(error) if Errno::from_io_error(&error) == Some(Errno::BUSY) => {
                bail!("{:?} is still mounted, perhaps in another mount namespace", directory.join(name))
            }
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            done => done.attempt(|| format!("remove {:?}", directory.join(name)))?,
        }
    }
    let (Some(parent), Some(name)) = (directory.parent(), directory.file_name()) else { return Ok(()) };
    let parent = fs::File::open(parent).attempt(|| format!("open {parent:?}"))?;
    tree::remove(parent, name.as_bytes())
}
