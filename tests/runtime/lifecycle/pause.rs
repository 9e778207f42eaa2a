//! `pause` and `resume`.

use std::fs;
use std::io::Write;

use crate::harness::wait::read_until;
use crate::harness::{Bundle, Container};

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
