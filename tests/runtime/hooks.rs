//! The six kinds of hooks: when they run, what they get, what their failure does.

use std::fs;
use std::path::Path;

use serde_json::{Value, json};

use crate::harness::call::program;
use crate::harness::container::own_namespace;
use crate::harness::host::{copy_program, write_program};
use crate::harness::wait::Process;
use crate::harness::{Bundle, Config, Ran, each};

const KINDS: [&str; 6] = ["prestart", "createRuntime", "createContainer", "startContainer", "poststart", "poststop"];

/// Adds a hook of a kind that runs a shell script. A startContainer hook is looked for in the container, so its script
/// is there as well, and the bundle's directory `shared` is at the same path inside.
fn hook_script(bundle: &mut Bundle, kind: &str, name: &str, script: &str) {
    let path = bundle.path("shared").join(name);
    write_program(&path, &format!("#!/bin/sh\n{script}\n"));
    bundle.config.hook(kind, json!({"path": path.to_str().expect("text")}));
    share(bundle);
}

/// Shows the bundle's directory `shared` to the container at the same path.
fn share(bundle: &mut Bundle) {
    bundle.make_directory("shared");
    let path = bundle.text_path("shared");
    let mounts = bundle.config.0["mounts"].as_array().expect("mounts are an array");
    if !mounts.iter().any(|mount| mount["destination"] == path.as_str()) {
        bundle.bind("shared", &path, &["rbind"]);
    }
}

/// A bundle whose hooks and program each write their name to a log.
fn logging_bundle() -> Bundle {
    let mut bundle = Bundle::new();
    let log = bundle.text_path("shared/log");
    for kind in KINDS {
        for number in 1..=2 {
            let name = format!("{kind}-{number}");
            hook_script(&mut bundle, kind, &name, &format!("echo {name} >>{log}"));
        }
    }
    bundle.config.script(&format!("echo program >>{log}; sleep infinity"));
    bundle
}

fn log(bundle: &Bundle) -> Vec<String> {
    fs::read_to_string(bundle.path("shared/log")).unwrap_or_default().lines().map(str::to_owned).collect()
}

#[test]
fn order() {
    let bundle = logging_bundle();
    let container = bundle.create();
    assert_eq!(
        log(&bundle),
        ["prestart-1", "prestart-2", "createRuntime-1", "createRuntime-2", "createContainer-1", "createContainer-2"]
    );
    container.start();
    let started = log(&bundle);
    assert_eq!(started[6..8], ["startContainer-1", "startContainer-2"]);
    // The program and the poststart hooks run side by side.
    let rest: Vec<&str> = started[8..].iter().map(String::as_str).filter(|line| *line != "program").collect();
    assert_eq!(rest, ["poststart-1", "poststart-2"]);
    container.stop();
    assert!(log(&bundle).iter().all(|line| !line.starts_with("poststop")), "{:?}", log(&bundle));
    container.delete();
    let all = log(&bundle);
    assert_eq!(all[all.len() - 2..], ["poststop-1", "poststop-2"]);
    let hooks = all.iter().filter(|line| *line != "program").count();
    assert_eq!(hooks, 12, "each once: {all:?}");
}

#[test]
fn order_of_run() {
    let mut bundle = logging_bundle();
    let log_path = bundle.text_path("shared/log");
    bundle.config.script(&format!("echo program >>{log_path}"));
    assert_eq!(bundle.run().code, 0);
    let all = log(&bundle);
    let place = |name: &str| all.iter().position(|line| line == name).unwrap_or_else(|| panic!("no {name}: {all:?}"));
    assert!(place("startContainer-2") < place("program") && place("program") < place("poststop-1"), "{all:?}");
    assert!(place("startContainer-2") < place("poststart-1") && place("poststart-2") < place("poststop-1"), "{all:?}");
    assert_eq!(all.len(), 13, "{all:?}");
}

#[test]
fn poststart_hooks_run_after_the_program_has_begun() {
    // runtime-spec 1.3, and not what runc up to 1.5 does: the hook sees the program, not the waiting init.
    let mut bundle = Bundle::new();
    let seen = bundle.text_path("shared/seen");
    let find_pid = r#"sed -n 's/.*"pid": *\([0-9]*\).*/\1/p'"#;
    hook_script(&mut bundle, "poststart", "hook", &format!("cat /proc/$({find_pid})/cmdline | tr '\\0' ' ' >{seen}"));
    bundle.config.stay();
    let container = bundle.create();
    assert!(!Path::new(&seen).exists(), "it runs in start, not in create");
    container.start();
    assert_eq!(fs::read_to_string(&seen).expect("the hook has run"), "sleep infinity ");
}

/// Runs a bundle whose hooks write down what they read; returns the states by kind.
fn states(annotations: Value) -> (Bundle, Vec<(String, Value)>) {
    let mut bundle = Bundle::staying();
    bundle.config.set("/annotations", annotations);
    let directory = bundle.text_path("shared");
    for kind in KINDS {
        hook_script(&mut bundle, kind, kind, &format!("cat >{directory}/{kind}.json"));
    }
    let container = bundle.create();
    container.start();
    container.stop();
    container.delete();
    let read = |kind: &str| {
        let text = bundle.read_file(&format!("shared/{kind}.json"));
        (kind.to_owned(), serde_json::from_str(&text).unwrap_or_else(|error| panic!("{kind}: {error}: {text}")))
    };
    let states = KINDS.iter().map(|kind| read(kind)).collect();
    (bundle, states)
}

#[test]
fn the_state_on_standard_input() {
    let (bundle, states) = states(json!({"com.example.key": "value"}));
    for (kind, state) in &states {
        let status = match kind.as_str() {
            "startContainer" => "created",
            "poststart" => "running",
            "poststop" => "stopped",
            _ => "creating",
        };
        assert_eq!(state["status"], status, "{kind}: {state}");
        assert_eq!(state["id"], bundle.id, "{kind}: {state}");
        assert_eq!(state["bundle"], bundle.directory.to_str().expect("text"), "{kind}: {state}");
        assert_eq!(state["annotations"], json!({"com.example.key": "value"}), "{kind}: {state}");
        assert!(state["ociVersion"].as_str().is_some_and(|version| version.starts_with("1.")), "{kind}: {state}");
    }
}

#[test]
fn the_pid_in_the_state_is_the_hosts() {
    let mut bundle = Bundle::staying();
    let directory = bundle.text_path("shared");
    for kind in ["prestart", "createRuntime", "poststart"] {
        // While the hook runs, the process must be there, in the container's namespaces.
        let script = format!(
            r#"pid=$(sed -n 's/.*"pid": *\([0-9]*\).*/\1/p'); echo $pid >{directory}/{kind}; readlink /proc/$pid/ns/net >>{directory}/{kind}"#
        );
        hook_script(&mut bundle, kind, &format!("{kind}.sh"), &script);
    }
    let container = bundle.create();
    let expected = format!("{}\n{}\n", container.process.pid, container.namespace("net"));
    container.start();
    for kind in ["prestart", "createRuntime", "poststart"] {
        assert_eq!(bundle.read_file(&format!("shared/{kind}")), expected, "{kind}");
    }
}

#[test]
fn the_namespaces_that_hooks_run_in() {
    let mut bundle = Bundle::staying();
    let directory = bundle.text_path("shared");
    for kind in KINDS {
        // createContainer runs before the root is changed, so the host's readlink and path are there.
        let script = format!("for ns in mnt net uts; do readlink /proc/self/ns/$ns; done >{directory}/{kind}.ns");
        hook_script(&mut bundle, kind, kind, &script);
    }
    let container = bundle.create();
    let namespaces = ["mnt", "net", "uts"];
    let inside: String = namespaces.iter().map(|name| container.namespace(name) + "\n").collect();
    let outside: String = namespaces.iter().map(|name| own_namespace(name) + "\n").collect();
    container.start();
    container.stop();
    container.delete();
    for kind in KINDS {
        let expected = if ["createContainer", "startContainer"].contains(&kind) { &inside } else { &outside };
        assert_eq!(bundle.read_file(&format!("shared/{kind}.ns")), *expected, "{kind}");
    }
}

#[test]
fn create_container_hooks_run_before_the_root_is_changed() {
    // CDI hooks prepare the root file system: its mounts are made, the host's files are still to be seen.
    let mut bundle = Bundle::script("cat /prepared/file /from-hook");
    bundle.config.mount("/prepared", "tmpfs", "tmpfs", &[]);
    let rootfs = bundle.rootfs.display().to_string();
    let script = format!(
        "grep -q ' {rootfs}/prepared ' /proc/self/mountinfo; pwd >{rootfs}/from-hook; echo made >{rootfs}/prepared/file"
    );
    hook_script(&mut bundle, "createContainer", "hook", &format!("set -e\n{script}"));
    assert_eq!(bundle.output(), format!("made\n{rootfs}\n"), "its working directory is the root to be");
}

#[test]
fn start_container_hooks_are_looked_for_inside() {
    let mut bundle = Bundle::new();
    write_program(&bundle.rootfs.join("opt/hook"), "#!/bin/sh\nls / >/hooked; id -u >>/hooked\n");
    bundle
        .config
        .hook("startContainer", json!({"path": "/opt/hook"}))
        .set("/process/user", json!({"uid": 0, "gid": 0}));
    let shown = bundle.shell("cat /hooked");
    assert!(shown.contains("home\n") && shown.ends_with("\n0\n"), "{shown}");
}

/// Whether a variable is one that a shell adds to its environment.
fn of_the_shell(variable: &str) -> bool {
    ["PWD=", "OLDPWD=", "SHLVL=", "_="].iter().any(|name| variable.starts_with(name))
}

#[test]
fn arguments_and_environment() {
    let mut bundle = Bundle::staying();
    let directory = bundle.text_path("shared");
    for kind in KINDS {
        let name = format!("{kind}.sh");
        share(&mut bundle);
        let script =
            format!("tr '\\0' '\\n' </proc/self/cmdline >{directory}/{name}.args; env >{directory}/{name}.env");
        bundle.config.hook(
            kind,
            json!({"path": "/bin/sh", "args": ["sh", "-c", script, "", "a b"], "env": ["PATH=/bin:/usr/bin", "KEY=some value", "EMPTY="]}),
        );
    }
    let container = bundle.create();
    container.start();
    container.stop();
    container.delete();
    for kind in KINDS {
        let args = bundle.read_file(&format!("shared/{kind}.sh.args"));
        assert!(args.starts_with("sh\n-c\n") && args.ends_with("\n\na b\n"), "{kind}: {args}");
        let env = bundle.read_file(&format!("shared/{kind}.sh.env"));
        let mut env: Vec<&str> = env.lines().filter(|line| !of_the_shell(line)).collect();
        env.sort_unstable();
        assert_eq!(env, ["EMPTY=", "KEY=some value", "PATH=/bin:/usr/bin"], "{kind}");
    }
}

#[test]
fn no_environment_unless_given() {
    let mut bundle = Bundle::staying();
    let directory = bundle.text_path("shared");
    for kind in KINDS.iter().filter(|kind| **kind != "startContainer") {
        hook_script(&mut bundle, kind, kind, &format!("tr '\\0' '\\n' </proc/self/environ >{directory}/{kind}.env"));
    }
    let container = bundle.create_with(|call| call.env("OF_THE_RUNTIME", "secret"));
    container.start();
    container.stop();
    container.delete();
    for kind in KINDS.iter().filter(|kind| **kind != "startContainer") {
        assert_eq!(bundle.read_file(&format!("shared/{kind}.env")), "", "{kind}");
    }
}

#[test]
fn hooks_have_no_other_descriptors() {
    let mut bundle = Bundle::staying();
    let directory = bundle.text_path("shared");
    bundle.make_directory("shared");
    copy_program(crate::harness::probe::program(), &bundle.path("shared/probe"));
    for kind in KINDS {
        // The shell keeps none above 9 open for itself when it runs its last command.
        hook_script(
            &mut bundle,
            kind,
            &format!("{kind}.sh"),
            &format!("exec {directory}/probe descriptors >{directory}/{kind}.fds"),
        );
    }
    let container = bundle.create();
    container.start();
    container.stop();
    container.delete();
    for kind in KINDS {
        let text = bundle.read_file(&format!("shared/{kind}.fds"));
        let numbers: Vec<&str> = text.lines().map(|line| line.split(' ').next().expect("a number")).collect();
        assert!(numbers.iter().all(|number| ["0", "1", "2"].contains(number)), "{kind}: {text}");
    }
}

/// A bundle with a failing hook of one kind between two that succeed, and what it leaves in the log.
fn failing_bundle(kind: &str) -> Bundle {
    let mut bundle = Bundle::staying();
    let log = bundle.text_path("shared/log");
    hook_script(&mut bundle, kind, "first", &format!("echo first >>{log}"));
    hook_script(
        &mut bundle,
        kind,
        "failing",
        &format!("echo failing >>{log}; echo out of the hook; echo err of the hook >&2; exit 3"),
    );
    hook_script(&mut bundle, kind, "last", &format!("echo last >>{log}"));
    if kind != "poststop" {
        hook_script(&mut bundle, "poststop", "after", &format!("echo poststop >>{log}"));
    }
    bundle
}

fn assert_hook_named(ran: Ran, kind: &str) {
    ran.refused(&[kind, "#1", "exit status 3", "err of the hook"]);
}

#[test]
fn a_failing_hook_of_create() {
    for kind in ["prestart", "createRuntime", "createContainer"] {
        let bundle = failing_bundle(kind);
        let ran = bundle.create_call().arg(&bundle.id).run();
        assert_hook_named(ran, kind);
        assert_eq!(log(&bundle), ["first", "failing", "poststop"], "{kind}");
        bundle.assert_nothing_left();
    }
}

#[test]
fn a_failing_hook_of_start() {
    for kind in ["startContainer", "poststart"] {
        let bundle = failing_bundle(kind);
        let container = bundle.create();
        let ran = container.run("start");
        assert_hook_named(ran, kind);
        container.process.wait();
        assert_eq!(log(&bundle)[..2], ["first", "failing"], "{kind}");
        assert!(!log(&bundle).contains(&"last".to_owned()), "{kind}");
        // The specification wants the container destroyed; a stopped one that waits for delete is as good.
        container.call("delete").args(["--force", &container.id]).ok();
        assert_eq!(log(&bundle), ["first", "failing", "poststop"], "{kind}");
        bundle.assert_nothing_left();
    }
}

#[test]
fn a_failing_hook_of_run() {
    for kind in ["prestart", "createRuntime", "createContainer", "startContainer", "poststart"] {
        let bundle = failing_bundle(kind);
        assert_hook_named(bundle.run(), kind);
        assert_eq!(log(&bundle), ["first", "failing", "poststop"], "{kind}");
        bundle.assert_nothing_left();
    }
}

#[test]
fn a_failing_poststop_hook_is_a_warning() {
    let bundle = failing_bundle("poststop");
    let container = bundle.create();
    container.start();
    container.stop();
    let ran = container.call("delete").arg(&container.id).ok();
    assert_eq!(log(&bundle), ["first", "failing", "last"]);
    assert!(ran.stderr.contains("poststop"), "{ran}");
    bundle.assert_nothing_left();
}

#[test]
fn a_timeout() {
    for kind in ["prestart", "createRuntime", "createContainer", "startContainer", "poststart"] {
        let mut bundle = Bundle::staying();
        hook_script(&mut bundle, kind, "hook", "exec sleep 100");
        bundle.config.set(&format!("/hooks/{kind}/0/timeout"), 1);
        bundle.run().refused(&[kind, "#0", "timeout"]);
        bundle.assert_nothing_left();
    }
}

#[test]
fn a_hook_in_time() {
    let mut bundle = Bundle::script("echo fine");
    hook_script(&mut bundle, "createRuntime", "hook", "true");
    bundle.config.set("/hooks/createRuntime/0/timeout", 30);
    assert_eq!(bundle.output(), "fine\n");
}

#[test]
fn a_hook_that_does_not_read() {
    // The state on the pipe must not kill the runtime by SIGPIPE, nor block it.
    let mut bundle = Bundle::script("echo fine");
    bundle.config.set("/annotations/large", "x".repeat(200_000));
    hook_script(&mut bundle, "createRuntime", "hook", "exec <&-");
    assert_eq!(bundle.output(), "fine\n");
}

#[test]
fn a_hook_that_leaves_a_process_behind() {
    let mut bundle = Bundle::script("echo fine");
    let pid_file = bundle.text_path("shared/pid");
    hook_script(
        &mut bundle,
        "createRuntime",
        "hook",
        &format!("sleep 100 </dev/null >/dev/null 2>&1 & echo $! >{pid_file}"),
    );
    assert_eq!(bundle.output(), "fine\n", "its process does not hold up the runtime");
    Process::watch(bundle.read_file("shared/pid").trim().parse().expect("a pid")).kill();
}

#[test]
fn hooks_that_make_no_sense() {
    let mut bundle = Bundle::staying();
    each(
        [
            (json!({"path": "relative/hook"}), &["hooks.createRuntime[0].path", "absolute"][..]),
            (json!({"path": ""}), &["hooks.createRuntime[0].path"]),
            (json!({}), &["hooks.createRuntime[0]", "path"]),
            (json!({"path": "/no/such/hook"}), &["createRuntime", "/no/such/hook", "no such file or directory"]),
            (json!({"path": "/bin/true", "timeout": 0}), &["hooks.createRuntime[0].timeout"]),
            (json!({"path": "/bin/true", "timeout": -1}), &["hooks.createRuntime[0].timeout"]),
            (json!({"path": "/etc/passwd"}), &["createRuntime", "/etc/passwd", "permission denied"]),
        ],
        |(hook, needles)| {
            bundle.config = Config::usual();
            bundle.config.stay().hook("createRuntime", hook);
            bundle.refused(needles);
        },
    );
}

#[test]
fn output_of_hooks_goes_where_an_annotation_says() {
    let mut bundle = Bundle::script("echo fine");
    let (out, err) = (bundle.text_path("hooks.out"), bundle.text_path("hooks.err"));
    bundle.config.set("/annotations/run.oci.hooks.stdout", out).set("/annotations/run.oci.hooks.stderr", err);
    hook_script(&mut bundle, "createRuntime", "first", "echo out 1; echo err 1 >&2");
    hook_script(&mut bundle, "poststop", "second", "echo out 2; echo err 2 >&2");
    assert_eq!(bundle.output(), "fine\n");
    assert_eq!(bundle.read_file("hooks.out"), "out 1\nout 2\n");
    assert_eq!(bundle.read_file("hooks.err"), "err 1\nerr 2\n");
}

#[test]
fn output_of_hooks_is_not_the_containers() {
    let mut bundle = Bundle::script("echo fine");
    for kind in KINDS {
        hook_script(&mut bundle, kind, kind, "echo out of a hook");
    }
    assert_eq!(bundle.output(), "fine\n");
}

#[test]
fn a_hook_sees_the_container_by_the_runtime() {
    // What a network plug-in may do: ask the runtime about the container that is being made.
    let mut bundle = Bundle::staying();
    let state = bundle.text_path("shared/state");
    let runtime = crate::harness::call::program().display().to_string();
    let script = format!("{runtime} --root {} state {} >{state} 2>&1 || true", bundle.state.display(), bundle.id);
    hook_script(&mut bundle, "poststart", "hook", &script);
    let container = bundle.create();
    container.start();
    let text = bundle.read_file("shared/state");
    assert!(text.contains("\"running\""), "{text}");
}

#[test]
fn a_failing_poststop_hook_keeps_no_other_from_running_after_a_failed_create() {
    let mut bundle = Bundle::new();
    let log = bundle.text_path("log");
    let script = |text: &str| json!({"path": "/bin/sh", "args": ["sh", "-c", text]});
    bundle.config.hook("poststop", script("exit 3")).hook("poststop", script(&format!("echo second >>{log}")));
    bundle.config.args(["no-such-program"]);
    bundle.refused(&["executable file not found in $PATH"]);
    assert_eq!(bundle.read_file("log"), "second\n");
}

#[test]
fn a_poststart_hook_may_call_the_runtime() {
    let mut bundle = Bundle::staying();
    // A command that changes the container, or would, and so waits for whoever changes it at the moment.
    let call = format!("{} --root {} start {}", program().display(), bundle.state.display(), bundle.id);
    let said = bundle.text_path("said");
    let script = format!("{call} 2>{said} || exit 0");
    bundle.config.hook("poststart", json!({"path": "/bin/sh", "args": ["sh", "-c", script]}));
    bundle.detach_call().arg(&bundle.id).ok();
    assert!(bundle.read_file("said").contains("cannot start an already running container"));
    bundle.call("delete").args(["--force", &bundle.id]).ok();
    bundle.create().start();
    assert!(bundle.read_file("said").contains("cannot start an already running container"));
}

#[test]
fn no_signal_is_blocked_for_a_hook() {
    // Of `run` in the foreground, which blocks all for itself.
    let mut bundle = Bundle::new();
    let output = bundle.text_path("output");
    for kind in KINDS {
        // No shell: some unblock everything when they begin.
        bundle.config.hook(kind, json!({"path": "/bin/grep", "args": ["grep", "SigBlk", "/proc/self/status"]}));
    }
    bundle.config.set("/annotations", json!({"run.oci.hooks.stdout": output})).args(["true"]);
    bundle.run_call().arg(&bundle.id).ok();
    let blocked = bundle.read_file("output");
    assert_eq!(blocked, "SigBlk:\t0000000000000000\n".repeat(KINDS.len()));
}

#[test]
fn hooks_of_create_begin_in_the_bundle() {
    let mut bundle = Bundle::staying();
    let output = bundle.text_path("output");
    for kind in ["prestart", "createRuntime"] {
        bundle.config.hook(kind, json!({"path": "/bin/pwd", "args": ["pwd", "-P"]}));
    }
    bundle.config.set("/annotations", json!({"run.oci.hooks.stdout": output}));
    let container = bundle.create_with(|call| call.directory("/"));
    container.delete();
    assert_eq!(bundle.read_file("output"), format!("{}\n", bundle.directory.display()).repeat(2));
}
