//! `process`: the program that a container runs (config.md, "Process"). Also what `exec --process FILE` holds.

use serde::Deserialize;

use super::nullable;

/// The program, who it runs as and what holds for it.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Process {
    /// Whether stdio is a terminal of the container's own.
    #[serde(default, deserialize_with = "nullable")]
    pub terminal: bool,
    /// The terminal's size at the start.
    pub console_size: Option<ConsoleSize>,
    /// Who the process runs as.
    #[serde(default, deserialize_with = "nullable")]
    pub user: User,
    /// Program and arguments.
    #[serde(default, deserialize_with = "nullable")]
    pub args: Vec<String>,
    /// `NAME=value`; the last of a name wins.
    #[serde(default, deserialize_with = "nullable")]
    pub env: Vec<String>,
    /// An absolute path inside the container.
    #[serde(default, deserialize_with = "nullable")]
    pub cwd: String,
    /// The five sets; absent means none at all.
    pub capabilities: Option<Capabilities>,
    /// Resource limits of the process, setrlimit(2).
    #[serde(default, deserialize_with = "nullable")]
    pub rlimits: Vec<Rlimit>,
    /// PR_SET_NO_NEW_PRIVS.
    #[serde(default, deserialize_with = "nullable")]
    pub no_new_privileges: bool,
    /// The AppArmor profile for the program.
    #[serde(default, deserialize_with = "nullable")]
    pub apparmor_profile: String,
    /// `/proc/self/oom_score_adj`; absent leaves it as it is.
    pub oom_score_adj: Option<i32>,
    /// The SELinux context for the program.
    #[serde(default, deserialize_with = "nullable")]
    pub selinux_label: String,
    /// ioprio_set(2).
    pub io_priority: Option<IoPriority>,
    /// sched_setattr(2).
    pub scheduler: Option<Scheduler>,
    /// Which CPUs a process of `exec` uses, before and after it is in the container's cgroup.
    #[serde(rename = "execCPUAffinity")]
    pub exec_cpu_affinity: Option<CpuAffinity>,
}

/// In character cells.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
pub struct ConsoleSize {
    /// Rows.
    pub height: u16,
    /// Columns.
    pub width: u16,
}

/// POSIX user.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct User {
    /// In the container's user namespace.
    #[serde(default, deserialize_with = "nullable")]
    pub uid: u32,
    /// In the container's user namespace.
    #[serde(default, deserialize_with = "nullable")]
    pub gid: u32,
    /// umask(2); absent is 0022.
    pub umask: Option<u32>,
    /// Supplementary groups.
    #[serde(default, deserialize_with = "nullable")]
    pub additional_gids: Vec<u32>,
}

/// capabilities(7), by name (`CAP_CHOWN`).
#[derive(Debug, Clone, Default, Deserialize)]
pub struct Capabilities {
    /// What the process and its children can ever have.
    #[serde(default, deserialize_with = "nullable")]
    pub bounding: Vec<String>,
    /// What is in force.
    #[serde(default, deserialize_with = "nullable")]
    pub effective: Vec<String>,
    /// What is kept over execve(2) of a file that has it too.
    #[serde(default, deserialize_with = "nullable")]
    pub inheritable: Vec<String>,
    /// What can be put in force.
    #[serde(default, deserialize_with = "nullable")]
    pub permitted: Vec<String>,
    /// What is kept over execve(2) of any file.
    #[serde(default, deserialize_with = "nullable")]
    pub ambient: Vec<String>,
}

/// One resource limit.
#[derive(Debug, Clone, Default, Deserialize)]
pub struct Rlimit {
    /// `RLIMIT_NOFILE` and the like.
    #[serde(rename = "type")]
    pub kind: String,
    /// The ceiling.
    pub hard: u64,
    /// What is in force.
    pub soft: u64,
}

/// ioprio_set(2).
#[derive(Debug, Clone, Default, Deserialize)]
pub struct IoPriority {
    /// `IOPRIO_CLASS_RT`, `IOPRIO_CLASS_BE` or `IOPRIO_CLASS_IDLE`.
    pub class: String,
    /// 0 (first) to 7 within the class.
    #[serde(default, deserialize_with = "nullable")]
    pub priority: i32,
}

/// sched_setattr(2).
#[derive(Debug, Clone, Default, Deserialize)]
pub struct Scheduler {
    /// `SCHED_OTHER`, `SCHED_FIFO` and the like.
    pub policy: String,
    /// −20 to 19, for SCHED_OTHER and SCHED_BATCH.
    #[serde(default, deserialize_with = "nullable")]
    pub nice: i32,
    /// 1 to 99, for SCHED_FIFO and SCHED_RR.
    #[serde(default, deserialize_with = "nullable")]
    pub priority: i32,
    /// `SCHED_FLAG_…`.
    #[serde(default, deserialize_with = "nullable")]
    pub flags: Vec<String>,
    /// Nanoseconds, for SCHED_DEADLINE.
    #[serde(default, deserialize_with = "nullable")]
    pub runtime: u64,
    /// Nanoseconds, for SCHED_DEADLINE.
    #[serde(default, deserialize_with = "nullable")]
    pub deadline: u64,
    /// Nanoseconds, for SCHED_DEADLINE.
    #[serde(default, deserialize_with = "nullable")]
    pub period: u64,
}

/// Lists of CPUs as in cpuset(7): `0-3,7`.
#[derive(Debug, Clone, Default, Deserialize)]
pub struct CpuAffinity {
    /// While the process is being made, before it is moved into the cgroup.
    #[serde(default, deserialize_with = "nullable")]
    pub initial: String,
    /// From then on.
    #[serde(rename = "final", default, deserialize_with = "nullable")]
    pub last: String,
}
