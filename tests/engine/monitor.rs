use std::fs;
use std::process::Command;

use rustix::process::{Pid, Signal, kill_process};

use crate::harness::{Place, allocated, until};

#[test]
fn a_monitor_is_small_and_has_one_thread() {
    let place = Place::new();
    place.detached("small", &[], "seq 1 10000; sleep 1000");
    until("it spoke", || place.ctn(&["logs", "-n", "1", "small"]) == "10000\n");
    let monitor = place.monitor_of("small");
    let status = fs::read_to_string(format!("/proc/{monitor}/status")).unwrap();
    assert!(status.contains("Threads:\t1\n"), "{status}");
    // What it has allocated: the program's own file, which relocations of this build make private, is not counted.
    let kibibytes = allocated(monitor);
    assert!(kibibytes < 1500, "{kibibytes} KiB");
    // Nothing of the caller is open in it.
    for entry in fs::read_dir(format!("/proc/{monitor}/fd")).unwrap() {
        let target = fs::read_link(entry.unwrap().path()).unwrap_or_default().display().to_string();
        let known = ["/dev/null", "pipe:", "socket:", "anon_inode:", "-json.log", "/containers/", "/sys/fs/cgroup/"];
        assert!(known.iter().any(|known| target.contains(known)), "{target}");
    }
}

#[test]
fn a_caller_that_ignores_the_end_of_children_is_answered() {
    // execve(2) keeps that, and then nobody can be waited for.
    let place = Place::new();
    let plain = place.command(&["run", "--rm", "--network", "none", "box", "sh", "-c", "echo said; exit 7"]);
    let mut command = Command::new("timeout");
    command.args(["--signal", "KILL", "30", "env", "--ignore-signal=CHLD"]).arg(plain.get_program());
    command.args(plain.get_args());
    for (name, value) in plain.get_envs() {
        match value {
            Some(value) => command.env(name, value),
            None => command.env_remove(name),
        };
    }
    let ended = command.output().unwrap();
    assert_eq!((ended.status.code(), &*ended.stdout), (Some(7), &b"said\n"[..]), "{ended:?}");
    place.assert_nothing_left();
}

#[test]
fn health_is_asked_and_told() {
    let place = Place::new();
    let flags =
        ["--health-cmd", "echo asked; test -e /tmp/well", "--health-interval", "100ms", "--health-retries", "2"];
    place.detached("ill", &flags, "sleep 1000");
    place.until_field("ill", ".State.Health.Status", "unhealthy");
    assert!(place.ctn(&["ps"]).contains("(unhealthy)"));
    place.ctn(&["exec", "ill", "touch", "/tmp/well"]);
    place.until_field("ill", ".State.Health.Status", "healthy");
    let log = place.ctn(&["inspect", "-f", "{{range .State.Health.Log}}{{.ExitCode}} {{.Output}}{{end}}", "ill"]);
    assert!(log.contains("1 asked") && log.contains("0 asked"), "{log}");
    place.detached(
        "slow",
        &[
            "--health-cmd",
            "sleep 1000",
            "--health-interval",
            "50ms",
            "--health-timeout",
            "50ms",
            "--health-retries",
            "1",
        ],
        "sleep 1000",
    );
    place.until_field("slow", ".State.Health.Status", "unhealthy");
    let told = place.ctn(&["inspect", "-f", "{{range .State.Health.Log}}{{.Output}}{{end}}", "slow"]);
    assert!(told.contains("exceeded timeout"), "{told}");
}

/// docker stops its checks as long as a container is paused.
#[test]
fn a_frozen_container_is_not_ill() {
    let place = Place::new();
    let flags = |command| {
        ["--health-cmd", command, "--health-interval", "100ms", "--health-timeout", "100ms", "--health-retries", "2"]
    };
    place.detached("frozen", &flags("test ! -e /tmp/ill"), "sleep 1000");
    // It counts the time.
    place.detached("other", &flags("false"), "sleep 1000");
    place.until_field("frozen", ".State.Health.Status", "healthy");
    let count = || place.field("other", ".State.Health.FailingStreak").parse::<u32>().unwrap();
    place.ctn(&["pause", "frozen"]);
    let before = count();
    until("some time is over", || count() > before + 10);
    let health = place.field("frozen", "json .State.Health");
    assert!(health.contains("\"healthy\"") && health.contains("\"FailingStreak\":0"), "{health}");
    place.ctn(&["unpause", "frozen"]);
    place.ctn(&["exec", "frozen", "touch", "/tmp/ill"]);
    place.until_field("frozen", ".State.Health.Status", "unhealthy");
    place.ctn(&["rm", "-f", "frozen", "other"]);
    place.assert_nothing_left();
}

#[test]
fn what_the_machine_ends_runs_again_after_its_start() {
    let place = Place::new();
    let script = "trap 'exit 4' TERM; echo ready; while :; do sleep 0.05; done";
    place.detached("web", &["--restart", "unless-stopped"], script);
    place.detached("other", &["--restart", "on-failure"], script);
    for name in ["web", "other"] {
        until("it is ready", || place.ctn(&["logs", name]) == "ready\n");
        let monitor = Pid::from_raw(place.monitor_of(name)).unwrap();
        // By which systemd ends a scope: there is none here.
        kill_process(monitor, Signal::CONT).unwrap();
        assert_eq!(place.ctn(&["exec", name, "echo", "in"]), "in\n");
        kill_process(monitor, Signal::TERM).unwrap();
        place.until_field(name, ".State.Status", "exited");
        assert_eq!(place.field(name, ".State.ExitCode"), "4");
    }
    assert_eq!(place.ctn(&["start", "--at-boot"]), "web\n");
    assert_eq!(place.field("web", ".State.Running"), "true");
    // One that runs, and one that somebody stopped, need no start.
    assert_eq!(place.ctn(&["start", "--at-boot"]), "");
    place.ctn(&["stop", "-t", "0", "web"]);
    assert_eq!(place.ctn(&["start", "--at-boot"]), "");
    place.refusal(1, &["start"]);
    place.refusal(1, &["start", "--at-boot", "web"]);
    place.ctn(&["rm", "web", "other"]);
    place.assert_nothing_left();
}

/// Who changes it has it locked and waits for the monitor, and the monitor needs the lock to remove it.
#[test]
fn a_container_ends_while_it_is_changed() {
    let place = Place::new();
    place.detached("web", &["--rm"], "sleep 1000");
    let process = Pid::from_raw(place.field("web", ".State.Pid").parse().unwrap()).unwrap();
    let monitor = Pid::from_raw(place.monitor_of("web")).unwrap();
    // It finds the client and the end of the container at once.
    kill_process(monitor, Signal::STOP).unwrap();
    let mut call = place.spawn(&["rename", "web", "other"]);
    let descriptors = format!("/proc/{}/fd", call.id());
    until("the command has reached the monitor", || {
        let mut targets = fs::read_dir(&descriptors).into_iter().flatten().flatten();
        targets.any(|entry| fs::read_link(entry.path()).is_ok_and(|to| to.to_string_lossy().starts_with("socket:")))
    });
    kill_process(process, Signal::KILL).unwrap();
    kill_process(monitor, Signal::CONT).unwrap();
    until("the command ends", || call.try_wait().unwrap().is_some());
    // What the command could not say to a monitor that went meanwhile, the next one settles.
    until("the container goes", || {
        place.ctn(&["ps"]);
        place.leftovers().is_empty()
    });
}
