//! `--memory`, `--memory-swap`, `--memory-reservation`, and what is said when there is no more.

use std::io::BufRead;

use crate::group::{Group, said, scope};
use crate::harness::Place;

/// A shell function that uses so much memory at once, for a moment, and says in which way that went.
const USE: &str = "use() { dd if=/dev/urandom of=/dev/null bs=$1 count=1 iflag=fullblock 2>/dev/null && echo $1 fits || echo $1 ended with $?; }; ";

#[test]
fn a_program_that_exceeds_the_limit_is_killed_and_the_rest_lives_on() {
    let place = Place::new();
    let flags = ["-m", "32m", "--memory-swap", "32m", "--memory-reservation", "8m"];
    place.detached("tight", &flags, &format!("{USE} use 16M; use 64M; echo done; exec sleep 1000"));
    let all = said(&place, "tight", "done\n");
    assert_eq!(all, "16M fits\n64M ended with 137\ndone\n");
    let group = Group::of(&place, "tight");
    // The kernel protects no more than what the groups above are granted.
    scope(&group).holds(&[("memory.low", "8388608"), ("memory.max", "max")]);
    group.holds(&[("memory.max", "33554432"), ("memory.swap.max", "0"), ("memory.low", "8388608")]);
    assert_eq!(group.count("memory.events", "oom_kill"), 1);
    assert!(group.number("memory.peak") <= 32 << 20, "{}", group.read("memory.peak"));
    // It is known while the container runs.
    place.until_field("tight", ".State.OOMKilled", "true");
    assert_eq!(place.field("tight", ".State.Status"), "running");
    place.ctn(&["rm", "-f", "tight"]);
    place.assert_nothing_left();
}

#[test]
fn a_container_whose_program_is_killed_ends_with_137_and_says_why() {
    let place = Place::new();
    let big = ["dd", "if=/dev/urandom", "of=/dev/null", "bs=64M", "count=1", "iflag=fullblock"];
    let flags = ["run", "--name", "big", "--network", "none", "-m", "32m", "--memory-swap", "32m", "box"];
    assert_eq!(place.outcome(&[&flags[..], &big].concat()).0, Some(137));
    assert_eq!(place.field("big", ".State.OOMKilled"), "true");
    assert_eq!(place.field("big", ".State.ExitCode"), "137");
    let events =
        place.ctn(&["events", "--since", "1h", "--until", "0s", "--format", "{{.Action}}", "-f", "container=big"]);
    let events: Vec<&str> = events.lines().collect();
    let at = |action: &str| events.iter().position(|event| *event == action).unwrap_or_else(|| panic!("{events:?}"));
    assert!(at("start") < at("oom") && at("oom") < at("die"), "{events:?}");
    // The next run begins without it.
    place.detached("small", &["-m", "32m"], "sleep 1000");
    assert_eq!(place.field("small", ".State.OOMKilled"), "false");
    place.ctn(&["kill", "small"]);
    place.until_field("small", ".State.Status", "exited");
    assert_eq!(place.field("small", ".State.ExitCode"), "137");
    assert_eq!(place.field("small", ".State.OOMKilled"), "false", "killed by somebody");
}

#[test]
fn a_container_that_is_started_again_is_watched_again() {
    let place = Place::new();
    let script = "dd if=/dev/urandom of=/dev/null bs=64M count=1 iflag=fullblock 2>/dev/null; exit 1";
    place.detached("again", &["-m", "32m", "--memory-swap", "32m", "--restart", "on-failure:2"], script);
    place.until_field("again", ".State.Status", "exited");
    let events =
        place.ctn(&["events", "--since", "1h", "--until", "0s", "--format", "{{.Action}}", "-f", "container=again"]);
    assert_eq!(events.lines().filter(|event| *event == "oom").count(), 3, "{events}");
}

#[test]
fn an_oom_event_is_told_while_it_happens() {
    let place = Place::new();
    place.detached("later", &["-m", "32m", "--memory-swap", "32m"], "exec sleep 1000");
    let since = place.ctn(&["exec", "later", "date", "+%s"]);
    let mut events = place.spawn(&["events", "--since", since.trim(), "--format", "{{.Action}}"]);
    let killed = place.outcome(&[
        "exec",
        "later",
        "dd",
        "if=/dev/urandom",
        "of=/dev/null",
        "bs=64M",
        "count=1",
        "iflag=fullblock",
    ]);
    assert_eq!(killed.0, Some(137), "{killed:?}");
    let mut lines = std::io::BufReader::new(events.stdout.take().unwrap()).lines();
    assert!(lines.any(|line| line.unwrap() == "oom"));
    events.kill().unwrap();
    events.wait().unwrap();
}

#[test]
fn swap_is_as_much_as_memory_unless_it_is_said() {
    let place = Place::new();
    for (flags, memory, swap) in [
        (&["-m", "32m"][..], "33554432", "33554432"),
        (&["-m", "32m", "--memory-swap", "128m"], "33554432", "100663296"),
        (&["-m", "32m", "--memory-swap", "-1"], "33554432", "max"),
    ] {
        place.detached("swapping", flags, "exec sleep 1000");
        Group::of(&place, "swapping").holds(&[("memory.max", memory), ("memory.swap.max", swap)]);
        place.ctn(&["rm", "-f", "swapping"]);
    }
    place.detached("free", &["--memory-reservation", "16m"], "exec sleep 1000");
    Group::of(&place, "free").holds(&[("memory.max", "max"), ("memory.low", "16777216")]);
}

#[test]
fn what_this_kernel_has_not_is_discarded_with_a_word() {
    let place = Place::new();
    let flags =
        ["run", "-d", "--name", "odd", "--network", "none", "-m", "32m", "--oom-kill-disable", "box", "sleep", "1000"];
    let (code, _, errors) = place.outcome(&flags);
    assert_eq!(code, Some(0), "{errors}");
    assert!(errors.contains("OomKillDisable discarded"), "{errors}");
    assert_eq!(place.field("odd", ".State.Running"), "true");
    Group::of(&place, "odd").holds(&[("memory.max", "33554432")]);
}
