//! Changes to all files of a directory of the host before a container has it: `:z`, `:Z` and `:U`.

use std::fs::{self, File};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

use anyhow::{Result, ensure};
use rustix::fs::{CWD, Mode, OFlags, ResolveFlags, Stat, fstat, openat, openat2, stat};
use rustix::io::Errno;

use crate::engine::Engine;
use crate::engine::record::Mounted;
use crate::error::Attempt;
use crate::image::layer::descent::{Descent, Next};
use crate::image::layer::tree;
use crate::image::tar::shown;

/// What all of a machine stands on: neither docker changes its labels (selinux.Chcon() of opencontainers/selinux 1.11) nor podman its owners.
const SYSTEM: [&str; 28] = [
    "/",
    "/bin",
    "/boot",
    "/dev",
    "/etc",
    "/etc/passwd",
    "/etc/pki",
    "/etc/shadow",
    "/home",
    "/lib",
    "/lib64",
    "/media",
    "/opt",
    "/proc",
    "/root",
    "/run",
    "/sbin",
    "/srv",
    "/sys",
    "/tmp",
    "/usr",
    "/usr/bin",
    "/usr/lib",
    "/usr/lib64",
    "/usr/sbin",
    "/var",
    "/var/lib",
    "/var/log",
];

/// Whether the files of a source are to be changed.
fn is_changed(mounted: &Mounted) -> bool {
    mounted.owned || !mounted.relabel.is_empty()
}

/// The directory of the host that a mount shows, if it is there: of a volume the one that is bound in it.
fn shown_by(engine: &Engine, mounted: &Mounted) -> Option<PathBuf> {
    let path = match mounted.kind.as_str() {
        "volume" => {
            let volume = engine.volume(&mounted.name).ok();
            let options = volume.as_ref().map_or(&mounted.options, |volume| &volume.options);
            options.get("device").filter(|device| device.starts_with('/'))?.clone()
        }
        _ => mounted.source.clone(),
    };
    fs::canonicalize(path).ok()
}

/// Refuses to change what the machine stands on.
pub(super) fn check(engine: &Engine, mounted: &Mounted) -> Result<()> {
    let Some(path) = shown_by(engine, mounted).filter(|_| is_changed(mounted)) else { return Ok(()) };
    let found = stat(&path).attempt(|| format!("look at {path:?}"))?;
    check_file(engine, mounted, &path, &found)
}

fn check_file(engine: &Engine, mounted: &Mounted, path: &Path, found: &Stat) -> Result<()> {
    let passwd = fs::read_to_string("/etc/passwd").unwrap_or_default();
    let store = fs::canonicalize(engine.store.root()).unwrap_or_default();
    let kept = SYSTEM.iter().map(PathBuf::from).chain(homes(&passwd)).chain(store.ancestors().map(PathBuf::from));
    let what = if mounted.owned { "changing the owners" } else { "SELinux relabeling" };
    ensure!(!is_one_of(found, kept), "{what} of {} is not allowed", path.display());
    Ok(())
}

/// Whether it is the file that one of the paths leads to, by whatever name: `/bin` is `/usr/bin` on most machines, and a bind mount of it
/// has a third one.
fn is_one_of(found: &Stat, mut paths: impl Iterator<Item = PathBuf>) -> bool {
    paths.any(|path| stat(path).is_ok_and(|one| (one.st_dev, one.st_ino) == (found.st_dev, found.st_ino)))
}

/// Where people are at home, and root.
fn homes(passwd: &str) -> impl Iterator<Item = PathBuf> {
    passwd.lines().filter_map(|line| {
        let fields: Vec<&str> = line.split(':').collect();
        let uid: u32 = fields.get(2)?.parse().ok()?;
        // login.defs(5), UID_MIN, and nobody.
        let is_person = uid == 0 || (1000..65534).contains(&uid);
        is_person.then(|| PathBuf::from(fields.get(5).copied().unwrap_or_default()))
    })
}

/// Opens what is to be changed, and looks again at what it is: a link may have come to be in the path.
pub(super) fn open(engine: &Engine, mounted: &Mounted) -> Result<OwnedFd> {
    let path = &mounted.source;
    let file = openat(CWD, path, OFlags::PATH | OFlags::CLOEXEC, Mode::empty()).attempt(|| format!("open {path:?}"))?;
    let link = format!("/proc/self/fd/{}", file.as_raw_fd());
    let found = fs::read_link(&link).attempt(|| format!("read the link {link:?}"))?;
    check(engine, mounted)?;
    check_file(engine, mounted, &found, &fstat(&file).attempt(|| format!("look at {path:?}"))?)?;
    Ok(file)
}

/// Does something to a file and all that is below it, by their descriptors: containers may be changing names there. Links are changed
/// themselves, and what is mounted below is somebody else's. A file of several names may have some elsewhere: whoever could make these
/// could have written to it, or is kept from it by fs.protected_hardlinks (proc_sys_fs(5)).
pub(super) fn each(top: OwnedFd, change: impl Fn(BorrowedFd<'_>) -> Result<(), Errno>) -> Result<()> {
    change(top.as_fd()).attempt(|| "change the file itself")?;
    if !is_directory(&top)? {
        return Ok(());
    }
    let mut descent = Descent::default();
    descent.enter(top, Vec::new())?;
    while let Some(Next { directory, name, path }) = descent.next_name()? {
        let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_XDEV | ResolveFlags::NO_MAGICLINKS;
        let file = match openat2(directory, &name[..], flags, Mode::empty(), resolve) {
            Err(Errno::NOENT | Errno::XDEV) => continue,
            opened => opened.attempt(|| format!("open {}", shown(&path)))?,
        };
        change(file.as_fd()).attempt(|| format!("change {}", shown(&path)))?;
        if is_directory(&file)? {
            descent.enter(file, path)?;
        }
    }
    Ok(())
}

fn is_directory(file: &OwnedFd) -> Result<bool> {
    Ok(tree::is_directory(&fstat(file).attempt(|| "look at a file")?))
}

/// What is at a place below a directory of the container's, made anew.
pub(super) fn fresh(parent: &Path, name: &str) -> Result<PathBuf> {
    let opened = File::open(parent).attempt(|| format!("open {parent:?}"))?;
    tree::remove(&opened, name.as_bytes())?;
    let path = parent.join(name);
    fs::create_dir(&path).attempt(|| format!("make the directory {path:?}"))?;
    Ok(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_machine_stands_on_is_known_by_any_name() {
        let is_systems = |path: &Path| is_one_of(&stat(path).unwrap(), SYSTEM.iter().map(PathBuf::from));
        for path in ["/bin", "/sbin", "/lib", "/etc/../usr", "/proc/self/root", "/var/lib"] {
            assert!(is_systems(Path::new(path)), "{path}");
            assert!(is_systems(&fs::canonicalize(path).unwrap()), "what {path} leads to");
        }
        assert!(!is_systems(Path::new("/usr/share")));
    }

    #[test]
    fn homes_are_those_of_people() {
        let passwd = "root:x:0:0::/root:/bin/sh\ndb:x:70:70::/var/lib/db:\nme:x:1000:1000::/home/me:\nnobody:x:65534:1::/none:\n";
        assert_eq!(homes(passwd).collect::<Vec<_>>(), [PathBuf::from("/root"), PathBuf::from("/home/me")]);
    }

    #[test]
    fn a_home_behind_a_link_is_where_that_leads() {
        let link = std::env::temp_dir().join(format!("corten-home-{}", std::process::id()));
        std::os::unix::fs::symlink("/usr/share", &link).unwrap();
        let is_home = |path: &Path| {
            is_one_of(&stat(path).unwrap(), homes(&format!("me:x:1000:1000::{}:/bin/sh", link.display())))
        };
        let found = (is_home(Path::new("/usr/share")), is_home(&link), is_home(Path::new("/usr")));
        fs::remove_file(&link).unwrap();
        assert_eq!(found, (true, true, false));
    }
}
