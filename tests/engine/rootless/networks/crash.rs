//! What was killed, flushed or removed comes back, and nothing is left of what doesn't.

use std::fs;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use super::*;

/// The namespace of the user's networks, which is mounted where only the user's processes see it.
fn network_of(place: &Place) -> String {
    let names = fs::read_dir(place.join("run/netns")).unwrap().flatten().map(|entry| entry.path());
    let name = names.into_iter().find(|path| path.to_string_lossy().contains("/ctn-engine")).unwrap();
    format!("/proc/{}/root{}", holder(place), name.display())
}

/// strace(1) kills each process of a command at its nth system call of some kinds. It goes on for those that outlive the command.
fn killed_at(place: &Place, calls: &str, number: usize, arguments: &[&str]) -> bool {
    let inner = place.command(arguments);
    let inject = format!("inject={calls}:signal=SIGKILL:when={number}");
    let mut command = Command::new("strace");
    command.args(["-D", "-f", "-o", "/dev/null", "-e", &format!("trace={calls}"), "-e", &inject]);
    command.arg(inner.get_program()).args(inner.get_args()).env_clear();
    command.envs(inner.get_envs().filter_map(|(name, value)| Some((name, value?)))).current_dir(&place.path);
    let status = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).status().unwrap();
    !status.success()
}

#[test]
fn rules_and_links_come_back() {
    let wire = Wire::new();
    let place = wire.place("");
    place.ctn(&["network", "create", "-o", "com.docker.network.bridge.name=mine0", "mine"]);
    Wire::served(&place, "web", &["--network", "mine", "-p", "8080:80"]);
    assert_eq!(wire.fetched(8080), "from the image\n");
    let network = network_of(&place);
    let net = format!("--net={network}");
    // Rules alone, and all of it.
    let all = "nft flush ruleset; ip link del mine0; for f in -4 -6; do ip $f rule del pref 32765; done";
    for script in ["nft flush ruleset", all] {
        succeeded(&Command::new("nsenter").args([&net, "sh", "-c", script]).output().unwrap(), script);
        assert!(!wire.outside(&format!("timeout 5 wget -qO- http://{HOST}:8080/of-image")).status.success());
        assert_eq!(place.ctn(&["network", "reload"]), "");
        assert_eq!(wire.fetched(8080), "from the image\n");
    }
    place.ctn(&["rm", "-f", "web"]);
    // The network has no more than its definition, and is of use again.
    Wire::served(&place, "web", &["--network", "mine", "-p", "8080:80"]);
    assert_eq!(wire.fetched(8080), "from the image\n");
    place.ctn(&["rm", "-f", "web"]);
    place.ctn(&["network", "rm", "mine"]);
    assert_all_gone(&place);
}

#[test]
fn what_was_killed_is_started_again() {
    let wire = Wire::new();
    let place = wire.place("");
    place.ctn(&["network", "create", "mine"]);
    Wire::served(&place, "web", &["--network", "mine", "-p", "8080:80"]);
    let _outside = Server::start(&wire.outside, &format!("{OUTSIDE}:8000"));
    let reaches = || fetched(&place, "web", &format!("http://{OUTSIDE}:8000/hello")).is_some();
    assert_eq!(wire.fetched(8080), "from the image\n");
    assert!(reaches());
    // Again and again: monitors see it, and nothing else is needed.
    for _ in 0..3 {
        let (edge_before, port_before) = (edge(&place), port(&place));
        kill(edge_before);
        kill(port_before);
        until("both are there again", || {
            processes_of(&place, "-I edge").len() == 1 && processes_of(&place, "-I port").len() == 1
        });
        until("it is reached again", || {
            wire.outside(&format!("timeout 5 wget -qO- http://{HOST}:8080/of-image")).status.success()
        });
        until("it reaches others again", reaches);
        assert_ne!((edge(&place), port(&place)), (edge_before, port_before));
    }
    until("the server has seen who asked", || has_said(&place, "web", OUTSIDE));
    // The holder is not needed as long as there are monitors.
    kill(holder(&place));
    assert_eq!(wire.fetched(8080), "from the image\n");
    place.ctn(&[
        "run",
        "--rm",
        "--init",
        "--network",
        "mine",
        "box",
        "busybox",
        "timeout",
        "20",
        "busybox",
        "wget",
        "-qO",
        "/dev/null",
        "http://web/of-image",
    ]);
    // A killed monitor's container goes with all that it had; the next command sees to that.
    kill(place.monitor_of("web"));
    assert_gone_and_startable(&wire, &place);
}

/// All that the server had is gone with the next command, and it can be started again; then that goes, too.
#[track_caller]
fn assert_gone_and_startable(wire: &Wire, place: &Place) {
    assert!(place.ctn(&["ps", "-a"]).contains("Exited (137)"));
    assert_eq!(left_of_networks(place), Vec::<PathBuf>::new());
    assert_eq!(processes_of(place, ""), [0; 0]);
    place.ctn(&["start", "web"]);
    assert_eq!(wire.fetched(8080), "from the image\n");
    place.ctn(&["rm", "-f", "web"]);
    place.ctn(&["network", "rm", "mine"]);
    assert_all_gone(place);
}

#[test]
fn when_everything_was_killed() {
    let wire = Wire::new();
    let place = wire.place("");
    place.ctn(&["network", "create", "mine"]);
    Wire::served(&place, "web", &["--network", "mine", "-p", "8080:80"]);
    assert_eq!(wire.fetched(8080), "from the image\n");
    // With the last process the user's namespaces go, and what was mounted there.
    let monitor = place.monitor_of("web");
    for pid in [holder(&place), monitor, place.field("web", ".State.Pid").parse().unwrap()] {
        kill(pid);
    }
    assert_gone_and_startable(&wire, &place);
}

#[test]
fn killed_at_every_step() {
    let wire = Wire::new();
    let place = wire.place("");
    place.ctn(&["network", "create", "mine"]);
    // Who keeps the user's namespaces meanwhile: newuidmap(1) is not to be traced.
    place.detached("keeper", &[], "sleep 1000");
    let arguments = ["run", "--rm", "--network", "mine", "-p", "8080:80", "box", "true"];
    let mut killed = 0;
    for call in [
        "symlink", "rename", "unlink", "clone3", "clone", "vfork", "umount2", "mount", "sendmsg", "sendto", "setns",
        "flock",
    ] {
        // The first ones, and then fewer.
        for number in [1, 2, 3, 5, 8, 13, 21, 34] {
            let was_killed = killed_at(&place, call, number, &arguments);
            until(&format!("nothing is left after {call} {number}"), || {
                let (code, _, errors) = place.outcome(&["ps", "-q"]);
                assert_eq!((code, errors.as_str()), (Some(0), ""), "{call} {number}");
                for id in place.ctn(&["ps", "-aq", "--filter", "status=created"]).lines() {
                    place.outcome(&["rm", id]);
                }
                left_of_networks(&place).is_empty() && processes_of(&place, "").is_empty()
            });
            if !was_killed {
                break;
            }
            killed += 1;
            // The port is free.
            place.ctn(&["run", "--rm", "--network", "mine", "-p", "8080:80", "box", "true"]);
        }
    }
    assert!(killed > 20, "only {killed} were killed");
    place.ctn(&["rm", "-f", "keeper"]);
    place.ctn(&["network", "rm", "mine"]);
    assert_all_gone(&place);
}

/// A container in one of the user's networks, which comes into another one and leaves it.
struct Member {
    place: Place,
    /// What is kept of its first network.
    before: Vec<PathBuf>,
}

impl Member {
    fn new(wire: &Wire) -> Member {
        let place = wire.place("");
        for name in ["mine", "other"] {
            place.ctn(&["network", "create", name]);
        }
        place.ctn(&["run", "-d", "--name", "web", "--network", "mine", "box", "sleep", "1000"]);
        let before = left_of_networks(&place);
        Member { place, before }
    }

    /// Whether it is in the other network, after one more command: all that belongs to that has to be there, or nothing.
    fn is_connected(&self, when: &str) -> bool {
        let (code, _, errors) = self.place.outcome(&["ps", "-a"]);
        assert_eq!((code, errors.as_str()), (Some(0), ""), "{when}");
        let networks = self.place.field("web", "range $name, $_ := .NetworkSettings.Networks}}{{$name}} {{end");
        let is_connected = networks == "mine other";
        let more = left_of_networks(&self.place).iter().filter(|path| !self.before.contains(path)).count();
        let pid = self.place.field("web", ".State.Pid");
        let inside = fs::read_to_string(format!("/proc/{pid}/net/dev")).unwrap();
        let net = format!("--net={}", network_of(&self.place));
        let output = Command::new("nsenter").args([&net, "ip", "-br", "link"]).output().unwrap();
        let links = succeeded(&output, "ip -br link");
        let veths = links.lines().filter(|line| line.starts_with("veth")).count();
        // An endpoint and a lease, and a link with both of its ends.
        let wanted = if is_connected { (2, true, 2) } else { (0, false, 1) };
        assert_eq!((more, inside.contains("eth1"), veths), wanted, "{when}: {networks}");
        is_connected
    }
}

#[test]
fn a_connect_or_a_disconnect_that_is_killed() {
    let wire = Wire::new();
    let member = Member::new(&wire);
    let place = &member.place;
    let mut killed = [0, 0];
    for call in ["symlink", "rename", "unlink", "clone3", "clone", "sendmsg", "sendto", "setns", "flock", "write"] {
        for number in 1.. {
            let before = killed;
            for (at, verb) in ["connect", "disconnect"].into_iter().enumerate() {
                let arguments = ["network", verb, "other", "web"];
                killed[at] += usize::from(killed_at(place, call, number, &arguments));
                let is_done = |when: &str| member.is_connected(when) == (verb == "connect");
                if !is_done(&format!("{verb} killed at {call} {number}")) {
                    place.ctn(&arguments);
                    assert!(is_done(verb), "{verb} after one that was killed at {call} {number}");
                }
            }
            if killed == before {
                break;
            }
        }
    }
    assert!(killed.iter().all(|count| *count > 20), "only {killed:?}");
    place.ctn(&["rm", "-f", "web"]);
    place.ctn(&["network", "rm", "mine", "other"]);
    assert_all_gone(place);
}

#[test]
fn who_comes_when_the_last_one_goes() {
    let wire = Wire::new();
    let place = wire.place("");
    place.ctn(&["network", "create", "mine"]);
    let _outside = Server::start(&wire.outside, &format!("{OUTSIDE}:8000"));
    let url = format!("http://{OUTSIDE}:8000/hello");
    // Each of them may make the namespace, and each may be the one that removes it.
    for _ in 0..3 {
        let fetch = ["box", "busybox", "timeout", "20", "busybox", "wget", "-qO-", &url];
        let arguments = [&["run", "--rm", "--init", "--network", "mine", "-P", "--expose", "80"], &fetch[..]].concat();
        let at_once: Vec<_> = (0..5).map(|_| place.spawn(&arguments)).collect();
        for one in at_once {
            let output = one.wait_with_output().unwrap();
            assert_eq!(succeeded(&output, &arguments), "hello\n");
        }
    }
    place.ctn(&["network", "rm", "mine"]);
    assert_all_gone(&place);
}
