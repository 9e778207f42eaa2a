//! What is done to containers and networks, and what is refused.

use std::fs;

use super::*;

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
    assert!(!wire.outside(&format!("timeout 5 wget -qO- http://{HOST}:8080/of-image")).status.success());
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
        wire.outside(&format!("timeout 5 wget -qO- http://{HOST}:8090/data/of-image")).status.success()
    });
    let own = Wire::run(&wire.host, "timeout 5 wget -qO- http://127.0.0.1:8090/of-image");
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
        (&["create", "--subnet", "169.254.7.0/24", "more"], "between an ordinary user's networks and what is outside"),
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
