//! podman with the systemd driver: a container is a unit.

use anyhow::{Context, Result, ensure};

use super::Podman;
use crate::harness::command::Run;
use crate::harness::host::{Files, cgroup};
use crate::harness::trial::{Case, cases};

pub(super) fn cases() -> Vec<(&'static str, Case<Podman>)> {
    cases![is_a_unit_that_keeps_its_limits, leaves_no_unit]
}

fn is_a_unit_that_keeps_its_limits(podman: &Podman) -> Result<()> {
    let options = ["--memory=64m", "--memory-swap=64m", "--cpus=0.5", "--cpuset-cpus=1", "--pids-limit=40"];
    let container = podman.sleeper(&options)?;
    // podman runs the container in a group below its unit's.
    let group = cgroup(container.pid()?)?;
    let unit = format!("libpod-{}.scope", container.inspect(".Id")?);
    let scope =
        group.ancestors().find(|above| above.ends_with(&unit)).with_context(|| format!("{group:?}"))?.to_owned();
    let files = [
        ("memory.max", "67108864"),
        ("memory.swap.max", "0"),
        ("cpu.max", "50000 100000"),
        ("cpuset.cpus", "1"),
        ("pids.max", "40"),
    ];
    scope.holds(&files)?;
    Run::new("systemctl").args(["daemon-reload"]).stdout()?;
    scope.holds(&files)?;
    let shown = Run::new("systemctl").args(["show", "--value", "--property=MemoryMax", &unit]).stdout()?;
    ensure!(shown == "67108864", "MemoryMax is {shown}");
    Ok(())
}

fn leaves_no_unit(podman: &Podman) -> Result<()> {
    let id = {
        let container = podman.sleeper(&[])?;
        container.inspect(".Id")?
    };
    let units =
        Run::new("systemctl").args(["list-units", "--all", "--plain", "--no-legend", "libpod-*.scope"]).stdout()?;
    ensure!(!units.contains(&format!("libpod-{id}")), "{units}");
    Ok(())
}
