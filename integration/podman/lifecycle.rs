//! podman's containers: started, watched, signalled, paused, stopped, started again, removed.

use anyhow::{Result, ensure};

use super::{Container, Podman};
use crate::harness::command::Run;
use crate::harness::image;
use crate::harness::terminal::Terminal;
use crate::harness::trial::{Case, cases};

pub(super) fn cases() -> Vec<(&'static str, Case<Podman>)> {
    cases![
        uses_the_runtime,
        runs_to_its_end,
        reads_standard_input,
        runs_on_a_terminal,
        executes_on_a_terminal,
        runs_detached,
        keeps_logs,
        initialises_and_starts,
        executes_detached,
        stops_with_a_signal,
        stops_by_force,
        kills_with_a_signal,
        restarts,
        lists_processes,
        hands_on_descriptors,
        runs_a_pod,
        builds_an_image,
        leaves_nothing,
        runs_several_at_once,
    ]
}

fn uses_the_runtime(podman: &Podman) -> Result<()> {
    let container = podman.sleeper(&[])?;
    let state = podman.state().join(container.inspect(".Id")?);
    ensure!(state.is_dir(), "the runtime has no state in {state:?}");
    let path = podman.podman(&["info", "--format", "{{.Host.OCIRuntime.Path}}"]).stdout()?;
    ensure!(path == podman.host.runtime.to_string_lossy(), "{path}");
    let by_path =
        podman.podman(&["--runtime", &path, "run", "--rm", "--network", "none", image::NAME, "/bin/echo", "ran"]);
    ensure!(by_path.stdout()? == "ran", "with --runtime");
    Ok(())
}

fn runs_to_its_end(podman: &Podman) -> Result<()> {
    let script = "echo to-out; echo to-err >&2; exit 7";
    let finished = podman.run(&[], &["/bin/sh", "-c", script]).finish()?.ends_with(7)?;
    ensure!(finished.stdout == "to-out\n", "standard output of {finished}");
    finished.says("to-err\n")?;
    Ok(())
}

fn reads_standard_input(podman: &Podman) -> Result<()> {
    let count = podman.run(&["--interactive"], &["/bin/wc", "-l"]).input("one\ntwo\nthree\n").stdout()?;
    ensure!(count == "3", "{count:?} lines and not 3");
    let container = podman.sleeper(&[])?;
    let echoed =
        podman.podman(&["exec", "--interactive", &container.name, "/bin/cat"]).input("from outside").stdout()?;
    ensure!(echoed == "from outside", "{echoed:?}");
    Ok(())
}

/// Waits for a line, says on which terminal it is and of what size, follows a change, reads another line.
const SCRIPT: &str = "read go; tty; until stty size 2>/dev/null | grep -x '30 100'; do :; done; \
                      trap 'echo changed to $(stty size)' WINCH; echo waiting; \
                      until stty size | grep -qx '40 120'; do :; done; until read line; do :; done; echo got $line; exit 9";

fn follow(mut terminal: Terminal) -> Result<()> {
    terminal.type_in("go\n")?;
    terminal.expect("/dev/pts/")?;
    terminal.expect("30 100")?;
    terminal.expect("waiting")?;
    terminal.resize_until(40, 120, "changed to 40 120")?;
    terminal.type_in("a line\n")?;
    terminal.expect("got a line")?;
    let (status, seen) = terminal.finish()?;
    ensure!(status == 9, "exit status {status}:\n{seen}");
    Ok(())
}

fn runs_on_a_terminal(podman: &Podman) -> Result<()> {
    let arguments = ["run", "--rm", "--network", "none", "-it", image::NAME, "/bin/sh", "-c", SCRIPT];
    follow(Terminal::start(&podman.command(&arguments), 30, 100)?)
}

fn executes_on_a_terminal(podman: &Podman) -> Result<()> {
    let container = podman.sleeper(&[])?;
    let command = podman.command(&["exec", "-it", &container.name, "/bin/sh", "-c", SCRIPT]);
    follow(Terminal::start(&command, 30, 100)?)
}

fn runs_detached(podman: &Podman) -> Result<()> {
    let container = podman.sleeper(&[])?;
    ensure!(container.inspect(".State.Status")? == "running", "not running");
    let status = std::fs::read_to_string(format!("/proc/{}/status", container.pid()?))?;
    ensure!(status.lines().any(|line| line.starts_with("NSpid:") && line.ends_with("\t1")), "{status}");
    let arguments = std::fs::read_to_string(format!("/proc/{}/cmdline", container.pid()?))?;
    ensure!(arguments == "/bin/sleep\x001000\0", "{arguments:?}");
    Ok(())
}

fn keeps_logs(podman: &Podman) -> Result<()> {
    let container = podman.detach(&[], &["/bin/sh", "-c", "echo out; echo err >&2; exit 3"])?;
    ensure!(container.wait()? == 3, "the exit status");
    let logs = podman.podman(&["logs", &container.name]).finish()?.success()?;
    ensure!(logs.stdout == "out\n" && logs.stderr == "err\n", "{logs}");
    ensure!(container.inspect(".State.ExitCode")? == "3", "the recorded exit status");
    Ok(())
}

fn initialises_and_starts(podman: &Podman) -> Result<()> {
    let name = podman.host.name("created");
    let container = super::Container { podman, name };
    let create = ["create", "--network", "none", "--name", &container.name, image::NAME, "/bin/sh", "-c", "echo ran"];
    podman.podman(&create).stdout()?;
    podman.podman(&["init", &container.name]).stdout()?;
    // The runtime has created it, and its first process waits.
    ensure!(podman.state().join(container.inspect(".Id")?).is_dir(), "no state");
    let printed = podman.podman(&["start", "--attach", &container.name]).stdout()?;
    ensure!(printed == "ran", "{printed}");
    Ok(())
}

fn executes_detached(podman: &Podman) -> Result<()> {
    let container = podman.sleeper(&[])?;
    let script = "mkfifo /tmp/fifo; echo done > /tmp/fifo";
    podman.podman(&["exec", "--detach", &container.name, "/bin/sh", "-c", script]).stdout()?;
    let printed = container.exec(&["/bin/sh", "-c", "until [ -p /tmp/fifo ]; do :; done; cat /tmp/fifo"]).stdout()?;
    ensure!(printed == "done", "{printed}");
    Ok(())
}

/// A container that answers to one signal, once it is ready.
fn answering<'a>(podman: &'a Podman, options: &[&str], signal: &str, status: i32) -> Result<super::Container<'a>> {
    let script = format!(
        "trap 'echo answered; exit {status}' {signal}; mkfifo /tmp/ready; : > /tmp/ready; while :; do sleep 1000 & wait; done"
    );
    let container = podman.detach(options, &["/bin/sh", "-c", &script])?;
    container.exec(&["/bin/sh", "-c", "until [ -p /tmp/ready ]; do :; done; cat /tmp/ready"]).stdout()?;
    Ok(container)
}

fn stops_with_a_signal(podman: &Podman) -> Result<()> {
    let container = answering(podman, &[], "TERM", 21)?;
    podman.podman(&["stop", "--time", "30", &container.name]).stdout()?;
    ensure!(container.wait()? == 21, "the exit status");
    let container = answering(podman, &["--stop-signal", "USR2"], "USR2", 22)?;
    podman.podman(&["stop", "--time", "30", &container.name]).stdout()?;
    ensure!(container.wait()? == 22, "the exit status");
    Ok(())
}

fn stops_by_force(podman: &Podman) -> Result<()> {
    // sleep(1) has no handler for SIGTERM, so as the first process it doesn't get any.
    let container = podman.sleeper(&[])?;
    podman.podman(&["stop", "--time", "1", &container.name]).stdout()?;
    ensure!(container.wait()? == 137, "the exit status");
    Ok(())
}

fn kills_with_a_signal(podman: &Podman) -> Result<()> {
    let container = answering(podman, &[], "HUP", 23)?;
    podman.podman(&["kill", "--signal", "HUP", &container.name]).stdout()?;
    ensure!(container.wait()? == 23, "the exit status");
    let again = podman.podman(&["kill", &container.name]).finish()?;
    ensure!(again.status != 0, "success from {again}");
    Ok(())
}

fn restarts(podman: &Podman) -> Result<()> {
    let container = podman.sleeper(&[])?;
    container.exec(&["/bin/touch", "/etc/kept"]).stdout()?;
    let before = container.pid()?;
    podman.podman(&["restart", "--time", "0", &container.name]).stdout()?;
    ensure!(container.pid()? != before, "the same process");
    container.exec(&["/bin/ls", "/etc/kept"]).stdout()?;
    Ok(())
}

fn lists_processes(podman: &Podman) -> Result<()> {
    let container = podman.sleeper(&[])?;
    podman.podman(&["exec", "--detach", &container.name, "/bin/sleep", "2000"]).stdout()?;
    let table = podman.podman(&["top", &container.name, "pid", "args"]).stdout()?;
    ensure!(table.contains("/bin/sleep 1000") && table.contains("/bin/sleep 2000"), "{table}");
    Ok(())
}

fn hands_on_descriptors(podman: &Podman) -> Result<()> {
    let command = podman.command(&["run", "--rm", "--network", "none", "--preserve-fds", "2", image::NAME]);
    let mut shell = std::process::Command::new("sh");
    // The one that isn't counted stays outside.
    shell.args(["-c", "exec 3</etc/passwd 4</etc/group 5</etc/passwd; exec \"$@\"", "sh"]);
    shell.arg(command.get_program()).args(command.get_args()).args([
        "/bin/sh",
        "-c",
        "head -c 4 <&3; ls /proc/self/fd",
    ]);
    shell.envs(command.get_envs().filter_map(|(key, value)| Some((key, value?))));
    let printed = Run::from(shell).stdout()?;
    ensure!(printed.split_whitespace().collect::<Vec<_>>() == ["root0", "1", "2", "3", "4", "5"], "{printed}");
    Ok(())
}

fn runs_a_pod(podman: &Podman) -> Result<()> {
    let pod = podman.host.name("pod");
    // Not below the pod's own cgroup, on which podman 4.3 puts a program that refuses every device.
    let infra = ["--share-parent=false", "--infra-image", image::NAME, "--infra-command", "/bin/sleep 1000"];
    podman
        .podman(&["pod", "create", "--network", "none", "--hostname", "podded", "--name", &pod])
        .args(infra)
        .stdout()?;
    let result = (|| {
        let script = "hostname; readlink /proc/self/ns/net; readlink /proc/self/ns/ipc";
        let run = |script: &str| {
            podman.podman(&["run", "--rm", "--pod", &pod, image::NAME, "/bin/sh", "-c", script]).stdout()
        };
        let (first, second) = (run(script)?, run(script)?);
        ensure!(first == second && first.starts_with("podded\nnet:["), "{first}\nand\n{second}");
        podman.podman(&["pod", "stop", "--time", "0", &pod]).stdout()
    })();
    podman.podman(&["pod", "rm", "--force", &pod]).stdout()?;
    result.map(|_| ())
}

fn builds_an_image(podman: &Podman) -> Result<()> {
    let directory = podman.host.new_directory("build")?;
    let file = format!("FROM {}\nRUN echo made > /etc/mark && id -u >> /etc/mark\n", image::NAME);
    std::fs::write(directory.join("Containerfile"), file)?;
    let name = podman.host.name("localhost/built");
    let build = ["build", "--isolation", "oci", "--network", "none", "--pull=never", "--tag", &name];
    // Where these two are not given, podman asks for more than a machine may allow.
    let build = [&build[..], &["--ulimit", "nofile=100:200", "--ulimit", "nproc=300:300"]].concat();
    podman.podman(&build).args(["--runtime"]).args([&podman.host.runtime]).args([&directory]).stdout()?;
    let printed = podman.podman(&["run", "--rm", "--network", "none", &name, "cat", "/etc/mark"]).stdout()?;
    ensure!(printed == "made\n0", "{printed}");
    Ok(())
}

fn leaves_nothing(podman: &Podman) -> Result<()> {
    let container = podman.sleeper(&[])?;
    let id = container.inspect(".Id")?;
    let pid = container.pid()?;
    let group = crate::harness::host::cgroup(pid)?;
    drop(container);
    ensure!(!podman.state().join(&id).exists(), "the runtime's state is left");
    ensure!(!group.to_string_lossy().contains(&id) || !group.exists(), "{group:?} is left");
    let mounts = std::fs::read_to_string("/proc/self/mountinfo")?;
    ensure!(!mounts.contains(&id), "a mount is left:\n{mounts}");
    Ok(())
}

/// What they said is asked of the log: on a busy machine podman may come too late to hear a short container itself.
fn runs_several_at_once(podman: &Podman) -> Result<()> {
    let script = |number: i32| format!("echo I am {number}; exit {number}");
    let start = |number: i32| -> Result<_> {
        let container = Container { podman, name: podman.host.name("several") };
        let options = ["run", "--network", "none", "--name", &container.name, image::NAME];
        let running = podman.podman(&options).args(["/bin/sh", "-c", &script(number)]).start()?;
        Ok((container, running))
    };
    let started: Result<Vec<_>> = (0..6).map(start).collect();
    for (number, (container, running)) in (0..).zip(started?) {
        running.finish()?.ends_with(number)?;
        let said = podman.podman(&["logs", &container.name]).stdout()?;
        ensure!(said == format!("I am {number}"), "{said}");
    }
    Ok(())
}
