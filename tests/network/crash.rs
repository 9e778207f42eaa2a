//! Killed at each step: one command leaves nothing, and everything can be made again.

use std::fs::File;
use std::os::fd::AsFd;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Command, Output};

use corten::network::{Attachment, Create, Networks, port};

use crate::harness::*;

mod steps;

/// System calls that change the kernel's state or the files; a message of netlink(7) is a sendto(2).
const STEPS: [&str; 8] = ["sendto", "symlink", "rename", "unlink", "rmdir", "mkdir", "setns", "write"];
const PORTS: [&str; 2] = ["8080:80", "8053:53/udp"];

/// What a killed process was about, run by the tests in a process of its own.
#[test]
#[ignore = "it is a part of the other tests"]
fn driver() {
    let variable = |name: &str| std::env::var(name).unwrap();
    let directory = variable("NETWORK_TEST_DIRECTORY");
    let directory = Path::new(&directory);
    let networks = Networks::open(&directory.join("root"), &directory.join("run")).unwrap();
    match variable("NETWORK_TEST_CALL").as_str() {
        "attach" => attach(&networks, &File::open(variable("NETWORK_TEST_NAMESPACE")).unwrap()),
        "detach" => networks.detach(&id("web"), None).unwrap(),
        "connect" => steps::connect(&networks, &File::open(variable("NETWORK_TEST_NAMESPACE")).unwrap()),
        "disconnect" => steps::disconnect(&networks, &File::open(variable("NETWORK_TEST_NAMESPACE")).unwrap()),
        "remove" => drop(networks.remove("mine").unwrap()),
        "reload" => drop(networks.reload().unwrap()),
        other => panic!("{other}"),
    }
}

fn attach(networks: &Networks, namespace: &File) {
    let id = id("web");
    let ports: Vec<_> = PORTS.iter().flat_map(|text| port::parse(text).unwrap()).collect();
    let request = Attachment { ports: &ports, ..Attachment::new(&id, "web", namespace.as_fd(), "mine") };
    networks.attach(&request).unwrap();
}

/// Runs the driver with something done to its n-th call of one kind.
fn injected(host: &Host, (step, what, number): (&str, &str, u32), call: &str, namespace: &str) -> Output {
    let inject = format!("inject={step}:{what}:when={number}");
    Command::new("strace")
        .args(["-f", "-qq", "-o"])
        .arg(host.directory.join("strace.log"))
        .args(["-e", &format!("trace={step}"), "-e", &inject])
        .arg(std::env::current_exe().unwrap())
        .args(["--ignored", "--exact", "crash::driver", "--test-threads=1"])
        .env("NETWORK_TEST_DIRECTORY", &host.directory)
        .env("NETWORK_TEST_CALL", call)
        .env("NETWORK_TEST_NAMESPACE", namespace)
        .output()
        .unwrap()
}

/// Runs the driver and kills it at its n-th call of one kind; says whether it came so far.
fn killed(host: &Host, step: &str, number: u32, call: &str, namespace: &str) -> bool {
    let output = injected(host, (step, "signal=KILL", number), call, namespace);
    let was_killed = output.status.signal() == Some(9) || output.status.code() == Some(137);
    let said = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    assert!(was_killed || output.status.success(), "{step} {number}: {said}");
    was_killed
}

/// Kills a call at each step of each kind, each time after `prepare` and before `check`; says how often.
fn at_each_step(host: &Host, call: &str, prepare: impl Fn() -> Option<Namespace>, check: impl Fn(&str)) -> u32 {
    let mut kills = 0;
    for step in STEPS {
        for number in 1.. {
            let namespace = prepare();
            let path = namespace.as_ref().map(Namespace::path).unwrap_or_default();
            let was_killed = killed(host, step, number, call, &path);
            check(&format!("{call} killed at {step} {number}"));
            if !was_killed {
                break;
            }
            kills += 1;
        }
    }
    kills
}

fn network(host: &Host) {
    host.network(&Create { name: "mine".into(), ipv6: true, ..Create::default() });
}

/// One command takes the container away, another one its network; then there is nothing.
#[track_caller]
fn assert_clearable(host: &Host, when: &str) {
    host.networks.detach(&id("web"), None).unwrap_or_else(|error| panic!("{when}: {error:#}"));
    assert_eq!(host.leftovers(), [""; 0], "{when}");
    if host.networks.list().unwrap().iter().any(|network| network.name == "mine") {
        host.networks.remove("mine").unwrap_or_else(|error| panic!("{when}: {error:#}"));
    }
    assert_eq!(host.rules(), "", "{when}");
    let links = ip("-br link");
    assert!(!links.contains("br-"), "{when}: {links}");
    let mut left = Vec::new();
    files(&host.directory, &mut left);
    left.retain(|name| !name.ends_with("/lock") && !name.ends_with("/strace.log"));
    assert_eq!(left, [""; 0], "{when}");
}

#[test]
fn of_attach() {
    let host = Host::new();
    let prepare = || {
        network(&host);
        Some(Namespace::new())
    };
    let kills = at_each_step(&host, "attach", prepare, |when| assert_clearable(&host, when));
    assert!(kills > 30, "only {kills} kills");
}

#[test]
fn of_detach() {
    let host = Host::new();
    let prepare = || {
        network(&host);
        let namespace = Namespace::new();
        attach(&host.networks, &File::open(namespace.path()).unwrap());
        Some(namespace)
    };
    let kills = at_each_step(&host, "detach", prepare, |when| assert_clearable(&host, when));
    assert!(kills > 8, "only {kills} kills");
}

#[test]
fn of_remove() {
    let host = Host::new();
    let prepare = || {
        network(&host);
        let namespace = Namespace::new();
        attach(&host.networks, &File::open(namespace.path()).unwrap());
        host.networks.detach(&id("web"), None).unwrap();
        None
    };
    let kills = at_each_step(&host, "remove", prepare, |when| assert_clearable(&host, when));
    assert!(kills > 4, "only {kills} kills");
}

#[test]
fn of_reload() {
    let host = Host::new();
    network(&host);
    let namespace = Namespace::new();
    attach(&host.networks, &File::open(namespace.path()).unwrap());
    namespace.serve(([0, 0, 0, 0], 80));
    let rules = host.rules();
    let flush = || {
        run("nft", "flush ruleset");
        ip(&format!("link delete {}", host.networks.get("mine").unwrap().link));
        None
    };
    let kills = at_each_step(&host, "reload", flush, |when| {
        host.networks.reload().unwrap();
        assert_eq!(host.rules(), rules, "{when}");
        assert_eq!(host.outside.reaches("192.0.2.1:8080"), "192.0.2.2", "{when}");
    });
    assert!(kills > 8, "only {kills} kills");
}

/// Half of a container takes nothing from a whole one: neither its address nor its port.
#[test]
fn of_attach_beside_another_one() {
    let host = Host::new();
    network(&host);
    let namespace = Namespace::new();
    // Its record is there, and nothing else: it was killed before its first claim.
    assert!(killed(&host, "symlink", 1, "attach", &namespace.path()));
    let other = host.container("other", "mine", &PORTS);
    other.namespace.serve(([0, 0, 0, 0], 80));
    host.networks.detach(&id("web"), None).unwrap();
    assert_eq!(host.outside.reaches("192.0.2.1:8080"), "192.0.2.2");
    // Both were for the same.
    let claims = |host: &Host| {
        host.leftovers().iter().filter(|name| name.contains("/ports/") || name.contains("/leases/")).count()
    };
    assert_eq!(claims(&host), PORTS.len() + other.endpoint.addresses.len());
    let (third, wanted) = (Namespace::new(), [other.address()]);
    let request = Attachment { addresses: &wanted, ..request("third", "third", &third, "mine") };
    let error = host.networks.attach(&request).unwrap_err().to_string();
    assert_eq!(error, format!("the address {} is in use by the container {}", other.address(), other.id));
}
