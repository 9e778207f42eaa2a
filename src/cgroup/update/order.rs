//! The order of writes that hang on each other.

use crate::cgroup::plan::Write;

/// The burst may never be above the quota, neither the old nor the new one: one that shrinks is written before the quota,
/// one that grows after it, as the plan has it already.
pub(super) fn ordered(mut writes: Vec<Write>, current_burst: Option<&str>) -> Vec<Write> {
    let position = |name: &str| writes.iter().position(|write| write.file == name);
    let (Some(quota), Some(burst)) = (position("cpu.max"), position("cpu.max.burst")) else { return writes };
    let current: u64 = current_burst.and_then(|text| text.trim().parse().ok()).unwrap_or(0);
    let shrinks = writes[burst].value.parse().is_ok_and(|new: u64| new < current);
    if shrinks && quota < burst {
        let write = writes.remove(burst);
        writes.insert(quota, write);
    }
    writes
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cgroup::plan;

    fn files(current: Option<&str>) -> Vec<String> {
        let resources = r#"{"cpu":{"shares":5,"quota":50000,"burst":10000,"cpus":"0"}}"#;
        let writes = plan::writes(&serde_json::from_str(resources).unwrap()).unwrap();
        ordered(writes, current).into_iter().map(|write| write.file).collect()
    }

    #[test]
    fn a_burst_that_shrinks_comes_before_the_quota() {
        let after = ["cpu.weight", "cpu.max", "cpu.max.burst", "cpuset.cpus"];
        assert_eq!(files(None), after);
        assert_eq!(files(Some("0\n")), after);
        assert_eq!(files(Some("10000\n")), after);
        assert_eq!(files(Some("10001\n")), ["cpu.weight", "cpu.max.burst", "cpu.max", "cpuset.cpus"]);
    }
}
