//! `run`.

use std::fs;

use crate::harness::Bundle;

#[test]
fn passes_the_exit_code() {
    assert_eq!(Bundle::script("exit 0").run().code, 0);
    assert_eq!(Bundle::script("exit 42").run().code, 42);
    assert_eq!(Bundle::script("exit 255").run().code, 255);
}

#[test]
fn passes_death_by_signal_as_128_and_more() {
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
fn deletes_the_container() {
    let bundle = Bundle::script("true");
    bundle.output();
    bundle.assert_nothing_left();
    assert_eq!(bundle.call("list").arg("--quiet").ok().stdout, "");
}

#[test]
fn deletes_a_container_whose_program_is_missing() {
    let mut bundle = Bundle::new();
    bundle.config.args(["no-such-program"]);
    bundle.run().refused(&["no-such-program", "executable file not found in $PATH"]);
    bundle.assert_nothing_left();
}

#[test]
fn keeps_the_container_if_asked() {
    let bundle = Bundle::script("exit 5");
    let ran = bundle.run_call().args(["--keep", &bundle.id]).run();
    assert_eq!(ran.code, 5, "{ran}");
    let state = bundle.call("state").arg(&bundle.id).ok().json();
    assert_eq!(state["status"], "stopped");
    bundle.call("delete").arg(&bundle.id).ok();
    bundle.assert_nothing_left();
}

#[test]
fn detached_returns_while_the_program_runs() {
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
