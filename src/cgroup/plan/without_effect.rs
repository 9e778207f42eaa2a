//! Properties of `linux.resources` that cgroup v2 has nothing for.

use crate::spec::resources::LinuxResources;

/// The properties that are given and change nothing, each with the reason. They are no errors, since engines send them
/// without being asked; whoever looks closely (`--debug`, `plan`) shall see them.
pub fn without_effect(resources: &LinuxResources) -> Vec<(&'static str, &'static str)> {
    let memory = resources.memory.clone().unwrap_or_default();
    let cpu = resources.cpu.clone().unwrap_or_default();
    let block_io = resources.block_io.clone().unwrap_or_default();
    let leaf_of_device = block_io.weight_device.iter().flatten().any(|device| device.leaf_weight.is_some());
    let network = resources.network.clone().unwrap_or_default();
    let all = [
        (memory.kernel.is_some(), "linux.resources.memory.kernel", "kernel memory is counted in memory.limit"),
        (memory.kernel_tcp.is_some(), "linux.resources.memory.kernelTCP", "buffers of TCP are counted in memory.limit"),
        (
            memory.swappiness.is_some(),
            "linux.resources.memory.swappiness",
            "cgroup v2 has it for the whole system only",
        ),
        (
            memory.disable_oom_killer == Some(true),
            "linux.resources.memory.disableOOMKiller",
            "cgroup v2 has no such switch; memory.high in linux.resources.unified slows down instead of killing",
        ),
        (
            memory.use_hierarchy == Some(false),
            "linux.resources.memory.useHierarchy",
            "cgroup v2 always counts sub-groups",
        ),
        (
            cpu.realtime_runtime.is_some_and(|microseconds| microseconds != 0),
            "linux.resources.cpu.realtimeRuntime",
            "cgroup v2 does not divide real-time up",
        ),
        (
            cpu.realtime_period.is_some_and(|microseconds| microseconds != 0),
            "linux.resources.cpu.realtimePeriod",
            "cgroup v2 does not divide real-time up",
        ),
        (
            cpu.idle == Some(1) && cpu.shares.is_some_and(|shares| shares != 0),
            "linux.resources.cpu.shares",
            "cpu.idle gives the least weight there is",
        ),
        (block_io.leaf_weight.is_some(), "linux.resources.blockIO.leafWeight", "no scheduler has it any more"),
        (leaf_of_device, "linux.resources.blockIO.weightDevice", "no scheduler has leafWeight any more"),
        (network.class_id.is_some(), "linux.resources.network.classID", "cgroup v2 has no net_cls"),
        (
            network.priorities.is_some_and(|priorities| !priorities.is_empty()),
            "linux.resources.network.priorities",
            "cgroup v2 has no net_prio",
        ),
    ];
    all.into_iter().filter(|(given, ..)| *given).map(|(_, field, reason)| (field, reason)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_version_one_alone_had_is_named() {
        let named = |text: &str| {
            let resources = serde_json::from_str(text).unwrap();
            without_effect(&resources)
                .into_iter()
                .map(|(field, _)| field.trim_start_matches("linux.resources."))
                .collect::<Vec<_>>()
        };
        assert!(named(r#"{"memory":{"limit":1,"useHierarchy":true,"disableOOMKiller":false}}"#).is_empty());
        assert_eq!(
            named(
                r#"{"memory":{"kernel":1,"kernelTCP":1,"swappiness":0,"disableOOMKiller":true,"useHierarchy":false}}"#
            ),
            [
                "memory.kernel",
                "memory.kernelTCP",
                "memory.swappiness",
                "memory.disableOOMKiller",
                "memory.useHierarchy"
            ]
        );
        assert_eq!(
            named(
                r#"{"cpu":{"realtimePeriod":1,"realtimeRuntime":1,"shares":5,"idle":1},"blockIO":{"leafWeight":5,
                "weightDevice":[{"major":1,"minor":1,"leafWeight":1}]},"network":{"classID":1,"priorities":[{"name":"a","priority":1}]}}"#
            ),
            [
                "cpu.realtimeRuntime",
                "cpu.realtimePeriod",
                "cpu.shares",
                "blockIO.leafWeight",
                "blockIO.weightDevice",
                "network.classID",
                "network.priorities"
            ]
        );
    }
}
