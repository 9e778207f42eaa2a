//! Networks that an ordinary user makes: who reaches whom, under which address, and what is left by whom.

use std::fs;
use std::net::{SocketAddr, UdpSocket};
use std::path::PathBuf;
use std::process::{Command, Stdio};

use super::user::{OTHER, assert_nothing_left, processes};
use super::wire::{HOST, HOST6, OUTSIDE, OUTSIDE6, Server, Wire};
use crate::harness::*;

/// A web server with the image's file that says who asked.
const SERVER: [&str; 7] = ["busybox", "httpd", "-fvv", "-p", "80", "-h", "/data"];

impl Wire {
    /// Runs a server in a container.
    #[track_caller]
    fn served(place: &Place, name: &str, flags: &[&str]) {
        place.ctn(&[&["run", "-d", "--name", name], flags, &["box"], &SERVER].concat());
    }
}

/// What is fetched in a container, if anything.
fn fetched(place: &Place, container: &str, url: &str) -> Option<String> {
    let output = place.call(&["exec", container, "busybox", "timeout", "5", "busybox", "wget", "-qO-", url]);
    output.status.success().then(|| String::from_utf8(output.stdout).unwrap())
}

#[track_caller]
fn assert_fetches(place: &Place, container: &str, url: &str) {
    until(&format!("{container} fetches {url}"), || {
        fetched(place, container, url).as_deref() == Some("from the image\n")
    });
}

/// Whether a server has said so, whatever it says it on.
fn has_said(place: &Place, name: &str, words: &str) -> bool {
    let output = place.call(&["logs", name]);
    [output.stdout, output.stderr].iter().any(|said| String::from_utf8_lossy(said).contains(words))
}

fn processes_of(place: &Place, words: &str) -> Vec<i32> {
    let lines = processes(place).into_iter().filter(|line| line.contains(" pasta ") && line.contains(words));
    lines.map(|line| line.split(' ').next().unwrap().parse().unwrap()).collect()
}

#[track_caller]
fn edge(place: &Place) -> i32 {
    let [pid] = processes_of(place, "-I edge")[..] else { panic!("one edge: {:?}", processes(place)) };
    pid
}

#[track_caller]
fn port(place: &Place) -> i32 {
    let [pid] = processes_of(place, "-I port")[..] else { panic!("one pasta before ports: {:?}", processes(place)) };
    pid
}

/// What networks have that no container is in: files, names, processes.
fn left_of_networks(place: &Place) -> Vec<PathBuf> {
    let entries = |path: PathBuf| -> Vec<PathBuf> {
        fs::read_dir(path).into_iter().flatten().flatten().map(|entry| entry.path()).collect()
    };
    let mut left = entries(place.join("run/netns"));
    for engine in entries(place.join("run/corten")).into_iter().filter(|path| path.is_dir()) {
        let network = engine.join("network");
        left.extend(["ports", "taps"].into_iter().flat_map(|name| entries(network.join(name))));
        for each in entries(network.join("endpoints")).into_iter().chain(entries(network.join("leases"))) {
            // The last address that was given is kept.
            left.extend(
                entries(each)
                    .into_iter()
                    .filter(|path| !path.file_name().unwrap().to_string_lossy().starts_with(".last")),
            );
        }
        left.extend(Some(network.join("edge.json")).filter(|path| path.exists()));
    }
    left
}

/// Nothing at all is left, of the user's processes either.
#[track_caller]
fn assert_all_gone(place: &Place) {
    assert_eq!(left_of_networks(place), Vec::<PathBuf>::new());
    assert_eq!(processes_of(place, ""), [0; 0]);
    assert_nothing_left(place);
}

/// Does something in a container's network namespace.
fn inside<T: Send>(place: &Place, name: &str, work: impl FnOnce() -> T + Send) -> T {
    Wire::within(&format!("/proc/{}/ns/net", place.field(name, ".State.Pid")), work)
}

#[test]
fn who_reaches_whom() {
    let wire = Wire::new();
    let place = wire.place("");
    place.ctn(&["network", "create", "mine"]);
    place.ctn(&["network", "create", "other"]);
    let ports = ["-p", "8080:80", "-p", "127.0.0.1::80"];
    Wire::served(&place, "web", &[&["--network", "mine", "--network-alias", "site"], &ports[..]].concat());
    place.ctn(&["run", "-d", "--name", "near", "--network", "mine", "box", "sleep", "1000"]);
    // In a user namespace of its own, too.
    place.ctn(&["run", "-d", "--name", "far", "--userns", "keep-id", "--network", "other", "box", "sleep", "1000"]);
    let own = place.field("web", ".NetworkSettings.Networks.mine.IPAddress");
    assert_eq!(place.ctn(&["port", "web"]).lines().next(), Some("80/tcp -> 0.0.0.0:8080"));
    // From outside, and the one who asked is seen.
    assert_eq!(wire.fetched(8080), "from the image\n");
    until("the server has seen who asked", || has_said(&place, "web", OUTSIDE));
    // From the host, at all its addresses.
    let loopback = place.ctn(&["port", "web"]).lines().last().unwrap().rsplit(' ').next().unwrap().to_owned();
    for at in ["127.0.0.1:8080", &format!("{HOST}:8080"), &loopback] {
        let output = Wire::run(&wire.host, &format!("timeout 5 wget -qO- http://{at}/of-image"));
        assert_eq!(succeeded(&output, at), "from the image\n");
    }
    // Who tries ::1 first, as `localhost` has it, is refused at once and goes on.
    let refused = Wire::run(&wire.host, "wget -qO- http://[::1]:8080/of-image");
    assert!(String::from_utf8_lossy(&refused.stderr).contains("Connection refused"), "{refused:?}");
    // A port of the loopback is nobody's outside.
    let number = loopback.rsplit(':').next().unwrap();
    assert!(!wire.outside(&format!("timeout 3 wget -qO- http://{HOST}:{number}/of-image")).status.success());
    // By name, alias and address in the same network, and its own published port.
    for url in ["http://web/of-image", "http://site/of-image", &format!("http://{own}/of-image")] {
        assert_fetches(&place, "near", url);
    }
    for container in ["near", "far", "web"] {
        assert_fetches(&place, container, &format!("http://{HOST}:8080/of-image"));
    }
    // Networks are apart, and so are names.
    assert_eq!(fetched(&place, "far", &format!("http://{own}/of-image")), None);
    assert!(!place.call(&["exec", "far", "busybox", "nslookup", "web"]).status.success());
    // What is outside, and what listens on the host, but not on its loopback.
    let _outside = Server::start(&wire.outside, &format!("{OUTSIDE}:8000"));
    let _host = Server::start(&wire.host, "127.0.0.1:8001");
    assert_eq!(fetched(&place, "far", &format!("http://{OUTSIDE}:8000/hello")).as_deref(), Some("hello\n"));
    for at in [HOST, OUTSIDE, "169.254.0.1"] {
        assert_eq!(fetched(&place, "far", &format!("http://{at}:8001/hello")), None, "{at}");
    }
    place.ctn(&["rm", "-f", "web", "near", "far"]);
    assert!(!wire.outside(&format!("timeout 3 wget -qO- http://{HOST}:8080/of-image")).status.success());
    place.ctn(&["network", "rm", "mine", "other"]);
    assert_all_gone(&place);
}

#[test]
fn datagrams_show_who_sent_them() {
    let wire = Wire::new();
    let place = wire.place("");
    place.ctn(&["network", "create", "mine"]);
    place.ctn(&["run", "-d", "--name", "echo", "--network", "mine", "-p", "5353:7/udp", "box", "sleep", "1000"]);
    let server = inside(&place, "echo", || UdpSocket::bind("0.0.0.0:7").unwrap());
    server.set_read_timeout(Some(LIMIT)).unwrap();
    let ask = |namespace: &str, own: &str, at: &str| -> SocketAddr {
        let client = Wire::within(&format!("/run/netns/{namespace}"), || UdpSocket::bind((own, 0)).unwrap());
        client.set_read_timeout(Some(LIMIT)).unwrap();
        let mut buffer = [0; 64];
        client.send_to(b"question", (at, 5353)).unwrap();
        let (count, from) = server.recv_from(&mut buffer).unwrap();
        assert_eq!(&buffer[..count], b"question");
        server.send_to(b"answer", from).unwrap();
        let (count, sender) = client.recv_from(&mut buffer).unwrap();
        assert_eq!((&buffer[..count], sender.to_string()), (&b"answer"[..], format!("{at}:5353")));
        if own != "127.0.0.1" {
            assert_eq!(from, client.local_addr().unwrap());
        }
        from
    };
    ask(&wire.outside, OUTSIDE, HOST);
    ask(&wire.host, HOST, HOST);
    ask(&wire.host, "127.0.0.1", "127.0.0.1");
    place.ctn(&["rm", "-f", "echo"]);
    place.ctn(&["network", "rm", "mine"]);
    assert_all_gone(&place);
}

#[test]
fn the_same_of_ipv6() {
    let wire = Wire::new();
    let place = wire.place("");
    place.ctn(&["network", "create", "--ipv6", "--subnet", "fd77::/64", "six"]);
    Wire::served(&place, "web", &["--network", "six", "--ip6", "fd77::7", "-p", "8080:80"]);
    place.ctn(&["run", "-d", "--name", "near", "--network", "six", "box", "sleep", "1000"]);
    assert_eq!(place.field("web", ".NetworkSettings.Networks.six.GlobalIPv6Address"), "fd77::7");
    let url = format!("http://[{HOST6}]:8080/of-image");
    until("the server answers", || wire.outside(&format!("timeout 5 wget -qO- {url}")).status.success());
    until("the server has seen who asked", || has_said(&place, "web", &format!("[{OUTSIDE6}]")));
    assert_eq!(wire.fetched(8080), "from the image\n");
    until("the server has seen who asked by IPv4", || has_said(&place, "web", OUTSIDE));
    assert_fetches(&place, "near", "http://[fd77::7]/of-image");
    assert_fetches(&place, "near", &url);
    assert!(place.ctn(&["exec", "near", "busybox", "nslookup", "-type=aaaa", "web"]).contains("fd77::7"));
    let _outside = Server::start(&wire.outside, &format!("[{OUTSIDE6}]:8000"));
    let at = format!("http://[{OUTSIDE6}]:8000/hello");
    assert_eq!(fetched(&place, "near", &at).as_deref(), Some("hello\n"));
    place.ctn(&["rm", "-f", "web", "near"]);
    place.ctn(&["network", "rm", "six"]);
    assert_all_gone(&place);
}

#[test]
fn what_is_internal_stays_inside() {
    let wire = Wire::new();
    let place = wire.place("");
    place.ctn(&["network", "create", "--internal", "cellar"]);
    Wire::served(&place, "web", &["--network", "cellar"]);
    place.ctn(&["run", "-d", "--name", "near", "--network", "cellar", "box", "sleep", "1000"]);
    assert_fetches(&place, "near", "http://web/of-image");
    // Nothing leads outside, not even a program that would.
    assert_eq!(processes_of(&place, ""), [0; 0]);
    let _outside = Server::start(&wire.outside, &format!("{OUTSIDE}:8000"));
    let at = format!("http://{OUTSIDE}:8000/hello");
    assert_eq!(fetched(&place, "near", &at), None);
    // Beside one that does, too.
    place.ctn(&["network", "create", "mine"]);
    place.ctn(&["run", "-d", "--name", "other", "--network", "mine", "box", "sleep", "1000"]);
    assert_eq!(fetched(&place, "other", &at).as_deref(), Some("hello\n"));
    let gateway = place.ctn(&["network", "inspect", "-f", "{{(index .IPAM.Config 0).Gateway}}", "cellar"]);
    place.ctn(&[
        "run",
        "--rm",
        "--cap-add",
        "NET_ADMIN",
        "--network",
        "container:near",
        "box",
        "busybox",
        "ip",
        "route",
        "add",
        "default",
        "via",
        gateway.trim(),
    ]);
    assert_eq!(fetched(&place, "near", &at), None);
    let refusal = place.refusal(125, &["run", "--rm", "--network", "cellar", "-p", "8080:80", "box", "true"]);
    assert!(refusal.contains("ports can't be published in the internal network cellar"), "{refusal}");
    place.ctn(&["rm", "-f", "web", "near", "other"]);
    place.ctn(&["network", "prune", "-f"]);
    assert_all_gone(&place);
}

#[test]
fn the_default_bridge_is_the_users_own() {
    let wire = Wire::new();
    // The machine asks itself for names.
    let server = Wire::within(&format!("/run/netns/{}", wire.host), || UdpSocket::bind("127.0.0.1:53").unwrap());
    server.set_read_timeout(Some(LIMIT)).unwrap();
    let list = std::env::temp_dir().join(format!("{}.resolv.conf", wire.host));
    fs::write(&list, "nameserver 127.0.0.1\n").unwrap();
    let place = wire.place(&format!("mount --bind {} /etc/resolv.conf", list.display()));
    place.ctn(&["network", "create", "mine"]);
    let answering = std::thread::spawn(move || {
        for _ in 0..2 {
            let mut buffer = [0; 512];
            let (count, from) = server.recv_from(&mut buffer).unwrap();
            // RFC 1035, 4.1: the question comes back with one answer, 10.1.2.3 for the name at offset 12.
            let mut answer = buffer[..count].to_vec();
            answer[2..8].copy_from_slice(&[0x81, 0x80, 0, 1, 0, 1]);
            answer.extend([0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4, 10, 1, 2, 3]);
            server.send_to(&answer, from).unwrap();
        }
    });
    let script = "cat /etc/resolv.conf /etc/hosts; busybox nslookup -type=a name.test";
    for (network, resolver) in [("bridge", "169.254.1.1"), ("mine", "127.0.0.11")] {
        let flags = ["--network", network, "--add-host", "machine:host-gateway"];
        let said = place.ctn(&[&["run", "--rm"], &flags[..], &["box", "sh", "-c", script]].concat());
        assert!(said.contains(&format!("nameserver {resolver}\n")) && said.contains("10.1.2.3"), "{network}: {said}");
        assert!(said.contains(&format!("{HOST}\tmachine\n")), "{network}: {said}");
    }
    answering.join().unwrap();
    assert_eq!(place.ctn(&["network", "ls", "--format", "{{.Name}}"]), "bridge\nhost\nmine\nnone\n");
    // A user's default is pasta all the same, and no address of the machine's is in the networks.
    place.ctn(&["run", "-d", "--name", "plain", "box", "sleep", "1000"]);
    assert_eq!(place.field("plain", ".HostConfig.NetworkMode"), "pasta");
    let subnet = place.ctn(&["network", "inspect", "-f", "{{(index .IPAM.Config 0).Subnet}}", "bridge"]);
    assert!(!subnet.starts_with("10.99.0"), "{subnet}");
    place.ctn(&["rm", "-f", "plain"]);
    place.ctn(&["network", "rm", "mine"]);
    let _ = fs::remove_file(list);
    assert_all_gone(&place);
}

#[test]
fn connected_and_disconnected_while_it_runs() {
    let wire = Wire::new();
    let place = wire.place("");
    for (name, subnet) in [("front", "10.87.66.0/24"), ("back", "10.87.67.0/24")] {
        place.ctn(&["network", "create", "--subnet", subnet, name]);
    }
    Wire::served(&place, "web", &["--network", "front", "--ip", "10.87.66.9", "-p", "8080:80"]);
    place.ctn(&["run", "-d", "--name", "near", "--network", "back", "box", "sleep", "1000"]);
    assert_eq!(fetched(&place, "near", "http://web/of-image"), None);
    let flags = ["--ip", "10.87.67.50", "--alias", "database", "--mac-address", "02:00:00:00:00:67"];
    place.ctn(&[&["network", "connect"], &flags[..], &["back", "web"]].concat());
    for name in ["web", "database", "10.87.67.50"] {
        assert_fetches(&place, "near", &format!("http://{name}/of-image"));
    }
    assert!(place.ctn(&["exec", "web", "cat", "/sys/class/net/eth1/address"]).starts_with("02:00:00:00:00:67"));
    assert!(place.ctn(&["exec", "web", "cat", "/etc/hosts"]).contains("10.87.67.50\t"));
    assert_eq!(wire.fetched(8080), "from the image\n");
    // All of it again after a restart.
    place.ctn(&["restart", "-t", "0", "web"]);
    assert_eq!(wire.fetched(8080), "from the image\n");
    assert_fetches(&place, "near", "http://database/of-image");
    assert_eq!(place.field("web", ".NetworkSettings.Networks.front.IPAddress"), "10.87.66.9");
    // Ports go with the network that they are of, and the pasta before them.
    let before = port(&place);
    place.ctn(&["network", "disconnect", "front", "web"]);
    assert_eq!(processes_of(&place, "-I port"), [0; 0], "{before}");
    assert!(!wire.outside(&format!("timeout 3 wget -qO- http://{HOST}:8080/of-image")).status.success());
    assert_eq!(place.ctn(&["port", "web"]), "");
    // What it had of the namespace is gone, too: there is the networks' own name of it.
    assert_eq!(fs::read_dir(place.join("run/netns")).unwrap().count(), 1);
    place.ctn(&["run", "--rm", "-p", "8080:80", "--network", "back", "box", "true"]);
    assert_fetches(&place, "near", "http://web/of-image");
    place.ctn(&["network", "disconnect", "back", "web"]);
    assert_eq!(fetched(&place, "near", "http://10.87.67.50/of-image"), None);
    place.ctn(&["rm", "-f", "web", "near"]);
    place.ctn(&["network", "rm", "front", "back"]);
    assert_all_gone(&place);
}

#[test]
fn ports_in_many_forms() {
    let wire = Wire::new();
    let place = wire.place("");
    place.ctn(&["network", "create", "mine"]);
    let flags = ["--network", "mine", "-p", "8080-8082:80-82", "-p", &format!("{HOST}::80"), "-p", "127.0.0.1:8090:80"];
    Wire::served(&place, "web", &flags);
    let ports = place.ctn(&["port", "web"]);
    for words in
        ["80/tcp -> 0.0.0.0:8080\n", "81/tcp -> 0.0.0.0:8081\n", "82/tcp -> 0.0.0.0:8082\n", "127.0.0.1:8090\n"]
    {
        assert!(ports.contains(words), "{ports}");
    }
    assert_eq!(wire.fetched(8080), "from the image\n");
    let chosen = ports.lines().find_map(|line| line.rsplit_once(&format!("-> {HOST}:"))).unwrap().1;
    assert_eq!(wire.fetched(chosen.parse().unwrap()), "from the image\n");
    // Another container beside it has the same numbers at other addresses, and they are told apart.
    place.ctn(&[
        "run",
        "-d",
        "--name",
        "two",
        "--network",
        "mine",
        "-p",
        &format!("{HOST}:8090:80"),
        "box",
        "busybox",
        "httpd",
        "-f",
        "-p",
        "80",
        "-h",
        "/",
    ]);
    until("the other one answers", || {
        wire.outside(&format!("timeout 3 wget -qO- http://{HOST}:8090/data/of-image")).status.success()
    });
    let own = Wire::run(&wire.host, "timeout 3 wget -qO- http://127.0.0.1:8090/of-image");
    assert_eq!(succeeded(&own, "at the loopback"), "from the image\n");
    place.ctn(&["run", "-d", "--name", "all", "--network", "mine", "-P", "--expose", "80", "box", "sleep", "1000"]);
    assert!(place.ctn(&["port", "all", "80"]).starts_with("0.0.0.0:"));
    let inspected = place.ctn(&["inspect", "-f", "{{json .NetworkSettings.Ports}}", "two"]);
    assert_eq!(inspected.trim(), format!("{{\"80/tcp\":[{{\"HostIp\":\"{HOST}\",\"HostPort\":\"8090\"}}]}}"));
    place.ctn(&["rm", "-f", "web", "two", "all"]);
    place.ctn(&["network", "rm", "mine"]);
    assert_all_gone(&place);
}

#[test]
fn what_can_not_be() {
    let wire = Wire::new();
    let place = wire.place("");
    let _taken = Server::start(&wire.host, "0.0.0.0:8000");
    place.ctn(&["network", "create", "--subnet", "10.87.65.0/24", "mine"]);
    Wire::served(&place, "web", &["--network", "mine", "-p", "127.0.0.1:8001:80"]);
    let run = |flags: &[&str]| {
        let refusal = place.refusal(125, &[&["run", "--rm"], flags, &["box", "true"]].concat());
        assert!(is_one_sentence(&refusal), "{refusal}");
        refusal
    };
    for (flags, words) in [
        (&["--network", "mine", "-p", "8000:80"][..], "Bind for 0.0.0.0:8000 failed: port is already allocated"),
        (
            &["--network", "mine", "-p", "127.0.0.1:8001:80"],
            "Bind for 127.0.0.1:8001 failed: port is already allocated",
        ),
        (&["--network", "mine", "-p", "127.0.0.2:8001:80"], "port is already allocated to the container"),
        (&["--network", "mine", "-p", "80:80"], "net.ipv4.ip_unprivileged_port_start"),
        (&["--network", "mine", "-p", "8081:80/sctp"], "pasta carries TCP and UDP"),
        (&["--network", "nonsense"], "network nonsense not found"),
        (&["--network", "mine", "--ip", "10.1.2.3"], "10.1.2.3"),
        (&["--network", "bridge", "--ip", "10.1.2.3"], "networks that users made"),
        (&["--network", "mine", "--network", "pasta"], "user-defined"),
    ] {
        let refusal = run(flags);
        assert!(refusal.contains(words), "{flags:?}: {refusal}");
    }
    for (arguments, words) in [
        (&["create", "--subnet", "10.87.65.0/25", "more"][..], "overlaps 10.87.65.0/24 of the network mine"),
        (&["create", "--subnet", "10.99.0.0/16", "more"], "overlaps the host's route 10.99.0.0/24 by uplink"),
        (&["create", "mine"], "already exists"),
        (&["create", "-d", "macvlan", "-o", "parent=uplink", "more"], "an ordinary user may not change"),
        (&["create", "-o", "com.docker.network.bridge.name=edge", "more"], "the link edge exists already"),
        (&["create", "-o", "com.docker.network.bridge.name=port1", "more"], "the link port1 exists already"),
        (&["rm", "mine"], "has active endpoints"),
        (&["rm", "bridge"], "pre-defined"),
        (&["connect", "mine", "web"], "in the network mine already"),
        (&["connect", "nonsense", "web"], "network nonsense not found"),
        (&["disconnect", "bridge", "web"], "is not connected to network bridge"),
    ] {
        let refusal = place.refusal(1, &[&["network"], arguments].concat());
        assert!(refusal.contains(words) && is_one_sentence(&refusal), "{arguments:?}: {refusal}");
    }
    // Nothing of those stands in anybody's way.
    let own = Wire::run(&wire.host, "timeout 5 wget -qO- http://127.0.0.1:8001/of-image");
    assert_eq!(succeeded(&own, "at the loopback"), "from the image\n");
    place.ctn(&["rm", "-f", "web"]);
    place.ctn(&["network", "rm", "mine"]);
    assert_all_gone(&place);
}

#[test]
fn two_users_beside_each_other() {
    let wire = Wire::new();
    let place = wire.place("");
    let other = wire.place_of(OTHER);
    for (whose, port) in [(&place, "8080:80"), (&other, "8081:80")] {
        whose.ctn(&["network", "create", "--subnet", "10.87.65.0/24", "mine"]);
        Wire::served(whose, "web", &["--network", "mine", "--ip", "10.87.65.7", "-p", port]);
        whose.ctn(&["run", "-d", "--name", "near", "--network", "mine", "box", "sleep", "1000"]);
    }
    for port in [8080, 8081] {
        assert_eq!(wire.fetched(port), "from the image\n");
    }
    let refusal = other.refusal(125, &["run", "--rm", "--network", "mine", "-p", "8080:80", "box", "true"]);
    assert!(refusal.contains("port is already allocated"), "{refusal}");
    // Each reaches its own, though names and addresses are the same, and what the other one has published.
    assert_fetches(&place, "near", "http://web/of-image");
    place.ctn(&["rm", "-f", "web"]);
    assert_eq!(fetched(&place, "near", "http://10.87.65.7/of-image"), None);
    assert_fetches(&other, "near", "http://10.87.65.7/of-image");
    assert_fetches(&place, "near", &format!("http://{HOST}:8081/of-image"));
    for whose in [&place, &other] {
        whose.ctn(&["rm", "-f", "web", "near"]);
        whose.ctn(&["network", "rm", "mine"]);
        assert_all_gone(whose);
    }
}

#[test]
fn rules_and_links_come_back() {
    let wire = Wire::new();
    let place = wire.place("");
    place.ctn(&["network", "create", "-o", "com.docker.network.bridge.name=mine0", "mine"]);
    Wire::served(&place, "web", &["--network", "mine", "-p", "8080:80"]);
    assert_eq!(wire.fetched(8080), "from the image\n");
    let network = network_of(&place);
    let script = "nft flush ruleset; ip link del mine0; for f in -4 -6; do ip $f rule del pref 32765; done";
    let net = format!("--net={network}");
    succeeded(&Command::new("nsenter").args([&net, "sh", "-c", script]).output().unwrap(), script);
    assert!(!wire.outside(&format!("timeout 3 wget -qO- http://{HOST}:8080/of-image")).status.success());
    assert_eq!(place.ctn(&["network", "reload"]), "");
    assert_eq!(wire.fetched(8080), "from the image\n");
    place.ctn(&["rm", "-f", "web"]);
    // The network has no more than its definition, and is of use again.
    Wire::served(&place, "web", &["--network", "mine", "-p", "8080:80"]);
    assert_eq!(wire.fetched(8080), "from the image\n");
    place.ctn(&["rm", "-f", "web"]);
    place.ctn(&["network", "rm", "mine"]);
    assert_all_gone(&place);
}

/// The process that keeps the user's namespaces.
fn holder(place: &Place) -> i32 {
    let line = processes(place).into_iter().find(|line| line.contains(" ctn holder ")).unwrap();
    line.split(' ').next().unwrap().parse().unwrap()
}

/// The namespace of the user's networks, which is mounted where only the user's processes see it.
fn network_of(place: &Place) -> String {
    let names = fs::read_dir(place.join("run/netns")).unwrap().flatten().map(|entry| entry.path());
    let name = names.into_iter().find(|path| path.to_string_lossy().contains("/ctn-engine")).unwrap();
    format!("/proc/{}/root{}", holder(place), name.display())
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
            wire.outside(&format!("timeout 3 wget -qO- http://{HOST}:8080/of-image")).status.success()
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
        "--network",
        "mine",
        "box",
        "busybox",
        "wget",
        "-qO",
        "/dev/null",
        "http://web/of-image",
    ]);
    // A killed monitor's container goes with all that it had; the next command sees to that.
    kill(place.monitor_of("web"));
    assert!(place.ctn(&["ps", "-a"]).contains("Exited (137)"));
    assert_eq!(left_of_networks(&place), Vec::<PathBuf>::new());
    assert_eq!(processes_of(&place, ""), [0; 0]);
    place.ctn(&["start", "web"]);
    assert_eq!(wire.fetched(8080), "from the image\n");
    place.ctn(&["rm", "-f", "web"]);
    place.ctn(&["network", "rm", "mine"]);
    assert_all_gone(&place);
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
    assert!(place.ctn(&["ps", "-a"]).contains("Exited (137)"));
    assert_eq!(left_of_networks(&place), Vec::<PathBuf>::new());
    assert_eq!(processes_of(&place, ""), [0; 0]);
    place.ctn(&["start", "web"]);
    assert_eq!(wire.fetched(8080), "from the image\n");
    place.ctn(&["rm", "-f", "web"]);
    place.ctn(&["network", "rm", "mine"]);
    assert_all_gone(&place);
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
fn killed_at_every_step() {
    let wire = Wire::new();
    let place = wire.place("");
    place.ctn(&["network", "create", "mine"]);
    // Who keeps the user's namespaces meanwhile: newuidmap(1) is not to be traced.
    place.detached("keeper", &[], "sleep 1000");
    let arguments = ["run", "--rm", "--network", "mine", "-p", "8080:80", "box", "true"];
    let calls = "symlink,rename,unlink,clone3,clone,vfork,umount2,mount,sendmsg,sendto,setns,flock";
    let mut killed = 0;
    for number in (1..60).step_by(2) {
        if killed_at(&place, calls, number, &arguments) {
            killed += 1;
        }
        until(&format!("nothing is left after step {number}"), || {
            let (code, _, errors) = place.outcome(&["ps", "-q"]);
            assert_eq!((code, errors.as_str()), (Some(0), ""), "step {number}");
            for id in place.ctn(&["ps", "-aq", "--filter", "status=created"]).lines() {
                place.outcome(&["rm", id]);
            }
            left_of_networks(&place).is_empty() && processes_of(&place, "").is_empty()
        });
        // The port is free.
        place.ctn(&["run", "--rm", "--network", "mine", "-p", "8080:80", "box", "true"]);
    }
    assert!(killed > 10, "only {killed} were killed");
    place.ctn(&["rm", "-f", "keeper"]);
    place.ctn(&["network", "rm", "mine"]);
    assert_all_gone(&place);
}

#[test]
fn a_machine_without_a_way_outside() {
    let wire = Wire::new();
    for family in ["-4", "-6"] {
        let line = ["-n", &wire.host, family, "route", "del", "default"];
        succeeded(&Command::new("ip").args(line).output().unwrap(), line);
    }
    let place = wire.place("");
    place.ctn(&["network", "create", "mine"]);
    let _outside = Server::start(&wire.outside, &format!("{OUTSIDE}:8000"));
    for (network, port) in [("mine", 8080), ("pasta", 8081)] {
        Wire::served(&place, network, &["--network", network, "-p", &format!("{port}:80")]);
        assert_eq!(wire.fetched(port), "from the image\n");
        assert_eq!(fetched(&place, network, &format!("http://{OUTSIDE}:8000/hello")).as_deref(), Some("hello\n"));
    }
    place.ctn(&["rm", "-f", "mine", "pasta"]);
    place.ctn(&["network", "rm", "mine"]);
    assert_all_gone(&place);
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
        let arguments =
            ["run", "--rm", "--network", "mine", "-P", "--expose", "80", "box", "busybox", "wget", "-qO-", &url];
        let at_once: Vec<_> = (0..5).map(|_| place.spawn(&arguments)).collect();
        for one in at_once {
            let output = one.wait_with_output().unwrap();
            assert_eq!(succeeded(&output, arguments), "hello\n");
        }
    }
    place.ctn(&["network", "rm", "mine"]);
    assert_all_gone(&place);
}
