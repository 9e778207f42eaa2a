//! `info` and `version`, with docker's fields as far as there is something to say, and in docker's form.

use anyhow::Result;
use clap::Args;
use rustix::system::{sysinfo, uname};
use serde_json::{Map, Value, json};

use super::output::print;
use super::template::Template;
use super::{Context, Operation};
use crate::engine::state::Status;
use crate::engine::{Engine, apparmor, group};

/// Show what there is on this machine
#[derive(Debug, Args)]
pub(super) struct Info {
    /// json, or a template
    #[arg(short, long)]
    format: Option<String>,
}

/// Show the version
#[derive(Debug, Args)]
pub(super) struct Version {
    /// json, or a template
    #[arg(short, long)]
    format: Option<String>,
}

impl Operation for Info {
    fn carry_out(self, context: &Context) -> Result<u8> {
        let engine = context.engine()?;
        let mut info = Value::Object(of_engine(&engine)?.into_iter().chain(of_machine()).collect());
        add_limits(&mut info);
        match self.format.as_deref() {
            Some(format) => show(&info, format),
            None => print(&in_lines(&info)).map(|()| 0),
        }
    }
}

/// What there is of containers and images, and by what they are carried out.
fn of_engine(engine: &Engine) -> Result<Map<String, Value>> {
    let (mut running, mut paused, mut stopped) = (0, 0, 0);
    for container in engine.all()? {
        match container.state().map(|state| state.status) {
            Ok(Status::Running | Status::Restarting) => running += 1,
            Ok(Status::Paused) => paused += 1,
            _ => stopped += 1,
        }
    }
    Ok(object(json!({
        "Containers": running + paused + stopped,
        "ContainersRunning": running,
        "ContainersPaused": paused,
        "ContainersStopped": stopped,
        "Images": engine.store.images(|_| {})?.len(),
        "Driver": "overlay",
        "CgroupDriver": group::manager(engine).to_string(),
        "DriverStatus": [],
        "Plugins": {
            "Volume": ["local"], "Network": ["bridge", "host", "ipvlan", "macvlan", "null"],
            "Log": ["journald", "json-file", "local", "none"], "Authorization": null,
        },
        "CgroupVersion": "2",
        "LoggingDriver": "json-file",
        "Runtimes": {"corten": {"path": std::env::current_exe().unwrap_or_default()}},
        "DefaultRuntime": "corten",
        "InitBinary": "ctn-init",
        "IndexServerAddress": "https://index.docker.io/v1/",
        "SecurityOptions": security_options(engine.user.is_some()),
        "Labels": [],
        "Debug": false,
        "ExperimentalBuild": false,
        "LiveRestoreEnabled": true,
        "ServerVersion": env!("CARGO_PKG_VERSION"),
        "ClientInfo": {"Debug": false, "Plugins": [], "Warnings": null},
        "DockerRootDir": engine.store.root(),
    })))
}

fn of_machine() -> Map<String, Value> {
    let (system, memory) = (uname(), sysinfo());
    let text = |text: &std::ffi::CStr| text.to_string_lossy().into_owned();
    let (name, version) = distribution();
    object(json!({
        "IPv4Forwarding": setting("net/ipv4/ip_forward"),
        "BridgeNfIptables": setting("net/bridge/bridge-nf-call-iptables"),
        "BridgeNfIp6tables": setting("net/bridge/bridge-nf-call-ip6tables"),
        "KernelVersion": text(system.release()),
        "OperatingSystem": name,
        "OSVersion": version,
        "OSType": "linux",
        "Architecture": text(system.machine()),
        "NCPU": std::thread::available_parallelism().map_or(1, std::num::NonZero::get),
        "MemTotal": memory.totalram * u64::from(memory.mem_unit),
        "Name": text(system.nodename()),
        "SystemTime": humantime::format_rfc3339_nanos(std::time::SystemTime::now()).to_string(),
    }))
}

fn object(value: Value) -> Map<String, Value> {
    if let Value::Object(fields) = value { fields } else { Map::new() }
}

/// Which limits the machine has, and a warning for each that it has not.
fn add_limits(info: &mut Value) {
    let found = std::fs::read_to_string("/sys/fs/cgroup/cgroup.controllers").unwrap_or_default();
    let has = |controller: &str| found.split_whitespace().any(|found| found == controller);
    let mut warnings = Vec::new();
    for (field, controller, what) in [
        ("MemoryLimit", "memory", "memory limit"),
        ("SwapLimit", "memory", "swap limit"),
        ("CpuCfsQuota", "cpu", "cpu cfs quota"),
        ("CpuCfsPeriod", "cpu", "cpu cfs period"),
        ("CPUShares", "cpu", "cpu shares"),
        ("CPUSet", "cpuset", "cpuset"),
        ("PidsLimit", "pids", "pids limit"),
    ] {
        info[field] = has(controller).into();
        if !has(controller) {
            warnings.push(format!("WARNING: No {what} support"));
        }
    }
    if !has("io") {
        warnings.push("WARNING: No io.weight and io.max support".to_owned());
    }
    info["Warnings"] = json!(warnings);
}

/// What the distribution calls itself (os-release(5)), and its version.
fn distribution() -> (String, String) {
    let text = std::fs::read_to_string("/etc/os-release").or_else(|_| std::fs::read_to_string("/usr/lib/os-release"));
    let text = text.unwrap_or_default();
    let field = |name: &str| {
        let value = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix('='));
        value.unwrap_or_default().trim_matches('"').to_owned()
    };
    (field("PRETTY_NAME"), field("VERSION_ID"))
}

/// What keeps containers in, in docker's order. An ordinary user may load no profile.
fn security_options(is_rootless: bool) -> Vec<&'static str> {
    let all = [
        (!is_rootless && apparmor::is_available(), "name=apparmor"),
        (true, "name=seccomp,profile=builtin"),
        (is_rootless, "name=rootless"),
        (true, "name=cgroupns"),
    ];
    all.into_iter().filter(|(is_so, _)| *is_so).map(|(_, option)| option).collect()
}

/// Whether a setting of the kernel is on.
fn setting(name: &str) -> bool {
    std::fs::read_to_string(format!("/proc/sys/{name}")).is_ok_and(|text| text.trim() != "0")
}

impl Operation for Version {
    fn carry_out(self, _: &Context) -> Result<u8> {
        let platform = crate::image::platform::Platform::host();
        let one = json!({
            "Version": env!("CARGO_PKG_VERSION"),
            "Os": platform.os,
            "Arch": platform.architecture,
            "Experimental": false,
        });
        let mut version = json!({"Client": one, "Server": one});
        version["Server"]["KernelVersion"] = uname().release().to_string_lossy().into();
        version["Server"]["RuntimeSpec"] = crate::spec::VERSION.into();
        version["Server"]["Components"] = json!([{
            "Name": "corten", "Version": env!("CARGO_PKG_VERSION"), "Details": {"RuntimeSpec": crate::spec::VERSION},
        }]);
        match self.format.as_deref() {
            Some(format) => show(&version, format),
            None => {
                let line = |name: &str, value: &Value| format!("{name:<18} {}\n", value.as_str().unwrap_or_default());
                let system = json!(format!("{}/{}", platform.os, platform.architecture));
                let server = &version["Server"];
                let text = format!(
                    "Client:\n{}{}\nServer:\n{}{}{}{}",
                    line(" Version:", &version["Client"]["Version"]),
                    line(" OS/Arch:", &system),
                    line(" Version:", &server["Version"]),
                    line(" OS/Arch:", &system),
                    line(" Kernel version:", &server["KernelVersion"]),
                    line(" Runtime spec:", &server["RuntimeSpec"]),
                );
                print(&text).map(|()| 0)
            }
        }
    }
}

fn show(what: &Value, format: &str) -> Result<u8> {
    print(&match format {
        "json" => what.to_string() + "\n",
        format => Template::parse(format)?.render(what)? + "\n",
    })?;
    Ok(0)
}

/// docker's lines for a person.
fn in_lines(info: &Value) -> String {
    let text = |field: &str| match &info[field] {
        Value::String(text) => text.clone(),
        Value::Array(list) => list.iter().filter_map(Value::as_str).collect::<Vec<_>>().join(" "),
        other => other.to_string(),
    };
    let mut lines = vec!["Client:".to_owned(), " Debug Mode: false".into(), String::new(), "Server:".into()];
    for (label, field) in [
        ("Containers", "Containers"),
        (" Running", "ContainersRunning"),
        (" Paused", "ContainersPaused"),
        (" Stopped", "ContainersStopped"),
        ("Images", "Images"),
        ("Server Version", "ServerVersion"),
        ("Storage Driver", "Driver"),
        ("Logging Driver", "LoggingDriver"),
        ("Cgroup Driver", "CgroupDriver"),
        ("Cgroup Version", "CgroupVersion"),
    ] {
        lines.push(format!(" {label}: {}", text(field)));
    }
    lines.push(" Plugins:".into());
    for kind in ["Volume", "Network", "Log"] {
        let names = info["Plugins"][kind].as_array().into_iter().flatten().filter_map(Value::as_str);
        lines.push(format!("  {kind}: {}", names.collect::<Vec<_>>().join(" ")));
    }
    lines.push(format!(" Default Runtime: {}", text("DefaultRuntime")));
    lines.push(format!(" Init Binary: {}", text("InitBinary")));
    lines.push(" Security Options:".into());
    for option in info["SecurityOptions"].as_array().into_iter().flatten().filter_map(Value::as_str) {
        let mut parts = option.split(',');
        lines.extend(parts.next().map(|part| format!("  {}", part.trim_start_matches("name="))));
        lines.extend(
            parts.filter_map(|part| part.split_once('=')).map(|(key, value)| format!("   {}: {value}", capital(key))),
        );
    }
    for (label, field) in [
        ("Kernel Version", "KernelVersion"),
        ("Operating System", "OperatingSystem"),
        ("OSType", "OSType"),
        ("Architecture", "Architecture"),
        ("CPUs", "NCPU"),
    ] {
        lines.push(format!(" {label}: {}", text(field)));
    }
    lines.push(format!(" Total Memory: {}", super::container::binary_size(info["MemTotal"].as_u64().unwrap_or(0))));
    lines.push(format!(" Name: {}", text("Name")));
    lines.push(format!(" Docker Root Dir: {}", text("DockerRootDir")));
    lines.extend(info["Warnings"].as_array().into_iter().flatten().filter_map(Value::as_str).map(str::to_owned));
    lines.join("\n") + "\n"
}

fn capital(word: &str) -> String {
    let mut letters = word.chars();
    letters.next().map(|first| first.to_uppercase().collect::<String>() + letters.as_str()).unwrap_or_default()
}
