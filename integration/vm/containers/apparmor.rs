//! AppArmor's profile of our own, and others.

use std::fs;

use crate::group::{Group, host};
use crate::harness::Place;

const CURRENT: &str = "cat /proc/self/attr/apparmor/current";

#[test]
fn a_container_has_our_profile_unless_it_asks_for_another() {
    let place = Place::new();
    assert_eq!(place.inside(&[], CURRENT), "corten-default (enforce)\n");
    assert_eq!(place.inside(&["--security-opt", "apparmor=unconfined"], CURRENT), "unconfined\n");
    assert_eq!(place.inside(&["--privileged"], CURRENT), "unconfined\n");
    host(
        "echo 'profile corten-test-own flags=(attach_disconnected,mediate_deleted) { file, capability, network, signal, deny /tmp/no w, }' >/run/own; apparmor_parser --replace /run/own",
    );
    let own =
        place.inside(&["--security-opt", "apparmor=corten-test-own"], &format!("{CURRENT}; (: >/tmp/no) 2>&1 || :"));
    assert!(own.starts_with("corten-test-own (enforce)\n") && own.contains("ermission denied"), "{own}");
    let refusal =
        place.refusal(125, &["run", "--rm", "--network", "none", "--security-opt", "apparmor=nonesuch", "box", "true"]);
    assert!(refusal.contains("nonesuch"), "{refusal}");
    // From outside, and of exec.
    place.detached("web", &[], "exec sleep 1000");
    let pid = place.field("web", ".State.Pid");
    let outside = fs::read_to_string(format!("/proc/{pid}/attr/apparmor/current")).unwrap();
    assert_eq!(outside, "corten-default (enforce)\n");
    assert_eq!(place.field("web", ".AppArmorProfile"), "corten-default");
    let exec = |flags: &[&str]| place.ctn(&[&["exec"], flags, &["web", "sh", "-c", CURRENT]].concat());
    assert_eq!(exec(&[]), "corten-default (enforce)\n");
    assert_eq!(exec(&["--privileged"]), "unconfined\n");
    // Whoever started it can still signal it.
    place.ctn(&["exec", "web", "sh", "-c", "sleep 1000 & kill -KILL $!"]);
    place.ctn(&["kill", "web"]);
    place.ctn(&["rm", "-f", "web"]);
    place.assert_nothing_left();
}

#[test]
fn attacks_that_other_walls_let_through_are_refused() {
    let place = Place::new();
    // Every other wall is taken out.
    let open = ["--cap-add", "ALL", "--security-opt", "seccomp=unconfined", "--security-opt", "systempaths=unconfined"];
    let with = |more: &[&str], script: &str| place.inside(&[&open[..], more].concat(), script);
    for (attack, script) in [
        ("a mount", "mount -t tmpfs none /tmp 2>&1 && echo done"),
        ("a remount", "mount -o remount,rw /sys/fs/cgroup 2>&1 && echo done"),
        // Help, which changes nothing.
        ("sysrq", "(echo h >/proc/sysrq-trigger) 2>&1 && echo done"),
        (
            "the program for cores",
            "(cat /proc/sys/kernel/core_pattern >/tmp/x && cat /tmp/x >/proc/sys/kernel/core_pattern) 2>&1 && echo done",
        ),
        (
            "the kernel's modules",
            "(cat /proc/sys/kernel/modprobe >/tmp/x && cat /tmp/x >/proc/sys/kernel/modprobe) 2>&1 && echo done",
        ),
        (
            "the program at power-off",
            "(cat /proc/sys/kernel/poweroff_cmd >/tmp/x && cat /tmp/x >/proc/sys/kernel/poweroff_cmd) 2>&1 && echo done",
        ),
        (
            "the most mounts of all namespaces",
            "(cat /proc/sys/fs/mount-max >/tmp/x && cat /tmp/x >/proc/sys/fs/mount-max) 2>&1 && echo done",
        ),
        ("when the kernel says that it waits", "(echo 'some 150000 1000000' >/proc/pressure/memory) 2>&1 && echo done"),
    ] {
        let confined = with(&[], &format!("{script} || :"));
        assert!(
            confined.to_lowercase().contains("permission denied") && !confined.contains("done"),
            "{attack}: {confined}"
        );
        let free = with(&["--security-opt", "apparmor=unconfined"], &format!("{script} || :"));
        assert!(free.contains("done"), "{attack} is none without the profile: {free}");
    }
}

#[test]
fn what_is_a_containers_own_it_may_set() {
    let place = Place::new();
    let open = ["--cap-add", "ALL", "--security-opt", "systempaths=unconfined"];
    for own in ["net/ipv4/ip_forward", "kernel/msgmax", "kernel/sem", "kernel/shmmax", "fs/mqueue/msg_max"] {
        let script = format!("cat /proc/sys/{own} >/tmp/x && cat /tmp/x >/proc/sys/{own} && echo done");
        assert_eq!(place.inside(&open, &script), "done\n", "{own}");
    }
}

/// A machine that tells of its power shows it there; this one is made up, for virtual ones don't.
#[test]
fn what_the_machine_draws_is_not_read() {
    let place = Place::new();
    let energy = place.join("sys/devices/virtual/powercap/intel-rapl");
    fs::create_dir_all(&energy).unwrap();
    fs::write(energy.join("energy_uj"), "1\n").unwrap();
    fs::write(place.join("sys/devices/virtual/other"), "2\n").unwrap();
    let volume = format!("{}:/sys", place.join("sys").display());
    let open = ["-v", &volume, "--security-opt", "systempaths=unconfined"];
    let script = "cd /sys/devices/virtual; cat other powercap/intel-rapl/energy_uj 2>&1 || :";
    let confined = place.inside(&open, script);
    assert!(confined.starts_with("2\n") && confined.contains("ermission denied"), "{confined}");
    let free = place.inside(&[&open[..], &["--security-opt", "apparmor=unconfined"]].concat(), script);
    assert_eq!(free, "2\n1\n");
}

/// There is no SELinux beside AppArmor.
#[test]
fn a_label_that_nobody_looks_at_is_told_of() {
    let place = Place::new();
    let flags = ["run", "--rm", "--network", "none", "--security-opt", "label=type:some_t", "box", "echo", "ran"];
    let (code, output, errors) = place.outcome(&flags);
    let warning = "Warning: this machine has no SELinux: the label system_u:system_r:some_t:s0 is discarded\n";
    assert_eq!((code, output.as_str(), errors.as_str()), (Some(0), "ran\n", warning));
}

#[test]
fn a_profile_that_was_removed_is_loaded_again() {
    let place = Place::new();
    place.inside(&[], "true");
    host("printf 'profile corten-default {}' | apparmor_parser --remove");
    assert!(!fs::read_to_string("/sys/kernel/security/apparmor/profiles").unwrap().contains("corten-default"));
    assert_eq!(place.inside(&[], CURRENT), "corten-default (enforce)\n");
    // The monitor itself is not confined.
    place.detached("web", &[], "exec sleep 1000");
    let monitor = place.monitor_of("web");
    assert_eq!(fs::read_to_string(format!("/proc/{monitor}/attr/apparmor/current")).unwrap(), "unconfined\n");
    assert!(Group::of(&place, "web").0.exists());
}
