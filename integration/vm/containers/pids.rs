//! `--pids-limit`.

use crate::group::{Group, said};
use crate::harness::Place;

#[test]
fn a_fork_beyond_the_limit_is_refused() {
    let place = Place::new();
    let script =
        "(for _ in 1 2 3 4 5 6 7 8 9 10 11 12; do sleep 1000 & done) || echo refused >&2; echo tried; exec sleep 1000";
    place.detached("forks", &["--pids-limit", "8"], script);
    let all = said(&place, "forks", "refused\n");
    assert!(all.contains("can't fork"), "{all}");
    let group = Group::of(&place, "forks");
    group.holds(&[("pids.max", "8"), ("pids.peak", "8")]);
    assert!(group.count("pids.events", "max") > 0, "{}", group.read("pids.events"));
    // The monitor is not one of them: it does its work.
    assert_eq!(place.field("forks", ".State.Running"), "true");
    place.detached("free", &["--pids-limit", "-1"], "exec sleep 1000");
    Group::of(&place, "free").holds(&[("pids.max", "max")]);
}
