//! Containers that share a namespace with the host or with each other, and those that talk over docker's network.

use anyhow::{Result, ensure};

use super::Docker;
use crate::harness::trial::{Case, cases};

pub(super) fn cases() -> Vec<(&'static str, Case<Docker>)> {
    cases![
        shares_the_hosts_namespaces,
        shares_another_containers_namespaces,
        kills_what_has_no_first_process,
        has_a_cgroup_parent,
        has_no_network,
        talks_over_the_bridge,
        publishes_a_port,
    ]
}

fn shares_the_hosts_namespaces(docker: &Docker) -> Result<()> {
    let pairs = [("--pid", "pid"), ("--ipc", "ipc"), ("--uts", "uts"), ("--network", "net"), ("--cgroupns", "cgroup")];
    for (option, kind) in pairs {
        let inside = docker.script(&[option, "host"], &format!("readlink /proc/self/ns/{kind}"))?;
        let outside = std::fs::read_link(format!("/proc/self/ns/{kind}"))?;
        ensure!(inside == outside.to_string_lossy(), "{kind}: {inside} and not {outside:?}");
    }
    Ok(())
}

fn shares_another_containers_namespaces(docker: &Docker) -> Result<()> {
    let first = docker.sleeper(&["--ipc", "shareable", "--hostname", "first"])?;
    let share = format!("container:{}", first.name);
    for (option, kind) in [("--pid", "pid"), ("--ipc", "ipc"), ("--network", "net")] {
        let inside = docker.script(&[option, &share], &format!("readlink /proc/self/ns/{kind}"))?;
        let outside = std::fs::read_link(format!("/proc/{}/ns/{kind}", first.pid()?))?;
        ensure!(inside == outside.to_string_lossy(), "{kind}: {inside} and not {outside:?}");
    }
    let seen = docker.script(&["--pid", &share], "cat /proc/1/comm")?;
    ensure!(seen == "sleep", "{seen}");
    Ok(())
}

fn kills_what_has_no_first_process(docker: &Docker) -> Result<()> {
    // In the host's pid namespace nothing but the runtime ends the children with the container.
    let script = "sleep 2000 & echo $!; wait";
    let container = docker.detach(&["--pid", "host"], &["/bin/sh", "-c", script])?;
    let mut first = String::new();
    while first.is_empty() {
        first = container.logs()?.0;
    }
    let pid: i32 = first.trim().parse()?;
    let pidfd = rustix::process::pidfd_open(
        rustix::process::Pid::from_raw(pid).ok_or_else(|| anyhow::anyhow!("no process"))?,
        rustix::process::PidfdFlags::empty(),
    )?;
    docker.docker(&["kill", &container.name]).stdout()?;
    let bound = crate::harness::command::BOUND;
    ensure!(crate::harness::command::readable(&pidfd, bound)?, "process {pid} still runs");
    Ok(())
}

fn has_a_cgroup_parent(docker: &Docker) -> Result<()> {
    let container = docker.sleeper(&["--cgroup-parent", "/a-parent/of-it"])?;
    let group = crate::harness::host::cgroup(container.pid()?)?;
    let expected = format!("/sys/fs/cgroup/a-parent/of-it/{}", container.inspect(".Id")?);
    ensure!(group == std::path::Path::new(&expected), "{group:?}");
    Ok(())
}

fn has_no_network(docker: &Docker) -> Result<()> {
    let printed = docker.script(&["--network", "none"], "ls /sys/class/net; cat /sys/class/net/lo/flags")?;
    // IFF_UP | IFF_LOOPBACK
    ensure!(printed == "lo\n0x9", "{printed}");
    Ok(())
}

fn talks_over_the_bridge(docker: &Docker) -> Result<()> {
    // Again and again: whoever connects and goes before it has read takes the answer with it.
    let server = docker.detach(&[], &["/bin/sh", "-c", "while :; do echo answer | nc -l -p 80; done"])?;
    let address = server.inspect(".NetworkSettings.IPAddress")?;
    let script = format!("until nc {address} 80 </dev/null 2>/dev/null | grep answer; do :; done");
    let printed = docker.script(&[], &script)?;
    ensure!(printed == "answer", "{printed}");
    Ok(())
}

fn publishes_a_port(docker: &Docker) -> Result<()> {
    let server = docker
        .detach(&["--publish", "127.0.0.1::80"], &["/bin/sh", "-c", "while :; do echo answer | nc -l -p 80; done"])?;
    let port = docker.docker(&["port", &server.name, "80/tcp"]).stdout()?;
    let port = port.rsplit(':').next().unwrap_or_default();
    let script = format!("until nc 127.0.0.1 {port} </dev/null 2>/dev/null | grep answer; do :; done");
    let printed = docker.script(&["--network", "host"], &script)?;
    ensure!(printed == "answer", "{printed}");
    Ok(())
}
