//! `update` of what runs, and `pause`.

use crate::group::{Group, host, said, scope};
use crate::harness::{Place, until};

#[test]
fn limits_change_in_flight() {
    let place = Place::new();
    place.detached(
        "web",
        &["-m", "32m", "--cpus", "0.5", "--pids-limit", "20", "--cpu-shares", "512"],
        "exec sleep 1000",
    );
    let group = Group::of(&place, "web");
    group.holds(&[("memory.max", "33554432"), ("cpu.max", "50000 100000"), ("pids.max", "20")]);
    let update = |flags: &[&str]| place.ctn(&[&["update"], flags, &["web"]].concat());
    update(&["-m", "64m", "--memory-swap", "96m", "--memory-reservation", "16m"]);
    group.holds(&[("memory.max", "67108864"), ("memory.swap.max", "33554432"), ("memory.low", "16777216")]);
    update(&["--cpus", "1.5", "--cpu-shares", "2048"]);
    group.holds(&[("cpu.max", "150000 100000"), ("pids.max", "20")]);
    let weight = group.read("cpu.weight");
    assert!(weight.parse::<u32>().unwrap() > 100, "{weight}");
    scope(&group).holds(&[("cpu.weight", &weight), ("memory.low", "16777216")]);
    update(&["--pids-limit", "1"]);
    group.holds(&[("pids.max", "1"), ("memory.max", "67108864")]);
    let (code, _, errors) = place.outcome(&["exec", "web", "true"]);
    assert!(code != Some(0) && errors.contains("resource temporarily unavailable"), "{errors}");
    update(&["--pids-limit", "-1", "--cpuset-cpus", "0", "--blkio-weight", "300"]);
    group.holds(&[("pids.max", "max"), ("cpuset.cpus", "0")]);
    let inside = place.ctn(&["exec", "web", "grep", "Cpus_allowed_list", "/proc/self/status"]);
    assert_eq!(inside.split_whitespace().last(), Some("0"));
    assert_eq!(place.field("web", ".HostConfig.Memory"), "67108864");
    // systemd writes again what it knows, and it knows the new shares.
    host("systemctl daemon-reload");
    scope(&group).holds(&[("cpu.weight", &weight)]);
    // The same at the next start.
    place.ctn(&["restart", "-t", "0", "web"]);
    let group = Group::of(&place, "web");
    group.holds(&[("memory.max", "67108864"), ("cpu.max", "150000 100000"), ("pids.max", "max"), ("cpuset.cpus", "0")]);
    place.ctn(&["rm", "-f", "web"]);
    place.assert_nothing_left();
}

#[test]
fn a_limit_below_what_is_used_kills() {
    let place = Place::new();
    // 24 MiB that stay used.
    place.detached(
        "full",
        &["-m", "64m", "--memory-swap", "64m", "--tmpfs", "/full"],
        "dd if=/dev/zero of=/full/file bs=1M count=24 2>/dev/null; echo full; exec sleep 1000",
    );
    said(&place, "full", "full\n");
    let group = Group::of(&place, "full");
    assert!(group.number("memory.current") > 24 << 20, "{}", group.read("memory.current"));
    place.call(&["update", "-m", "8m", "--memory-swap", "8m", "full"]);
    place.until_field("full", ".State.Status", "exited");
    assert_eq!(place.field("full", ".State.ExitCode"), "137");
    assert_eq!(place.field("full", ".State.OOMKilled"), "true");
}

#[test]
fn what_is_paused_stands_still() {
    let place = Place::new();
    place.detached("ticks", &[], "while :; do :; done");
    let group = Group::of(&place, "ticks");
    let used = || group.count("cpu.stat", "usage_usec");
    until("it ticks", || used() > 50_000);
    place.ctn(&["pause", "ticks"]);
    group.holds(&[("cgroup.freeze", "1")]);
    assert_eq!(group.count("cgroup.events", "frozen"), 1);
    let before = used();
    // Other work is done meanwhile.
    place.ctn(&["ps"]);
    assert!(used() - before < 10_000, "{before} to {}", used());
    place.ctn(&["unpause", "ticks"]);
    group.holds(&[("cgroup.freeze", "0")]);
    until("it ticks again", || used() > before + 50_000);
    let events =
        place.ctn(&["events", "--since", "1h", "--until", "0s", "--format", "{{.Action}}", "-f", "container=ticks"]);
    assert!(events.contains("pause\nunpause\n"), "{events}");
}
