//! create, start, state, kill, delete, run, list, ps, pause and resume: the life of a container.

use std::fs;
use std::io::Write;
use std::path::Path;

use serde_json::{Value, json};

use crate::harness::container::own_namespace;
use crate::harness::wait::{Process, read_until};
use crate::harness::{Bundle, Call, Container};

#[test]
fn create_start_delete() {
    let bundle = Bundle::script("echo started; exit 7");
    let container = bundle.create();
    assert_eq!(container.status(), "created");
    assert_eq!(container.state()["pid"], container.process.pid.as_raw_nonzero().get());
    assert!(container.process.alive());
    assert_eq!(container.printed(), "", "the program must wait for start");
    container.start();
    assert_eq!(container.process.wait(), 7);
    assert_eq!(container.printed(), "started\n");
    assert_eq!(container.status(), "stopped");
    container.delete();
    bundle.call("state").arg(&container.id).run().refused(&["does not exist"]);
    bundle.assert_nothing_left();
}

#[test]
fn init_is_a_child_of_the_caller() {
    // The kernel hands it to the nearest subreaper above the runtime, here the tests themselves, only if the runtime
    // is its parent: an engine's monitor waits for it. `wait` panics for a process that isn't ours.
    let bundle = Bundle::script("exit 3");
    assert_eq!(bundle.create().start_and_wait(), 3);
    let bundle = Bundle::script("exit 4");
    assert_eq!(bundle.start().process.wait(), 4);
}

#[test]
fn state_has_all_properties() {
    let mut bundle = Bundle::staying();
    bundle.config.set("/annotations", json!({"com.example.key": "value", "empty": ""}));
    let container = bundle.create();
    let state = container.state();
    let directory = fs::canonicalize(&bundle.directory).expect("resolve the bundle");
    assert!(state["ociVersion"].as_str().is_some_and(|version| version.starts_with("1.")), "{state}");
    assert_eq!(state["id"], container.id);
    assert_eq!(state["status"], "created");
    assert_eq!(state["bundle"], directory.to_str().expect("text"));
    assert_eq!(state["rootfs"], directory.join("rootfs").to_str().expect("text"));
    assert_eq!(state["annotations"], json!({"com.example.key": "value", "empty": ""}));
    let created = state["created"].as_str().expect("created is text");
    let parsed = Call::of("date", &bundle.directory).args(["+%s", "--date", created]).ok().stdout;
    let now = Call::of("date", &bundle.directory).arg("+%s").ok().stdout;
    let age = now.trim().parse::<i64>().expect("seconds") - parsed.trim().parse::<i64>().expect("seconds");
    assert!((0..60).contains(&age), "created at {created}, {age} seconds ago");
    assert!(created.contains('T'), "RFC 3339: {created}");

    let pid = state["pid"].as_i64().expect("pid is a number");
    let command = fs::read_to_string(format!("/proc/{pid}/cgroup")).expect("the pid is a process of the host");
    assert!(command.contains(&container.id), "the pid is in the container's own control group: {command}");

    container.start();
    let state = container.state();
    assert_eq!(state["status"], "running");
    assert_eq!(state["pid"], pid);
    assert_eq!(state["created"], created, "the time of creation stays");
    container.stop();
    let state = container.state();
    assert_eq!(state["status"], "stopped");
    assert_eq!(state.get("pid").and_then(Value::as_i64).unwrap_or(0), 0, "a stopped container has no process");
}

#[test]
fn states_are_the_schemas() {
    // The runtime-spec schema of a state: what must be there and of which type.
    let bundle = Bundle::staying();
    let container = bundle.create();
    let state = container.state();
    for text in ["ociVersion", "id", "status", "bundle"] {
        assert!(state[text].is_string(), "{text} in {state}");
    }
    assert!(state["pid"].is_u64(), "pid in {state}");
}

#[test]
fn run_passes_the_exit_code() {
    assert_eq!(Bundle::script("exit 0").run().code, 0);
    assert_eq!(Bundle::script("exit 42").run().code, 42);
    assert_eq!(Bundle::script("exit 255").run().code, 255);
}

#[test]
fn run_passes_death_by_signal_as_128_and_more() {
    // A pid namespace's first process can't kill itself by a signal without a handler.
    let mut bundle = Bundle::script("kill -KILL $$");
    bundle.config.without_namespace("pid");
    let ran = bundle.run();
    assert_eq!((ran.code, ran.signal), (137, None), "{ran}");
    let mut bundle = Bundle::script("kill -TERM $$");
    bundle.config.without_namespace("pid");
    assert_eq!(bundle.run().code, 143);
}

#[test]
fn run_deletes_the_container() {
    let bundle = Bundle::script("true");
    bundle.output();
    bundle.assert_nothing_left();
    assert_eq!(bundle.call("list").arg("--quiet").ok().stdout, "");
}

#[test]
fn run_deletes_a_container_whose_program_is_missing() {
    let mut bundle = Bundle::new();
    bundle.config.args(["no-such-program"]);
    bundle.run().refused(&["no-such-program", "executable file not found in $PATH"]);
    bundle.assert_nothing_left();
}

#[test]
fn run_keeps_the_container_if_asked() {
    let bundle = Bundle::script("exit 5");
    let ran = bundle.run_call().args(["--keep", &bundle.id]).run();
    assert_eq!(ran.code, 5, "{ran}");
    let state = bundle.call("state").arg(&bundle.id).ok().json();
    assert_eq!(state["status"], "stopped");
    bundle.call("delete").arg(&bundle.id).ok();
    bundle.assert_nothing_left();
}

#[test]
fn run_detached_returns_while_the_program_runs() {
    let bundle = Bundle::staying();
    let container = bundle.start();
    assert_eq!(container.status(), "running");
    assert!(container.process.alive());
    container.stop();
    assert_eq!(container.status(), "stopped");
}

#[test]
fn stdin_reaches_the_program() {
    let bundle = Bundle::script("read line; echo got $line");
    let ran = bundle.run_call().arg(&bundle.id).input("a line\n").run();
    assert_eq!((ran.code, ran.stdout.as_str()), (0, "got a line\n"), "{ran}");
    let bundle = Bundle::script("read line; echo got $line");
    let input = bundle.write_file("input", "through create\n");
    let container = bundle.create_with(|call| call.stdin(fs::File::open(input).expect("open the input")));
    assert_eq!(container.start_and_wait(), 0);
    assert_eq!(container.printed(), "got through create\n");
}

#[test]
fn foreground_run_carries_much_output_and_the_end_of_input() {
    let bundle = Bundle::script("cat >/dev/null; dd if=/dev/zero bs=1024 count=2000 2>/dev/null | tr '\\0' x");
    let ran = bundle.run_call().arg(&bundle.id).input(&"y".repeat(300_000)).run();
    assert_eq!((ran.code, ran.stdout.len()), (0, 2_048_000), "{}", ran.stderr);
}

#[test]
fn stdout_and_stderr_stay_apart() {
    let ran = Bundle::script("echo out; echo err >&2").run();
    assert_eq!((ran.stdout.as_str(), ran.stderr.as_str()), ("out\n", "err\n"));
}

#[test]
fn start_needs_a_created_container() {
    let bundle = Bundle::staying();
    bundle.call("start").arg(&bundle.id).run().refused(&["does not exist"]);
    let container = bundle.start();
    container.run("start").refused(&["cannot start an already running container"]);
    container.stop();
    container.run("start").refused(&["cannot start a container that has stopped"]);
}

#[test]
fn start_of_a_created_container_that_was_killed() {
    let bundle = Bundle::staying();
    let container = bundle.create();
    container.stop();
    assert_eq!(container.status(), "stopped");
    container.run("start").refused(&["cannot start a container that has stopped"]);
    container.delete();
    bundle.assert_nothing_left();
}

#[test]
fn delete_needs_a_stopped_container_or_force() {
    let bundle = Bundle::staying();
    let container = bundle.start();
    let text = format!("cannot delete container {} that is not stopped: running", container.id);
    container.run("delete").refused(&[&text]);
    assert!(container.process.alive());
    assert_eq!(container.status(), "running");
    container.call("delete").args(["--force", &container.id]).ok();
    assert_eq!(container.process.wait(), 137);
    bundle.assert_nothing_left();
}

#[test]
fn delete_ends_a_created_container() {
    // The specification wants an error, containerd relies on this.
    let bundle = Bundle::staying();
    let container = bundle.create();
    container.delete();
    assert_eq!(container.process.wait(), 137);
    bundle.assert_nothing_left();
}

#[test]
fn delete_of_an_unknown_container() {
    let bundle = Bundle::new();
    bundle.call("delete").arg("unknown").run().refused(&["does not exist"]);
    let ran = bundle.call("delete").args(["--force", "unknown"]).ok();
    assert_eq!(ran.stderr, "", "{ran}");
}

#[test]
fn delete_by_force_removes_a_directory_without_a_state() {
    let bundle = Bundle::new();
    fs::create_dir(bundle.state.join("half")).expect("make a state directory");
    bundle.call("delete").args(["--force", "half"]).ok();
    bundle.assert_nothing_left();
}

#[test]
fn delete_removes_what_remains_of_a_container_killed_from_outside() {
    let bundle = Bundle::staying();
    let container = bundle.start();
    rustix::process::kill_process(container.process.pid, rustix::process::Signal::KILL).expect("kill the container");
    container.process.wait();
    assert_eq!(container.status(), "stopped");
    container.delete();
    bundle.assert_nothing_left();
}

#[test]
fn kill_takes_names_and_numbers() {
    for (signal, code) in [("TERM", 15), ("SIGTERM", 15), ("15", 15), ("USR1", 10), ("SIGUSR1", 10), ("9", 9)] {
        let mut bundle = Bundle::script("echo ready >&2; exec sleep infinity");
        // Without a pid namespace of its own a signal without a handler ends the process.
        bundle.config.without_namespace("pid");
        let (container, _) = bundle.start_until("ready");
        container.kill(signal);
        assert_eq!(container.process.wait(), 128 + code, "{signal}");
    }
}

#[test]
fn kill_sends_term_by_default() {
    let bundle = Bundle::script("trap 'exit 9' TERM; mkfifo f; echo ready >&2; read x <f");
    let (container, _) = bundle.start_until("ready");
    container.ok("kill");
    assert_eq!(container.process.wait(), 9);
}

#[test]
fn kill_reaches_a_created_container() {
    let bundle = Bundle::staying();
    let container = bundle.create();
    container.kill("KILL");
    assert_eq!(container.process.wait(), 137);
    assert_eq!(container.status(), "stopped");
}

#[test]
fn kill_of_a_stopped_container() {
    let bundle = Bundle::script("true");
    let container = bundle.start();
    container.process.wait();
    container.call("kill").args([&container.id, "TERM"]).run().refused(&["container not running"]);
    container.call("kill").args(["--all", &container.id, "9"]).ok();
    container.call("kill").args(["-a", &container.id, "KILL"]).ok();
}

#[test]
fn kill_of_a_stopped_container_that_shared_its_pid_namespace() {
    let mut bundle = Bundle::script("true");
    bundle.config.without_namespace("pid");
    let container = bundle.start();
    container.process.wait();
    container.call("kill").args([&container.id, "KILL"]).run().refused(&["container not running"]);
    container.call("kill").args(["--all", &container.id, "KILL"]).ok();
}

#[test]
fn kill_refuses_an_unknown_signal() {
    let bundle = Bundle::staying();
    let container = bundle.start();
    for signal in ["NOSUCH", "0x9", "-1", "65", "SIG"] {
        container.call("kill").args(["--", &container.id, signal]).run().refused(&[]);
    }
    assert!(container.process.alive());
    bundle.call("kill").args(["unknown", "TERM"]).run().refused(&["does not exist"]);
}

#[test]
fn kill_ends_every_process_where_the_pid_namespace_is_shared() {
    let mut bundle = Bundle::script("sleep infinity & echo $! ready >&2; wait");
    bundle.config.without_namespace("pid");
    let (container, line) = bundle.start_until("ready");
    let child = Process::watch(line.split(' ').next().and_then(|pid| pid.parse().ok()).expect("a pid"));
    container.kill("KILL");
    container.process.wait();
    child.wait_gone();
    container.delete();
    bundle.assert_nothing_left();
}

#[test]
fn delete_by_force_ends_every_process_where_the_pid_namespace_is_shared() {
    let mut bundle = Bundle::script("sleep infinity & echo $! ready >&2; exit 0");
    bundle.config.without_namespace("pid");
    let (container, line) = bundle.start_until("ready");
    let child = Process::watch(line.split(' ').next().and_then(|pid| pid.parse().ok()).expect("a pid"));
    assert_eq!(container.process.wait(), 0);
    container.call("delete").args(["--force", &container.id]).ok();
    child.wait_gone();
    bundle.assert_nothing_left();
}

#[test]
fn pause_and_resume() {
    let bundle = Bundle::script("while read line; do echo got $line; done");
    let (reader, mut writer) = std::io::pipe().expect("make a pipe");
    let (output, output_writer) = std::io::pipe().expect("make a pipe");
    let call = bundle.detach_call().arg(&bundle.id).stdin(reader).stdout(output_writer);
    let container = Container::made(&bundle, &bundle.id, call.ok());
    writer.write_all(b"one\n").expect("write to the container");
    read_until(&output, "got one");

    container.ok("pause");
    assert_eq!(container.status(), "paused");
    assert_eq!(frozen(&container.id), "frozen 1");
    container.exec(["true"]).failed(255, &["cannot exec in a paused container (use --ignore-paused to override)"]);
    container.run("pause").refused(&[]);

    writer.write_all(b"two\n").expect("write to the container");
    container.ok("resume");
    assert_eq!(container.status(), "running");
    read_until(&output, "got two");
    container.run("resume").refused(&["container not paused"]);
    drop(writer);
    assert_eq!(container.process.wait(), 0);
}

/// The line of cgroup.events that tells whether a container's processes stand still.
fn frozen(id: &str) -> String {
    let cgroups = crate::harness::leftovers::cgroups_of(id);
    let events = fs::read_to_string(cgroups[0].join("cgroup.events")).expect("read the control group's events");
    events.lines().find(|line| line.starts_with("frozen")).expect("cgroup.events tells it").to_owned()
}

#[test]
fn a_paused_container_can_be_killed_and_deleted() {
    let bundle = Bundle::staying();
    let container = bundle.start();
    container.ok("pause");
    container.kill("KILL");
    assert_eq!(container.process.wait(), 137);
    container.delete();

    let container = bundle.start();
    container.ok("pause");
    container.call("delete").args(["--force", &container.id]).ok();
    assert_eq!(container.process.wait(), 137);
    bundle.assert_nothing_left();
}

#[test]
fn pause_needs_a_running_container() {
    let bundle = Bundle::script("true");
    bundle.call("pause").arg("unknown").run().refused(&["does not exist"]);
    let container = bundle.start();
    container.process.wait();
    container.run("pause").refused(&[]);
    container.run("resume").refused(&[]);
}

#[test]
fn ps_lists_the_processes() {
    let bundle = Bundle::script("sleep infinity & echo ready >&2; wait");
    let (container, _) = bundle.start_until("ready");

    let pids = container.call("ps").args(["--format", "json", &container.id]).ok().json();
    let pids: Vec<i64> = serde_json::from_value(pids).expect("an array of numbers");
    assert_eq!(pids.len(), 2, "the shell and its child: {pids:?}");
    assert!(pids.contains(&container.process.pid.as_raw_nonzero().get().into()), "{pids:?}");

    let table = container.run("ps").stdout;
    let lines: Vec<&str> = table.lines().collect();
    assert_eq!(lines.len(), 3, "a header and two processes: {table}");
    assert!(lines[0].contains("PID"), "{table}");
    // What follows the id is for ps(1).
    let table = container.call("ps").args([&container.id, "-o", "pid,args"]).ok().stdout;
    let lines: Vec<&str> = table.lines().collect();
    assert_eq!(lines.len(), 3, "{table}");
    assert!(table.contains("sleep infinity"), "{table}");
    assert!(!lines[0].contains("UID"), "{table}");
}

#[test]
fn list_shows_every_container() {
    let bundle = Bundle::staying();
    let none = bundle.call("list").args(["--format", "json"]).ok();
    assert!([json!(null), json!([])].contains(&none.json()), "{none}");
    let first = bundle.create();
    let second = bundle.create_another("second");
    second.start();

    let quiet = bundle.call("list").arg("-q").ok().stdout;
    let mut ids: Vec<&str> = quiet.lines().collect();
    ids.sort_unstable();
    assert_eq!(ids, [first.id.as_str(), second.id.as_str()]);

    let list = bundle.call("list").args(["-f", "json"]).ok().json();
    let list = list.as_array().expect("an array");
    assert_eq!(list.len(), 2);
    for (id, status) in [(&first.id, "created"), (&second.id, "running")] {
        let entry = list.iter().find(|entry| entry["id"] == **id).expect("the container is listed");
        assert_eq!(entry["status"], status);
        assert_eq!(entry["owner"], "root");
        assert!(entry["pid"].as_i64() > Some(0), "{entry}");
    }

    let table = bundle.call("list").ok().stdout;
    let header: Vec<&str> = table.lines().next().expect("a header").split_whitespace().collect();
    assert_eq!(header, ["ID", "PID", "STATUS", "BUNDLE", "CREATED", "OWNER"]);
    let line = table.lines().find(|line| line.starts_with(&format!("{} ", second.id))).expect("a line for each");
    let words: Vec<&str> = line.split_whitespace().collect();
    assert_eq!(words[1], second.process.pid.as_raw_nonzero().to_string());
    assert_eq!(words[2], "running");
    assert_eq!(Path::new(words[3]), bundle.directory);
    assert_eq!(words[5], "root");
}

#[test]
fn list_goes_on_after_a_broken_container() {
    let bundle = Bundle::staying();
    let container = bundle.create();
    fs::create_dir(bundle.state.join("broken")).expect("make a state directory");
    let list = bundle.call("list").args(["--format", "json"]).ok();
    let ids: Vec<&str> = list.stdout.matches(container.id.as_str()).collect();
    assert!(!ids.is_empty(), "{list}");
    fs::remove_dir(bundle.state.join("broken")).expect("remove the state directory");
}

#[test]
fn list_of_a_missing_root() {
    let bundle = Bundle::new();
    let missing = bundle.path("missing");
    Call::new(&bundle.directory).arg("--root").arg(&missing).arg("list").run().refused(&["missing"]);
}

#[test]
fn config_is_read_once() {
    let mut bundle = Bundle::script("echo first");
    let container = bundle.create();
    bundle.config.script("echo second");
    bundle.write();
    assert_eq!(container.start_and_wait(), 0);
    assert_eq!(container.printed(), "first\n");
    fs::remove_file(bundle.path("config.json")).expect("remove config.json");
    assert_eq!(container.status(), "stopped");
    container.delete();
    bundle.assert_nothing_left();
}

#[test]
fn create_refuses_an_id_in_use() {
    let bundle = Bundle::staying();
    let container = bundle.create();
    let again = || bundle.create_call().arg(&bundle.id).run();
    again().refused(&["container with given ID already exists"]);
    assert_eq!(container.status(), "created");
    container.start();
    again().refused(&["container with given ID already exists"]);
    assert!(container.process.alive());
    container.stop();
    again().refused(&["container with given ID already exists"]);
    container.delete();
    bundle.create();
}

#[test]
fn of_many_creates_of_one_id_one_succeeds() {
    let bundle = Bundle::staying();
    bundle.write();
    // Each call writes config.json: all do before the first reads it.
    let calls: Vec<_> = (0..6).map(|_| bundle.create_call().arg(&bundle.id)).collect();
    let calls: Vec<_> = calls.into_iter().map(Call::spawn).collect();
    let ended: Vec<_> = calls.into_iter().map(|call| call.wait()).collect();
    let winners = ended.iter().filter(|ran| ran.code == 0).count();
    assert_eq!(winners, 1, "{}", ended.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"));
    for ran in ended.into_iter().filter(|ran| ran.code != 0) {
        ran.refused(&["container with given ID already exists"]);
    }
    let state = bundle.call("state").arg(&bundle.id).ok().json();
    assert_eq!(state["status"], "created");
    bundle.call("start").arg(&bundle.id).ok();
    assert_eq!(bundle.call("state").arg(&bundle.id).ok().json()["status"], "running");
}

#[test]
fn an_id_can_be_used_again() {
    let bundle = Bundle::script("true");
    for _ in 0..3 {
        let container = bundle.create();
        assert_eq!(container.start_and_wait(), 0);
        container.delete();
    }
    bundle.assert_nothing_left();
}

#[test]
fn bundle_defaults_to_the_working_directory() {
    let bundle = Bundle::script("echo here");
    let ran = bundle.write().call("run").arg(&bundle.id).ok();
    assert_eq!(ran.stdout, "here\n");
    // A relative bundle is made absolute before anybody else reads it.
    let parent = bundle.directory.parent().expect("a bundle has a parent");
    let name = bundle.directory.file_name().expect("a bundle has a name");
    bundle.call("create").arg("--bundle").arg(name).arg(&bundle.id).directory(parent).ok();
    let state = bundle.call("state").arg(&bundle.id).ok().json();
    assert_eq!(state["bundle"], bundle.directory.to_str().expect("text"));
}

#[test]
fn the_bundle_is_told_as_the_kernel_calls_it() {
    let bundle = Bundle::script("true");
    let (parent, name) =
        (bundle.make_directory("elsewhere"), bundle.directory.file_name().expect("a bundle has a name"));
    std::os::unix::fs::symlink(&bundle.directory, parent.join("link")).expect("make a link");
    let up_and_down = bundle.directory.join("..").join(name).join("./elsewhere//..");
    for given in [up_and_down, parent.join("link")] {
        bundle.write().call("create").arg("--bundle").arg(given).arg(&bundle.id).ok();
        let state = bundle.call("state").arg(&bundle.id).ok().json();
        assert_eq!(state["bundle"], bundle.directory.to_str().expect("text"));
        bundle.call("delete").args(["--force", &bundle.id]).ok();
    }
}

#[test]
fn create_without_a_process_fails_at_start() {
    // runtime-spec, config.md: process is required when start is called.
    let mut bundle = Bundle::new();
    bundle.config.remove("/process");
    let container = bundle.create();
    assert_eq!(container.status(), "created");
    container.run("start").refused(&["process"]);
}

#[test]
fn each_container_has_its_own_control_group() {
    let bundle = Bundle::staying();
    let first = bundle.create();
    let second = bundle.create_another("second");
    let (first_group, second_group) = (first.proc_file("cgroup"), second.proc_file("cgroup"));
    assert!(first_group.contains(&first.id), "{first_group}");
    assert_ne!(first_group, second_group);
    let own = fs::read_to_string("/proc/thread-self/cgroup").expect("read the tests' control group");
    assert_ne!(first_group, own);
}

#[test]
fn the_cgroups_path_is_taken() {
    let mut bundle = Bundle::staying();
    bundle.config.set("/linux/cgroupsPath", format!("/{}-parent/child", bundle.id));
    let container = bundle.create();
    assert_eq!(container.group(), format!("/{}-parent/child", bundle.id));
    container.delete();
    let left = crate::harness::leftovers::cgroups_of(&bundle.id);
    let parent = left.iter().find(|path| path.ends_with(format!("{}-parent", bundle.id))).cloned();
    // A parent that the runtime made may stay, the container's own group may not.
    assert!(left.iter().all(|path| Some(path) == parent.as_ref()), "{left:?}");
    parent.into_iter().for_each(|path| fs::remove_dir(path).expect("remove the parent group"));
}

#[test]
fn update_refuses_a_stopped_or_unknown_container() {
    let bundle = Bundle::script("true");
    bundle.call("update").args(["--pids-limit", "10", "unknown"]).run().refused(&["does not exist"]);
    let container = bundle.start();
    container.process.wait();
    container.call("update").args(["--pids-limit", "10", &container.id]).run().refused(&["not running"]);
}

#[test]
fn events_prints_statistics_once() {
    let bundle = Bundle::staying();
    let container = bundle.start();
    let ran = container.call("events").args(["--stats", &container.id]).ok();
    let lines: Vec<&str> = ran.stdout.lines().collect();
    assert_eq!(lines.len(), 1, "{ran}");
    let event: Value = serde_json::from_str(lines[0]).expect("a line is JSON");
    assert_eq!((&event["type"], &event["id"]), (&json!("stats"), &json!(container.id)));
    assert!(event["data"].is_object(), "{event}");
    container.stop();
    container.call("events").args(["--stats", &container.id]).run().refused(&[]);
}

#[test]
fn the_host_keeps_its_namespaces_and_mounts() {
    let bundle = Bundle::staying();
    let before = (own_namespace("mnt"), own_namespace("uts"), crate::harness::leftovers::Mounts::now());
    let container = bundle.start();
    let during = crate::harness::leftovers::Mounts::now();
    container.stop();
    container.delete();
    assert_eq!((own_namespace("mnt"), own_namespace("uts"), crate::harness::leftovers::Mounts::now()), before);
    assert_eq!(during, before.2, "the container's mounts are seen on the host");
}

#[test]
fn a_state_half_written_is_no_container() {
    // What a crash between two writes leaves, for whatever file names the runtime uses.
    let bundle = Bundle::staying();
    let container = bundle.create();
    let directory = bundle.state.join(&container.id);
    for entry in fs::read_dir(&directory).expect("read the state directory").flatten() {
        if entry.file_type().is_ok_and(|kind| kind.is_file()) {
            let text = fs::read(entry.path()).expect("read a state file");
            fs::write(entry.path(), &text[..text.len() / 2]).expect("cut a state file");
        }
    }
    container.run("state").refused(&[]);
    container.run("start").refused(&[]);
    container.call("delete").args(["--force", &container.id]).ok();
    container.process.wait_gone();
    bundle.assert_nothing_left();
}
