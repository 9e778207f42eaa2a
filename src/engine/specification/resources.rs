//! `linux.resources`: what a container may use.

use anyhow::{Context, Result, bail, ensure};
use serde_json::{Map, Value, json};

use super::{Facts, devices};
use crate::engine::record::{HostConfig, Throttle, Weight};
use crate::spec::resources::LinuxResources;

/// Refuses what contradicts itself.
pub(super) fn check(host: &HostConfig) -> Result<()> {
    if host.memory != 0 {
        ensure!(host.memory >= 6 << 20, "Minimum memory limit allowed is 6MB");
    }
    if host.memory_swap > 0 {
        ensure!(host.memory > 0, "You should always set the Memory limit when using Memoryswap limit, see usage");
        ensure!(
            host.memory_swap >= host.memory,
            "Minimum memoryswap limit should be larger than memory limit, see usage"
        );
    }
    ensure!(
        host.memory == 0 || host.memory_reservation <= host.memory,
        "Minimum memory limit can not be less than memory reservation limit, see usage"
    );
    if host.nano_cpus > 0 && (host.cpu_period > 0 || host.cpu_quota > 0) {
        bail!("Conflicting options: Nano CPUs and CPU Period or CPU Quota cannot both be set");
    }
    ensure!(
        host.cpu_period == 0 || (1000..=1_000_000).contains(&host.cpu_period),
        "CPU cfs period can not be less than 1ms (i.e. 1000) or larger than 1s (i.e. 1000000)"
    );
    ensure!(host.cpu_quota <= 0 || host.cpu_quota >= 1000, "CPU cfs quota can not be less than 1ms (i.e. 1000)");
    ensure!(
        host.blkio_weight == 0 || (10..=1000).contains(&host.blkio_weight),
        "Range of blkio weight is from 10 to 1000"
    );
    ensure!(
        (-1000..=1000).contains(&host.oom_score_adj),
        "Invalid value {}, range for oom score adj is [-1000, 1000]",
        host.oom_score_adj
    );
    for rule in &host.device_cgroup_rules {
        ensure!(devices::rule(rule).is_some(), "invalid device cgroup format '{rule}'");
    }
    Ok(())
}

/// All of it.
pub(super) fn of(host: &HostConfig, facts: &Facts) -> Result<Value> {
    let mut resources = limits(host);
    resources.insert("devices".into(), devices::rules(host, facts).into());
    let mut block = weights(host);
    if !host.blkio_weight_device.is_empty() {
        let weight = |one: &Weight| {
            let (major, minor) = numbers(&one.path, facts)?;
            Ok(json!({"major": major, "minor": minor, "weight": one.weight}))
        };
        block.insert("weightDevice".into(), host.blkio_weight_device.iter().map(weight).collect::<Result<_>>()?);
    }
    for (key, list) in [
        ("throttleReadBpsDevice", &host.blkio_device_read_bps),
        ("throttleWriteBpsDevice", &host.blkio_device_write_bps),
        ("throttleReadIOPSDevice", &host.blkio_device_read_iops),
        ("throttleWriteIOPSDevice", &host.blkio_device_write_iops),
    ] {
        if !list.is_empty() {
            let throttles = list.iter().map(|throttle| self::throttle(throttle, facts)).collect::<Result<Vec<_>>>()?;
            block.insert(key.into(), throttles.into());
        }
    }
    if !block.is_empty() {
        resources.insert("blockIO".into(), block.into());
    }
    Ok(resources.into())
}

fn throttle(throttle: &Throttle, facts: &Facts) -> Result<Value> {
    let (major, minor) = numbers(&throttle.path, facts)?;
    Ok(json!({"major": major, "minor": minor, "rate": throttle.rate}))
}

fn numbers(path: &str, facts: &Facts) -> Result<(u32, u32)> {
    facts.numbers.get(path).copied().with_context(|| format!("{path}: no such block device"))
}

/// What `update` can change, too.
pub(in crate::engine) fn changeable(host: &HostConfig) -> Result<LinuxResources> {
    let mut resources = limits(host);
    let block = weights(host);
    if !block.is_empty() {
        resources.insert("blockIO".into(), block.into());
    }
    Ok(serde_json::from_value(resources.into())?)
}

fn limits(host: &HostConfig) -> Map<String, Value> {
    let mut resources = Map::new();
    let mut memory = Map::new();
    if host.memory != 0 {
        memory.insert("limit".into(), host.memory.into());
        // As docker has it: as much swap as memory.
        let swap = if host.memory_swap == 0 { host.memory.saturating_mul(2) } else { host.memory_swap };
        memory.insert("swap".into(), swap.into());
    }
    if host.memory_reservation != 0 {
        memory.insert("reservation".into(), host.memory_reservation.into());
    }
    if !memory.is_empty() {
        resources.insert("memory".into(), memory.into());
    }
    let mut cpu = Map::new();
    if host.cpu_shares != 0 {
        cpu.insert("shares".into(), host.cpu_shares.into());
    }
    if host.nano_cpus != 0 {
        cpu.insert("period".into(), 100_000.into());
        cpu.insert("quota".into(), (host.nano_cpus / 10_000).into());
    }
    if host.cpu_period != 0 {
        cpu.insert("period".into(), host.cpu_period.into());
    }
    if host.cpu_quota != 0 {
        cpu.insert("quota".into(), host.cpu_quota.into());
    }
    if !host.cpuset_cpus.is_empty() {
        cpu.insert("cpus".into(), host.cpuset_cpus.clone().into());
    }
    if !host.cpuset_mems.is_empty() {
        cpu.insert("mems".into(), host.cpuset_mems.clone().into());
    }
    if !cpu.is_empty() {
        resources.insert("cpu".into(), cpu.into());
    }
    if let Some(limit) = host.pids_limit.filter(|limit| *limit != 0) {
        resources.insert("pids".into(), json!({"limit": limit}));
    }
    resources
}

/// The share of block devices.
fn weights(host: &HostConfig) -> Map<String, Value> {
    let mut block = Map::new();
    if host.blkio_weight != 0 {
        block.insert("weight".into(), host.blkio_weight.into());
    }
    block
}
