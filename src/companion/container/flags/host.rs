//! What a container has of the host: limits, privileges, namespaces, ports.

use std::collections::BTreeMap;

use anyhow::{Context as _, Result, ensure};

use super::Flags;
use crate::engine::cdi;
use crate::engine::options::{self, devices, mounts, ports};
use crate::engine::record::{DeviceRequest, HostConfig, Ulimit};

impl Flags {
    /// What cgroup v2 has not, in docker's words for it.
    pub(in crate::companion::container) fn discarded(&self) -> Result<Vec<&'static str>> {
        let swappiness = self.memory_swappiness.filter(|value| *value != -1);
        if let Some(value) = swappiness {
            ensure!((0..=100).contains(&value), "invalid value: {value}, valid memory swappiness range is 0-100");
        }
        let discarded = [
            (self.oom_kill_disable, "Your kernel does not support OomKillDisable. OomKillDisable discarded."),
            (
                swappiness.is_some(),
                "Your kernel does not support memory swappiness capabilities or the cgroup is not mounted. Memory swappiness discarded.",
            ),
        ];
        Ok(discarded.into_iter().filter(|(is, _)| *is).map(|(_, text)| text).collect())
    }

    pub(super) fn host(&self) -> Result<HostConfig> {
        let mut port_bindings = ports::Bindings::new();
        for port in &self.publish {
            ports::publish(port, &mut port_bindings)?;
        }
        let nodes = self.device.iter().filter(|text| !cdi::is_qualified(text));
        let mut host = HostConfig {
            binds: self.volume.iter().filter(|text| text.contains(':')).cloned().collect(),
            container_id_file: self
                .cidfile
                .as_ref()
                .map(|path| path.to_string_lossy().into_owned())
                .unwrap_or_default(),
            log_config: options::log(&self.log_driver, &self.log_opt)?,
            network_mode: self.network.first().map(|first| first.network.clone()).unwrap_or_default(),
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
            security_opt: self.security_opt.iter().map(|option| with_profile(option)).collect::<Result<_>>()?,
            shm_size: self.shm_size.unwrap_or(64 << 20),
            storage_opt: self.storage_opt.iter().map(|text| options::pair(text)).collect(),
            sysctls: self.sysctls()?,
            tmpfs: self.file_systems_in_memory()?,
            ulimits: last_of_each(&self.ulimit),
            devices: nodes.map(|text| devices::device(text)).collect::<Result<_>>()?,
            device_requests: self.requests()?,
            device_cgroup_rules: self.device_cgroup_rule.clone(),
            blkio_weight_device: self.blkio_weight_device.clone(),
            volumes_from: self.volumes_from.clone(),
            annotations: self.annotation.iter().map(|text| options::pair(text)).collect(),
            ..HostConfig::default()
        };
        self.throttle(&mut host)?;
        self.limits.apply(&mut host);
        Ok(host)
    }

    fn throttle(&self, host: &mut HostConfig) -> Result<()> {
        let rates =
            |list: &[String]| list.iter().map(|text| devices::throttle(text, options::bytes)).collect::<Result<_>>();
        let count = |text: &str| text.parse::<u64>().ok().with_context(|| format!("{text:?} is no number"));
        let counts = |list: &[String]| list.iter().map(|text| devices::throttle(text, count)).collect::<Result<_>>();
        host.blkio_device_read_bps = rates(&self.device_read_bps)?;
        host.blkio_device_write_bps = rates(&self.device_write_bps)?;
        host.blkio_device_read_iops = counts(&self.device_read_iops)?;
        host.blkio_device_write_iops = counts(&self.device_write_iops)?;
        Ok(())
    }

    fn file_systems_in_memory(&self) -> Result<BTreeMap<String, String>> {
        let mut tmpfs = BTreeMap::new();
        for text in &self.tmpfs {
            let (path, options) = mounts::tmpfs(text)?;
            ensure!(tmpfs.insert(path.clone(), options).is_none(), "Duplicate mount point: {path}");
        }
        Ok(tmpfs)
    }

    fn sysctls(&self) -> Result<BTreeMap<String, String>> {
        let pair = |text: &String| {
            let (name, value) =
                text.split_once('=').with_context(|| format!("invalid sysctl: {text:?} is not NAME=VALUE"))?;
            Ok((name.to_owned(), value.to_owned()))
        };
        self.sysctl.iter().filter(|text| self.of_first_link(text).is_none()).map(pair).collect()
    }

    /// What drivers know: GPUs, and devices by their full names.
    fn requests(&self) -> Result<Vec<DeviceRequest>> {
        let named: Vec<String> = self.device.iter().filter(|text| cdi::is_qualified(text)).cloned().collect();
        let mut all = self.gpus.iter().map(|text| devices::gpus(text)).collect::<Result<Vec<_>>>()?;
        if !named.is_empty() {
            all.push(DeviceRequest { driver: "cdi".into(), device_ids: named, ..DeviceRequest::default() });
        }
        Ok(all)
    }
}

/// Of limits that are said more than once the last counts, as docker has it.
fn last_of_each(limits: &[Ulimit]) -> Vec<Ulimit> {
    let is_last = |at: usize| limits[at + 1..].iter().all(|later| later.name != limits[at].name);
    (0..limits.len()).filter(|at| is_last(*at)).map(|at| limits[at].clone()).collect()
}

/// An option of `--security-opt`, with the text of a seccomp profile in place of its file's name, which another process could not find
/// and somebody may change until the next start.
fn with_profile(option: &str) -> Result<String> {
    let path = match option.split_once('=').or_else(|| option.split_once(':')) {
        Some(("seccomp", path)) if !matches!(path, "" | "unconfined" | "builtin") => path,
        _ => return Ok(option.to_owned()),
    };
    let bytes = crate::spec::load::read(std::path::Path::new(path));
    let bytes = bytes.with_context(|| format!("opening seccomp profile ({path}) failed"))?;
    let profile: serde_json::Value =
        serde_json::from_slice(&bytes).with_context(|| format!("decoding seccomp profile ({path}) failed"))?;
    Ok(format!("seccomp={profile}"))
}
