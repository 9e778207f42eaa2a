//! The small typed steps of which a plan is made, with their data ready to hand to the kernel.
//!
//! Steps are carried out in order by [`crate::init`], in the process that becomes the container's. Each prints as what it
//! attempts; that text is what an error says and what `corten plan` shows.

use std::ffi::{CStr, CString};
use std::fmt;
use std::path::Path;

use super::ResourceLimit;
use super::namespaces::IdMaps;
use crate::spec::Hook;
use crate::spec::process::ConsoleSize;
use crate::sys::clone::CloneFlags;
use crate::sys::landlock::Access;
use crate::sys::priority::Scheduling;

/// One thing to do on the way into the container.
#[derive(Debug, Clone)]
#[allow(missing_docs)] // of the fields: each variant's text says what they are for
pub enum Step {
    /// Writes `/proc/self/oom_score_adj`.
    OomScore(i32),
    /// Waits until the parent has had the process moved into its cgroup.
    AwaitCgroup,
    /// Makes the process undumpable, so that nothing in a joined namespace can trace it or open its files (CVE-2016-9962).
    Undumpable,
    /// setns(2) to prepared descriptor `slot`. With `may_fail` a refusal is remembered and tried again by `JoinRefused`.
    Join { namespaces: CloneFlags, path: CString, slot: usize, may_fail: bool, field: String },
    /// Tries the refused joins again, now as root of the joined user namespace.
    JoinRefused,
    /// unshare(2).
    Unshare(CloneFlags),
    /// Waits until the parent wrote the id maps of the user namespace that this process is in.
    AwaitIdMaps,
    /// Becomes uid and gid 0 of the user namespace.
    BecomeRoot,
    /// Fails if the joined user namespace has other maps than these.
    CheckIdMaps(IdMaps),
    /// Writes `/proc/self/timens_offsets`.
    TimeOffsets(String),
    /// Last step of an entry: clones the process that goes on with the steps proper, as a child of this one's parent.
    CloneInit(CloneFlags),
    /// A session keyring of the container's own.
    SessionKeyring { name: CString },
    /// Brings `lo` up.
    LoopbackUp,
    /// Changes the propagation of every mount of this namespace, or after the pivot of the root.
    Propagation { path: CString, propagation: Propagation },
    /// Binds the root file system onto itself and opens it; `joined` where that is in a mount namespace that was joined. What the runtime
    /// opened for it is in the slot.
    Root { path: CString, joined: bool, slot: Option<usize> },
    /// Mounts a new instance of a file system.
    MountFileSystem(FileSystem),
    /// Attaches a copy of a part of the mount tree.
    BindMount(Bind),
    /// Changes what is mounted at a destination already.
    Remount(Remount),
    /// Opens a procfs of the container's pid namespace that no mount of the container can reach.
    OpenProc,
    /// mknod(2).
    MakeDevice(DeviceNode),
    /// symlink(2); an existing file is left alone.
    Symlink { path: Destination, target: CString },
    /// Asks the parent to run `prestart` and `createRuntime` hooks and waits.
    RuntimeHooks,
    /// Runs `createContainer` hooks.
    CreateContainerHooks(Vec<Hook>),
    /// Makes the opened root `/`, and detaches the host's tree.
    PivotRoot,
    /// As `PivotRoot`, where the root can't be pivoted (`--no-pivot`: an initramfs).
    MoveRoot,
    /// chroot(2) into the root, where there is no mount namespace.
    ChangeRoot,
    /// Makes a pseudoterminal the process's terminal and stdio, and hands its master to the console socket in `slot`.
    Terminal { slot: usize, size: Option<ConsoleSize>, bind_console: bool },
    /// Sets attributes of the mount at a destination.
    SetMountAttributes { path: Destination, set: u64 },
    /// umask(2).
    Umask(u32),
    /// sethostname(2).
    Hostname(CString),
    /// setdomainname(2).
    Domainname(CString),
    /// Writes below `/proc/sys`.
    Sysctl { name: String, path: CString, value: CString },
    /// Makes a path read-only, with all that is mounted below it.
    ReadonlyPath(Destination),
    /// Hides a path.
    MaskPath(Destination),
    /// PR_SET_NO_NEW_PRIVS.
    NoNewPrivileges,
    /// sched_setattr(2).
    Scheduler(Scheduling),
    /// ioprio_set(2).
    IoPriority { class: u16, level: u16 },
    /// personality(2).
    Personality(u32),
    /// set_mempolicy(2).
    MemoryPolicy { mode: u32, nodes: Vec<u64> },
    /// sched_setaffinity(2).
    Affinity(Vec<usize>),
    /// Writes a label below `/proc/thread-self/attr`.
    Label { field: &'static str, attribute: CString, or_attribute: Option<CString>, value: CString },
    /// Lets `uid` open stdio again by its path.
    OwnStdio { uid: u32, has_terminal: bool },
    /// Creates the working directory if it is missing.
    MakeWorkingDirectory(Destination),
    /// chdir(2), and getcwd(2) as the proof that it is inside the container. The first of two tries `may_fail`: the directory may
    /// be open to root only, or to the user only.
    ChangeDirectory { path: CString, may_fail: bool },
    /// Takes every capability but these out of the bounding set.
    BoundingSet { keep: u64 },
    /// setgroups(2); with `may_fail` where the user namespace denies it.
    Groups { gids: Vec<u32>, may_fail: bool },
    /// setresgid(2) and setresuid(2), keeping the permitted capabilities.
    User { uid: u32, gid: u32 },
    /// Takes HOME from the container's `/etc/passwd`.
    Home { uid: u32 },
    /// capset(2) and the ambient set.
    Capabilities(CapabilityMasks),
    /// setrlimit(2), for what the container's root may set.
    Limits(Vec<ResourceLimit>),
    /// Fails: there is no program to run (config.md: `process` is needed by `start`).
    NoProgram,
    /// Looks the program up, as the user who will run it.
    FindProgram,
    /// Allows files to be used by these rules alone, landlock(7).
    Landlock(Vec<(Access, Destination)>),
    /// seccomp(2).
    Seccomp,
    /// Tells the parent that all is prepared, and waits for its word.
    Ready,
    /// Waits for `start` at the fifo in slot `gate`; from then on a failure is reported to the fifo in slot `report`.
    AwaitStart { gate: usize, report: usize },
    /// Runs `startContainer` hooks.
    StartContainerHooks(Vec<Hook>),
    /// execve(2).
    Execute,
}

/// A path inside the container.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Destination {
    /// Without a leading slash, `.` or `..`; empty for the root itself.
    relative: CString,
}

impl Destination {
    /// Cleans a path as if `/` were the only root: `..` never leads above it.
    ///
    /// The text must be free of NUL (checked by [`crate::spec::check`]).
    pub fn new(path: &str) -> Destination {
        let mut parts: Vec<&str> = Vec::new();
        for part in path.split('/') {
            match part {
                "" | "." => {}
                ".." => drop(parts.pop()),
                name => parts.push(name),
            }
        }
        Destination { relative: c_string(&parts.join("/")) }
    }

    /// Relative to the root.
    pub fn relative(&self) -> &CStr {
        &self.relative
    }

    /// Whether this is the root itself.
    pub fn is_root(&self) -> bool {
        self.relative.is_empty()
    }

    /// Absolute, as a person names it.
    pub fn absolute(&self) -> String {
        format!("/{}", self.relative.to_string_lossy())
    }
}

impl fmt::Display for Destination {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.absolute())
    }
}

/// A C string of text that was checked to be free of NUL.
pub fn c_string(text: &str) -> CString {
    CString::new(text).unwrap_or_else(|_| {
        debug_assert!(false, "{text:?} was not checked for NUL");
        CString::default()
    })
}

/// A path as it is: on the host it need not be text. A path that came from the kernel or the command line holds no NUL.
pub fn c_path(path: &Path) -> CString {
    use std::os::unix::ffi::OsStrExt;
    CString::new(path.as_os_str().as_bytes()).unwrap_or_else(|_| {
        debug_assert!(false, "{path:?} was not checked for NUL");
        CString::default()
    })
}

/// Where a bind mount comes from.
#[derive(Debug, Clone)]
pub struct Source {
    /// On the host.
    pub path: CString,
    /// The parent opened it before the clone: init may have no right to, or ids are mapped.
    pub slot: Option<usize>,
}

/// What to do about the propagation of a mount (mount_namespaces(7)).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Propagation {
    /// MS_SHARED, MS_SLAVE, MS_PRIVATE or MS_UNBINDABLE.
    pub kind: u64,
    /// With all below.
    pub recursive: bool,
}

/// A setting of a new file system, as fsconfig(2) takes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Parameter {
    /// The name.
    pub key: CString,
    /// None for a flag.
    pub value: Option<CString>,
    /// Whether a file system that does not know it is mounted all the same.
    pub optional: bool,
}

/// A new instance of a file system.
#[derive(Debug, Clone)]
pub struct FileSystem {
    /// Its JSON path.
    pub field: String,
    /// `proc`, `tmpfs` and so on.
    pub kind: CString,
    /// What /proc/mounts shows.
    pub source: CString,
    /// Where.
    pub destination: Destination,
    /// Its settings.
    pub parameters: Vec<Parameter>,
    /// MOUNT_ATTR_*.
    pub attributes: u64,
    /// Changes after it is made, in order.
    pub propagation: Vec<Propagation>,
    /// What the destination held is copied into it.
    pub copy_up: bool,
    /// Its root gets the permissions of the directory that it covers.
    pub inherit_mode: bool,
    /// The destination must not be a symlink or lead through one (CVE-2019-19921).
    pub ordinary_directory: bool,
    /// Its descriptor serves as the private way into procfs.
    pub private_proc: bool,
    /// If the kernel refuses a new instance (EPERM, EBUSY), this part of the host's tree is bound instead.
    pub fallback: Option<CString>,
}

/// Whether a destination may lie on procfs (CVE-2019-16884).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnProc {
    /// No.
    Refused,
    /// Yes: one of the few files that may be covered.
    Allowed,
    /// It is `/proc` itself: the source must be a procfs.
    MustBeProc,
}

/// A bind mount.
#[derive(Debug, Clone)]
pub struct Bind {
    /// Its JSON path; empty where it is not of the configuration.
    pub field: String,
    /// What.
    pub source: Source,
    /// Where.
    pub destination: Destination,
    /// With what is mounted below it.
    pub recursive: bool,
    /// MOUNT_ATTR_* to set and to clear, on the top mount.
    pub change: AttributeChange,
    /// MOUNT_ATTR_* to set and to clear, on all mounts of the tree.
    pub change_all: AttributeChange,
    /// Changes after it is made, in order.
    pub propagation: Vec<Propagation>,
    /// See [`OnProc`].
    pub on_proc: OnProc,
    /// The source's last component may not be a symlink, nor may the destination's.
    pub follow: Follow,
}

/// Which symlinks are followed on the way to a bind mount's two ends (crun's `src-nofollow`, `dest-nofollow`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Follow {
    /// At the source.
    pub source: bool,
    /// At the destination.
    pub destination: bool,
}

/// MOUNT_ATTR_* to set and to clear.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct AttributeChange {
    /// Set.
    pub set: u64,
    /// Cleared.
    pub clear: u64,
}

impl AttributeChange {
    /// Whether nothing is to be changed.
    pub fn is_empty(self) -> bool {
        self == AttributeChange::default()
    }
}

/// A change of what is mounted already.
#[derive(Debug, Clone)]
pub struct Remount {
    /// Its JSON path.
    pub field: String,
    /// Where.
    pub destination: Destination,
    /// Of the file system; empty when `bind` is among the options, then only the mount is changed.
    pub parameters: Vec<Parameter>,
    /// Of the mount.
    pub change: AttributeChange,
}

/// A node for mknod(2).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeviceNode {
    /// Its JSON path; empty for a default one.
    pub field: String,
    /// Where.
    pub path: Destination,
    /// S_IFCHR, S_IFBLK or S_IFIFO.
    pub kind: u32,
    /// Major and minor number; 0 for a fifo.
    pub number: (u32, u32),
    /// Permission bits.
    pub mode: u32,
    /// Owner and group.
    pub owner: (u32, u32),
}

/// The sets of capabilities(7) as bit masks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct CapabilityMasks {
    /// CapBnd.
    pub bounding: u64,
    /// CapEff.
    pub effective: u64,
    /// CapInh.
    pub inheritable: u64,
    /// CapPrm.
    pub permitted: u64,
    /// CapAmb.
    pub ambient: u64,
}

impl Step {
    /// The JSON path of what asked for the step, where it is one place.
    pub fn field(&self) -> Option<String> {
        let field = match self {
            Step::Join { field, .. } => field.as_str(),
            Step::Root { joined: true, .. } => "linux.namespaces",
            Step::Root { joined: false, .. } => "root.path",
            Step::TimeOffsets(_) => "linux.timeOffsets",
            Step::MountFileSystem(mount) => &mount.field,
            Step::BindMount(bind) => &bind.field,
            Step::Remount(remount) => &remount.field,
            Step::MakeDevice(node) => &node.field,
            Step::Sysctl { name, .. } => return Some(format!("linux.sysctl[{name:?}]")),
            Step::Hostname(_) => "hostname",
            Step::Domainname(_) => "domainname",
            Step::Scheduler(_) => "process.scheduler",
            Step::IoPriority { .. } => "process.ioPriority",
            Step::Personality(_) => "linux.personality",
            Step::MemoryPolicy { .. } => "linux.memoryPolicy",
            Step::Affinity(_) => "process.execCPUAffinity.final",
            Step::Label { field, .. } => field,
            Step::MakeWorkingDirectory(_) | Step::ChangeDirectory { .. } => "process.cwd",
            Step::Capabilities(_) | Step::BoundingSet { .. } => "process.capabilities",
            Step::Seccomp => "linux.seccomp",
            Step::Landlock(_) => return Some(format!("annotations[{:?}]", super::landlock::ANNOTATION)),
            Step::MaskPath(_) => "linux.maskedPaths",
            Step::ReadonlyPath(_) => "linux.readonlyPaths",
            Step::NoProgram => "process",
            _ => "",
        };
        (!field.is_empty()).then(|| field.to_owned())
    }
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Step::OomScore(score) => write!(f, "set oom_score_adj to {score}"),
            Step::Undumpable => write!(f, "make the process undumpable"),
            Step::Join { namespaces, path, .. } => write!(f, "join {} namespace {path:?}", names(*namespaces)),
            Step::JoinRefused => write!(f, "join the namespaces that belong to the user namespace"),
            Step::Unshare(namespaces) => {
                let plural = if namespaces.bits().count_ones() > 1 { "s" } else { "" };
                write!(f, "unshare the {} namespace{plural}", names(*namespaces))
            }
            Step::AwaitCgroup => write!(f, "wait to be moved into the cgroup"),
            Step::AwaitIdMaps => write!(f, "wait for the id maps of the user namespace"),
            Step::BecomeRoot => write!(f, "become root of the user namespace"),
            Step::CheckIdMaps(_) => write!(f, "compare the id maps of the joined user namespace"),
            Step::TimeOffsets(offsets) => write!(f, "set the time offsets {:?}", offsets.trim_end()),
            Step::CloneInit(flags) => write!(f, "clone the container's process{}", with_names(*flags)),
            Step::SessionKeyring { name } => write!(f, "join session keyring {name:?}"),
            Step::LoopbackUp => write!(f, "bring the loopback device up"),
            Step::Propagation { path, propagation } => write!(f, "make {path:?} {propagation}"),
            Step::Root { path, .. } => write!(f, "bind root file system {path:?}"),
            Step::MountFileSystem(mount) => {
                write!(f, "mount {:?} at {}{}", mount.kind, mount.destination, Settings(mount))
            }
            Step::BindMount(bind) => {
                let recursive = if bind.recursive { " with all below" } else { "" };
                write!(f, "bind {:?}{recursive} at {}", bind.source.path, bind.destination)?;
                attributes(f, bind.change)
            }
            Step::Remount(remount) => write!(f, "remount {}", remount.destination),
            Step::OpenProc => write!(f, "open a private procfs"),
            Step::MakeDevice(node) => write!(f, "make device {}", node.path),
            Step::Symlink { path, target } => write!(f, "make symlink {path} to {target:?}"),
            Step::RuntimeHooks => write!(f, "run createRuntime hooks"),
            Step::CreateContainerHooks(_) => write!(f, "run createContainer hooks"),
            Step::PivotRoot => write!(f, "pivot into the root file system"),
            Step::MoveRoot => write!(f, "move the root file system to \"/\""),
            Step::ChangeRoot => write!(f, "change root into the root file system"),
            Step::Terminal { .. } => write!(f, "open the container's terminal"),
            Step::SetMountAttributes { path, .. } => write!(f, "make {path} read-only"),
            Step::Umask(mask) => write!(f, "set umask to {mask:#o}"),
            Step::Hostname(name) => write!(f, "set hostname to {name:?}"),
            Step::Domainname(name) => write!(f, "set domainname to {name:?}"),
            Step::Sysctl { path, value, .. } => write!(f, "write {value:?} to sysctl {path:?}"),
            Step::ReadonlyPath(path) => write!(f, "make {path} read-only with all below"),
            Step::MaskPath(path) => write!(f, "mask {path}"),
            Step::NoNewPrivileges => write!(f, "set no_new_privs"),
            Step::Scheduler(_) => write!(f, "set the scheduling policy"),
            Step::IoPriority { class, level } => write!(f, "set I/O priority class {class} level {level}"),
            Step::Personality(domain) => write!(f, "set personality {domain:#x}"),
            Step::MemoryPolicy { .. } => write!(f, "set the memory policy"),
            Step::Affinity(cpus) if cpus.is_empty() => write!(f, "use all CPUs that the cgroup allows"),
            Step::Affinity(cpus) => write!(f, "set CPU affinity to {cpus:?}"),
            Step::Label { attribute, value, .. } => write!(f, "write label {value:?} to {attribute:?}"),
            Step::OwnStdio { uid, .. } => write!(f, "give stdio to user {uid}"),
            Step::MakeWorkingDirectory(path) => write!(f, "make working directory {path}"),
            Step::ChangeDirectory { path, .. } => write!(f, "change into working directory {path:?}"),
            Step::BoundingSet { keep } => write!(f, "limit the bounding set to {keep:#x}"),
            Step::Groups { gids, .. } => write!(f, "set supplementary groups {gids:?}"),
            Step::User { uid, gid } => write!(f, "become user {uid} group {gid}"),
            Step::Home { uid } => write!(f, "look up the home directory of user {uid}"),
            Step::Capabilities(masks) => write!(
                f,
                "set capabilities effective {:#x} permitted {:#x} inheritable {:#x} ambient {:#x}",
                masks.effective, masks.permitted, masks.inheritable, masks.ambient
            ),
            Step::Limits(limits) => {
                let names: Vec<_> = limits.iter().map(|limit| limit.name.as_str()).collect();
                write!(f, "set resource limits {names:?}")
            }
            Step::NoProgram => write!(f, "run a program: none is configured"),
            Step::FindProgram => write!(f, "look up the program"),
            Step::Landlock(rules) => {
                let paths: Vec<_> = rules.iter().map(|(_, path)| path.absolute()).collect();
                write!(f, "restrict the use of files by Landlock to {paths:?}")
            }
            Step::Seccomp => write!(f, "load the seccomp filter"),
            Step::Ready => write!(f, "report that all is prepared"),
            Step::AwaitStart { .. } => write!(f, "wait for start"),
            Step::StartContainerHooks(_) => write!(f, "run startContainer hooks"),
            Step::Execute => write!(f, "execute the program"),
        }
    }
}

/// Which namespaces a set of flags names, as the specification calls them.
fn names(flags: CloneFlags) -> String {
    let all: Vec<_> =
        super::namespaces::Kind::ALL.iter().filter(|kind| flags.contains(kind.flag())).map(|k| k.name()).collect();
    all.join(", ")
}

fn with_names(flags: CloneFlags) -> String {
    let names = names(flags);
    if names.is_empty() { String::new() } else { format!(" in new {names} namespaces") }
}

/// What the specification calls MOUNT_ATTR_*.
pub const ATTRIBUTE_NAMES: [(u64, &str, &str); 6] = [
    (libc::MOUNT_ATTR_RDONLY, "ro", "rw"),
    (libc::MOUNT_ATTR_NOSUID, "nosuid", "suid"),
    (libc::MOUNT_ATTR_NODEV, "nodev", "dev"),
    (libc::MOUNT_ATTR_NOEXEC, "noexec", "exec"),
    (libc::MOUNT_ATTR_NODIRATIME, "nodiratime", "diratime"),
    (libc::MOUNT_ATTR_NOSYMFOLLOW, "nosymfollow", "symfollow"),
];

fn attributes(f: &mut fmt::Formatter<'_>, change: AttributeChange) -> fmt::Result {
    for (flag, set, clear) in ATTRIBUTE_NAMES {
        if change.set & flag != 0 {
            write!(f, " {set}")?;
        } else if change.clear & flag != 0 {
            write!(f, " {clear}")?;
        }
    }
    Ok(())
}

struct Settings<'a>(&'a FileSystem);

impl fmt::Display for Settings<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        attributes(f, AttributeChange { set: self.0.attributes, clear: 0 })?;
        for parameter in &self.0.parameters {
            write!(f, " {}", parameter.key.to_string_lossy())?;
            if let Some(value) = &parameter.value {
                write!(f, "={}", value.to_string_lossy())?;
            }
        }
        Ok(())
    }
}

impl fmt::Display for Propagation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let recursive = if self.recursive { "r" } else { "" };
        let kind = match self.kind {
            libc::MS_SHARED => "shared",
            libc::MS_SLAVE => "slave",
            libc::MS_PRIVATE => "private",
            _ => "unbindable",
        };
        write!(f, "{recursive}{kind}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_destination_never_leads_above_the_root() {
        for (path, clean) in
            [("/a/../../b", "/b"), ("//x//./y/", "/x/y"), ("/", "/"), ("..", "/"), ("proc", "/proc"), ("/a/..", "/")]
        {
            assert_eq!(Destination::new(path).absolute(), clean, "{path}");
        }
    }
}
