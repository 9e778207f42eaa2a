//! The limits that docker's options ask for: in the kernel's files, and held.

use anyhow::{Context, Result, ensure};
use serde_json::json;

use super::Docker;
use crate::harness::host::{Files, cgroup, disk};
use crate::harness::image;
use crate::harness::trial::{Case, cases};

pub(super) fn cases() -> Vec<(&'static str, Case<Docker>)> {
    cases![
        limits_are_in_the_kernels_files,
        runs_out_of_memory,
        forks_up_to_its_limit,
        runs_on_its_processors,
        is_throttled,
        reads_at_its_rate,
        updates_limits,
        shows_what_is_used,
        has_a_cgroup_parent_with_limits,
    ]
}

const LIMITS: [&str; 10] = [
    "--memory=64m",
    "--memory-swap=96m",
    "--memory-reservation=32m",
    "--cpus=0.5",
    "--cpu-shares=512",
    "--cpuset-cpus=1",
    "--cpuset-mems=0",
    "--pids-limit=40",
    "--blkio-weight=500",
    "--cgroupns=private",
];

fn limits_are_in_the_kernels_files(docker: &Docker) -> Result<()> {
    docker.host.needs(&["memory", "cpu", "cpuset", "pids", "io"])?;
    let container = docker.sleeper(&LIMITS)?;
    let group = cgroup(container.pid()?)?;
    group.holds(&[
        ("memory.max", "67108864"),
        ("memory.swap.max", "33554432"),
        ("memory.low", "33554432"),
        ("cpu.max", "50000 100000"),
        ("cpu.weight", "59"),
        ("cpuset.cpus", "1"),
        ("cpuset.mems", "0"),
        ("pids.max", "40"),
    ])?;
    let printed = container.exec(&["/bin/sh", "-c", "nproc; cat /sys/fs/cgroup/memory.max /sys/fs/cgroup/pids.max"]);
    ensure!(printed.stdout()? == "1\n67108864\n40", "inside it is otherwise");
    Ok(())
}

fn runs_out_of_memory(docker: &Docker) -> Result<()> {
    docker.host.needs(&["memory"])?;
    // By a process that the first one outlives: if that one is killed, systemd may have removed the empty group before the shim
    // reads (seen in the virtual machine: false for 3 of 14 such containers, for 4 of 14 with runc and 2 of 9 with crun).
    let kill = "dd if=/dev/zero of=/dev/null bs=64M count=1; status=$?; sleep 1";
    let script = format!("for again in 1 2 3 4; do {kill}; done; exit $status");
    let container = docker.detach(&["--memory=32m", "--memory-swap=32m"], &["/bin/sh", "-c", &script])?;
    ensure!(container.wait()? == 137, "it was not killed");
    ensure!(container.inspect(".State.OOMKilled")? == "true", "docker was not told why");
    Ok(())
}

fn forks_up_to_its_limit(docker: &Docker) -> Result<()> {
    docker.host.needs(&["pids"])?;
    let script = "for i in 1 2 3 4 5 6 7 8 9; do sleep 100 & done";
    docker.run(&["--pids-limit=6"], &["/bin/sh", "-c", script]).finish()?.fails_saying("can't fork")?;
    Ok(())
}

fn runs_on_its_processors(docker: &Docker) -> Result<()> {
    docker.host.needs(&["cpuset"])?;
    let printed = docker.script(&["--cpuset-cpus=1"], "grep Cpus_allowed_list /proc/self/status")?;
    ensure!(printed == "Cpus_allowed_list:\t1", "{printed}");
    Ok(())
}

fn is_throttled(docker: &Docker) -> Result<()> {
    docker.host.needs(&["cpu"])?;
    let script = "(ulimit -t 1; while :; do :; done) 2>/dev/null; cat /sys/fs/cgroup/cpu.stat";
    let printed = docker.script(&["--cpus=0.25"], script)?;
    let count = |key: &str| -> Result<u64> {
        let found = printed.lines().find_map(|line| line.strip_prefix(key)?.trim().parse().ok());
        found.with_context(|| format!("no {key} in {printed}"))
    };
    let (used, periods) = (count("usage_usec")?, count("nr_periods")?);
    // A tenth more than that, for a virtual processor that the host has stopped for a while counts that time as used.
    ensure!(used > 900_000 && used < (periods + 2) * 27_500, "{used} µs in {periods} periods of 25000 µs");
    ensure!(count("nr_throttled")? * 2 > periods, "{printed}");
    Ok(())
}

fn reads_at_its_rate(docker: &Docker) -> Result<()> {
    docker.host.needs(&["io"])?;
    let disk = disk()?;
    let script = "from=$(cut -d. -f1 /proc/uptime); dd if=/dev/disk of=/dev/null bs=256k count=20 iflag=direct 2>/dev/null; \
                  echo $(($(cut -d. -f1 /proc/uptime) - from)); cat /sys/fs/cgroup/io.max";
    // Not by `docker run --device-read-bps`, which Debian's client drops (docker/cli#5321).
    let container = docker.create(&json!({
        "Image": image::NAME,
        "Cmd": ["/bin/sh", "-c", script],
        "HostConfig": {
            "Devices": [{"PathOnHost": disk, "PathInContainer": "/dev/disk", "CgroupPermissions": "r"}],
            "BlkioDeviceReadBps": [{"Path": disk, "Rate": 1 << 20}],
        }
    }))?;
    let ran = docker.docker(&["start", "--attach", &container.name]).finish()?.success()?;
    let (seconds, limit) = ran.stdout.split_once('\n').with_context(|| ran.to_string())?;
    ensure!(limit.ends_with(" rbps=1048576 wbps=max riops=max wiops=max\n"), "{ran}");
    ensure!(seconds.parse::<u32>()? >= 3, "5 MiB at 1 MiB/s took {seconds} s");
    Ok(())
}

fn updates_limits(docker: &Docker) -> Result<()> {
    docker.host.needs(&["memory", "cpu", "cpuset", "pids"])?;
    let container = docker.sleeper(&LIMITS)?;
    let group = cgroup(container.pid()?)?;
    let flags = ["--memory=128m", "--memory-swap=128m", "--cpus=1.5", "--cpuset-cpus=0", "--pids-limit=80"];
    docker.docker(&["update"]).args(flags).args([&container.name]).stdout()?;
    group.holds(&[
        ("memory.max", "134217728"),
        ("memory.swap.max", "0"),
        ("memory.low", "33554432"),
        ("cpu.max", "150000 100000"),
        ("cpuset.cpus", "0"),
        ("pids.max", "80"),
    ])?;
    docker.docker(&["restart", "--time=0", &container.name]).stdout()?;
    cgroup(container.pid()?)?.holds(&[("memory.max", "134217728"), ("pids.max", "80")])
}

fn shows_what_is_used(docker: &Docker) -> Result<()> {
    docker.host.needs(&["memory", "pids"])?;
    let container = docker.sleeper(&["--memory=64m", "--pids-limit=40"])?;
    let format = "{{.MemUsage}} {{.PIDs}}";
    let printed = docker.docker(&["stats", "--no-stream", "--format", format, &container.name]).stdout()?;
    ensure!(printed.ends_with(" / 64MiB 1") && !printed.starts_with("0B"), "{printed}");
    let top = docker.docker(&["top", &container.name, "-o", "pid,comm"]).stdout()?;
    ensure!(top.lines().nth(1).is_some_and(|line| line.ends_with(" sleep")), "{top}");
    Ok(())
}

fn has_a_cgroup_parent_with_limits(docker: &Docker) -> Result<()> {
    docker.host.needs(&["memory"])?;
    let parent = docker.parent();
    let container = docker.sleeper(&[&format!("--cgroup-parent={parent}"), "--memory=64m"])?;
    let group = cgroup(container.pid()?)?;
    ensure!(group.to_string_lossy().contains(&format!("/{parent}")), "{group:?} is not below {parent}");
    group.holds(&[("memory.max", "67108864")])
}
