//! An ordinary user's containers in scopes of the user's own systemd: limits, and whose end is not theirs.

use std::fs;
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::group::{Group, MOUNT_POINT, host, scope};
use crate::harness::{Place, ctn, succeeded, until};

/// The machine's one ordinary user.
const USER: u32 = 4000;
const NAME: &str = "someone";
const RUNTIME_DIRECTORY: &str = "/run/user/4000";
/// The group of the user's systemd.
const OWN: &str = "user.slice/user-4000.slice/user@4000.service";

/// A store of the user's, whose systemd lives without a session.
struct User {
    place: Place,
    path: PathBuf,
}

impl User {
    fn new() -> User {
        host(&format!(
            "loginctl enable-linger {NAME}; systemctl start user@{USER}.service
             for file in subuid subgid; do grep -q '^{NAME}:' /etc/$file || echo {NAME}:600000:65536 >>/etc/$file; done"
        ));
        // Root's, from which the image is.
        let place = Place::new();
        let path = place.path.with_extension("of-user");
        fs::create_dir(&path).unwrap();
        fs::copy(place.join("image.tar"), path.join("image.tar")).unwrap();
        fs::set_permissions(path.join("image.tar"), PermissionsExt::from_mode(0o644)).unwrap();
        chown(&path, Some(USER), Some(USER)).unwrap();
        let user = User { place, path };
        user.ctn(&["import", "-c", "CMD [\"sh\"]", "image.tar", "box"]);
        user
    }

    /// A call of ctn by the user, from a group of the machine's: like that of a login session it is none of the user's.
    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new("setpriv");
        let user = USER.to_string();
        command.args(["--reuid", &user, "--regid", &user, "--clear-groups"]).arg(ctn());
        command.env_clear().env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin").env("CTN_ROOT", self.path.join("store"));
        command.env("XDG_RUNTIME_DIR", RUNTIME_DIRECTORY).args(arguments).current_dir(&self.path).stdin(Stdio::null());
        command
    }

    #[track_caller]
    fn ctn(&self, arguments: &[&str]) -> String {
        succeeded(&self.command(arguments).output().unwrap(), arguments)
    }

    #[track_caller]
    fn field(&self, name: &str, field: &str) -> String {
        self.ctn(&["inspect", "--format", &format!("{{{{{field}}}}}"), name]).trim().to_owned()
    }

    #[track_caller]
    fn detached(&self, name: &str, flags: &[&str], script: &str) -> String {
        let run = [&["run", "-d", "--network", "none", "--name", name], flags, &["box", "sh", "-c", script]].concat();
        self.ctn(&run).trim().to_owned()
    }

    #[track_caller]
    fn group_of(&self, name: &str) -> Group {
        Group::of_process(&self.field(name, ".State.Pid"))
    }

    /// A line of the user's shell in a login session of its own; gives the session's name. The line stays.
    #[track_caller]
    fn log_in(&self, line: &str) -> String {
        static COUNT: std::sync::atomic::AtomicU32 = std::sync::atomic::AtomicU32::new(0);
        let number = COUNT.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let told = self.path.join(format!("session-{number}"));
        let script =
            format!("{line}\necho $XDG_SESSION_ID >{0}.new && mv {0}.new {0}\nexec sleep 1000", told.display());
        let mut command = Command::new("systemd-run");
        command.args(["--quiet", "--collect", "-p", "PAMName=login", "-p", &format!("User={NAME}")]);
        command.arg(format!("--setenv=CTN_ROOT={}", self.path.join("store").display()));
        command.arg(format!("--setenv=PATH={}:/usr/bin:/bin", ctn().parent().unwrap().display()));
        succeeded(&command.args(["sh", "-euc", &script]).output().unwrap(), "systemd-run");
        until("the session is there", || told.exists());
        let session = fs::read_to_string(told).unwrap().trim().to_owned();
        assert!(!session.is_empty(), "it is a session");
        session
    }
}

impl Drop for User {
    fn drop(&mut self) {
        let ids = self.command(&["ps", "-aq"]).output().map(|output| output.stdout).unwrap_or_default();
        let ids = String::from_utf8_lossy(&ids).into_owned();
        let _ = self.command(&[&["rm", "-fv"], &ids.lines().collect::<Vec<_>>()[..]].concat()).output();
        // The user's ids are others than root's.
        let _ = Command::new("rm").arg("-rf").arg(&self.path).status();
    }
}

fn below(group: &Group) -> &Path {
    group.0.strip_prefix(MOUNT_POINT).unwrap()
}

fn scope_of(id: &str) -> PathBuf {
    Path::new(MOUNT_POINT).join(OWN).join(format!("user.slice/corten-{id}.scope"))
}

/// The command lines of what is in a group.
fn programs(group: &Group) -> Vec<String> {
    let line = |pid: &str| fs::read_to_string(format!("/proc/{pid}/cmdline")).unwrap_or_default().replace('\0', " ");
    group.read("cgroup.procs").lines().map(line).collect()
}

#[test]
fn a_users_container_has_limits_and_can_be_paused_and_counted() {
    let user = User::new();
    let script = "for _ in 1 2 3 4 5 6 7 8 9 10 11 12; do sleep 1000 & done; echo tried; exec sleep 1000";
    let id = user.detached("web", &["-m", "64m", "--cpus", "0.5", "--pids-limit", "8"], "exec sleep 1000");
    let group = user.group_of("web");
    assert_eq!(group.0, scope_of(&id).join("container"));
    group.holds(&[("memory.max", "67108864"), ("pids.max", "8"), ("cpu.max", "50000 100000")]);
    let monitor = Group(scope_of(&id).join("monitor"));
    assert!(programs(&monitor).iter().any(|line| line.contains("ctn monitor")), "{:?}", programs(&monitor));
    // From inside.
    user.detached("forks", &["--pids-limit", "8"], script);
    until("a fork is refused", || {
        let output = user.command(&["logs", "forks"]).output().unwrap();
        String::from_utf8_lossy(&output.stderr).contains("can't fork")
    });
    user.ctn(&["update", "-m", "32m", "--memory-swap", "32m", "--cpu-shares", "512", "web"]);
    group.holds(&[("memory.max", "33554432")]);
    assert_ne!(scope(&group).read("cpu.weight"), "100", "systemd was told of the shares");
    user.ctn(&["pause", "web"]);
    assert_eq!((user.field("web", ".State.Status").as_str(), group.count("cgroup.events", "frozen")), ("paused", 1));
    user.ctn(&["unpause", "web"]);
    let stats = user.ctn(&["stats", "--no-stream", "--format", "{{.PIDs}} {{.MemUsage}}", "web"]);
    assert!(stats.starts_with("1 ") && stats.contains("/ 32MiB"), "{stats}");
    assert!(user.ctn(&["top", "web"]).contains("sleep 1000"));
    assert_eq!(user.ctn(&["info", "--format", "{{.CgroupDriver}}"]), "systemd\n");
    // Who asks for more memory than there is may be killed, and that is told.
    user.ctn(&[
        "run",
        "--network",
        "none",
        "--name",
        "big",
        "-m",
        "16m",
        "--memory-swap",
        "16m",
        "--tmpfs",
        "/full",
        "box",
        "sh",
        "-c",
        "dd if=/dev/zero of=/full/file bs=1M count=64; true",
    ]);
    user.ctn(&["restart", "-t", "0", "web"]);
    assert_eq!(user.group_of("web").0, scope_of(&id).join("container"));
    user.ctn(&["rm", "-f", "web", "forks", "big"]);
    until("the scope is gone", || !scope_of(&id).exists());
}

#[test]
fn a_program_of_exec_and_who_holds_its_terminal_are_in_the_scope() {
    let user = User::new();
    let id = user.detached("web", &[], "exec sleep 1000");
    let container = user.group_of("web");
    let monitor = Group(scope_of(&id).join("monitor"));
    assert_eq!(user.ctn(&["exec", "web", "cat", "/proc/self/cgroup"]), "0::/\n");
    user.ctn(&["exec", "-dt", "web", "sleep", "2000"]);
    let is_in = |group: &Group, words: &str| programs(group).iter().any(|line| line.contains(words));
    assert!(is_in(&container, "sleep 2000"), "{:?}", programs(&container));
    assert!(is_in(&monitor, "exec -dt web"), "{:?}", programs(&monitor));
    user.ctn(&["rm", "-f", "web"]);
    until("the scope is gone", || !scope_of(&id).exists());

    user.place.detached("roots", &[], "exec sleep 1000");
    user.place.ctn(&["exec", "-dt", "roots", "sleep", "3000"]);
    let container = Group::of(&user.place, "roots");
    let monitor = Group(scope(&container).0.join("monitor"));
    assert!(is_in(&container, "sleep 3000") && is_in(&monitor, "exec -dt roots"), "{:?}", programs(&monitor));
    user.place.ctn(&["rm", "-f", "roots"]);
}

#[test]
fn the_end_of_a_session_is_not_its_containers() {
    let user = User::new();
    let script = "while :; do echo alive; sleep 0.1; done";
    let session = user.log_in(&format!(
        "ctn run -d --name web --network none box sh -c '{script}'; ctn exec -dt web sh -c 'while :; do date >/told; sleep 0.1; done'"
    ));
    let group = user.group_of("web");
    assert!(below(&group).starts_with(OWN), "{group:?}");
    let started = user.field("web", ".State.StartedAt");
    host(&format!("loginctl terminate-session {session}"));
    let session_group = Path::new(MOUNT_POINT).join(format!("user.slice/user-4000.slice/session-{session}.scope"));
    until("the session is gone", || !session_group.exists());
    assert_eq!(user.field("web", ".State.Running"), "true");
    let lines = || user.ctn(&["logs", "web"]).lines().count();
    let before = lines();
    until("its monitor writes on", || lines() > before + 2);
    // So does what had been detached: its terminal is still held.
    user.ctn(&["exec", "web", "rm", "/told"]);
    until("the program that was detached goes on", || {
        user.command(&["exec", "web", "cat", "/told"]).output().unwrap().status.success()
    });
    assert_eq!(user.field("web", ".State.StartedAt"), started);
    // Another session has it again.
    let session = user.log_in("ctn exec web touch /from-another && ctn stop -t 0 web");
    assert_eq!(user.field("web", ".State.Status"), "exited");
    host(&format!("loginctl terminate-session {session}"));
}

#[test]
fn the_users_systemd_stops_a_container_as_it_wants_to_be_stopped() {
    let user = User::new();
    let script = "trap 'echo told; exit 7' USR1; echo ready; while :; do sleep 0.05; done";
    let id = user.detached("web", &["--stop-signal", "USR1", "--restart", "always"], script);
    until("it is ready", || user.ctn(&["logs", "web"]).contains("ready"));
    let stop = format!("systemctl --user stop corten-{id}.scope");
    host(&format!(
        "setpriv --reuid {USER} --regid {USER} --clear-groups env XDG_RUNTIME_DIR={RUNTIME_DIRECTORY} {stop}"
    ));
    assert_eq!(
        (user.field("web", ".State.Status"), user.field("web", ".State.ExitCode")),
        ("exited".into(), "7".into())
    );
    assert!(user.ctn(&["logs", "web"]).ends_with("told\n"));
}
