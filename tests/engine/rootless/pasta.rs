//! The network that pasta makes: traffic both ways, between namespaces of the test's own.

use std::fs;
use std::net::UdpSocket;
use std::path::Path;

use super::user::{self, assert_nothing_left, processes};
use super::wire::{HOST, Names, OUTSIDE, Server, Wire};
use crate::harness::*;

fn pastas(place: &Place) -> Vec<i32> {
    let lines = processes(place).into_iter().filter(|line| line.contains(" pasta "));
    lines.map(|line| line.split(' ').next().unwrap().parse().unwrap()).collect()
}

/// A web server with the image's file.
const SERVER: &str = "busybox httpd -f -p 80 -h /data";

#[test]
fn a_published_port_leads_inside() {
    let wire = Wire::new();
    let place = wire.place("");
    place.ctn(&[
        "run",
        "-d",
        "--name",
        "web",
        "-p",
        "8080:80",
        "-p",
        "127.0.0.1::81",
        "box",
        "busybox",
        "httpd",
        "-fvv",
        "-p",
        "80",
        "-h",
        "/data",
    ]);
    assert_eq!(place.ctn(&["port", "web", "80"]), "0.0.0.0:8080\n");
    let local = place.ctn(&["port", "web", "81"]);
    assert!(local.starts_with("127.0.0.1:"), "{local}");
    assert!(place.ctn(&["ps"]).contains("0.0.0.0:8080->80/tcp"));
    let fetch = format!("timeout 5 wget -qO- http://{HOST}:8080/of-image");
    assert_eq!(wire.fetched(8080), "from the image\n");
    let own = Wire::run(&wire.host, "timeout 5 wget -qO- http://127.0.0.1:8080/of-image");
    assert_eq!(succeeded(&own, "from the host itself"), "from the image\n");
    // Who asked is seen inside.
    until("the server has said so", || {
        place.ctn(&["logs", "web"]).contains(OUTSIDE) || {
            let output = place.call(&["logs", "web"]);
            String::from_utf8_lossy(&output.stderr).contains(OUTSIDE)
        }
    });
    place.ctn(&["rm", "-f", "web"]);
    assert!(!wire.outside(&fetch).status.success());
    assert_nothing_left(&place);
}

#[test]
fn datagrams_come_in_and_answers_go_out() {
    let wire = Wire::new();
    let place = wire.place("");
    place.ctn(&["run", "-d", "--name", "echo", "-p", "5353:7/udp", "box", "sleep", "1000"]);
    let inside = format!("/proc/{}/ns/net", place.field("echo", ".State.Pid"));
    let server = Wire::within(&inside, || UdpSocket::bind("0.0.0.0:7").unwrap());
    let client = Wire::within(&format!("/run/netns/{}", wire.outside), || UdpSocket::bind((OUTSIDE, 0)).unwrap());
    for socket in [&server, &client] {
        socket.set_read_timeout(Some(LIMIT)).unwrap();
    }
    let mut buffer = [0; 64];
    client.send_to(b"question", (HOST, 5353)).unwrap();
    let (count, from) = server.recv_from(&mut buffer).unwrap();
    assert_eq!((&buffer[..count], from), (&b"question"[..], client.local_addr().unwrap()));
    server.send_to(b"answer", from).unwrap();
    let (count, from) = client.recv_from(&mut buffer).unwrap();
    assert_eq!((&buffer[..count], from.to_string()), (&b"answer"[..], format!("{HOST}:5353")));
    place.ctn(&["rm", "-f", "echo"]);
    assert_nothing_left(&place);
}

#[test]
fn a_container_reaches_what_is_outside_and_not_the_hosts_loopback() {
    let wire = Wire::new();
    let place = wire.place("");
    let _outside = Server::start(&wire.outside, &format!("{OUTSIDE}:8000"));
    let _loopback = Server::start(&wire.host, "127.0.0.1:8001");
    let at = format!("http://{OUTSIDE}:8000/hello");
    // What a container's first process has not asked for it does not get, so timeout(1) could not end it (pid_namespaces(7)).
    let fetch = |at| ["--init", "box", "busybox", "timeout", "3", "busybox", "wget", "-qO-", at];
    let said = place.ctn(&[&["run", "--rm"], &fetch(&at)[..]].concat());
    assert_eq!(said, "hello\n");
    let at_gateway = format!("http://{OUTSIDE}:8001/hello");
    assert_ne!(place.outcome(&[&["run", "--rm"], &fetch(&at_gateway)[..]].concat()).0, Some(0));
    // The same, where it was asked for.
    let allowed = [&["run", "--rm", "--network", "pasta:--map-gw"], &fetch(&at_gateway)[..]].concat();
    assert_eq!(place.ctn(&allowed), "hello\n");
    let hosts = place.ctn(&["run", "--rm", "-h", "me", "box", "cat", "/etc/hosts"]);
    assert!(hosts.contains(&format!("{HOST}\tme")), "{hosts}");
    assert_nothing_left(&place);
}

#[test]
fn names_are_asked_for_where_the_host_asks() {
    let wire = Wire::new();
    let mut names = Names::on(&wire, 1);
    let place = names.place(&wire);
    let said =
        place.ctn(&["run", "--rm", "box", "sh", "-c", "cat /etc/resolv.conf; busybox nslookup -type=a name.test"]);
    names.answered();
    assert!(said.contains("nameserver 169.254.1.1") && said.contains("10.1.2.3"), "{said}");
    assert_nothing_left(&place);
}

#[test]
fn a_killed_pasta_is_started_again() {
    let wire = Wire::new();
    let place = wire.place("");
    place.ctn(&[
        "run", "-d", "--name", "web", "-p", "8080:80", "box", "busybox", "httpd", "-f", "-p", "80", "-h", "/data",
    ]);
    let fetch = format!("timeout 5 wget -qO- http://{HOST}:8080/of-image");
    wire.fetched(8080);
    let [pasta] = pastas(&place)[..] else { panic!("one pasta: {:?}", processes(&place)) };
    kill(pasta);
    until("it is reached again", || wire.outside(&fetch).status.success());
    let [again] = pastas(&place)[..] else { panic!("one pasta: {:?}", processes(&place)) };
    assert_ne!(again, pasta);
    // Nothing that would end it is blocked, as everything is in its monitor.
    let status = fs::read_to_string(format!("/proc/{again}/status")).unwrap();
    assert!(status.contains("SigBlk:\t0000000000000000\n"), "{status}");
    place.ctn(&["rm", "-f", "web"]);
    assert_nothing_left(&place);
}

#[test]
fn no_process_of_a_container_is_taken_for_pasta() {
    let wire = Wire::new();
    let place = wire.place("");
    // Whose parents have ended are the monitor's children, in the machine's pid namespace.
    let script = "while :; do (sleep 1 &); busybox usleep 2000; done";
    let id = place.ctn(&["run", "-d", "--name", "busy", "--pid", "host", "box", "sh", "-c", script]);
    let record = place.run().unwrap().join(id.trim()).join("pasta.json");
    for _ in 0..4 {
        let [pasta] = pastas(&place)[..] else { panic!("one pasta: {:?}", processes(&place)) };
        let noted: serde_json::Value = serde_json::from_slice(&fs::read(&record).unwrap()).unwrap();
        assert_eq!(noted["process"]["pid"], pasta);
        kill(pasta);
        until("there is another one, and it is noted", || {
            let Ok(noted) = serde_json::from_slice::<serde_json::Value>(&fs::read(&record).unwrap()) else {
                return false;
            };
            pastas(&place).len() == 1 && noted["process"]["pid"] != pasta
        });
    }
    place.ctn(&["rm", "-f", "busy"]);
    until("those that were left end", || place.leftovers().is_empty());
    assert_nothing_left(&place);
}

#[test]
fn a_killed_monitors_pasta_goes() {
    let wire = Wire::new();
    let place = wire.place("");
    place.ctn(&["run", "-d", "--name", "web", "-p", "8080:80", "box", "sh", "-c", SERVER]);
    kill(place.monitor_of("web"));
    assert!(place.ctn(&["ps", "-a"]).contains("Exited (137)"));
    // At once: whoever sees to the rest has waited for the port to be free.
    assert_eq!(pastas(&place), [0; 0]);
    assert_eq!(fs::read_dir(place.join("run/netns")).unwrap().count(), 0);
    place.ctn(&["start", "web"]);
    assert_eq!(wire.fetched(8080), "from the image\n");
    place.ctn(&["rm", "-f", "web"]);
    assert_nothing_left(&place);
}

#[test]
fn a_network_is_shared() {
    let wire = Wire::new();
    let place = wire.place("");
    place.ctn(&["run", "-d", "--name", "web", "-p", "8080:80", "box", "sleep", "1000"]);
    place.ctn(&["run", "-d", "--name", "server", "--network", "container:web", "box", "sh", "-c", SERVER]);
    assert_eq!(wire.fetched(8080), "from the image\n");
    place.ctn(&["rm", "-f", "server", "web"]);
    assert_nothing_left(&place);
}

#[test]
fn root_may_ask_for_it() {
    let wire = Wire::new();
    let mut place = Place::new();
    place.network = Some(wire.host.clone());
    place.ctn(&["run", "-d", "--name", "web", "--network", "pasta", "-p", "80:80", "box", "sh", "-c", SERVER]);
    assert_eq!(wire.fetched(80), "from the image\n");
    place.ctn(&["rm", "-f", "web"]);
    place.assert_nothing_left();
}

#[test]
fn what_can_not_be() {
    let wire = Wire::new();
    let place = wire.place("");
    let _taken = Server::start(&wire.host, "0.0.0.0:8000");
    for (flags, words) in [
        (["-p", "8000:80"], "Bind for 0.0.0.0:8000 failed: port is already allocated"),
        (["-p", "80:80"], "permission denied (ordinary users have those from net.ipv4.ip_unprivileged_port_start"),
        (["-p", "8081:80/sctp"], "pasta carries TCP and UDP"),
        (["--ip", "10.0.0.9"], "pasta is none"),
        (["--network", "pasta:--nonsense"], "pasta: unrecognized option '--nonsense'"),
        (["--network", "pasta:--foreground"], "the option --foreground of pasta is not for containers"),
        // Who means it gets no container, but nobody waits for ever.
        (["--network", "pasta:--fore"], "pasta was not ready after 20 seconds"),
    ] {
        let refusal = place.refusal(125, &[&["run", "--rm"], &flags[..], &["box", "true"]].concat());
        assert!(refusal.contains(words), "{flags:?}: {refusal}");
    }
    assert_nothing_left(&place);
}

#[test]
fn a_machine_without_pasta() {
    let place = user::place_in(
        "set -e; mkdir -p bin; for name in newuidmap newgidmap setpriv; do cp -a /usr/bin/$name bin; done; mount --bind bin /usr/bin",
    );
    let refusal = place.refusal(125, &["run", "--rm", "box", "true"]);
    assert!(refusal.contains("package passt") && refusal.contains("--network none"), "{refusal}");
    assert_eq!(place.inside(&[], "echo without"), "without\n");
    assert_nothing_left(&place);
}

/// Has the user's commands find a script in place of a program, until something is done.
fn with_fake(place: &Place, program: &str, script: &str, work: impl FnOnce()) {
    let (fake, enter) = (place.join(program), place.join("enter"));
    call::install_script(&fake, script);
    let before = fs::read_to_string(&enter).unwrap();
    fs::write(&enter, format!("mount --bind {} /usr/bin/{program}\n{before}", fake.display())).unwrap();
    work();
    fs::write(&enter, before).unwrap();
}

#[test]
fn helpers_of_ids_that_hang_are_not_waited_for_without_end() {
    let place = user::place();
    until("the user's namespaces are gone", || processes(&place).is_empty());
    with_fake(&place, "newuidmap", "exec sleep 100", || {
        let refusal = place.refusal(125, &["run", "--rm", "box", "true"]);
        assert!(
            refusal.starts_with("ctn: Error: ") && refusal.contains("newuidmap had not ended after 30 seconds"),
            "{refusal}"
        );
    });
    assert_nothing_left(&place);
}

/// Asked what it can, it doesn't end.
#[test]
fn a_pasta_that_does_not_answer_is_not_waited_for_without_end() {
    let wire = Wire::new();
    let place = wire.place("");
    let real = place.join("real");
    install(Path::new("/usr/bin/pasta"), &real.join("pasta"));
    let script = format!("case \"$*\" in *--version) exec sleep 100;; esac; exec {}/pasta \"$@\"", real.display());
    place.ctn(&["network", "create", "--ipv6", "mine"]);
    with_fake(&place, "pasta", &script, || {
        let flags = ["--network", "mine", "-p", "[::1]:8080:80"];
        let (status, _, errors) = place.outcome(&[&["run", "--rm"], &flags[..], &["box", "true"]].concat());
        let words = "whether ports are reached at ::1 is not known: pasta had not ended after 20 seconds";
        assert!(status == Some(0) && errors.contains(words), "{errors}");
    });
    place.ctn(&["network", "rm", "mine"]);
    assert_nothing_left(&place);
}
