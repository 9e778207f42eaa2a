//! A host for each test: a mount namespace of the test's own thread, with a tmpfs for everything the test makes.
//!
//! What a failed test leaves mounted goes away with its thread. The root mount is shared, as systemd makes it: a
//! runtime that forgets to cut propagation is seen here.

use std::cell::OnceCell;
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::RwLock;
use std::sync::atomic::{AtomicU32, Ordering};

use rustix::fs::{CWD, FileType, Mode, makedev, mknodat};
use rustix::mount::{MountFlags, MountPropagationFlags, mount, mount_change};
use rustix::thread::UnshareFlags;

/// Where each test's tmpfs is mounted: a short path, because socket addresses hold 107 bytes.
const DIRECTORY: &str = "/tmp/corten-tests";

static COUNTER: AtomicU32 = AtomicU32::new(0);

thread_local! {
    static HOST: OnceCell<Host> = const { OnceCell::new() };
}

#[derive(Debug, Clone)]
pub struct Host {
    /// The tmpfs.
    pub directory: PathBuf,
    /// The source that the tmpfs shows in mountinfo, of this mount namespace and of every one copied from it.
    pub mark: String,
}

impl Host {
    /// The host of the calling test, made on the first call.
    pub fn enter() -> Host {
        HOST.with(|host| host.get_or_init(Host::make).clone())
    }

    fn make() -> Host {
        assert!(rustix::process::geteuid().is_root(), "these tests make namespaces and mounts: run them as root");
        assert!(Path::new(BUSYBOX).exists(), "{BUSYBOX} is missing: apt-get install busybox-static");
        rustix::process::set_child_subreaper(Some(rustix::process::getpid())).expect("become a subreaper");
        unshare(UnshareFlags::NEWNS);
        let root = Path::new("/");
        mount_change(root, MountPropagationFlags::PRIVATE | MountPropagationFlags::REC)
            .expect("leave the host's mounts");
        mount_change(root, MountPropagationFlags::SHARED | MountPropagationFlags::REC).expect("share the mounts");
        own_devices();
        let mark = unique("corten-host");
        fs::create_dir_all(DIRECTORY).expect("make the mount point of the tests");
        mount(mark.as_str(), DIRECTORY, "tmpfs", MountFlags::empty(), c"mode=755").expect("mount the tests' tmpfs");
        Host { directory: DIRECTORY.into(), mark }
    }
}

/// Puts devices of the test's own in front of the machine's: a runtime that hands the null device to a container's user
/// takes it from everybody.
fn own_devices() {
    mount("corten-devices", "/dev", "tmpfs", MountFlags::NOSUID, c"mode=755").expect("mount a /dev for the test");
    for (path, major, minor) in DEVICES {
        let path = Path::new("/dev").join(path);
        fs::create_dir_all(path.parent().expect("a device has a directory")).expect("make a directory for devices");
        mknodat(CWD, &path, FileType::CharacterDevice, Mode::empty(), makedev(major, minor)).expect("make a device");
        // Whatever the umask is.
        fs::set_permissions(&path, fs::Permissions::from_mode(0o666)).expect("open the device to everybody");
    }
    for (point, kind, options) in [("pts", "devpts", c"ptmxmode=666,mode=620"), ("shm", "tmpfs", c"mode=1777")] {
        let point = Path::new("/dev").join(point);
        fs::create_dir(&point).expect("make a mount point");
        mount(kind, &point, kind, MountFlags::NOSUID | MountFlags::NOEXEC, options).expect("mount below /dev");
    }
}

/// The devices of a test's host.
const DEVICES: [(&str, u32, u32); 9] = [
    ("null", 1, 3),
    ("zero", 1, 5),
    ("full", 1, 7),
    ("random", 1, 8),
    ("urandom", 1, 9),
    ("tty", 5, 0),
    ("ptmx", 5, 2),
    ("net/tun", 10, 200),
    ("fuse", 10, 229),
];

/// Whether the devices still are everybody's.
pub fn devices_are_untouched() -> bool {
    DEVICES.iter().all(|(path, ..)| {
        let device = fs::metadata(Path::new("/dev").join(path)).expect("look at a device");
        (device.uid(), device.gid(), device.mode() & 0o7777) == (0, 0, 0o666)
    })
}

/// The static busybox that is every container's root file system.
pub const BUSYBOX: &str = "/bin/busybox";

/// A name that no other test, and no other run, uses.
pub fn unique(prefix: &str) -> String {
    // Of one width, so that no name is the beginning of another.
    format!("{prefix}-{}-{:04}", std::process::id(), COUNTER.fetch_add(1, Ordering::Relaxed))
}

/// Moves the calling test into new namespaces, with every process that it starts afterwards.
pub fn unshare(flags: UnshareFlags) {
    // The deprecated function is the safe one; what makes it unsafe, a thread with its own descriptors, is not asked for.
    #[expect(deprecated, reason = "the namespaces asked for here don't take descriptors from the other threads")]
    rustix::thread::unshare(flags).expect("make a namespace for the test");
}

/// Runs a shell script in the test's namespaces and returns what it printed.
#[track_caller]
pub fn host(script: &str) -> String {
    let output = {
        let _no_program_is_written = SPAWNING.read();
        Command::new("/bin/sh").args(["-euc", script]).output().expect("run /bin/sh")
    };
    assert!(
        output.status.success(),
        "the host's shell failed: {script}\n{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8(output.stdout).expect("a script prints text")
}

/// Whether a shell script fails in the test's namespaces.
pub fn host_fails(script: &str) -> bool {
    let _no_program_is_written = SPAWNING.read();
    !Command::new("/bin/sh").args(["-euc", script]).output().expect("run /bin/sh").status.success()
}

/// Held for reading while a process is started, for writing while a program is written: a process that another thread
/// starts meanwhile has the file open until its execve(2), and so long the kernel does not run it ("text file busy").
pub static SPAWNING: RwLock<()> = RwLock::new(());

/// Copies a program.
#[track_caller]
pub fn copy_program(from: &Path, to: &Path) {
    let _nothing_is_started = SPAWNING.write();
    fs::copy(from, to).unwrap_or_else(|error| panic!("copy {} to {}: {error}", from.display(), to.display()));
}

/// Writes a file, its directories included, that may be executed.
#[track_caller]
pub fn write_program(path: &Path, text: &str) {
    fs::create_dir_all(path.parent().expect("a program has a directory")).expect("make the program's directory");
    {
        let _nothing_is_started = SPAWNING.write();
        fs::write(path, text).expect("write the program");
    }
    fs::set_permissions(path, fs::Permissions::from_mode(0o755)).expect("make the program executable");
}
