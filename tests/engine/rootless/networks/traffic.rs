//! Who reaches whom, and under which address.

use std::net::{SocketAddr, UdpSocket};
use std::process::Command;

use super::*;

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
    let refused = Wire::run(&wire.host, "timeout 5 wget -qO- http://[::1]:8080/of-image");
    assert!(String::from_utf8_lossy(&refused.stderr).contains("Connection refused"), "{refused:?}");
    // A port of the loopback is nobody's outside.
    let number = loopback.rsplit(':').next().unwrap();
    assert!(!wire.outside(&format!("timeout 5 wget -qO- http://{HOST}:{number}/of-image")).status.success());
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
    assert!(!wire.outside(&format!("timeout 5 wget -qO- http://{HOST}:8080/of-image")).status.success());
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
    let flags = ["--network", "six", "--ip6", "fd77::7", "-p", "8080:80"];
    let run = [&["run", "-d", "--name", "web"], &flags[..], &["box"], &SERVER].concat();
    let (_, _, warnings) = place.outcome(&run);
    place.ctn(&["run", "-d", "--name", "near", "--network", "six", "box", "sleep", "1000"]);
    assert_eq!(place.field("web", ".NetworkSettings.Networks.six.GlobalIPv6Address"), "fd77::7");
    let url = format!("http://[{HOST6}]:8080/of-image");
    until("the server answers", || wire.outside(&format!("timeout 5 wget -qO- {url}")).status.success());
    until("the server has seen who asked", || has_said(&place, "web", &format!("[{OUTSIDE6}]")));
    // Not every pasta leads from the host's loopback to it, and then that is told.
    let is_told = warnings.contains("nobody reaches the host's port 8080/tcp at ::1") && is_one_sentence(&warnings);
    let own = Wire::run(&wire.host, "timeout 5 wget -qO- http://[::1]:8080/of-image");
    assert_ne!(own.status.success(), is_told, "{warnings}");
    assert_eq!(wire.fetched(8080), "from the image\n");
    until("the server has seen who asked by IPv4", || has_said(&place, "web", OUTSIDE));
    assert_fetches(&place, "near", "http://[fd77::7]/of-image");
    assert_fetches(&place, "near", &url);
    assert!(place.ctn(&["exec", "near", "busybox", "nslookup", "-type=aaaa", "web"]).contains("fd77::7"));
    let _outside = Server::start(&wire.outside, &format!("[{OUTSIDE6}]:8000"));
    let at = format!("http://[{OUTSIDE6}]:8000/hello");
    assert_eq!(fetched(&place, "near", &at).as_deref(), Some("hello\n"));
    // Nobody between has the host's own address.
    let _host = Server::start(&wire.host, &format!("[{HOST6}]:8001"));
    let at = format!("http://[{HOST6}]:8001/hello");
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
    let mut names = Names::on(&wire, 2);
    let place = names.place(&wire);
    place.ctn(&["network", "create", "mine"]);
    let script = "cat /etc/resolv.conf /etc/hosts; busybox nslookup -type=a name.test";
    for (network, resolver) in [("bridge", "169.254.1.1"), ("mine", "127.0.0.11")] {
        let flags = ["--network", network, "--add-host", "machine:host-gateway"];
        let said = place.ctn(&[&["run", "--rm"], &flags[..], &["box", "sh", "-c", script]].concat());
        assert!(said.contains(&format!("nameserver {resolver}\n")) && said.contains("10.1.2.3"), "{network}: {said}");
        assert!(said.contains(&format!("{HOST}\tmachine\n")), "{network}: {said}");
    }
    names.answered();
    assert_eq!(place.ctn(&["network", "ls", "--format", "{{.Name}}"]), "bridge\nhost\nmine\nnone\n");
    // A user's default is pasta all the same, and no address of the machine's is in the networks.
    place.ctn(&["run", "-d", "--name", "plain", "box", "sleep", "1000"]);
    assert_eq!(place.field("plain", ".HostConfig.NetworkMode"), "pasta");
    let subnet = place.ctn(&["network", "inspect", "-f", "{{(index .IPAM.Config 0).Subnet}}", "bridge"]);
    assert!(!subnet.starts_with("10.99.0"), "{subnet}");
    place.ctn(&["rm", "-f", "plain"]);
    place.ctn(&["network", "rm", "mine"]);
    assert_all_gone(&place);
}

/// The machine comes to a wire whose addresses are those of the user's bridge, which is there still.
#[test]
fn the_default_bridge_makes_way() {
    let wire = Wire::new();
    let place = wire.place("");
    let server = Server::start(&wire.outside, &format!("{OUTSIDE}:8000"));
    place.ctn(&["network", "create", "mine"]);
    place.ctn(&["run", "-d", "--name", "other", "--network", "mine", "box", "sleep", "1000"]);
    place.ctn(&["run", "--rm", "--network", "bridge", "box", "true"]);
    let subnet = || place.ctn(&["network", "inspect", "-f", "{{(index .IPAM.Config 0).Subnet}}", "bridge"]);
    let before = subnet();
    let line = format!("-n {} route add {} dev uplink", wire.host, before.trim());
    succeeded(&Command::new("ip").args(line.split(' ')).output().unwrap(), &line);
    let fetch = ["busybox", "timeout", "5", "busybox", "wget", "-qO-", &format!("http://{OUTSIDE}:8000/hello")];
    let run = ["run", "--rm", "--init", "--network", "bridge", "box"];
    let (_, said, errors) = place.outcome(&[&run[..], &fetch[..]].concat());
    assert_eq!(said, "hello\n", "{errors}");
    assert_ne!(before, subnet());
    drop(server);
    place.ctn(&["rm", "-f", "other"]);
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
