//! `exec`: further processes in a running container.

use std::fs;

use serde_json::{Value, json};

use crate::harness::probe::capability_set;
use crate::harness::{Bundle, Container, Ran, each};

/// A container that stays and its bundle.
fn running() -> (Bundle, Container) {
    let bundle = Bundle::staying();
    bundle.add_probe();
    let container = bundle.start();
    (bundle, container)
}

/// Runs a process that is described in a file.
#[track_caller]
fn exec_process(bundle: &Bundle, container: &Container, process: &Value) -> Ran {
    let file = bundle.write_file("process.json", &process.to_string());
    container.call("exec").arg("--process").arg(file).arg(&container.id).run()
}

/// A process like the container's own.
fn process(args: &[&str]) -> Value {
    json!({"args": args, "cwd": "/", "env": ["PATH=/bin"], "user": {"uid": 0, "gid": 0}})
}

/// A value of /proc/PID/status.
fn line(status: &str, name: &str) -> String {
    let value = status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
    value.unwrap_or_else(|| panic!("no {name} in {status}")).trim().replace('\t', " ")
}

#[test]
fn exit_codes() {
    let (_bundle, container) = running();
    for code in [0, 1, 7, 255] {
        assert_eq!(container.exec(["sh", "-c", &format!("exit {code}")]).code, code);
    }
    assert_eq!(container.exec(["sh", "-c", "kill -KILL $$"]).code, 137);
    assert_eq!(container.exec(["sh", "-c", "kill -TERM $$"]).code, 143);
}

#[test]
fn errors_of_the_runtime_are_255() {
    let (bundle, container) = running();
    container.exec(["no-such-program"]).failed(255, &["exec: \"no-such-program\": executable file not found in $PATH"]);
    container
        .exec(["/no/such/program"])
        .failed(255, &["exec: \"/no/such/program\": stat /no/such/program: no such file or directory"]);
    container.exec(["/etc/passwd"]).failed(255, &["exec: \"/etc/passwd\": permission denied"]);
    let ran = container.exec(["/tmp"]);
    ran.failed(255, &["/tmp", "is a directory"]);
    let none: [&str; 0] = [];
    container.exec(none).failed(255, &["args"]);
    bundle.call("exec").args(["unknown", "true"]).run().failed(255, &["does not exist"]);
}

#[test]
fn it_runs_in_the_containers_namespaces_and_group() {
    let (_bundle, container) = running();
    for file in ["cgroup", "ipc", "mnt", "net", "pid", "uts", "user", "time"] {
        let link = container.exec(["readlink", &format!("/proc/self/ns/{file}")]).stdout;
        assert_eq!(link.trim_end(), container.namespace(file));
    }
    assert_eq!(container.shell("hostname; cat /proc/1/cmdline | tr '\\0' ' '; echo"), "container\nsleep infinity \n");
    let process = container.exec_detached(["sleep", "infinity"]);
    let groups = |pid| fs::read_to_string(format!("/proc/{pid}/cgroup")).expect("read a control group");
    assert_eq!(groups(process.pid), groups(container.process.pid));
    let pids = container.call("ps").args(["--format", "json", &container.id]).ok().json();
    assert_eq!(pids.as_array().map(Vec::len), Some(2), "{pids}");
    process.kill();
}

#[test]
fn the_process_of_the_config_is_the_model() {
    let mut bundle = Bundle::staying();
    bundle.config.set("/process/cwd", "/tmp").env("OWN=value").set("/process/user", json!({"uid": 1000, "gid": 1001}));
    bundle.config.set("/process/user/additionalGids", json!([5])).set("/process/user/umask", 0o27);
    bundle.config.set("/process/rlimits", json!([{"type": "RLIMIT_NOFILE", "soft": 77, "hard": 88}]));
    let container = bundle.start();
    let shown = container.shell("pwd; echo $OWN; id -u; id -G; umask; ulimit -n; ulimit -Hn; echo $HOME");
    assert_eq!(shown, "/tmp\nvalue\n1000\n1001 5\n0027\n77\n88\n/home/tester\n");
}

#[test]
fn flags() {
    let (_bundle, container) = running();
    let call =
        |flags: &[&str], args: &[&str]| container.call("exec").args(flags).arg(&container.id).args(args).ok().stdout;
    assert_eq!(call(&["--cwd", "/tmp"], &["pwd"]), "/tmp\n");
    assert_eq!(call(&["--env", "A=1", "-e", "B=2", "--env=C=a=b"], &["sh", "-c", "echo $A $B $C"]), "1 2 a=b\n");
    assert_eq!(call(&["-e", "PATH=/nowhere:/bin"], &["sh", "-c", "echo $PATH"]), "/nowhere:/bin\n");
    assert_eq!(call(&["--user", "1000"], &["sh", "-c", "id -u; id -g; echo $HOME"]), "1000\n0\n/home/tester\n");
    assert_eq!(call(&["-u", "7:8"], &["sh", "-c", "id -u; id -g; id -G"]), "7\n8\n8\n");
    assert_eq!(call(&["--user", "0:9", "--additional-gids", "10", "-g", "11"], &["id", "-G"]), "9 10 11\n");
}

#[test]
fn users_are_numbers() {
    // CVE-2016-3697: names are not looked for, least of all in the container.
    let (_bundle, container) = running();
    for user in ["root", "tester", "1000:tester", "-1", "1000:", "1:2:3", "4294967296", ""] {
        let ran = container.call("exec").arg(format!("--user={user}")).args([&container.id, "id", "-u"]).run();
        let refused = [1, 255].contains(&ran.code) && ran.stdout != "0\n";
        assert!(refused || (user.is_empty() && ran.stdout == "0\n"), "{user}: {ran}");
    }
}

#[test]
fn capabilities() {
    let (_bundle, container) = running();
    let sets = |flags: &[&str]| {
        let status = container.call("exec").args(flags).args([&container.id, "cat", "/proc/self/status"]).ok().stdout;
        ["CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"].map(|name| line(&status, name))
    };
    let own = capability_set(&["CAP_AUDIT_WRITE", "CAP_KILL", "CAP_NET_BIND_SERVICE"]);
    let more = capability_set(&["CAP_AUDIT_WRITE", "CAP_KILL", "CAP_NET_BIND_SERVICE", "CAP_NET_RAW", "CAP_CHOWN"]);
    let none = capability_set(&[]);
    assert_eq!(sets(&[]), [&none, &own, &own, &own, &none].map(String::as_str));
    let flags = ["--cap", "CAP_NET_RAW", "-c", "CAP_CHOWN"];
    // CVE-2022-29162: nothing may become inheritable.
    assert_eq!(sets(&flags), [&none, &more, &more, &more, &none].map(String::as_str));
}

#[test]
fn no_new_privileges() {
    let mut bundle = Bundle::staying();
    bundle.config.set("/process/noNewPrivileges", false);
    let container = bundle.start();
    let with = |flags: &[&str]| {
        let status = container.call("exec").args(flags).args([&container.id, "cat", "/proc/self/status"]).ok().stdout;
        line(&status, "NoNewPrivs")
    };
    assert_eq!(with(&[]), "0");
    assert_eq!(with(&["--no-new-privs"]), "1");
}

#[test]
fn a_process_file() {
    let (bundle, container) = running();
    let capabilities = ["CAP_CHOWN"];
    let mut process = process(&["cat", "/proc/self/status", "/proc/self/limits", "/proc/self/oom_score_adj"]);
    process["user"] = json!({"uid": 12, "gid": 13, "additionalGids": [14, 15]});
    process["capabilities"] = json!({"bounding": capabilities, "permitted": capabilities, "effective": capabilities});
    process["noNewPrivileges"] = json!(true);
    process["rlimits"] = json!([{"type": "RLIMIT_NOFILE", "soft": 55, "hard": 66}]);
    process["oomScoreAdj"] = json!(321);
    let ran = exec_process(&bundle, &container, &process);
    assert_eq!(ran.code, 0, "{ran}");
    let text = &ran.stdout;
    assert_eq!(line(text, "Uid"), "12 12 12 12");
    assert_eq!(line(text, "Gid"), "13 13 13 13");
    assert!(line(text, "Groups").ends_with("14 15"), "{text}");
    assert_eq!(line(text, "CapBnd"), capability_set(&capabilities));
    assert_eq!(line(text, "NoNewPrivs"), "1");
    let files = text.lines().find(|line| line.starts_with("Max open files")).expect("a limit");
    assert_eq!(files.split_whitespace().skip(3).take(2).collect::<Vec<_>>(), ["55", "66"]);
    assert!(text.ends_with("\n321\n"), "{text}");
}

#[test]
fn a_process_file_with_all_the_rest() {
    let (bundle, container) = running();
    let mut process = process(&["probe", "scheduler"]);
    process["scheduler"] = json!({"policy": "SCHED_BATCH", "nice": 4});
    let text = exec_process(&bundle, &container, &process).stdout;
    assert!(text.starts_with("policy 3\nflags 0\nnice 4\n"), "{text}");
    process["args"] = json!(["probe", "io-priority"]);
    process["ioPriority"] = json!({"class": "IOPRIO_CLASS_BE", "priority": 5});
    assert_eq!(exec_process(&bundle, &container, &process).stdout, "class 2\nlevel 5\n");
    process["args"] = json!(["probe", "working-directory"]);
    process["cwd"] = json!("/made/for/it");
    let ran = exec_process(&bundle, &container, &process);
    assert!(ran.code == 0 && ran.stdout == "/made/for/it\n" || ran.code == 255, "{ran}");
}

#[test]
fn a_process_file_of_docker() {
    let (bundle, container) = running();
    let text = include_str!("../data/configs/docker-exec-process.json");
    let mut process: Value = serde_json::from_str(text).expect("the file is JSON");
    // Its AppArmor profile exists under docker only.
    process.as_object_mut().expect("an object").remove("apparmorProfile");
    process["args"] = json!(["sh", "-c", "cat /proc/self/status; echo HOSTNAME:$HOSTNAME"]);
    let ran = exec_process(&bundle, &container, &process);
    assert_eq!(ran.code, 0, "{ran}");
    assert_eq!(line(&ran.stdout, "HOSTNAME"), "c84f66932f37");
    assert_eq!(line(&ran.stdout, "CapBnd"), "00000000a80425fb");
}

#[test]
fn process_files_that_make_no_sense() {
    let (bundle, container) = running();
    each(
        [
            ("{", &["process.json"][..]),
            ("[]", &["process.json"]),
            (r#"{"args": "true", "cwd": "/"}"#, &["process.json", "args"]),
            (r#"{"args": ["true"], "cwd": "tmp"}"#, &["cwd"]),
            (r#"{"args": [], "cwd": "/"}"#, &["args"]),
            (
                r#"{"args": ["true"], "cwd": "/", "rlimits": [{"type": "RLIMIT_X", "soft": 1, "hard": 1}]}"#,
                &["rlimits[0]"],
            ),
            (r#"{"args": ["true"], "cwd": "/", "user": {"uid": -1, "gid": 0}}"#, &["process.json", "user.uid"]),
        ],
        |(text, needles)| {
            let file = bundle.write_file("process.json", text);
            let ran = container.call("exec").arg("--process").arg(file).arg(&container.id).run();
            ran.failed(255, needles);
        },
    );
    let call = container.call("exec").args(["--process", "/no/such/file", &container.id]);
    call.run().failed(255, &["/no/such/file", "no such file or directory"]);
    assert!(container.process.alive());
}

#[test]
fn a_process_file_needs_no_config() {
    let (bundle, container) = running();
    fs::remove_file(bundle.path("config.json")).expect("remove config.json");
    let ran = exec_process(&bundle, &container, &process(&["echo", "fine"]));
    assert_eq!((ran.code, ran.stdout.as_str()), (0, "fine\n"), "{ran}");
}

#[test]
fn detached() {
    let (_bundle, container) = running();
    let process = container.exec_detached(["sh", "-c", "exit 9"]);
    assert_eq!(process.wait(), 9, "it is a child of the caller's subreaper");
    let process = container.exec_detached(["sleep", "infinity"]);
    assert!(process.alive());
    process.kill();
    let file = container.call("exec").args(["--detach", &container.id, "no-such-program"]);
    file.run().failed(255, &["no-such-program"]);
}

#[test]
fn standard_streams() {
    let (_bundle, container) = running();
    let call = container.call("exec").args([&container.id, "sh", "-c", "cat; echo err >&2"]).input("through\n");
    let ran = call.ok();
    assert_eq!((ran.stdout.as_str(), ran.stderr.as_str()), ("through\n", "err\n"));
    let call = container.call("exec").args([
        &container.id,
        "sh",
        "-c",
        "cat >/dev/null; head -c 1000000 /dev/zero | tr '\\0' x",
    ]);
    assert_eq!(call.input(&"y".repeat(200_000)).ok().stdout.len(), 1_000_000);
    let call = container.call("exec").args([
        "--user",
        "1000",
        &container.id,
        "sh",
        "-c",
        "echo x >/proc/self/fd/1; cat /proc/self/fd/0",
    ]);
    assert_eq!(call.input("in\n").ok().stdout, "x\nin\n");
}

#[test]
fn which_containers_take_it() {
    let bundle = Bundle::staying();
    let container = bundle.create();
    assert_eq!(container.exec(["echo", "created"]).stdout, "created\n");
    container.start();
    assert_eq!(container.exec(["echo", "running"]).stdout, "running\n");
    container.stop();
    container.exec(["true"]).failed(255, &["cannot exec in a stopped container"]);
    container.delete();
    bundle.call("exec").args([&bundle.id, "true"]).run().failed(255, &["does not exist"]);
}

#[test]
fn a_paused_container_takes_it_if_asked() {
    let (_bundle, container) = running();
    container.ok("pause");
    container.exec(["true"]).failed(255, &["cannot exec in a paused container (use --ignore-paused to override)"]);
    let waiting = container.call("exec").args(["--ignore-paused", &container.id, "echo", "thawed"]).spawn();
    container.ok("resume");
    assert_eq!(waiting.wait().stdout, "thawed\n");
}

#[test]
fn signals_reach_the_process() {
    let (_bundle, container) = running();
    let (reader, writer) = std::io::pipe().expect("make a pipe");
    let script = "trap 'exit 21' USR1; trap 'exit 22' TERM; echo ready; sleep infinity </dev/null >/dev/null 2>&1 & while :; do wait || :; done";
    for (signal, code) in [(rustix::process::Signal::USR1, 21), (rustix::process::Signal::TERM, 22)] {
        let output = writer.try_clone().expect("copy the pipe");
        let running = container.call("exec").args([&container.id, "sh", "-c", script]).stdout(output).spawn();
        crate::harness::wait::read_until(&reader, "ready\n");
        running.signal(signal);
        assert_eq!(running.wait().code, code);
    }
}

#[test]
fn it_ends_with_the_container() {
    let (_bundle, container) = running();
    let (reader, writer) = std::io::pipe().expect("make a pipe");
    let script = "echo ready; sleep infinity";
    let running = container.call("exec").args([&container.id, "sh", "-c", script]).stdout(writer).spawn();
    crate::harness::wait::read_until(&reader, "ready\n");
    container.kill("KILL");
    assert_eq!(running.wait().code, 137);
    assert_eq!(container.process.wait(), 137);
}

#[test]
fn nothing_of_the_runtime_sticks_to_it() {
    let (_bundle, container) = running();
    let status = container
        .call("exec")
        .args([&container.id, "cat", "/proc/self/status"])
        .through(["env", "--block-signal=USR1,TERM", "--ignore-signal=PIPE,INT,HUP"])
        .ok()
        .stdout;
    for name in ["SigBlk", "SigIgn"] {
        assert_eq!(line(&status, name), "0000000000000000", "{name}");
    }
    let text = container.exec(["probe", "process"]).stdout;
    for expected in ["dumpable 1", "parent_death_signal 0", "subreaper 0", "keep_capabilities 0", "securebits 0"] {
        assert!(text.lines().any(|line| line == expected), "no {expected:?} in {text}");
    }
    assert_eq!(container.exec(["env"]).stdout.matches("=").count(), 3, "PATH, TERM and HOME");
}

#[test]
fn the_keyring_is_the_containers() {
    let (_bundle, container) = running();
    assert_eq!(container.exec(["probe", "keyring"]).stdout, format!("_ses.{}\n", container.id));
}

#[test]
fn many_at_once() {
    let (_bundle, container) = running();
    let calls: Vec<_> = (0..12)
        .map(|number| container.call("exec").args([&container.id, "echo", &number.to_string()]).spawn())
        .collect();
    for (number, call) in calls.into_iter().enumerate() {
        let ran = call.wait();
        assert_eq!((ran.code, ran.stdout.as_str()), (0, format!("{number}\n").as_str()), "{ran}");
    }
}

#[test]
fn affinity() {
    let mut bundle = Bundle::staying();
    let own = fs::read_to_string("/proc/self/status").expect("read the tests' status");
    if line(&own, "Cpus_allowed_list") == "0" {
        crate::skip!("this machine has one CPU");
    }
    bundle.config.set("/process/execCPUAffinity", json!({"initial": "0", "final": "1"}));
    let container = bundle.start();
    let of = |ran: Ran| line(&ran.stdout, "Cpus_allowed_list");
    assert_eq!(of(container.exec(["cat", "/proc/self/status"])), "1");
    let mut process = process(&["cat", "/proc/self/status"]);
    process["execCPUAffinity"] = json!({"final": "0"});
    assert_eq!(of(exec_process(&bundle, &container, &process)), "0");
    process["execCPUAffinity"] = json!({"initial": "0", "final": "0-1"});
    assert_eq!(of(exec_process(&bundle, &container, &process)), "0-1");
    // config.md: without a final one the kernel decides, and it leaves the initial one as it is.
    process["execCPUAffinity"] = json!({"initial": "0"});
    assert_eq!(of(exec_process(&bundle, &container, &process)), "0");
    process["execCPUAffinity"] = json!({"final": "0-"});
    exec_process(&bundle, &container, &process).failed(255, &["execCPUAffinity.final"]);
    // The first process is not an exec'd one.
    let first = container.proc_file("status");
    assert_eq!(line(&first, "Cpus_allowed_list"), line(&own, "Cpus_allowed_list"));
}

#[test]
fn a_group_below_the_containers() {
    let (_bundle, container) = running();
    let group = crate::harness::leftovers::cgroups_of(&container.id).remove(0);
    fs::create_dir(group.join("below")).expect("make a control group");
    let call = |path: &str| container.call("exec").args(["--cgroup", path, &container.id, "cat", "/proc/self/cgroup"]);
    for path in ["below", "/below"] {
        let shown = call(path).ok().stdout;
        assert!(shown.contains("0::/below\n"), "{shown}");
    }
    for path in ["missing", "../..", "/../.."] {
        let ran = call(path).run();
        assert!(ran.code == 255, "{path}: {ran}");
    }
}

#[test]
fn readonly_paths_and_masks_hold() {
    let (_bundle, container) = running();
    let shown = container.shell("cat /proc/kcore | wc -c; (echo x >/proc/sys/kernel/hostname) 2>&1 || true");
    assert_eq!(shown, "0\nsh: can't create /proc/sys/kernel/hostname: Read-only file system\n");
}

#[test]
fn cwd_can_not_be_outside_of_the_root() {
    let (_bundle, container) = running();
    for number in 3..20 {
        let path = format!("/proc/self/fd/{number}");
        let ran = container.call("exec").args(["--cwd", &path, &container.id, "probe", "working-directory"]).run();
        assert!(ran.code != 0 || ran.stdout == "/\n", "{path}: {ran}");
    }
}
