//! Where containers and their monitors are: in scopes that systemd made, whoever has started them.

use std::path::{Path, PathBuf};

use crate::group::{Group, MOUNT_POINT, host, said};
use crate::harness::{Place, ctn, until};

/// What of the group is below the mount point.
fn below(group: &Group) -> &Path {
    group.0.strip_prefix(MOUNT_POINT).unwrap()
}

fn monitor(place: &Place, name: &str) -> Group {
    Group::of_process(&place.monitor_of(name).to_string())
}

fn scope_of(id: &str) -> PathBuf {
    Path::new(MOUNT_POINT).join(format!("system.slice/corten-{id}.scope"))
}

/// systemd removes a scope when it hears that the last process has ended.
fn until_gone(scope: &Path) {
    until(&format!("{} is gone", scope.display()), || !scope.exists());
}

#[test]
fn a_container_and_its_monitor_have_a_scope() {
    let place = Place::new();
    let id = place.detached("web", &["-m", "32m"], "exec sleep 1000");
    let scope = format!("system.slice/corten-{id}.scope");
    let container = Group::of(&place, "web");
    assert_eq!(below(&container), Path::new(&scope).join("container"));
    assert_eq!(below(&monitor(&place, "web")), Path::new(&scope).join("monitor"));
    // The limit is the container's alone.
    container.holds(&[("memory.max", "33554432")]);
    Group(scope_of(&id)).holds(&[("memory.max", "max")]);
    let unit = format!("corten-{id}.scope");
    let shown = host(&format!("systemctl show -p ActiveState,Description,Delegate,KillSignal {unit}"));
    assert!(shown.contains("ActiveState=active") && shown.contains("Description=container web"), "{shown}");
    assert!(shown.contains("Delegate=yes") && shown.contains("KillSignal=18"), "{shown}");
    assert_eq!(place.ctn(&["info", "--format", "{{.CgroupDriver}} {{.CgroupVersion}}"]), "systemd 2\n");
    // From inside, the container's group is the top.
    assert_eq!(place.ctn(&["exec", "web", "cat", "/proc/self/cgroup"]), "0::/\n");
    // systemd writes everything that it knows again.
    host("systemctl daemon-reload");
    container.holds(&[("memory.max", "33554432")]);
    assert_eq!(place.field("web", ".State.Running"), "true");
    place.ctn(&["rm", "-f", "web"]);
    until_gone(&scope_of(&id));
    place.assert_nothing_left();
}

#[test]
fn one_that_is_started_again_at_once_gets_its_scope_again() {
    let place = Place::new();
    let id = place.detached("web", &[], "exec sleep 1000");
    for _ in 0..10 {
        place.ctn(&["kill", "web"]);
        place.ctn(&["wait", "web"]);
        place.ctn(&["start", "web"]);
        assert!(Group::of(&place, "web").0.starts_with(scope_of(&id)));
    }
    place.ctn(&["rm", "-f", "web"]);
    until_gone(&scope_of(&id));
    place.detached("always", &["--restart", "on-failure:3"], "exit 1");
    place.until_field("always", ".State.Status", "exited");
    assert_eq!(place.field("always", ".RestartCount"), "3");
    place.ctn(&["rm", "always"]);
    place.assert_nothing_left();
}

#[test]
fn the_end_of_a_service_that_started_one_is_not_its_own() {
    let place = Place::new();
    let start = |name: &str| {
        format!(
            "CTN_ROOT={} {} run -d --name {name} --network none box sh -c 'while :; do echo alive; sleep 0.1; done'",
            place.store().display(),
            ctn().display()
        )
    };
    // One that stays, and is stopped; and one that ends by itself, which ends what is left in its group.
    let line = format!("{}; echo started; exec sleep 1000", start("stopped"));
    host(&format!("systemd-run --quiet --unit starter sh -c {}", quoted(&line)));
    until("it runs", || {
        place.outcome(&["inspect", "stopped"]).0 == Some(0) && place.field("stopped", ".State.Running") == "true"
    });
    host("systemctl stop starter");
    host(&format!("systemd-run --quiet --wait --unit ended sh -c {}", quoted(&start("ended"))));
    for name in ["stopped", "ended"] {
        assert_eq!(place.field(name, ".State.Running"), "true", "{name}");
        // Its monitor lives, too: what the container says now comes into the log.
        let lines = || place.ctn(&["logs", name]).lines().count();
        let before = lines();
        until("it goes on", || lines() > before + 2);
        assert_eq!(place.ctn(&["exec", name, "echo", "in"]), "in\n");
        place.ctn(&["rm", "-f", name]);
    }
    place.assert_nothing_left();
}

/// One word of a shell.
fn quoted(line: &str) -> String {
    format!("'{}'", line.replace('\'', "'\\''"))
}

#[test]
fn systemd_stops_a_container_as_it_wants_to_be_stopped() {
    let place = Place::new();
    let script = "trap 'echo told; exit 7' USR1; echo ready; while :; do sleep 0.05; done";
    let id = place.detached("web", &["--stop-signal", "USR1", "--restart", "always"], script);
    said(&place, "web", "ready\n");
    host(&format!("systemctl stop corten-{id}.scope"));
    assert!(!scope_of(&id).exists());
    assert_eq!(place.field("web", ".State.Status"), "exited");
    assert_eq!(place.field("web", ".State.ExitCode"), "7");
    assert!(place.ctn(&["logs", "web"]).ends_with("told\n"));
    place.ctn(&["rm", "web"]);
    place.assert_nothing_left();
}

#[test]
fn others_may_have_a_monitor_go_on() {
    let place = Place::new();
    let script = "trap 'echo told' USR1; trap 'echo again' USR2; echo ready; while :; do sleep 0.05; done";
    let id = place.detached("web", &["--stop-signal", "USR1"], script);
    said(&place, "web", "ready\n");
    let monitor = place.monitor_of("web");
    host(&format!("kill -STOP {monitor}; kill -CONT {monitor}; kill -CONT {monitor}"));
    // It takes signals in their order, by number: what comes of this one came of those before.
    place.ctn(&["kill", "-s", "USR2", "web"]);
    said(&place, "web", "ready\nagain\n");
    assert_eq!(place.field("web", ".State.Running"), "true");
    host(&format!("kill -CONT {monitor}"));
    // What systemd passes on comes from systemd.
    host(&format!("systemctl kill -s CONT corten-{id}.scope"));
    place.ctn(&["kill", "-s", "USR2", "web"]);
    said(&place, "web", "ready\nagain\nagain\n");
    assert_eq!(place.field("web", ".State.Running"), "true");
    // And systemd's word still has its meaning.
    host(&format!("systemctl stop --no-block corten-{id}.scope"));
    said(&place, "web", "ready\nagain\nagain\ntold\n");
    place.ctn(&["rm", "-f", "web"]);
    place.assert_nothing_left();
}

#[test]
fn a_killed_monitor_leaves_no_scope() {
    let place = Place::new();
    let id = place.detached("web", &[], "exec sleep 1000");
    crate::harness::kill(place.monitor_of("web"));
    assert_eq!(place.field("web", ".State.Status"), "exited");
    until_gone(&scope_of(&id));
    place.ctn(&["start", "web"]);
    assert_eq!(place.field("web", ".State.Running"), "true");
    place.ctn(&["rm", "-f", "web"]);
    until_gone(&scope_of(&id));
    place.assert_nothing_left();
}

#[test]
fn a_parent_is_a_slice_or_a_path() {
    let place = Place::new();
    let id = place.detached("sliced", &["--cgroup-parent", "corten-tests.slice", "-m", "32m"], "exec sleep 1000");
    let container = Group::of(&place, "sliced");
    let expected = format!("corten.slice/corten-tests.slice/corten-{id}.scope/container");
    assert_eq!(below(&container), Path::new(&expected));
    container.holds(&[("memory.max", "33554432")]);
    // What is said of the slice holds for all that is in it.
    host("systemctl set-property --runtime corten-tests.slice TasksMax=40");
    assert_eq!(Group(container.0.ancestors().nth(2).unwrap().into()).read("pids.max"), "40");
    place.ctn(&["rm", "-f", "sliced"]);

    let id = place.detached("pathed", &["--cgroup-parent", "/pods/one", "--pids-limit", "9"], "exec sleep 1000");
    let container = Group::of(&place, "pathed");
    assert_eq!(below(&container), Path::new("pods/one").join(&id));
    container.holds(&[("pids.max", "9")]);
    assert_eq!(below(&monitor(&place, "pathed")), Path::new("pods/one/monitors"));
    place.ctn(&["rm", "-f", "pathed"]);
    assert!(!container.0.exists());
    until("the monitor is gone", || {
        Group(Path::new(MOUNT_POINT).join("pods/one/monitors")).read("cgroup.procs").is_empty()
    });
    host("rmdir /sys/fs/cgroup/pods/one/monitors /sys/fs/cgroup/pods/one /sys/fs/cgroup/pods");

    let refusal = place.refusal(125, &["run", "--cgroup-parent", "a--b.slice", "--network", "none", "box", "true"]);
    assert!(refusal.contains("--cgroup-parent \"a--b.slice\""), "{refusal}");
    place.assert_nothing_left();
}
