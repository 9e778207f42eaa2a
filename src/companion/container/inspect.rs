//! What `inspect` shows of a container: docker's API, field by field.

use anyhow::Result;
use serde_json::{Value, json};

use crate::engine::record::Mounted;
use crate::engine::state::{State, Status};
use crate::engine::{Container, apparmor, network, specification};
use crate::engine::{links, log};

/// docker's time for "never".
const NEVER: &str = "0001-01-01T00:00:00Z";

/// All of it.
pub(in crate::companion) fn described(container: &Container<'_>) -> Result<Value> {
    let record = &container.record;
    let state = container.state()?;
    let directory = container.directory();
    let command = record.command();
    let file = |name: &str| directory.join(name).display().to_string();
    let has_log = log::Limits::of(&record.host_config.log_config)?.is_some();
    let log_path = if has_log { log::path(&directory, &record.id).display().to_string() } else { String::new() };
    let apparmor = container.engine.user.is_none() && apparmor::is_available();
    let lower = record.layers.iter().rev().map(|layer| container.engine.store.layer_path(layer).join("tree"));
    let lower: Vec<String> = lower.map(|path| path.display().to_string()).collect();
    let mut described = json!({
        "Id": record.id,
        "Created": record.created,
        "Path": command.first(),
        "Args": command.get(1..).unwrap_or_default(),
        "State": of_state(&state),
        "Image": record.image,
        "ResolvConfPath": file("resolv.conf"),
        "HostnamePath": file("hostname"),
        "HostsPath": file("hosts"),
        "LogPath": log_path,
        "Name": format!("/{}", record.name),
        "RestartCount": state.restart_count,
        "Driver": "overlay",
        "Platform": "linux",
        "MountLabel": "",
        "ProcessLabel": "",
        "AppArmorProfile": specification::apparmor_profile(record, apparmor)?,
        "ExecIDs": Value::Null,
        "HostConfig": record.host_config,
        "GraphDriver": {"Name": "overlay", "Data": {
            "LowerDir": lower.join(":"), "UpperDir": file("upper"), "WorkDir": file("work"), "MergedDir": file("rootfs"),
        }},
        "Mounts": record.mounts.iter().map(|mounted| of_mount(container, mounted)).collect::<Vec<_>>(),
        "Config": record.config,
        "NetworkSettings": network::described(container, &state)?,
    });
    if record.rootfs.is_some() {
        described["Rootfs"] = json!(record.rootfs);
    }
    if let Some((masked, read_only)) = specification::masks(record)? {
        described["HostConfig"]["MaskedPaths"] = json!(masked);
        described["HostConfig"]["ReadonlyPaths"] = json!(read_only);
    }
    described["HostConfig"]["Links"] = null_if_empty(&links::described(container.engine, record));
    add_missing(&mut described["HostConfig"], fixed());
    described["Config"]["OnBuild"] = Value::Null;
    described["Config"]["Cmd"] = null_if_empty(&record.config.cmd);
    described["Config"]["Entrypoint"] = null_if_empty(&record.config.entrypoint);
    Ok(described)
}

/// docker's fields of what can't be asked for here: they say so by their value, and templates that name them work.
fn fixed() -> Value {
    json!({
        "Cgroup": "", "ConsoleSize": [0, 0], "CpuRealtimePeriod": 0, "CpuRealtimeRuntime": 0,
        "DeviceRequests": null, "Isolation": "", "OomKillDisable": null, "Runtime": "corten", "VolumeDriver": "",
    })
}

fn add_missing(to: &mut Value, fields: Value) {
    if let (Value::Object(to), Value::Object(fields)) = (to, fields) {
        for (key, value) in fields {
            to.entry(key).or_insert(value);
        }
    }
}

fn null_if_empty(list: &[String]) -> Value {
    if list.is_empty() { Value::Null } else { json!(list) }
}

fn of_state(state: &State) -> Value {
    let time = |text: &str| if text.is_empty() { NEVER.to_owned() } else { text.to_owned() };
    let mut described = json!({
        "Status": state.status.word(),
        "Running": state.status.is_active(),
        "Paused": state.status == Status::Paused,
        "Restarting": state.status == Status::Restarting,
        "OOMKilled": state.oom_killed,
        "Dead": false,
        "Pid": state.pid,
        "ExitCode": state.exit_code,
        "Error": state.error,
        "StartedAt": time(&state.started_at),
        "FinishedAt": time(&state.finished_at),
    });
    if let Some(health) = &state.health {
        described["Health"] = json!(health);
    }
    described
}

fn of_mount(container: &Container<'_>, mounted: &Mounted) -> Value {
    let mut described = json!(mounted);
    if !mounted.subpath.is_empty() {
        described["Source"] = json!(container.engine.volume_data(&mounted.name));
    }
    if !mounted.covered.is_empty() {
        described["Source"] = json!(mounted.covered);
    }
    if let Some(fields) = described.as_object_mut() {
        const OURS: [&str; 7] = ["Copies", "Anonymous", "Subpath", "Recursion", "Relabel", "Owned", "Covered"];
        fields.retain(|key, _| !OURS.contains(&key.as_str()));
    }
    described
}
