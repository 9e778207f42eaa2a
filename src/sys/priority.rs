//! When and where a process runs: sched_setattr(2), ioprio_set(2), set_mempolicy(2), personality(2).

use rustix::io::Result;

use super::check;

/// The kernel's `struct sched_attr` (linux/sched/types.h), its first version.
#[repr(C)]
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Scheduling {
    /// The size of this structure, for the kernel; [`set_scheduling`] fills it in.
    pub size: u32,
    /// SCHED_*.
    pub policy: u32,
    /// SCHED_FLAG_*.
    pub flags: u64,
    /// −20 to 19.
    pub nice: i32,
    /// 1 to 99 for real-time policies.
    pub priority: u32,
    /// Nanoseconds.
    pub runtime: u64,
    /// Nanoseconds.
    pub deadline: u64,
    /// Nanoseconds.
    pub period: u64,
}

/// sched_setattr(2) of this thread.
pub fn set_scheduling(scheduling: Scheduling) -> Result<()> {
    let scheduling = Scheduling { size: size_of::<Scheduling>() as u32, ..scheduling };
    // SAFETY: a structure that says its own size and outlives the call.
    check(unsafe { libc::syscall(libc::SYS_sched_setattr, 0, &raw const scheduling, 0) }).map(drop)
}

/// ioprio_set(2) of this process's group: class (1 real-time, 2 best effort, 3 idle) and level within it.
pub fn set_io_priority(class: u16, level: u16) -> Result<()> {
    const WHO_PROCESS_GROUP: libc::c_int = 2;
    let value = libc::c_int::from(class) << 13 | libc::c_int::from(level);
    // SAFETY: numbers go in.
    check(unsafe { libc::syscall(libc::SYS_ioprio_set, WHO_PROCESS_GROUP, 0, value) }).map(drop)
}

/// set_mempolicy(2): mode with its flags, and the nodes as a bit mask.
pub fn set_memory_policy(mode: u32, nodes: &[u64]) -> Result<()> {
    let (mask, bits) = if nodes.is_empty() { (std::ptr::null(), 0) } else { (nodes.as_ptr(), nodes.len() * 64 + 1) };
    // SAFETY: the mask is at least as long as it is said to be (the kernel takes one bit more than it reads).
    check(unsafe { libc::syscall(libc::SYS_set_mempolicy, mode, mask, bits) }).map(drop)
}

/// personality(2).
pub fn set_personality(domain: u32) -> Result<()> {
    // SAFETY: a number goes in.
    check(unsafe { libc::personality(domain.into()) }.into()).map(drop)
}
