//! `linux.resources` → the values to write, and the files to write them into. Pure: no kernel is asked.
//!
//! One file here for each controller; [`writes`] puts them in order. What a property means in cgroup v2 is described in
//! the kernel's Documentation/admin-guide/cgroup-v2.rst; most of them were thought out for cgroup v1 and are converted.

mod cpu;
mod hugetlb;
mod io;
mod memory;
mod pids;
mod rdma;
mod unified;
mod without_effect;

use std::collections::BTreeMap;

use anyhow::Result;

use crate::spec::resources::LinuxResources;

pub use cpu::weight_of_shares;
pub use io::weight_of_block_weight;
pub use memory::{refuse_below_usage, swap_alone};
pub use without_effect::without_effect;

/// One value to write into one file of a group, in one write(2).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Write {
    /// The file's name.
    pub file: String,
    /// What is written.
    pub value: String,
    /// The property it comes from, as a path in config.json.
    pub field: String,
    /// What to do where the kernel has no such file.
    pub if_missing: IfMissing,
}

/// What to do where the kernel has no file of a name, though the controller is there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum IfMissing {
    /// The value can't be held: an error.
    Refuse,
    /// The value says what is so anyway without the file.
    Skip,
    /// Another file means the same.
    Instead {
        /// The other file's name.
        file: String,
        /// The value in the other file's scale.
        value: String,
    },
}

impl Write {
    fn new(file: impl Into<String>, value: impl ToString, field: impl Into<String>) -> Write {
        Write { file: file.into(), value: value.to_string(), field: field.into(), if_missing: IfMissing::Refuse }
    }

    fn if_missing(self, if_missing: IfMissing) -> Write {
        Write { if_missing, ..self }
    }

    /// The controller that the file belongs to, which is the first part of its name; none for those that every group has.
    pub fn controller(&self) -> Option<&str> {
        let (controller, rest) = self.file.split_once('.')?;
        let is_everywhere =
            controller == "cgroup" || rest == "pressure" || matches!(self.file.as_str(), "cpu.stat" | "cpu.stat.local");
        (!is_everywhere).then_some(controller)
    }
}

/// Everything that has to be written, in the order in which the kernel takes it. `unified` comes last, so that it has
/// the last word over what the other properties were converted to.
///
/// Devices are not among it: they are a program, see [`crate::cgroup::devices`].
pub fn writes(resources: &LinuxResources) -> Result<Vec<Write>> {
    let mut all = Vec::new();
    if let Some(memory) = &resources.memory {
        all.extend(memory::writes(memory)?);
    }
    if let Some(cpu) = &resources.cpu {
        all.extend(cpu::writes(cpu)?);
    }
    if let Some(limit) = resources.pids.as_ref().and_then(|pids| pids.limit) {
        all.push(pids::write(limit));
    }
    if let Some(block_io) = &resources.block_io {
        all.extend(io::writes(block_io)?);
    }
    all.extend(hugetlb::writes(resources.hugepage_limits.as_deref().unwrap_or_default())?);
    if let Some(rdma) = &resources.rdma {
        all.extend(rdma::writes(rdma)?);
    }
    if let Some(unified) = &resources.unified {
        all.extend(unified::writes(unified)?);
    }
    Ok(all)
}

/// The controllers that these files need, each with the first property that needs it.
pub fn controllers(writes: &[Write]) -> BTreeMap<String, String> {
    let mut needed = BTreeMap::new();
    for write in writes {
        if let Some(controller) = write.controller() {
            needed.entry(controller.to_owned()).or_insert_with(|| write.field.clone());
        }
    }
    needed
}

/// A limit in bytes where 0 stands for "not given" and −1 for "none", as engines write it: both docker and Kubernetes send
/// a 0 for what their user did not ask for, and a container that may have no byte of memory can't be.
fn limit(value: i64) -> Option<String> {
    match value {
        0 => None,
        -1 => Some("max".to_owned()),
        bytes => Some(bytes.to_string()),
    }
}

#[cfg(test)]
fn table(resources: &str) -> Vec<String> {
    let resources = serde_json::from_str(resources).unwrap();
    writes(&resources).unwrap().into_iter().map(|write| format!("{} = {}", write.file, write.value)).collect()
}

#[cfg(test)]
fn refusal(resources: &str) -> String {
    let resources = serde_json::from_str(resources).unwrap();
    writes(&resources).unwrap_err().to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dockers_limits() {
        let resources = r#"{"memory":{"limit":67108864,"reservation":33554432,"swap":134217728},
            "cpu":{"shares":512,"quota":50000,"period":100000,"cpus":"0"},"pids":{"limit":64},"blockIO":{}}"#;
        assert_eq!(
            table(resources),
            [
                "memory.swap.max = 67108864",
                "memory.max = 67108864",
                "memory.low = 33554432",
                "cpu.weight = 59",
                "cpu.max = 50000 100000",
                "cpuset.cpus = 0",
                "pids.max = 64",
            ]
        );
    }

    #[test]
    fn nothing_asked_is_nothing_written() {
        assert!(table("{}").is_empty());
        assert!(
            table(
                r#"{"memory":{"limit":0,"swap":0},"cpu":{"shares":0,"quota":0,"period":0,"cpus":"","mems":""},
            "pids":{},"blockIO":{"weight":0},"hugepageLimits":[],"rdma":{},"unified":{}}"#
            )
            .is_empty()
        );
    }

    #[test]
    fn unified_has_the_last_word() {
        let resources = r#"{"unified":{"memory.max":"1"},"memory":{"limit":4096},"pids":{"limit":5}}"#;
        assert_eq!(table(resources), ["memory.max = 4096", "pids.max = 5", "memory.max = 1"]);
    }

    #[test]
    fn controllers_are_the_first_part_of_a_name() {
        let resources = r#"{"cpu":{"shares":2,"cpus":"0"},"hugepageLimits":[{"pageSize":"2MB","limit":0}],
            "unified":{"cgroup.max.depth":"3","memory.pressure":"some 1 2","misc.max":"a 1"}}"#;
        let writes = writes(&serde_json::from_str(resources).unwrap()).unwrap();
        let needed: Vec<(String, String)> = controllers(&writes).into_iter().collect();
        let pair = |controller: &str, field: &str| (controller.to_owned(), format!("linux.resources.{field}"));
        assert_eq!(
            needed,
            [
                pair("cpu", "cpu.shares"),
                pair("cpuset", "cpu.cpus"),
                pair("hugetlb", "hugepageLimits[0].limit"),
                pair("misc", "unified[\"misc.max\"]"),
            ]
        );
    }
}
