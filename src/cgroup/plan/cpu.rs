//! `linux.resources.cpu` → `cpu.weight`, `cpu.idle`, `cpu.max`, `cpu.max.burst`, `cpuset.cpus`, `cpuset.mems`.

use anyhow::{Result, bail};

use super::Write;
use crate::spec::resources::LinuxCpu;

/// The kernel's own period in microseconds, where a quota comes without one.
const DEFAULT_PERIOD: u64 = 100_000;

pub(super) fn writes(cpu: &LinuxCpu) -> Result<Vec<Write>> {
    let mut writes = Vec::new();
    match cpu.idle {
        None => {}
        Some(idle @ (0 | 1)) => writes.push(Write::new("cpu.idle", idle, "linux.resources.cpu.idle")),
        Some(other) => bail!("linux.resources.cpu.idle: {other} is neither 0 nor 1"),
    }
    // An idle group has the least weight there is, and the kernel refuses any other (kernel/sched/fair.c,
    // sched_group_set_shares).
    if let Some(weight) = cpu.shares.and_then(weight_of_shares).filter(|_| cpu.idle != Some(1)) {
        writes.push(Write::new("cpu.weight", weight, "linux.resources.cpu.shares"));
    }
    if let Some((value, field)) = bandwidth(cpu) {
        writes.push(Write::new("cpu.max", value, field));
    }
    if let Some(burst) = cpu.burst {
        writes.push(Write::new("cpu.max.burst", burst, "linux.resources.cpu.burst"));
    }
    for (name, list) in [("cpus", &cpu.cpus), ("mems", &cpu.mems)] {
        if let Some(list) = list.as_deref().filter(|list| !list.is_empty()) {
            writes.push(Write::new(format!("cpuset.{name}"), list, format!("linux.resources.cpu.{name}")));
        }
    }
    Ok(writes)
}

/// `cpu.max` takes quota and period together.
fn bandwidth(cpu: &LinuxCpu) -> Option<(String, &'static str)> {
    let quota = cpu.quota.filter(|quota| *quota != 0);
    let period = cpu.period.filter(|period| *period != 0);
    let field = match (quota, period) {
        (None, None) => return None,
        (None, Some(_)) => "linux.resources.cpu.period",
        _ => "linux.resources.cpu.quota",
    };
    let most = quota.filter(|quota| *quota > 0).map_or_else(|| "max".to_owned(), |quota| quota.to_string());
    Some((format!("{most} {}", period.unwrap_or(DEFAULT_PERIOD)), field))
}

/// The weight (1 to 10000, 100 by default) that stands for shares (2 to 262144, 1024 by default); none for 0, which means
/// "not given".
///
/// The curve goes through the minimum, the default and the maximum of both scales: 10^((l² + 125 l) / 612 − 7/34) with l
/// the binary logarithm of the shares, rounded up. runc and crun have it since 2025; the line that was used before gave
/// the default shares a weight of 39, less than half of what a process outside of containers has.
pub fn weight_of_shares(shares: u64) -> Option<u64> {
    match shares {
        0 => None,
        1..=2 => Some(1),
        262_144.. => Some(10_000),
        _ => {
            let l = (shares as f64).log2();
            let exact = 10f64.powf((l * l + 125.0 * l) / 612.0 - 7.0 / 34.0);
            // What is a whole number on paper may come out a few units in the last place above it.
            Some((exact - 1e-9).ceil() as u64)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::{refusal, table};
    use super::*;

    #[test]
    fn shares_become_weight() {
        for (shares, weight) in [
            (0, None),
            (1, Some(1)),
            (2, Some(1)),
            (3, Some(2)),
            (4, Some(2)),
            (102, Some(17)),
            (512, Some(59)),
            (1024, Some(100)),
            (2048, Some(174)),
            (262_143, Some(10_000)),
            (262_144, Some(10_000)),
            (u64::MAX, Some(10_000)),
        ] {
            assert_eq!(weight_of_shares(shares), weight, "{shares} shares");
        }
    }

    #[test]
    fn more_shares_never_weigh_less() {
        let weights: Vec<_> = (1..=262_144).filter_map(weight_of_shares).collect();
        assert!(weights.is_sorted() && weights.iter().all(|weight| (1..=10_000).contains(weight)));
    }

    #[test]
    fn the_correction_touches_only_whole_numbers() {
        // Between two whole numbers, the nearest that any count of shares comes to one is far above the correction.
        for shares in (3..262_144u32).filter(|shares| *shares != 1024) {
            let l = f64::from(shares).log2();
            let exact = 10f64.powf((l * l + 125.0 * l) / 612.0 - 7.0 / 34.0);
            assert!(exact - exact.floor() > 2e-9, "{shares}: {exact}");
        }
    }

    #[test]
    fn quota_and_period_go_together() {
        for (resources, expected) in [
            (r#"{"cpu":{"quota":50000}}"#, "cpu.max = 50000 100000"),
            (r#"{"cpu":{"quota":5,"period":7}}"#, "cpu.max = 5 7"),
            (r#"{"cpu":{"quota":-1,"period":7}}"#, "cpu.max = max 7"),
            (r#"{"cpu":{"quota":-1}}"#, "cpu.max = max 100000"),
            (r#"{"cpu":{"period":7}}"#, "cpu.max = max 7"),
        ] {
            assert_eq!(table(resources), [expected], "{resources}");
        }
    }

    #[test]
    fn the_burst_comes_after_the_quota_that_it_may_not_exceed() {
        assert_eq!(
            table(r#"{"cpu":{"burst":100,"quota":500,"period":1000}}"#),
            ["cpu.max = 500 1000", "cpu.max.burst = 100"]
        );
        assert_eq!(table(r#"{"cpu":{"burst":0}}"#), ["cpu.max.burst = 0"]);
    }

    #[test]
    fn an_idle_group_has_no_weight() {
        assert_eq!(table(r#"{"cpu":{"idle":1,"shares":2}}"#), ["cpu.idle = 1"]);
        assert_eq!(table(r#"{"cpu":{"idle":0,"shares":2}}"#), ["cpu.idle = 0", "cpu.weight = 1"]);
        assert!(refusal(r#"{"cpu":{"idle":2}}"#).starts_with("linux.resources.cpu.idle: 2 "));
    }

    #[test]
    fn sets_are_written_as_they_stand() {
        assert_eq!(table(r#"{"cpu":{"cpus":"0-2,7","mems":"1"}}"#), ["cpuset.cpus = 0-2,7", "cpuset.mems = 1"]);
    }
}
