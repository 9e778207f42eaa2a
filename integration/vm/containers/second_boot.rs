//! A machine that goes down and comes back, with `ctn` installed as `make install` does it, and its store where it is by default: first in
//! order, then by a loss of power, in which everything goes that the kernel had not yet written.
//!
//! Each of these is what happens in one start of the machine; `integration/vm/run` runs them one after the other on the same disk.

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use crate::group::host;
use crate::harness::{Place, is_one_sentence, succeeded, until};

/// Says that it runs, serves its name, and says how it was stopped.
const WEB: &str = "echo starts; echo web >/tmp/index.html; busybox httpd -p 80 -h /tmp; \
    trap 'echo ended in order >>/kept/words; exit 0' TERM; while :; do sleep 0.05; done";

fn call(arguments: &[&str]) -> Output {
    let mut command = Command::new("/usr/local/bin/ctn");
    command.env_clear().env("PATH", "/usr/local/bin:/usr/sbin:/usr/bin").args(arguments).output().unwrap()
}

#[track_caller]
fn ctn(arguments: &[&str]) -> String {
    succeeded(&call(arguments), arguments)
}

#[track_caller]
fn run(name: &str, policy: &str, script: &str) {
    ctn(&["run", "-d", "--network", "none", "--name", name, "--restart", policy, "box", "sh", "-c", script]);
}

#[track_caller]
fn field(name: &str, field: &str) -> String {
    ctn(&["inspect", "--format", &format!("{{{{{field}}}}}"), name]).trim().to_owned()
}

fn running() -> Vec<String> {
    let mut names: Vec<String> = ctn(&["ps", "--format", "{{.Names}}"]).lines().map(str::to_owned).collect();
    names.sort();
    names
}

/// What is to be so after every start: who is to run runs, and is reached as before.
#[track_caller]
fn the_web_is_served(starts: usize) {
    host("systemctl is-active ctn-restart.service");
    let page = "busybox wget -q -T 5 -O - http://127.0.0.1:8080/index.html";
    until("the published port leads to the page", || {
        Command::new("sh").args(["-c", page]).output().unwrap().stdout == b"web\n"
    });
    assert_eq!(ctn(&["exec", "guest", "busybox", "wget", "-q", "-O", "-", "http://web/index.html"]), "web\n");
    assert_eq!(field("web", ".NetworkSettings.Networks.mine.IPAddress"), "10.77.0.77");
    assert_eq!(ctn(&["logs", "web"]).matches("starts\n").count(), starts);
    assert_eq!(ctn(&["logs", "guest"]).matches("starts\n").count(), starts);
}

/// Nothing but what runs has anything of the machine.
#[track_caller]
fn nothing_is_there_of_those_that_are_down() {
    let up = running().len();
    let mounts = fs::read_to_string("/proc/self/mounts").unwrap();
    let roots = mounts.lines().filter(|line| line.contains("/var/lib/corten/containers/") && line.contains("/rootfs "));
    assert_eq!(roots.count(), up, "{mounts}");
    let links = host("ip -o link show type veth | wc -l");
    assert_eq!(links.trim(), "2", "of web and guest");
    let leases = host("find /run/corten -type l -path '*leases*' -name '10.77.*' | wc -l");
    assert_eq!(leases.trim(), "2", "of web and guest");
}

#[test]
#[ignore = "the first of three starts of the machine: `integration/vm/run`"]
fn before_it_goes_down() {
    host("cp -a /payload/installed/. / && systemctl daemon-reload && systemctl enable --now ctn-restart.service");
    let place = Place::new();
    ctn(&["import", place.join("image.tar").to_str().unwrap(), "box"]);
    ctn(&["network", "create", "--subnet", "10.77.0.0/24", "mine"]);
    ctn(&["volume", "create", "kept"]);
    let web = ["run", "-d", "--name", "web", "--restart", "always", "-p", "127.0.0.1:8080:80", "-v", "kept:/kept"];
    ctn(&[&web[..], &["--network", "mine", "--ip", "10.77.0.77", "box", "sh", "-c", WEB]].concat());
    let guest = ["run", "-d", "--name", "guest", "--restart", "unless-stopped", "--network", "mine"];
    ctn(&[&guest[..], &["box", "sh", "-c", "echo starts; exec sleep 100000"]].concat());
    run("stopped", "unless-stopped", "exec sleep 100000");
    run("stopped-always", "always", "exec sleep 100000");
    run("once", "no", "exec sleep 100000");
    run("failing", "on-failure", "exec sleep 100000");
    ctn(&["stop", "-t", "0", "stopped", "stopped-always"]);
    the_web_is_served(1);
    nothing_is_there_of_those_that_are_down();
}

#[test]
#[ignore = "the second of three starts of the machine: `integration/vm/run`"]
fn after_a_shutdown() {
    assert_eq!(running(), ["guest", "stopped-always", "web"]);
    the_web_is_served(2);
    assert_eq!(ctn(&["exec", "web", "cat", "/kept/words"]), "ended in order\n");
    nothing_is_there_of_those_that_are_down();
    for name in ["once", "failing"] {
        assert_eq!(field(name, ".State.Status"), "exited", "{name}");
    }
    ctn(&["volume", "create", "young"]);
    ctn(&["network", "create", "--subnet", "10.78.0.0/24", "young"]);
    run("young-once", "no", "exec sleep 100000");
    run("young-and-stopped", "unless-stopped", "exec sleep 100000");
    // The end of the root's mount has the file system write all that it has. Nothing does so after that: by the time that the power goes,
    // what the commands don't see to themselves is lost.
    ctn(&["stop", "-t", "0", "young-and-stopped", "stopped-always"]);
    run("young", "always", "exec sleep 100000");
    ctn(&["start", "stopped"]);
    fs::write("/var/lib/unwritten", "").unwrap();
}

#[test]
#[ignore = "the third of three starts of the machine: `integration/vm/run`"]
fn after_a_power_cut() {
    assert!(!Path::new("/var/lib/unwritten").exists(), "it was no power cut");
    assert_eq!(running(), ["guest", "stopped", "stopped-always", "web", "young"]);
    the_web_is_served(3);
    let words = ctn(&["exec", "web", "cat", "/kept/words"]);
    assert!(!words.contains("in order\nended in order"), "{words}");
    nothing_is_there_of_those_that_are_down();
    assert!(["exited", "created"].contains(&field("young-once", ".State.Status").as_str()));
    assert_eq!(field("young-and-stopped", ".State.Status"), "exited");
    assert_eq!(ctn(&["volume", "ls", "-q"]), "kept\nyoung\n");
    assert_eq!(
        ctn(&["network", "inspect", "--format", "{{(index .IPAM.Config 0).Subnet}}", "young"]),
        "10.78.0.0/24\n"
    );
    // What is half there can be used, or taken away.
    assert_eq!(ctn(&["start", "young-once"]), "young-once\n");
    let names = ctn(&["ps", "-a", "--format", "{{.Names}}"]);
    let names: Vec<&str> = names.lines().collect();
    ctn(&[&["rm", "-f"], &names[..]].concat());
    ctn(&["network", "rm", "mine", "young"]);
    ctn(&["volume", "rm", "kept", "young"]);
    ctn(&["rmi", "box"]);
    assert!(fs::read_dir("/var/lib/corten/containers").unwrap().next().is_none());
    assert!(!Path::new("/sys/class/net/ctn0").exists());
    let again = call(&["start", "web"]);
    assert!(is_one_sentence(&String::from_utf8_lossy(&again.stderr)), "{again:?}");
}
