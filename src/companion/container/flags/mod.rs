//! The flags of `run` and `create`: docker's, and what a record becomes by them, a file for each part of it.

mod config;
mod health;
mod host;
pub(super) mod limits;
mod mounts;
mod networks;
mod root;
mod values;

use std::net::IpAddr;
use std::path::PathBuf;

use clap::{ArgAction, Args};

use self::limits::Limits;
use crate::companion::trust::Trust;
use crate::engine::record::{Membership, Mounted, Ulimit, Weight};
use crate::engine::{links, options};
use crate::image::platform::Platform;
use crate::network::endpoint::Link;

/// Everything that says what a container is.
#[derive(Debug, Args)]
pub(in crate::companion) struct Flags {
    /// Print help
    #[arg(long, action = ArgAction::Help)]
    help: Option<bool>,

    /// Add a line to /etc/hosts (NAME:ADDRESS)
    #[arg(long, value_name = "LIST", value_parser = values::add_host)]
    add_host: Vec<String>,

    /// Tell the runtime something (KEY=VALUE)
    #[arg(long, value_name = "ANNOTATION")]
    annotation: Vec<String>,

    /// Share of one block device (PATH:WEIGHT, 10 to 1000)
    #[arg(long, value_name = "PATH:WEIGHT", value_parser = options::devices::weight)]
    blkio_weight_device: Vec<Weight>,

    /// Add a capability
    #[arg(long, value_name = "CAPABILITY")]
    cap_add: Vec<String>,

    /// Drop a capability
    #[arg(long, value_name = "CAPABILITY")]
    cap_drop: Vec<String>,

    /// Where the container's cgroup is: a slice of systemd's (NAME.slice), or a path below which it is made without systemd
    #[arg(long, value_name = "PATH", default_value = "", hide_default_value = true)]
    cgroup_parent: String,

    /// The cgroup namespace: private or host
    #[arg(long, value_name = "MODE", default_value = "", hide_default_value = true)]
    cgroupns: String,

    /// Write the container's id to a file, which must not exist
    #[arg(long, value_name = "FILE")]
    pub(in crate::companion::container) cidfile: Option<PathBuf>,

    #[command(flatten)]
    limits: Limits,

    /// A device of the host (HOST[:CONTAINER][:rwm], or VENDOR/CLASS=NAME as its CDI file says)
    #[arg(long, value_name = "DEVICE")]
    device: Vec<String>,

    /// Allow devices ("c 42:* rwm")
    #[arg(long, value_name = "RULE")]
    device_cgroup_rule: Vec<String>,

    /// Limit reading from a block device (PATH:BYTES a second)
    #[arg(long, value_name = "PATH:RATE")]
    device_read_bps: Vec<String>,

    /// Limit reading from a block device (PATH:OPERATIONS a second)
    #[arg(long, value_name = "PATH:RATE")]
    device_read_iops: Vec<String>,

    /// Limit writing to a block device (PATH:BYTES a second)
    #[arg(long, value_name = "PATH:RATE")]
    device_write_bps: Vec<String>,

    /// Limit writing to a block device (PATH:OPERATIONS a second)
    #[arg(long, value_name = "PATH:RATE")]
    device_write_iops: Vec<String>,

    /// A name server
    #[arg(long, value_name = "ADDRESS", value_parser = values::address)]
    dns: Vec<String>,

    /// An option of resolv.conf
    #[arg(long, visible_alias = "dns-opt", value_name = "OPTION")]
    dns_option: Vec<String>,

    #[command(flatten)]
    trust: Trust,

    /// A domain to search names in
    #[arg(long, value_name = "DOMAIN")]
    dns_search: Vec<String>,

    /// The NIS domain
    #[arg(long, value_name = "NAME", default_value = "", hide_default_value = true)]
    domainname: String,

    /// The program in place of the image's entry point; empty for none
    #[arg(long, value_name = "PROGRAM")]
    entrypoint: Option<String>,

    /// Set a variable (NAME=VALUE, or NAME for the caller's value)
    #[arg(short, long, value_name = "VARIABLE")]
    env: Vec<String>,

    /// Read variables from a file
    #[arg(long, value_name = "FILE")]
    env_file: Vec<PathBuf>,

    /// Say that a port is used
    #[arg(long, value_name = "PORT")]
    expose: Vec<String>,

    /// GPUs, as their CDI files say: all, a number, or device=NAME[,NAME]... in quotes
    #[arg(long, value_name = "GPUS")]
    gpus: Vec<String>,

    /// A further group of the process
    #[arg(long, value_name = "GROUP")]
    group_add: Vec<String>,

    /// The line for the shell that asks how the container is
    #[arg(long, value_name = "LINE")]
    health_cmd: Option<String>,

    /// Time between two questions (30s)
    #[arg(long, value_name = "DURATION", value_parser = options::duration)]
    health_interval: Option<u64>,

    /// Failures in a row that make it unhealthy (3)
    #[arg(long, value_name = "INT")]
    health_retries: Option<u64>,

    /// Time between two questions during the start (5s)
    #[arg(long, value_name = "DURATION", value_parser = options::duration)]
    health_start_interval: Option<u64>,

    /// Time during which failures don't count (0s)
    #[arg(long, value_name = "DURATION", value_parser = options::duration)]
    health_start_period: Option<u64>,

    /// Time for an answer (30s)
    #[arg(long, value_name = "DURATION", value_parser = options::duration)]
    health_timeout: Option<u64>,

    /// The container's name for itself
    #[arg(short = 'h', long, value_name = "NAME", default_value = "", hide_default_value = true)]
    hostname: String,

    /// Have a process before the program that passes signals on and reaps
    #[arg(long)]
    init: bool,

    /// Keep the standard input open
    #[arg(short, long)]
    pub(in crate::companion::container) interactive: bool,

    /// An IPv4 address in a network made by a user
    #[arg(long, value_name = "ADDRESS")]
    ip: Option<String>,

    /// An IPv6 address in a network made by a user
    #[arg(long, value_name = "ADDRESS")]
    ip6: Option<String>,

    /// The IPC namespace: private, shareable, host, none, container:ID
    #[arg(long, value_name = "MODE", default_value = "", hide_default_value = true)]
    ipc: String,

    /// Attach a text (KEY=VALUE)
    #[arg(short, long, value_name = "LABEL", value_parser = values::label)]
    label: Vec<String>,

    /// Read labels from a file
    #[arg(long, value_name = "FILE")]
    label_file: Vec<PathBuf>,

    /// Have a name for another container (NAME[:ALIAS]), and in the default network variables of it
    #[arg(long, value_name = "LINK", value_parser = links::parse)]
    link: Vec<Link>,

    /// An address beside the network's
    #[arg(long, value_name = "ADDRESS")]
    link_local_ip: Vec<IpAddr>,

    /// Where the output goes: json-file, local, journald, none
    #[arg(long, value_name = "DRIVER", default_value = "json-file")]
    log_driver: String,

    /// An option of the log: max-size=10m and max-file=3 of files; tag=, labels=, labels-regex=, env=, env-regex= of json-file and journald
    #[arg(long, value_name = "OPTION")]
    log_opt: Vec<String>,

    /// The MAC address
    #[arg(long, value_name = "ADDRESS")]
    mac_address: Option<String>,

    /// Of cgroup v1 alone, and discarded: how gladly the kernel swaps its memory out, 0 to 100
    #[arg(long, value_name = "INT", allow_hyphen_values = true)]
    memory_swappiness: Option<i64>,

    /// Mount something (type=bind|volume|tmpfs,source=…,target=…,readonly,bind-recursive=disabled,relabel=shared|private,U; of volumes volume-opt=KEY=VALUE, volume-subpath=PATH)
    #[arg(long, value_name = "MOUNT", value_parser = options::mounts::mount)]
    mount: Vec<Mounted>,

    /// The container's name
    #[arg(long)]
    pub(in crate::companion::container) name: Option<String>,

    /// Connect to a network: its name, none, host, container:ID; several times for several names, each with alias=, ip=, ip6=, link-local-ip=, mac-address= and driver-opt= behind name=
    #[arg(long, visible_alias = "net", value_name = "NETWORK", default_value = "default", hide_default_value = true, value_parser = options::networks::network)]
    network: Vec<Membership>,

    /// A further name in the (first) network
    #[arg(long, visible_alias = "net-alias", value_name = "NAME")]
    network_alias: Vec<String>,

    /// Don't ask how the container is
    #[arg(long)]
    no_healthcheck: bool,

    /// Of cgroup v1 alone, and discarded: have it wait where it would be killed for want of memory
    #[arg(long)]
    oom_kill_disable: bool,

    /// How gladly the kernel kills it for want of memory, -1000 to 1000
    #[arg(long, value_name = "INT", default_value_t, allow_hyphen_values = true)]
    oom_score_adj: i32,

    /// The pid namespace: host, container:ID
    #[arg(long, value_name = "MODE", default_value = "", hide_default_value = true)]
    pid: String,

    /// The platform of an image that has several
    #[arg(long, value_name = "OS/ARCH[/VARIANT]")]
    pub(in crate::companion::container) platform: Option<Platform>,

    /// Give all privileges of the host
    #[arg(long)]
    privileged: bool,

    /// Publish a port ([[ADDRESS:]HOST:]CONTAINER[/PROTOCOL])
    #[arg(short, long, value_name = "PORT")]
    publish: Vec<String>,

    /// Publish all exposed ports
    #[arg(short = 'P', long)]
    publish_all: bool,

    /// Pull the image before: always, missing, never
    #[arg(long, value_name = "POLICY", default_value = "missing")]
    pub(in crate::companion::container) pull: super::pull::Policy,

    /// Say nothing of the pull
    #[arg(short, long)]
    pub(in crate::companion::container) quiet: bool,

    /// Mount the root read-only
    #[arg(long)]
    read_only: bool,

    /// Remove a container that has the name already, when nothing else is refused
    #[arg(long)]
    pub(in crate::companion::container) replace: bool,

    /// What to do at its end: no, on-failure[:COUNT], always, unless-stopped
    #[arg(long, value_name = "POLICY", default_value = "no")]
    restart: String,

    /// Remove the container and its anonymous volumes at its end
    #[arg(long)]
    rm: bool,

    /// Take the first argument for a root directory of the host or a bundle with one, not for an image
    #[arg(long)]
    pub(in crate::companion::container) rootfs: bool,

    /// The runtime: corten, which is a part of the program
    #[arg(long, value_name = "RUNTIME", default_value = "corten")]
    runtime: String,

    /// seccomp=PROFILE, apparmor=PROFILE, no-new-privileges, label=disable, label=PART:VALUE (user, role, type, level, filetype), systempaths=unconfined
    #[arg(long, value_name = "OPTION")]
    security_opt: Vec<String>,

    /// Size of /dev/shm (64m)
    #[arg(long, value_name = "BYTES", value_parser = options::bytes)]
    shm_size: Option<u64>,

    /// The signal that stops it
    #[arg(long, value_name = "SIGNAL")]
    stop_signal: Option<String>,

    /// Seconds until a container that was told to stop is killed
    #[arg(long, value_name = "SECONDS", allow_hyphen_values = true)]
    stop_timeout: Option<i64>,

    /// Limit what it writes over its image (size=BYTES); the file system of the store must have quotas of projects
    #[arg(long, value_name = "OPTION")]
    storage_opt: Vec<String>,

    /// A setting of the kernel (NAME=VALUE)
    #[arg(long, value_name = "SETTING")]
    sysctl: Vec<String>,

    /// Mount a tmpfs (PATH[:OPTIONS])
    #[arg(long, value_name = "TMPFS")]
    tmpfs: Vec<String>,

    /// Give it a terminal
    #[arg(short, long)]
    pub(in crate::companion::container) tty: bool,

    /// A resource limit (NAME=SOFT[:HARD])
    #[arg(long, value_name = "LIMIT", value_parser = options::ulimit)]
    ulimit: Vec<Ulimit>,

    /// The bits that files are made without, in octal (0022)
    #[arg(long, value_name = "MASK", default_value = "", hide_default_value = true)]
    umask: String,

    /// Whom it runs as (USER[:GROUP])
    #[arg(short, long, value_name = "USER")]
    user: Option<String>,

    /// The user namespace: host, private, auto, container:ID, and for an ordinary user keep-id or nomap
    #[arg(long, value_name = "MODE", default_value = "", hide_default_value = true)]
    userns: String,

    /// The UTS namespace: host
    #[arg(long, value_name = "MODE", default_value = "", hide_default_value = true)]
    uts: String,

    /// Mount a directory or a volume ([SOURCE:]TARGET[:OPTIONS], of which there are ro, z and Z for SELinux's labels, U to give its files to the container's user, O to throw away what is written)
    #[arg(short, long, value_name = "VOLUME")]
    volume: Vec<String>,

    /// What keeps volumes: local
    #[arg(long, value_name = "DRIVER", default_value = "local")]
    volume_driver: String,

    /// Mount what another container has mounted (CONTAINER[:ro])
    #[arg(long, value_name = "CONTAINER")]
    volumes_from: Vec<String>,

    /// The working directory
    #[arg(short, long, value_name = "DIRECTORY")]
    workdir: Option<String>,

    /// The image, and the program with its arguments in place of the image's
    #[arg(required = true, trailing_var_arg = true, value_name = "IMAGE [COMMAND [ARGUMENT]...]")]
    pub(in crate::companion::container) what: Vec<String>,
}
