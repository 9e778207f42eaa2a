//! Containers in networks; the networks' own tests are in tests/network.

use std::fs::{self, File};
use std::io::Read;
use std::net::TcpStream;
use std::path::PathBuf;

use rustix::fs::{FlockOperation, flock};

use crate::harness::{Place, kill, until};
use crate::lock;
use crate::wire;

#[test]
fn a_port_is_published_and_held() {
    let place = Place::new();
    let script = "while :; do echo served | busybox nc -l -p 80; done";
    place.ctn(&["run", "-d", "--name", "server", "-p", "127.0.0.1:18080:80", "box", "sh", "-c", script]);
    let mut answer = String::new();
    until("it serves", || {
        let read = TcpStream::connect("127.0.0.1:18080").and_then(|mut stream| stream.read_to_string(&mut answer));
        read.is_ok() && answer == "served\n"
    });
    assert_eq!(place.ctn(&["port", "server"]), "80/tcp -> 127.0.0.1:18080\n");
    assert_eq!(place.ctn(&["port", "server", "80"]), "127.0.0.1:18080\n");
    assert!(place.ctn(&["ps"]).contains("127.0.0.1:18080->80/tcp"));
    let refusal = place.refusal(125, &["run", "--rm", "-p", "127.0.0.1:18080:80", "box", "true"]);
    assert!(refusal.contains("port is already allocated"), "{refusal}");
    let refusal = place.refusal(1, &["network", "rm", "bridge"]);
    assert!(refusal.contains("pre-defined"), "{refusal}");
    // Whatever its monitor held is free again with the next command.
    kill(place.monitor_of("server"));
    place.ctn(&["ps"]);
    place.ctn(&["run", "--rm", "-p", "127.0.0.1:18080:80", "box", "true"]);
    place.ctn(&["rm", "server"]);
    place.assert_nothing_left();
}

/// docker sorts them since 23.0; before, their order changed from call to call (docker/cli issue 3856).
#[test]
fn ports_are_listed_in_the_order_of_their_numbers() {
    let place = Place::new();
    let ports = ["127.0.0.1:18100:100", "127.0.0.1:18091:90/udp", "127.0.0.1:18090:90"];
    let flags = ports.map(|port| ["-p", port]).concat();
    place.ctn(&[&["run", "-d", "--name", "server"], &flags[..], &["box", "sleep", "1000"]].concat());
    let wanted = "90/tcp -> 127.0.0.1:18090\n90/udp -> 127.0.0.1:18091\n100/tcp -> 127.0.0.1:18100\n";
    assert_eq!(place.ctn(&["port", "server"]), wanted);
    place.ctn(&["rm", "-f", "server"]);
    place.assert_nothing_left();
}

#[test]
fn ports_that_are_exposed_alone_are_shown() {
    let place = Place::new();
    let flags = ["-p", "127.0.0.1:18103:80", "--expose", "100-102", "--expose", "5/udp"];
    place.ctn(&[&["run", "-d", "--name", "server"], &flags[..], &["box", "sleep", "1000"]].concat());
    let shown = || place.ctn(&["ps", "-a", "--format", "{{.Ports}}"]);
    assert_eq!(shown(), "5/udp, 100-102/tcp, 127.0.0.1:18103->80/tcp\n");
    let ports = || place.field("server", "range $port, $at := .NetworkSettings.Ports}}{{$port}}={{len $at}} {{end");
    assert_eq!(ports(), "100/tcp=0 101/tcp=0 102/tcp=0 5/udp=0 80/tcp=1");
    place.ctn(&["stop", "-t", "0", "server"]);
    assert_eq!((shown().as_str(), ports().as_str()), ("\n", ""));
    place.ctn(&["rm", "server"]);
    place.assert_nothing_left();
}

/// docker sets them, too, though the link is there after the container's namespace.
#[test]
fn sysctls_of_the_first_link() {
    let place = Place::new();
    place.ctn(&["network", "create", "mine"]);
    let look = "cat /proc/sys/net/ipv4/conf/eth0/log_martians /proc/sys/net/ipv4/conf/eth0/arp_ignore";
    for network in ["default", "mine"] {
        let settings = ["--sysctl", "net.ipv4.conf.eth0.log_martians=1", "--sysctl", "net.ipv4.conf.eth0.arp_ignore=2"];
        let run = [&["run", "--rm", "--network", network], &settings[..], &["box", "sh", "-c", look]].concat();
        assert_eq!(place.ctn(&run), "1\n2\n", "{network}");
    }
    place.ctn(&["network", "rm", "mine"]);
    place.assert_nothing_left();
}

#[test]
fn names_addresses_and_files() {
    let place = Place::new();
    place.ctn(&["network", "create", "--subnet", "10.87.65.0/24", "mine"]);
    let flags =
        ["--network", "mine", "--ip", "10.87.65.77", "--network-alias", "alias", "--mac-address", "02:00:00:00:00:77"];
    place.ctn(&[&["run", "-d", "--name", "known", "-h", "of-host"], &flags[..], &["box", "sleep", "1000"]].concat());
    let look = |script: &str| place.ctn(&["run", "--rm", "--network", "mine", "box", "sh", "-c", script]);
    let short = place.field("known", ".Id")[..12].to_owned();
    for name in ["known", "alias", "of-host", "of-host.mine", &short] {
        let found = look(&format!("busybox nslookup {name}"));
        assert!(found.contains("10.87.65.77"), "{found}");
    }
    let names = place.field("known", ".NetworkSettings.Networks.mine.DNSNames");
    assert_eq!(names, format!("[known alias {short} of-host]"));
    assert!(look("cat /etc/resolv.conf").starts_with("nameserver 127.0.0.11\n"));
    assert!(place.ctn(&["exec", "known", "cat", "/sys/class/net/eth0/address"]).starts_with("02:00:00:00:00:77"));
    assert_eq!(place.field("known", ".NetworkSettings.Networks.mine.IPAddress"), "10.87.65.77");
    let own = place.ctn(&[
        "run",
        "--rm",
        "-h",
        "own",
        "--add-host",
        "other:1.2.3.4",
        "--dns",
        "9.9.9.9",
        "--dns-search",
        "example.org",
        "box",
        "cat",
        "/etc/hosts",
        "/etc/resolv.conf",
    ]);
    for words in ["\town\n", "1.2.3.4\tother\n", "nameserver 9.9.9.9\n", "search example.org\n"] {
        assert!(own.contains(words), "{words}: {own}");
    }
    // One that is connected later finds names, too.
    place.ctn(&["run", "-d", "--name", "late", "box", "sleep", "1000"]);
    place.ctn(&["network", "connect", "mine", "late"]);
    let found = place.ctn(&["exec", "late", "busybox", "nslookup", "known"]);
    assert!(found.contains("10.87.65.77"), "{found}");
    let fields = "name=mine,alias=another,ip=10.87.65.78,mac-address=02:00:00:00:00:78";
    place.ctn(&["run", "-d", "--name", "fields", "--network", fields, "box", "sleep", "1000"]);
    let of_mine = |field: &str| place.field("fields", &format!(".NetworkSettings.Networks.mine.{field}"));
    assert_eq!((of_mine("IPAddress").as_str(), of_mine("MacAddress").as_str()), ("10.87.65.78", "02:00:00:00:00:78"));
    let found = place.ctn(&["exec", "late", "busybox", "nslookup", "another"]);
    assert!(found.contains("10.87.65.78"), "{found}");
    place.ctn(&["rm", "-f", "fields"]);
    place.ctn(&["network", "create", "--config-only", "like"]);
    for (flags, words) in [
        (
            &["--network", "name=mine,ip=10.87.65.78", "--ip", "10.87.65.79"][..],
            "cannot specify both --ip and per-network",
        ),
        (&["--network", "name=mine,nonsense=1"], "invalid field key nonsense"),
        (&["--network", "nonsense"][..], "network nonsense not found"),
        (&["--network", "mine", "--ip", "10.1.2.3"], "10.1.2.3"),
        (&["--ip", "10.1.2.3"], "networks that users made"),
        (&["--network", "none", "--mac-address", "02:00:00:00:00:01"], "mac-address"),
        (&["--network", "like"], "configuration-only"),
        (&["--add-host", "a:nonsense"], "invalid IP address"),
        (&["--dns", "nonsense"], "nonsense is not an ip address"),
    ] {
        let refusal = place.refusal(125, &[&["run", "--rm"], flags, &["box", "true"]].concat());
        assert!(refusal.contains(words), "{flags:?}: {refusal}");
    }
    place.ctn(&["rm", "-f", "known", "late"]);
    place.ctn(&["network", "rm", "mine", "like"]);
    place.assert_nothing_left();
}

#[test]
fn what_is_connected_stays_so_over_a_restart() {
    let place = Place::new();
    for (name, subnet) in [("front", "10.87.66.0/24"), ("back", "10.87.67.0/24"), ("side", "10.87.68.0/24")] {
        place.ctn(&["network", "create", "--subnet", subnet, name]);
    }
    place.ctn(&[
        "run",
        "-d",
        "--name",
        "web",
        "--network",
        "front",
        "-p",
        "127.0.0.1:18081:80",
        "box",
        "sleep",
        "1000",
    ]);
    let flags = ["--ip", "10.87.67.50", "--alias", "database", "--mac-address", "02:00:00:00:00:67"];
    place.ctn(&[&["network", "connect"], &flags[..], &["back", "web"]].concat());
    let refusal = place.refusal(1, &["network", "connect", "back", "web"]);
    assert!(refusal.contains("in the network back already"), "{refusal}");
    let addresses = || place.ctn(&["exec", "web", "busybox", "ip", "-o", "-4", "address"]);
    let asked = |name: &str| place.call(&["run", "--rm", "--network", "back", "box", "busybox", "nslookup", name]);
    let finds = |name: &str| String::from_utf8_lossy(&asked(name).stdout).contains("10.87.67.50");
    let is_whole = || {
        let own = addresses();
        assert!(own.contains("eth0    inet 10.87.66.") && own.contains("eth1    inet 10.87.67.50/24"), "{own}");
        assert!(place.ctn(&["exec", "web", "cat", "/sys/class/net/eth1/address"]).starts_with("02:00:00:00:00:67"));
        assert!(place.ctn(&["exec", "web", "cat", "/etc/hosts"]).contains("10.87.67.50\t"));
        assert!(finds("database") && finds("web"));
        assert_eq!(place.ctn(&["port", "web"]), "80/tcp -> 127.0.0.1:18081\n");
        assert_eq!(place.ctn(&["ps", "--format", "{{.Networks}}"]), "front,back\n");
    };
    is_whole();
    place.ctn(&["restart", "-t", "0", "web"]);
    is_whole();
    // One that doesn't run is connected and disconnected, too; its place is the one that is free then.
    place.ctn(&["stop", "-t", "0", "web"]);
    place.ctn(&["network", "connect", "side", "web"]);
    let of_networks = "{{range $name, $_ := .NetworkSettings.Networks}}{{$name}} {{end}}";
    assert_eq!(place.ctn(&["inspect", "-f", of_networks, "web"]), "back front side \n");
    assert_eq!(place.field("web", ".NetworkSettings.Networks.back.IPAddress"), "");
    place.ctn(&["network", "disconnect", "front", "web"]);
    place.ctn(&["start", "web"]);
    let own = addresses();
    assert!(own.contains("eth0    inet 10.87.67.50/24") && own.contains("eth1    inet 10.87.68."), "{own}");
    assert!(!own.contains("10.87.66."), "{own}");
    place.ctn(&["network", "disconnect", "side", "web"]);
    place.ctn(&["restart", "-t", "0", "web"]);
    assert!(!addresses().contains("10.87.68."));
    let refusal = place.refusal(1, &["network", "disconnect", "side", "web"]);
    assert!(refusal.contains("is not connected to network side"), "{refusal}");
    // A network that is gone keeps it from starting, and can be left.
    place.ctn(&["stop", "-t", "0", "web"]);
    place.ctn(&["network", "rm", "back"]);
    let refusal = place.refusal(1, &["start", "web"]);
    assert!(refusal.contains("network back not found"), "{refusal}");
    place.ctn(&["network", "disconnect", "back", "web"]);
    place.ctn(&["start", "web"]);
    place.ctn(&["rm", "-f", "web"]);
    place.ctn(&["network", "rm", "front", "side"]);
    place.assert_nothing_left();
}

#[test]
fn a_container_is_found_by_its_new_name() {
    let place = Place::new();
    place.ctn(&["network", "create", "--subnet", "10.87.69.0/24", "mine"]);
    let flags = ["--network", "mine", "--ip", "10.87.69.7"];
    place.ctn(&[&["run", "-d", "--rm", "--name", "old"], &flags[..], &["box", "sleep", "1000"]].concat());
    place.ctn(&["rename", "old", "new"]);
    let asked = |name: &str| place.call(&["run", "--rm", "--network", "mine", "box", "busybox", "nslookup", name]);
    let found = asked("new");
    assert!(String::from_utf8_lossy(&found.stdout).contains("10.87.69.7"), "{found:?}");
    assert!(!asked("old").status.success());
    // The monitor knows it as well, and gives the name back at the end.
    place.ctn(&["stop", "-t", "0", "new"]);
    place.ctn(&["network", "rm", "mine"]);
    place.assert_nothing_left();
}

/// Has a command wait for a container's lock, and does something meanwhile.
#[track_caller]
fn while_it_waits(place: &Place, directory: &PathBuf, arguments: &[&str], work: impl FnOnce()) {
    let other = File::open(directory).unwrap();
    flock(&other, FlockOperation::LockExclusive).unwrap();
    let mut child = place.spawn(arguments);
    lock::wait_for_lock(&mut child);
    work();
    drop(other);
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{arguments:?}: {output:?}");
}

#[test]
fn who_waited_for_a_container_sees_what_was_done_to_its_networks() {
    let place = Place::new();
    for name in ["mine", "other"] {
        place.ctn(&["network", "create", name]);
    }
    let networks = |name: &str| place.field(name, "range $name, $_ := .NetworkSettings.Networks}}{{$name}} {{end");
    let id = place.ctn(&["create", "--name", "web", "--network", "mine", "box", "sleep", "1000"]).trim().to_owned();
    let directory = place.store().join("containers").join(&id);
    let record = directory.join("container.json");
    let before = fs::read(&record).unwrap();
    place.ctn(&["network", "connect", "other", "web"]);
    let after = fs::read(&record).unwrap();
    for arguments in [&["rename", "web", "site"][..], &["update", "--restart", "on-failure", "web"]] {
        fs::write(&record, &before).unwrap();
        while_it_waits(&place, &directory, arguments, || fs::write(&record, &after).unwrap());
        assert_eq!(networks(&id), "mine other", "{arguments:?}");
        place.outcome(&["rename", "site", "web"]);
    }
    // Somebody is killed who was about to take it out of a network.
    place.ctn(&["network", "disconnect", "other", "web"]);
    place.ctn(&["start", "web"]);
    let note = place.run().unwrap().join(&id).join("change-of-networks");
    while_it_waits(&place, &directory, &["network", "connect", "other", "web"], || {
        fs::write(&note, r#"{"Leaves":"mine"}"#).unwrap();
    });
    assert_eq!(networks("web"), "other");
    assert!(!place.ctn(&["exec", "web", "cat", "/proc/net/dev"]).contains("eth1"));
    place.ctn(&["rm", "-f", "web"]);
    place.ctn(&["network", "rm", "mine", "other"]);
    place.assert_nothing_left();
}

/// Whoever comes while a container ends, and finds a change that nobody is at any more: a monitor lives, and hears nobody.
#[test]
fn a_container_that_is_ending_is_no_hindrance() {
    let place = Place::new();
    let id = place.ctn(&["create", "--name", "one", "box"]).trim().to_owned();
    let running = place.run().unwrap().join(&id);
    fs::create_dir(&running).unwrap();
    let monitor = File::create(running.join("monitor")).unwrap();
    flock(&monitor, FlockOperation::LockExclusive).unwrap();
    fs::write(running.join("change-of-networks"), r#"{"Leaves":"bridge"}"#).unwrap();
    assert_eq!(place.ctn(&["ps", "-aq", "--no-trunc"]).trim(), id);
    place.ctn(&["rename", "one", "two"]);
    place.ctn(&["update", "--restart", "on-failure", "two"]);
    assert_eq!(place.field("two", ".HostConfig.RestartPolicy.Name"), "on-failure");
    drop(monitor);
    place.ctn(&["rm", "two"]);
    place.assert_nothing_left();
}

#[test]
fn ports_are_where_their_network_says() {
    let place = Place::new();
    let option = "com.docker.network.bridge.host_binding_ipv4=127.0.0.1";
    place.ctn(&["network", "create", "--subnet", "10.87.70.0/24", "-o", option, "local"]);
    place.ctn(&["run", "-d", "--name", "web", "--network", "local", "-p", "18082:80", "box", "sleep", "1000"]);
    assert_eq!(place.ctn(&["port", "web"]), "80/tcp -> 127.0.0.1:18082\n");
    place.ctn(&["rm", "-f", "web"]);
    place.ctn(&["network", "rm", "local"]);
    place.assert_nothing_left();
}

#[test]
fn several_networks_from_the_beginning() {
    let place = Place::new();
    place.ctn(&["network", "create", "--subnet", "10.87.71.0/24", "front"]);
    place.ctn(&["network", "create", "--subnet", "10.87.72.0/24", "back"]);
    let both = ["--network", "front", "--ip", "10.87.71.9", "--network", "back"];
    let own = place.ctn(&[&["run", "--rm"], &both[..], &["box", "busybox", "ip", "-o", "-4", "address"]].concat());
    assert!(own.contains("eth0    inet 10.87.71.9/24") && own.contains("eth1    inet 10.87.72."), "{own}");
    for (flags, words) in [
        (["--network", "front", "--network", "host"], "cannot attach both"),
        (["--network", "none", "--network", "front"], "cannot attach both"),
        (["--network", "front", "--network", "front"], "specified multiple times"),
        (["--network", "front", "--network", "nonsense"], "network nonsense not found"),
    ] {
        let refusal = place.refusal(125, &[&["run", "--rm"], &flags[..], &["box", "true"]].concat());
        assert!(refusal.contains(words), "{flags:?}: {refusal}");
    }
    place.ctn(&["network", "rm", "front", "back"]);
    place.assert_nothing_left();
}

/// docker 28's; a container that runs changes over to a better way, and back.
#[test]
fn the_way_outside_is_that_of_the_highest_priority() {
    let place = Place::new();
    for (name, subnet) in [("one", "10.87.81"), ("two", "10.87.82"), ("three", "10.87.83")] {
        let (v4, v6) = (format!("{subnet}.0/24"), format!("fd00:87:{}::/64", &subnet[6..]));
        place.ctn(&["network", "create", "--subnet", &v4, "--ipv6", "--subnet", &v6, name]);
    }
    place.ctn(&["network", "create", "--subnet", "10.87.84.0/24", "--internal", "inside"]);
    let ways = || {
        let routes = ["-4", "-6"].map(|family| place.ctn(&["exec", "web", "busybox", "ip", family, "route"]));
        routes.map(|routes| {
            let mut ways: Vec<(u32, &str)> = routes
                .lines()
                .filter(|line| line.starts_with("default"))
                .map(|line| {
                    let words: Vec<&str> = line.split_whitespace().collect();
                    let metric = words.iter().position(|word| *word == "metric");
                    (metric.map_or(0, |at| words[at + 1].parse().unwrap()), words[2])
                })
                .collect();
            ways.sort_unstable();
            let way = |(_, gateway): &(u32, &str)| ["81", "82", "83"].iter().position(|one| gateway.contains(one));
            ways.iter().map(|found| way(found).unwrap() + 1).collect::<Vec<usize>>()
        })
    };
    let flags = ["--network", "one", "--network", "name=two,gw-priority=1", "--network", "name=inside,gw-priority=9"];
    place.ctn(&[&["run", "-d", "--name", "web"], &flags[..], &["box", "sleep", "1000"]].concat());
    let assert_ways = |wanted: &[usize]| assert_eq!(ways(), [wanted, wanted]);
    assert_ways(&[2, 1]);
    place.ctn(&["network", "connect", "--gw-priority", "2", "three", "web"]);
    assert_ways(&[3, 2, 1]);
    assert_eq!(place.field("web", ".NetworkSettings.Networks.three.GwPriority"), "2");
    place.ctn(&["restart", "-t", "0", "web"]);
    assert_ways(&[3, 2, 1]);
    place.ctn(&["network", "disconnect", "three", "web"]);
    assert_ways(&[2, 1]);
    place.ctn(&["network", "connect", "--gw-priority", "-1", "three", "web"]);
    assert_ways(&[2, 1, 3]);
    for network in ["two", "three", "inside"] {
        place.ctn(&["network", "disconnect", network, "web"]);
    }
    assert_ways(&[1]);
    // Nobody is preferred any more, and the metrics are as they were without.
    place.ctn(&["network", "connect", "three", "web"]);
    assert_ways(&[1, 3]);
    let refusal = place.refusal(125, &["run", "--rm", "--network", "name=one,gw-priority=x", "box", "true"]);
    assert!(refusal.contains("invalid gw-priority \"x\""), "{refusal}");
    place.ctn(&["rm", "-f", "web"]);
    place.ctn(&["network", "rm", "one", "two", "three", "inside"]);
    place.assert_nothing_left();
}

/// What a container has made of its links is no reason for any command to fail, and what could not be done leaves the ways outside as they
/// were.
#[test]
fn a_container_that_has_changed_its_links_is_connected_and_disconnected() {
    let place = Place::new();
    for (name, subnet) in [("one", "10.87.86.0/24"), ("two", "10.87.87.0/24"), ("three", "10.87.88.0/24")] {
        place.ctn(&["network", "create", "--subnet", subnet, name]);
    }
    let flags = ["--cap-add", "NET_ADMIN", "--network", "one", "--network", "two"];
    place.ctn(&[&["run", "-d", "--name", "web"], &flags[..], &["box", "sleep", "1000"]].concat());
    let ip = |words: &[&str]| place.ctn(&[&["exec", "web", "busybox", "ip"], words].concat());
    let ways = || {
        let routes = ip(&["route"]);
        let defaults = routes.lines().filter(|line| line.starts_with("default")).map(|line| line.trim().to_owned());
        defaults.collect::<Vec<_>>()
    };
    let of_one = "default via 10.87.86.1 dev eth0";
    ip(&["link", "set", "eth1", "down"]);
    place.ctn(&["network", "connect", "--gw-priority", "2", "three", "web"]);
    assert_eq!(ways(), ["default via 10.87.88.1 dev eth2".to_owned(), format!("{of_one}  metric 101")]);
    place.ctn(&["network", "disconnect", "three", "web"]);
    assert_eq!(ways(), [of_one]);
    ip(&["link", "set", "eth1", "up"]);
    ip(&["addr", "flush", "dev", "eth1"]);
    let refusal = place.refusal(1, &["network", "connect", "--gw-priority", "2", "three", "web"]);
    assert!(refusal.contains("make 10.87.87.1 the gateway"), "{refusal}");
    assert_eq!(ways(), [of_one]);
    // It may be adding others all the time: whoever takes them away comes to an end.
    let add =
        "for metric in $(seq 1000 1040); do busybox ip route add default via 10.87.86.1 dev eth0 metric $metric; done";
    place.ctn(&["exec", "web", "sh", "-c", add]);
    let refusal = place.refusal(1, &["network", "connect", "--gw-priority", "2", "three", "web"]);
    assert!(refusal.contains("it was there 32 times or more"), "{refusal}");
    let (status, _, errors) = place.outcome(&["rm", "-f", "web"]);
    assert_eq!((status, errors.as_str()), (Some(0), ""));
    place.ctn(&["network", "rm", "one", "two", "three"]);
    place.assert_nothing_left();
}

#[test]
fn a_place_on_a_link_of_the_host_that_could_not_be_made_leaves_no_link() {
    let place = Place::new();
    wire::ip("link add lan-a type veth peer name lan-b");
    place.ctn(&["network", "create", "-d", "macvlan", "-o", "parent=lan-a", "--subnet", "10.87.89.0/24", "lan"]);
    place.ctn(&["run", "-d", "--name", "web", "box", "sleep", "1000"]);
    let setting = "com.docker.network.endpoint.sysctls=net.ipv4.conf.IFNAME.nonesuch=1";
    let refusal = place.refusal(1, &["network", "connect", "--driver-opt", setting, "lan", "web"]);
    assert!(refusal.contains("nonesuch"), "{refusal}");
    let links = || place.ctn(&["exec", "web", "busybox", "ip", "-o", "link"]);
    assert_eq!(links().lines().count(), 2, "{}", links());
    place.ctn(&["network", "connect", "lan", "web"]);
    assert!(links().contains("eth1"), "{}", links());
    place.ctn(&["rm", "-f", "web"]);
    place.ctn(&["network", "rm", "lan"]);
    wire::ip("link del lan-a");
    place.assert_nothing_left();
}

#[test]
fn ports_that_lead_nowhere_are_told() {
    let place = Place::new();
    for mode in ["host", "none"] {
        let (status, _, errors) = place.outcome(&["run", "--rm", "--network", mode, "-p", "18083:80", "box", "true"]);
        assert_eq!(status, Some(0));
        assert!(errors.contains(&format!("published ports are discarded in the network mode {mode}")), "{errors}");
    }
    place.assert_nothing_left();
}

#[test]
fn who_joined_a_network_outlives_its_owner() {
    let place = Place::new();
    let owner = place.ctn(&["run", "-d", "--name", "owner", "--ipc", "shareable", "box", "sleep", "1000"]);
    let joined = ["--network", "container:owner", "--ipc", "container:owner"];
    place.ctn(&[&["run", "-d", "--name", "guest"], &joined[..], &["box", "sleep", "1000"]].concat());
    place.ctn(&["stop", "-t", "0", "owner"]);
    assert_eq!(place.ctn(&["exec", "guest", "echo", "still here"]), "still here\n");
    place.ctn(&["rm", "owner"]);
    assert_eq!(place.ctn(&["exec", "guest", "echo", "still here"]), "still here\n");
    let refusal = place.refusal(1, &["restart", "-t", "0", "guest"]);
    assert!(refusal.contains(&format!("No such container: {}", owner.trim())), "{refusal}");
    place.ctn(&["rm", "-f", "guest"]);
    place.assert_nothing_left();
}

#[test]
fn a_port_at_the_loopback_of_ipv6_is_told_to_be_dead() {
    let place = Place::new();
    let (status, _, errors) = place.outcome(&["run", "--rm", "-p", "[::1]:18084:80", "box", "true"]);
    assert_eq!(status, Some(0));
    assert!(errors.contains("[::1]:18084/tcp reaches nobody"), "{errors}");
    place.assert_nothing_left();
}

/// The end of each connection to the rules waits for the kernel's readers, and keeps others from theirs: a start and an end have one, and it
/// ends when nobody waits for the container any more.
#[test]
fn one_connection_to_the_rules() {
    let place = Place::new();
    place.ctn(&["run", "--rm", "-p", "127.0.0.1:18081:80", "box", "true"]);
    let log = place.join("log");
    let mut command = std::process::Command::new("strace");
    command.args(["-f", "-yy", "-e", "trace=socket,close,sendmsg", "-o"]).arg(&log).arg(crate::harness::ctn());
    command.args(["run", "--rm", "-p", "127.0.0.1:18081:80", "box", "true"]).env("CTN_ROOT", place.store());
    assert!(command.status().unwrap().success());
    let log = std::fs::read_to_string(log).unwrap();
    let lines = |words: [&str; 2]| -> Vec<usize> {
        let is_one = |line: &&str| words.iter().all(|word| line.contains(word));
        log.lines().enumerate().filter(|(_, line)| is_one(line)).map(|(number, _)| number).collect()
    };
    let opened = lines(["socket(", "NETLINK_NETFILTER"]);
    assert_eq!(opened.len(), 1, "{log}");
    let closed = lines(["close(", "NETFILTER"]);
    // The notice of the end.
    let told = lines(["sendmsg(", "iov_base=\"x\""]);
    assert!(told.len() == 1 && closed.len() == 1 && closed[0] > told[0], "{told:?} {closed:?}");
    place.assert_nothing_left();
}
