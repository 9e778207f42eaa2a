//! An ordinary user with subordinate ids, whom only this host knows: copies of the user files are mounted over the machine's.

use std::fs;
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;

use super::*;

/// The user's number and group.
pub const USER: u32 = 3000;
/// The first of 65536 subordinate ids.
pub const FIRST: u32 = 400_000;
/// Another user, with those after them.
pub const OTHER: u32 = 3001;

/// A place whose containers are the user's.
pub fn place() -> Place {
    place_in("")
}

/// The same, whose commands run where a line for the shell leads: into a network, or with other files mounted.
pub fn place_in(enter: &str) -> Place {
    place_of(USER, enter)
}

/// The same of one of the users.
pub fn place_of(user: u32, enter: &str) -> Place {
    program();
    Place::with(|path| {
        for directory in [path.clone(), path.join("run")] {
            fs::create_dir_all(&directory).unwrap();
            chown(&directory, Some(user), Some(user)).unwrap();
        }
        fs::set_permissions(path.join("run"), PermissionsExt::from_mode(0o700)).unwrap();
        fs::write(path.join("enter"), format!("{enter}\nexec \"$@\"\n")).unwrap();
        Place { path, user: Some(user), network: None }
    })
}

/// A call of ctn by the user, where the environment says what is the user's.
pub fn command(place: &Place, arguments: &[&str]) -> Command {
    let mut command = Command::new("unshare");
    command.args(["--mount", "--propagation", "slave", "sh"]).arg(place.join("enter"));
    let user = place.user.unwrap_or(USER).to_string();
    command.args(["setpriv", "--reuid", &user, "--regid", &user, "--clear-groups"]).arg(program());
    command.env_clear().env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin").env("HOME", &place.path);
    command.env("XDG_DATA_HOME", place.join("data")).env("XDG_RUNTIME_DIR", place.join("run"));
    command.args(arguments).current_dir(&place.path).stdin(Stdio::null());
    command
}

/// Where containers are while they run.
pub fn run(place: &Place) -> Option<PathBuf> {
    let entries = fs::read_dir(place.join("run/corten")).into_iter().flatten().flatten();
    let mut engines = entries.map(|entry| entry.path()).filter(|path| path.is_dir());
    engines.next()
}

/// The processes that the user's calls left, by their command lines.
pub fn processes(place: &Place) -> Vec<String> {
    let all = fs::read_dir("/proc").unwrap().flatten();
    let lines = all.filter_map(|entry| {
        let line = fs::read_to_string(entry.path().join("cmdline")).ok()?;
        Some(format!("{} {}", entry.file_name().display(), line.replace('\0', " ")))
    });
    lines.filter(|line| line.contains(place.path.to_str().unwrap())).collect()
}

/// No file, mount or process is left; the last to go is who holds the namespaces.
#[track_caller]
pub fn assert_nothing_left(place: &Place) {
    place.assert_nothing_left();
    until("the user's processes end", || processes(place).is_empty());
}

/// The user's copy of the program, for the one that cargo built may be where others don't get.
fn program() -> &'static Path {
    static PROGRAM: OnceLock<PathBuf> = OnceLock::new();
    PROGRAM.get_or_init(|| {
        assert!(
            std::env::var_os("UNIFIED_HOST").is_some(),
            "the user is made on a host of its own: scripts/unified-host"
        );
        let directory = std::env::temp_dir().join(format!("engine-tests-user-{}", std::process::id()));
        fs::create_dir_all(&directory).unwrap();
        let subordinate = format!("tester:{FIRST}:65536\nother:{}:65536\n", FIRST + 65536);
        let additions = [
            ("passwd", format!("tester:x:{USER}:{USER}::/:/bin/sh\nother:x:{OTHER}:{OTHER}::/:/bin/sh\n")),
            ("group", format!("tester:x:{USER}:\nother:x:{OTHER}:\n")),
            ("subuid", subordinate.clone()),
            ("subgid", subordinate),
        ];
        for (name, line) in additions {
            let (file, copy) = (Path::new("/etc").join(name), directory.join(name));
            fs::write(&copy, fs::read_to_string(&file).unwrap() + &line).unwrap();
            rustix::mount::mount_bind(&copy, &file).unwrap();
        }
        let program = directory.join("ctn");
        install(&ctn(), &program);
        program
    })
}
