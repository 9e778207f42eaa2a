//! `kill`.

use crate::harness::Bundle;
use crate::harness::wait::Process;

#[test]
fn takes_names_and_numbers() {
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
fn sends_term_by_default() {
    let bundle = Bundle::script("trap 'exit 9' TERM; mkfifo f; echo ready >&2; read x <f");
    let (container, _) = bundle.start_until("ready");
    container.ok("kill");
    assert_eq!(container.process.wait(), 9);
}

#[test]
fn reaches_a_created_container() {
    let bundle = Bundle::staying();
    let container = bundle.create();
    container.kill("KILL");
    assert_eq!(container.process.wait(), 137);
    assert_eq!(container.status(), "stopped");
}

#[test]
fn of_a_stopped_container() {
    let bundle = Bundle::script("true");
    let container = bundle.start();
    container.process.wait();
    container.call("kill").args([&container.id, "TERM"]).run().refused(&["container not running"]);
    container.call("kill").args(["--all", &container.id, "9"]).ok();
    container.call("kill").args(["-a", &container.id, "KILL"]).ok();
}

#[test]
fn of_a_stopped_container_that_shared_its_pid_namespace() {
    let mut bundle = Bundle::script("true");
    bundle.config.without_namespace("pid");
    let container = bundle.start();
    container.process.wait();
    container.call("kill").args([&container.id, "KILL"]).run().refused(&["container not running"]);
    container.call("kill").args(["--all", &container.id, "KILL"]).ok();
}

#[test]
fn refuses_an_unknown_signal() {
    let bundle = Bundle::staying();
    let container = bundle.start();
    for signal in ["NOSUCH", "0x9", "-1", "65", "SIG"] {
        container.call("kill").args(["--", &container.id, signal]).run().refused(&[]);
    }
    assert!(container.process.alive());
    bundle.call("kill").args(["unknown", "TERM"]).run().refused(&["does not exist"]);
}

#[test]
fn ends_every_process_where_the_pid_namespace_is_shared() {
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
