//! The file tree. Mounts are built detached and moved onto a descriptor, so that there is no moment between resolving a
//! path and mounting on it (CVE-2021-30465).

use std::ffi::{CStr, CString, OsStr};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use rustix::fs::{
    AtFlags, CWD, Dir, FileType, Gid, Mode, OFlags, Stat, Uid, XattrFlags, chmodat, chownat, fchmod, fchown, fstat,
    mkdirat, mknodat, openat, readlinkat, setxattr, symlinkat,
};
use rustix::io::Errno;
use rustix::mount::{
    FsMountFlags, FsOpenFlags, FsPickFlags, MountAttrFlags, MountFlags, MountPropagationFlags, MoveMountFlags,
    OpenTreeFlags, UnmountFlags, fsconfig_create, fsconfig_reconfigure, fsconfig_set_flag, fsconfig_set_string,
    fsmount, fsopen, fspick, mount_change, move_mount, open_tree, unmount,
};
use rustix::process::{chdir, chroot, fchdir, pivot_root};

use super::{Fault, Init, Outcome, tree};
use crate::mountinfo::{self, Mount};
use crate::plan::step::{Bind, Destination, FileSystem, OnProc, Parameter, Propagation, Remount};
use crate::sys::mount;

/// fsconfig(2) takes strings of up to 255 bytes; longer ones (overlay's lowerdir) go through mount(2).
const LONGEST_VALUE: usize = 255;

impl Init<'_> {
    pub(super) fn propagation(&mut self, path: &CStr, propagation: Propagation) -> Outcome {
        let mut flags = MountPropagationFlags::from_bits_retain(propagation.kind as u32);
        flags.set(MountPropagationFlags::REC, propagation.recursive);
        Ok(mount_change(path, flags)?)
    }

    pub(super) fn open_root(&mut self, path: &CStr, slot: Option<usize>) -> Outcome {
        if !self.plan.changes_mounts {
            let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
            self.root = Some(openat(CWD, path, flags, Mode::empty())?);
            return Ok(());
        }
        // What the runtime opened is put on top of all, where it is below no path that would have to be passed.
        let path = if slot.is_some() { c"/" } else { path };
        if self.plan.shares_mounts {
            make_parent_private(path)?;
        }
        let root = match slot {
            Some(slot) => self.take(slot)?,
            None => copy_tree(path, true, true)?,
        };
        let flags = MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH;
        move_mount(&root, c"", CWD, path, flags)?;
        self.root = Some(root);
        Ok(())
    }

    pub(super) fn mount_file_system(&mut self, wanted: &FileSystem) -> Outcome {
        let target = self.file_system_target(wanted)?;
        let mut parameters = wanted.parameters.clone();
        if wanted.inherit_mode {
            let mode = format!("{:o}", fstat(&target)?.st_mode & 0o7777);
            let value = Some(CString::new(mode).unwrap_or_default());
            parameters.push(Parameter { key: c"mode".into(), value, optional: false });
        }
        let is_long = |parameter: &Parameter| {
            parameter.value.as_ref().is_some_and(|value| value.as_bytes().len() > LONGEST_VALUE)
        };
        if parameters.iter().any(is_long) {
            mount_by_path(wanted, &parameters, target.as_fd())?;
            if wanted.propagation.is_empty() {
                return Ok(());
            }
            return propagate(tree::open(self.root()?, wanted.destination.relative())?.as_fd(), &wanted.propagation);
        }
        let new = match (new_file_system(wanted, &parameters), &wanted.fallback) {
            (Err(fault), Some(path)) if matches!(fault.errno, Errno::PERM | Errno::BUSY) => {
                let copy = copy_tree(path, true, true)?;
                mount::change(copy.as_fd(), wanted.attributes, 0, 0)?;
                copy
            }
            (result, _) => result?,
        };
        if wanted.copy_up {
            copy_contents(open_directory(target.as_fd())?, open_directory(new.as_fd())?)?;
        }
        if wanted.kind.as_c_str() == c"mqueue" {
            label(new.as_fd(), &self.plan.mount_label)?;
        }
        propagate(new.as_fd(), &wanted.propagation)?;
        attach(new.as_fd(), target.as_fd())?;
        if wanted.private_proc {
            self.procfs = Some(new);
        }
        Ok(())
    }

    fn file_system_target(&self, wanted: &FileSystem) -> Outcome<OwnedFd> {
        let (root, path) = (self.root()?, wanted.destination.relative());
        // A tmpfs without a mode has that of its directory: as long as there is none, the one that any tmpfs has. It is the
        // directory's, too, so that it is the same at the next start.
        let ensure = if wanted.inherit_mode { tree::ensure_directory_for_all } else { tree::ensure_directory };
        let target = ensure(root, path)?;
        if wanted.ordinary_directory {
            let ordinary = tree::open_ordinary(root, path).map_err(|error| {
                let kind = wanted.kind.to_string_lossy();
                let sentence = format!(
                    "mount {kind} at {}: a symlink is in the way; {kind} must be mounted on an ordinary directory",
                    wanted.destination
                );
                Fault::new(error, sentence)
            })?;
            return Ok(ordinary);
        }
        if tree::is_on_proc(target.as_fd())? && wanted.kind.as_c_str() != c"proc" {
            return Err(inside_proc(&wanted.destination));
        }
        Ok(target)
    }

    pub(super) fn bind_mount(&mut self, bind: &Bind) -> Outcome {
        let copy = match bind.source.slot {
            Some(slot) => self.take(slot)?,
            None => copy_tree(&bind.source.path, bind.recursive, bind.follow.source)?,
        };
        let is_directory = tree::is(&fstat(&copy)?, FileType::Directory);
        let (root, path) = (self.root()?, bind.destination.relative());
        let target = match (is_directory, bind.follow.destination) {
            (true, true) => tree::ensure_directory(root, path)?,
            (false, true) => tree::ensure_file(root, path)?,
            (_, false) => {
                let (parent, name) = tree::ensure_parent(root, path)?;
                match tree::open_nofollow(parent.as_fd(), name) {
                    Err(Errno::NOENT) if is_directory => tree::ensure_directory(parent.as_fd(), name)?,
                    Err(Errno::NOENT) => tree::ensure_file(parent.as_fd(), name)?,
                    result => result?,
                }
            }
        };
        check_on_proc(bind, copy.as_fd(), target.as_fd())?;
        if !bind.change.is_empty() {
            mount::change(copy.as_fd(), bind.change.set, bind.change.clear, 0)?;
        }
        if !bind.change_all.is_empty() {
            mount::change(copy.as_fd(), bind.change_all.set, bind.change_all.clear, mount::RECURSIVE)?;
        }
        propagate(copy.as_fd(), &bind.propagation)?;
        let target_is_directory = tree::is(&fstat(&target)?, FileType::Directory);
        match attach(copy.as_fd(), target.as_fd()) {
            Err(_) if is_directory != target_is_directory => {
                let (from, to) = if is_directory { ("a directory", "a file") } else { ("a file", "a directory") };
                let detail = format!("the source is {from} and the destination {to}");
                Err(Fault::detailed(Errno::NOTDIR, detail))
            }
            result => Ok(result?),
        }
    }

    pub(super) fn remount(&mut self, remount: &Remount) -> Outcome {
        let target = tree::open(self.root()?, remount.destination.relative())?;
        if !remount.change.is_empty() {
            mount::change(target.as_fd(), remount.change.set, remount.change.clear, 0)?;
        }
        if remount.parameters.is_empty() {
            return Ok(());
        }
        let context = fspick(&target, c"", FsPickFlags::FSPICK_EMPTY_PATH | FsPickFlags::FSPICK_CLOEXEC)?;
        configure(&context, &remount.parameters)?;
        fsconfig_reconfigure(&context).map_err(|error| explained(&context, error))
    }

    /// In the container's pid namespace, and seen by nobody else. Where the kernel refuses a new instance (a user namespace in
    /// which not all of /proc is visible), the one that is mounted, if it is the real one.
    pub(super) fn open_proc(&mut self) -> Outcome {
        let context = fsopen(c"proc", FsOpenFlags::FSOPEN_CLOEXEC)?;
        let made = fsconfig_create(&context)
            .and_then(|()| fsmount(&context, FsMountFlags::FSMOUNT_CLOEXEC, MountAttrFlags::empty()));
        let procfs = match made {
            Err(Errno::PERM) => {
                const ROOT_INODE: u64 = 1;
                if self.root.is_none() {
                    self.root = Some(openat(CWD, c"/", OFlags::PATH | OFlags::CLOEXEC, Mode::empty())?);
                }
                let mounted = tree::open_ordinary(self.root()?, c"proc")?;
                if !tree::is_on_proc(mounted.as_fd())? || fstat(&mounted)?.st_ino != ROOT_INODE {
                    return Err(Errno::PERM.into());
                }
                mounted
            }
            result => result?,
        };
        self.procfs = Some(procfs);
        Ok(())
    }

    pub(super) fn pivot_root(&mut self) -> Outcome {
        let old = openat(CWD, c"/", OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?;
        fchdir(self.root()?)?;
        // pivot_root(2), "pivot_root(".", ".")": the old root ends up on top of the new one, from where it is unmounted.
        pivot_root(c".", c".")?;
        fchdir(&old)?;
        if self.plan.shares_mounts {
            // What is unmounted here must stay mounted on the host.
            mount_change(c".", MountPropagationFlags::DOWNSTREAM | MountPropagationFlags::REC)?;
        }
        unmount(c".", UnmountFlags::DETACH)?;
        Ok(chdir(c"/")?)
    }

    pub(super) fn move_root(&mut self) -> Outcome {
        let root = self.root()?;
        fchdir(root)?;
        detach_kernel_file_systems(root)?;
        move_mount(root, c"", CWD, c"/", MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH)?;
        chroot(c".")?;
        Ok(chdir(c"/")?)
    }

    pub(super) fn change_root(&mut self) -> Outcome {
        fchdir(self.root()?)?;
        chroot(c".")?;
        Ok(chdir(c"/")?)
    }

    pub(super) fn set_mount_attributes(&mut self, path: &Destination, set: u64) -> Outcome {
        let target = tree::open(self.root()?, path.relative())?;
        Ok(mount::change(target.as_fd(), set, 0, 0)?)
    }

    pub(super) fn readonly_path(&mut self, path: &Destination) -> Outcome {
        let target = match tree::open(self.root()?, path.relative()) {
            Err(Errno::NOENT | Errno::NOTDIR) => return Ok(()),
            result => result?,
        };
        let copy = copy_mount(target.as_fd(), true)?;
        mount::change(copy.as_fd(), libc::MOUNT_ATTR_RDONLY, 0, mount::RECURSIVE)?;
        Ok(attach(copy.as_fd(), target.as_fd())?)
    }

    /// A file is covered by the null device, a directory by an empty read-only one. All directories share one file system, and what is
    /// attached first is what later ones are copied from: a detached mount can't be copied before Linux 6.15.
    pub(super) fn mask_path(&mut self, path: &Destination) -> Outcome {
        let target = match tree::open(self.root()?, path.relative()) {
            Err(Errno::NOENT | Errno::NOTDIR) => return Ok(()),
            result => result?,
        };
        if tree::is(&fstat(&target)?, FileType::Directory) {
            let mask = match &self.empty_directory {
                Some(first) => copy_mount(first.as_fd(), false)?,
                None => empty_directory(&self.plan.mount_label)?,
            };
            attach(mask.as_fd(), target.as_fd())?;
            self.empty_directory.get_or_insert(mask);
        } else {
            let mask = match &self.null_device {
                Some(first) => copy_mount(first.as_fd(), false)?,
                None => copy_mount(self.container_null()?.as_fd(), false)?,
            };
            attach(mask.as_fd(), target.as_fd())?;
            self.null_device.get_or_insert(mask);
        }
        Ok(())
    }

    /// The container's `/dev/null`, proven to be the null device (CVE-2025-31133).
    fn container_null(&self) -> Outcome<OwnedFd> {
        let null = tree::open_nofollow(self.root()?, c"dev/null")?;
        if tree::is_character_device(&fstat(&null)?, 1, 3) {
            return Ok(null);
        }
        Err(Fault::new(Errno::NODEV, "mask paths: \"/dev/null\" of the container is not the null device".to_owned()))
    }
}

fn inside_proc(destination: &Destination) -> Fault {
    Fault::new(
        Errno::PERM,
        format!("mount at {destination}: it is inside proc, which the container and the runtime must be able to trust"),
    )
}

fn check_on_proc(bind: &Bind, copy: BorrowedFd<'_>, target: BorrowedFd<'_>) -> Outcome {
    match bind.on_proc {
        OnProc::MustBeProc if !tree::is_on_proc(copy)? => {
            let sentence =
                format!("bind {:?} at {}: only a proc file system can be there", bind.source.path, bind.destination);
            Err(Fault::new(Errno::PERM, sentence))
        }
        OnProc::Refused if tree::is_on_proc(target)? => Err(inside_proc(&bind.destination)),
        _ => Ok(()),
    }
}

/// open_tree(2) of a path of the host.
fn copy_tree(path: &CStr, recursive: bool, follow: bool) -> Outcome<OwnedFd> {
    let mut flags = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC;
    flags.set(OpenTreeFlags::AT_RECURSIVE, recursive);
    flags.set(OpenTreeFlags::AT_SYMLINK_NOFOLLOW, !follow);
    Ok(open_tree(CWD, path, flags)?)
}

/// open_tree(2) of what a descriptor stands for.
fn copy_mount(descriptor: BorrowedFd<'_>, recursive: bool) -> Outcome<OwnedFd> {
    let mut flags = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC | OpenTreeFlags::AT_EMPTY_PATH;
    flags.set(OpenTreeFlags::AT_RECURSIVE, recursive);
    Ok(open_tree(descriptor, c"", flags)?)
}

pub(super) fn attach_copy(descriptor: BorrowedFd<'_>, target: BorrowedFd<'_>) -> Outcome {
    Ok(attach(copy_mount(descriptor, false)?.as_fd(), target)?)
}

fn attach(mount: BorrowedFd<'_>, target: BorrowedFd<'_>) -> rustix::io::Result<()> {
    let flags = MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH | MoveMountFlags::MOVE_MOUNT_T_EMPTY_PATH;
    move_mount(mount, c"", target, c"", flags)
}

fn propagate(mount: BorrowedFd<'_>, propagation: &[Propagation]) -> Outcome {
    for change in propagation {
        let flags = if change.recursive { mount::RECURSIVE } else { 0 };
        mount::propagate(mount, change.kind, flags)?;
    }
    Ok(())
}

fn new_file_system(wanted: &FileSystem, parameters: &[Parameter]) -> Outcome<OwnedFd> {
    let context = fsopen(&wanted.kind, FsOpenFlags::FSOPEN_CLOEXEC)?;
    fsconfig_set_string(&context, c"source", &wanted.source)?;
    configure(&context, parameters)?;
    fsconfig_create(&context).map_err(|error| explained(&context, error))?;
    let attributes = MountAttrFlags::from_bits_retain(wanted.attributes as u32);
    Ok(fsmount(&context, FsMountFlags::FSMOUNT_CLOEXEC, attributes)?)
}

fn configure(context: &OwnedFd, parameters: &[Parameter]) -> Outcome {
    for parameter in parameters {
        let result = match &parameter.value {
            Some(value) => fsconfig_set_string(context, &parameter.key, value),
            None => fsconfig_set_flag(context, &parameter.key),
        };
        match result {
            Ok(()) => {}
            Err(Errno::INVAL | Errno::OPNOTSUPP) if parameter.optional => {}
            Err(error) => return Err(explained(context, error)),
        }
    }
    Ok(())
}

/// The kernel says on the context itself what it did not like.
fn explained(context: &OwnedFd, error: Errno) -> Fault {
    let mut text = [0; 512];
    match rustix::io::read(context, &mut text[..]) {
        Ok(length) => {
            let said = String::from_utf8_lossy(&text[..length]);
            // "e ", "w " or "i " stands before the message.
            let said = said.trim_end().get(2..).unwrap_or_default().to_owned();
            Fault::detailed(error, said)
        }
        Err(_) => error.into(),
    }
}

/// mount(2) through the descriptor's name in /proc, for what fsconfig(2) can't be told.
fn mount_by_path(wanted: &FileSystem, parameters: &[Parameter], target: BorrowedFd<'_>) -> Outcome {
    use std::os::fd::AsRawFd;
    let mut data = Vec::new();
    for parameter in parameters {
        if !data.is_empty() {
            data.push(b',');
        }
        data.extend_from_slice(parameter.key.as_bytes());
        if let Some(value) = &parameter.value {
            data.push(b'=');
            data.extend_from_slice(value.as_bytes());
        }
    }
    let data = CString::new(data).unwrap_or_default();
    let path = format!("/proc/self/fd/{}", target.as_raw_fd());
    // The descriptor stays what it was, below the new mount: attributes can't be set by it afterwards.
    let flags = flags(wanted.attributes);
    Ok(rustix::mount::mount(&wanted.source, path.as_str(), &wanted.kind, flags, data.as_c_str())?)
}

/// Attributes of mount_setattr(2) as flags of mount(2).
fn flags(attributes: u64) -> MountFlags {
    let all = [
        (libc::MOUNT_ATTR_RDONLY, MountFlags::RDONLY),
        (libc::MOUNT_ATTR_NOSUID, MountFlags::NOSUID),
        (libc::MOUNT_ATTR_NODEV, MountFlags::NODEV),
        (libc::MOUNT_ATTR_NOEXEC, MountFlags::NOEXEC),
        (libc::MOUNT_ATTR_NOATIME, MountFlags::NOATIME),
        (libc::MOUNT_ATTR_STRICTATIME, MountFlags::STRICTATIME),
        (libc::MOUNT_ATTR_NODIRATIME, MountFlags::NODIRATIME),
        (libc::MOUNT_ATTR_NOSYMFOLLOW, MountFlags::from_bits_retain(libc::MS_NOSYMFOLLOW as u32)),
    ];
    all.into_iter().filter(|(attribute, _)| attributes & attribute != 0).map(|(_, flag)| flag).collect()
}

/// A label for the root of a file system that takes none as an option.
fn label(mount: BorrowedFd<'_>, label: &CStr) -> Outcome {
    if label.is_empty() {
        return Ok(());
    }
    let path = format!("/proc/self/fd/{}", mount.as_raw_fd());
    match setxattr(path, c"security.selinux", label.to_bytes(), XattrFlags::empty()) {
        // A policy may have one label for all of a file system (setxattr(2), ENOTSUP).
        Ok(()) | Err(Errno::OPNOTSUPP) => Ok(()),
        Err(error) => Err(Fault::detailed(error, format!("linux.mountLabel: {label:?}"))),
    }
}

fn empty_directory(label: &CStr) -> Outcome<OwnedFd> {
    let context = fsopen(c"tmpfs", FsOpenFlags::FSOPEN_CLOEXEC)?;
    fsconfig_set_string(&context, c"nr_blocks", c"1")?;
    // One inode is the root's; kernels before 5.16 count it in a way that needs a second.
    fsconfig_set_string(&context, c"nr_inodes", c"2")?;
    if !label.is_empty() {
        fsconfig_set_string(&context, c"context", label).map_err(|error| explained(&context, error))?;
    }
    fsconfig_create(&context)?;
    let attributes = MountAttrFlags::MOUNT_ATTR_RDONLY
        | MountAttrFlags::MOUNT_ATTR_NOSUID
        | MountAttrFlags::MOUNT_ATTR_NODEV
        | MountAttrFlags::MOUNT_ATTR_NOEXEC;
    Ok(fsmount(&context, FsMountFlags::FSMOUNT_CLOEXEC, attributes)?)
}

/// Where the root is moved instead of pivoted, the host's mounts stay in the namespace, out of sight. As long as a procfs or sysfs is
/// among them that nothing covers, the kernel lets root of a further user namespace mount a new one (mount_too_revealing() in its
/// fs/namespace.c), on which nothing is masked.
fn detach_kernel_file_systems(root: BorrowedFd<'_>) -> Outcome {
    let io = |error: std::io::Error| Fault::from(Errno::from_io_error(&error).unwrap_or(Errno::IO));
    let table = std::fs::read("/proc/self/mountinfo").map_err(io)?;
    let root = std::fs::read_link(format!("/proc/self/fd/{}", root.as_raw_fd())).map_err(io)?;
    let is_kernels = |mount: &Mount| matches!(mount.kind.as_slice(), b"proc" | b"sysfs");
    let found = mountinfo::parse(&table).filter(is_kernels).filter(|mount| !mount.point.starts_with(&root));
    for Mount { point, .. } in found.collect::<Vec<_>>().iter().rev() {
        match unmount(point, UnmountFlags::DETACH) {
            Ok(()) | Err(Errno::NOENT) => {}
            // In a user namespace the mounts that it was born with can't be taken apart.
            Err(Errno::INVAL | Errno::PERM) => {
                let covered = openat(CWD, point, OFlags::PATH | OFlags::CLOEXEC, Mode::empty())?;
                attach(empty_directory(c"")?.as_fd(), covered.as_fd())?;
            }
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

/// The mount in which the root lies must not be shared: the kernel refuses to pivot there, and the bind of the root would appear
/// on the host. It is found by asking upwards from the root, for the kernel changes a mount only at its top.
fn make_parent_private(root: &CStr) -> Outcome {
    for place in Path::new(OsStr::from_bytes(root.to_bytes())).ancestors() {
        let found = openat(CWD, place, OFlags::PATH | OFlags::CLOEXEC, Mode::empty())?;
        match mount::propagate(found.as_fd(), libc::MS_PRIVATE, 0) {
            Err(Errno::INVAL) => {}
            result => return Ok(result?),
        }
    }
    Err(Errno::INVAL.into())
}

fn open_directory(descriptor: BorrowedFd<'_>) -> Outcome<OwnedFd> {
    Ok(openat(descriptor, c".", OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?)
}

/// A directory that is copied, and what its copy gets once it is full.
struct Copying {
    from: Dir,
    to: OwnedFd,
    status: Stat,
}

/// `tmpcopyup`: what the image has at a tmpfs's place is copied into it, with owners, modes and links. No deeper than there may be
/// open files: an image can nest directories deeper than any stack.
fn copy_contents(from: OwnedFd, to: OwnedFd) -> Outcome {
    let status = fstat(&to)?;
    let mut levels = vec![Copying { from: Dir::new(from)?, to, status }];
    while let Some(level) = levels.last_mut() {
        match level.from.next().transpose()? {
            Some(entry) if matches!(entry.file_name().to_bytes(), b"." | b"..") => {}
            Some(entry) => {
                let deeper = copy_entry(level.from.fd()?, level.to.as_fd(), entry.file_name())?;
                levels.extend(deeper);
            }
            None => {
                let done = levels.pop();
                if let Some(Copying { to, status, .. }) = done.filter(|_| !levels.is_empty()) {
                    own(to.as_fd(), &status)?;
                }
            }
        }
    }
    Ok(())
}

/// Owner and mode as they are in the image.
fn own(copy: BorrowedFd<'_>, status: &Stat) -> Outcome {
    fchown(copy, Some(Uid::from_raw(status.st_uid)), Some(Gid::from_raw(status.st_gid)))?;
    Ok(fchmod(copy, Mode::from_raw_mode(status.st_mode & 0o7777))?)
}

/// Copies one file. Of a directory only the directory; what is in it comes next.
fn copy_entry(from: BorrowedFd<'_>, to: BorrowedFd<'_>, name: &CStr) -> Outcome<Option<Copying>> {
    let status = tree::status(from, name)?;
    let mode = Mode::from_raw_mode(status.st_mode & 0o7777);
    let (uid, gid) = (Some(Uid::from_raw(status.st_uid)), Some(Gid::from_raw(status.st_gid)));
    // What was looked at may be another file by now: no symlink is followed, and no fifo waited at.
    let read = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    match FileType::from_raw_mode(status.st_mode) {
        FileType::Directory => {
            mkdirat(to, name, mode)?;
            let open = |at| openat(at, name, read | OFlags::DIRECTORY, Mode::empty());
            return Ok(Some(Copying { from: Dir::new(open(from)?)?, to: open(to)?, status }));
        }
        FileType::Symlink => {
            symlinkat(&*readlinkat(from, name, Vec::new())?, to, name)?;
            chownat(to, name, uid, gid, AtFlags::SYMLINK_NOFOLLOW)?;
        }
        FileType::RegularFile => {
            let source = openat(from, name, read, Mode::empty())?;
            let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
            let copy = openat(to, name, flags, mode)?;
            copy_bytes(&source, &copy)?;
            own(copy.as_fd(), &status)?;
        }
        kind => {
            mknodat(to, name, kind, mode, status.st_rdev)?;
            chownat(to, name, uid, gid, AtFlags::SYMLINK_NOFOLLOW)?;
            chmodat(to, name, mode, AtFlags::empty())?;
        }
    }
    Ok(None)
}

fn copy_bytes(from: &OwnedFd, to: &OwnedFd) -> Outcome {
    let mut buffer = vec![0; 65536];
    loop {
        let length = rustix::io::read(from, &mut buffer[..])?;
        if length == 0 {
            return Ok(());
        }
        let mut left = &buffer[..length];
        while !left.is_empty() {
            left = &left[rustix::io::write(to, left)?..];
        }
    }
}
