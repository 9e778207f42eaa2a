//! A runtime that is killed at any moment: `delete --force` removes whatever is left, and the id can be used again.

use serde_json::json;

use crate::harness::host::write_program;
use crate::harness::{Bundle, Call, Container, host_fails};

/// After a crash: one call must clear everything away.
#[track_caller]
fn assert_clearable(bundle: &Bundle, when: &str) {
    let ran = bundle.call("delete").args(["--force", &bundle.id]).run();
    assert_eq!(ran.code, 0, "{when}: {ran}");
    bundle.wait_for_processes();
    let left = bundle.leftovers();
    assert!(left.is_empty(), "{when}: the runtime left {left}");
}

/// Kills init at each of its steps, which a runtime with this in it counts from nought, until a call goes through.
#[track_caller]
fn crash_at_each_step(bundle: &Bundle, variable: &str) {
    if crate::harness::call::foreign() {
        crate::skip!("only corten can be asked to crash at a step");
    }
    let mut step = 0;
    loop {
        let ran = bundle.create_call().arg(&bundle.id).env(variable, step.to_string()).run();
        let when = format!("{variable}={step}");
        if ran.code == 0 {
            let container = Container::made(bundle, &bundle.id, ran);
            assert_clearable(bundle, &when);
            container.process.wait();
            break;
        }
        // The runtime sees that init has died, says so, and clears away by itself.
        assert_eq!((ran.code, ran.signal), (1, None), "{when}: {ran}");
        assert_ne!(ran.stderr, "", "{when}");
        bundle.wait_for_processes();
        let left = bundle.leftovers();
        assert!(left.is_empty(), "{when}: the runtime left {left}");
        assert_clearable(bundle, &when);
        step += 1;
    }
    let least = if variable == "CORTEN_CRASH_AT" { 10 } else { 1 };
    assert!(step > least, "only {step} crashes were seen");
}

/// A bundle that needs many kinds of steps.
fn rich_bundle() -> Bundle {
    let mut bundle = Bundle::staying();
    bundle.write_file("source/file", "");
    bundle.bind("source", "/data", &["rbind", "rro", "rslave"]);
    bundle.config.mount("/seed", "tmpfs", "tmpfs", &["tmpcopyup"]);
    bundle.config.set("/linux/sysctl", json!({"net.ipv4.ip_forward": "1"}));
    bundle.config.set("/linux/devices", json!([{"path": "/dev/x", "type": "c", "major": 1, "minor": 3}]));
    for kind in ["prestart", "createRuntime", "createContainer", "poststop"] {
        bundle.config.hook(kind, json!({"path": "/bin/true"}));
    }
    bundle
}

#[test]
fn of_init_at_each_step() {
    crash_at_each_step(&rich_bundle(), "CORTEN_CRASH_AT");
}

#[test]
fn of_init_at_each_step_in_a_user_namespace() {
    let mut bundle = rich_bundle();
    crate::harness::host(&format!("chown -R --no-dereference 100000:100000 {}", bundle.rootfs.display()));
    bundle.config.user_namespace(100_000).set("/linux/devices", json!([]));
    crash_at_each_step(&bundle, "CORTEN_CRASH_AT");
}

#[test]
fn of_the_process_between() {
    let mut bundle = rich_bundle();
    let first = Bundle::staying();
    let container = first.start();
    bundle.config.join_namespace("pid", container.namespace_path("pid")).namespace("time");
    crash_at_each_step(&bundle, "CORTEN_CRASH_BETWEEN_AT");
}

/// Whether system calls can be counted here.
fn strace_is_missing() -> bool {
    host_fails("strace -o /dev/null true")
}

/// The call, killed when it enters its system call of this number.
fn killed_at(call: Call, number: usize) -> Call {
    let inject = format!("inject=all:signal=SIGKILL:when={number}");
    call.through(["strace", "-o", "/dev/null", "-e", "trace=all", "-e", &inject])
}

/// Kills the runtime itself at each of its system calls, until one call goes through: `prepare` makes what the call
/// needs, `call` is killed, and `delete --force` must clear away.
#[track_caller]
fn crash_at_each_call(bundle: &Bundle, first: usize, step: usize, prepare: impl Fn(), call: impl Fn() -> Call) {
    for number in (first..).step_by(step) {
        prepare();
        let ran = killed_at(call(), number).run();
        assert_clearable(bundle, &format!("killed at system call {number}"));
        if ran.signal.is_none() {
            assert_eq!(ran.code, 0, "{ran}");
            assert!(number > 10, "nothing was killed: {ran}");
            return;
        }
    }
}

#[test]
fn of_create_at_each_odd_system_call() {
    if strace_is_missing() {
        crate::skip!("strace is missing: apt-get install strace");
    }
    let bundle = rich_bundle();
    crash_at_each_call(&bundle, 1, 2, || {}, || bundle.create_call().arg(&bundle.id));
}

#[test]
fn of_create_at_each_even_system_call() {
    if strace_is_missing() {
        crate::skip!("strace is missing: apt-get install strace");
    }
    let bundle = rich_bundle();
    crash_at_each_call(&bundle, 2, 2, || {}, || bundle.create_call().arg(&bundle.id));
}

#[test]
fn of_start() {
    if strace_is_missing() {
        crate::skip!("strace is missing: apt-get install strace");
    }
    let bundle = rich_bundle();
    let create = || drop(bundle.create_call().arg(&bundle.id).ok());
    crash_at_each_call(&bundle, 1, 3, create, || bundle.call("start").arg(&bundle.id));
}

#[test]
fn of_delete() {
    if strace_is_missing() {
        crate::skip!("strace is missing: apt-get install strace");
    }
    let bundle = rich_bundle();
    let start = || drop(bundle.detach_call().arg(&bundle.id).ok());
    crash_at_each_call(&bundle, 1, 3, start, || bundle.call("delete").args(["--force", &bundle.id]));
}

#[test]
fn by_a_hook_that_kills_the_runtime() {
    for kind in ["prestart", "createRuntime", "poststart"] {
        let mut bundle = Bundle::staying();
        let program = bundle.path("killer");
        write_program(&program, "#!/bin/sh\nkill -KILL $PPID\n");
        bundle.config.hook(kind, json!({"path": program}));
        let ran = bundle.run_call().args(["--detach", &bundle.id]).run();
        assert_eq!(ran.signal, Some(libc::SIGKILL), "{kind}: {ran}");
        assert_clearable(&bundle, kind);
        // The id is free again.
        bundle.config.remove("/hooks");
        bundle.create_call().arg(&bundle.id).ok();
        assert_clearable(&bundle, kind);
    }
}

#[test]
fn by_a_hook_that_kills_init() {
    let mut bundle = Bundle::staying();
    let program = bundle.path("killer");
    write_program(&program, "#!/bin/sh\nkill -KILL $(sed -n 's/.*\"pid\": *\\([0-9]*\\).*/\\1/p')\n");
    bundle.config.hook("createRuntime", json!({"path": program}));
    let ran = bundle.create_call().arg(&bundle.id).run().refused(&[]);
    assert_ne!(ran.stderr, "", "it says that the container has died");
    bundle.wait_for_processes();
    bundle.assert_nothing_left();
}

#[test]
fn of_a_foreground_run() {
    let bundle = Bundle::script("echo ready; sleep infinity");
    let (reader, writer) = std::io::pipe().expect("make a pipe");
    let running = bundle.run_call().arg(&bundle.id).stdout(writer).spawn();
    crate::harness::wait::read_until(&reader, "ready\n");
    running.signal(rustix::process::Signal::KILL);
    assert_eq!(running.wait().signal, Some(libc::SIGKILL));
    assert_clearable(&bundle, "a foreground run");
}
