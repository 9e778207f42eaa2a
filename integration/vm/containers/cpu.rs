//! `--cpus`, `--cpu-shares`, `--cpuset-cpus`, `--cpuset-mems`.

use crate::group::{Group, said, scope};
use crate::harness::Place;

/// Uses up one second of processor time, however long that takes, and says so.
const BURN: &str = "(ulimit -t 1; while :; do :; done) 2>/dev/null || :; echo burnt; exec sleep 1000";

#[test]
fn a_part_of_a_processor_is_no_more() {
    let place = Place::new();
    place.detached("slow", &["--cpus", "0.2"], BURN);
    let group = Group::of(&place, "slow");
    group.holds(&[("cpu.max", "20000 100000")]);
    said(&place, "slow", "burnt\n");
    let (used, passed) = (group.count("cpu.stat", "usage_usec"), group.count("cpu.stat", "nr_periods"));
    assert!(used > 900_000, "the second was not used up: {used} µs");
    // What one period has too much the next ones have too little.
    assert!(used < (passed + 10) * 20_000, "{used} µs in {passed} periods of 20000 µs");
    assert!(group.count("cpu.stat", "nr_throttled") > 20, "{}", group.read("cpu.stat"));
}

#[test]
fn a_quota_and_its_period() {
    let place = Place::new();
    place.detached("quota", &["--cpu-quota", "10000", "--cpu-period", "50000"], "exec sleep 1000");
    Group::of(&place, "quota").holds(&[("cpu.max", "10000 50000")]);
}

#[test]
fn shares_are_weights_against_each_other() {
    let place = Place::new();
    let forever = "while :; do :; done";
    place.detached("heavy", &["--cpu-shares", "1024", "--cpuset-cpus", "1"], forever);
    place.detached("light", &["--cpu-shares", "256", "--cpuset-cpus", "1"], BURN);
    let (heavy, light) = (Group::of(&place, "heavy"), Group::of(&place, "light"));
    let used = || [&heavy, &light].map(|group| group.count("cpu.stat", "usage_usec") as f64);
    // Weights stand against each other where groups are beside each other, and that the scopes are.
    for (group, weight) in [(&heavy, "100"), (&light, "35")] {
        group.holds(&[("cpu.weight", weight)]);
        scope(group).holds(&[("cpu.weight", weight)]);
    }
    let before = used();
    said(&place, "light", "burnt\n");
    let after = used();
    let ratio = (after[0] - before[0]) / (after[1] - before[1]);
    assert!((1.8..4.5).contains(&ratio), "weights 100 and 35 gave {before:?} to {after:?}: {ratio}");
}

#[test]
fn only_these_processors_and_memory_nodes() {
    let place = Place::new();
    let script = "grep -E '^(Cpus|Mems)_allowed_list' /proc/self/status; exec sleep 1000";
    place.detached("pinned", &["--cpuset-cpus", "1", "--cpuset-mems", "0"], script);
    let all = said(&place, "pinned", "Mems");
    assert_eq!(all.split_whitespace().collect::<Vec<_>>(), ["Cpus_allowed_list:", "1", "Mems_allowed_list:", "0"]);
    Group::of(&place, "pinned").holds(&[("cpuset.cpus", "1"), ("cpuset.mems", "0")]);
    let refusal = place.refusal(125, &["run", "--network", "none", "--cpuset-cpus", "77", "box", "true"]);
    assert!(refusal.contains("cpuset.cpus"), "{refusal}");
}
