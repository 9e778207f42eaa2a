//! What has to be changed in an engine's configuration where the engine is not: the files, programs and cgroups that
//! only it has, and what this machine can't give to anybody.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use rustix::process::{Resource, getrlimit};
use serde_json::{Value, json};

use super::observe;
use crate::harness::command::Run;
use crate::harness::host::{Host, installed};

/// The configuration for a bundle in this directory, with a program that says what it sees.
pub(super) fn config(mut config: Value, host: &Host, directory: &Path) -> Result<Value> {
    config["process"] = process(config["process"].take())?;
    bind_sources(&mut config, directory)?;
    hooks(&mut config, directory);
    namespaces(&mut config, host)?;
    resources(&mut config, host);
    // A slice, a prefix and a name are for the systemd driver.
    let group = cgroup(&config).replace(':', "/");
    config["linux"]["cgroupsPath"] = json!(format!("/{}", group.trim_start_matches('/')));
    Ok(config)
}

/// The process, with the program that says what it sees in the engine's place.
pub(super) fn process(mut process: Value) -> Result<Value> {
    process["args"] = json!(["/bin/sh", "-c", observe::SCRIPT]);
    if process["apparmorProfile"].is_string() {
        match apparmor_profile()? {
            Some(name) => process["apparmorProfile"] = json!(name),
            None => remove(&mut process, "apparmorProfile"),
        }
    }
    // A machine whose root was denied a capability or a limit can't give it to a container.
    let status = fs::read_to_string("/proc/self/status")?;
    let own = status.lines().find_map(|line| line.strip_prefix("CapPrm:\t")).context("no CapPrm")?;
    let own = u64::from_str_radix(own, 16)?;
    for set in ["bounding", "effective", "permitted", "inheritable", "ambient"] {
        if let Some(names) = process["capabilities"][set].as_array_mut() {
            names.retain(|name| observe::capability(name.as_str().unwrap_or_default()) & own != 0);
        }
    }
    if own & observe::capability("CAP_SYS_RESOURCE") == 0 {
        for limit in process["rlimits"].as_array_mut().into_iter().flatten() {
            lower(limit);
        }
    }
    Ok(process)
}

/// A profile in place of the engine's, which the engine loads; none where there is no AppArmor.
fn apparmor_profile() -> Result<Option<&'static str>> {
    const NAME: &str = "corten-bundles";
    if !Path::new("/sys/module/apparmor").exists() || !installed("apparmor_parser") {
        return Ok(None);
    }
    let profile = format!(
        "profile {NAME} flags=(attach_disconnected,mediate_deleted) {{
            file, capability, network, signal, ptrace, mount, umount, unix,
        }}"
    );
    Run::new("apparmor_parser").args(["--replace"]).input(&profile).stdout()?;
    Ok(Some(NAME))
}

/// The cgroup that the configuration names.
pub(super) fn cgroup(config: &Value) -> &str {
    config["linux"]["cgroupsPath"].as_str().unwrap_or_default()
}

fn lower(limit: &mut Value) {
    let resource = match limit["type"].as_str() {
        Some("RLIMIT_NOFILE") => Resource::Nofile,
        Some("RLIMIT_NPROC") => Resource::Nproc,
        _ => return,
    };
    if let Some(most) = getrlimit(resource).maximum {
        for key in ["soft", "hard"] {
            limit[key] = json!(limit[key].as_u64().unwrap_or(0).min(most));
        }
    }
}

/// Makes what the engine would bind: a directory where it would, or else a file that says which one it is.
fn bind_sources(config: &mut Value, directory: &Path) -> Result<()> {
    for (number, mount) in config["mounts"].as_array_mut().into_iter().flatten().enumerate() {
        if mount["type"] != "bind" {
            continue;
        }
        let source = directory.join(format!("source-{number}"));
        let place = mount["destination"].as_str().unwrap_or_default();
        if ["/dev/shm", "/data"].contains(&place) {
            fs::create_dir(&source)?;
        } else {
            fs::write(&source, format!("for {place}\n"))?;
        }
        mount["source"] = json!(source);
    }
    Ok(())
}

/// Each hook is replaced by one that writes down what it is given.
fn hooks(config: &mut Value, directory: &Path) {
    for (kind, hooks) in config["hooks"].as_object_mut().into_iter().flatten() {
        let file = directory.join(format!("hook-{kind}"));
        for hook in hooks.as_array_mut().into_iter().flatten() {
            hook["path"] = json!("/bin/sh");
            hook["args"] = json!(["sh", "-c", format!("cat > {}", file.display())]);
        }
    }
}

/// A namespace given by path is made.
fn namespaces(config: &mut Value, host: &Host) -> Result<()> {
    for namespace in config["linux"]["namespaces"].as_array_mut().into_iter().flatten() {
        if namespace["path"].is_string() {
            let name = host.name("bundle");
            Run::new("ip").args(["netns", "add", &name]).stdout()?;
            namespace["path"] = json!(format!("/run/netns/{name}"));
        }
    }
    Ok(())
}

/// Limits whose controller is elsewhere are left out.
fn resources(config: &mut Value, host: &Host) {
    for (key, controller) in [("memory", "memory"), ("cpu", "cpu"), ("pids", "pids"), ("blockIO", "io")] {
        if !host.has_controller(controller) {
            remove(&mut config["linux"]["resources"], key);
        }
    }
}

fn remove(value: &mut Value, key: &str) {
    if let Some(object) = value.as_object_mut() {
        object.remove(key);
    }
}
