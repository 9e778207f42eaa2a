//! `linux.resources.memory` → `memory.max`, `memory.swap.max`, `memory.low`.

use anyhow::{Result, bail};

use super::{IfMissing, Write, limit};
use crate::spec::resources::LinuxMemory;

pub(super) fn writes(memory: &LinuxMemory) -> Result<Vec<Write>> {
    let mut writes = Vec::new();
    for (field, value) in [("limit", memory.limit), ("reservation", memory.reservation), ("swap", memory.swap)] {
        if let Some(value) = value
            && value < -1
        {
            bail!("linux.resources.memory.{field}: {value} is neither a number of bytes nor -1 for no limit");
        }
    }
    if let Some(value) = swap_alone(memory)? {
        // Without swap accounting in the kernel nothing can be limited, and then nothing need be allowed either.
        let if_missing = if value == "max" || value == "0" { IfMissing::Skip } else { IfMissing::Refuse };
        let field = if memory.swap.unwrap_or(0) == 0 { "limit" } else { "swap" };
        let write = Write::new("memory.swap.max", value, format!("linux.resources.memory.{field}"));
        writes.push(write.if_missing(if_missing));
    }
    if let Some(value) = memory.limit.and_then(limit) {
        writes.push(Write::new("memory.max", value, "linux.resources.memory.limit"));
    }
    if let Some(value) = memory.reservation.and_then(limit) {
        writes.push(Write::new("memory.low", value, "linux.resources.memory.reservation"));
    }
    Ok(writes)
}

/// What `memory.swap.max` has to say: the specification counts memory and swap together, cgroup v2 swap alone.
pub fn swap_alone(memory: &LinuxMemory) -> Result<Option<String>> {
    let (limit, swap) = (memory.limit.unwrap_or(0), memory.swap.unwrap_or(0));
    Ok(match (limit, swap) {
        // Who takes the limit off memory and says nothing of swap means both, as it was with cgroup v1's memsw.
        (-1, 0) | (_, -1) => Some("max".to_owned()),
        (_, 0) => None,
        // Taken as it stands, as runc does: there is no limit on memory to take off it.
        (-1, _) => Some(swap.to_string()),
        (0, _) => bail!(
            "linux.resources.memory.swap: {swap} counts memory and swap together and so needs a limit on memory: set \
             linux.resources.memory.limit too"
        ),
        _ if swap < limit => bail!(
            "linux.resources.memory.swap: {swap} counts memory and swap together, it can't be below \
             linux.resources.memory.limit, which is {limit}"
        ),
        _ => Some(swap.saturating_sub(limit).to_string()),
    })
}

/// `checkBeforeUpdate`: refuses limits that the group exceeds already, where the kernel would reclaim and then kill.
pub fn refuse_below_usage(memory: &LinuxMemory, usage: u64) -> Result<()> {
    if memory.check_before_update != Some(true) {
        return Ok(());
    }
    for (field, value) in [("swap", memory.swap), ("limit", memory.limit)] {
        let value = value.unwrap_or(0);
        if value > 0 && value.unsigned_abs() <= usage {
            bail!("linux.resources.memory.{field}: {value} is refused (checkBeforeUpdate), {usage} bytes are in use");
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::{refusal, table};
    use super::*;

    #[test]
    fn swap_is_counted_alone() {
        for (resources, expected) in [
            (r#"{"memory":{"limit":100}}"#, &["memory.max = 100"][..]),
            (r#"{"memory":{"limit":100,"swap":100}}"#, &["memory.swap.max = 0", "memory.max = 100"]),
            (r#"{"memory":{"limit":100,"swap":150}}"#, &["memory.swap.max = 50", "memory.max = 100"]),
            (r#"{"memory":{"limit":100,"swap":-1}}"#, &["memory.swap.max = max", "memory.max = 100"]),
            (r#"{"memory":{"limit":100,"swap":0}}"#, &["memory.max = 100"]),
            (r#"{"memory":{"limit":-1}}"#, &["memory.swap.max = max", "memory.max = max"]),
            (r#"{"memory":{"limit":-1,"swap":-1}}"#, &["memory.swap.max = max", "memory.max = max"]),
            (r#"{"memory":{"limit":-1,"swap":300}}"#, &["memory.swap.max = 300", "memory.max = max"]),
            (r#"{"memory":{"swap":-1}}"#, &["memory.swap.max = max"]),
            (r#"{"memory":{"reservation":5}}"#, &["memory.low = 5"]),
            (r#"{"memory":{"reservation":-1}}"#, &["memory.low = max"]),
            (
                r#"{"memory":{"limit":9223372036854775807,"swap":9223372036854775807}}"#,
                &["memory.swap.max = 0", "memory.max = 9223372036854775807"],
            ),
        ] {
            assert_eq!(table(resources), expected, "{resources}");
        }
    }

    #[test]
    fn swap_that_can_not_be_is_refused() {
        for (resources, words) in [
            (r#"{"memory":{"swap":100}}"#, "needs a limit on memory"),
            (r#"{"memory":{"limit":100,"swap":99}}"#, "can't be below"),
            (r#"{"memory":{"limit":-2}}"#, "linux.resources.memory.limit: -2 is neither"),
            (r#"{"memory":{"limit":5,"swap":-7}}"#, "linux.resources.memory.swap: -7 is neither"),
        ] {
            assert!(refusal(resources).contains(words), "{resources}: {}", refusal(resources));
        }
    }

    #[test]
    fn a_kernel_without_swap_accounting_needs_no_word_on_it() {
        let write = |memory: LinuxMemory| writes(&memory).unwrap().remove(0);
        let some = LinuxMemory { limit: Some(100), swap: Some(150), ..LinuxMemory::default() };
        assert_eq!(write(some.clone()).if_missing, IfMissing::Refuse);
        assert_eq!(write(LinuxMemory { swap: Some(100), ..some.clone() }).if_missing, IfMissing::Skip);
        assert_eq!(write(LinuxMemory { swap: Some(-1), ..some }).if_missing, IfMissing::Skip);
    }

    #[test]
    fn limits_below_the_usage_are_refused_only_when_asked() {
        let asked = LinuxMemory { limit: Some(100), check_before_update: Some(true), ..LinuxMemory::default() };
        assert!(refuse_below_usage(&asked, 99).is_ok());
        assert!(refuse_below_usage(&asked, 100).unwrap_err().to_string().contains("memory.limit: 100 is refused"));
        assert!(refuse_below_usage(&LinuxMemory { limit: Some(-1), ..asked.clone() }, 100).is_ok());
        assert!(refuse_below_usage(&LinuxMemory { check_before_update: None, ..asked.clone() }, 100).is_ok());
        let swap = LinuxMemory { limit: None, swap: Some(50), ..asked };
        assert!(refuse_below_usage(&swap, 60).unwrap_err().to_string().contains("memory.swap: 50"));
    }
}
