//! `update`: other limits, and another restart policy.

use anyhow::{Result, bail, ensure};
use clap::Args;

use super::super::{Context, Operation};
use super::each;
use crate::engine::options;
use crate::engine::record::HostConfig;

/// Change the limits of containers, running or not
#[derive(Debug, Args)]
pub(in crate::companion) struct Update {
    /// Share of block devices, 10 to 1000
    #[arg(long, value_name = "UINT16")]
    blkio_weight: Option<u16>,

    /// Length of a period of the CPU's quota, in microseconds
    #[arg(long, value_name = "INT")]
    cpu_period: Option<i64>,

    /// Microseconds of CPU time in a period
    #[arg(long, value_name = "INT", allow_hyphen_values = true)]
    cpu_quota: Option<i64>,

    /// Share of CPU time, beside others
    #[arg(short, long, value_name = "INT")]
    cpu_shares: Option<i64>,

    /// Number of CPUs
    #[arg(long, value_name = "DECIMAL", value_parser = options::cpus)]
    cpus: Option<i64>,

    /// CPUs that may be used (0-3, 0,1)
    #[arg(long, value_name = "LIST")]
    cpuset_cpus: Option<String>,

    /// Memory nodes that may be used (0-3, 0,1)
    #[arg(long, value_name = "LIST")]
    cpuset_mems: Option<String>,

    /// Limit of memory
    #[arg(short, long, value_name = "BYTES", value_parser = options::signed_bytes)]
    memory: Option<i64>,

    /// Memory below which nothing is reclaimed first
    #[arg(long, value_name = "BYTES", value_parser = options::signed_bytes)]
    memory_reservation: Option<i64>,

    /// Limit of memory and swap together; -1 for as much swap as there is
    #[arg(long, value_name = "BYTES", allow_hyphen_values = true, value_parser = options::signed_bytes)]
    memory_swap: Option<i64>,

    /// Limit of processes and threads; -1 for none
    #[arg(long, value_name = "INT", allow_hyphen_values = true)]
    pids_limit: Option<i64>,

    /// What to do at its end: no, on-failure[:COUNT], always, unless-stopped
    #[arg(long, value_name = "POLICY")]
    restart: Option<String>,

    /// Names or ids
    #[arg(required = true, value_name = "CONTAINER")]
    containers: Vec<String>,
}

impl Operation for Update {
    fn carry_out(self, context: &Context) -> Result<u8> {
        ensure!(self.changes_something(), "you must provide one or more flags when using this command");
        each(&context.engine()?, &self.containers, |engine, name| engine.find(name)?.update(|host| self.apply(host)))
    }
}

impl Update {
    fn changes_something(&self) -> bool {
        let numbers = [self.cpu_period, self.cpu_quota, self.cpu_shares, self.cpus, self.pids_limit];
        let bytes = [self.memory, self.memory_reservation, self.memory_swap];
        let texts = [&self.cpuset_cpus, &self.cpuset_mems, &self.restart];
        let is_given = numbers.iter().chain(&bytes).any(Option::is_some) || texts.iter().any(|text| text.is_some());
        is_given || self.blkio_weight.is_some()
    }

    /// Changes what is asked for; says whether limits are among it.
    fn apply(&self, host: &mut HostConfig) -> Result<bool> {
        let before = host.clone();
        if let Some(policy) = &self.restart {
            if host.auto_remove {
                bail!("Restart policy cannot be updated because AutoRemove is enabled for the container");
            }
            host.restart_policy = options::restart(policy)?;
        }
        let policy = host.restart_policy.clone();
        host.memory = self.memory.unwrap_or(host.memory);
        host.memory_reservation = self.memory_reservation.unwrap_or(host.memory_reservation);
        host.memory_swap = self.memory_swap.unwrap_or(host.memory_swap);
        host.nano_cpus = self.cpus.unwrap_or(host.nano_cpus);
        host.cpu_period = self.cpu_period.unwrap_or(host.cpu_period);
        host.cpu_quota = self.cpu_quota.unwrap_or(host.cpu_quota);
        host.cpu_shares = self.cpu_shares.unwrap_or(host.cpu_shares);
        host.blkio_weight = self.blkio_weight.unwrap_or(host.blkio_weight);
        host.cpuset_cpus = self.cpuset_cpus.clone().unwrap_or_else(|| host.cpuset_cpus.clone());
        host.cpuset_mems = self.cpuset_mems.clone().unwrap_or_else(|| host.cpuset_mems.clone());
        host.pids_limit = self.pids_limit.or(host.pids_limit);
        Ok(HostConfig { restart_policy: policy, ..before } != *host)
    }
}
