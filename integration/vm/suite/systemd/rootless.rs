//! Containers of an ordinary user, made by that user's systemd.

use std::fs;

use serde_json::json;

use crate::delegated::{USER, bundle};
use crate::harness::wait::Process;
use crate::harness::{Bundle, Call, Container, host};

/// Where the user's systemd is.
const RUNTIME_DIRECTORY: &str = "/run/user/4000";
/// The group of the user's systemd.
const OWN: &str = "/user.slice/user-4000.slice/user@4000.service";

/// Where the user calls the runtime from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum From {
    /// A unit of the user's own: a terminal of a desktop, a timer.
    OwnUnit,
    /// A group of root's, like that of a login session: processes can't be born in the user's groups from there, and only
    /// the system's systemd can move them, whom the user's asks by way of the bus.
    Session,
}

struct Rootless {
    bundle: Bundle,
    from: From,
}

impl Rootless {
    fn new(from: From) -> Rootless {
        host("systemctl start user@4000.service");
        let mut bundle = bundle();
        bundle.config.set("/linux/cgroupsPath", format!("app.slice:engine:{}", bundle.id));
        Rootless { bundle, from }
    }

    fn unit(&self) -> String {
        format!("engine-{}.scope", self.bundle.id)
    }

    /// A call by the user.
    fn call<'a>(&self, arguments: impl IntoIterator<Item = &'a str>) -> Call {
        let call = Call::of(self.bundle.path("corten"), &self.bundle.directory);
        let call = call.arg("--root").arg(&self.bundle.state).args(arguments);
        let call = call.user(USER, USER).env("XDG_RUNTIME_DIR", RUNTIME_DIRECTORY);
        match self.from {
            From::OwnUnit => call.through(["systemd-run", "--quiet", "--user", "--scope", "--collect"]),
            From::Session => call,
        }
    }

    #[track_caller]
    fn create(&self) -> Container {
        self.bundle.write();
        let (pid_file, bundle) = (self.bundle.text_path("pid"), self.bundle.text_path(""));
        let id = self.bundle.id.as_str();
        let create = ["--systemd-cgroup", "create", "--bundle", &bundle, "--pid-file", &pid_file, id];
        Container::made(&self.bundle, id, self.call(create).ok())
    }

    #[track_caller]
    fn systemctl(&self, arguments: &[&str]) -> String {
        let call = Call::of("systemctl", &self.bundle.directory).user(USER, USER);
        call.env("XDG_RUNTIME_DIR", RUNTIME_DIRECTORY).arg("--user").args(arguments).ok().stdout
    }

    #[track_caller]
    fn show(&self, property: &str) -> String {
        self.systemctl(&["show", "--value", "--property", property, &self.unit()]).trim_end().to_owned()
    }
}

#[track_caller]
fn life_cycle(from: From) {
    let rootless = Rootless::new(from);
    let container = rootless.create();
    let group = format!("{OWN}/app.slice/{}", rootless.unit());
    let line = format!("0::{group}\n");
    assert!(container.proc_file("cgroup").ends_with(&line), "{}", container.proc_file("cgroup"));
    assert_eq!((rootless.show("ActiveState").as_str(), rootless.show("Slice").as_str()), ("active", "app.slice"));
    let id = container.id.as_str();
    rootless.call(["start", id]).ok();

    let pid_file = rootless.bundle.text_path("exec-pid");
    rootless.call(["exec", "--detach", "--pid-file", &pid_file, id, "sleep", "1000"]).ok();
    let process = Process::watch(rootless.bundle.read_file("exec-pid").parse().expect("a number"));
    let groups = fs::read_to_string(format!("/proc/{}/cgroup", process.pid)).expect("read the process's groups");
    assert!(groups.ends_with(&line), "{groups}");
    assert_eq!(rootless.call(["ps", "-f", "json", id]).ok().json().as_array().map(Vec::len), Some(2));

    rootless.call(["pause", id]).ok();
    rootless.call(["resume", id]).ok();
    let change = r#"{"unified":{"cgroup.max.depth":"5"}}"#;
    rootless.call(["update", "--resources", "-", id]).input(change).ok();
    rootless.systemctl(&["daemon-reload"]);
    let depth = fs::read_to_string(format!("/sys/fs/cgroup{group}/cgroup.max.depth"));
    assert_eq!(depth.expect("read a limit"), "5\n");
    process.kill();
    rootless.call(["kill", id, "KILL"]).ok();
    container.process.wait();
    rootless.call(["delete", id]).ok();
    assert_eq!(rootless.show("LoadState"), "not-found");
    rootless.bundle.assert_nothing_left();
}

#[test]
fn from_a_unit_of_the_users_own() {
    life_cycle(From::OwnUnit);
}

#[test]
fn from_a_login_session() {
    life_cycle(From::Session);
}

#[test]
fn without_a_path_the_unit_is_in_the_users_slice() {
    let mut rootless = Rootless::new(From::OwnUnit);
    rootless.bundle.config.remove("/linux/cgroupsPath");
    let container = rootless.create();
    let group = format!("0::{OWN}/user.slice/corten-{}.scope\n", container.id);
    assert!(container.proc_file("cgroup").ends_with(&group), "{}", container.proc_file("cgroup"));
    rootless.call(["delete", "--force", &container.id]).ok();
    rootless.bundle.assert_nothing_left();
}

#[test]
fn the_sub_group_is_the_users_to_make() {
    for from in [From::OwnUnit, From::Session] {
        let mut rootless = Rootless::new(from);
        rootless.bundle.config.set("/annotations", json!({"run.oci.systemd.subgroup": "payload"}));
        let container = rootless.create();
        let group = format!("0::{OWN}/app.slice/{}/payload\n", rootless.unit());
        assert!(container.proc_file("cgroup").ends_with(&group), "{}", container.proc_file("cgroup"));
        rootless.call(["start", &container.id]).ok();
        let groups = rootless.call(["exec", &container.id, "cat", "/proc/self/cgroup"]).ok().stdout;
        assert_eq!(groups.lines().last(), Some("0::/"));
        rootless.call(["delete", "--force", &container.id]).ok();
        assert_eq!(rootless.show("LoadState"), "not-found");
    }
}

#[test]
fn without_a_session_there_is_a_sentence() {
    let rootless = Rootless::new(From::Session);
    rootless.bundle.write();
    let bundle = rootless.bundle.text_path("");
    let create = |environment: &[(&str, &str)]| {
        let mut call = Call::of(rootless.bundle.path("corten"), &rootless.bundle.directory).user(USER, USER);
        for (name, value) in environment {
            call = call.env(name, value);
        }
        let call = call.arg("--root").arg(&rootless.bundle.state);
        call.args(["--systemd-cgroup", "create", "--bundle", &bundle, &rootless.bundle.id]).run()
    };
    create(&[]).refused(&["find the user's systemd: neither XDG_RUNTIME_DIR nor DBUS_SESSION_BUS_ADDRESS is set"]);
    create(&[("XDG_RUNTIME_DIR", "/run/user/1")])
        .refused(&["reach the user's systemd: there is no socket \"/run/user/1/systemd/private\""]);
    rootless.bundle.assert_nothing_left();
}
