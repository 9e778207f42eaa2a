//! The limits that `run` and `create` set, and that `update` changes.

use clap::Args;

use crate::engine::options;
use crate::engine::record::HostConfig;

/// What may be changed while a container runs. What isn't given stays as it is.
#[derive(Debug, Clone, Default, Args)]
pub(in crate::companion::container) struct Limits {
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
}

impl Limits {
    /// Whether any is given.
    pub(in crate::companion::container) fn are_given(&self) -> bool {
        let numbers = [self.cpu_period, self.cpu_quota, self.cpu_shares, self.cpus, self.pids_limit];
        let bytes = [self.memory, self.memory_reservation, self.memory_swap];
        let has_text = self.cpuset_cpus.is_some() || self.cpuset_mems.is_some();
        has_text || self.blkio_weight.is_some() || numbers.iter().chain(&bytes).any(Option::is_some)
    }

    /// Puts those that are given in the place of what is there.
    pub(in crate::companion::container) fn apply(&self, host: &mut HostConfig) {
        let numbers = [
            (&mut host.cpu_period, self.cpu_period),
            (&mut host.cpu_quota, self.cpu_quota),
            (&mut host.cpu_shares, self.cpu_shares),
            (&mut host.nano_cpus, self.cpus),
            (&mut host.memory, self.memory),
            (&mut host.memory_reservation, self.memory_reservation),
            (&mut host.memory_swap, self.memory_swap),
        ];
        for (field, given) in numbers {
            *field = given.unwrap_or(*field);
        }
        host.blkio_weight = self.blkio_weight.unwrap_or(host.blkio_weight);
        host.pids_limit = self.pids_limit.or(host.pids_limit);
        for (field, given) in [(&mut host.cpuset_cpus, &self.cpuset_cpus), (&mut host.cpuset_mems, &self.cpuset_mems)] {
            if let Some(given) = given {
                field.clone_from(given);
            }
        }
    }
}
