//! A container whose first process was killed for want of memory before it ran its program: it can't say so itself.

use anyhow::{Result, ensure};

use super::record::{Record, stat};
use crate::cgroup::Group;
use crate::sys::clone::Child;

/// What is said of it; runc's words.
pub(super) const REASON: &str = "container init was OOM-killed (memory limit too low?)";

/// Whether the container has a limit of its own that could kill.
pub(super) fn is_limited(record: &Record) -> bool {
    let memory = record.resources.as_ref().and_then(|resources| resources.memory.as_ref());
    memory.and_then(|memory| memory.limit).is_some_and(|limit| limit > 0)
}

/// How many processes of the group the kernel has killed for want of memory.
pub(super) fn kills(group: Option<&Group>) -> u64 {
    group.and_then(|group| group.out_of_memory_kills().ok()).unwrap_or(0)
}

/// Tells execve(2) from a kill on the way there: either of them closes init's end of what it reports to. The kernel counts a kill
/// before it kills (`__oom_kill_process()` in mm/oom_kill.c), and a process that ends loses its memory before its descriptors
/// (`do_exit()` in kernel/exit.c): whoever has seen the end of file sees both.
pub(super) fn check_executed(record: &Record, group: Option<&Group>, init: &Child) -> Result<()> {
    if !is_limited(record) || kills(group) == 0 {
        return Ok(());
    }
    let now = stat(init.pid.as_raw_nonzero().get())?;
    let runs = now.is_some_and(|now| now.address_space > 0);
    ensure!(runs, "the container's process was killed before it ran its program");
    Ok(())
}
