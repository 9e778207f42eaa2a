//! From a record to the runtime's `config.json`: a pure function of the record and of what was looked up ([`Facts`]). The defaults are
//! docker's.

mod capabilities;
mod cdi;
mod devices;
mod mounts;
mod process;
mod resources;
mod seccomp;

use std::collections::BTreeMap;
use std::path::PathBuf;

use anyhow::{Result, bail, ensure};
use serde_json::{Map, Value, json};

use super::apparmor;
use super::cdi::Edits;
use super::network::Mode;
use super::record::Record;
use super::user_namespace;
use crate::image::bundle::User;
use crate::image::layer::copy::IdRange;

pub use devices::Node;
pub(super) use mounts::size as shared_memory_size;
pub use process::{Further, further};
pub(super) use resources::changeable;

/// What the answer depends on beside the record.
#[derive(Debug, Clone)]
pub struct Facts {
    /// Whom the program runs as.
    pub user: User,
    /// The groups of `--group-add`, by number.
    pub groups: Vec<u32>,
    /// Where the root is mounted.
    pub rootfs: PathBuf,
    /// The directory with the files that are mounted on some of `/etc`.
    pub directory: PathBuf,
    /// Namespaces of others that are joined: the kind, and its file.
    pub joined: BTreeMap<&'static str, String>,
    /// Where the shared memory is mounted on the host, if others may have it, too.
    pub shared_memory: Option<PathBuf>,
    /// Whether programs are confined by AppArmor here, and the default profile is at hand.
    pub apparmor: bool,
    /// Whether SELinux is there.
    pub selinux: bool,
    /// Its group, as a path in the hierarchy.
    pub cgroups_path: String,
    /// The devices of `--device`, or all of the host's.
    pub devices: Vec<Node>,
    /// What devices bring with them that were asked for by name; their nodes are among the others.
    pub edits: Vec<Edits>,
    /// The numbers of block devices that limits are for.
    pub numbers: BTreeMap<String, (u32, u32)>,
    /// The capabilities of the engine.
    pub capabilities: u64,
    /// The file of the program that is to be the first process, if not the one that was meant.
    pub init: Option<PathBuf>,
    /// Variables that say how others are reached.
    pub links: Vec<String>,
    /// The name of the host, or of the container whose network it is in.
    pub host_name: String,
    /// Whether it is a container of an ordinary user.
    pub is_rootless: bool,
    /// How many ids of groups there are, if not all.
    pub groups_mapped: Option<u32>,
    /// Whether it may write only so much into its root or a volume.
    pub has_quota: bool,
}

/// Refuses what contradicts itself, before anything is made.
pub fn check(record: &Record) -> Result<()> {
    let host = &record.host_config;
    capabilities::of(host, u64::MAX)?;
    security(record)?;
    resources::check(host)?;
    for (flag, mode) in [("pid", &host.pid_mode), ("ipc", &host.ipc_mode), ("uts", &host.uts_mode)] {
        let known = match flag {
            "ipc" => matches!(mode.as_str(), "" | "private" | "shareable" | "host" | "none"),
            _ => matches!(mode.as_str(), "" | "private" | "host"),
        };
        ensure!(known || flag != "uts" && mode.starts_with("container:"), "--{flag}: invalid {flag} mode {mode:?}");
    }
    user_namespace::Mode::of(&host.userns_mode)?;
    ensure!(
        host.init != Some(true) || matches!(host.pid_mode.as_str(), "" | "private"),
        "conflicting options: --init is the first process of a pid namespace of the container's own, and --pid is {:?}",
        host.pid_mode
    );
    ensure!(
        matches!(host.cgroupns_mode.as_str(), "" | "private" | "host"),
        "--cgroupns: invalid cgroup namespace mode {:?}",
        host.cgroupns_mode
    );
    if host.uts_mode == "host" && !record.config.hostname.is_empty() {
        bail!("conflicting options: hostname and the UTS mode");
    }
    if matches!(Mode::of(&host.network_mode), Mode::Container(_)) && !record.config.hostname.is_empty() {
        bail!("conflicting options: hostname and the network mode");
    }
    ensure!(
        !host.auto_remove || matches!(host.restart_policy.name.as_str(), "" | "no"),
        "conflicting options: cannot specify both --restart and --rm"
    );
    let mut seen = std::collections::BTreeSet::new();
    for mounted in record.mounts.iter().map(|mounted| &mounted.destination).chain(host.tmpfs.keys()) {
        ensure!(seen.insert(mounted), "Duplicate mount point: {mounted}");
    }
    Ok(())
}

/// What `--security-opt` says.
#[derive(Debug, Default)]
pub(super) struct Security {
    no_new_privileges: bool,
    seccomp: Option<String>,
    apparmor: Option<String>,
    label: Label,
    paths_unmasked: bool,
}

/// What is said of SELinux's labels; empty where nothing is. Without any a container has the engine's own.
#[derive(Debug, Default)]
struct Label {
    user: String,
    role: String,
    kind: String,
    level: String,
    file_kind: String,
}

impl Label {
    fn say(&mut self, text: &str) -> bool {
        let (part, value) = text.split_once(':').unwrap_or((text, ""));
        let field = match part {
            "disable" => {
                *self = Label::default();
                return value.is_empty();
            }
            "user" => &mut self.user,
            "role" => &mut self.role,
            "type" => &mut self.kind,
            "level" => &mut self.level,
            "filetype" => &mut self.file_kind,
            _ => return false,
        };
        value.clone_into(field);
        !value.is_empty()
    }

    /// That of processes.
    fn of_processes(&self) -> Option<String> {
        let parts =
            [(&self.user, "system_u"), (&self.role, "system_r"), (&self.kind, "container_t"), (&self.level, "s0")];
        let is_wanted = parts.iter().any(|(said, _)| !said.is_empty());
        let part = |(said, default): (&String, &str)| if said.is_empty() { default.to_owned() } else { said.clone() };
        is_wanted.then(|| parts.map(part).join(":"))
    }
}

/// What a container says of the labels of its files: their type, and the level.
pub(super) fn file_label(record: &Record) -> Result<(String, String)> {
    let label = security(record)?.label;
    Ok((label.file_kind, label.level))
}

impl Security {
    /// AppArmor's profile of a process: docker's rules for which. One that was asked for by name is not left out where there is no
    /// AppArmor: that is an error then.
    fn profile(&self, privileged: bool, is_available: bool) -> Option<&str> {
        match self.apparmor.as_deref() {
            Some("unconfined") => is_available.then_some("unconfined"),
            None if privileged => is_available.then_some("unconfined"),
            None => is_available.then_some(apparmor::DEFAULT),
            asked => asked,
        }
    }
}

/// AppArmor's profile of a container's first process; empty without one.
pub fn apparmor_profile(record: &Record, is_available: bool) -> Result<String> {
    let security = security(record)?;
    Ok(security.profile(record.host_config.privileged, is_available).unwrap_or_default().to_owned())
}

fn security(record: &Record) -> Result<Security> {
    let mut security = Security::default();
    for option in &record.host_config.security_opt {
        let split = option.split_once('=').or_else(|| option.split_once(':'));
        match split.unwrap_or((option, "")) {
            ("no-new-privileges", value @ ("" | "true" | "false")) => security.no_new_privileges = value != "false",
            ("seccomp", profile) if !profile.is_empty() => security.seccomp = Some(profile.into()),
            ("apparmor", profile) if !profile.is_empty() => security.apparmor = Some(profile.into()),
            ("label", label) => ensure!(
                security.label.say(label),
                "invalid --security-opt: {option:?}: of labels there are disable, user:, role:, type:, level: and filetype:"
            ),
            ("systempaths", "unconfined") => security.paths_unmasked = true,
            _ => bail!("invalid --security-opt: {option:?}"),
        }
    }
    Ok(security)
}

/// What is to be known of a container that asks for a label which nobody here looks at; docker passes over it in silence.
pub fn discarded_label(record: &Record, facts: &Facts) -> Result<Option<String>> {
    let label = security(record)?.label.of_processes().filter(|_| !facts.selinux);
    Ok(label.map(|label| format!("this machine has no SELinux: the label {label} is discarded")))
}

/// Which paths a container doesn't see, and which it can't write to, where it is kept from any.
pub fn masks(record: &Record) -> Result<Option<(Vec<String>, Vec<String>)>> {
    let host = &record.host_config;
    if host.privileged || security(record)?.paths_unmasked {
        return Ok(None);
    }
    let masked = host.masked_paths.clone().unwrap_or_else(|| owned(&MASKED));
    Ok(Some((masked, host.readonly_paths.clone().unwrap_or_else(|| owned(&READ_ONLY)))))
}

/// The configuration.
pub fn config(record: &Record, facts: &Facts) -> Result<Value> {
    let host = &record.host_config;
    let security = security(record)?;
    let capabilities = capabilities::of(host, facts.capabilities)?;
    let mut linux = json!({
        "cgroupsPath": facts.cgroups_path,
        "namespaces": namespaces(record, facts),
        "resources": resources::of(host, facts)?,
        "devices": if mounts::is_apart(record, facts) { json!([]) } else { devices::nodes(host, facts).into() },
        "sysctl": sysctls(record, facts),
    });
    if let Some(ids) = &record.ids
        && !facts.joined.contains_key("user")
    {
        for (key, ranges) in [("uidMappings", &ids.users), ("gidMappings", &ids.groups)] {
            let range =
                |range: &IdRange| json!({"containerID": range.container, "hostID": range.host, "size": range.length});
            linux[key] = ranges.iter().map(range).collect();
        }
    }
    if let Some((masked, read_only)) = masks(record)? {
        linux["maskedPaths"] = json!(masked);
        linux["readonlyPaths"] = json!(read_only);
    }
    match security.seccomp.as_deref() {
        Some("unconfined") => {}
        None | Some("builtin") if host.privileged && security.seccomp.is_none() => {}
        None | Some("builtin") => linux["seccomp"] = seccomp::default(&capabilities, facts.has_quota)?,
        Some(text) => linux["seccomp"] = seccomp::of_text(text, &capabilities)?,
    }
    if let Some(propagation) = mounts::propagation(record) {
        linux["rootfsPropagation"] = propagation.into();
    }
    let mut config = json!({
        "ociVersion": crate::spec::VERSION,
        "root": {"path": facts.rootfs, "readonly": host.readonly_rootfs},
        "process": process::first(record, facts, &capabilities, &security)?,
        "mounts": mounts::of(record, facts),
        "linux": linux,
        "annotations": host.annotations,
    });
    cdi::apply(&facts.edits, &mut config)?;
    if host.uts_mode != "host" {
        config["hostname"] = hostname(record, facts).into();
        if !record.config.domainname.is_empty() {
            config["domainname"] = record.config.domainname.clone().into();
        }
    }
    Ok(config)
}

/// The name that a container has for itself.
pub(super) fn hostname(record: &Record, facts: &Facts) -> String {
    if !record.config.hostname.is_empty() {
        return record.config.hostname.clone();
    }
    match Mode::of(&record.host_config.network_mode) {
        Mode::Host | Mode::Container(_) => facts.host_name.clone(),
        _ => record.short().to_owned(),
    }
}

const MASKED: [&str; 12] = [
    "/proc/acpi",
    "/proc/asound",
    "/proc/interrupts",
    "/proc/kcore",
    "/proc/keys",
    "/proc/latency_stats",
    "/proc/sched_debug",
    "/proc/scsi",
    "/proc/timer_list",
    "/proc/timer_stats",
    "/sys/devices/virtual/powercap",
    "/sys/firmware",
];
const READ_ONLY: [&str; 5] = ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"];

fn owned(list: &[&str]) -> Vec<String> {
    list.iter().map(|text| (*text).to_owned()).collect()
}

fn namespaces(record: &Record, facts: &Facts) -> Vec<Value> {
    let host = &record.host_config;
    let is_host = |kind: &str| match kind {
        "pid" => host.pid_mode == "host",
        "ipc" => host.ipc_mode == "host",
        "uts" => host.uts_mode == "host",
        "network" => Mode::of(&host.network_mode) == Mode::Host,
        // A privileged container sees the host's, as docker has it.
        "cgroup" => host.cgroupns_mode == "host",
        "user" => record.ids.is_none(),
        _ => false,
    };
    let mut all = Vec::new();
    for kind in ["mount", "network", "uts", "pid", "ipc", "cgroup", "user"].into_iter().filter(|kind| !is_host(kind)) {
        all.push(match facts.joined.get(kind) {
            Some(path) => json!({"type": kind, "path": path}),
            None => json!({"type": kind}),
        });
    }
    all
}

/// docker's two where the network is the container's own: an ordinary user's program there may listen at 80, and ping.
fn sysctls(record: &Record, facts: &Facts) -> Map<String, Value> {
    let mut all = Map::new();
    // A group without an id here is refused.
    let last_group = facts.groups_mapped.map_or(i32::MAX.unsigned_abs(), |groups| groups.saturating_sub(1));
    if matches!(Mode::of(&record.host_config.network_mode), Mode::None | Mode::Network(_) | Mode::Pasta(_)) {
        all.insert("net.ipv4.ip_unprivileged_port_start".into(), "0".into());
        all.insert("net.ipv4.ping_group_range".into(), format!("0 {last_group}").into());
    }
    all.extend(record.host_config.sysctls.iter().map(|(key, value)| (key.clone(), value.clone().into())));
    all
}

#[cfg(test)]
mod tests;
