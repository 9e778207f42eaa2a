//! `linux.resources.cpu`: quota, period, burst, shares, idle.

use serde_json::json;

use crate::group::Group;
use crate::harness::wait::read_until;
use crate::harness::{Bundle, Container};

/// Uses up one second of processor time, however long that takes, and then says between which moments.
const BURN: &str = "echo burning >&2; from=$(cut -d ' ' -f 1 /proc/uptime); (ulimit -t 1; while :; do :; done) 2>/dev/null || :; \
                    echo from $from to $(cut -d ' ' -f 1 /proc/uptime) burnt >&2; exec sleep infinity";

/// A container that has burnt its second, its group and how many seconds that took.
fn burnt(bundle: &Bundle) -> (Container, Group, f64) {
    let (container, said) = bundle.start_until(" burnt\n");
    let mut moments = said.split(' ').filter_map(|word| word.parse::<f64>().ok());
    let (from, to) = (moments.next().expect("a first moment"), moments.next().expect("a second moment"));
    let group = Group::of(&container);
    (container, group, to - from)
}

/// How much processor time another group uses, and how much this bundle's container, whose group's files hold this, while
/// that one burns its second.
fn used_beside(other: &Group, bundle: &Bundle, files: &[(&str, &str)]) -> (f64, f64) {
    let (reader, writer) = std::io::pipe().expect("make a pipe");
    let ran = bundle.detach_call().arg(&bundle.id).stderr(writer).ok();
    let container = Container::made(bundle, &bundle.id, ran);
    let group = Group::of(&container);
    group.holds(files);
    let used = || [other, &group].map(|group| group.count("cpu.stat", "usage_usec") as f64);
    // Only now: nobody competes while the container is being made.
    let said = read_until(&reader, "burning\n");
    let before = used();
    if !said.contains(" burnt\n") {
        read_until(&reader, " burnt\n");
    }
    let after = used();
    (after[0] - before[0], after[1] - before[1])
}

#[test]
fn processor_time_is_given_in_proportion_to_the_quota() {
    // A virtual processor that the host stops for a while counts that time as used, so a measurement can be wrong; without a
    // limit none is right.
    let wrong: Vec<String> = (0..3).map_while(|_| in_proportion().err()).collect();
    assert!(wrong.len() < 3, "{wrong:#?}");
}

/// Burns a second under two quotas; what is wrong with it, if anything is.
fn in_proportion() -> Result<(), String> {
    let right = |is_so: bool, otherwise: String| if is_so { Ok(()) } else { Err(otherwise) };
    let mut periods = Vec::new();
    for quota in [10_000, 40_000_u32] {
        let mut bundle = Bundle::script(BURN);
        bundle.config.set("/linux/resources/cpu", json!({"quota": quota, "period": 100_000}));
        let (_container, group, seconds) = burnt(&bundle);
        group.holds(&[("cpu.max", &format!("{quota} 100000"))]);
        let used = group.count("cpu.stat", "usage_usec") as f64;
        let passed = group.count("cpu.stat", "nr_periods") as f64;
        let throttled = group.count("cpu.stat", "nr_throttled") as f64;
        right(used > 900_000., format!("the second was not used up: {used} µs"))?;
        // What one period has too much the next ones have too little.
        right(used < (passed + 2.) * f64::from(quota), format!("{used} µs in {passed} periods of {quota} µs"))?;
        right(throttled > 0.7 * passed, format!("throttled in {throttled} of {passed} periods"))?;
        let least = used / f64::from(quota) * 0.1;
        right(seconds > 0.8 * least, format!("{used} µs took {seconds} s, and should {least} s"))?;
        periods.push(passed);
    }
    let ratio = periods[0] / periods[1];
    right((3.0..5.0).contains(&ratio), format!("a quarter of the quota takes {ratio} times the periods: {periods:?}"))
}

#[test]
fn a_quota_without_a_period_and_a_period_without_a_quota() {
    for (cpu, expected) in [
        (json!({"quota": 50_000}), "50000 100000"),
        (json!({"period": 20_000}), "max 20000"),
        (json!({"quota": -1, "period": 20_000}), "max 20000"),
        (json!({"quota": 0, "period": 0}), "max 100000"),
    ] {
        let mut bundle = Bundle::staying();
        bundle.config.set("/linux/resources/cpu", cpu).set("/linux/resources/unified", json!({"cpu.weight": "100"}));
        Group::of(&bundle.start()).holds(&[("cpu.max", expected)]);
    }
}

#[test]
fn unused_quota_may_be_saved_up() {
    let mut bundle = Bundle::staying();
    bundle.config.set("/linux/resources/cpu", json!({"quota": 20_000, "period": 100_000, "burst": 15_000}));
    Group::of(&bundle.start()).holds(&[("cpu.max", "20000 100000"), ("cpu.max.burst", "15000")]);
}

#[test]
fn shares_are_weights_against_each_other() {
    let mut heavy = Bundle::script("while :; do :; done");
    heavy.config.set("/linux/resources/cpu", json!({"shares": 1024, "cpus": "1"}));
    let mut light = Bundle::script(BURN);
    light.config.set("/linux/resources/cpu", json!({"shares": 256, "cpus": "1"}));

    let heavy = heavy.start();
    let heavy_group = Group::of(&heavy);
    heavy_group.holds(&[("cpu.weight", "100")]);
    let (heavy_used, light_used) = used_beside(&heavy_group, &light, &[("cpu.weight", "35")]);
    let ratio = heavy_used / light_used;
    assert!((2.0..4.0).contains(&ratio), "weights 100 and 35 gave {heavy_used} and {light_used} µs");
}

#[test]
fn an_idle_group_runs_when_nobody_else_does() {
    let mut idle = Bundle::script("while :; do :; done");
    idle.config.set("/linux/resources/cpu", json!({"idle": 1, "cpus": "1"}));
    let mut usual = Bundle::script(BURN);
    usual.config.set("/linux/resources/cpu", json!({"cpus": "1"}));

    let idle = idle.start();
    let group = Group::of(&idle);
    group.holds(&[("cpu.idle", "1")]);
    let (idle_used, usual_used) = used_beside(&group, &usual, &[("cpu.idle", "0")]);
    assert!(idle_used * 4. < usual_used, "idle {idle_used} µs, the other {usual_used} µs");
}
