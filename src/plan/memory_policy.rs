//! `linux.memoryPolicy`: set_mempolicy(2).

use std::collections::BTreeSet;

use anyhow::{Result, bail};

use super::step::Step;
use crate::spec::linux::MemoryPolicy;

/// The step for a policy.
pub fn memory_policy(policy: &MemoryPolicy) -> Result<Step> {
    let mut mode = match policy.mode.as_str() {
        "MPOL_DEFAULT" => 0,
        "MPOL_PREFERRED" => 1,
        "MPOL_BIND" => 2,
        "MPOL_INTERLEAVE" => 3,
        "MPOL_LOCAL" => 4,
        "MPOL_PREFERRED_MANY" => 5,
        "MPOL_WEIGHTED_INTERLEAVE" => 6,
        other => bail!("linux.memoryPolicy.mode: {other:?} is not a memory policy"),
    };
    for (index, flag) in policy.flags.iter().enumerate() {
        mode |= match flag.as_str() {
            "MPOL_F_STATIC_NODES" => 1 << 15,
            "MPOL_F_RELATIVE_NODES" => 1 << 14,
            "MPOL_F_NUMA_BALANCING" => 1 << 13,
            other => bail!("linux.memoryPolicy.flags[{index}]: {other:?} is not a flag of a memory policy"),
        };
    }
    let nodes = bits(&policy.nodes).map_err(|reason| anyhow::anyhow!("linux.memoryPolicy.nodes: {reason}"))?;
    Ok(Step::MemoryPolicy { mode, nodes })
}

/// The numbers of a list as cpuset(7) writes it: `0-3,7`, in ascending order.
pub fn list(text: &str) -> std::result::Result<Vec<usize>, String> {
    const MOST: usize = 8192;
    // A set: a text that names the same ranges again and again must not fill the memory.
    let mut numbers = BTreeSet::new();
    for part in text.split(',').map(str::trim).filter(|part| !part.is_empty()) {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let range = first.trim().parse::<usize>().ok().zip(last.trim().parse::<usize>().ok());
        match range {
            Some((first, last)) if first <= last && last < MOST => numbers.extend(first..=last),
            _ => return Err(format!("{text:?} is not a list of numbers such as \"0-3,7\" (below {MOST})")),
        }
    }
    Ok(numbers.into_iter().collect())
}

fn bits(text: &str) -> std::result::Result<Vec<u64>, String> {
    let numbers = list(text)?;
    let mut mask = vec![0u64; numbers.iter().max().map_or(0, |last| last / 64 + 1)];
    for number in numbers {
        mask[number / 64] |= 1 << (number % 64);
    }
    Ok(mask)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_are_read_as_the_kernel_writes_them() {
        assert_eq!(list("0-2,7").unwrap(), [0, 1, 2, 7]);
        assert_eq!(list("").unwrap(), [0usize; 0]);
        assert_eq!(list("7,3-4,4-5,3").unwrap(), [3, 4, 5, 7]);
        assert_eq!(bits("0,64-65").unwrap(), [1, 3]);
        for wrong in ["x", "3-1", "1-", "99999999999"] {
            assert!(list(wrong).is_err(), "{wrong}");
        }
    }
}
