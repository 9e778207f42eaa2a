//! Commands and flags, how they may be spelled, and how what is wrong with them is told.

use std::fs;
use std::os::unix::fs::MetadataExt;

use serde_json::json;

use super::bare;
use crate::harness::{Bundle, Call, Container, host};

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
