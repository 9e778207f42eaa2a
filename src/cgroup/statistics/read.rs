//! Reading the numbers out of a group's files.

use std::collections::BTreeMap;
use std::os::fd::{AsFd, BorrowedFd};

use anyhow::Result;

use super::{
    BlockIo, BlockIoEntry, Burst, Cpu, CpuUsage, Hugetlb, Memory, MemoryEntry, Pids, Pressure, PressureTimes,
    Statistics, Throttling,
};
use crate::cgroup::file;
use crate::cgroup::group::Group;

impl Group {
    /// Reads what the group uses.
    pub fn statistics(&self) -> Result<Statistics> {
        let directory = self.open()?;
        let read = |name: &str| file::read(directory.as_fd(), name).unwrap_or_default();
        Ok(statistics(&read, &hugepage_sizes(directory.as_fd())))
    }

    /// How many processes of the group and below it were killed for want of memory.
    pub fn out_of_memory_kills(&self) -> Result<u64> {
        let Some(directory) = self.open_if_there()? else { return Ok(0) };
        Ok(kills(&file::read(directory.as_fd(), "memory.events").unwrap_or_default()))
    }
}

/// Gives a file's text by its name; the empty text for one that is not there, or that the kernel does not let be read
/// (pressure with `psi=0` on its command line).
type Read<'a> = &'a dyn Fn(&str) -> String;

fn statistics(read: Read<'_>, hugepage_sizes: &[String]) -> Statistics {
    Statistics {
        cpu: cpu(read),
        memory: memory(read),
        pids: Pids { current: number(&read("pids.current")), limit: limit_or(&read("pids.max"), 0) },
        blkio: block_io(read),
        hugetlb: hugepage_sizes.iter().map(|size| (size.clone(), hugetlb(read, size))).collect(),
        ..Statistics::default()
    }
}

fn cpu(read: Read<'_>) -> Cpu {
    let stat = keyed(&read("cpu.stat"));
    let number = |key: &str| stat.get(key).copied().unwrap_or(0);
    let nanoseconds = |key: &str| number(key).saturating_mul(1000);
    Cpu {
        usage: CpuUsage {
            total: nanoseconds("usage_usec"),
            kernel: nanoseconds("system_usec"),
            user: nanoseconds("user_usec"),
        },
        throttling: Throttling {
            periods: number("nr_periods"),
            throttled_periods: number("nr_throttled"),
            throttled_time: nanoseconds("throttled_usec"),
        },
        psi: pressure(&read("cpu.pressure")),
        burst: Burst { bursts_periods: number("nr_bursts"), burst_time: nanoseconds("burst_usec") },
    }
}

fn memory(read: Read<'_>) -> Memory {
    let raw = keyed(&read("memory.stat"));
    let usage = MemoryEntry {
        limit: limit_or(&read("memory.max"), u64::MAX),
        usage: number(&read("memory.current")),
        max: number(&read("memory.peak")),
        failcnt: times_met(&read("memory.events")),
    };
    // A most of both together there is not: the two peaks need not have been at one time.
    let swap = MemoryEntry {
        limit: limit_or(&read("memory.swap.max"), u64::MAX).saturating_add(usage.limit),
        usage: number(&read("memory.swap.current")).saturating_add(usage.usage),
        max: 0,
        failcnt: times_met(&read("memory.swap.events")),
    };
    let cache = raw.get("file").copied().unwrap_or(0);
    Memory { cache, usage, swap, raw, psi: pressure(&read("memory.pressure")), ..Memory::default() }
}

/// `io.stat` has a line for each device: `8:0 rbytes=1 wbytes=2 rios=3 wios=4 dbytes=0 dios=0`.
fn block_io(read: Read<'_>) -> BlockIo {
    let mut all = BlockIo { psi: pressure(&read("io.pressure")), ..BlockIo::default() };
    for line in read("io.stat").lines() {
        let mut fields = line.split_whitespace();
        let Some((major, minor)) = fields.next().and_then(|device| device.split_once(':')) else { continue };
        let (Ok(major), Ok(minor)) = (major.parse(), minor.parse()) else { continue };
        for (key, value) in fields.filter_map(|field| field.split_once('=')) {
            let (list, op) = match key {
                "rbytes" => (&mut all.io_service_bytes_recursive, "Read"),
                "wbytes" => (&mut all.io_service_bytes_recursive, "Write"),
                "rios" => (&mut all.io_serviced_recursive, "Read"),
                "wios" => (&mut all.io_serviced_recursive, "Write"),
                _ => continue,
            };
            list.push(BlockIoEntry { major, minor, op, value: value.parse().unwrap_or(0) });
        }
    }
    all
}

fn hugetlb(read: Read<'_>, size: &str) -> Hugetlb {
    Hugetlb {
        usage: number(&read(&format!("hugetlb.{size}.rsvd.current"))),
        failcnt: times_met(&read(&format!("hugetlb.{size}.events"))),
    }
}

/// The sizes are those that the group has files for.
fn hugepage_sizes(group: BorrowedFd<'_>) -> Vec<String> {
    let Ok(listing) = rustix::fs::Dir::read_from(group) else { return Vec::new() };
    let names = listing.filter_map(|entry| entry.ok()?.file_name().to_str().ok().map(str::to_owned));
    names.filter_map(|name| Some(name.strip_prefix("hugetlb.")?.strip_suffix(".rsvd.current")?.to_owned())).collect()
}

fn number(text: &str) -> u64 {
    text.trim().parse().unwrap_or(0)
}

/// A limit's number, something else for `max`, and 0 where there is no such file.
fn limit_or(text: &str, without_limit: u64) -> u64 {
    if text.trim() == "max" { without_limit } else { number(text) }
}

/// Lines of a name and a number.
fn keyed(text: &str) -> BTreeMap<String, u64> {
    let pairs = text.lines().filter_map(|line| line.split_once(' '));
    pairs.filter_map(|(key, value)| Some((key.to_owned(), value.trim().parse().ok()?))).collect()
}

fn times_met(events: &str) -> u64 {
    keyed(events).get("max").copied().unwrap_or(0)
}

/// The kills that `memory.events` tells of.
pub(in crate::cgroup) fn kills(memory_events: &str) -> u64 {
    keyed(memory_events).get("oom_kill").copied().unwrap_or(0)
}

/// Two lines: `some avg10=0.00 avg60=0.00 avg300=0.00 total=0`, and the same with `full`.
fn pressure(text: &str) -> Option<Pressure> {
    let times = |name: &str| {
        let fields = text.lines().find_map(|line| line.strip_prefix(name))?;
        let pairs: BTreeMap<&str, &str> = fields.split_whitespace().filter_map(|field| field.split_once('=')).collect();
        let average = |key: &str| pairs.get(key).and_then(|value| value.parse().ok()).unwrap_or(0.0);
        Some(PressureTimes {
            avg10: average("avg10"),
            avg60: average("avg60"),
            avg300: average("avg300"),
            total: pairs.get("total")?.parse().ok()?,
        })
    };
    Some(Pressure { some: times("some ")?, full: times("full ").unwrap_or_default() })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::cgroup::scratch::Scratch;

    fn of(files: &[(&str, &str)], sizes: &[&str]) -> serde_json::Value {
        let read = |name: &str| {
            files.iter().find(|(file, _)| *file == name).map(|(_, text)| (*text).to_owned()).unwrap_or_default()
        };
        let sizes: Vec<String> = sizes.iter().map(|size| (*size).to_owned()).collect();
        serde_json::to_value(statistics(&read, &sizes)).unwrap()
    }

    #[test]
    fn every_number_is_where_runc_has_it() {
        let found = of(
            &[
                (
                    "cpu.stat",
                    "usage_usec 30\nuser_usec 20\nsystem_usec 10\nnr_periods 4\nnr_throttled 3\nthrottled_usec 2\nnr_bursts 6\nburst_usec 5\n",
                ),
                (
                    "cpu.pressure",
                    "some avg10=1.50 avg60=0.20 avg300=0.00 total=77\nfull avg10=0.00 avg60=0.00 avg300=0.00 total=0\n",
                ),
                ("memory.stat", "anon 1\nfile 2\n"),
                ("memory.current", "100\n"),
                ("memory.max", "200\n"),
                ("memory.peak", "150\n"),
                ("memory.events", "low 0\nmax 7\noom_kill 1\n"),
                ("memory.swap.current", "5\n"),
                ("memory.swap.max", "50\n"),
                ("pids.current", "3\n"),
                ("pids.max", "64\n"),
                ("io.stat", "8:0 rbytes=1 wbytes=2 rios=3 wios=4 dbytes=0 dios=0\nnonsense\n"),
                ("hugetlb.2MB.rsvd.current", "2097152\n"),
                ("hugetlb.2MB.events", "max 9\n"),
            ],
            &["2MB"],
        );
        assert_eq!(found["cpu"]["usage"], json!({"total": 30_000, "kernel": 10_000, "user": 20_000}));
        assert_eq!(found["cpu"]["throttling"], json!({"periods": 4, "throttledPeriods": 3, "throttledTime": 2_000}));
        assert_eq!(found["cpu"]["burst"], json!({"burstsPeriods": 6, "burstTime": 5_000}));
        assert_eq!(found["cpu"]["psi"]["some"], json!({"avg10": 1.5, "avg60": 0.2, "avg300": 0.0, "total": 77}));
        let memory = &found["memory"];
        assert_eq!(memory["usage"], json!({"limit": 200, "usage": 100, "max": 150, "failcnt": 7}));
        assert_eq!(memory["swap"], json!({"limit": 250, "usage": 105, "failcnt": 0}));
        assert_eq!((&memory["cache"], &memory["raw"]), (&json!(2), &json!({"anon": 1, "file": 2})));
        assert_eq!(found["pids"], json!({"current": 3, "limit": 64}));
        let entry = |op: &str, value: u64| json!({"major": 8, "op": op, "value": value});
        assert_eq!(found["blkio"]["ioServiceBytesRecursive"], json!([entry("Read", 1), entry("Write", 2)]));
        assert_eq!(found["blkio"]["ioServicedRecursive"], json!([entry("Read", 3), entry("Write", 4)]));
        assert_eq!(found["hugetlb"], json!({"2MB": {"usage": 2_097_152, "failcnt": 9}}));
    }

    #[test]
    fn a_group_without_controllers_has_zeros_and_every_key() {
        let zeros = json!({"limit": 0, "failcnt": 0});
        assert_eq!(
            of(&[], &[]),
            json!({
                "cpu": {"usage": {"kernel": 0, "user": 0}, "throttling": {}, "burst": {}},
                "cpuset": {"cpu_exclusive": 0, "mem_hardwall": 0, "mem_exclusive": 0, "memory_migrate": 0,
                           "memory_spread_page": 0, "memory_spread_slab": 0, "memory_pressure": 0,
                           "sched_load_balance": 0, "sched_relax_domain_level": 0},
                "memory": {"usage": zeros, "swap": zeros, "kernel": zeros, "kernelTCP": zeros},
                "pids": {}, "blkio": {}, "hugetlb": {}, "intel_rdt": {}, "network_interfaces": null
            })
        );
    }

    #[test]
    fn no_limit_is_the_greatest_number_for_memory_and_zero_for_tasks() {
        let found = of(&[("memory.max", "max\n"), ("memory.swap.max", "max\n"), ("pids.max", "max\n")], &[]);
        assert_eq!(found["memory"]["usage"]["limit"], json!(u64::MAX));
        assert_eq!(found["memory"]["swap"]["limit"], json!(u64::MAX));
        assert_eq!(found["pids"], json!({}));
    }

    #[test]
    fn the_kernels_files_are_read() {
        let Some(scratch) = Scratch::with_controller("hugetlb") else { return };
        let group = Group::create(&scratch.hierarchy, &scratch.below("a")).unwrap();
        let huge = r#"{"hugepageLimits":[{"pageSize":"2MB","limit":4194304}]}"#;
        group.apply(&crate::cgroup::plan::writes(&serde_json::from_str(huge).unwrap()).unwrap()).unwrap();
        let burn = format!(
            "echo $$ > {}/cgroup.procs; i=0; while [ $i -lt 20000 ]; do i=$((i+1)); done",
            group.path().display()
        );
        assert!(std::process::Command::new("sh").args(["-c", &burn]).status().unwrap().success());
        let found = group.statistics().unwrap();
        assert!(found.cpu.usage.total > 0 && found.cpu.usage.user > 0, "{:?}", found.cpu);
        assert!(found.hugetlb.contains_key("2MB"), "{:?}", found.hugetlb);
        assert_eq!(group.out_of_memory_kills().unwrap(), 0);
    }
}
