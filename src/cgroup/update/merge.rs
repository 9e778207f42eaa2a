//! Old and new `linux.resources` in one.

use crate::spec::resources::{LinuxBlockIo, LinuxCpu, LinuxMemory, LinuxPids, LinuxResources};

/// What holds after a change: everything it gives replaces what was there, the rest stays. Lists are merged by their keys
/// (device, page size, name). Devices stay, since a device program is not changed.
pub fn merge(stored: &LinuxResources, change: &LinuxResources) -> LinuxResources {
    LinuxResources {
        devices: stored.devices.clone(),
        memory: both(&stored.memory, &change.memory, memory),
        cpu: both(&stored.cpu, &change.cpu, cpu),
        pids: both(&stored.pids, &change.pids, |old, new| LinuxPids { limit: new.limit.or(old.limit) }),
        block_io: both(&stored.block_io, &change.block_io, block_io),
        hugepage_limits: lists(&stored.hugepage_limits, &change.hugepage_limits, |limit| limit.page_size.clone()),
        network: change.network.clone().or_else(|| stored.network.clone()),
        rdma: both(&stored.rdma, &change.rdma, extended),
        unified: both(&stored.unified, &change.unified, extended),
    }
}

/// The change together with what the kernel's files take only together with it: quota and period, and the limit that swap
/// is counted from.
pub(in crate::cgroup) fn with_partners(stored: &LinuxResources, change: &LinuxResources) -> LinuxResources {
    let mut all = change.clone();
    if let (Some(new), Some(old)) = (&mut all.cpu, &stored.cpu)
        && (given(new.quota).is_some() || given(new.period).is_some())
    {
        new.quota = given(new.quota).or(old.quota);
        new.period = given(new.period).or(old.period);
    }
    if let (Some(new), Some(old)) = (&mut all.memory, &stored.memory)
        && (given(new.limit).is_some() || given(new.swap).is_some())
    {
        *new = LinuxMemory { reservation: new.reservation, ..memory(old, new) };
    }
    all
}

/// 0 is how engines say that a number is not given.
fn given<N: PartialEq + Default>(number: Option<N>) -> Option<N> {
    number.filter(|number| *number != N::default())
}

fn memory(old: &LinuxMemory, new: &LinuxMemory) -> LinuxMemory {
    let limit = given(new.limit).or(old.limit);
    // Without a limit on memory there is nothing to count swap from any more, and none is meant.
    let old_swap = if new.limit == Some(-1) { Some(-1) } else { old.swap };
    LinuxMemory {
        limit,
        swap: given(new.swap).or(old_swap),
        reservation: given(new.reservation).or(old.reservation),
        kernel: new.kernel.or(old.kernel),
        kernel_tcp: new.kernel_tcp.or(old.kernel_tcp),
        swappiness: new.swappiness.or(old.swappiness),
        disable_oom_killer: new.disable_oom_killer.or(old.disable_oom_killer),
        use_hierarchy: new.use_hierarchy.or(old.use_hierarchy),
        check_before_update: new.check_before_update.or(old.check_before_update),
    }
}

fn cpu(old: &LinuxCpu, new: &LinuxCpu) -> LinuxCpu {
    let list = |new: &Option<String>, old: &Option<String>| {
        new.clone().filter(|list| !list.is_empty()).or_else(|| old.clone())
    };
    LinuxCpu {
        shares: given(new.shares).or(old.shares),
        quota: given(new.quota).or(old.quota),
        burst: new.burst.or(old.burst),
        period: given(new.period).or(old.period),
        realtime_runtime: new.realtime_runtime.or(old.realtime_runtime),
        realtime_period: new.realtime_period.or(old.realtime_period),
        cpus: list(&new.cpus, &old.cpus),
        mems: list(&new.mems, &old.mems),
        idle: new.idle.or(old.idle),
    }
}

fn block_io(old: &LinuxBlockIo, new: &LinuxBlockIo) -> LinuxBlockIo {
    LinuxBlockIo {
        weight: given(new.weight).or(old.weight),
        leaf_weight: given(new.leaf_weight).or(old.leaf_weight),
        weight_device: lists(&old.weight_device, &new.weight_device, |device| (device.major, device.minor)),
        throttle_read_bps_device: rates(&old.throttle_read_bps_device, &new.throttle_read_bps_device),
        throttle_write_bps_device: rates(&old.throttle_write_bps_device, &new.throttle_write_bps_device),
        throttle_read_iops_device: rates(&old.throttle_read_iops_device, &new.throttle_read_iops_device),
        throttle_write_iops_device: rates(&old.throttle_write_iops_device, &new.throttle_write_iops_device),
    }
}

type Rates = Option<Vec<crate::spec::resources::LinuxThrottleDevice>>;

fn rates(old: &Rates, new: &Rates) -> Rates {
    lists(old, new, |device| (device.major, device.minor))
}

/// Merges what both give, else takes the one that is there.
fn both<T: Clone>(old: &Option<T>, new: &Option<T>, merged: impl Fn(&T, &T) -> T) -> Option<T> {
    match (old, new) {
        (Some(old), Some(new)) => Some(merged(old, new)),
        (one, None) | (None, one) => one.clone(),
    }
}

/// Replaces the entries whose key is given anew, and appends the others.
fn lists<T: Clone, K: PartialEq>(old: &Option<Vec<T>>, new: &Option<Vec<T>>, key: impl Fn(&T) -> K) -> Option<Vec<T>> {
    both(old, new, |old, new| {
        let mut merged: Vec<T> = old.clone();
        for entry in new {
            match merged.iter_mut().find(|there| key(there) == key(entry)) {
                Some(there) => *there = entry.clone(),
                None => merged.push(entry.clone()),
            }
        }
        merged
    })
}

fn extended<M: Clone + IntoIterator<Item = I> + Extend<I>, I>(old: &M, new: &M) -> M {
    let mut merged = old.clone();
    merged.extend(new.clone());
    merged
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cgroup::plan;

    fn resources(text: &str) -> LinuxResources {
        serde_json::from_str(text).unwrap()
    }

    fn merged(stored: &str, change: &str) -> LinuxResources {
        merge(&resources(stored), &resources(change))
    }

    /// The files and values that a change is written to.
    fn written(stored: &str, change: &str) -> Vec<String> {
        let all = with_partners(&resources(stored), &resources(change));
        plan::writes(&all).unwrap().into_iter().map(|write| format!("{} = {}", write.file, write.value)).collect()
    }

    #[test]
    fn what_is_not_given_stays() {
        let stored = r#"{"devices":[{"allow":false,"access":"rwm"}],"memory":{"limit":5,"reservation":3,"checkBeforeUpdate":true},
            "cpu":{"shares":7,"quota":8,"cpus":"0"},"pids":{"limit":9},"blockIO":{"weight":10},"rdma":{"a":{"hcaHandles":1}},
            "hugepageLimits":[{"pageSize":"2MB","limit":1}],"unified":{"memory.high":"1"}}"#;
        assert_eq!(merged(stored, "{}"), resources(stored));
        assert_eq!(merged("{}", stored), LinuxResources { devices: None, ..resources(stored) });
        let zeros = r#"{"devices":[],"memory":{"limit":0,"swap":0,"reservation":0},
            "cpu":{"shares":0,"quota":0,"period":0,"cpus":"","mems":""},"blockIO":{"weight":0}}"#;
        assert_eq!(merged(stored, zeros), resources(stored));
        assert!(written(stored, zeros).is_empty());
    }

    #[test]
    fn what_is_given_replaces() {
        assert_eq!(
            merged(
                r#"{"memory":{"limit":5,"reservation":3},"pids":{"limit":9},"cpu":{"cpus":"0","burst":4}}"#,
                r#"{"memory":{"limit":6},"pids":{"limit":0},"cpu":{"cpus":"1","burst":0}}"#
            ),
            resources(r#"{"memory":{"limit":6,"reservation":3},"pids":{"limit":0},"cpu":{"cpus":"1","burst":0}}"#)
        );
    }

    #[test]
    fn lists_are_merged_by_their_keys() {
        assert_eq!(
            merged(
                r#"{"blockIO":{"throttleReadBpsDevice":[{"major":8,"minor":0,"rate":1},{"major":8,"minor":16,"rate":2}]},
                    "hugepageLimits":[{"pageSize":"2MB","limit":1}],"unified":{"a.b":"1","c.d":"2"}}"#,
                r#"{"blockIO":{"throttleReadBpsDevice":[{"major":8,"minor":16,"rate":3},{"major":9,"minor":0,"rate":4}]},
                    "hugepageLimits":[{"pageSize":"1GB","limit":2}],"unified":{"c.d":"3"}}"#
            ),
            resources(
                r#"{"blockIO":{"throttleReadBpsDevice":[{"major":8,"minor":0,"rate":1},{"major":8,"minor":16,"rate":3},
                    {"major":9,"minor":0,"rate":4}]},"hugepageLimits":[{"pageSize":"2MB","limit":1},{"pageSize":"1GB","limit":2}],
                    "unified":{"a.b":"1","c.d":"3"}}"#
            )
        );
    }

    #[test]
    fn quota_and_period_keep_each_other() {
        assert_eq!(written(r#"{"cpu":{"quota":5,"period":10}}"#, r#"{"cpu":{"quota":6}}"#), ["cpu.max = 6 10"]);
        assert_eq!(written(r#"{"cpu":{"quota":5,"period":10}}"#, r#"{"cpu":{"period":20}}"#), ["cpu.max = 5 20"]);
        assert_eq!(written(r#"{"cpu":{"quota":5,"period":10}}"#, r#"{"cpu":{"shares":2}}"#), ["cpu.weight = 1"]);
    }

    #[test]
    fn swap_is_counted_from_the_limit_that_holds() {
        let stored = r#"{"memory":{"limit":100,"swap":150,"reservation":50}}"#;
        assert_eq!(written(stored, r#"{"memory":{"limit":120}}"#), ["memory.swap.max = 30", "memory.max = 120"]);
        assert_eq!(written(stored, r#"{"memory":{"swap":250}}"#), ["memory.swap.max = 150", "memory.max = 100"]);
        assert_eq!(written(stored, r#"{"memory":{"limit":-1}}"#), ["memory.swap.max = max", "memory.max = max"]);
        assert_eq!(written(stored, r#"{"memory":{"reservation":60}}"#), ["memory.low = 60"]);
        assert_eq!(merged(stored, r#"{"memory":{"limit":-1}}"#).memory.unwrap().swap, Some(-1));
        let all = with_partners(&resources(stored), &resources(r#"{"memory":{"limit":200}}"#));
        assert!(plan::writes(&all).unwrap_err().to_string().contains("can't be below"));
    }
}
