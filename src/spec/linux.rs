//! `linux`: what only Linux has (config-linux.md).

use std::collections::BTreeMap;

use serde::Deserialize;

use super::nullable;
use super::resources::LinuxResources;
use super::seccomp::Seccomp;

/// The `linux` object.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Linux {
    /// Which namespaces are new, which are joined; a type that is not listed is the runtime's own.
    #[serde(default, deserialize_with = "nullable")]
    pub namespaces: Vec<Namespace>,
    /// user_namespaces(7), of a new user namespace.
    #[serde(default, deserialize_with = "nullable")]
    pub uid_mappings: Vec<IdMapping>,
    /// user_namespaces(7), of a new user namespace.
    #[serde(default, deserialize_with = "nullable")]
    pub gid_mappings: Vec<IdMapping>,
    /// time_namespaces(7): by clock, `monotonic` and `boottime`.
    #[serde(default, deserialize_with = "nullable")]
    pub time_offsets: BTreeMap<String, TimeOffset>,
    /// Device nodes beyond the default ones.
    #[serde(default, deserialize_with = "nullable")]
    pub devices: Vec<Device>,
    /// Network devices of the host that are moved into the container, by their name on the host.
    #[serde(default, deserialize_with = "nullable")]
    pub net_devices: BTreeMap<String, NetDevice>,
    /// Where the container's cgroup is.
    #[serde(default, deserialize_with = "nullable")]
    pub cgroups_path: String,
    /// Limits.
    pub resources: Option<LinuxResources>,
    /// How mounts of the root propagate: `shared`, `slave`, `private`, `unbindable`, or with an `r` before.
    #[serde(default, deserialize_with = "nullable")]
    pub rootfs_propagation: String,
    /// The filter of system calls.
    pub seccomp: Option<Seccomp>,
    /// Kernel parameters, in the container's namespaces.
    #[serde(default, deserialize_with = "nullable")]
    pub sysctl: BTreeMap<String, String>,
    /// Hidden from the container.
    #[serde(default, deserialize_with = "nullable")]
    pub masked_paths: Vec<String>,
    /// Read-only in the container.
    #[serde(default, deserialize_with = "nullable")]
    pub readonly_paths: Vec<String>,
    /// The SELinux context of the mounts.
    #[serde(default, deserialize_with = "nullable")]
    pub mount_label: String,
    /// Cache and memory bandwidth.
    pub intel_rdt: Option<IntelRdt>,
    /// personality(2).
    pub personality: Option<Personality>,
    /// set_mempolicy(2).
    pub memory_policy: Option<MemoryPolicy>,
}

/// One namespace.
#[derive(Debug, Clone, Default, Deserialize)]
pub struct Namespace {
    /// `pid`, `network`, `mount`, `ipc`, `uts`, `user`, `cgroup` or `time`.
    #[serde(rename = "type")]
    pub kind: String,
    /// The namespace to join; empty for a new one.
    #[serde(default, deserialize_with = "nullable")]
    pub path: String,
}

/// One line of a user namespace's map.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
pub struct IdMapping {
    /// The first id inside.
    #[serde(rename = "containerID")]
    pub container_id: u32,
    /// The first id outside.
    #[serde(rename = "hostID")]
    pub host_id: u32,
    /// How many.
    pub size: u32,
}

/// How far a clock is off the host's.
#[derive(Debug, Clone, Copy, Default, Deserialize)]
pub struct TimeOffset {
    /// Seconds.
    #[serde(default, deserialize_with = "nullable")]
    pub secs: i64,
    /// Nanoseconds.
    #[serde(default, deserialize_with = "nullable")]
    pub nanosecs: u32,
}

/// A node below `/dev`.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Device {
    /// `c`, `u`, `b` or `p`.
    #[serde(rename = "type")]
    pub kind: String,
    /// Inside the container.
    pub path: String,
    /// Not for `p`.
    pub major: Option<i64>,
    /// Not for `p`.
    pub minor: Option<i64>,
    /// Permission bits; 0666 when absent.
    pub file_mode: Option<u32>,
    /// Owner, in the container's user namespace.
    pub uid: Option<u32>,
    /// Group, in the container's user namespace.
    pub gid: Option<u32>,
}

/// A network device of the host.
#[derive(Debug, Clone, Default, Deserialize)]
pub struct NetDevice {
    /// Its name in the container; empty to keep it.
    #[serde(default, deserialize_with = "nullable")]
    pub name: String,
}

/// resctrl: a class of service.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct IntelRdt {
    /// The group's name; the container's id when empty.
    #[serde(rename = "closID", default, deserialize_with = "nullable")]
    pub clos_id: String,
    /// Lines for the group's `schemata`.
    #[serde(default, deserialize_with = "nullable")]
    pub schemata: Vec<String>,
    /// The L3 line.
    #[serde(default, deserialize_with = "nullable")]
    pub l3_cache_schema: String,
    /// The MB line.
    #[serde(default, deserialize_with = "nullable")]
    pub mem_bw_schema: String,
    /// Whether a monitoring group is made.
    #[serde(default, deserialize_with = "nullable")]
    pub enable_monitoring: bool,
}

/// personality(2).
#[derive(Debug, Clone, Default, Deserialize)]
pub struct Personality {
    /// `LINUX` or `LINUX32`.
    pub domain: String,
    /// None is defined by the specification.
    #[serde(default, deserialize_with = "nullable")]
    pub flags: Vec<String>,
}

/// set_mempolicy(2).
#[derive(Debug, Clone, Default, Deserialize)]
pub struct MemoryPolicy {
    /// `MPOL_BIND` and the like.
    pub mode: String,
    /// A list of nodes: `0-3,7`.
    #[serde(default, deserialize_with = "nullable")]
    pub nodes: String,
    /// `MPOL_F_…`.
    #[serde(default, deserialize_with = "nullable")]
    pub flags: Vec<String>,
}
