//! `mounts`.

use serde_json::{Value, json};

use super::Facts;
use crate::engine::network::Mode;
use crate::engine::record::{HostConfig, Mounted, Record};
use crate::engine::{cdi, init};

fn mount(destination: &str, kind: &str, source: &str, options: &[&str]) -> Value {
    json!({"destination": destination, "type": kind, "source": source, "options": options})
}

/// Whether it is in another user namespace than the machine's.
pub(super) fn is_apart(record: &Record, facts: &Facts) -> bool {
    facts.is_rootless || record.ids.is_some()
}

/// All mounts, in the order in which they are made.
pub(super) fn of(record: &Record, facts: &Facts) -> Vec<Value> {
    let host = &record.host_config;
    // Files of the engine's have root's ids on the disk, as the image has; an ordinary user can't have mounts mapped.
    let is_mapped = record.ids.is_some() && !facts.is_rootless;
    let is_own =
        |path: &str| record.mounts.iter().any(|mounted| mounted.destination == path) || host.tmpfs.contains_key(path);
    let mut all = of_kernel(record, facts);
    if let Some(shm) = shm(record, facts).filter(|_| !is_own("/dev/shm")) {
        all.push(shm);
    }
    // Devices can't be made in another user namespace, either.
    let devices = facts.devices.iter().filter(|_| is_apart(record, facts));
    all.extend(devices.map(|node| mount(&node.path, "bind", &node.source, &["bind", "nosuid", "noexec"])));
    // What is below another is mounted after it, the files of the engine's, too: who has an /etc of its own has a network all the same.
    let mut own: Vec<(String, Value)> = Vec::new();
    for name in ["resolv.conf", "hostname", "hosts"] {
        let path = format!("/etc/{name}");
        if !is_own(&path) {
            let source = facts.directory.join(name);
            let mut options = vec!["rbind", "rprivate"];
            options.extend(host.readonly_rootfs.then_some("ro"));
            options.extend(is_mapped.then_some("idmap"));
            let mount = json!({"destination": path, "type": "bind", "source": source, "options": options});
            own.push((path, mount));
        }
    }
    own.extend(record.mounts.iter().map(|one| (one.destination.clone(), mounted(one, is_mapped))));
    own.extend(host.tmpfs.iter().map(|(path, options)| (path.clone(), tmpfs(path, options, true))));
    for mount in facts.edits.iter().flat_map(|edits| &edits.mounts) {
        own.retain(|(path, _)| *path != mount.container_path);
        own.push((mount.container_path.clone(), of_device(mount)));
    }
    own.sort_by_key(|(path, _)| path.split('/').count());
    all.extend(own.into_iter().map(|(_, mount)| mount));
    if let Some(program) = &facts.init {
        all.push(json!({"destination": init::POINT, "type": "bind", "source": program, "options": ["bind", "ro"]}));
    }
    all
}

/// The kernel's own file systems.
fn of_kernel(record: &Record, facts: &Facts) -> Vec<Value> {
    let host = &record.host_config;
    // What belongs to a namespace of another user namespace can't be mounted anew, so the container sees the machine's then.
    let is_apart = is_apart(record, facts);
    let own = |path: &str, kind: &str, options: &[&str], is_the_machines: bool| match is_apart && is_the_machines {
        true => mount(path, "bind", path, &[&["rbind", "rslave"], options].concat()),
        false => mount(path, kind, kind, options),
    };
    let mut terminals = vec!["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620"];
    if facts.groups_mapped.is_none_or(|groups| groups > 5) {
        terminals.push("gid=5");
    }
    let access = if host.privileged { "rw" } else { "ro" };
    let is_hosts = match Mode::of(&host.network_mode) {
        Mode::Host => true,
        Mode::Container(_) => record.ids.is_some() && !facts.joined.contains_key("user"),
        _ => false,
    };
    let mut all = vec![
        own("/proc", "proc", &["nosuid", "noexec", "nodev"], host.pid_mode == "host"),
        mount("/dev", "tmpfs", "tmpfs", &["nosuid", "strictatime", "mode=755", "size=65536k"]),
        mount("/dev/pts", "devpts", "devpts", &terminals),
        own("/sys", "sysfs", &["nosuid", "noexec", "nodev", access], is_hosts),
        mount("/sys/fs/cgroup", "cgroup", "cgroup", &[access, "nosuid", "noexec", "nodev"]),
    ];
    if !is_apart || host.ipc_mode != "host" {
        all.push(mount("/dev/mqueue", "mqueue", "mqueue", &["nosuid", "noexec", "nodev"]));
    }
    all
}

/// The container's shared memory: its own, or that of the one whose IPC namespace it joins.
fn shm(record: &Record, facts: &Facts) -> Option<Value> {
    let host = &record.host_config;
    match host.ipc_mode.as_str() {
        "none" => None,
        "host" => Some(mount("/dev/shm", "bind", "/dev/shm", &["rbind", "rprivate"])),
        _ => match &facts.shared_memory {
            Some(source) => Some(
                json!({"destination": "/dev/shm", "type": "bind", "source": source, "options": ["rbind", "rprivate"]}),
            ),
            None => Some(mount(
                "/dev/shm",
                "tmpfs",
                "shm",
                &["nosuid", "noexec", "nodev", "mode=1777", &format!("size={}", size(host))],
            )),
        },
    }
}

/// Bytes of shared memory.
pub(in crate::engine) fn size(host: &HostConfig) -> u64 {
    if host.shm_size == 0 { 64 << 20 } else { host.shm_size }
}

fn mounted(mounted: &Mounted, is_mapped: bool) -> Value {
    if mounted.kind == "tmpfs" {
        return tmpfs(&mounted.destination, &mounted.mode, mounted.writable);
    }
    let propagation = if mounted.propagation.is_empty() { "rprivate" } else { &mounted.propagation };
    let bind = if mounted.recursion == "disabled" { "bind" } else { "rbind" };
    let mut options = vec![bind, propagation];
    // What is read-only on the host stays so: `rw` would take that away.
    let read_only = if matches!(mounted.recursion.as_str(), "disabled" | "writable") { "ro" } else { "rro" };
    options.extend((!mounted.writable).then_some(read_only));
    // A volume may be another container's tomorrow, with other ids. What is the machine's has the machine's.
    options.extend((is_mapped && mounted.kind == "volume").then_some("idmap"));
    mount(&mounted.destination, "bind", &mounted.source, &options)
}

fn of_device(wanted: &cdi::Mount) -> Value {
    let mut options: Vec<&str> = wanted.options.iter().map(String::as_str).collect();
    let is_bind = options.iter().any(|option| matches!(*option, "bind" | "rbind"));
    let kind = if wanted.kind.is_empty() { "bind" } else { &wanted.kind };
    if kind == "bind" && !is_bind {
        options.push("rbind");
    }
    mount(&wanted.container_path, kind, &wanted.host_path, &options)
}

fn tmpfs(path: &str, options: &str, writable: bool) -> Value {
    let mut all = vec!["noexec", "nosuid", "nodev"];
    for option in options.split(',').filter(|option| !option.is_empty()) {
        // What is said takes the place of what is the default.
        let opposite = match option {
            "exec" => "noexec",
            "suid" => "nosuid",
            "dev" => "nodev",
            _ => "",
        };
        all.retain(|one| *one != opposite);
        all.push(option);
    }
    if !writable {
        all.push("ro");
    }
    mount(path, "tmpfs", "tmpfs", &all)
}

/// The propagation of the whole tree, where a mount takes part in what others mount: what is bound from it has its peers no
/// longer once it is a slave, as docker's `rootfsPropagation` has it. In a user namespace of its own it is a slave whatever is
/// asked for (mount_namespaces(7)).
pub(super) fn propagation(record: &Record) -> Option<&'static str> {
    let any = |word: &str| record.mounts.iter().any(|mounted| mounted.propagation.ends_with(word));
    match (any("shared"), any("slave")) {
        (true, _) if record.ids.is_none() => Some("shared"),
        (false, false) => None,
        _ => Some("rslave"),
    }
}
