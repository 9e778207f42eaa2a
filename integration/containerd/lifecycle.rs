//! From `ctr run` to nothing left: foreground, detached, exec, signals, pause, and what fails on the way.

use std::path::Path;

use anyhow::{Context, Result, ensure};

use super::Containerd;
use crate::harness::host::cgroup;
use crate::harness::trial::{Case, cases};

pub(super) fn cases() -> Vec<(&'static str, Case<Containerd>)> {
    cases![
        runs_to_its_end,
        reads_standard_input,
        has_a_terminal,
        runs_detached,
        executes_in_a_running_container,
        executes_on_a_terminal,
        delivers_signals,
        kills_every_process,
        refuses_to_signal_what_has_ended,
        pauses_and_resumes,
        lists_processes,
        keeps_one_name_for_one_container,
        tells_that_the_program_is_missing,
        tells_that_the_file_is_no_program,
        leaves_nothing,
        runs_several_at_once,
    ]
}

fn runs_to_its_end(containerd: &Containerd) -> Result<()> {
    let name = containerd.host.name("end");
    let script = "echo to-out; echo to-err >&2; exit 7";
    let finished = containerd.run(&["--rm"], &name, &["/bin/sh", "-c", script]).finish()?.ends_with(7)?;
    ensure!(finished.stdout == "to-out\n", "standard output of {finished}");
    finished.says("to-err\n")?;
    Ok(())
}

fn reads_standard_input(containerd: &Containerd) -> Result<()> {
    let name = containerd.host.name("input");
    // A line, and not to the end of the file: of that `ctr run` tells containerd nothing.
    let script = "read line; echo got $line";
    let printed = containerd.run(&["--rm"], &name, &["/bin/sh", "-c", script]).input("from outside\n").stdout()?;
    ensure!(printed == "got from outside", "{printed}");
    Ok(())
}

fn has_a_terminal(containerd: &Containerd) -> Result<()> {
    let name = containerd.host.name("terminal");
    // ctr sets the size after the start, so the program waits for it.
    let script = "tty; until stty size 2>/dev/null | grep -x '30 100'; do :; done; \
                  trap 'echo changed to $(stty size)' WINCH; echo waiting; \
                  until stty size | grep -qx '40 120'; do :; done; until read line; do :; done; echo got $line; exit 9";
    let mut terminal = containerd.run_on_terminal(&["--rm"], &name, &["/bin/sh", "-c", script])?;
    terminal.expect("/dev/pts/0")?;
    terminal.expect("30 100")?;
    terminal.expect("waiting")?;
    terminal.resize_until(40, 120, "changed to 40 120")?;
    terminal.type_in("a line\n")?;
    terminal.expect("got a line")?;
    let (status, seen) = terminal.finish()?;
    ensure!(status == 9, "exit status {status}:\n{seen}");
    Ok(())
}

fn runs_detached(containerd: &Containerd) -> Result<()> {
    let sleeper = containerd.start_sleeper(&[])?;
    let status = containerd.status(&sleeper.name)?;
    ensure!(status.as_deref() == Some("RUNNING"), "{status:?}");
    // The number that containerd was told is the container's first process.
    let pid = containerd.pid(&sleeper.name)?;
    let status = std::fs::read_to_string(format!("/proc/{pid}/status"))?;
    let numbers = status.lines().find(|line| line.starts_with("NSpid:")).context("no NSpid")?;
    ensure!(numbers.ends_with("\t1"), "{numbers}");
    let arguments = std::fs::read_to_string(format!("/proc/{pid}/cmdline"))?;
    ensure!(arguments == "/bin/sleep\x001000\0", "{arguments:?}");
    Ok(())
}

fn executes_in_a_running_container(containerd: &Containerd) -> Result<()> {
    let sleeper = containerd.start_sleeper(&["--env", "GREETING=hello"])?;
    let script = "echo $GREETING from $(cat /proc/1/comm); echo complaint >&2; exit 5";
    let finished = sleeper.exec(&["/bin/sh", "-c", script]).finish()?.ends_with(5)?;
    ensure!(finished.stdout == "hello from sleep\n", "standard output of {finished}");
    finished.says("complaint\n")?;
    let echoed = sleeper.exec(&["/bin/cat"]).input("from outside").stdout()?;
    ensure!(echoed == "from outside", "{echoed:?}");
    sleeper.exec(&["/bin/missing"]).finish()?.fails_saying("no such file or directory")?;
    Ok(())
}

fn executes_on_a_terminal(containerd: &Containerd) -> Result<()> {
    let sleeper = containerd.start_sleeper(&[])?;
    let process = containerd.host.name("exec");
    let arguments = ["task", "exec", "--tty", "--exec-id", &process, &sleeper.name, "/bin/sh"];
    let mut terminal = crate::harness::terminal::Terminal::start(&containerd.command(&arguments), 33, 77)?;
    terminal.type_in("tty; until stty size 2>/dev/null | grep -x '33 7[7]'; do :; done\n")?;
    terminal.expect("/dev/pts/0")?;
    terminal.expect("33 77")?;
    terminal.type_in("exit 4\n")?;
    let (status, seen) = terminal.finish()?;
    ensure!(status == 4, "exit status {status}:\n{seen}");
    Ok(())
}

fn delivers_signals(containerd: &Containerd) -> Result<()> {
    let name = containerd.host.name("signals");
    let script = "trap 'echo got it; exit 12' USR1; echo ready; while :; do sleep 1 & wait; done";
    let mut terminal = containerd.run_on_terminal(&["--rm"], &name, &["/bin/sh", "-c", script])?;
    terminal.expect("ready")?;
    containerd.ctr(&["task", "kill", "--signal", "SIGUSR1", &name]).stdout()?;
    let (status, seen) = terminal.finish()?;
    ensure!(status == 12 && seen.contains("got it"), "exit status {status}:\n{seen}");
    Ok(())
}

fn kills_every_process(containerd: &Containerd) -> Result<()> {
    // In the host's pid namespace the end of the first process ends no other.
    let sleeper = containerd.start_sleeper(&["--with-ns", "pid:/proc/1/ns/pid"])?;
    let child = sleeper.exec(&["/bin/sh", "-c", "sleep 2000 >/dev/null 2>&1 & echo $!"]).stdout()?;
    ensure!(Path::new("/proc").join(&child).exists(), "no process {child}");
    let ended = ended(child.parse()?)?;
    containerd.ctr(&["task", "kill", "--all", "--signal", "SIGKILL", &sleeper.name]).stdout()?;
    ended()?;
    Ok(())
}

/// What waits for the end of a process that runs now.
fn ended(pid: i32) -> Result<impl FnOnce() -> Result<()>> {
    use rustix::process::{Pid, PidfdFlags, pidfd_open};
    let pidfd = pidfd_open(Pid::from_raw(pid).context("no pid")?, PidfdFlags::empty())?;
    Ok(move || {
        let bound = crate::harness::command::BOUND;
        ensure!(crate::harness::command::readable(&pidfd, bound)?, "process {pid} still runs");
        Ok(())
    })
}

fn refuses_to_signal_what_has_ended(containerd: &Containerd) -> Result<()> {
    let sleeper = containerd.start_sleeper(&[])?;
    let ended = ended(containerd.pid(&sleeper.name)? as i32)?;
    containerd.ctr(&["task", "kill", "--signal", "SIGKILL", &sleeper.name]).stdout()?;
    ended()?;
    let again = containerd.ctr(&["task", "kill", "--signal", "SIGKILL", &sleeper.name]).finish()?;
    ensure!(again.status != 0, "success from {again}");
    // containerd makes "not found" of the runtime's "container not running".
    ensure!(again.stderr.contains("process already finished") || again.stderr.contains("not found"), "{again}");
    let missing = containerd.ctr(&["task", "kill", "nobody"]).finish()?;
    missing.fails_saying("not found")?;
    Ok(())
}

fn pauses_and_resumes(containerd: &Containerd) -> Result<()> {
    let sleeper = containerd.start_sleeper(&[])?;
    containerd.ctr(&["task", "pause", &sleeper.name]).stdout()?;
    let status = containerd.status(&sleeper.name)?;
    ensure!(status.as_deref() == Some("PAUSED"), "{status:?}");
    let group = cgroup(containerd.pid(&sleeper.name)?)?;
    let events = std::fs::read_to_string(group.join("cgroup.events"))?;
    ensure!(events.contains("frozen 1"), "{group:?}: {events}");
    sleeper.exec(&["/bin/true"]).finish()?.fails_saying("paused")?;
    containerd.ctr(&["task", "resume", &sleeper.name]).stdout()?;
    let events = std::fs::read_to_string(group.join("cgroup.events"))?;
    ensure!(events.contains("frozen 0"), "{group:?}: {events}");
    sleeper.exec(&["/bin/true"]).stdout()?;
    Ok(())
}

fn lists_processes(containerd: &Containerd) -> Result<()> {
    let sleeper = containerd.start_sleeper(&[])?;
    sleeper.exec(&["/bin/sh", "-c", "sleep 2000 >/dev/null 2>&1 &"]).stdout()?;
    let table = containerd.ctr(&["task", "ps", &sleeper.name]).stdout()?;
    let pids: Vec<u32> = table.lines().skip(1).filter_map(|row| row.split_whitespace().next()?.parse().ok()).collect();
    ensure!(pids.len() == 2, "not two processes:\n{table}");
    ensure!(pids.contains(&containerd.pid(&sleeper.name)?), "the first process is not in\n{table}");
    Ok(())
}

fn keeps_one_name_for_one_container(containerd: &Containerd) -> Result<()> {
    let sleeper = containerd.start_sleeper(&[])?;
    let again = containerd.run(&["--detach"], &sleeper.name, &["/bin/true"]).finish()?;
    again.fails_saying("already exists")?;
    sleeper.exec(&["/bin/true"]).stdout()?;
    Ok(())
}

fn tells_that_the_program_is_missing(containerd: &Containerd) -> Result<()> {
    let name = containerd.host.name("missing");
    let finished = containerd.run(&["--rm"], &name, &["no-such-program"]).finish()?;
    finished.fails_saying(r#"exec: "no-such-program": executable file not found in $PATH"#)?;
    let finished = containerd.run(&["--rm"], &name, &["/no/such/program"]).finish()?;
    finished.fails_saying("/no/such/program")?.says("no such file or directory")?;
    Ok(())
}

fn tells_that_the_file_is_no_program(containerd: &Containerd) -> Result<()> {
    let name = containerd.host.name("no-program");
    let finished = containerd.run(&["--rm"], &name, &["/etc/nothing-to-run"]).finish()?;
    finished.fails_saying("permission denied")?;
    Ok(())
}

fn leaves_nothing(containerd: &Containerd) -> Result<()> {
    let root = containerd.host.new_directory("runtime-root")?;
    let options = ["--runc-root", &root.to_string_lossy(), "--cgroup", "/leaves-nothing/group"];
    let sleeper = containerd.start_sleeper(&options)?;
    let state = root.join("default").join(&sleeper.name);
    ensure!(state.is_dir(), "the runtime has no state in {state:?}");
    ensure!(Path::new("/sys/fs/cgroup/leaves-nothing/group").is_dir(), "no cgroup");
    let mounts = std::fs::read_to_string("/proc/self/mountinfo")?;
    ensure!(mounts.contains(&sleeper.name), "no mount for {}:\n{mounts}", sleeper.name);
    let name = sleeper.name.clone();
    drop(sleeper);
    ensure!(!state.exists(), "{state:?} is left");
    ensure!(!Path::new("/sys/fs/cgroup/leaves-nothing/group").exists(), "the cgroup is left");
    let mounts = std::fs::read_to_string("/proc/self/mountinfo")?;
    ensure!(!mounts.contains(&name), "a mount is left:\n{mounts}");
    Ok(())
}

fn runs_several_at_once(containerd: &Containerd) -> Result<()> {
    let started: Result<Vec<_>> = (0..8)
        .map(|number| {
            let name = containerd.host.name("several");
            containerd.run(&["--rm"], &name, &["/bin/sh", "-c", &format!("echo I am {number}; exit {number}")]).start()
        })
        .collect();
    for (number, running) in started?.into_iter().enumerate() {
        running.finish()?.ends_with(number as i32)?.prints(&format!("I am {number}\n"))?;
    }
    Ok(())
}
