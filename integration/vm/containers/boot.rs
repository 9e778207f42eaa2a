//! What comes after the machine's start: the containers whose restart policy says so.

use std::fs;

use crate::group::{Group, host};
use crate::harness::{Place, ctn, kill, until};

/// The unit that `make install` installs, of this place and program.
fn install(place: &Place) {
    let unit = fs::read_to_string("/payload/ctn-restart.service").unwrap();
    let program = ctn();
    let unit = unit.replace("@bindir@/ctn", program.to_str().unwrap());
    let unit = unit.replace("[Service]", &format!("[Service]\nEnvironment=CTN_ROOT={}", place.store().display()));
    fs::write("/run/systemd/system/ctn-restart.service", unit).unwrap();
    host("systemctl daemon-reload");
}

/// What a machine that lost its power leaves: files below the root, and nothing else.
fn lose_power(place: &Place, names: &[&str]) {
    let groups: Vec<Group> = names.iter().map(|name| Group::of(place, name)).collect();
    let monitors: Vec<i32> = names.iter().map(|name| place.monitor_of(name)).collect();
    monitors.into_iter().for_each(kill);
    for group in groups {
        let _ = fs::write(group.0.join("cgroup.kill"), "1");
        let scope = group.0.parent().unwrap().to_owned();
        // Nobody waits for what is killed but the first process of all.
        until("the scope is gone", || {
            let _ = fs::remove_dir(&group.0);
            !scope.exists()
        });
    }
    let store = place.store();
    let points = format!("cut -d ' ' -f 2 /proc/mounts | grep '^{}' || :", store.display());
    host(&format!("for point in $({points}); do umount -l $point; done"));
    fs::remove_dir_all(place.run().unwrap()).unwrap();
}

#[test]
fn what_is_to_run_runs_after_the_machines_start() {
    let place = Place::new();
    install(&place);
    let stay = "exec sleep 1000";
    for (name, policy) in [
        ("always", "always"),
        ("stopped-always", "always"),
        ("unless", "unless-stopped"),
        ("stopped-unless", "unless-stopped"),
        ("failing", "on-failure"),
        ("once", "no"),
    ] {
        place.detached(name, &["--restart", policy], stay);
    }
    place.detached("guest", &["--restart", "always", "--pid", "container:always"], stay);
    place.ctn(&["create", "--name", "never", "--restart", "always", "--network", "none", "box", "sleep", "1000"]);
    place.ctn(&["stop", "-t", "0", "stopped-always", "stopped-unless"]);
    lose_power(&place, &["guest", "always", "unless", "failing", "once"]);

    host("systemctl start ctn-restart.service");
    let up = place.ctn(&["ps", "--format", "{{.Names}}"]);
    let mut up: Vec<&str> = up.lines().collect();
    up.sort_unstable();
    assert_eq!(up, ["always", "guest", "stopped-always", "unless"]);
    assert_eq!(place.field("never", ".State.Status"), "created");
    assert_eq!(place.field("once", ".State.Status"), "exited");
    // They are not of the service: it can be stopped, and a second start changes nothing.
    let pid = place.field("always", ".State.Pid");
    host("systemctl restart ctn-restart.service; systemctl stop ctn-restart.service");
    assert_eq!(place.field("always", ".State.Pid"), pid);
    assert_eq!(place.ctn(&["exec", "always", "echo", "in"]), "in\n");
}

#[test]
fn what_the_machine_stopped_is_not_what_somebody_stopped() {
    let place = Place::new();
    install(&place);
    let id =
        place.detached("unless", &["--restart", "unless-stopped"], "trap 'exit 0' TERM; while :; do sleep 0.05; done");
    // As at a shutdown: systemd stops the scope.
    host(&format!("systemctl stop corten-{id}.scope"));
    assert_eq!(place.field("unless", ".State.Status"), "exited");
    assert_eq!(place.field("unless", ".State.ExitCode"), "0");
    host("systemctl start ctn-restart.service");
    assert_eq!(place.field("unless", ".State.Status"), "running");
    place.ctn(&["stop", "unless"]);
    host("systemctl restart ctn-restart.service; systemctl stop ctn-restart.service");
    assert_eq!(place.field("unless", ".State.Status"), "exited");
}

#[test]
fn what_cant_be_started_fails_the_service_and_keeps_nobody_else() {
    let place = Place::new();
    install(&place);
    let source = place.join("source");
    fs::create_dir(&source).unwrap();
    let mount = format!("type=bind,source={},target=/mnt", source.display());
    place.detached("broken", &["--restart", "always", "--mount", &mount], "exec sleep 1000");
    place.detached("whole", &["--restart", "always"], "exec sleep 1000");
    lose_power(&place, &["broken", "whole"]);
    fs::remove_dir(&source).unwrap();
    let said = host(
        "systemctl start ctn-restart.service && echo well || journalctl --sync; journalctl -u ctn-restart.service",
    );
    assert!(!said.starts_with("well") && said.contains("broken: "), "{said}");
    assert_eq!(place.field("whole", ".State.Status"), "running");
    host("systemctl reset-failed ctn-restart.service");
}
