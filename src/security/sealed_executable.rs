//! The runtime's own executable, kept out of the container's reach (CVE-2019-5736).
//!
//! Until execve(2) the container's process runs this program, and `/proc/PID/exe` is a way to its file that no mount namespace
//! closes; a program named `/proc/self/exe`, or a script with that interpreter, even runs it. So before a command that enters a
//! container does anything, the program starts itself again from a mount of its file that is read-only and in no mount
//! namespace, or where that is not allowed (an ordinary user) from a sealed copy in memory.

use std::ffi::{CString, OsStr, OsString};
use std::fs::File;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::{OsStrExt, OsStringExt};

use anyhow::{Result, bail};
use rustix::fs::{
    CWD, MemfdFlags, SealFlags, StatVfsMountFlags, fcntl_add_seals, fcntl_get_seals, fstat, memfd_create, readlink,
    stat, statvfs,
};
use rustix::io::Errno;
use rustix::mount::{OpenTreeFlags, open_tree};

use crate::error::Attempt;
use crate::sys::execute::execute_file;
use crate::sys::mount;

const EXECUTABLE: &str = "/proc/self/exe";

/// Nothing can be written, not even after the seals were looked at.
const SEALS: SealFlags = SealFlags::WRITE.union(SealFlags::GROW).union(SealFlags::SHRINK).union(SealFlags::SEAL);

/// Returns in a process whose executable can't be written through /proc; otherwise starts the program again as one.
///
/// To be called with one thread, before anything is open that must not be inherited twice.
pub fn ensure(arguments: impl IntoIterator<Item = OsString>) -> Result<()> {
    if is_sealed()? {
        return Ok(());
    }
    // execveat(2) of a descriptor says so in AT_EXECFN: this is the second start, and it did not help.
    if rustix::param::linux_execfn().to_bytes().starts_with(b"/dev/fd/") {
        bail!(
            "seal the runtime's executable: {EXECUTABLE:?} can be written although it was started from a sealed file"
        );
    }
    let file = sealed()?;
    let text = |text: &OsStr| CString::new(text.as_bytes()).unwrap_or_default();
    let arguments: Vec<CString> = arguments.into_iter().map(|argument| text(&argument)).collect();
    let environment: Vec<CString> = std::env::vars_os()
        .map(|(name, value)| text(OsStr::from_bytes(&[name.as_bytes(), b"=", &value.into_vec()].concat())))
        .collect();
    Err(execute_file(file.as_fd(), &arguments, &environment)).attempt(|| "start the sealed executable")
}

/// This program's file, out of reach for writing: what is to become such a process can be started from it at once.
pub fn sealed() -> Result<OwnedFd> {
    match read_only_mount() {
        Err(Errno::PERM | Errno::NOSYS | Errno::INVAL | Errno::NOENT | Errno::ACCESS) => sealed_copy(),
        result => result.attempt(|| format!("mount {EXECUTABLE:?} read-only")),
    }
}

fn is_sealed() -> Result<bool> {
    let mount = statvfs(EXECUTABLE).attempt(|| format!("look at {EXECUTABLE:?}"))?;
    if mount.f_flag.contains(StatVfsMountFlags::RDONLY) {
        return Ok(true);
    }
    if !rustix::param::linux_execfn().to_bytes().starts_with(b"/dev/fd/") {
        return Ok(false);
    }
    let file = File::open(EXECUTABLE).attempt(|| format!("open {EXECUTABLE:?}"))?;
    Ok(fcntl_get_seals(&file).is_ok_and(|seals| seals.contains(SEALS)))
}

fn read_only_mount() -> rustix::io::Result<OwnedFd> {
    let flags = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC;
    let copy = match open_tree(CWD, EXECUTABLE, flags) {
        // In another mount namespace than the one that it was started in: perhaps the file is here, too.
        Err(Errno::INVAL) => {
            let copy = open_tree(CWD, readlink(EXECUTABLE, Vec::new())?, flags)?;
            let (own, found) = (stat(EXECUTABLE)?, fstat(&copy)?);
            if (own.st_dev, own.st_ino) != (found.st_dev, found.st_ino) {
                return Err(Errno::INVAL);
            }
            copy
        }
        copy => copy?,
    };
    mount::change(copy.as_fd(), libc::MOUNT_ATTR_RDONLY | libc::MOUNT_ATTR_NOSUID, 0, 0)?;
    Ok(copy)
}

fn sealed_copy() -> Result<OwnedFd> {
    let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
    // memfd_create(2): kernels before 6.3 know no MFD_EXEC and need none.
    let memory = match memfd_create(c"corten", flags | MemfdFlags::EXEC) {
        Err(Errno::INVAL) => memfd_create(c"corten", flags),
        result => result,
    };
    let mut copy: File = memory.attempt(|| "make a file in memory")?.into();
    let mut own = File::open(EXECUTABLE).attempt(|| format!("open {EXECUTABLE:?}"))?;
    std::io::copy(&mut own, &mut copy).attempt(|| format!("copy {EXECUTABLE:?}"))?;
    fcntl_add_seals(&copy, SEALS).attempt(|| "seal the copy of the executable")?;
    Ok(copy.into())
}
