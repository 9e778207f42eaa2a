//! The host that everything runs on: our own, made by `scripts/unified-host` and gone with its first process.

use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};

use anyhow::{Context, Result, ensure};

use super::trial::Skip;

/// Only Debian's own programs, and not what else a machine has in its PATH.
const PATH: &str = "/usr/sbin:/usr/bin:/sbin:/bin";

/// An ordinary user that this host has, with identifiers of their own to give away: their name, and the first of 65536
/// subordinate users and groups.
pub(crate) const REMAPPED: (&str, u32) = ("tester", 400_000);

/// The ordinary user's number.
pub(crate) const TESTER: u32 = 3000;

/// The host, and the runtime that is tested on it.
pub(crate) struct Host {
    /// The runtime's program.
    pub(crate) runtime: PathBuf,
    /// Where everything is put; memory, and private to this host.
    pub(crate) directory: PathBuf,
    /// The image, as an archive that every engine can load.
    pub(crate) image: PathBuf,
    /// The file system trees that are too big to be made each time, if they were made.
    pub(crate) cache: PathBuf,
    names: AtomicU32,
}

impl Host {
    /// Starts this program again on a host of its own, unless it is on one.
    pub(crate) fn enter() -> Result<Self> {
        if std::env::var_os("UNIFIED_HOST").is_none() {
            let script = project().join("scripts/unified-host");
            let mut command = Command::new(&script);
            command.arg(std::env::current_exe()?).args(std::env::args_os().skip(1));
            let error = command.current_dir(project()).exec();
            return Err(error).with_context(|| format!("run {script:?}"));
        }
        let runtime = match std::env::var_os("CORTEN_TEST_RUNTIME") {
            Some(path) => PathBuf::from(path),
            None => PathBuf::from(env!("CARGO_BIN_EXE_corten")),
        };
        ensure!(runtime.is_absolute(), "CORTEN_TEST_RUNTIME is no absolute path: {runtime:?}");
        ensure!(runtime.is_file(), "the runtime to test is not there: {runtime:?}");
        let directory = PathBuf::from("/run/integration");
        std::fs::create_dir(&directory).with_context(|| format!("create {directory:?}"))?;
        add_user(&directory)?;
        let made = directory.join("image");
        std::fs::create_dir(&made)?;
        let image = super::image::archive(&made, super::image::NAME, &["/bin/sh"]).context("make the image")?;
        Ok(Self { runtime, directory, image, cache: project().join(".cache"), names: AtomicU32::new(0) })
    }

    /// A command in the environment that all of them get.
    pub(crate) fn prepare(&self, command: &mut Command) {
        command.env_clear().env("PATH", PATH).env("LC_ALL", "C.UTF-8").env("TERM", "xterm");
        command.env("HOME", &self.directory).env("TMPDIR", "/run/tmp");
    }

    /// A name that no other case uses.
    pub(crate) fn name(&self, what: &str) -> String {
        format!("{what}-{}", self.names.fetch_add(1, Ordering::Relaxed))
    }

    /// A new directory.
    pub(crate) fn new_directory(&self, what: &str) -> Result<PathBuf> {
        let path = self.directory.join(self.name(what));
        std::fs::create_dir(&path).with_context(|| format!("create {path:?}"))?;
        Ok(path)
    }

    /// The runtime's file name, which engines use as its name.
    pub(crate) fn runtime_name(&self) -> String {
        self.runtime.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default()
    }

    /// Skips a case where a controller is missing.
    pub(crate) fn needs(&self, controllers: &[&str]) -> Result<()> {
        match controllers.iter().find(|name| !self.has_controller(name)) {
            Some(missing) => Err(Skip(format!("no {missing} controller in the cgroup2 tree")).into()),
            None => Ok(()),
        }
    }

    /// Skips a case where the host is not run by systemd (sd_booted(3)).
    pub(crate) fn needs_systemd(&self) -> Result<()> {
        if Path::new("/run/systemd/system").exists() {
            Ok(())
        } else {
            Err(Skip("systemd does not run here".into()).into())
        }
    }

    /// Whether the cgroup2 tree has this controller; machines that still mount it the old way have not.
    pub(crate) fn has_controller(&self, name: &str) -> bool {
        let names = std::fs::read_to_string("/sys/fs/cgroup/cgroup.controllers").unwrap_or_default();
        names.split_whitespace().any(|found| found == name)
    }
}

/// Adds the ordinary user: copies of the user files are mounted over those of the machine.
fn add_user(directory: &Path) -> Result<()> {
    let ((name, first), id) = (REMAPPED, TESTER);
    let additions = [
        ("passwd", format!("{name}:x:{id}:{id}::{}:/bin/sh\n", directory.join("home").display())),
        ("group", format!("{name}:x:{id}:\n")),
        ("subuid", format!("{name}:{first}:65536\n")),
        ("subgid", format!("{name}:{first}:65536\n")),
    ];
    for (file, line) in additions {
        let (path, copy) = (Path::new("/etc").join(file), directory.join(file));
        let text = std::fs::read_to_string(&path).with_context(|| format!("read {path:?} (package uidmap)"))?;
        std::fs::write(&copy, text + &line)?;
        rustix::mount::mount_bind(&copy, &path).with_context(|| format!("mount {copy:?} on {path:?}"))?;
    }
    let home = directory.join("home");
    std::fs::create_dir(&home)?;
    std::os::unix::fs::chown(&home, Some(id), Some(id))?;
    Ok(())
}

/// The directory of a process's cgroup.
pub(crate) fn cgroup(pid: u32) -> Result<PathBuf> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/cgroup"))?;
    let path = text.lines().find_map(|line| line.strip_prefix("0::/")).context("no cgroup2")?;
    Ok(Path::new("/sys/fs/cgroup").join(path))
}

/// What the kernel's files in a group's directory hold.
pub(crate) trait Files {
    /// Each of these files holds this, and a line feed.
    fn holds(&self, files: &[(&str, &str)]) -> Result<()>;
}

impl Files for PathBuf {
    fn holds(&self, files: &[(&str, &str)]) -> Result<()> {
        for (file, expected) in files {
            let path = self.join(file);
            let text = std::fs::read_to_string(&path).with_context(|| format!("read {path:?}"))?;
            ensure!(text.trim_end() == *expected, "{path:?} holds {text:?} and not {expected:?}");
        }
        Ok(())
    }
}

/// A whole disk of this machine with something to be read on it.
pub(crate) fn disk() -> Result<String> {
    const SECTORS: u64 = 16 << 20 >> 9;
    for entry in std::fs::read_dir("/sys/block")? {
        let entry = entry?;
        let is_real = entry.path().join("device").exists();
        let size = std::fs::read_to_string(entry.path().join("size"))?;
        if is_real && size.trim().parse::<u64>()? >= SECTORS {
            return Ok(format!("/dev/{}", entry.file_name().to_string_lossy()));
        }
    }
    Err(Skip("no disk to read from".to_string()).into())
}

/// The project's directory.
pub(crate) fn project() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Whether a program is installed.
pub(crate) fn installed(program: &str) -> bool {
    PATH.split(':').any(|directory| Path::new(directory).join(program).is_file())
}
