//! What only root's podman can do.

use std::os::unix::fs::MetadataExt;

use anyhow::{Result, ensure};

use super::Podman;
use crate::harness::command::Run;
use crate::harness::host::cgroup;
use crate::harness::image;
use crate::harness::trial::{Case, Skip, cases};

pub(super) fn cases() -> Vec<(&'static str, Case<Podman>)> {
    cases![
        pauses_and_resumes,
        updates,
        lives_in_a_user_namespace,
        maps_owners_of_a_volume,
        may_be_privileged,
        has_a_device_of_the_hosts,
        runs_without_cgroups,
        has_a_cgroup_parent,
        talks_over_the_bridge,
    ]
}

fn pauses_and_resumes(podman: &Podman) -> Result<()> {
    let container = podman.sleeper(&[])?;
    let group = cgroup(container.pid()?)?;
    podman.podman(&["pause", &container.name]).stdout()?;
    ensure!(container.inspect(".State.Status")? == "paused", "not paused");
    let events = std::fs::read_to_string(group.join("cgroup.events"))?;
    ensure!(events.contains("frozen 1"), "{events}");
    podman.podman(&["unpause", &container.name]).stdout()?;
    let events = std::fs::read_to_string(group.join("cgroup.events"))?;
    ensure!(events.contains("frozen 0"), "{events}");
    container.exec(&["/bin/true"]).stdout()?;
    podman.podman(&["pause", &container.name]).stdout()?;
    podman.podman(&["rm", "--force", "--time", "0", &container.name]).stdout()?;
    ensure!(!group.exists(), "{group:?} is left");
    Ok(())
}

fn updates(podman: &Podman) -> Result<()> {
    for controller in ["memory", "cpu"] {
        if !podman.host.has_controller(controller) {
            return Err(Skip(format!("no {controller} controller in the cgroup2 tree")).into());
        }
    }
    let container = podman.sleeper(&["--memory", "64m"])?;
    let group = cgroup(container.pid()?)?;
    podman.podman(&["update", "--memory", "128m", "--cpu-quota", "50000", &container.name]).stdout()?;
    ensure!(std::fs::read_to_string(group.join("memory.max"))? == "134217728\n", "memory.max");
    ensure!(std::fs::read_to_string(group.join("cpu.max"))? == "50000 100000\n", "cpu.max");
    Ok(())
}

fn lives_in_a_user_namespace(podman: &Podman) -> Result<()> {
    let options = ["--uidmap", "0:200000:65536", "--gidmap", "0:300000:65536"];
    let container = podman.sleeper(&options)?;
    let script =
        "id -u; cat /proc/self/uid_map; touch /etc/x; stat -c %u:%g /etc/x; mount -t tmpfs x /tmp 2>&1 || true";
    let printed = container.exec(&["/bin/sh", "-c", script]).stdout()?;
    let words: Vec<_> = printed.split_whitespace().collect();
    ensure!(words[..5] == ["0", "0", "200000", "65536", "0:0"], "{printed}");
    ensure!(printed.contains("permission denied"), "{printed}");
    let status = std::fs::read_to_string(format!("/proc/{}/status", container.pid()?))?;
    ensure!(status.contains("Uid:\t200000\t200000\t200000\t200000\n"), "{status}");
    ensure!(status.contains("Gid:\t300000\t300000\t300000\t300000\n"), "{status}");
    Ok(())
}

fn maps_owners_of_a_volume(podman: &Podman) -> Result<()> {
    let features = Run::new(&podman.host.runtime).args(["features"]).stdout()?;
    let features: serde_json::Value = serde_json::from_str(&features)?;
    if features["linux"]["mountExtensions"]["idmap"]["enabled"] != true {
        return Err(Skip("the runtime has no idmapped mounts, by its own `features`".to_string()).into());
    }
    let source = podman.host.new_directory("idmapped")?;
    std::fs::write(source.join("file"), "")?;
    let options = ["--uidmap", "0:200000:65536", "--gidmap", "0:300000:65536"];
    let (plain, mapped) = (format!("{}:/data", source.display()), format!("{}:/data:idmap", source.display()));
    let script = "stat -c %u:%g /data/file";
    let printed = podman.script(&[&options[..], &["--volume", &plain]].concat(), script)?;
    ensure!(printed == "65534:65534", "without a mapping: {printed}");
    let script = format!("{script}; touch /data/new");
    let printed = podman.script(&[&options[..], &["--volume", &mapped]].concat(), &script)?;
    ensure!(printed == "0:0", "with a mapping: {printed}");
    let new = std::fs::metadata(source.join("new"))?;
    ensure!((new.uid(), new.gid()) == (0, 0), "owned by {}:{}", new.uid(), new.gid());
    Ok(())
}

fn may_be_privileged(podman: &Podman) -> Result<()> {
    let script = "grep ^CapEff /proc/self/status; mkdir /mnt; mount -t tmpfs mine /mnt && echo mounted; \
                  cat /proc/sys/vm/swappiness > /proc/sys/vm/swappiness && echo set";
    let printed = podman.script(&["--privileged"], script)?;
    let outside = std::fs::read_to_string("/proc/self/status")?;
    let all = outside.lines().find(|line| line.starts_with("CapEff")).unwrap_or_default();
    ensure!(printed == format!("{all}\nmounted\nset"), "{printed}\nand outside {all}");
    Ok(())
}

fn has_a_device_of_the_hosts(podman: &Podman) -> Result<()> {
    let failed = podman.run(&["--cap-add", "MKNOD"], &["/bin/sh", "-c", "mknod /tmp/fuse c 10 229 && cat /tmp/fuse"]);
    failed.finish()?.fails_saying("Operation not permitted")?;
    if !std::path::Path::new("/dev/fuse").exists() {
        return Err(Skip("no /dev/fuse to hand in".to_string()).into());
    }
    let script = "stat -c %t:%T /dev/other; : < /dev/other && echo open";
    let printed = podman.script(&["--device", "/dev/fuse:/dev/other:r"], script)?;
    ensure!(printed == "a:e5\nopen", "{printed}");
    Ok(())
}

fn runs_without_cgroups(podman: &Podman) -> Result<()> {
    let help = Run::new(&podman.host.runtime).args(["--help"]).stdout()?;
    if !help.contains("--cgroup-manager") {
        return Err(Skip("the runtime has no --cgroup-manager, which podman needs for this".to_string()).into());
    }
    let container = podman.sleeper(&["--cgroups", "disabled"])?;
    let group = cgroup(container.pid()?)?;
    ensure!(group == cgroup(std::process::id())?, "{group:?} and not the caller's");
    podman.podman(&["rm", "--force", "--time", "0", &container.name]).stdout()?;
    Ok(())
}

fn has_a_cgroup_parent(podman: &Podman) -> Result<()> {
    let container = podman.sleeper(&["--cgroup-parent", "/podman-parent/of-it"])?;
    let group = cgroup(container.pid()?)?;
    ensure!(group.starts_with("/sys/fs/cgroup/podman-parent/of-it"), "{group:?}");
    ensure!(group.to_string_lossy().contains(&container.inspect(".Id")?), "{group:?}");
    Ok(())
}

fn talks_over_the_bridge(podman: &Podman) -> Result<()> {
    let server = super::Container { podman, name: podman.host.name("server") };
    let run = podman.podman(&["run", "--detach", "--name", &server.name, image::NAME, "/bin/sh", "-c"]);
    run.args(["echo answer | nc -l -p 80"]).stdout()?;
    let address = server.inspect(".NetworkSettings.IPAddress")?;
    let script = format!("until nc {address} 80 </dev/null 2>/dev/null; do :; done");
    let printed = podman.podman(&["run", "--rm", image::NAME, "/bin/sh", "-c", &script]).stdout()?;
    ensure!(printed == "answer", "{printed}");
    Ok(())
}
