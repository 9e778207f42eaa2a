//! SIGKILL of everything at any time: one command later nothing is leaked and what is said is true.

mod networks;
mod volumes;

use std::fs;
use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};

use rustix::process::{Pid, Signal, kill_process};

use crate::harness::{Place, kill, until};
use crate::wait::Process;

#[test]
fn a_killed_monitor_ends_its_container() {
    let place = Place::new();
    let id = place.detached("orphan", &[], "sleep 1000");
    let pid = place.field("orphan", ".State.Pid");
    let waiting = place.spawn(&["wait", "orphan"]);
    kill(place.monitor_of("orphan"));
    let output = waiting.wait_with_output().unwrap();
    assert_eq!(String::from_utf8(output.stdout).unwrap(), "137\n");
    assert_eq!(place.field("orphan", ".State.Status"), "exited");
    assert!(place.field("orphan", ".State.Error").contains("monitor was killed"));
    assert!(!fs::exists(format!("/proc/{pid}/cwd")).unwrap_or(false));
    assert!(!fs::exists(format!("/sys/fs/cgroup/corten/{id}")).unwrap());
    // It can be started again.
    place.ctn(&["start", "orphan"]);
    kill(place.monitor_of("orphan"));
    place.ctn(&["rm", "-f", "orphan"]);
    place.assert_nothing_left();
}

/// A process that was made a moment ago has all descriptors of the one that made it, and their locks, until it becomes its program.
#[test]
fn a_killed_monitor_is_dead_whatever_it_has_just_made() {
    let place = Place::new();
    place.detached("asked", &["--health-cmd", "true", "--health-interval", "200ms"], "sleep 1000");
    let monitor = place.monitor_of("asked");
    let mut tracer = Command::new("strace");
    // It stops in place of closing what it does not need.
    tracer.args(["-f", "-o", "/dev/null", "-e", "trace=close_range"]);
    tracer.args(["-e", "inject=close_range:error=EINTR:signal=SIGSTOP", "-p", &monitor.to_string()]);
    let mut tracer = tracer.stderr(Stdio::piped()).spawn().unwrap();
    let mut first = String::new();
    BufReader::new(tracer.stderr.as_mut().unwrap()).read_line(&mut first).unwrap();
    assert!(first.contains("attached"), "{first}");
    until("a process is made that is to ask, and stops", || {
        let children = fs::read_to_string(format!("/proc/{monitor}/task/{monitor}/children")).unwrap();
        let is_stopped = |pid: &str| {
            let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
            stat.contains("(ctn-monitor) t") || stat.contains("(ctn-monitor) T")
        };
        children.split_whitespace().any(is_stopped)
    });
    // It stays as it is.
    kill_process(Pid::from_child(&tracer), Signal::INT).unwrap();
    tracer.wait().unwrap();
    kill(monitor);
    assert_eq!(place.field("asked", ".State.Status"), "exited");
    place.ctn(&["rm", "asked"]);
    place.assert_nothing_left();
}

/// What could not be given back is tried again by every command, and told once.
#[test]
fn a_place_in_a_network_that_could_not_be_given_back() {
    let place = Place::new();
    for flags in [&["--name", "web"][..], &["--name", "web", "--rm"]] {
        let id = place.ctn(&[&["run", "-d"], flags, &["box", "sleep", "1000"]].concat()).trim().to_owned();
        let (init, monitor) =
            (place.field("web", ".State.Pid").parse().unwrap(), Process::watch(place.monitor_of("web")));
        let endpoints = place.run().unwrap().join("network/endpoints");
        let networks: Vec<_> = fs::read_dir(endpoints).unwrap().map(|network| network.unwrap().path()).collect();
        let record = networks.iter().map(|network| network.join(&id)).find(|path| path.exists()).unwrap();
        let kept = fs::read(&record).unwrap();
        fs::remove_file(&record).unwrap();
        fs::create_dir(&record).unwrap();
        kill(init);
        monitor.wait_gone();
        assert!(place.refusal(1, &["volume", "ls"]).contains("read "));
        assert_eq!(place.ctn(&["volume", "ls", "-q"]), "");
        fs::remove_dir(&record).unwrap();
        fs::write(&record, &kept).unwrap();
        place.ctn(&["volume", "ls"]);
        assert!(!record.exists());
        assert!(!place.run().unwrap().join(&id).exists());
        place.outcome(&["rm", "web"]);
    }
    place.assert_nothing_left();
}

#[test]
fn a_state_that_a_crash_left_unreadable() {
    let place = Place::new();
    let id = place.detached("torn", &[], "exit 3");
    place.ctn(&["wait", "torn"]);
    let path = place.store().join(format!("containers/{id}/state.json"));
    for left in [&b"\0\0\0\0"[..], b"{\"Status\":\"exi", b""] {
        fs::write(&path, left).unwrap();
        assert!(place.ctn(&["ps", "-a"]).contains("Exited (255)"), "{left:?}");
        // As after a start of the machine, when all are looked at.
        fs::write(&path, left).unwrap();
        fs::remove_dir_all(place.run().unwrap().join("runtime")).unwrap();
        place.ctn(&["ps"]);
        assert_eq!(place.field("torn", ".State.ExitCode"), "255");
    }
    place.ctn(&["start", "torn"]);
    assert_eq!(place.ctn(&["wait", "torn"]), "3\n");
    // That it was started once is known by there being a state at all.
    let id = place.detached("stays", &["--restart", "always"], "sleep 1000");
    kill(place.monitor_of("stays"));
    place.ctn(&["ps"]);
    fs::write(place.store().join(format!("containers/{id}/state.json")), "").unwrap();
    assert_eq!(place.ctn(&["start", "--at-boot"]), "stays\n");
    place.ctn(&["rm", "-f", "torn", "stays"]);
    place.assert_nothing_left();
}

#[test]
fn a_killed_monitor_of_a_container_that_was_to_go() {
    let place = Place::new();
    place.detached("going", &["--rm", "-v", "/data"], "sleep 1000");
    kill(place.monitor_of("going"));
    assert_eq!(place.ctn(&["ps", "-aq"]), "");
    assert_eq!(place.ctn(&["volume", "ls", "-q"]), "");
    place.assert_nothing_left();
}

#[test]
fn a_killed_client_leaves_the_container_running() {
    let place = Place::new();
    let mut client =
        place.spawn(&["run", "--name", "stays", "--network", "none", "box", "sh", "-c", "echo up; sleep 1000"]);
    until("it runs", || place.outcome(&["logs", "stays"]).1 == "up\n");
    client.kill().unwrap();
    client.wait().unwrap();
    assert_eq!(place.ctn(&["exec", "stays", "echo", "still"]), "still\n");
    place.ctn(&["rm", "-f", "stays"]);
    place.assert_nothing_left();
}

/// strace(1) kills a process at its nth system call of some kinds.
fn killed_at(place: &Place, calls: &str, number: usize, arguments: &[&str]) -> bool {
    let inject = format!("{calls}:signal=SIGKILL:when={number}");
    let mut command = Command::new("strace");
    command.args(["-f", "-o", "/dev/null", "-e", &format!("trace={calls}"), "-e", &format!("inject={inject}")]);
    command.arg(crate::harness::ctn()).args(arguments);
    command
        .env_clear()
        .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
        .env("CTN_ROOT", place.store())
        .current_dir(&place.path);
    let output = command.stdin(std::process::Stdio::null()).output().unwrap();
    use std::os::unix::process::ExitStatusExt;
    output.status.signal() == Some(9) || output.status.code() == Some(137)
}

const RUN: [&str; 8] = ["run", "--rm", "--network", "none", "-v", "/data", "box", "true"];

/// Kills a run and all that it has started at a call; one command later nothing is left. Says whether anything was killed.
fn is_killed_without_trace(place: &Place, calls: &str, number: usize) -> bool {
    let killed = killed_at(place, calls, number, &RUN);
    // Whoever survived may still be at its work; the last of them is waited for, by nothing more than the next command.
    until(&format!("nothing is left after {calls} {number}"), || {
        let (code, _, errors) = place.outcome(&["ps", "-q"]);
        assert_eq!((code, errors.as_str()), (Some(0), ""), "{calls} {number}");
        // A container that was made and not started yet is one, and is said to be.
        for id in place.ctn(&["ps", "-aq", "--filter", "status=created"]).lines() {
            place.outcome(&["rm", "-v", id]);
        }
        let volumes = fs::read_dir(place.store().join("volumes")).into_iter().flatten().count();
        place.leftovers().is_empty() && volumes == 0
    });
    killed
}

#[test]
fn killed_at_every_step() {
    let place = Place::new();
    // What changes something that others see. With -f each process has a count of its own, so that the number is that of the
    // command's steps, of the monitor's and of the container's init, too.
    let calls = "mkdir,symlink,symlinkat,rename,unlink,rmdir,clone3,clone,vfork,move_mount,umount2,mount,sendmsg,openat2,linkat,mknodat";
    let killed = (1..40).filter(|number| is_killed_without_trace(&place, calls, *number)).count();
    assert!(killed > 10, "only {killed} were killed");
}

/// As above, but each kind of call is counted for itself, which comes to other places.
#[test]
fn killed_at_every_call_of_a_kind() {
    let place = Place::new();
    let calls = [("rename", 4), ("mkdir", 14), ("unlink", 16), ("rmdir", 2)];
    let calls = calls.iter().flat_map(|(kind, last)| (1..=*last).map(move |number| (kind, number)));
    let killed = calls.filter(|(kind, number)| is_killed_without_trace(&place, kind, *number)).count();
    assert!(killed > 15, "only {killed} were killed");
}

#[test]
fn a_machine_that_was_started_again() {
    let place = Place::new();
    place.detached("before", &["--restart", "always"], "sleep 1000");
    place.detached("temporary", &["--rm"], "sleep 1000");
    // Both before any command has a look.
    let monitors = ["before", "temporary"].map(|name| place.monitor_of(name));
    monitors.into_iter().for_each(kill);
    // What is below /run is gone with the machine; the processes of this test are killed by hand.
    let ids = place.ids_ever();
    for id in &ids {
        let group = format!("/sys/fs/cgroup/corten/{id}");
        fs::write(format!("{group}/cgroup.kill"), "1").unwrap();
        until("the group is empty", || {
            fs::read_to_string(format!("{group}/cgroup.events")).unwrap().contains("populated 0")
        });
        fs::remove_dir(&group).unwrap();
    }
    fs::remove_dir_all(place.run().unwrap()).unwrap();
    assert_eq!(place.ctn(&["ps", "-a", "--format", "{{.Names}} {{.State}}"]), "before exited\n");
    place.ctn(&["start", "before"]);
    place.ctn(&["rm", "-f", "before"]);
    place.assert_nothing_left();
}
