//! `inspect`, `info` and `version`: docker's fields, and what is in them.

use std::collections::BTreeMap;

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use super::normal::normal;
use super::{Pair, Side};
use crate::harness::trial::{Case, cases};

pub(super) fn cases() -> Vec<(&'static str, Case<Pair>)> {
    cases![of_a_container, of_an_image, of_a_network, of_a_volume, information]
}

/// A field, or all that begin so with a dot behind it, and why it isn't there, or isn't the same.
type Known = (&'static str, &'static str);

/// Each path of docker's is there, and holds the same, but for these. What is known must be so.
fn compare(pair: &Pair, arguments: &[&str], missing: &[Known], other: &[Known]) -> Result<()> {
    let mut both = Vec::new();
    for side in [Side::Docker, Side::Ctn] {
        let text = pair.on(side, arguments).stdout()?;
        let value: Value = serde_json::from_str(&text).with_context(|| format!("{side:?} {arguments:?}: {text}"))?;
        let mut fields = BTreeMap::new();
        flatten("", value.get(0).unwrap_or(&value), &mut fields);
        both.push(fields);
    }
    let [docker, ctn] = &both[..] else { unreachable!() };
    let mut wrong = Vec::new();
    let covers = |known: &Known, path: &str| {
        path.strip_prefix(known.0).is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '[']))
    };
    let (mut used_missing, mut used_other) = (vec![false; missing.len()], vec![false; other.len()]);
    for (path, value) in docker {
        let is_missing = !ctn.contains_key(path);
        let differs = ctn.get(path).is_some_and(|own| own_form(own, Side::Ctn) != own_form(value, Side::Docker));
        let (list, used) = if is_missing { (missing, &mut used_missing) } else { (other, &mut used_other) };
        if !is_missing && !differs {
            continue;
        }
        match list.iter().position(|known| covers(known, path)) {
            Some(at) => used[at] = true,
            None if is_missing => wrong.push(format!("{path} is missing (docker: {value})")),
            None => wrong.push(format!("{path}: docker {value}, ctn {}", ctn[path])),
        }
    }
    for (list, used) in [(missing, used_missing), (other, used_other)] {
        let unused = list.iter().zip(used).filter(|(_, used)| !used);
        wrong.extend(unused.map(|((path, why), _)| format!("{path} is as docker's now ({why})")));
    }
    ensure!(wrong.is_empty(), "{arguments:?}:\n{}", wrong.join("\n"));
    Ok(())
}

/// `A.B[0].C` and the value there; ids that are names of fields are one id.
fn flatten(path: &str, value: &Value, into: &mut BTreeMap<String, String>) {
    match value {
        Value::Object(map) if !map.is_empty() => {
            for (key, below) in map {
                let key = if key.len() == 64 { "ID" } else { key };
                flatten(&if path.is_empty() { key.to_owned() } else { format!("{path}.{key}") }, below, into);
            }
        }
        Value::Array(list) if path == "Mounts" && !list.is_sorted_by_key(|mount| mount["Destination"].to_string()) => {
            // docker has them in an order by accident.
            let mut list = list.clone();
            list.sort_by_key(|mount| mount["Destination"].to_string());
            flatten(path, &Value::Array(list), into);
        }
        Value::Array(list) if list.iter().any(|one| one.is_object() || one.is_array()) => {
            for (at, below) in list.iter().enumerate() {
                flatten(&format!("{path}[{at}]"), below, into);
            }
        }
        other => {
            into.insert(path.to_owned(), other.to_string());
        }
    }
}

/// A list or map without anything in it is `null` or not in Go as it came about.
fn own_form(value: &str, side: Side) -> String {
    let text = normal(value, side);
    if matches!(text.trim(), "[]" | "{}") {
        "null
"
        .to_owned()
    } else {
        text
    }
}

fn of_a_container(pair: &Pair) -> Result<()> {
    const MADE: &[&str] = &[
        "run",
        "-d",
        "--name",
        "up",
        "-p",
        "127.0.0.1:8080:80",
        "-v",
        "kept:/kept:ro",
        "-v",
        "/tmp:/bound",
        "--tmpfs",
        "/tmpfs:size=1m",
        "-e",
        "A=b",
        "-l",
        "a=b",
        "-h",
        "web",
        "-w",
        "/tmp",
        "-u",
        "worker",
        "--cap-add",
        "NET_ADMIN",
        "--dns",
        "9.9.9.9",
        "--add-host",
        "x:1.2.3.4",
        "--ulimit",
        "nofile=100:200",
        "--stop-signal",
        "USR1",
        "--stop-timeout",
        "3",
        "--health-cmd",
        "true",
        "--health-interval",
        "1h",
        "--restart",
        "on-failure:2",
        "--sysctl",
        "net.ipv4.ip_forward=1",
        "--security-opt",
        "no-new-privileges",
        "--log-opt",
        "max-size=1m",
        "--entrypoint",
        "sleep",
        "box",
        "1000",
    ];
    pair.alone(|| {
        for side in [Side::Docker, Side::Ctn] {
            pair.on(side, MADE).stdout()?;
        }
        compare(pair, &["inspect", "up"], MISSING_OF_A_CONTAINER, OTHER_OF_A_CONTAINER)?;
        compare(pair, &["inspect", "--size", "--format", "{{json .SizeRw}}", "up"], &[], &[])
    })
}

const WINDOWS: &str = "Windows'";
const OLD: &str = "docker 23 and later have it no more";
const PLACE: &str = "where it is kept";
const SIZE: &str = "bytes of the files, where docker counts those of directories, too";

const MISSING_OF_A_CONTAINER: &[Known] = &[
    ("HostConfig.CpuCount", WINDOWS),
    ("HostConfig.CpuPercent", WINDOWS),
    ("HostConfig.IOMaximumBandwidth", WINDOWS),
    ("HostConfig.IOMaximumIOps", WINDOWS),
    ("HostConfig.KernelMemory", OLD),
    ("HostConfig.KernelMemoryTCP", OLD),
];

const OTHER_OF_A_CONTAINER: &[Known] = &[
    ("Driver", "overlay2 is docker's name of its own"),
    ("GraphDriver.Name", "overlay2 is docker's name of its own"),
    ("GraphDriver.Data", PLACE),
    ("HostConfig.MaskedPaths", "two more, as docker 27 and later"),
    ("HostConfig.Runtime", "docker's is runc"),
    ("HostnamePath", PLACE),
    ("HostsPath", PLACE),
    ("LogPath", PLACE),
    ("Mounts[1].Source", PLACE),
    ("ResolvConfPath", PLACE),
    ("NetworkSettings.IPPrefixLen", "networks of 256 addresses are given to users"),
    ("NetworkSettings.Networks.bridge.IPPrefixLen", "networks of 256 addresses are given to users"),
    ("NetworkSettings.SandboxID", "a namespace has no name of its own"),
    ("NetworkSettings.SandboxKey", PLACE),
    ("State.Pid", "two processes"),
];

fn of_an_image(pair: &Pair) -> Result<()> {
    pair.alone(|| compare(pair, &["image", "inspect", "box"], MISSING_OF_AN_IMAGE, OTHER_OF_AN_IMAGE))
}

const OF_CONTAINERS: &str = "a field of containers, which an image doesn't set; docker 28 leaves it out, too";

const MISSING_OF_AN_IMAGE: &[Known] = &[
    ("Config.AttachStderr", OF_CONTAINERS),
    ("Config.AttachStdin", OF_CONTAINERS),
    ("Config.AttachStdout", OF_CONTAINERS),
    ("Config.Domainname", OF_CONTAINERS),
    ("Config.Hostname", OF_CONTAINERS),
    ("Config.Image", OF_CONTAINERS),
    ("Config.OpenStdin", OF_CONTAINERS),
    ("Config.StdinOnce", OF_CONTAINERS),
    ("Config.Tty", OF_CONTAINERS),
    ("Container", "docker 26 and later have it no more"),
    ("ContainerConfig", "docker 26 and later have it no more"),
    ("DockerVersion", "no docker made it"),
    ("GraphDriver.Data.MergedDir", "an image isn't mounted"),
    ("GraphDriver.Data.WorkDir", "an image isn't mounted"),
];

const OTHER_OF_AN_IMAGE: &[Known] = &[
    ("GraphDriver.Data.UpperDir", PLACE),
    ("GraphDriver.Name", "overlay2 is docker's name of its own"),
    ("Metadata.LastTagTime", "nobody remembers when a name was given"),
    ("RepoDigests", "every image has a manifest here, and so a digest, as with docker's containerd store"),
    ("RepoTags", "in the order in which they were given"),
    ("Size", SIZE),
    ("VirtualSize", SIZE),
];

fn of_a_network(pair: &Pair) -> Result<()> {
    pair.alone(|| {
        for side in [Side::Docker, Side::Ctn] {
            pair.on(side, &["network", "create", "--subnet", "10.88.0.0/24", "--label", "a=b", "one"]).stdout()?;
            pair.on(side, &["run", "-d", "--name", "up", "--network", "one", "box", "sleep", "1000"]).stdout()?;
        }
        compare(pair, &["network", "inspect", "one"], &[], &[])?;
        compare(pair, &["network", "inspect", "host"], &[], &[])?;
        compare(
            pair,
            &["network", "inspect", "bridge"],
            &[("Options", "defaults are not written down")],
            &[("IPAM.Config[0].Subnet", "networks of 256 addresses are given to users")],
        )
    })
}

fn of_a_volume(pair: &Pair) -> Result<()> {
    pair.alone(|| {
        for side in [Side::Docker, Side::Ctn] {
            pair.on(side, &["volume", "create", "--label", "a=b", "one"]).stdout()?;
        }
        compare(pair, &["volume", "inspect", "one"], &[], &[("Mountpoint", PLACE)])
    })
}

fn information(pair: &Pair) -> Result<()> {
    pair.alone(|| {
        compare(pair, &["info", "--format", "{{json .}}"], MISSING_INFORMATION, OTHER_INFORMATION)?;
        compare(pair, &["version", "--format", "{{json .}}"], MISSING_OF_THE_VERSION, OTHER_OF_THE_VERSION)
    })
}

const DAEMON: &str = "there is no daemon";
const PARTS: &str = "docker's other programs";
const API: &str = "there is no interface but the command line";
const GO: &str = "how docker was built";

const MISSING_INFORMATION: &[Known] = &[
    ("ClientInfo.Context", DAEMON),
    ("ContainerdCommit", PARTS),
    ("RuncCommit", PARTS),
    ("InitCommit", PARTS),
    ("DriverStatus", "nothing depends on it: overlayfs is as it is used here since Linux 5.14"),
    ("GenericResources", "a swarm's"),
    ("HttpProxy", "proxies are of the caller's environment"),
    ("HttpsProxy", "proxies are of the caller's environment"),
    ("NoProxy", "proxies are of the caller's environment"),
    ("ID", DAEMON),
    ("Isolation", WINDOWS),
    ("KernelMemory", OLD),
    ("KernelMemoryTCP", OLD),
    ("OomKillDisable", "cgroup v2 has no such limit"),
    ("NEventsListener", DAEMON),
    ("NFd", DAEMON),
    ("NGoroutines", DAEMON),
    ("RegistryConfig", "registries.conf says it"),
    ("Runtimes.io.containerd.runc.v2", PARTS),
    ("Runtimes.io.containerd.runtime.v1.linux", PARTS),
    ("Runtimes.runc", PARTS),
    ("Swarm", "there are no swarms"),
];

const OTHER_INFORMATION: &[Known] = &[
    ("DefaultRuntime", "docker's is runc"),
    ("DockerRootDir", PLACE),
    ("Driver", "overlay2 is docker's name of its own"),
    ("InitBinary", "docker has another program for it"),
    ("LiveRestoreEnabled", "containers need no daemon to live"),
    ("OperatingSystem", "docker takes the host of the tests for a container"),
    ("Plugins.Log", "drivers that send logs elsewhere are not there"),
    ("Plugins.Network", "there are no overlay networks"),
    ("Runtimes.corten.path", "where the program is"),
    ("SecurityOptions", "the profile is called as docker 23 and later call it"),
    ("ServerVersion", "another program"),
    ("Warnings", "the two of io are one"),
];

const MISSING_OF_THE_VERSION: &[Known] = &[
    ("Client.ApiVersion", API),
    ("Client.BuildTime", GO),
    ("Client.Context", DAEMON),
    ("Client.DefaultAPIVersion", API),
    ("Client.GitCommit", GO),
    ("Client.GoVersion", GO),
    ("Client.Platform", "there is one edition"),
    ("Server.ApiVersion", API),
    ("Server.BuildTime", GO),
    ("Server.Components[0].Details", API),
    ("Server.Components[1]", PARTS),
    ("Server.Components[2]", PARTS),
    ("Server.Components[3]", PARTS),
    ("Server.GitCommit", GO),
    ("Server.GoVersion", GO),
    ("Server.MinAPIVersion", API),
    ("Server.Platform", "there is one edition"),
];

const OTHER_OF_THE_VERSION: &[Known] = &[
    ("Client.Experimental", "nothing is behind such a switch"),
    ("Client.Version", "another program"),
    ("Server.Components[0].Name", "another program"),
    ("Server.Components[0].Version", "another program"),
    ("Server.Version", "another program"),
];
