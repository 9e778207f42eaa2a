//! The flags of `run` and `create`: docker's, and what a record becomes by them.

use std::collections::BTreeMap;
use std::path::PathBuf;

use anyhow::{Context as _, Result, bail, ensure};
use clap::{ArgAction, Args};
use serde_json::json;

use crate::engine::Wanted;
use crate::engine::options::{self, devices, environment, mounts, ports};
use crate::engine::record::{Config, HealthCheck, HostConfig, Record};
use crate::image::platform::Platform;
use crate::image::store::table::Image;

/// Everything that says what a container is.
#[derive(Debug, Args)]
pub(in crate::companion) struct Flags {
    /// Print help
    #[arg(long, action = ArgAction::Help)]
    help: Option<bool>,

    /// Add a line to /etc/hosts (NAME:ADDRESS)
    #[arg(long, value_name = "LIST")]
    add_host: Vec<String>,

    /// Tell the runtime something (KEY=VALUE)
    #[arg(long, value_name = "ANNOTATION")]
    annotation: Vec<String>,

    /// Share of block devices, 10 to 1000
    #[arg(long, value_name = "UINT16", default_value_t)]
    blkio_weight: u16,

    /// Add a capability
    #[arg(long, value_name = "CAPABILITY")]
    cap_add: Vec<String>,

    /// Drop a capability
    #[arg(long, value_name = "CAPABILITY")]
    cap_drop: Vec<String>,

    /// The cgroup below which the container's is made
    #[arg(long, value_name = "PATH", default_value = "", hide_default_value = true)]
    cgroup_parent: String,

    /// The cgroup namespace: private or host
    #[arg(long, value_name = "MODE", default_value = "", hide_default_value = true)]
    cgroupns: String,

    /// Write the container's id to a file, which must not exist
    #[arg(long, value_name = "FILE")]
    pub(super) cidfile: Option<PathBuf>,

    /// Length of a period of the CPU's quota, in microseconds
    #[arg(long, value_name = "INT", default_value_t)]
    cpu_period: i64,

    /// Microseconds of CPU time in a period
    #[arg(long, value_name = "INT", default_value_t, allow_hyphen_values = true)]
    cpu_quota: i64,

    /// Share of CPU time, beside others
    #[arg(short, long, value_name = "INT", default_value_t)]
    cpu_shares: i64,

    /// Number of CPUs
    #[arg(long, value_name = "DECIMAL")]
    cpus: Option<String>,

    /// CPUs that may be used (0-3, 0,1)
    #[arg(long, value_name = "LIST", default_value = "", hide_default_value = true)]
    cpuset_cpus: String,

    /// Memory nodes that may be used (0-3, 0,1)
    #[arg(long, value_name = "LIST", default_value = "", hide_default_value = true)]
    cpuset_mems: String,

    /// A device of the host (HOST[:CONTAINER][:rwm])
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
    #[arg(long, value_name = "ADDRESS")]
    dns: Vec<String>,

    /// An option of resolv.conf
    #[arg(long, visible_alias = "dns-opt", value_name = "OPTION")]
    dns_option: Vec<String>,

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

    /// A further group of the process
    #[arg(long, value_name = "GROUP")]
    group_add: Vec<String>,

    /// The line for the shell that asks how the container is
    #[arg(long, value_name = "LINE")]
    health_cmd: Option<String>,

    /// Time between two questions (30s)
    #[arg(long, value_name = "DURATION")]
    health_interval: Option<String>,

    /// Failures in a row that make it unhealthy (3)
    #[arg(long, value_name = "INT")]
    health_retries: Option<u64>,

    /// Time between two questions during the start (5s)
    #[arg(long, value_name = "DURATION")]
    health_start_interval: Option<String>,

    /// Time during which failures don't count (0s)
    #[arg(long, value_name = "DURATION")]
    health_start_period: Option<String>,

    /// Time for an answer (30s)
    #[arg(long, value_name = "DURATION")]
    health_timeout: Option<String>,

    /// The container's name for itself
    #[arg(short = 'h', long, value_name = "NAME", default_value = "", hide_default_value = true)]
    hostname: String,

    /// Have a process before the program that passes signals on and reaps
    #[arg(long)]
    init: bool,

    /// Keep the standard input open
    #[arg(short, long)]
    pub(super) interactive: bool,

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
    #[arg(short, long, value_name = "LABEL")]
    label: Vec<String>,

    /// Read labels from a file
    #[arg(long, value_name = "FILE")]
    label_file: Vec<PathBuf>,

    /// Where the output goes: json-file, local, none
    #[arg(long, value_name = "DRIVER", default_value = "json-file")]
    log_driver: String,

    /// An option of the log (max-size=10m, max-file=3)
    #[arg(long, value_name = "OPTION")]
    log_opt: Vec<String>,

    /// The MAC address
    #[arg(long, value_name = "ADDRESS")]
    mac_address: Option<String>,

    /// Limit of memory
    #[arg(short, long, value_name = "BYTES")]
    memory: Option<String>,

    /// Memory below which nothing is reclaimed first
    #[arg(long, value_name = "BYTES")]
    memory_reservation: Option<String>,

    /// Limit of memory and swap together; -1 for as much swap as there is
    #[arg(long, value_name = "BYTES", allow_hyphen_values = true)]
    memory_swap: Option<String>,

    /// Mount something (type=bind|volume|tmpfs,source=…,target=…,readonly)
    #[arg(long, value_name = "MOUNT")]
    mount: Vec<String>,

    /// The container's name
    #[arg(long)]
    name: Option<String>,

    /// Connect to a network: its name, none, host, container:ID
    #[arg(long, visible_alias = "net", value_name = "NETWORK", default_value = "default", hide_default_value = true)]
    network: String,

    /// A further name in the network
    #[arg(long, visible_alias = "net-alias", value_name = "NAME")]
    network_alias: Vec<String>,

    /// Don't ask how the container is
    #[arg(long)]
    no_healthcheck: bool,

    /// How gladly the kernel kills it for want of memory, -1000 to 1000
    #[arg(long, value_name = "INT", default_value_t, allow_hyphen_values = true)]
    oom_score_adj: i32,

    /// The pid namespace: host, container:ID
    #[arg(long, value_name = "MODE", default_value = "", hide_default_value = true)]
    pid: String,

    /// Limit of processes and threads; -1 for none
    #[arg(long, value_name = "INT", allow_hyphen_values = true)]
    pids_limit: Option<i64>,

    /// The platform of an image that has several
    #[arg(long, value_name = "OS/ARCH[/VARIANT]")]
    pub(super) platform: Option<Platform>,

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
    pub(super) pull: super::pull::Policy,

    /// Say nothing of the pull
    #[arg(short, long)]
    pub(super) quiet: bool,

    /// Mount the root read-only
    #[arg(long)]
    read_only: bool,

    /// What to do at its end: no, on-failure[:COUNT], always, unless-stopped
    #[arg(long, value_name = "POLICY", default_value = "no")]
    restart: String,

    /// Remove the container and its anonymous volumes at its end
    #[arg(long)]
    rm: bool,

    /// Take the first argument for a root directory of the host, not for an image
    #[arg(long)]
    pub(super) rootfs: bool,

    /// seccomp=PROFILE, apparmor=PROFILE, no-new-privileges, label=disable, systempaths=unconfined
    #[arg(long, value_name = "OPTION")]
    security_opt: Vec<String>,

    /// Size of /dev/shm (64m)
    #[arg(long, value_name = "BYTES")]
    shm_size: Option<String>,

    /// The signal that stops it
    #[arg(long, value_name = "SIGNAL")]
    stop_signal: Option<String>,

    /// Seconds until a container that was told to stop is killed
    #[arg(long, value_name = "SECONDS", allow_hyphen_values = true)]
    stop_timeout: Option<i64>,

    /// A setting of the kernel (NAME=VALUE)
    #[arg(long, value_name = "SETTING")]
    sysctl: Vec<String>,

    /// Mount a tmpfs (PATH[:OPTIONS])
    #[arg(long, value_name = "TMPFS")]
    tmpfs: Vec<String>,

    /// Give it a terminal
    #[arg(short, long)]
    pub(super) tty: bool,

    /// A resource limit (NAME=SOFT[:HARD])
    #[arg(long, value_name = "LIMIT")]
    ulimit: Vec<String>,

    /// Whom it runs as (USER[:GROUP])
    #[arg(short, long, value_name = "USER")]
    user: Option<String>,

    /// The user namespace: host
    #[arg(long, value_name = "MODE", default_value = "", hide_default_value = true)]
    userns: String,

    /// The UTS namespace: host
    #[arg(long, value_name = "MODE", default_value = "", hide_default_value = true)]
    uts: String,

    /// Mount a directory or a volume ([SOURCE:]TARGET[:OPTIONS])
    #[arg(short, long, value_name = "VOLUME")]
    volume: Vec<String>,

    /// Mount what another container has mounted (CONTAINER[:ro])
    #[arg(long, value_name = "CONTAINER")]
    volumes_from: Vec<String>,

    /// The working directory
    #[arg(short, long, value_name = "DIRECTORY")]
    workdir: Option<String>,

    /// The image, and the program with its arguments in place of the image's
    #[arg(required = true, trailing_var_arg = true, value_name = "IMAGE [COMMAND [ARGUMENT]...]")]
    pub(super) what: Vec<String>,
}

impl Flags {
    /// The record that they ask for, of an image or of a root directory.
    pub(super) fn wanted(self, image: Option<Image>, attached: bool) -> Result<Wanted> {
        let run = image.as_ref().map(|image| image.config.config.clone()).unwrap_or_default();
        let (name, command) = self.what.split_first().context("an image is required")?;
        let mut env = run.env.clone();
        let files = self.env_file.iter().map(|path| environment::file(path)).collect::<Result<Vec<_>>>()?;
        environment::merge(&mut env, files.into_iter().flatten());
        let variables = self.env.iter().map(|text| environment::variable(text)).collect::<Result<Vec<_>>>()?;
        environment::merge(&mut env, variables);
        let mut labels = run.labels.clone();
        for path in &self.label_file {
            labels.extend(environment::file(path)?.iter().map(|line| options::pair(line)));
        }
        labels.extend(self.label.iter().map(|text| options::pair(text)));
        let entrypoint = match self.entrypoint.as_deref() {
            None => run.entrypoint.clone(),
            Some("") => Vec::new(),
            Some(program) => vec![program.to_owned()],
        };
        // A new entry point makes the image's arguments meaningless.
        let cmd = if !command.is_empty() {
            command.to_vec()
        } else if self.entrypoint.is_some() {
            Vec::new()
        } else {
            run.cmd.clone()
        };
        ensure!(!entrypoint.is_empty() || !cmd.is_empty(), "no command specified");
        let mut exposed: BTreeMap<String, serde_json::Value> = BTreeMap::new();
        for port in run.exposed_ports.keys().chain(&self.expose) {
            exposed.extend(ports::exposed(port)?.into_iter().map(|port| (port, json!({}))));
        }
        let host_config = self.host()?;
        exposed.extend(host_config.port_bindings.keys().map(|port| (port.clone(), json!({}))));
        let stop_signal = self.stop_signal.clone().unwrap_or(run.stop_signal.clone());
        if !stop_signal.is_empty() {
            crate::cli::signal::parse(&stop_signal).map_err(|_| anyhow::anyhow!("Invalid signal: {stop_signal}"))?;
        }
        let working_dir = self.workdir.clone().unwrap_or(run.working_dir.clone());
        ensure!(
            working_dir.is_empty() || working_dir.starts_with('/'),
            "the working directory '{working_dir}' is invalid, it needs to be an absolute path"
        );
        let config = Config {
            hostname: self.hostname.clone(),
            domainname: self.domainname.clone(),
            user: self.user.clone().unwrap_or(run.user.clone()),
            attach_stdin: self.interactive && attached,
            attach_stdout: attached,
            attach_stderr: attached,
            exposed_ports: exposed,
            tty: self.tty,
            open_stdin: self.interactive,
            stdin_once: self.interactive && attached,
            env,
            cmd,
            healthcheck: self.health(run.healthcheck)?,
            image: name.clone(),
            volumes: run.volumes.clone(),
            working_dir,
            entrypoint,
            labels,
            stop_signal,
            stop_timeout: self.stop_timeout,
        };
        let mounts = self.mounts(run.volumes.keys(), &host_config)?;
        let rootfs = self.rootfs.then(|| std::path::absolute(name)).transpose()?;
        let rootfs = rootfs.map(|path| path.to_string_lossy().into_owned());
        let record = Record { config, host_config, mounts, rootfs, ..Record::default() };
        Ok(Wanted { record, name: self.name, image })
    }

    fn host(&self) -> Result<HostConfig> {
        let mut port_bindings = ports::Bindings::new();
        for port in &self.publish {
            ports::publish(port, &mut port_bindings)?;
        }
        let limit = |text: &Option<String>| text.as_deref().map_or(Ok(0), options::signed_bytes);
        let rates = |list: &[String]| {
            list.iter().map(|text| devices::throttle(text, options::bytes)).collect::<Result<Vec<_>>>()
        };
        let count = |text: &str| text.parse::<u64>().ok().with_context(|| format!("{text:?} is no number"));
        let counts =
            |list: &[String]| list.iter().map(|text| devices::throttle(text, count)).collect::<Result<Vec<_>>>();
        let mut tmpfs = BTreeMap::new();
        for text in &self.tmpfs {
            let (path, options) = mounts::tmpfs(text)?;
            ensure!(tmpfs.insert(path.clone(), options).is_none(), "Duplicate mount point: {path}");
        }
        let mut sysctls = BTreeMap::new();
        for text in &self.sysctl {
            let Some((name, value)) = text.split_once('=') else { bail!("invalid sysctl: {text:?} is not NAME=VALUE") };
            sysctls.insert(name.to_owned(), value.to_owned());
        }
        for extra in &self.add_host {
            ensure!(extra.contains([':', '=']), "bad format for add-host: {extra:?}");
        }
        Ok(HostConfig {
            binds: self.volume.iter().filter(|text| text.contains(':')).cloned().collect(),
            container_id_file: self
                .cidfile
                .as_ref()
                .map(|path| path.to_string_lossy().into_owned())
                .unwrap_or_default(),
            log_config: options::log(&self.log_driver, &self.log_opt)?,
            network_mode: self.network.clone(),
            port_bindings,
            publish_all_ports: self.publish_all,
            restart_policy: options::restart(&self.restart)?,
            auto_remove: self.rm,
            cap_add: self.cap_add.clone(),
            cap_drop: self.cap_drop.clone(),
            cgroupns_mode: if self.cgroupns.is_empty() { "private".into() } else { self.cgroupns.clone() },
            cgroup_parent: self.cgroup_parent.clone(),
            dns: self.dns.clone(),
            dns_options: self.dns_option.clone(),
            dns_search: self.dns_search.clone(),
            extra_hosts: self.add_host.iter().map(|text| text.replacen('=', ":", 1)).collect(),
            group_add: self.group_add.clone(),
            ipc_mode: if self.ipc.is_empty() { "private".into() } else { self.ipc.clone() },
            pid_mode: self.pid.clone(),
            uts_mode: self.uts.clone(),
            userns_mode: self.userns.clone(),
            oom_score_adj: self.oom_score_adj,
            privileged: self.privileged,
            init: self.init.then_some(true),
            readonly_rootfs: self.read_only,
            security_opt: self.security_opt.clone(),
            shm_size: self.shm_size.as_deref().map_or(Ok(64 << 20), options::bytes)?,
            sysctls,
            tmpfs,
            ulimits: self.ulimit.iter().map(|text| options::ulimit(text)).collect::<Result<_>>()?,
            devices: self.device.iter().map(|text| devices::device(text)).collect::<Result<_>>()?,
            device_cgroup_rules: self.device_cgroup_rule.clone(),
            memory: limit(&self.memory)?,
            memory_reservation: limit(&self.memory_reservation)?,
            memory_swap: limit(&self.memory_swap)?,
            nano_cpus: self.cpus.as_deref().map_or(Ok(0), options::cpus)?,
            cpu_shares: self.cpu_shares,
            cpu_period: self.cpu_period,
            cpu_quota: self.cpu_quota,
            cpuset_cpus: self.cpuset_cpus.clone(),
            cpuset_mems: self.cpuset_mems.clone(),
            pids_limit: self.pids_limit,
            blkio_weight: self.blkio_weight,
            blkio_device_read_bps: rates(&self.device_read_bps)?,
            blkio_device_write_bps: rates(&self.device_write_bps)?,
            blkio_device_read_iops: counts(&self.device_read_iops)?,
            blkio_device_write_iops: counts(&self.device_write_iops)?,
            network_aliases: self.network_alias.clone(),
            address: self.ip.clone(),
            address6: self.ip6.clone(),
            mac_address: self.mac_address.clone(),
            volumes_from: self.volumes_from.clone(),
            annotations: self.annotation.iter().map(|text| options::pair(text)).collect(),
            ..HostConfig::default()
        })
    }

    /// Those of the image come last, where nothing else is mounted.
    fn mounts<'a>(
        &self,
        of_image: impl Iterator<Item = &'a String>,
        host: &HostConfig,
    ) -> Result<Vec<crate::engine::record::Mounted>> {
        let mut all = self.volume.iter().map(|text| mounts::volume(text)).collect::<Result<Vec<_>>>()?;
        for text in &self.mount {
            let mounted = mounts::mount(text)?;
            if mounted.kind == "bind" {
                let there = std::path::Path::new(&mounted.source).exists();
                ensure!(
                    there,
                    "invalid mount config for type \"bind\": bind source path does not exist: {}",
                    mounted.source
                );
            }
            all.push(mounted);
        }
        for path in of_image {
            let mounted = mounts::volume(path)?;
            let taken = all.iter().any(|other| other.destination == mounted.destination);
            if !taken && !host.tmpfs.contains_key(&mounted.destination) {
                all.push(mounted);
            }
        }
        Ok(all)
    }

    fn health(&self, of_image: Option<serde_json::Value>) -> Result<Option<HealthCheck>> {
        let times =
            [&self.health_interval, &self.health_timeout, &self.health_start_period, &self.health_start_interval];
        let changes =
            self.health_cmd.is_some() || self.health_retries.is_some() || times.iter().any(|time| time.is_some());
        if self.no_healthcheck {
            ensure!(!changes, "--no-healthcheck conflicts with --health-* options");
            return Ok(Some(HealthCheck { test: vec!["NONE".into()], ..HealthCheck::default() }));
        }
        let mut check: Option<HealthCheck> = of_image.map(serde_json::from_value).transpose()?;
        if changes {
            let check = check.get_or_insert_default();
            if let Some(line) = &self.health_cmd {
                check.test = vec!["CMD-SHELL".into(), line.clone()];
            }
            ensure!(!check.test.is_empty(), "--health-* options need --health-cmd");
            let fields = [&mut check.interval, &mut check.timeout, &mut check.start_period, &mut check.start_interval];
            for (field, text) in fields.into_iter().zip(times) {
                if let Some(text) = text {
                    *field = options::duration(text)?;
                }
            }
            check.retries = self.health_retries.unwrap_or(check.retries);
        }
        Ok(check)
    }
}
