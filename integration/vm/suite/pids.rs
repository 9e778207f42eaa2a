//! `linux.resources.pids`.

use crate::group::Group;
use crate::harness::Bundle;

/// Forks until that is refused, and then stays.
const FORK: &str =
    "(for _ in 1 2 3 4 5 6 7 8 9 10 11 12; do sleep 1000 & done) || echo refused >&2; exec sleep infinity";

#[test]
fn a_fork_beyond_the_limit_is_refused() {
    let mut bundle = Bundle::script(FORK);
    bundle.config.set("/linux/resources/pids/limit", 8);
    let (container, said) = bundle.start_until("refused\n");
    assert!(said.contains("can't fork"), "{said}");
    let group = Group::of(&container);
    group.holds(&[("pids.max", "8"), ("pids.peak", "8")]);
    assert!(group.count("pids.events", "max") > 0, "{}", group.read("pids.events"));
}

#[test]
fn exec_is_refused_where_the_limit_is_reached_and_works_when_it_is_raised() {
    let mut bundle = Bundle::staying();
    bundle.config.set("/linux/resources/pids/limit", 1);
    let container = bundle.start();
    let refused = container.exec(["true"]);
    assert!(refused.code != 0 && refused.stderr.contains("resource temporarily unavailable"), "{refused}");
    container.call("update").args(["--pids-limit", "4", &container.id]).ok();
    Group::of(&container).holds(&[("pids.max", "4")]);
    assert_eq!(container.shell("echo in"), "in\n");
}

#[test]
fn zero_lets_the_program_run_and_nothing_more() {
    let mut bundle = Bundle::script(FORK);
    bundle.config.set("/linux/resources/pids/limit", 0);
    let ran = bundle.run();
    assert!(ran.code != 0 && ran.stderr.contains("can't fork"), "{ran}");
    bundle.config.stay();
    let container = bundle.start();
    Group::of(&container).holds(&[("pids.max", "0"), ("pids.current", "1")]);
}

#[test]
fn minus_one_is_no_limit() {
    let mut bundle = Bundle::staying();
    bundle.config.set("/linux/resources/pids/limit", -1);
    Group::of(&bundle.start()).holds(&[("pids.max", "max")]);
}
