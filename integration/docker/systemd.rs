//! dockerd with the systemd driver: a container is a unit.

use anyhow::{Context, Result, ensure};

use super::Docker;
use crate::harness::command::Run;
use crate::harness::host::{Files, cgroup};
use crate::harness::trial::{Case, cases};

pub(super) fn cases() -> Vec<(&'static str, Case<Docker>)> {
    cases![is_a_unit_that_keeps_its_limits, leaves_no_unit]
}

/// A property of a unit, as systemctl shows it.
fn property(unit: &str, name: &str) -> Result<String> {
    Run::new("systemctl").args(["show", "--value", "--property", name, unit]).stdout()
}

fn is_a_unit_that_keeps_its_limits(docker: &Docker) -> Result<()> {
    let options =
        ["--memory=64m", "--memory-swap=64m", "--cpus=0.5", "--cpu-shares=512", "--cpuset-cpus=1", "--pids-limit=40"];
    let container = docker.sleeper(&options)?;
    let group = cgroup(container.pid()?)?;
    let unit = group.file_name().context("a group has a name")?.to_string_lossy().into_owned();
    ensure!(unit == format!("docker-{}.scope", container.inspect(".Id")?), "{group:?}");
    let expected = [
        ("ActiveState", "active"),
        ("MemoryMax", "67108864"),
        ("MemorySwapMax", "0"),
        ("CPUQuotaPerSecUSec", "500ms"),
        ("CPUWeight", "59"),
        ("AllowedCPUs", "1"),
        ("TasksMax", "40"),
    ];
    for (name, value) in expected {
        let found = property(&unit, name)?;
        ensure!(found == value, "{name} is {found} and not {value}");
    }
    let files = [
        ("memory.max", "67108864"),
        ("memory.swap.max", "0"),
        ("cpu.max", "50000 100000"),
        ("cpu.weight", "59"),
        ("cpuset.cpus", "1"),
        ("pids.max", "40"),
    ];
    group.holds(&files)?;
    Run::new("systemctl").args(["daemon-reload"]).stdout()?;
    group.holds(&files)?;
    docker.docker(&["update", "--memory=128m", "--memory-swap=128m", &container.name]).stdout()?;
    ensure!(property(&unit, "MemoryMax")? == "134217728", "the unit does not have the new limit");
    Run::new("systemctl").args(["daemon-reload"]).stdout()?;
    group.holds(&[("memory.max", "134217728"), ("cpu.max", "50000 100000")])
}

fn leaves_no_unit(docker: &Docker) -> Result<()> {
    let id = {
        let container = docker.sleeper(&[])?;
        container.inspect(".Id")?
    };
    let units =
        Run::new("systemctl").args(["list-units", "--all", "--plain", "--no-legend", "docker-*.scope"]).stdout()?;
    ensure!(!units.contains(&id), "{units}");
    docker.run(&[], &["/bin/false"]).finish()?.ends_with(1)?;
    Ok(())
}
