//! The limits that podman's options ask for: in the kernel's files, and held.

use anyhow::{Context, Result, bail, ensure};

use super::Podman;
use crate::harness::host::{Files, cgroup, disk};
use crate::harness::trial::{Case, cases};

pub(super) fn cases() -> Vec<(&'static str, Case<Podman>)> {
    cases![
        limits_are_in_the_kernels_files,
        runs_out_of_memory,
        forks_up_to_its_limit,
        runs_on_its_processors,
        is_throttled,
        reads_at_its_rate,
        updates_limits,
        shows_what_is_used,
    ]
}

const LIMITS: [&str; 9] = [
    "--memory=64m",
    "--memory-swap=96m",
    "--memory-reservation=32m",
    "--cpus=0.5",
    "--cpu-shares=512",
    "--cpuset-cpus=1",
    "--cpuset-mems=0",
    "--pids-limit=40",
    "--cgroup-conf=memory.high=50331648",
];

fn limits_are_in_the_kernels_files(podman: &Podman) -> Result<()> {
    podman.host.needs(&["memory", "cpu", "cpuset", "pids"])?;
    let container = podman.sleeper(&LIMITS)?;
    let group = cgroup(container.pid()?)?;
    group.holds(&[
        ("memory.max", "67108864"),
        ("memory.swap.max", "33554432"),
        ("memory.low", "33554432"),
        ("memory.high", "50331648"),
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

/// What the kernel counts is in the group where conmon looks; what conmon makes of it is asked of several containers. 2.1.12
/// stops listening if a notice of `max`, which comes before each kill, is read before the kill is counted
/// (containers/conmon issue 426; seen with strace: one read of memory.events, and none at the kills that followed). Under crun
/// it hears of kills alone, since that puts the container below the group which has the limit. And where the first process
/// is the one that is killed, systemd may have removed the group before conmon reads (the same issue; seen with crun, too).
fn runs_out_of_memory(podman: &Podman) -> Result<()> {
    podman.host.needs(&["memory"])?;
    for _ in 0..12 {
        let container = podman.sleeper(&["--memory=32m", "--memory-swap=32m"])?;
        let events = cgroup(container.pid()?)?.join("memory.events");
        let program = ["/bin/dd", "if=/dev/zero", "of=/dev/null", "bs=64M", "count=1"];
        container.exec(&program).finish()?.ends_with(137)?;
        let counted = std::fs::read_to_string(&events).with_context(|| format!("read {events:?}"))?;
        ensure!(counted.contains("\noom_kill 1\n"), "the kernel counted {counted}");
        podman.podman(&["kill", &container.name]).stdout()?;
        container.wait()?;
        if container.inspect(".State.OOMKilled")? == "true" {
            return Ok(());
        }
    }
    bail!("podman was not told why, of twelve containers");
}

fn forks_up_to_its_limit(podman: &Podman) -> Result<()> {
    podman.host.needs(&["pids"])?;
    let script = "for i in 1 2 3 4 5 6 7 8 9; do sleep 100 & done";
    podman.run(&["--pids-limit=6"], &["/bin/sh", "-c", script]).finish()?.fails_saying("can't fork")?;
    Ok(())
}

fn runs_on_its_processors(podman: &Podman) -> Result<()> {
    podman.host.needs(&["cpuset"])?;
    let printed = podman.script(&["--cpuset-cpus=1"], "grep Cpus_allowed_list /proc/self/status")?;
    ensure!(printed == "Cpus_allowed_list:\t1", "{printed}");
    Ok(())
}

fn is_throttled(podman: &Podman) -> Result<()> {
    podman.host.needs(&["cpu"])?;
    let script = "(ulimit -t 1; while :; do :; done) 2>/dev/null; cat /sys/fs/cgroup/cpu.stat";
    let printed = podman.script(&["--cpus=0.25"], script)?;
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

fn reads_at_its_rate(podman: &Podman) -> Result<()> {
    podman.host.needs(&["io"])?;
    let disk = disk()?;
    let (device, rate) = (format!("--device={disk}:/dev/disk:r"), format!("--device-read-bps={disk}:1mb"));
    let script = "from=$(cut -d. -f1 /proc/uptime); dd if=/dev/disk of=/dev/null bs=256k count=20 iflag=direct 2>/dev/null; \
                  echo $(($(cut -d. -f1 /proc/uptime) - from)); cat /sys/fs/cgroup/io.max";
    let ran = podman.run(&[&device, &rate], &["/bin/sh", "-c", script]).finish()?.success()?;
    let (seconds, limit) = ran.stdout.split_once('\n').with_context(|| ran.to_string())?;
    ensure!(limit.ends_with(" rbps=1048576 wbps=max riops=max wiops=max\n"), "{ran}");
    ensure!(seconds.parse::<u32>()? >= 3, "5 MiB at 1 MiB/s took {seconds} s");
    Ok(())
}

fn updates_limits(podman: &Podman) -> Result<()> {
    podman.host.needs(&["memory", "cpu", "cpuset", "pids"])?;
    let container = podman.sleeper(&LIMITS)?;
    let group = cgroup(container.pid()?)?;
    let flags = ["--memory=128m", "--memory-swap=128m", "--cpus=1.5", "--cpuset-cpus=0", "--pids-limit=80"];
    podman.podman(&["update"]).args(flags).args([&container.name]).stdout()?;
    group.holds(&[
        ("memory.max", "134217728"),
        ("memory.swap.max", "0"),
        ("memory.low", "33554432"),
        ("cpu.max", "150000 100000"),
        ("cpuset.cpus", "0"),
        ("pids.max", "80"),
    ])
}

fn shows_what_is_used(podman: &Podman) -> Result<()> {
    podman.host.needs(&["memory", "pids"])?;
    // What a program shares with others is nobody's, and podman takes the page cache off: this one holds some megabytes of its own.
    let script = "held=$(head -c 4000000 /dev/zero | tr '\\0' x); mkfifo /held; read line </held";
    let container = podman.detach(&["--memory=64m", "--pids-limit=40"], &["/bin/sh", "-c", script])?;
    container.exec(&["/bin/sh", "-c", "until [ -p /held ]; do :; done"]).finish()?.success()?;
    let format = "{{.MemUsage}} {{.PIDs}}";
    let printed = podman.podman(&["stats", "--no-stream", "--format", format, &container.name]).stdout()?;
    ensure!(printed.ends_with(" / 67.11MB 1") && !printed.starts_with("0B"), "{printed}");
    Ok(())
}
