//! What was asked for: the record of a container. Names and meanings are those of docker's API (`Config`, `HostConfig`), so that
//! `inspect` prints what people and programs know.

use std::collections::BTreeMap;
use std::net::IpAddr;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::image::digest::Digest;
use crate::image::layer::copy::IdMaps;
use crate::network::endpoint::Link;

/// The file in a container's directory.
pub const FILE: &str = "container.json";

/// A container as it was asked for.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct Record {
    /// 64 hexadecimal digits.
    pub id: String,
    /// Unique among the containers of a store.
    pub name: String,
    /// RFC 3339.
    pub created: String,
    /// The image's configuration; none for a root directory of the caller's.
    pub image: Option<Digest>,
    /// The image's manifest, which keeps the image in the store.
    pub manifest: Option<Digest>,
    /// The image's layers, the lowest first.
    pub layers: Vec<Digest>,
    /// A directory of the caller's instead of an image.
    pub rootfs: Option<String>,
    /// What the container is.
    pub config: Config,
    /// What it has of the host.
    pub host_config: HostConfig,
    /// How its ids are ids of the engine's, if it has a user namespace of its own.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ids: Option<IdMaps>,
    /// What is mounted in it.
    pub mounts: Vec<Mounted>,
    /// The networks that it is to be in: the one that it was made for, and what `network connect` and `disconnect` made of that. The
    /// first one has the default route and the published ports.
    pub networks: Vec<Membership>,
}

/// What a container is.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
#[allow(missing_docs, reason = "the names of docker's API are the documentation")]
pub struct Config {
    pub hostname: String,
    pub domainname: String,
    pub user: String,
    pub attach_stdin: bool,
    pub attach_stdout: bool,
    pub attach_stderr: bool,
    pub exposed_ports: BTreeMap<String, Value>,
    pub tty: bool,
    pub open_stdin: bool,
    pub stdin_once: bool,
    pub env: Vec<String>,
    pub cmd: Vec<String>,
    pub healthcheck: Option<HealthCheck>,
    pub image: String,
    pub volumes: BTreeMap<String, Value>,
    pub working_dir: String,
    pub entrypoint: Vec<String>,
    pub labels: BTreeMap<String, String>,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub stop_signal: String,
    /// Seconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stop_timeout: Option<i64>,
    /// podman's: umask(2) of what runs, as octal digits; 0022 if nothing is said.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub umask: String,
}

/// How the health of a container is asked. Times are nanoseconds, 0 is docker's default.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct HealthCheck {
    /// `NONE`; `CMD` and a program; `CMD-SHELL` and a line for the shell.
    pub test: Vec<String>,
    /// Between two questions.
    #[serde(skip_serializing_if = "is_zero")]
    pub interval: u64,
    /// For an answer.
    #[serde(skip_serializing_if = "is_zero")]
    pub timeout: u64,
    /// While failures don't count.
    #[serde(skip_serializing_if = "is_zero")]
    pub start_period: u64,
    /// Between two questions during the start.
    #[serde(skip_serializing_if = "is_zero")]
    pub start_interval: u64,
    /// Failures in a row that make a container unhealthy.
    #[serde(skip_serializing_if = "is_zero")]
    pub retries: u64,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands a reference")]
fn is_zero(number: &u64) -> bool {
    *number == 0
}

/// What a container has of the host.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
#[allow(missing_docs, reason = "the names of docker's API are the documentation")]
pub struct HostConfig {
    pub binds: Vec<String>,
    pub volumes_from: Vec<String>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: BTreeMap<String, String>,
    #[serde(rename = "ContainerIDFile")]
    pub container_id_file: String,
    pub log_config: LogConfig,
    pub network_mode: String,
    pub port_bindings: BTreeMap<String, Vec<PortBinding>>,
    pub publish_all_ports: bool,
    pub restart_policy: RestartPolicy,
    pub auto_remove: bool,
    pub cap_add: Vec<String>,
    pub cap_drop: Vec<String>,
    pub cgroupns_mode: String,
    pub cgroup_parent: String,
    pub dns: Vec<String>,
    pub dns_options: Vec<String>,
    pub dns_search: Vec<String>,
    pub extra_hosts: Vec<String>,
    pub group_add: Vec<String>,
    pub ipc_mode: String,
    pub pid_mode: String,
    #[serde(rename = "UTSMode")]
    pub uts_mode: String,
    pub userns_mode: String,
    pub oom_score_adj: i32,
    pub privileged: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub init: Option<bool>,
    pub readonly_rootfs: bool,
    pub security_opt: Vec<String>,
    pub shm_size: u64,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub storage_opt: BTreeMap<String, String>,
    pub sysctls: BTreeMap<String, String>,
    pub tmpfs: BTreeMap<String, String>,
    pub ulimits: Vec<Ulimit>,
    pub devices: Vec<Device>,
    pub device_cgroup_rules: Vec<String>,
    pub device_requests: Vec<DeviceRequest>,
    pub memory: i64,
    pub memory_reservation: i64,
    pub memory_swap: i64,
    pub memory_swappiness: Option<i64>,
    pub nano_cpus: i64,
    pub cpu_shares: i64,
    pub cpu_period: i64,
    pub cpu_quota: i64,
    pub cpuset_cpus: String,
    pub cpuset_mems: String,
    pub pids_limit: Option<i64>,
    pub blkio_weight: u16,
    pub blkio_weight_device: Vec<Weight>,
    pub blkio_device_read_bps: Vec<Throttle>,
    pub blkio_device_write_bps: Vec<Throttle>,
    #[serde(rename = "BlkioDeviceReadIOps", alias = "BlkioDeviceReadIops")]
    pub blkio_device_read_iops: Vec<Throttle>,
    #[serde(rename = "BlkioDeviceWriteIOps", alias = "BlkioDeviceWriteIops")]
    pub blkio_device_write_iops: Vec<Throttle>,
    pub masked_paths: Option<Vec<String>>,
    pub readonly_paths: Option<Vec<String>>,
}

/// What is wanted of a network.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct Membership {
    /// Its name.
    pub network: String,
    /// Further names by which the container is found there.
    pub aliases: Vec<String>,
    /// Addresses that it is to have, one for each family at most.
    pub addresses: Vec<IpAddr>,
    /// The hardware address that it is to have.
    pub mac_address: Option<String>,
    /// Names that it has for others, which are names or ids.
    pub links: Vec<Link>,
    /// Addresses that it is to have beside that of the network.
    pub link_local: Vec<IpAddr>,
    /// What the link's driver is told: `com.docker.network.endpoint.ifname` and `com.docker.network.endpoint.sysctls`.
    pub driver_opts: BTreeMap<String, String>,
    /// How much its way outside is preferred to those of the others.
    #[serde(skip_serializing_if = "is_none_preferred")]
    pub gw_priority: i32,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands a reference")]
fn is_none_preferred(priority: &i32) -> bool {
    *priority == 0
}

/// Where what a container says goes.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct LogConfig {
    /// `json-file`, `local` or `none`.
    #[serde(rename = "Type")]
    pub kind: String,
    /// Options by their names.
    pub config: BTreeMap<String, String>,
}

/// A port of the host.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct PortBinding {
    /// An address, or all.
    pub host_ip: String,
    /// A number, a range, or empty for a free one.
    pub host_port: String,
}

/// What happens at a container's end.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct RestartPolicy {
    /// `no`, `on-failure`, `always` or `unless-stopped`.
    pub name: String,
    /// For `on-failure`; 0 without limit.
    pub maximum_retry_count: u64,
}

impl RestartPolicy {
    /// Whether it has to do with the machine's start.
    pub(super) fn is_for_boot(&self) -> bool {
        matches!(self.name.as_str(), "always" | "unless-stopped")
    }
}

/// A resource limit (setrlimit(2)).
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
#[allow(missing_docs, reason = "the names of docker's API are the documentation")]
pub struct Ulimit {
    pub name: String,
    pub hard: i64,
    pub soft: i64,
}

/// A device of the host.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
#[allow(missing_docs, reason = "the names of docker's API are the documentation")]
pub struct Device {
    pub path_on_host: String,
    pub path_in_container: String,
    pub cgroup_permissions: String,
}

/// Devices that a driver knows: `--gpus`, and `--device` with a name of CDI.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct DeviceRequest {
    /// `cdi` for full names; else a vendor of GPUs, or any.
    pub driver: String,
    /// How many; -1 for all.
    pub count: i64,
    /// Which.
    #[serde(rename = "DeviceIDs")]
    pub device_ids: Vec<String>,
    /// What they are for.
    pub capabilities: Vec<Vec<String>>,
    /// For the driver.
    pub options: BTreeMap<String, String>,
}

/// A limit for a block device.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
#[allow(missing_docs, reason = "the names of docker's API are the documentation")]
pub struct Throttle {
    pub path: String,
    pub rate: u64,
}

/// The share of a block device.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
#[allow(missing_docs, reason = "the names of docker's API are the documentation")]
pub struct Weight {
    pub path: String,
    pub weight: u16,
}

/// Something mounted in a container, as `inspect` shows it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct Mounted {
    /// `bind`, `volume` or `tmpfs`.
    #[serde(rename = "Type")]
    pub kind: String,
    /// A volume's name.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub name: String,
    /// A path of the host.
    pub source: String,
    /// A path of the container.
    pub destination: String,
    /// `local` for volumes.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub driver: String,
    /// The options as they were given.
    pub mode: String,
    /// Whether it can be written.
    #[serde(rename = "RW")]
    pub writable: bool,
    /// How mounts come through.
    pub propagation: String,
    /// Whether the image's files are copied into a volume that is empty.
    #[serde(skip_serializing_if = "is_false")]
    pub copies: bool,
    /// How what is mounted below the source comes along, if not all of it and as it is to be: `disabled`, `writable`, `readonly`.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub recursion: String,
    /// The part of the volume that is mounted, if not all of it.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub subpath: String,
    /// Who is to have the files of the source by SELinux's label: `shared`, all containers; `private`, those of this one's level.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub relabel: String,
    /// Whether the files of the source become those of the container's user.
    #[serde(skip_serializing_if = "is_false")]
    pub owned: bool,
    /// The directory of the host on which what the container writes lies for as long as it runs.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub covered: String,
    /// What is mounted in a volume that is made for it.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub options: BTreeMap<String, String>,
    /// Whether the volume was made for this container, and goes with it under `--rm` and `rm -v`.
    #[serde(skip_serializing_if = "is_false")]
    pub anonymous: bool,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands a reference")]
fn is_false(value: &bool) -> bool {
    !value
}

impl Record {
    /// The first twelve digits of the id.
    pub fn short(&self) -> &str {
        short(&self.id)
    }

    /// Names of its networks, or the word for having none of its own.
    pub fn network_names(&self) -> Vec<&str> {
        match self.host_config.network_mode.as_str() {
            mode if mode == "host" || mode.starts_with("container:") => vec![mode],
            mode if super::pasta::options(mode).is_some() => vec![mode],
            "none" if self.networks.is_empty() => vec!["none"],
            _ => self.networks.iter().map(|membership| membership.network.as_str()).collect(),
        }
    }

    /// Program and arguments.
    pub fn command(&self) -> Vec<String> {
        [&self.config.entrypoint[..], &self.config.cmd[..]].concat()
    }
}

/// The first twelve digits of an id.
pub fn short(id: &str) -> &str {
    id.get(..12).unwrap_or(id)
}
