//! The flags before the command's name, and what they say of the host.

use std::ffi::{OsStr, OsString};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt};
use std::path::{Component, Path, PathBuf};
use std::rc::Rc;

use anyhow::{Context as _, Result, bail};
use clap::builder::{PossibleValuesParser, TypedValueParser};
use clap::{ArgAction, Parser};

use super::log::{self, Log};
use crate::cgroup::Manager;
use crate::container::{Host, Rootless, Warn};
use crate::error::Attempt;

/// Runs containers from OCI bundles
///
/// corten is an OCI container runtime for Linux with cgroup v2. Engines such as containerd, Docker, Podman and CRI-O
/// call it as they call runc, whose command line it has; a person with a bundle can as well.
///
/// A bundle is a directory with a file config.json, which says what the container is, and the container's root file
/// system. `corten spec` writes a config.json to start from, `corten run ID` runs the bundle in the current directory,
/// and `corten plan` shows what that would do.
///
/// Flags may be written with one dash or two, and their values behind `=` or as the next word. Those listed here stand
/// before the command.
#[derive(Debug, Parser)]
#[command(name = "corten")]
pub(super) struct Globals {
    /// Keep the state of containers below DIR [default: /run/corten]
    ///
    /// The default is $XDG_RUNTIME_DIR/corten for whoever isn't root, and for root of a user namespace unless $USER is
    /// root. It should be on a tmpfs.
    #[arg(long, value_name = "DIR")]
    root: Option<PathBuf>,

    /// Write the log to FILE, instead of stderr
    ///
    /// Also `file:FILE`, `journald:ID` and `syslog:ID`. The error that ends a command is written to stderr in any case.
    #[arg(long, value_name = "FILE")]
    log: Option<String>,

    /// The form of the log
    ///
    /// As JSON the log holds one object a line, and only the error that ends the command, unless --log-level or --debug
    /// asks for more: engines expect no other.
    #[arg(long, value_enum, value_name = "FORMAT", default_value = "text")]
    log_format: log::Format,

    /// How much is logged [default: warning, for JSON error]
    #[arg(long, value_enum, value_name = "LEVEL")]
    log_level: Option<log::Level>,

    /// Log everything, as --log-level debug does
    #[arg(long)]
    debug: bool,

    /// Let systemd make the cgroups, as --cgroup-manager systemd does
    ///
    /// cgroupsPath is then slice:prefix:name, and stands for the unit prefix-name.scope in the slice.
    #[arg(long)]
    systemd_cgroup: bool,

    /// Who makes the cgroups: corten in the cgroup file system, systemd, or nobody
    ///
    /// With `disabled` containers stay in the caller's cgroup.
    #[arg(long, value_name = "MANAGER", default_value = "cgroupfs", value_parser = manager())]
    #[arg(overrides_with = "systemd_cgroup")]
    cgroup_manager: Manager,

    /// Whether a refusal of the cgroup file system is ignored: true, false or auto
    ///
    /// `auto` is true for whoever isn't root, and for root of a user namespace.
    #[arg(long, value_name = "WHEN", default_value = "auto", value_parser = rootless)]
    rootless: Rootless,

    /// Print the version
    #[arg(short, long, action = ArgAction::SetTrue)]
    pub(super) version: bool,
}

/// The arguments up to the command's name, and the rest as it is.
#[derive(Debug, Parser)]
pub(super) struct CommandLine {
    #[command(flatten)]
    pub(super) globals: Globals,

    /// The command, and what belongs to it
    #[arg(value_name = "COMMAND", trailing_var_arg = true)]
    pub(super) command: Vec<OsString>,
}

impl Globals {
    /// Opens the log.
    pub(super) fn open_log(&self) -> Result<Log> {
        let level = if self.debug { Some(log::Level::Debug) } else { self.log_level };
        Log::open(self.log.as_deref(), self.log_format, level)
    }

    /// What the runtime is to know of the host.
    pub(super) fn host(&self, warn: impl Fn(&str) + 'static) -> Result<Host> {
        let root = match &self.root {
            Some(given) => explicit_root(given)?,
            None => default_root().path,
        };
        let cgroup_manager = if self.systemd_cgroup { Manager::Systemd } else { self.cgroup_manager };
        Ok(Host { root, cgroup_manager, rootless: self.rootless, debug: self.debug, warn: Warn(Rc::new(warn)) })
    }

    /// Whether `--root` was given, so that a missing directory is a mistake.
    pub(super) fn has_root(&self) -> bool {
        self.root.is_some()
    }

    /// Makes the default directory below $XDG_RUNTIME_DIR, before something is kept there.
    ///
    /// The sticky bit tells whoever cleans up that directory to leave ours alone (XDG Base Directory Specification).
    pub(super) fn make_root(&self) -> Result<()> {
        if self.has_root() {
            return Ok(());
        }
        let root = default_root();
        if !root.below_xdg_runtime_dir {
            return Ok(());
        }
        let path = &root.path;
        std::fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(path)
            .attempt(|| format!("make the state directory {path:?}"))
            .context("$XDG_RUNTIME_DIR must be writable by the user")?;
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o1700))
            .attempt(|| format!("set the permissions of {path:?}"))
    }
}

/// The default of `--root`.
#[derive(Debug, PartialEq, Eq)]
struct Root {
    path: PathBuf,
    below_xdg_runtime_dir: bool,
}

fn default_root() -> Root {
    root_of(
        rustix::process::geteuid().is_root(),
        in_user_namespace,
        std::env::var_os("XDG_RUNTIME_DIR").as_deref(),
        std::env::var_os("USER").as_deref(),
    )
}

/// runc's rule. Engines that run as root of the host inherit somebody's XDG_RUNTIME_DIR at times, and look for the state
/// in /run all the same; root of a user namespace can't write there.
fn root_of(root: bool, in_user_namespace: impl Fn() -> bool, xdg: Option<&OsStr>, user: Option<&OsStr>) -> Root {
    match xdg.filter(|path| !path.is_empty()) {
        Some(path) if !root || in_user_namespace() && user != Some(OsStr::new("root")) => {
            Root { path: Path::new(path).join("corten"), below_xdg_runtime_dir: true }
        }
        _ => Root { path: PathBuf::from("/run/corten"), below_xdg_runtime_dir: false },
    }
}

/// Whether this is another user namespace than the first one, which has a fixed inode (PROC_USER_INIT_INO in the
/// kernel's include/linux/proc_ns.h). Its map says less: a container's may be the identity, too.
fn in_user_namespace() -> bool {
    const FIRST: u64 = 0xEFFF_FFFD;
    std::fs::metadata("/proc/self/ns/user").is_ok_and(|namespace| namespace.ino() != FIRST)
}

/// The value of `--root`, absolute; state is never kept in the root directory itself.
fn explicit_root(given: &Path) -> Result<PathBuf> {
    let path = folded(&super::absolute(given)?);
    if path == Path::new("/") {
        bail!("Option --root argument should not be set to /");
    }
    Ok(path)
}

/// A path without `.` and `..`, by its letters alone, as Go's filepath.Clean has it.
fn folded(path: &Path) -> PathBuf {
    let mut folded = PathBuf::new();
    for part in path.components() {
        match part {
            Component::CurDir => {}
            Component::ParentDir => {
                folded.pop();
            }
            _ => folded.push(part),
        }
    }
    folded
}

fn manager() -> impl TypedValueParser<Value = Manager> {
    PossibleValuesParser::new(Manager::NAMES.map(|(name, _)| name)).try_map(|name| name.parse::<Manager>())
}

fn rootless(text: &str) -> Result<Rootless, String> {
    if text.is_empty() || text.eq_ignore_ascii_case("auto") {
        return Ok(Rootless::Auto);
    }
    Ok(if super::arguments::boolean(text)? { Rootless::True } else { Rootless::False })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_root_follows_runc_s_rule() {
        let xdg = Some(OsStr::new("/run/user/1"));
        let system = Root { path: "/run/corten".into(), below_xdg_runtime_dir: false };
        let own = Root { path: "/run/user/1/corten".into(), below_xdg_runtime_dir: true };
        let named = |name: &'static str| Some(OsStr::new(name));
        // root, in a user namespace, XDG_RUNTIME_DIR, USER
        let table = [
            (true, false, xdg, named("root"), &system),
            (true, false, xdg, None, &system),
            (true, true, xdg, named("root"), &system),
            (true, true, xdg, named("me"), &own),
            (true, true, xdg, None, &own),
            (true, true, None, None, &system),
            (false, false, xdg, named("me"), &own),
            (false, false, xdg, named("root"), &own),
            (false, true, xdg, named("root"), &own),
            (false, false, None, named("me"), &system),
            (false, false, named(""), named("me"), &system),
        ];
        for (root, inside, xdg, user, expected) in table {
            assert_eq!(&root_of(root, || inside, xdg, user), expected, "{root} {inside} {xdg:?} {user:?}");
        }
    }

    #[test]
    fn an_explicit_root_is_absolute_and_not_the_root_directory() {
        for path in ["/", "//", "/.", "/../..", "/a/..", "/a/../../.."] {
            assert!(explicit_root(Path::new(path)).is_err(), "{path}");
        }
        for (path, expected) in [("/a/b", "/a/b"), ("/a/./b/../c/", "/a/c"), ("/../a", "/a")] {
            assert_eq!(explicit_root(Path::new(path)).unwrap(), Path::new(expected));
        }
        assert_eq!(explicit_root(Path::new("x")).unwrap(), std::env::current_dir().unwrap().join("x"));
    }

    #[test]
    fn rootless_is_a_boolean_or_auto() {
        for (text, expected) in [
            ("auto", Rootless::Auto),
            ("AUTO", Rootless::Auto),
            ("", Rootless::Auto),
            ("true", Rootless::True),
            ("1", Rootless::True),
            ("F", Rootless::False),
        ] {
            assert_eq!(rootless(text), Ok(expected), "{text}");
        }
        assert!(rootless("perhaps").is_err());
    }

    fn read(line: &str) -> CommandLine {
        let words: Vec<OsString> = line.split_whitespace().map(OsString::from).collect();
        super::super::read::<CommandLine>("corten", &words).unwrap()
    }

    #[test]
    fn the_last_cgroup_manager_wins() {
        use Manager::{Cgroupfs, Disabled, Systemd};
        for (line, expected) in [
            ("", Cgroupfs),
            ("--systemd-cgroup", Systemd),
            ("-systemd-cgroup --systemd-cgroup", Systemd),
            ("--systemd-cgroup=false", Cgroupfs),
            ("--cgroup-manager=systemd", Systemd),
            ("--cgroup-manager disabled", Disabled),
            ("--systemd-cgroup --cgroup-manager disabled", Disabled),
            ("--cgroup-manager disabled --systemd-cgroup", Systemd),
            ("--cgroup-manager disabled --cgroup-manager cgroupfs", Cgroupfs),
        ] {
            assert_eq!(read(line).globals.host(|_| {}).unwrap().cgroup_manager, expected, "{line}");
        }
    }

    #[test]
    fn the_flags_of_engines_are_read() {
        let CommandLine { globals, command } =
            read("--root /a --root=/b --log /l --log-format json --systemd-cgroup -debug create --bundle /x c");
        assert_eq!(globals.host(|_| {}).unwrap().root, Path::new("/b"));
        assert!(globals.has_root() && globals.debug);
        assert_eq!(globals.log.as_deref(), Some("/l"));
        assert_eq!(globals.log_format, log::Format::Json);
        assert_eq!(command, ["create", "--bundle", "/x", "c"]);
    }
}
