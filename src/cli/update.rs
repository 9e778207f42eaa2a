//! `update`: other limits for a container.

use std::io::{BufReader, Read};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use clap::Parser;
use serde::Deserialize;
use serde::de::IgnoredAny;

use super::{Context, Operation, size};
use crate::container::{self, UpdateOptions};
use crate::error::Attempt;
use crate::spec::load::{self, LARGEST};
use crate::spec::resources::{LinuxBlockIo, LinuxCpu, LinuxMemory, LinuxPids, LinuxResources};

/// Change the limits of a container
///
/// What is not given stays as it is. Sizes are in bytes, or have one of the units k, m, g, t and p; -1 is no limit.
#[derive(Debug, Parser)]
pub(super) struct Update {
    /// Take the limits from FILE, or from stdin for `-`, and ignore the flags for them
    ///
    /// The file is JSON: `linux.resources` of config.json, with what is to change. Devices are left alone.
    #[arg(short, long, value_name = "FILE")]
    resources: Option<PathBuf>,

    #[command(flatten)]
    limits: Limits,

    /// The L3 line of the container's resctrl group
    #[arg(long, value_name = "SCHEMA")]
    l3_cache_schema: Option<String>,

    /// The MB line of the container's resctrl group
    #[arg(long, value_name = "SCHEMA")]
    mem_bw_schema: Option<String>,

    /// Ignored: cgroup v2 has no such limit
    #[arg(long, value_name = "SIZE")]
    kernel_memory: Option<String>,

    /// Ignored: cgroup v2 has no such limit
    #[arg(long, value_name = "SIZE")]
    kernel_memory_tcp: Option<String>,

    /// The container
    #[arg(value_name = "ID")]
    id: String,
}

/// The limits that have a flag.
#[derive(Debug, Default, clap::Args)]
struct Limits {
    /// The weight for block devices, 10 to 1000
    #[arg(long, value_name = "WEIGHT")]
    blkio_weight: Option<u16>,

    /// The period of --cpu-quota, in microseconds
    #[arg(long, value_name = "TIME")]
    cpu_period: Option<u64>,

    /// Processor time in each period, in microseconds; -1 is no limit
    #[arg(long, value_name = "TIME")]
    cpu_quota: Option<i64>,

    /// How much unused quota may be saved up, in microseconds
    #[arg(long, value_name = "TIME")]
    cpu_burst: Option<u64>,

    /// The weight for processor time against other containers, 2 to 262144
    #[arg(long, value_name = "SHARES")]
    cpu_share: Option<u64>,

    /// The period of --cpu-rt-runtime, in microseconds
    #[arg(long, value_name = "TIME")]
    cpu_rt_period: Option<u64>,

    /// Processor time for real-time processes in each period, in microseconds
    #[arg(long, value_name = "TIME")]
    cpu_rt_runtime: Option<i64>,

    /// 1: run only when nobody else wants to; 0: as usual
    #[arg(long, value_name = "0|1")]
    cpu_idle: Option<i64>,

    /// The processors to run on, such as 0-2,7
    #[arg(long, value_name = "LIST")]
    cpuset_cpus: Option<String>,

    /// The memory nodes to use, such as 0-1
    #[arg(long, value_name = "LIST")]
    cpuset_mems: Option<String>,

    /// The most memory; -1 lifts the limit of swap as well, unless that is given
    #[arg(long, value_name = "SIZE", value_parser = size::parse)]
    memory: Option<i64>,

    /// Memory that is left alone while others have more
    #[arg(long, value_name = "SIZE", value_parser = size::parse)]
    memory_reservation: Option<i64>,

    /// The most of memory and swap together
    #[arg(long, value_name = "SIZE", value_parser = size::parse)]
    memory_swap: Option<i64>,

    /// The most processes and threads; -1 is no limit
    #[arg(long, value_name = "NUMBER")]
    pids_limit: Option<i64>,
}

impl Operation for Update {
    fn carry_out(self, context: &Context) -> Result<u8> {
        for (name, given) in [("kernel-memory", &self.kernel_memory), ("kernel-memory-tcp", &self.kernel_memory_tcp)] {
            if given.is_some() {
                context.log.warning(&format!("--{name} is ignored: cgroup v2 has no such limit"));
            }
        }
        let mut resources = match &self.resources {
            Some(file) => read(file)?,
            None => self.limits.resources(),
        };
        lift_swap(&mut resources);
        let options = UpdateOptions {
            resources,
            l3_cache_schema: self.l3_cache_schema.filter(|schema| !schema.is_empty()),
            mem_bw_schema: self.mem_bw_schema.filter(|schema| !schema.is_empty()),
        };
        container::update(&context.host, &self.id, &options)?;
        Ok(0)
    }
}

impl Limits {
    /// As the specification has them; a group without a flag is absent.
    fn resources(self) -> LinuxResources {
        let given = |list: Option<String>| list.filter(|list| !list.is_empty());
        let memory = LinuxMemory {
            limit: self.memory,
            reservation: self.memory_reservation,
            swap: self.memory_swap,
            ..LinuxMemory::default()
        };
        let cpu = LinuxCpu {
            shares: self.cpu_share,
            quota: self.cpu_quota,
            burst: self.cpu_burst,
            period: self.cpu_period,
            realtime_runtime: self.cpu_rt_runtime,
            realtime_period: self.cpu_rt_period,
            cpus: given(self.cpuset_cpus),
            mems: given(self.cpuset_mems),
            idle: self.cpu_idle,
        };
        let block_io = LinuxBlockIo { weight: self.blkio_weight, ..LinuxBlockIo::default() };
        LinuxResources {
            memory: Some(memory).filter(|memory| *memory != LinuxMemory::default()),
            cpu: Some(cpu).filter(|cpu| *cpu != LinuxCpu::default()),
            block_io: self.blkio_weight.map(|_| block_io),
            pids: self.pids_limit.map(|limit| LinuxPids { limit: Some(limit) }),
            ..LinuxResources::default()
        }
    }
}

/// Memory without limit is swap without limit, unless that was said: under cgroup v1 the one was impossible without the
/// other, and engines count on it.
fn lift_swap(resources: &mut LinuxResources) {
    if let Some(memory) = &mut resources.memory
        && memory.limit == Some(-1)
        && memory.swap.is_none()
    {
        memory.swap = Some(-1);
    }
}

/// Reads the limits of a file, or of stdin.
fn read(file: &Path) -> Result<LinuxResources> {
    if file == Path::new("-") {
        return decoded(&mut std::io::stdin().lock()).context("read the resources from stdin");
    }
    let mut opened = std::fs::File::open(file).attempt(|| format!("open {file:?}"))?;
    decoded(&mut opened).with_context(|| format!("read the resources from {file:?}"))
}

/// The first JSON value of a stream: a caller need not close the pipe it writes to. A stream without an end ends here.
fn decoded(stream: &mut dyn Read) -> Result<LinuxResources> {
    let mut taken = Taken { from: BufReader::new(stream.take(LARGEST)), bytes: Vec::new() };
    // Where it ends is found out here; what it is, or why it is nothing, is told from the bytes.
    match IgnoredAny::deserialize(&mut serde_json::Deserializer::from_reader(&mut taken)) {
        Err(error) if error.is_io() => Err(error.into()),
        // `null` is no change, as in Go.
        _ => Ok(load::parse::<Option<LinuxResources>>(&taken.bytes)?.unwrap_or_default()),
    }
}

/// A stream, and all that was read of it.
struct Taken<R> {
    from: R,
    bytes: Vec<u8>,
}

impl<R: Read> Read for Taken<R> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let length = self.from.read(buffer)?;
        self.bytes.extend_from_slice(&buffer[..length]);
        Ok(length)
    }
}

#[cfg(test)]
mod tests {
    use std::ffi::OsString;

    use serde_json::{Value, json};

    use super::*;
    use crate::error::sentence;

    /// The document that flags stand for.
    fn flags(line: &str) -> Result<Value, String> {
        let words: Vec<OsString> = line.split_whitespace().chain(["c1"]).map(OsString::from).collect();
        let update: Update = super::super::read("update", &words).map_err(|error| super::super::mistake(&error))?;
        let mut resources = update.limits.resources();
        lift_swap(&mut resources);
        Ok(serde_json::to_value(resources).unwrap())
    }

    #[test]
    fn a_flag_is_a_property() {
        for (line, expected) in [
            ("", json!({})),
            ("--memory 64m", json!({"memory": {"limit": 64 << 20}})),
            ("--memory -1", json!({"memory": {"limit": -1, "swap": -1}})),
            ("--memory=-1 --memory-swap=1g", json!({"memory": {"limit": -1, "swap": 1 << 30}})),
            ("--memory-swap -1", json!({"memory": {"swap": -1}})),
            ("--memory-reservation 1.5k", json!({"memory": {"reservation": 1536}})),
            ("--memory 1k --memory 2k", json!({"memory": {"limit": 2048}})),
            ("--cpu-quota -1", json!({"cpu": {"quota": -1}})),
            (
                "--cpu-period 100000 --cpu-quota 5000 --cpu-burst 1",
                json!({"cpu": {"period": 100_000, "quota": 5000, "burst": 1}}),
            ),
            ("--cpu-share 512 --cpu-idle 1", json!({"cpu": {"shares": 512, "idle": 1}})),
            ("--cpu-rt-period 1 --cpu-rt-runtime 2", json!({"cpu": {"realtimePeriod": 1, "realtimeRuntime": 2}})),
            ("--cpuset-cpus 0-1 --cpuset-mems 0", json!({"cpu": {"cpus": "0-1", "mems": "0"}})),
            ("--cpuset-cpus=", json!({})),
            ("--pids-limit -1", json!({"pids": {"limit": -1}})),
            ("--pids-limit 0", json!({"pids": {"limit": 0}})),
            ("--blkio-weight 500", json!({"blockIO": {"weight": 500}})),
            ("--kernel-memory 1 --kernel-memory-tcp 2", json!({})),
        ] {
            assert_eq!(flags(line), Ok(expected), "{line}");
        }
    }

    #[test]
    fn a_wrong_value_is_named() {
        for (line, expected) in [
            ("--memory lots", "invalid value 'lots' for '--memory <SIZE>': invalid size: 'lots'"),
            ("--memory -2", "invalid value '-2' for '--memory <SIZE>': invalid size: '-2'"),
            ("--cpu-period -1", "invalid value '-1' for '--cpu-period <TIME>': invalid digit found in string"),
            ("--blkio-weight 70000", "invalid value '70000' for '--blkio-weight <WEIGHT>': 70000 is not in 0..=65535"),
        ] {
            assert_eq!(flags(line), Err(expected.to_owned()), "{line}");
        }
    }

    #[test]
    fn a_stream_is_read_to_the_end_of_the_value() {
        // What follows is another value or nothing at all: the pipe may stay open.
        let resources = decoded(&mut &b"{\"memory\":{\"limit\":-1}}\n{"[..]).unwrap();
        assert_eq!(resources.memory.unwrap().limit, Some(-1));
        assert_eq!(decoded(&mut &b"null"[..]).unwrap(), LinuxResources::default());
    }

    #[test]
    fn a_broken_stream_is_an_error_with_its_place() {
        let text = |json: &str| sentence(&decoded(&mut json.as_bytes()).unwrap_err());
        assert!(
            text(r#"{"memory":{"limit":"1"}}"#).starts_with("memory.limit: invalid type: string \"1\", expected i64")
        );
        assert!(text(r#"{"memory":[1]}"#).starts_with("memory: invalid type: sequence, expected struct LinuxMemory"));
        let mut endless = std::io::repeat(b' ');
        assert!(sentence(&decoded(&mut endless).unwrap_err()).starts_with("EOF while parsing a value"));
        assert!(text("{").starts_with("EOF while parsing"), "{}", text("{"));
        assert!(text("").starts_with("EOF while parsing"));
        assert!(text("5").starts_with("invalid type: integer"), "{}", text("5"));
    }
}
