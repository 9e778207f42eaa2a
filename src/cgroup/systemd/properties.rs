//! `linux.resources` → properties of the unit (org.freedesktop.systemd1(5), systemd.resource-control(5)).
//!
//! systemd writes a unit's limits anew whenever it looks at it again, at a daemon-reload for one. So all that it has a
//! property for is told to it; the rest is in the group's files alone, which it leaves as they are.

use std::collections::BTreeMap;

use anyhow::{Context, Result, bail};

use super::value::Value;
use crate::cgroup::plan;
use crate::spec::resources::{LinuxCpu, LinuxMemory, LinuxResources};

/// A property's name and value.
pub type Property = (String, Value);

/// How systemd writes "no limit".
const NO_LIMIT: u64 = u64::MAX;
/// The first version that takes a `CPUWeight` of 0, for idle.
const IDLE_SINCE: u32 = 252;
/// The first version that has an `OOMPolicy` for scopes.
const OOM_POLICY_SINCE: u32 = 253;
/// The kernel's period where none is given.
const DEFAULT_PERIOD: u64 = 100_000;

/// The properties for all limits that systemd knows, for a systemd of `version`.
pub fn limits(resources: &LinuxResources, version: u32) -> Result<Vec<Property>> {
    let mut all = Vec::new();
    if let Some(memory) = &resources.memory {
        all.extend(of_memory(memory)?);
    }
    if let Some(cpu) = &resources.cpu {
        all.extend(of_cpu(cpu, version)?);
    }
    if let Some(limit) = resources.pids.as_ref().and_then(|pids| pids.limit) {
        all.push(number("TasksMax", tasks(limit)));
    }
    if let Some(weight) = resources.block_io.as_ref().and_then(|block_io| block_io.weight).filter(|weight| *weight != 0)
    {
        all.push(number("IOWeight", plan::weight_of_block_weight(weight)));
    }
    all.extend(of_unified(resources.unified.iter().flatten(), version)?);
    // The last word counts, and systemd applies them in their order; one of each kind says so more clearly.
    let mut last: BTreeMap<String, Value> = BTreeMap::new();
    last.extend(all);
    Ok(last.into_iter().collect())
}

fn number(name: &str, value: u64) -> Property {
    (name.to_owned(), Value::Uint64(value))
}

/// systemd has no 0 for `TasksMax`; 1 lets as little be started.
fn tasks(limit: i64) -> u64 {
    u64::try_from(limit).map_or(NO_LIMIT, |limit| limit.max(1))
}

fn of_memory(memory: &LinuxMemory) -> Result<Vec<Property>> {
    let mut all = Vec::new();
    for (name, value) in [("MemoryMax", memory.limit), ("MemoryLow", memory.reservation)] {
        match value.unwrap_or(0) {
            0 => {}
            value => all.push(number(name, u64::try_from(value).unwrap_or(NO_LIMIT))),
        }
    }
    if let Some(swap) = plan::swap_alone(memory)? {
        all.push(number("MemorySwapMax", bytes("linux.resources.memory.swap", &swap)?));
    }
    Ok(all)
}

fn of_cpu(cpu: &LinuxCpu, version: u32) -> Result<Vec<Property>> {
    let mut all = Vec::new();
    if cpu.idle == Some(1) {
        if version >= IDLE_SINCE {
            all.push(number("CPUWeight", 0));
        }
    } else if let Some(weight) = cpu.shares.and_then(plan::weight_of_shares) {
        all.push(number("CPUWeight", weight));
    }
    let (quota, period) = (cpu.quota.unwrap_or(0), cpu.period.unwrap_or(0));
    if quota != 0 || period != 0 {
        all.extend(bandwidth(u64::try_from(quota).ok().filter(|quota| *quota > 0), period));
    }
    for (name, field, list) in [
        ("AllowedCPUs", "linux.resources.cpu.cpus", &cpu.cpus),
        ("AllowedMemoryNodes", "linux.resources.cpu.mems", &cpu.mems),
    ] {
        if let Some(list) = list.as_deref().filter(|list| !list.is_empty()) {
            all.push((name.to_owned(), set(field, list)?));
        }
    }
    Ok(all)
}

/// systemd counts processor time for each second of the clock, and keeps it in hundredths of a processor: it is rounded up
/// to such a one, for else systemd would round it down.
fn bandwidth(quota: Option<u64>, period: u64) -> [Property; 2] {
    let per_second = quota.map_or(NO_LIMIT, |quota| {
        let period = if period == 0 { DEFAULT_PERIOD } else { period };
        let exact = u128::from(quota) * 1_000_000 / u128::from(period);
        u64::try_from(exact.next_multiple_of(10_000)).unwrap_or(NO_LIMIT)
    });
    // 0 leaves the period to systemd, as "not given" does.
    [
        number("CPUQuotaPeriodUSec", if period == 0 { NO_LIMIT } else { period }),
        number("CPUQuotaPerSecUSec", per_second),
    ]
}

/// The resources with the quota that systemd keeps, for the group's own files: so that what they say is the same before
/// and after systemd has written them.
pub fn as_systemd_keeps(resources: &LinuxResources) -> LinuxResources {
    let mut kept = resources.clone();
    if let Some(cpu) = &mut kept.cpu
        && let Some(quota) = cpu.quota.and_then(|quota| u64::try_from(quota).ok()).filter(|quota| *quota > 0)
        && let (_, Value::Uint64(per_second)) = &bandwidth(Some(quota), cpu.period.unwrap_or(0))[1]
        && *per_second != NO_LIMIT
    {
        let period = cpu.period.filter(|period| *period != 0).unwrap_or(DEFAULT_PERIOD);
        let rounded = u128::from(*per_second) * u128::from(period) / 1_000_000;
        cpu.quota = Some(i64::try_from(rounded).unwrap_or(i64::MAX));
    }
    kept
}

fn of_unified<'a>(files: impl Iterator<Item = (&'a String, &'a String)>, version: u32) -> Result<Vec<Property>> {
    let mut all = Vec::new();
    for (file, value) in files {
        let field = format!("linux.resources.unified[{file:?}]");
        let value = value.trim();
        match file.as_str() {
            "cpu.idle" if value == "1" && version >= IDLE_SINCE => all.push(number("CPUWeight", 0)),
            "cpu.weight" => all.push(number("CPUWeight", bytes(&field, value)?)),
            "cpu.max" => all.extend(of_cpu_max(&field, value)?),
            "cpuset.cpus" => all.push(("AllowedCPUs".into(), set(&field, value)?)),
            "cpuset.mems" => all.push(("AllowedMemoryNodes".into(), set(&field, value)?)),
            "memory.min" => all.push(number("MemoryMin", bytes(&field, value)?)),
            "memory.low" => all.push(number("MemoryLow", bytes(&field, value)?)),
            "memory.high" => all.push(number("MemoryHigh", bytes(&field, value)?)),
            "memory.max" => all.push(number("MemoryMax", bytes(&field, value)?)),
            "memory.swap.max" => all.push(number("MemorySwapMax", bytes(&field, value)?)),
            "pids.max" => all.push(number("TasksMax", bytes(&field, value)?.max(1))),
            "memory.oom.group" if version >= OOM_POLICY_SINCE => {
                let policy = if value == "1" { "kill" } else { "continue" };
                all.push(("OOMPolicy".into(), Value::string(policy)));
            }
            _ => {}
        }
    }
    Ok(all)
}

fn of_cpu_max(field: &str, value: &str) -> Result<[Property; 2]> {
    let mut fields = value.split_whitespace();
    let quota = bytes(field, fields.next().unwrap_or("max"))?;
    let period = fields.next().map_or(Ok(0), |period| bytes(field, period))?;
    Ok(bandwidth((quota != NO_LIMIT).then_some(quota), period))
}

fn bytes(field: &str, value: &str) -> Result<u64> {
    match value {
        "max" => Ok(NO_LIMIT),
        number => number.parse().with_context(|| format!("{field}: {value:?} is neither a number nor \"max\"")),
    }
}

/// More processors than any kernel is built for.
const MOST_IN_SET: usize = 65_536;

/// A list like `0-2,7` as the bit mask that systemd takes, the lowest bits in the first byte.
fn set(field: &str, list: &str) -> Result<Value> {
    let mut mask: Vec<u8> = Vec::new();
    for part in list.split(',').map(str::trim).filter(|part| !part.is_empty()) {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let range = (first.trim().parse::<usize>(), last.trim().parse::<usize>());
        let (Ok(first), Ok(last)) = range else { bail!("{field}: {list:?} is not a list like \"0-2,7\"") };
        if first > last || last >= MOST_IN_SET {
            bail!("{field}: {list:?} has a range that can't be: {part:?}");
        }
        mask.resize(mask.len().max(last / 8 + 1), 0);
        (first..=last).for_each(|one| mask[one / 8] |= 1 << (one % 8));
    }
    Ok(Value::Array("y".into(), mask.into_iter().map(Value::Byte).collect()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(resources: &str, version: u32) -> Vec<String> {
        let all = limits(&serde_json::from_str(resources).unwrap(), version).unwrap();
        let show = |value: Value| match value {
            Value::Uint64(NO_LIMIT) => "infinity".to_owned(),
            Value::Uint64(number) => number.to_string(),
            Value::String(text) => text,
            Value::Array(_, bytes) => bytes.iter().map(|byte| format!("{byte:?}")).collect::<Vec<_>>().join(" "),
            other => format!("{other:?}"),
        };
        all.into_iter().map(|(name, value)| format!("{name} = {}", show(value))).collect()
    }

    #[test]
    fn dockers_limits() {
        let resources = r#"{"memory":{"limit":67108864,"reservation":33554432,"swap":134217728},
            "cpu":{"shares":512,"quota":50000,"period":100000,"cpus":"0"},"pids":{"limit":64},"blockIO":{"weight":500}}"#;
        assert_eq!(
            table(resources, 252),
            [
                "AllowedCPUs = Byte(1)",
                "CPUQuotaPerSecUSec = 500000",
                "CPUQuotaPeriodUSec = 100000",
                "CPUWeight = 59",
                "IOWeight = 4950",
                "MemoryLow = 33554432",
                "MemoryMax = 67108864",
                "MemorySwapMax = 67108864",
                "TasksMax = 64",
            ]
        );
        assert!(table("{}", 252).is_empty());
    }

    #[test]
    fn no_limit_is_infinity() {
        assert_eq!(
            table(r#"{"memory":{"limit":-1,"reservation":-1},"cpu":{"quota":-1,"period":5},"pids":{"limit":-1}}"#, 252),
            [
                "CPUQuotaPerSecUSec = infinity",
                "CPUQuotaPeriodUSec = 5",
                "MemoryLow = infinity",
                "MemoryMax = infinity",
                "MemorySwapMax = infinity",
                "TasksMax = infinity",
            ]
        );
        assert_eq!(table(r#"{"pids":{"limit":0}}"#, 252), ["TasksMax = 1"]);
    }

    #[test]
    fn processor_time_is_rounded_up_to_hundredths() {
        let per_second = |quota: i64, period: u64| match &bandwidth(Some(quota.cast_unsigned()), period)[1].1 {
            Value::Uint64(number) => *number,
            other => panic!("{other:?}"),
        };
        assert_eq!(per_second(50_000, 0), 500_000);
        assert_eq!(per_second(1_000, 1_000_000), 10_000);
        assert_eq!(per_second(33_333, 100_000), 340_000);
        assert_eq!(per_second(i64::MAX, 1_000), NO_LIMIT);
    }

    #[test]
    fn the_files_say_what_systemd_keeps() {
        let kept = |resources: &str| as_systemd_keeps(&serde_json::from_str(resources).unwrap()).cpu.unwrap().quota;
        assert_eq!(kept(r#"{"cpu":{"quota":33333,"period":100000}}"#), Some(34_000));
        assert_eq!(kept(r#"{"cpu":{"quota":50000}}"#), Some(50_000));
        assert_eq!(kept(r#"{"cpu":{"quota":-1,"period":50000}}"#), Some(-1));
        assert_eq!(kept(r#"{"cpu":{"period":50000}}"#), None);
        assert_eq!(kept(r#"{"cpu":{"quota":9223372036854775807,"period":1000}}"#), Some(i64::MAX));
    }

    #[test]
    fn what_a_version_does_not_know_is_left_to_the_files() {
        let resources = r#"{"cpu":{"idle":1,"shares":100},"unified":{"memory.oom.group":"1"}}"#;
        assert_eq!(table(resources, 253), ["CPUWeight = 0", "OOMPolicy = kill"]);
        assert_eq!(table(resources, 252), ["CPUWeight = 0"]);
        assert!(table(resources, 249).is_empty());
    }

    #[test]
    fn unified_has_the_last_word() {
        let resources = r#"{"memory":{"limit":5},"cpu":{"shares":1024},"unified":{"memory.max":"7","memory.high":"max","cpu.max":"50000",
            "cpu.weight":"9","cpuset.cpus":"0-2,9","cpuset.mems":"1","pids.max":"max","io.max":"8:0 rbps=1","memory.swap.max":"0",
            "memory.min":"1","memory.low":"2"}}"#;
        assert_eq!(
            table(resources, 252),
            [
                "AllowedCPUs = Byte(7) Byte(2)",
                "AllowedMemoryNodes = Byte(2)",
                "CPUQuotaPerSecUSec = 500000",
                "CPUQuotaPeriodUSec = infinity",
                "CPUWeight = 9",
                "MemoryHigh = infinity",
                "MemoryLow = 2",
                "MemoryMax = 7",
                "MemoryMin = 1",
                "MemorySwapMax = 0",
                "TasksMax = infinity",
            ]
        );
    }

    #[test]
    fn what_is_no_value_is_named() {
        for (resources, words) in [
            (r#"{"cpu":{"cpus":"a"}}"#, "linux.resources.cpu.cpus: \"a\" is not a list"),
            (r#"{"cpu":{"mems":"3-1"}}"#, "linux.resources.cpu.mems: \"3-1\" has a range"),
            (r#"{"cpu":{"cpus":"0-99999999999"}}"#, "has a range that can't be"),
            (r#"{"unified":{"memory.max":"1G"}}"#, "linux.resources.unified[\"memory.max\"]: \"1G\" is neither"),
            (r#"{"memory":{"swap":5}}"#, "linux.resources.memory.swap"),
        ] {
            let error = limits(&serde_json::from_str(resources).unwrap(), 252).unwrap_err().to_string();
            assert!(error.contains(words), "{error}");
        }
    }
}
