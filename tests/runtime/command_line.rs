//! Flags, their spellings, exit codes, the log, pid files, `spec` and `features`.

use std::fs;
use std::io::Write;
use std::os::unix::fs::{MetadataExt, PermissionsExt};

use std::os::unix::net::UnixDatagram;
use std::time::Instant;

use serde_json::{Value, json};

use crate::harness::host::unshare;
use crate::harness::wait::{LIMIT, readable};
use crate::harness::{Bundle, Call, Container, host};

/// A call of the runtime without a state directory.
fn bare(bundle: &Bundle) -> Call {
    Call::new(&bundle.directory)
}

#[test]
fn version() {
    let bundle = Bundle::new();
    for flag in ["--version", "-v", "-version"] {
        let ran = bare(&bundle).arg(flag).ok();
        let lines: Vec<&str> = ran.stdout.lines().collect();
        // dockerd takes what stands before the word for the name and what follows it for the version.
        let words: Vec<&str> = lines[0].split(' ').collect();
        assert_eq!(words[1], "version", "{ran}");
        assert!(words[2].starts_with(|first: char| first.is_ascii_digit()), "{ran}");
        assert!(lines.iter().any(|line| line.starts_with("spec: 1.")), "{ran}");
        assert_eq!(ran.stderr, "", "cri-o reads both as one");
    }
}

#[test]
fn version_of_corten() {
    let bundle = Bundle::new();
    let ran = bare(&bundle).arg("--version").ok();
    let first = format!("corten version {}\n", env!("CARGO_PKG_VERSION"));
    assert!(ran.stdout.starts_with(&first), "{ran}");
    assert!(ran.stdout.lines().any(|line| line == "spec: 1.3.0"), "{ran}");
}

#[test]
fn help() {
    let bundle = Bundle::new();
    let commands = [
        "create", "start", "run", "state", "kill", "delete", "list", "ps", "exec", "pause", "resume", "update",
        "events", "spec", "features",
    ];
    for call in [&["--help"][..], &["-h"], &["help"], &["-help"]] {
        let ran = bare(&bundle).args(call).ok();
        for command in commands {
            assert!(ran.stdout.contains(command), "no {command} in {ran}");
        }
    }
    for command in commands {
        for call in [&[command, "--help"][..], &["help", command], &[command, "-h"]] {
            let ran = bare(&bundle).args(call).ok();
            assert!(ran.stdout.to_lowercase().contains("usage"), "{ran}");
        }
    }
    assert!(bare(&bundle).args(["create", "--help"]).ok().stdout.contains("--console-socket"));
}

#[test]
fn wrong_usage_exits_with_one() {
    let bundle = Bundle::new();
    let calls: [&[&str]; 14] = [
        &["no-such-command"],
        &["--no-such-flag", "list"],
        &["list", "--no-such-flag"],
        &["create"],
        &["create", "one", "two"],
        &["start"],
        &["state"],
        &["state", "one", "two"],
        &["delete"],
        &["kill"],
        &["kill", "one", "TERM", "three"],
        &["pause"],
        &["list", "--format"],
        &["exec"],
    ];
    for call in calls {
        let ran = bare(&bundle).arg("--root").arg(&bundle.state).args(call).run();
        assert_eq!(ran.code, 1, "{ran}");
        assert_ne!(ran.stderr, "", "{ran}");
    }
}

#[test]
fn single_dash_long_flags() {
    let mut bundle = Bundle::script("echo out");
    let root = bundle.state.clone();
    bundle.write();
    let call = bare(&bundle).arg("-root").arg(&root).arg("run").arg("-bundle").arg(&bundle.directory);
    // go-runc really passes this one.
    assert_eq!(call.args(["-no-subreaper", &bundle.id]).ok().stdout, "out\n");
    bundle.config.stay();
    bundle.write();
    let call = bare(&bundle).arg("-root").arg(&root).args(["run", "-detach", "-pid-file"]).arg(bundle.pid_file());
    let container =
        Container::made(&bundle, &bundle.id, call.arg("-bundle").arg(&bundle.directory).arg(&bundle.id).ok());
    let ran = container.call("exec").args(["-cwd", "/tmp", "-env", "A=b", &container.id, "sh", "-c", "pwd; echo $A"]);
    assert_eq!(ran.ok().stdout, "/tmp\nb\n");
    assert_eq!(
        container.call("ps").args(["-format", "json", &container.id]).ok().json().as_array().map(Vec::len),
        Some(1)
    );
    container.call("kill").args(["-all", &container.id, "KILL"]).ok();
    container.process.wait();
    container.call("delete").args(["-force", &container.id]).ok();
}

#[test]
fn flags_with_an_equals_sign() {
    let bundle = Bundle::script("echo out");
    bundle.write();
    let root = format!("--root={}", bundle.state.display());
    let directory = format!("--bundle={}", bundle.directory.display());
    assert_eq!(bare(&bundle).args([&root, "run", &directory, &bundle.id]).ok().stdout, "out\n");
    let directory = format!("-bundle={}", bundle.directory.display());
    let root = format!("-root={}", bundle.state.display());
    assert_eq!(bare(&bundle).args([&root, "run", &directory, "--keep=false", &bundle.id]).ok().stdout, "out\n");
    bundle.assert_nothing_left();
}

#[test]
fn the_last_of_repeated_flags_counts() {
    let bundle = Bundle::script("echo out");
    bundle.write();
    let call =
        bare(&bundle).args(["--root", "/nonexistent/first", "--log-format", "text", "--root"]).arg(&bundle.state);
    let call = call.args(["--log-format=json", "run", "--bundle", "/nonexistent", "--keep", "--keep", "--bundle"]);
    assert_eq!(call.arg(&bundle.directory).arg(&bundle.id).ok().stdout, "out\n");
    assert_eq!(bundle.call("state").arg(&bundle.id).ok().json()["status"], "stopped");
}

#[test]
fn a_flag_with_an_empty_value_is_as_good_as_not_given() {
    let bundle = Bundle::script("echo fine");
    let empty = ["--console-socket", "", "--pidfd-socket=", "--pid-file", "", "--config="];
    let call = Call::new(&bundle.directory).args(["--log", "", "--log-format=", "--rootless="]).arg("--root");
    let call = call.arg(&bundle.state).args(["run", "--bundle="]).args(empty).arg(&bundle.id);
    bundle.write();
    assert_eq!(call.ok().stdout, "fine\n");
    // It takes back what was given before.
    let file = bundle.text_path("pid");
    bundle.run_call().args(["--pid-file", &file, "--pid-file", "", &bundle.id]).ok();
    assert!(!bundle.path("pid").exists());
}

#[test]
fn words_that_look_like_commands_are_not() {
    let mut bundle = Bundle::script("echo out");
    bundle.id = "run".into();
    bundle.write();
    let directory = bundle.directory.clone();
    assert_eq!(bundle.call("run").args(["--keep", "--bundle"]).arg(&directory).arg("run").ok().stdout, "out\n");
    assert_eq!(bundle.call("state").arg("run").ok().json()["id"], "run");
    bundle.call("state").arg("exec").run().refused(&["exec"]);
    bundle.call("delete").arg("run").ok();
    bundle.assert_nothing_left();
}

#[test]
fn arguments_of_exec_and_ps_are_positional() {
    let bundle = Bundle::staying();
    let container = bundle.start();
    // None of these flags is the runtime's.
    let ran = container.exec(["echo", "--tty", "-d", "--user", "1", "--", "--help", "-p"]);
    assert_eq!((ran.code, ran.stdout.as_str()), (0, "--tty -d --user 1 -- --help -p\n"), "{ran}");
    let ran = container.call("exec").args(["--", &container.id, "echo", "-n", "--", "x"]).ok();
    assert_eq!(ran.stdout, "-- x");
    let table = container.call("ps").args([&container.id, "-o", "pid"]).ok().stdout;
    assert_eq!(table.split_whitespace().next(), Some("PID"), "{table}");
}

#[test]
fn container_ids() {
    let bundle = Bundle::staying();
    let long = "x".repeat(2000);
    for id in ["", ".", "..", "a/b", "../up", "/absolute", "a b", "a\nb", "ä", "a*", "a:b", "a%b", "a$b", long.as_str()]
    {
        let ran = bundle.create_call().args(["--", id]).run().refused(&[]);
        if id.len() < 100 && !id.is_empty() {
            assert!(
                crate::harness::call::foreign() || ran.stderr.contains("invalid container ID format"),
                "{id}: {ran}"
            );
        }
        bundle.call("state").args(["--", id]).run().refused(&[]);
        bundle.call("delete").args(["--", id]).run().refused(&[]);
        bundle.assert_nothing_left();
    }
    assert!(bundle.directory.exists() && bundle.state.exists(), "an id must not reach out of the root");
    for name in ["A-b_c+d.e", "..x", "-x"] {
        let id = format!("{name}{}", bundle.id);
        bundle.create_call().args(["--", &id]).ok();
        assert_eq!(bundle.call("state").args(["--", &id]).ok().json()["id"], id);
        bundle.call("delete").args(["--force", "--", &id]).ok();
    }
}

#[test]
fn the_root_is_made_and_may_be_relative() {
    let bundle = Bundle::staying();
    bundle.write();
    let relative = |command: &str| bare(&bundle).args(["--root", "state/deep/er", command]);
    relative("create").arg("--bundle").arg(&bundle.directory).arg(&bundle.id).ok();
    let root = bundle.path("state/deep/er");
    let mode = fs::metadata(&root).expect("the root has been made").mode() & 0o777;
    assert_eq!(mode, 0o700, "the root is for its owner: {mode:o}");
    let mode = fs::metadata(root.join(&bundle.id)).expect("the state directory is named by the id").mode() & 0o777;
    assert!(mode & 0o066 == 0, "the state directory is not for others: {mode:o}");
    assert_eq!(relative("state").arg(&bundle.id).ok().json()["status"], "created");
    relative("delete").args(["--force", &bundle.id]).ok();
    fs::remove_dir_all(bundle.path("state/deep")).expect("remove the root");
}

#[test]
fn the_root_directory_is_no_root() {
    let bundle = Bundle::staying();
    bundle.write();
    let call = bare(&bundle).args(["--root", "/", "create", "--bundle"]).arg(&bundle.directory).arg(&bundle.id);
    call.run().refused(&["root"]);
    assert!(!std::path::Path::new("/").join(&bundle.id).exists());
}

#[test]
fn the_default_root() {
    // In a /run of the test's own, because every container of the machine would be in the real one.
    let bundle = Bundle::staying();
    host("mount -t tmpfs run /run");
    bundle.write();
    let name = crate::harness::call::program().file_name().expect("a program has a name").to_owned();
    let root = std::path::Path::new("/run").join(name);
    let none = bare(&bundle).args(["list", "-f", "json"]).ok().json();
    assert!([json!(null), json!([])].contains(&none), "{none}");
    // root ignores XDG_RUNTIME_DIR: podman sets it for calls that belong to the system's containers.
    let call = bare(&bundle).env("XDG_RUNTIME_DIR", bundle.directory.as_os_str()).env("USER", "root").arg("create");
    call.arg("--bundle").arg(&bundle.directory).arg(&bundle.id).ok();
    assert!(root.join(&bundle.id).is_dir(), "{} is missing", root.display());
    assert_eq!(bare(&bundle).args(["state", &bundle.id]).ok().json()["id"], bundle.id);
    bare(&bundle).args(["delete", "--force", &bundle.id]).ok();
    assert!(!root.join(&bundle.id).exists());
    host("umount /run");
}

#[test]
fn commands_need_no_environment() {
    // podman calls with XDG_RUNTIME_DIR only.
    let bundle = Bundle::staying();
    bundle.create_call().arg(&bundle.id).without_environment().ok();
    for command in [&["start"][..], &["state"], &["pause"], &["resume"]] {
        bundle.call(command[0]).arg(&bundle.id).without_environment().ok();
    }
    bundle.call("kill").args([&bundle.id, "KILL"]).without_environment().ok();
    bundle.call("delete").args(["--force", &bundle.id]).without_environment().ok();
    bundle.assert_nothing_left();
}

/// Logs a failing call in a format and returns the log and the standard error.
fn logged(bundle: &Bundle, format: &[&str]) -> (String, String) {
    let log = bundle.path("log");
    let _ = fs::remove_file(&log);
    let call = bare(bundle).arg("--root").arg(&bundle.state).arg("--log").arg(&log).args(format);
    let ran = call.args(["start", "unknown"]).run().refused(&["does not exist"]);
    (fs::read_to_string(&log).expect("read the log"), ran.stderr)
}

#[test]
fn the_log_in_json() {
    let bundle = Bundle::new();
    let (log, stderr) = logged(&bundle, &["--log-format", "json"]);
    // podman reads the whole file as one object, containerd the last error of it.
    let record: Value = serde_json::from_str(&log).unwrap_or_else(|error| panic!("{error}: {log}"));
    assert!(log.ends_with("}\n") && log.lines().count() == 1, "one line, one record: {log:?}");
    assert_eq!(record["level"], "error");
    let message = record["msg"].as_str().expect("the message is text");
    assert!(stderr.contains(message), "the same error goes to stderr: {stderr}");
    assert!(!stderr.contains("\"msg\""), "stderr is for people and conmon: {stderr}");
    let time = record["time"].as_str().expect("the time is text");
    Call::of("date", &bundle.directory).args(["--date", time]).ok();
    assert!(time.len() >= 20 && &time[10..11] == "T", "RFC 3339: {time}");
}

#[test]
fn the_log_in_text() {
    let bundle = Bundle::new();
    for format in [&[][..], &["--log-format", "text"], &["--log-format=text"]] {
        let (log, _) = logged(&bundle, format);
        assert!(log.contains("level=error") && log.contains("msg=") && log.contains("time="), "{log}");
        assert_eq!(log.lines().count(), 1, "{log}");
    }
}

#[test]
fn the_log_is_appended_to_and_not_written_without_reason() {
    let bundle = Bundle::script("true");
    let log =
        bundle.write_file("log", "{\"level\":\"warning\",\"msg\":\"before\",\"time\":\"2026-01-01T00:00:00Z\"}\n");
    let before = bundle.read_file("log");
    bundle.write();
    let call = || {
        let call = bare(&bundle).arg("--root").arg(&bundle.state).arg("--log").arg(&log);
        call.args(["--log-format", "json"])
    };
    call().arg("run").arg("--bundle").arg(&bundle.directory).arg(&bundle.id).ok();
    assert_eq!(bundle.read_file("log"), before, "a success has nothing to say");
    call().args(["start", "unknown"]).run().refused(&[]);
    let after = bundle.read_file("log");
    assert!(after.starts_with(&before) && after.lines().count() == 2, "{after}");
    // Made if it isn't there, before anything else is looked at: containerd opens it after every failure.
    fs::remove_file(&log).expect("remove the log");
    call().args(["start", "unknown"]).run().refused(&[]);
    assert_eq!(bundle.read_file("log").lines().count(), 1);
}

#[test]
fn the_log_has_the_runtimes_errors_of_create_and_run() {
    let mut bundle = Bundle::new();
    bundle.config.args(["no-such-program"]);
    bundle.write();
    for command in ["create", "run"] {
        let log = bundle.path(command);
        let call = bare(&bundle).arg("--root").arg(&bundle.state).arg("--log").arg(&log);
        let call = call.args(["--log-format", "json", command, "--bundle"]).arg(&bundle.directory).arg(&bundle.id);
        call.run().refused(&["executable file not found in $PATH"]);
        let log = fs::read_to_string(&log).expect("read the log");
        let record: Value = serde_json::from_str(&log).expect("one record");
        let message = record["msg"].as_str().expect("the message is text");
        assert!(message.contains("exec: \"no-such-program\": executable file not found in $PATH"), "{message}");
        assert!(!message.contains('\n') && message.matches("no-such-program").count() == 1, "said once: {message}");
    }
    bundle.assert_nothing_left();
}

#[test]
fn an_unknown_log_format() {
    let bundle = Bundle::new();
    let call = bare(&bundle).arg("--root").arg(&bundle.state).args(["--log-format", "xml", "list"]);
    call.run().refused(&["log-format", "xml"]);
}

#[test]
fn a_log_that_can_not_be_opened() {
    let bundle = Bundle::new();
    let call = bare(&bundle).arg("--root").arg(&bundle.state).args(["--log", "/nonexistent/log", "list"]);
    call.run().refused(&["/nonexistent/log"]);
}

#[test]
fn the_logs_mode() {
    let bundle = Bundle::new();
    logged(&bundle, &[]);
    let mode = fs::metadata(bundle.path("log")).expect("the log is there").permissions().mode() & 0o777;
    assert_eq!(mode, 0o644);
}

#[test]
fn debug_says_more_and_succeeds() {
    let bundle = Bundle::script("true");
    bundle.write();
    let log = bundle.path("log");
    let call = bare(&bundle).args(["--debug", "--log"]).arg(&log).arg("--root").arg(&bundle.state).arg("run");
    call.arg("--bundle").arg(&bundle.directory).arg(&bundle.id).ok();
    let log = fs::read_to_string(log).expect("read the log");
    assert!(log.contains("level=debug"), "{log}");
}

#[test]
fn a_pid_file_is_a_number_and_nothing_else() {
    let bundle = Bundle::staying();
    let container = bundle.create();
    let text = fs::read_to_string(bundle.path("pid")).expect("read the pid file");
    assert_eq!(text, container.process.pid.as_raw_nonzero().to_string(), "engines don't trim it");
    let names: Vec<_> =
        fs::read_dir(&bundle.directory).expect("list").flatten().map(|entry| entry.file_name()).collect();
    assert!(!names.iter().any(|name| name.to_string_lossy().starts_with(".pid")), "{names:?}");
    container.start();
    let process = container.exec_detached(["sleep", "infinity"]);
    let group = fs::read_to_string(format!("/proc/{}/cgroup", process.pid)).expect("the process runs");
    assert!(group.contains(&container.id), "{group}");
    process.kill();
}

#[test]
fn a_pid_file_that_can_not_be_written() {
    let bundle = Bundle::staying();
    let call = bundle.write().call("create").arg("--bundle").arg(&bundle.directory);
    call.args(["--pid-file", "/nonexistent/pid", &bundle.id]).run().refused(&["/nonexistent"]);
    bundle.assert_nothing_left();
}

#[test]
fn output_that_nobody_takes() {
    // A closed pipe, a full device, an output that is not open, one that is open for reading: go-runc gives the last.
    let bundle = Bundle::staying();
    let container = bundle.start();
    for redirection in ["exec >/dev/full", "exec >&-", "exec >&- 2>&-", "exec </dev/null >&0 2>&0"] {
        for command in ["state", "list", "features", "--version", "--help", "spec --help"] {
            let ran = bare(&bundle).arg("--root").arg(&bundle.state).args(command.split(' ')).after(redirection);
            let ran = if command == "state" { ran.arg(&container.id) } else { ran }.run();
            assert!(ran.code <= 1 && ran.signal.is_none(), "{redirection}: {ran}");
        }
        let ran = container.call("start").arg("unknown").after(redirection).run();
        assert_eq!((ran.code, ran.signal), (1, None), "{redirection}: {ran}");
    }
    let (reader, writer) = std::io::pipe().expect("make a pipe");
    drop(reader);
    let ran = container.call("state").arg(&container.id).stdout(writer).run();
    assert!(ran.code <= 1 || ran.signal == Some(libc::SIGPIPE), "{ran}");
    for redirection in ["exec >&- 2>&-", "exec </dev/null >&0 2>&0", "exec <&-"] {
        let file = bundle.path("exec-pid");
        let call = container.call("exec").args(["--detach", "--pid-file"]).arg(&file).args([&container.id, "true"]);
        call.after(redirection).ok();
        let pid = fs::read_to_string(file).expect("read the pid file").parse().expect("a number");
        crate::harness::wait::Process::watch(pid).wait();
    }
}

#[test]
fn spec_writes_a_config_that_runs() {
    let bundle = Bundle::new();
    bare(&bundle).arg("spec").ok();
    let config: Value = serde_json::from_str(&bundle.read_file("config.json")).expect("config.json is JSON");
    assert_eq!(config["root"], json!({"path": "rootfs", "readonly": true}));
    assert_eq!(config["process"]["args"], json!(["sh"]));
    assert_eq!(config["process"]["terminal"], true);
    bare(&bundle).arg("spec").run().refused(&["config.json", "exist"]);

    let mut config = config;
    config["process"]["terminal"] = json!(false);
    fs::write(bundle.path("config.json"), config.to_string()).expect("write config.json");
    let call = bundle.call("run").arg("--bundle").arg(&bundle.directory).arg(&bundle.id);
    let ran = call.input("id -u; hostname; touch /x || echo read-only; exit 3\n").run();
    assert_eq!(ran.code, 3, "{ran}");
    assert!(ran.stdout.starts_with("0\n") && ran.stdout.ends_with("read-only\n"), "{ran}");
}

#[test]
fn spec_takes_a_bundle() {
    let bundle = Bundle::new();
    bare(&bundle).arg("spec").arg("--bundle").arg(&bundle.directory).directory("/").ok();
    assert!(bundle.path("config.json").exists());
    bare(&bundle).arg("spec").args(["--bundle", "/nonexistent"]).run().refused(&["/nonexistent"]);
}

#[test]
fn spec_for_an_ordinary_user() {
    let bundle = Bundle::new();
    let directory = bundle.make_directory("user");
    host(&format!("chown 4711:4712 {}", directory.display()));
    bare(&bundle).args(["spec", "--rootless"]).user(4711, 4712).directory(&directory).ok();
    let config: Value = serde_json::from_str(&bundle.read_file("user/config.json")).expect("config.json is JSON");
    assert_eq!(config["linux"]["uidMappings"], json!([{"containerID": 0, "hostID": 4711, "size": 1}]));
    assert_eq!(config["linux"]["gidMappings"], json!([{"containerID": 0, "hostID": 4712, "size": 1}]));
    let types: Vec<_> = config["linux"]["namespaces"].as_array().expect("namespaces").iter().collect();
    assert!(types.iter().any(|namespace| namespace["type"] == "user"), "{types:?}");
    assert!(!types.iter().any(|namespace| namespace["type"] == "network"), "{types:?}");
}

#[test]
fn features() {
    let bundle = Bundle::new();
    let ran = bare(&bundle).arg("features").ok();
    assert_eq!(ran.stderr, "", "cri-o reads both as one");
    let features = ran.json();
    assert_eq!(features["ociVersionMin"], "1.0.0");
    assert!(features["ociVersionMax"].as_str().is_some_and(|version| version.starts_with("1.")), "{features}");
    let has = |pointer: &str, name: &str| {
        let list = features.pointer(pointer).and_then(Value::as_array);
        assert!(list.is_some_and(|list| list.contains(&json!(name))), "no {name} in {pointer}: {features}");
    };
    for hook in ["prestart", "createRuntime", "createContainer", "startContainer", "poststart", "poststop"] {
        has("/hooks", hook);
    }
    for option in ["rro", "rbind", "nosuid", "private", "rslave", "tmpcopyup", "rnosymfollow", "idmap", "ridmap"] {
        if !(crate::harness::call::foreign() && option.ends_with("idmap")) {
            has("/mountOptions", option);
        }
    }
    for kind in ["cgroup", "ipc", "mount", "network", "pid", "time", "user", "uts"] {
        has("/linux/namespaces", kind);
    }
    for capability in ["CAP_CHOWN", "CAP_SYS_ADMIN", "CAP_CHECKPOINT_RESTORE"] {
        has("/linux/capabilities", capability);
    }
    for (flag, value) in [
        ("/linux/cgroup/v2", true),
        ("/linux/seccomp/enabled", true),
        ("/linux/mountExtensions/idmap/enabled", true),
        ("/linux/netDevices/enabled", true),
    ] {
        assert_eq!(features.pointer(flag), Some(&json!(value)), "{flag} in {features}");
    }
    for action in ["SCMP_ACT_ALLOW", "SCMP_ACT_ERRNO", "SCMP_ACT_KILL_PROCESS", "SCMP_ACT_NOTIFY"] {
        has("/linux/seccomp/actions", action);
    }
}

#[test]
fn features_of_spec_1_3() {
    let bundle = Bundle::new();
    let features = bare(&bundle).arg("features").ok().json();
    assert_eq!(features["ociVersionMax"], "1.3.0");
    assert_eq!(features["linux"]["cgroup"]["v1"], false, "cgroup v1 is not driven");
    assert_eq!(features["linux"]["intelRdt"]["enabled"], true);
    assert!(features["linux"]["memoryPolicy"]["modes"].as_array().is_some_and(|modes| !modes.is_empty()));
    for key in features["potentiallyUnsafeConfigAnnotations"].as_array().expect("an array") {
        assert!(key.is_string());
    }
}

#[test]
fn another_config_file() {
    let mut bundle = Bundle::script("echo usual");
    bundle.write();
    bundle.config.script("echo other");
    let other = bundle.write_file("other/config.json", &bundle.config.0.to_string());
    let call = |command: &str| bundle.call(command).arg("--bundle").arg(&bundle.directory);
    assert_eq!(call("run").arg("--config").arg(&other).arg(&bundle.id).ok().stdout, "other\n");
    assert_eq!(call("run").arg(&bundle.id).ok().stdout, "usual\n");
    call("run").args(["--config", "/nonexistent/config", &bundle.id]).run().refused(&["/nonexistent/config"]);
}

#[test]
fn deletion_by_force_of_all_takes_what_is_half_made() {
    let bundle = Bundle::staying();
    let half = bundle.state.join(bundle.another_id("half"));
    fs::create_dir(&half).expect("make a state directory");
    bundle.call("delete").args(["--regex", "half"]).ok();
    assert!(half.is_dir(), "it may be on its way");
    bundle.call("delete").args(["--force", "--regex", "half"]).ok();
    assert!(!half.exists());
}

#[test]
fn the_configuration_is_read_once() {
    // A pipe can't be read twice, and what is checked is what is run.
    let bundle = Bundle::staying();
    let text = fs::read_to_string(bundle.write().directory.join("config.json")).expect("read config.json");
    let call = |command: &str| {
        let (reader, mut writer) = std::io::pipe().expect("make a pipe");
        writer.write_all(text.as_bytes()).expect("fill the pipe");
        let call = bundle.call(command).args(["--config", "/proc/self/fd/0", "--bundle"]).arg(&bundle.directory);
        call.stdin(reader)
    };
    call("create").arg(&bundle.id).ok();
    bundle.call("delete").args(["--force", &bundle.id]).ok();
    call("run").args(["--detach", &bundle.id]).ok();
    bundle.call("delete").args(["--force", &bundle.id]).ok();
    bundle.assert_nothing_left();
}

#[test]
fn delete_and_kill_by_regular_expression() {
    let bundle = Bundle::staying();
    let first = bundle.create_another("red-1");
    let second = bundle.create_another("red-2");
    let third = bundle.create_another("blue");
    first.start();
    second.start();
    bundle.call("kill").args(["--regex", &format!("^{}-red", bundle.id), "KILL"]).ok();
    first.process.wait();
    second.process.wait();
    assert_eq!(third.status(), "created");
    bundle.call("delete").args(["--regex", &format!("{}-red.*", bundle.id)]).ok();
    assert_eq!(bundle.call("list").arg("-q").ok().stdout, format!("{}\n", third.id));
    bundle.call("delete").args(["--force", "--regex", ".*"]).ok();
    assert_eq!(bundle.call("list").arg("-q").ok().stdout, "");
    third.process.wait();
}

#[test]
fn a_log_named_as_crun_names_it() {
    let bundle = Bundle::new();
    let log = bundle.path("log");
    let spelling = format!("--log=file:{}", log.display());
    let call = || bare(&bundle).arg("--root").arg(&bundle.state).arg(&spelling);
    call().args(["start", "unknown"]).run().refused(&["does not exist"]);
    let text = fs::read_to_string(&log).expect("read the log");
    assert!(text.contains("unknown"), "{text}");
    for level in ["debug", "warning", "error"] {
        call().args(["--log-level", level, "list"]).ok();
    }
    call().args(["--log-level", "loud", "list"]).run().refused(&["loud"]);
}

#[test]
fn a_log_in_the_system_log() {
    let bundle = Bundle::new();
    // The /dev of a test's host is its own.
    let socket = UnixDatagram::bind("/dev/log").expect("listen as a system log");
    let call = bare(&bundle).arg("--root").arg(&bundle.state).arg("--log=syslog:a-tag");
    call.args(["start", "unknown"]).run().refused(&["does not exist"]);
    let message = received(&socket);
    assert!(message.contains("a-tag") && message.contains("does not exist"), "{message}");
    fs::remove_file("/dev/log").expect("remove the socket");
}

#[test]
fn a_log_in_the_journal() {
    let mut bundle = Bundle::new();
    host("mount -t tmpfs run /run; mkdir -p /run/systemd/journal");
    bundle.accept_mounts();
    let socket = UnixDatagram::bind("/run/systemd/journal/socket").expect("listen as the journal");
    let call = bare(&bundle).arg("--root").arg(&bundle.state).arg("--log=journald:a-tag");
    call.args(["start", "unknown"]).run().refused(&["does not exist"]);
    let message = received(&socket);
    for part in ["MESSAGE=", "does not exist", "PRIORITY=3", "a-tag"] {
        assert!(message.contains(part), "no {part} in {message}");
    }
    drop(socket);
    host("umount /run");
}

/// One datagram, as text.
fn received(socket: &UnixDatagram) -> String {
    assert!(readable(socket, Instant::now() + LIMIT), "nothing was logged");
    let mut buffer = [0; 4096];
    let length = socket.recv(&mut buffer).expect("receive a log record");
    String::from_utf8_lossy(&buffer[..length]).into_owned()
}

#[test]
fn cgroup_managers() {
    let bundle = Bundle::staying();
    bundle.write();
    let with = |manager: &str| {
        let call = bare(&bundle).arg("--root").arg(&bundle.state).args(["--cgroup-manager", manager, "create"]);
        call.arg("--pid-file").arg(bundle.pid_file()).arg("--bundle").arg(&bundle.directory).arg(&bundle.id)
    };
    let container = Container::made(&bundle, &bundle.id, with("cgroupfs").ok());
    assert!(container.proc_file("cgroup").contains(&bundle.id));
    container.delete();

    let own = fs::read_to_string("/proc/thread-self/cgroup").expect("read the tests' control group");
    let container = Container::made(&bundle, &bundle.id, with("disabled").ok());
    assert_eq!(container.proc_file("cgroup"), own, "no control group of its own");
    assert_eq!(crate::harness::leftovers::cgroups_of(&bundle.id), Vec::<std::path::PathBuf>::new());
    container.start();
    container.stop();
    container.delete();
    with("no-such-manager").run().refused(&["no-such-manager"]);
    bundle.assert_nothing_left();
}

#[test]
fn the_systemd_driver_without_systemd() {
    if std::path::Path::new("/run/systemd/system").exists() {
        crate::skip!("systemd runs here, and its driver has tests of its own");
    }
    let mut bundle = Bundle::staying();
    bundle.config.set("/linux/cgroupsPath", format!("system.slice:corten:{}", bundle.id));
    bundle.write();
    let call = bare(&bundle).arg("--root").arg(&bundle.state).args(["--systemd-cgroup", "create", "--bundle"]);
    call.arg(&bundle.directory).arg(&bundle.id).run().refused(&["systemd"]);
    bundle.assert_nothing_left();
}

#[test]
fn flags_of_the_other_runtimes_are_taken() {
    let bundle = Bundle::script("echo out");
    let call = bundle.run_call().args(["--no-subreaper", "--no-new-keyring", "--no-pivot", "--preserve-fds", "0"]);
    assert_eq!(call.arg(&bundle.id).ok().stdout, "out\n");
    for rootless in ["true", "false", "auto"] {
        let call = bare(&bundle).args(["--rootless", rootless, "--root"]).arg(&bundle.state).arg("run");
        assert_eq!(call.arg("--bundle").arg(&bundle.directory).arg(&bundle.id).ok().stdout, "out\n");
    }
    let call = bare(&bundle).args(["--rootless", "perhaps", "--root"]).arg(&bundle.state).arg("list");
    call.run().refused(&["rootless"]);
}

#[test]
fn no_pivot_changes_the_root_all_the_same() {
    let bundle = Bundle::script("ls /bin/busybox; ls /tmp/corten-tests 2>/dev/null || echo confined; ls -a / | wc -l");
    let plain = bundle.output();
    let moved = bundle.run_call().args(["--no-pivot", &bundle.id]).ok().stdout;
    assert_eq!(plain, moved);
    assert!(moved.contains("confined"), "{moved}");
}

#[test]
fn a_new_session_keyring_unless_asked_not_to() {
    let mut bundle = Bundle::new();
    bundle.add_probe();
    bundle.config.args(["probe", "keyring"]);
    let name = bundle.output();
    assert_eq!(name, format!("_ses.{}\n", bundle.id));
    let own = bundle.run_call().args(["--no-new-keyring", &bundle.id]).ok().stdout;
    assert_ne!(own, name);
}

#[test]
fn the_runtime_finds_cgroup2_wherever_it_is_mounted() {
    let mut bundle = Bundle::staying();
    let place = bundle.make_directory("cgroups");
    unshare(rustix::thread::UnshareFlags::NEWNS);
    host(&format!(
        "while mountpoint -q /sys/fs/cgroup; do umount --recursive --lazy /sys/fs/cgroup; done
         mount -t cgroup2 cgroup2 {}",
        place.display()
    ));
    bundle.accept_mounts();
    let container = bundle.create();
    let group = container.group();
    assert!(group.ends_with(&container.id), "the container is in the group {group:?}");
    assert!(place.join(group.trim_start_matches('/')).is_dir(), "no group {group} at {}", place.display());
    container.start();
    container.ok("pause");
    assert_eq!(container.status(), "paused");
    container.ok("resume");
    container.stop();
    container.delete();
}
