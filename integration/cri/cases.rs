//! Pods and their containers: life, namespaces, walls, limits.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use serde_json::json;

use super::{CREATED, EXITED, Kubelet, NODE, RUNNING};
use crate::harness::command::Run;
use crate::harness::host::{Files, cgroup};
use crate::harness::trial::{Case, cases};

pub(super) fn cases() -> Vec<(&'static str, Case<Kubelet>)> {
    cases![
        lives_and_leaves_nothing,
        executes_in_a_container,
        logs_what_it_prints,
        tells_how_it_ended,
        tells_that_the_program_is_missing,
        shares_the_namespaces_of_its_pod,
        is_in_the_hosts_namespaces,
        is_walled_in,
        has_the_privileges_that_it_is_given,
        has_its_user_and_mounts,
    ]
}

/// Those that show what becomes of control groups, where systemd makes them.
pub(super) fn of_groups() -> Vec<(&'static str, Case<Kubelet>)> {
    cases![lives_and_leaves_nothing, keeps_its_limits]
}

/// Those that need all controllers, which most machines give to systemd alone.
pub(super) fn beside_systemd() -> Vec<(&'static str, Case<Kubelet>)> {
    cases![keeps_its_limits]
}

fn lives_and_leaves_nothing(kubelet: &Kubelet) -> Result<()> {
    let pod = kubelet.pod(json!({}))?;
    let container = pod.create(&["/bin/sleep", "1000"], json!({}))?;
    ensure!(pod.status(&container)?["state"] == CREATED);
    pod.start(&container)?;
    ensure!(pod.status(&container)?["state"] == RUNNING);
    let stats = kubelet.call("ContainerStats", &json!({ "container_id": container }))?;
    ensure!(stats["stats"]["attributes"]["id"] == container.as_str(), "{stats}");
    pod.stop(&container)?;
    let status = pod.ended(&container)?;
    ensure!(status["exit_code"] == 137, "{status}");
    kubelet.call("RemoveContainer", &json!({ "container_id": container }))?;
    let id = pod.id.clone();
    drop(pod);
    for id in [&id, &container] {
        let mounts = fs::read_to_string("/proc/self/mountinfo")?;
        ensure!(!mounts.contains(id.as_str()), "a mount is left:\n{mounts}");
        let tasks = kubelet.ctr(&["tasks", "list"]).stdout()?;
        ensure!(!tasks.contains(id.as_str()), "a task is left:\n{tasks}");
        let state = kubelet.socket.with_file_name("state").join("runc/k8s.io").join(id);
        ensure!(!state.exists(), "{state:?} is left");
        let left =
            Run::new("find").args(["/sys/fs/cgroup", "-ignore_readdir_race", "-name", &format!("*{id}*")]).stdout()?;
        ensure!(left.is_empty(), "a group is left: {left}");
    }
    Ok(())
}

fn executes_in_a_container(kubelet: &Kubelet) -> Result<()> {
    let pod = kubelet.pod(json!({}))?;
    let container = pod.run(&["/bin/sleep", "1000"], json!({}))?;
    let (status, stdout, stderr) = pod.exec(&container, &["sh", "-c", "echo out; echo err >&2; exit 3"])?;
    ensure!((status, &*stdout, &*stderr) == (3, "out\n", "err\n"), "{status} {stdout:?} {stderr:?}");
    let request = json!({ "container_id": container, "cmd": ["/bin/no-such-program"] });
    kubelet.try_call("ExecSync", &request)?.fails_saying("no-such-program")?;
    let request = json!({ "container_id": container, "cmd": ["sleep", "1000"], "timeout": 1 });
    kubelet.try_call("ExecSync", &request)?.fails_saying("timeout")?;
    let left = pod.printed(&container, &["ps", "-o", "args"])?;
    ensure!(left.lines().filter(|line| *line == "sleep 1000").count() == 0, "it runs on:\n{left}");
    Ok(())
}

fn logs_what_it_prints(kubelet: &Kubelet) -> Result<()> {
    let pod = kubelet.pod(json!({}))?;
    let script = "echo to-out; echo to-err >&2; touch /tmp/said; read line";
    let container = pod.run(&["/bin/sh", "-c", script], json!({ "stdin": true }))?;
    pod.printed(&container, &["sh", "-c", "until test -e /tmp/said; do :; done"])?;
    let path = pod.logs.join(pod.status(&container)?["log_path"].as_str().context("a log")?);
    pod.stop(&container)?;
    let log = fs::read_to_string(&path).with_context(|| format!("read {path:?}"))?;
    ensure!(log.contains(" stdout F to-out\n") && log.contains(" stderr F to-err\n"), "{log}");
    Ok(())
}

fn tells_how_it_ended(kubelet: &Kubelet) -> Result<()> {
    let pod = kubelet.pod(json!({}))?;
    for (script, wanted) in [("exit 7", 7), ("true", 0)] {
        let container = pod.run(&["/bin/sh", "-c", script], json!({}))?;
        let status = pod.ended(&container)?;
        ensure!(status["exit_code"] == wanted, "{script}: {status}");
    }
    Ok(())
}

fn tells_that_the_program_is_missing(kubelet: &Kubelet) -> Result<()> {
    let pod = kubelet.pod(json!({}))?;
    let container = pod.create(&["/bin/no-such-program"], json!({}))?;
    let request = json!({ "container_id": container });
    kubelet.try_call("StartContainer", &request)?.fails_saying("no such file or directory")?;
    let status = pod.status(&container)?;
    ensure!(status["state"] == EXITED && status["exit_code"] != 0 && status["reason"] == "StartError", "{status}");
    Ok(())
}

/// Where a process's namespaces are.
const NAMESPACES: &str = "for kind in ipc uts net pid mnt; do readlink /proc/self/ns/$kind; done";

fn shares_the_namespaces_of_its_pod(kubelet: &Kubelet) -> Result<()> {
    let pod = kubelet.pod(json!({}))?;
    let within = |options| -> Result<Vec<String>> {
        let container = pod.run(&["/bin/sleep", "1000"], options)?;
        ensure!(pod.printed(&container, &["hostname"])?.trim() == pod.config["hostname"]);
        Ok(pod.printed(&container, &["sh", "-c", NAMESPACES])?.lines().map(str::to_string).collect())
    };
    let (one, other) = (within(json!({}))?, within(json!({}))?);
    ensure!(one[..3] == other[..3], "{one:?} {other:?}");
    ensure!(one[3] != other[3] && one[4] != other[4], "{one:?} {other:?}");
    let together = json!({ "linux": { "security_context": { "namespace_options": { "pid": 0 } } } });
    let (third, fourth) = (within(together.clone())?, within(together)?);
    ensure!(third[3] == fourth[3] && third[3] != one[3], "{third:?} {fourth:?}");
    Ok(())
}

fn is_in_the_hosts_namespaces(kubelet: &Kubelet) -> Result<()> {
    let all = json!({ "security_context": { "namespace_options": { "network": NODE, "pid": NODE, "ipc": NODE } } });
    let pod = kubelet.pod(json!({ "hostname": "", "linux": all }))?;
    let container = pod.run(&["/bin/sleep", "1000"], json!({ "linux": all }))?;
    let printed = pod.printed(&container, &["sh", "-c", NAMESPACES])?;
    for (kind, namespace) in ["ipc", "uts", "net", "pid"].iter().zip(printed.lines()) {
        let host = fs::read_link(format!("/proc/{}/ns/{kind}", kubelet.daemon.pid()))?;
        ensure!(host.to_str() == Some(namespace), "{kind}: {host:?}, {namespace}");
    }
    Ok(())
}

fn is_walled_in(kubelet: &Kubelet) -> Result<()> {
    let pod = kubelet.pod(json!({}))?;
    let walls = json!({ "linux": { "security_context": {
        "readonly_rootfs": true, "no_new_privs": true,
        "capabilities": { "add_capabilities": [], "drop_capabilities": ["ALL"], "add_ambient_capabilities": [] },
        "masked_paths": ["/proc/keys"], "readonly_paths": ["/proc/sys"],
    } } });
    let container = pod.run(&["/bin/sleep", "1000"], walls)?;
    let look = |script| pod.printed(&container, &["sh", "-c", script]);
    let status = look("grep -E '^(CapBnd|NoNewPrivs|Seccomp):' /proc/self/status | tr -d '\\t'")?;
    ensure!(status == "CapBnd:0000000000000000\nNoNewPrivs:1\nSeccomp:2\n", "{status}");
    ensure!(look("wc -c < /proc/keys")?.trim() == "0");
    for script in ["touch /new", "echo 1 > /proc/sys/kernel/domainname", "mount -t tmpfs none /tmp", "unshare -U true"]
    {
        let (status, _, stderr) = pod.exec(&container, &["sh", "-c", script])?;
        ensure!(status != 0, "{script}: {stderr}");
    }
    Ok(())
}

fn has_the_privileges_that_it_is_given(kubelet: &Kubelet) -> Result<()> {
    let pod = kubelet.pod(json!({ "linux": { "security_context": { "privileged": true } } }))?;
    let privileged = json!({ "linux": { "security_context": { "privileged": true } } });
    let container = pod.run(&["/bin/sleep", "1000"], privileged)?;
    let look = |script| pod.printed(&container, &["sh", "-c", script]);
    let bounding = |status: &str| {
        status.lines().find_map(|line| line.strip_prefix("CapBnd:")).map(|set| set.trim().to_string()).context("CapBnd")
    };
    let host = bounding(&fs::read_to_string("/proc/self/status")?)?;
    ensure!(bounding(&look("cat /proc/self/status")?)? == host);
    ensure!(look("grep Seccomp: /proc/self/status")?.ends_with("0\n"));
    look("mount -t tmpfs none /tmp && umount /tmp && touch /new")?;
    ensure!(look("ls /dev | wc -l")?.trim().parse::<usize>()? > 15, "devices of the host are missing");
    Ok(())
}

fn has_its_user_and_mounts(kubelet: &Kubelet) -> Result<()> {
    let pod = kubelet.pod(json!({}))?;
    let source = kubelet.host.new_directory("volume")?;
    let mount = |container_path: &str, readonly: bool| {
        json!({
            "container_path": container_path, "host_path": source, "readonly": readonly, "selinux_relabel": false, "propagation": 0,
            "uid_mappings": [], "gid_mappings": [], "recursive_read_only": false, "image": null,
        })
    };
    let options = json!({
        "working_dir": "/mnt/there", "envs": [{ "key": "NAME", "value": "a value" }],
        "mounts": [mount("/mnt/there", false), mount("/mnt/fixed", true)],
        "linux": { "security_context": {
            "run_as_user": { "value": 1234 }, "run_as_group": { "value": 77 }, "supplemental_groups": [88],
        } },
    });
    std::os::unix::fs::chown(&source, Some(1234), None)?;
    let container = pod.run(&["/bin/sh", "-c", "echo $NAME $PWD > told; exec sleep 1000"], options)?;
    let printed = pod.printed(
        &container,
        &["sh", "-c", "until test -s /mnt/fixed/told; do :; done; id -u; id -g; id -G; cat /mnt/fixed/told"],
    )?;
    ensure!(printed.starts_with("1234\n77\n") && printed.contains("88"), "{printed}");
    ensure!(printed.ends_with("a value /mnt/there\n"), "{printed}");
    let (status, ..) = pod.exec(&container, &["touch", "/mnt/fixed/new"])?;
    ensure!(status != 0, "a read-only mount can be written");
    Ok(())
}

fn keeps_its_limits(kubelet: &Kubelet) -> Result<()> {
    kubelet.host.needs(&["memory", "cpu", "pids"])?;
    let pod = kubelet.pod(json!({}))?;
    let limits = json!({ "linux": { "resources": {
        "memory_limit_in_bytes": 64 << 20, "cpu_period": 100_000, "cpu_quota": 50_000, "cpu_shares": 512,
    } } });
    let container = pod.run(&["/bin/sleep", "1000"], limits)?;
    let tasks = kubelet.ctr(&["tasks", "list"]).stdout()?;
    let row = tasks.lines().find(|line| line.starts_with(&container)).context("the container's task")?;
    let group = cgroup(row.split_whitespace().nth(1).context("a process")?.parse()?)?;
    ensure!(group.starts_with(Path::new("/sys/fs/cgroup").join(kubelet.parent.trim_start_matches('/'))), "{group:?}");
    // The weight of 512 shares by the formula of runc 1.3.2 and crun 1.23.
    group.holds(&[("memory.max", "67108864"), ("cpu.max", "50000 100000"), ("cpu.weight", "59")])?;
    let update =
        json!({ "container_id": container, "linux": { "memory_limit_in_bytes": 128 << 20, "cpu_quota": 70_000 } });
    kubelet.call("UpdateContainerResources", &update)?;
    group.holds(&[("memory.max", "134217728"), ("cpu.max", "70000 100000")])
}
