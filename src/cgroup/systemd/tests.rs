//! Against a real systemd: that of the machine, or of the user, whichever answers.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::{Child, Command};

use rustix::process::Pid;

use super::properties::limits;
use super::*;
use crate::cgroup::{Group, Hierarchy, plan};
use crate::error::sentence;

/// A connection, and a slice of the test's own that ends with it.
struct Manager {
    systemd: Systemd,
    hierarchy: Hierarchy,
    is_user: bool,
    slice: String,
}

impl Manager {
    /// Each systemd that can be reached; if there is none the reason is printed.
    fn all(test: &str) -> Vec<Manager> {
        let connect = |is_user| match Systemd::connect(is_user) {
            Ok(systemd) => {
                let hierarchy = Hierarchy::find().unwrap();
                Some(Manager {
                    systemd,
                    hierarchy,
                    is_user,
                    slice: format!("cortentest{}{test}.slice", std::process::id()),
                })
            }
            Err(error) => {
                eprintln!("SKIPPED: {}", sentence(&error));
                None
            }
        };
        [false, true].into_iter().filter_map(connect).collect()
    }

    fn unit(&self, name: &str) -> Unit {
        let prefix = self.slice.trim_end_matches(".slice");
        Unit::new(Some(&format!("{}:{prefix}:{name}", self.slice)), "x", self.is_user).unwrap()
    }

    fn start(
        &mut self,
        unit: &Unit,
        first: Option<Pid>,
        resources: &str,
        annotations: &[(&str, &str)],
    ) -> anyhow::Result<Group> {
        let resources = serde_json::from_str(resources).unwrap();
        let annotations: BTreeMap<String, String> =
            annotations.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
        let limits = limits(&resources, self.systemd.version()?)?;
        let asked = annotation::properties(&annotations)?;
        let is_new = self.systemd.start(unit, &unit_properties(unit, "a container of a test", first, limits, asked))?;
        assert!(is_new || unit.is_slice());
        Ok(Group::at(self.systemd.directory(&self.hierarchy, unit)?))
    }

    /// What systemd says of a unit, asked by its own tool.
    fn show(&self, unit: &str, property: &str) -> String {
        let mut systemctl = Command::new("systemctl");
        if self.is_user {
            systemctl.arg("--user");
        }
        let output = systemctl.args(["show", "--value", "--property", property, unit]).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    }

    fn reload(&self) {
        let user: &[&str] = if self.is_user { &["--user"] } else { &[] };
        assert!(Command::new("systemctl").args(user).arg("daemon-reload").status().unwrap().success());
    }
}

impl Drop for Manager {
    fn drop(&mut self) {
        let _ = self.systemd.stop(&self.slice);
    }
}

struct Sleep(Child);

impl Sleep {
    fn start() -> Sleep {
        Sleep(Command::new("sleep").arg("1000").spawn().unwrap())
    }

    fn pid(&self) -> Pid {
        Pid::from_child(&self.0)
    }

    fn group(&self) -> PathBuf {
        let memberships = std::fs::read_to_string(format!("/proc/{}/cgroup", self.pid())).unwrap();
        memberships.lines().find_map(|line| line.strip_prefix("0::")).unwrap().into()
    }
}

impl Drop for Sleep {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn a_scope_is_started_with_its_process_and_stopped() {
    for mut manager in Manager::all("start") {
        let unit = manager.unit("web");
        let process = Sleep::start();
        let resources = r#"{"memory":{"limit":67108864,"swap":67108864,"reservation":33554432},"pids":{"limit":64},
            "cpu":{"shares":512,"quota":33333,"period":100000,"cpus":"0"},"blockIO":{"weight":500}}"#;
        let annotation = ("org.systemd.property.TimeoutStopSec", "7");
        let group = manager.start(&unit, Some(process.pid()), resources, &[annotation]).unwrap();
        assert_eq!(manager.hierarchy.directory(&process.group()), group.path());
        assert_eq!(group.pids(true).unwrap(), [process.pid()]);
        for (property, expected) in [
            ("ActiveState", "active"),
            ("Slice", manager.slice.as_str()),
            ("Delegate", "yes"),
            ("MemoryMax", "67108864"),
            ("MemoryLow", "33554432"),
            ("MemorySwapMax", "0"),
            ("TasksMax", "64"),
            ("CPUWeight", "59"),
            ("CPUQuotaPerSecUSec", "340ms"),
            ("CPUQuotaPeriodUSec", "100ms"),
            ("AllowedCPUs", "0"),
            ("IOWeight", "4950"),
            ("TimeoutStopUSec", "7s"),
        ] {
            assert_eq!(manager.show(&unit.name, property), expected, "{property}");
        }

        group.kill().unwrap();
        manager.systemd.stop(&unit.name).unwrap();
        group.remove().unwrap();
        assert_eq!(manager.show(&unit.name, "LoadState"), "not-found");
        assert!(!group.path().exists());
        manager.systemd.stop(&unit.name).unwrap();
    }
}

#[test]
fn a_scope_outlives_its_first_process() {
    // So that a process which only waits can hold a new scope until the container's first one is born in it.
    for mut manager in Manager::all("first") {
        let unit = manager.unit("web");
        let (first, second) = (Sleep::start(), Sleep::start());
        let group = manager.start(&unit, Some(first.pid()), "{}", &[]).unwrap();
        group.add(second.pid()).unwrap();
        drop(first);
        manager.reload();
        assert_eq!(manager.show(&unit.name, "ActiveState"), "active");
        assert_eq!(group.pids(true).unwrap(), [second.pid()]);
        drop(second);
        manager.systemd.stop(&unit.name).unwrap();
        assert!(!group.exists().unwrap());
    }
}

#[test]
fn a_change_outlives_a_reload() {
    for mut manager in Manager::all("change") {
        let unit = manager.unit("web");
        let process = Sleep::start();
        manager.start(&unit, Some(process.pid()), r#"{"pids":{"limit":64}}"#, &[]).unwrap();
        let change = serde_json::from_str(r#"{"pids":{"limit":7},"memory":{"limit":-1}}"#).unwrap();
        let version = manager.systemd.version().unwrap();
        manager.systemd.set(&unit.name, &limits(&change, version).unwrap()).unwrap();
        manager.reload();
        assert_eq!(manager.show(&unit.name, "TasksMax"), "7");
        assert_eq!(manager.show(&unit.name, "MemoryMax"), "infinity");
        let error = manager.systemd.set("corten-test-nonesuch.scope", &[("TasksMax".into(), value::Value::Uint64(1))]);
        assert!(
            sentence(&error.unwrap_err())
                .starts_with("set properties of systemd unit \"corten-test-nonesuch.scope\": ")
        );
        drop(process);
        manager.systemd.stop(&unit.name).unwrap();
    }
}

#[test]
fn an_update_is_told_to_systemd_and_taken_back_if_the_files_refuse() {
    for mut manager in Manager::all("update") {
        let unit = manager.unit("web");
        let process = Sleep::start();
        let stored = r#"{"unified":{"cgroup.max.depth":"5","memory.high":"1000000"}}"#;
        let group = manager.start(&unit, Some(process.pid()), stored, &[]).unwrap();
        let depth = || std::fs::read_to_string(group.path().join("cgroup.max.depth")).unwrap();
        let resources = |text: &str| serde_json::from_str(text).unwrap();

        let controllers = std::fs::read_to_string(group.path().join("cgroup.controllers")).unwrap();
        if controllers.contains("memory") {
            let change = r#"{"unified":{"cgroup.max.depth":"6","memory.high":"2000000"}}"#;
            assert_eq!(
                manager.systemd.update(&unit.name, &group, &resources(stored), &resources(change)).unwrap(),
                resources(change)
            );
            assert_eq!((depth().as_str(), manager.show(&unit.name, "MemoryHigh").as_str()), ("6\n", "2000000"));
        } else {
            // systemd takes the limit, the files have no place for it.
            let change = r#"{"unified":{"cgroup.max.depth":"6","memory.high":"2000000"},"cpu":{"cpus":"0"}}"#;
            let error = manager.systemd.update(&unit.name, &group, &resources(stored), &resources(change)).unwrap_err();
            assert!(sentence(&error).contains("is not available in"), "{error:#}");
            assert_eq!((depth().as_str(), manager.show(&unit.name, "MemoryHigh").as_str()), ("max\n", "1000000"));
            assert_eq!(manager.show(&unit.name, "AllowedCPUs"), "");
        }
        drop(process);
        manager.systemd.stop(&unit.name).unwrap();
    }
}

#[test]
fn a_name_that_is_taken_is_an_error_and_a_wrong_property_too() {
    for mut manager in Manager::all("taken") {
        let unit = manager.unit("web");
        let (process, other) = (Sleep::start(), Sleep::start());
        let before = other.group();
        manager.start(&unit, Some(process.pid()), "{}", &[]).unwrap();
        let error = sentence(&manager.start(&unit, Some(other.pid()), "{}", &[]).unwrap_err());
        assert!(error.starts_with(&format!("start systemd unit {:?}: ", unit.name)), "{error}");
        assert!(error.contains("UnitExists"), "{error}");

        let wrong = [("org.systemd.property.NoSuchThing", "5")];
        let error = sentence(&manager.start(&manager.unit("other"), Some(other.pid()), "{}", &wrong).unwrap_err());
        assert!(error.contains("NoSuchThing"), "{error}");
        assert_eq!(other.group(), before, "a process stays where it was if the unit does not start");
        drop(process);
        manager.systemd.stop(&unit.name).unwrap();
    }
}

#[test]
fn a_slice_can_be_the_container_and_be_shared() {
    for mut manager in Manager::all("slice") {
        let name = manager.slice.replace(".slice", "-pod.slice");
        let unit = Unit::new(Some(&format!("{}::{name}", manager.slice)), "x", manager.is_user).unwrap();
        let group = manager.start(&unit, None, r#"{"pids":{"limit":64}}"#, &[]).unwrap();
        assert!(group.path().ends_with(&name), "{group:?}");
        assert_eq!(manager.show(&name, "ActiveState"), "active");
        assert_eq!(manager.show(&name, "TasksMax"), "64");
        manager.start(&unit, None, "{}", &[]).unwrap();
        manager.systemd.stop(&name).unwrap();
        assert_eq!(manager.show(&name, "ActiveState"), "inactive");
    }
}

#[test]
fn limits_are_in_the_files_too_where_the_controllers_are() {
    for mut manager in Manager::all("files") {
        let unit = manager.unit("web");
        let process = Sleep::start();
        let resources = r#"{"pids":{"limit":64},"unified":{"cgroup.max.depth":"5"}}"#;
        let group = manager.start(&unit, Some(process.pid()), resources, &[]).unwrap();
        let read = |file: &str| std::fs::read_to_string(group.path().join(file)).unwrap();
        if read("cgroup.controllers").contains("pids") {
            group.apply(&plan::writes(&serde_json::from_str(resources).unwrap()).unwrap()).unwrap();
            manager.reload();
            assert_eq!((read("pids.max"), read("cgroup.max.depth")), ("64\n".into(), "5\n".into()));
        } else {
            eprintln!("SKIPPED in part: systemd has no controller \"pids\" here");
        }
        drop(process);
        manager.systemd.stop(&unit.name).unwrap();
    }
}
