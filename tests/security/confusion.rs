//! Hooks, sockets and fifos are the host's: nothing that an image has under the same path, and nobody who is not the
//! runtime's caller, takes their place.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::os::unix::net::UnixListener;

use serde_json::json;

use crate::attacker;
use crate::harness::host::write_program;
use crate::harness::{Bundle, Call, host};

const OUTSIDE: [&str; 5] = ["prestart", "createRuntime", "createContainer", "poststart", "poststop"];

/// A hook of the host, and a program of the image at the same path. Each says where it is.
fn bundle_with_two_hooks() -> Bundle {
    let bundle = Bundle::new();
    let path = bundle.text_path("hook");
    let says = |who: &str| format!("#!/bin/sh\ncat >/dev/null\necho {who} $1 >>{}\n", bundle.text_path("log"));
    write_program(&bundle.path("hook"), &says("host"));
    write_program(&bundle.rootfs.join(path.trim_start_matches('/')), &says("image"));
    bundle
}

#[test]
fn a_hook_and_a_program_of_the_image() {
    let mut bundle = bundle_with_two_hooks();
    let path = bundle.text_path("hook");
    for kind in OUTSIDE.into_iter().chain(["startContainer"]) {
        bundle.config.hook(kind, json!({"path": path, "args": ["hook", kind]}));
    }
    let container = bundle.start();
    container.process.wait();
    container.delete();
    let expected: String = OUTSIDE.map(|kind| format!("host {kind}\n")).concat();
    assert_eq!(bundle.read_file("log"), expected);
    let inside = format!("rootfs{}", bundle.text_path("log"));
    assert_eq!(bundle.read_file(&inside), "image startContainer\n");
}

#[test]
fn a_hook_that_the_image_alone_has() {
    for kind in ["prestart", "createRuntime", "createContainer"] {
        let mut bundle = bundle_with_two_hooks();
        fs::remove_file(bundle.path("hook")).expect("remove the host's hook");
        bundle.config.hook(kind, json!({"path": bundle.text_path("hook"), "args": ["hook", kind]}));
        bundle.refused(&["no such file or directory"]);
        assert!(!bundle.path(&format!("rootfs{}", bundle.text_path("log"))).exists(), "{kind} ran in the image");
    }
}

#[test]
fn an_agent_in_the_image() {
    // The image's socket has the agent's path; whoever listens there would hold every call that asks.
    let mut bundle = Bundle::new();
    let path = bundle.text_path("agent.sock");
    let inside = bundle.path(&format!("rootfs{path}"));
    fs::create_dir_all(inside.parent().expect("a socket is in a directory")).expect("make the socket's directory");
    let evil = UnixListener::bind(&inside).expect("make a socket in the image");
    evil.set_nonblocking(true).expect("do not wait at the image's socket");
    let profile = json!({"defaultAction": "SCMP_ACT_ALLOW", "listenerPath": path,
        "syscalls": [{"names": ["acct"], "action": "SCMP_ACT_NOTIFY"}]});
    bundle.config.set("/linux/seccomp", profile);
    for no_new_privileges in [true, false] {
        bundle.config.set("/process/noNewPrivileges", no_new_privileges);
        bundle.refused(&["agent.sock", "no such file or directory"]);
    }
    let agent = UnixListener::bind(bundle.path("agent.sock")).expect("make the host's socket");
    agent.set_nonblocking(true).expect("do not wait at the host's socket");
    bundle.config.stay();
    let container = bundle.start();
    container.exec(["true"]);
    assert!(agent.accept().is_ok() && agent.accept().is_ok(), "the agent was not told");
    assert!(evil.accept().is_err(), "the image's agent was told");
}

#[test]
fn a_console_socket_in_the_image() {
    let mut bundle = Bundle::new();
    let path = bundle.text_path("console.sock");
    let inside = bundle.path(&format!("rootfs{path}"));
    fs::create_dir_all(inside.parent().expect("a socket is in a directory")).expect("make the socket's directory");
    let evil = UnixListener::bind(&inside).expect("make a socket in the image");
    evil.set_nonblocking(true).expect("do not wait at the image's socket");
    bundle.config.set("/process/terminal", true);
    let refused = |call: Call, code: i32| drop(call.run().failed(code, &["console.sock", "no such file"]));
    refused(bundle.create_call().arg("--console-socket").arg(&path).arg(&bundle.id), 1);
    bundle.config.set("/process/terminal", false).stay();
    let container = bundle.start();
    let exec = container.call("exec").args(["--tty", "--detach", "--console-socket", &path, &container.id, "true"]);
    refused(exec, 255);
    assert!(evil.accept().is_err(), "the image's socket was told");
}

#[test]
fn a_container_that_waits_is_started_by_nobody_else() {
    let bundle = Bundle::staying();
    let container = bundle.create();
    let directory = bundle.state.join(&container.id);
    for name in ["start", "started"] {
        let mode = fs::metadata(directory.join(name)).expect("look at a fifo").permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{name}");
    }
    let look = |path: &std::path::Path| {
        let call = Call::of("cat", &bundle.directory).arg(path).user(1000, 1000).run();
        assert!(call.code != 0 && call.stdout.is_empty(), "{call}");
    };
    look(&directory.join("config.json"));
    look(&directory.join("state.json"));
    assert_eq!(container.status(), "created");
}

#[test]
fn a_state_directory_that_leads_elsewhere() {
    // Who may write to the directory that holds the states is the runtime's equal; a link is not followed all the same.
    let bundle = Bundle::staying();
    let outside = bundle.make_directory("outside");
    symlink(&outside, bundle.state.join(&bundle.id)).expect("link");
    bundle.create_call().arg(&bundle.id).run().refused(&["already exists"]);
    for command in ["delete --force", "kill --all", "start"] {
        let words = command.split(' ');
        bundle.call(words.clone().next().expect("a command")).args(words.skip(1)).arg(&bundle.id).run();
        assert!(outside.is_dir() && fs::read_dir(&outside).expect("list").next().is_none(), "{command}");
    }
    let _ = fs::remove_file(bundle.state.join(&bundle.id));
}

#[test]
fn an_id_that_leads_elsewhere() {
    let bundle = Bundle::staying();
    let outside = bundle.make_directory("outside");
    fs::write(outside.join("state.json"), "{}").expect("write a state");
    for id in ["../outside", "x/../../outside", "..", ".", "/", "", "a/b", "a\nb"] {
        for command in
            ["create", "state", "delete", "delete --force", "start", "kill", "pause", "update", "ps", "events"]
        {
            let mut words = command.split(' ');
            let name = words.next().expect("a command has a name");
            let call = if name == "create" { bundle.create_call() } else { bundle.call(name).args(words) };
            let ran = call.arg(id).run();
            assert_ne!(ran.code, 0, "{command} {id:?}: {ran}");
            assert_eq!(host(&format!("ls -A {}", outside.display())), "state.json\n", "{command} {id:?}");
        }
    }
}

#[test]
fn groups_of_the_caller() {
    // What the caller's groups may read the container may not, whatever its user is.
    const GROUP: u32 = 4733;
    let mut bundle = Bundle::new();
    attacker::enter(&bundle);
    let secret = bundle.write_file("secrets/secret", "secret\n");
    host(&format!("chgrp {GROUP} {0}; chmod 640 {0}", secret.display()));
    bundle.bind("secrets", "/secrets", &["bind"]);
    bundle.config.set("/process/user", json!({"uid": 1000, "gid": 1000}));
    bundle.config.args(["attacker", "open-without-groups", "/secrets/secret"]);
    let group = GROUP.to_string();
    let careless = ["setpriv", "--groups", group.as_str()];
    let ran = bundle.run_call().arg(&bundle.id).through(careless).ok();
    assert!(ran.stdout.starts_with("open EACCES\n"), "{ran}");
    // The attack works: where an annotation asks for the caller's groups the file can be read.
    bundle.config.set("/annotations", json!({"run.oci.keep_original_groups": "1"}));
    let ran = bundle.run_call().arg(&bundle.id).through(careless).ok();
    assert!(ran.stdout.starts_with("open done\n"), "{ran}");
}

#[test]
fn a_group_that_is_denied() {
    // A group can be what a file is closed to. Who maps no more than the own group may not leave the others (user_namespaces(7)).
    let mut rootless = crate::rootless::Rootless::new();
    let closed = rootless.bundle.write_file("closed/file", "closed\n");
    attacker::enter(&rootless.bundle);
    rootless.bundle.bind("closed", "/closed", &["bind"]);
    rootless.bundle.config.all_capabilities().args(["attacker", "open-without-groups", "/closed/file"]);
    rootless.own();
    let group = crate::rootless::GROUP + 1;
    host(&format!("chown root:{group} {0}; chmod 604 {0}", closed.display()));
    let ran = rootless.run_in_groups(&group.to_string());
    assert_eq!(ran.stdout, "open EACCES\nsetgroups EPERM\nopen-without EACCES\n", "{ran}");
}
