//! `create` and `start`.

use std::fs;

use crate::harness::{Bundle, Call};

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
