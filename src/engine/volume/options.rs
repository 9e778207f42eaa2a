//! Volumes that are something mounted: docker's options of the driver `local`, which are those of mount(2).

use std::collections::BTreeMap;
use std::ffi::CString;
use std::net::{IpAddr, Ipv4Addr, ToSocketAddrs};
use std::os::fd::AsFd;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use rustix::fs::CWD;
use rustix::io::Errno;
use rustix::mount::{
    MountFlags, MountPropagationFlags, MoveMountFlags, OpenTreeFlags, mount, mount_change, move_mount, open_tree,
};

use crate::engine::options::bytes;
use crate::error::Attempt;
use crate::sys::mount::change;

/// Refuses what is no option, what lacks another, and what makes no mount.
pub fn check(options: &BTreeMap<String, String>) -> Result<()> {
    check_keys(options)?;
    match options.contains_key("device") {
        true => Call::of(options, |_| Ok(Ipv4Addr::UNSPECIFIED.into())).map(drop),
        false => Ok(()),
    }
}

fn check_keys(options: &BTreeMap<String, String>) -> Result<()> {
    let unknown = options.keys().find(|key| !matches!(key.as_str(), "type" | "o" | "device" | "size"));
    ensure!(unknown.is_none(), "invalid option: {:?}", unknown.map(String::as_str).unwrap_or_default());
    let size = size(options)?;
    ensure!(
        size.is_none() || !options.contains_key("device"),
        "conflicting options: size limits what is written into a directory"
    );
    for (option, needed) in [("device", "type"), ("type", "device"), ("o", "device"), ("o", "type")] {
        let is_missing = options.contains_key(option) && !options.contains_key(needed);
        ensure!(!is_missing, "missing required option: {needed:?}");
    }
    Ok(())
}

/// How much may be written into it.
pub(super) fn size(options: &BTreeMap<String, String>) -> Result<Option<u64>> {
    options.get("size").map(|size| bytes(size)).transpose()
}

/// What is mounted, in the words of mount(2).
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Call {
    kind: String,
    source: String,
    flags: MountFlags,
    propagation: MountPropagationFlags,
    data: String,
}

/// Flags by their names; those that are taken away again have a second one.
const FLAGS: [(&str, &str, MountFlags); 11] = [
    ("ro", "rw", MountFlags::RDONLY),
    ("nosuid", "suid", MountFlags::NOSUID),
    ("nodev", "dev", MountFlags::NODEV),
    ("noexec", "exec", MountFlags::NOEXEC),
    ("sync", "async", MountFlags::SYNCHRONOUS),
    ("dirsync", "", MountFlags::DIRSYNC),
    ("mand", "nomand", MountFlags::PERMIT_MANDATORY_FILE_LOCKING),
    ("noatime", "atime", MountFlags::NOATIME),
    ("nodiratime", "diratime", MountFlags::NODIRATIME),
    ("relatime", "norelatime", MountFlags::RELATIME),
    ("strictatime", "nostrictatime", MountFlags::STRICTATIME),
];

const PROPAGATIONS: [(&str, MountPropagationFlags); 4] = [
    ("private", MountPropagationFlags::PRIVATE),
    ("shared", MountPropagationFlags::SHARED),
    ("slave", MountPropagationFlags::DOWNSTREAM),
    ("unbindable", MountPropagationFlags::UNBINDABLE),
];

impl Call {
    /// What is to be called; names of servers are looked up by `resolve`, for the kernel knows addresses alone.
    pub(super) fn of(options: &BTreeMap<String, String>, resolve: impl Fn(&str) -> Result<IpAddr>) -> Result<Call> {
        check_keys(options)?;
        let value = |key: &str| options.get(key).cloned().unwrap_or_default();
        let mut call = Call {
            kind: value("type"),
            source: value("device"),
            flags: MountFlags::empty(),
            propagation: MountPropagationFlags::empty(),
            data: String::new(),
        };
        ensure!(!call.source.is_empty(), "missing device in volume options");
        let mut data = Vec::new();
        for option in value("o").split(',').filter(|option| !option.is_empty() && *option != "defaults") {
            let address = option.strip_prefix("addr=").filter(|_| call.kind.starts_with("nfs") || call.kind == "cifs");
            match address {
                Some(name) => data.push(format!("addr={}", resolve(name)?)),
                None if call.take(option) => {}
                None => data.push(option.to_owned()),
            }
        }
        call.data = data.join(",");
        // mount(2) would pass over it.
        let is_for_nobody = call.is_bind() && !call.data.is_empty();
        ensure!(!is_for_nobody, "invalid option: {:?} has no meaning for a bind mount", call.data);
        Ok(call)
    }

    /// Takes an option that is a flag.
    fn take(&mut self, option: &str) -> bool {
        for (set, clear, flag) in FLAGS {
            if option == set || option == clear {
                self.flags.set(flag, option == set);
                return true;
            }
        }
        let (name, recursive) = match option.strip_prefix('r') {
            Some(name) if matches!(name, "bind" | "private" | "shared" | "slave" | "unbindable") => (name, true),
            _ => (option, false),
        };
        if name == "bind" {
            self.flags |= MountFlags::BIND;
            self.flags.set(MountFlags::REC, recursive);
            return true;
        }
        let Some((_, propagation)) = PROPAGATIONS.iter().find(|(known, _)| *known == name) else { return false };
        self.propagation |= *propagation;
        self.propagation.set(MountPropagationFlags::REC, recursive);
        true
    }

    fn is_bind(&self) -> bool {
        self.flags.contains(MountFlags::BIND)
    }

    /// The flags of a bind mount as mount_setattr(2) has them: which are set, and which cleared before. It keeps those that its source has,
    /// of which some may be locked (mount_namespaces(7)).
    fn attributes(&self) -> (u64, u64) {
        const SAME: [(MountFlags, u64); 7] = [
            (MountFlags::RDONLY, libc::MOUNT_ATTR_RDONLY),
            (MountFlags::NOSUID, libc::MOUNT_ATTR_NOSUID),
            (MountFlags::NODEV, libc::MOUNT_ATTR_NODEV),
            (MountFlags::NOEXEC, libc::MOUNT_ATTR_NOEXEC),
            (MountFlags::NODIRATIME, libc::MOUNT_ATTR_NODIRATIME),
            (MountFlags::NOATIME, libc::MOUNT_ATTR_NOATIME),
            (MountFlags::STRICTATIME, libc::MOUNT_ATTR_STRICTATIME),
        ];
        let wanted = SAME.iter().filter(|(flag, _)| self.flags.contains(*flag));
        let set = wanted.fold(0, |set, (_, attribute)| set | attribute);
        // Access times are one field of several values.
        let times = MountFlags::NOATIME | MountFlags::STRICTATIME | MountFlags::RELATIME;
        (set, if self.flags.intersects(times) { libc::MOUNT_ATTR__ATIME } else { 0 })
    }

    /// Mounts it, whole or not at all: whoever waits for the volume takes what is there for what was wanted.
    pub(super) fn carry_out(&self, point: &Path) -> Result<()> {
        let done = if self.is_bind() { self.bind(point) } else { self.mount(point) };
        done.attempt(|| {
            format!("failed to mount local volume: mount {:?} at {point:?} (type {:?})", self.source, self.kind)
        })
    }

    /// Sets the propagation of what is mounted, which is that of the place by then. To set it again changes nothing.
    pub(super) fn propagate(&self, point: &Path) -> Result<()> {
        match self.propagation.is_empty() {
            true => Ok(()),
            false => mount_change(point, self.propagation)
                .attempt(|| format!("set the propagation of the local volume at {point:?}")),
        }
    }

    /// mount(2), for some file systems read its options in ways of their own (cifs, overlay), and they may be long.
    fn mount(&self, point: &Path) -> Result<(), Errno> {
        let data = CString::new(self.data.as_str()).map_err(|_| Errno::INVAL)?;
        mount(self.source.as_str(), point, self.kind.as_str(), self.flags, Some(data.as_c_str()))
    }

    /// A bind has the flags of its source until it is told otherwise, which is while it is attached nowhere.
    fn bind(&self, point: &Path) -> Result<(), Errno> {
        let mut flags = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC;
        flags.set(OpenTreeFlags::AT_RECURSIVE, self.flags.contains(MountFlags::REC));
        let tree = open_tree(CWD, self.source.as_str(), flags)?;
        let (set, clear) = self.attributes();
        if (set, clear) != (0, 0) {
            change(tree.as_fd(), set, clear, 0)?;
        }
        move_mount(&tree, "", CWD, point, MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH)
    }
}

/// The address of a server.
pub(super) fn resolve(name: &str) -> Result<IpAddr> {
    if let Ok(address) = name.parse() {
        return Ok(address);
    }
    let found = (name, 0).to_socket_addrs().ok().and_then(|mut all| all.next());
    found.map(|address| address.ip()).with_context(|| format!("the server {name} of the volume has no address"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options(kind: &str, device: &str, o: &str) -> BTreeMap<String, String> {
        [("type", kind), ("device", device), ("o", o)].map(|(key, value)| (key.to_owned(), value.to_owned())).into()
    }

    #[test]
    fn options_are_flags_or_the_file_systems() {
        let call = |kind: &str, device: &str, o: &str| {
            Call::of(&options(kind, device, o), |_| Ok(IpAddr::from([10, 0, 0, 1]))).unwrap()
        };
        let tmpfs = call("tmpfs", "tmpfs", "size=1m,nosuid,suid,noexec,,uid=1000");
        assert_eq!((tmpfs.flags, tmpfs.data.as_str()), (MountFlags::NOEXEC, "size=1m,uid=1000"));
        let bind = call("none", "/a", "rbind,ro,rslave");
        assert_eq!(bind.flags, MountFlags::BIND | MountFlags::REC | MountFlags::RDONLY);
        assert_eq!(bind.propagation, MountPropagationFlags::DOWNSTREAM | MountPropagationFlags::REC);
        let nfs = call("nfs", ":/export", "addr=server,rw,vers=4");
        assert_eq!((nfs.source.as_str(), nfs.data.as_str()), (":/export", "addr=10.0.0.1,vers=4"));
        assert_eq!(bind.attributes(), (libc::MOUNT_ATTR_RDONLY, 0));
        let times = call("none", "/a", "bind,nosuid,noexec,exec,relatime").attributes();
        assert_eq!(times, (libc::MOUNT_ATTR_NOSUID, libc::MOUNT_ATTR__ATIME));
        // What takes nothing back leaves the source's.
        assert_eq!(call("none", "/a", "bind,rw,suid,sync").attributes(), (0, 0));
        assert_eq!(resolve("fd00::1").unwrap(), "fd00::1".parse::<IpAddr>().unwrap());
    }

    #[test]
    fn what_is_refused_is_dockers() {
        let refusal = |pairs: &[(&str, &str)]| {
            let options = pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
            check(&options).unwrap_err().to_string()
        };
        assert_eq!(refusal(&[("nonsense", "1")]), "invalid option: \"nonsense\"");
        assert_eq!(refusal(&[("type", "tmpfs")]), "missing required option: \"device\"");
        assert_eq!(refusal(&[("o", "ro"), ("device", "x")]), "missing required option: \"type\"");
        let of_nobody = refusal(&[("type", "none"), ("device", "/a"), ("o", "bind,uid=5")]);
        assert!(of_nobody.contains("\"uid=5\" has no meaning for a bind mount"), "{of_nobody}");
        assert!(check(&BTreeMap::new()).is_ok());
        assert!(check(&[("size".to_owned(), "1m".to_owned())].into()).is_ok());
        assert!(refusal(&[("size", "x")]).contains("invalid size"));
        assert!(refusal(&[("size", "1m"), ("type", "tmpfs"), ("device", "x")]).contains("conflicting options"));
        assert!(Call::of(&options("tmpfs", "", ""), resolve).is_err());
    }
}
