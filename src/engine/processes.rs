//! The processes of a container.

use std::fs;

use anyhow::Result;

use super::Container;
use crate::container;

impl Container<'_> {
    /// Whether it has a cgroup, which the container of an ordinary user may be without.
    pub fn has_group(&self) -> bool {
        self.engine.host().root.join(self.id()).join("cgroup").is_symlink()
    }

    /// Those of its cgroup; where an ordinary user could make none, those of its pid namespace.
    pub fn pids(&self) -> Result<Vec<i32>> {
        let has_namespace = matches!(self.record.host_config.pid_mode.as_str(), "" | "private");
        let namespace = |pid: i32| fs::read_link(format!("/proc/{pid}/ns/pid")).ok();
        if self.has_group() || !has_namespace {
            return container::pids(&self.engine.host(), self.id());
        }
        let Some(own) = namespace(self.state()?.pid) else { return Ok(Vec::new()) };
        let all = fs::read_dir("/proc").into_iter().flatten().flatten();
        let mut pids: Vec<i32> = all.filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect();
        pids.retain(|pid| namespace(*pid).as_ref() == Some(&own));
        Ok(pids)
    }
}
