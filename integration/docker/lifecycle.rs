//! Detached containers: started, watched, signalled, paused, stopped, started again, removed.

use anyhow::{Result, ensure};

use super::Docker;
use crate::harness::command::Run;
use crate::harness::host::cgroup;
use crate::harness::terminal::Terminal;
use crate::harness::trial::{Case, Skip, cases};

pub(super) fn cases() -> Vec<(&'static str, Case<Docker>)> {
    cases![
        uses_the_runtime,
        runs_detached,
        keeps_logs,
        reads_standard_input,
        creates_and_starts,
        executes_detached,
        stops_with_a_signal,
        stops_by_force,
        kills_with_a_signal,
        restarts,
        restarts_by_policy,
        pauses_and_resumes,
        lists_processes,
        updates,
        removes_by_force,
        leaves_nothing,
        runs_several_at_once,
        watches_health,
    ]
}

/// `RUNTIME --root ROOT list --quiet`, with the root that dockerd gives it.
fn listed(docker: &Docker) -> Result<String> {
    let root = docker.directory.join("exec/runtime-runc/moby");
    Run::new(&docker.host.runtime).args(["--root"]).args([&root]).args(["list", "--quiet"]).stdout()
}

fn uses_the_runtime(docker: &Docker) -> Result<()> {
    let container = docker.sleeper(&["--runtime", "corten"])?;
    let id = container.inspect(".Id")?;
    let listed = listed(docker)?;
    ensure!(listed.lines().any(|line| line == id), "{id} is not in {listed}");
    let information = docker.docker(&["info", "--format", "{{.DefaultRuntime}}"]).stdout()?;
    ensure!(information == "corten", "{information}");
    Ok(())
}

fn runs_detached(docker: &Docker) -> Result<()> {
    let container = docker.sleeper(&[])?;
    ensure!(container.inspect(".State.Status")? == "running", "not running");
    let status = std::fs::read_to_string(format!("/proc/{}/status", container.pid()?))?;
    ensure!(status.lines().any(|line| line.starts_with("NSpid:") && line.ends_with("\t1")), "{status}");
    let arguments = std::fs::read_to_string(format!("/proc/{}/cmdline", container.pid()?))?;
    ensure!(arguments == "/bin/sleep\x001000\0", "{arguments:?}");
    Ok(())
}

fn keeps_logs(docker: &Docker) -> Result<()> {
    let container = docker.detach(&[], &["/bin/sh", "-c", "echo out; echo err >&2; exit 3"])?;
    ensure!(container.wait()? == 3, "the exit status");
    let logs = container.logs()?;
    ensure!(logs == ("out\n".to_string(), "err\n".to_string()), "{logs:?}");
    ensure!(container.inspect(".State.ExitCode")? == "3", "the recorded exit status");
    Ok(())
}

fn reads_standard_input(docker: &Docker) -> Result<()> {
    let count = docker.run(&["--interactive"], &["/bin/wc", "-l"]).input("one\ntwo\nthree\n").stdout()?;
    ensure!(count == "3", "{count:?} lines and not 3");
    Ok(())
}

fn creates_and_starts(docker: &Docker) -> Result<()> {
    let name = docker.host.name("created");
    let created = docker.docker(&["create", "--name", &name, crate::harness::image::NAME, "/bin/sh", "-c", "echo ran"]);
    let container = super::Container { docker, name };
    created.stdout()?;
    for _ in 0..2 {
        let printed = docker.docker(&["start", "--attach", &container.name]).stdout()?;
        ensure!(printed == "ran", "{printed}");
    }
    Ok(())
}

fn executes_detached(docker: &Docker) -> Result<()> {
    let container = docker.sleeper(&[])?;
    let script = "mkfifo /tmp/fifo; echo done > /tmp/fifo";
    docker.docker(&["exec", "--detach", &container.name, "/bin/sh", "-c", script]).stdout()?;
    // Whoever comes first waits for the other.
    let printed = container.exec(&["/bin/sh", "-c", "until [ -p /tmp/fifo ]; do :; done; cat /tmp/fifo"]).stdout()?;
    ensure!(printed == "done", "{printed}");
    Ok(())
}

/// A container that answers to one signal, once it has said "ready" in its log.
fn answering<'a>(docker: &'a Docker, options: &[&str], signal: &str, status: i32) -> Result<super::Container<'a>> {
    let script = format!(
        "trap 'echo answered; exit {status}' {signal}; mkfifo /tmp/ready; : > /tmp/ready; \
                          while :; do sleep 1000 & wait; done"
    );
    let container = docker.detach(options, &["/bin/sh", "-c", &script])?;
    container.exec(&["/bin/sh", "-c", "until [ -p /tmp/ready ]; do :; done; cat /tmp/ready"]).stdout()?;
    Ok(container)
}

fn stops_with_a_signal(docker: &Docker) -> Result<()> {
    let container = answering(docker, &[], "TERM", 21)?;
    docker.docker(&["stop", "--time", "30", &container.name]).stdout()?;
    ensure!(container.wait()? == 21, "the exit status");
    ensure!(container.logs()?.0 == "answered\n", "the log");
    let container = answering(docker, &["--stop-signal", "USR2"], "USR2", 22)?;
    docker.docker(&["stop", "--time", "30", &container.name]).stdout()?;
    ensure!(container.wait()? == 22, "the exit status");
    Ok(())
}

fn stops_by_force(docker: &Docker) -> Result<()> {
    // sleep(1) has no handler for SIGTERM, so as the first process it doesn't get any.
    let container = docker.sleeper(&[])?;
    docker.docker(&["stop", "--time", "1", &container.name]).stdout()?;
    ensure!(container.wait()? == 137, "the exit status");
    Ok(())
}

fn kills_with_a_signal(docker: &Docker) -> Result<()> {
    let container = answering(docker, &[], "HUP", 23)?;
    docker.docker(&["kill", "--signal", "HUP", &container.name]).stdout()?;
    ensure!(container.wait()? == 23, "the exit status");
    docker.docker(&["kill", &container.name]).finish()?.fails_saying("is not running")?;
    Ok(())
}

fn restarts(docker: &Docker) -> Result<()> {
    let container = docker.sleeper(&[])?;
    container.exec(&["/bin/touch", "/etc/kept"]).stdout()?;
    let before = container.pid()?;
    docker.docker(&["restart", "--time", "0", &container.name]).stdout()?;
    ensure!(container.pid()? != before, "the same process");
    container.exec(&["/bin/ls", "/etc/kept"]).stdout()?;
    Ok(())
}

fn restarts_by_policy(docker: &Docker) -> Result<()> {
    let container = docker.detach(&["--restart", "on-failure:2"], &["/bin/sh", "-c", "echo once; exit 6"])?;
    // Three lives, then it is over.
    let mut log = docker.docker(&["logs", "--follow", &container.name]).stdout()?;
    while container.inspect(".State.Status")? != "exited" {
        container.wait()?;
        log = docker.docker(&["logs", "--follow", &container.name]).stdout()?;
    }
    ensure!(log == "once\nonce\nonce", "{log}");
    ensure!(container.inspect(".RestartCount")? == "2", "the count");
    Ok(())
}

fn pauses_and_resumes(docker: &Docker) -> Result<()> {
    let container = docker.sleeper(&[])?;
    let group = cgroup(container.pid()?)?;
    docker.docker(&["pause", &container.name]).stdout()?;
    ensure!(container.inspect(".State.Status")? == "paused", "not paused");
    let events = std::fs::read_to_string(group.join("cgroup.events"))?;
    ensure!(events.contains("frozen 1"), "{events}");
    container.exec(&["/bin/true"]).finish()?.fails_saying("paused")?;
    docker.docker(&["unpause", &container.name]).stdout()?;
    let events = std::fs::read_to_string(group.join("cgroup.events"))?;
    ensure!(events.contains("frozen 0"), "{events}");
    container.exec(&["/bin/true"]).stdout()?;
    // A paused container can be removed.
    docker.docker(&["pause", &container.name]).stdout()?;
    docker.docker(&["rm", "--force", &container.name]).stdout()?;
    ensure!(!group.exists(), "{group:?} is left");
    Ok(())
}

fn lists_processes(docker: &Docker) -> Result<()> {
    let container = docker.sleeper(&[])?;
    docker.docker(&["exec", "--detach", &container.name, "/bin/sleep", "2000"]).stdout()?;
    let table = docker.docker(&["top", &container.name]).stdout()?;
    ensure!(table.lines().count() == 3, "not two processes:\n{table}");
    ensure!(table.contains("/bin/sleep 1000") && table.contains("/bin/sleep 2000"), "{table}");
    ensure!(table.contains(&container.pid()?.to_string()), "{table}");
    Ok(())
}

fn updates(docker: &Docker) -> Result<()> {
    for controller in ["memory", "pids", "cpu"] {
        if !docker.host.has_controller(controller) {
            return Err(Skip(format!("no {controller} controller in the cgroup2 tree")).into());
        }
    }
    let container = docker.sleeper(&["--memory", "64m", "--memory-swap", "64m", "--pids-limit", "50"])?;
    let group = cgroup(container.pid()?)?;
    let value = |name: &str| std::fs::read_to_string(group.join(name));
    ensure!(value("memory.max")? == "67108864\n", "memory.max");
    let options = ["--memory", "128m", "--memory-swap", "128m", "--pids-limit", "60", "--cpu-quota", "50000"];
    docker.docker(&["update"]).args(options).args([&container.name]).stdout()?;
    ensure!(value("memory.max")? == "134217728\n", "memory.max");
    ensure!(value("pids.max")? == "60\n", "pids.max");
    ensure!(value("cpu.max")? == "50000 100000\n", "cpu.max");
    Ok(())
}

fn removes_by_force(docker: &Docker) -> Result<()> {
    let container = docker.sleeper(&[])?;
    docker.docker(&["rm", &container.name]).finish()?.fails_saying("container")?;
    let pid = container.pid()?;
    docker.docker(&["rm", "--force", &container.name]).stdout()?;
    ensure!(!std::path::Path::new(&format!("/proc/{pid}")).exists(), "process {pid} still runs");
    Ok(())
}

fn leaves_nothing(docker: &Docker) -> Result<()> {
    let container = docker.sleeper(&[])?;
    let id = container.inspect(".Id")?;
    let group = cgroup(container.pid()?)?;
    ensure!(group.ends_with(&id), "{group:?}");
    drop(container);
    ensure!(!group.exists(), "{group:?} is left");
    let listed = listed(docker)?;
    ensure!(!listed.contains(&id), "{id} is left in {listed}");
    let mounts = std::fs::read_to_string("/proc/self/mountinfo")?;
    ensure!(!mounts.contains(&id), "a mount is left:\n{mounts}");
    Ok(())
}

fn runs_several_at_once(docker: &Docker) -> Result<()> {
    let script = |number: i32| format!("echo I am {number}; exit {number}");
    let started: Result<Vec<_>> =
        (0..8).map(|number| docker.run(&[], &["/bin/sh", "-c", &script(number)]).start()).collect();
    for (number, running) in (0..).zip(started?) {
        running.finish()?.ends_with(number)?.prints(&format!("I am {number}\n"))?;
    }
    Ok(())
}

fn watches_health(docker: &Docker) -> Result<()> {
    let options = ["--health-cmd", "echo fine; exit 0", "--health-interval", "100ms", "--health-retries", "1"];
    let container = docker.sleeper(&options)?;
    let created = container.inspect(".Created")?;
    let named = format!("container={}", container.name);
    let filters = ["--since", &created, "--filter", &named, "--filter", "event=health_status"];
    let mut events = Terminal::start(&docker.command(&[&["events"], &filters[..]].concat()), 24, 80)?;
    events.expect("health_status: healthy")?;
    ensure!(container.inspect("(index .State.Health.Log 0).Output")? == "fine", "the probe's output");
    Ok(())
}
