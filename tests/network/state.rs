//! What is kept: after a flush, with many, when two want the same, and whatever else goes wrong.

use std::collections::HashSet;
use std::io::Write;
use std::net::{IpAddr, Ipv4Addr};
use std::process::Command;

use corten::network::{Attachment, Create};

use crate::harness::*;

const ANY: Ipv4Addr = Ipv4Addr::UNSPECIFIED;

#[test]
fn all_is_made_anew_after_a_flush() {
    let host = Host::new();
    host.named("mine");
    let web = host.container("web", "mine", &["8080:80"]);
    web.namespace.serve((ANY, 80));
    let rules = host.rules();
    run("nft", "flush ruleset");
    host.outside.does_not_reach("192.0.2.1:8080");
    host.networks.reload().unwrap();
    assert_eq!(host.rules(), rules);
    assert_eq!(host.outside.reaches("192.0.2.1:8080"), "192.0.2.2");
    // And when the bridge is gone, too.
    ip(&format!("link delete {}", host.networks.get("mine").unwrap().link));
    host.networks.reload().unwrap();
    assert_eq!(host.outside.reaches("192.0.2.1:8080"), "192.0.2.2");
    // The next container sees to it by itself.
    run("nft", "flush ruleset");
    let other = host.container("other", "mine", &[]);
    assert_eq!(host.outside.reaches("192.0.2.1:8080"), "192.0.2.2");
    // Nor does it keep anybody from going.
    run("nft", "flush ruleset");
    for container in [&web, &other] {
        host.networks.detach(&container.id, None).unwrap();
    }
    assert_eq!(host.leftovers(), [""; 0]);
}

#[test]
fn two_hundred_on_one_bridge() {
    let host = Host::new();
    let all: Vec<Container> = (0..200)
        .map(|number| host.container(&format!("c{number}"), "bridge", &[&format!("{}:80", 20000 + number)]))
        .collect();
    let addresses: HashSet<IpAddr> = all.iter().map(Container::address).collect();
    assert_eq!(addresses.len(), 200);
    for (number, container) in all.iter().enumerate().step_by(33) {
        container.namespace.serve((ANY, 80));
        assert_eq!(host.outside.reaches(&format!("192.0.2.1:{}", 20000 + number)), "192.0.2.2");
        assert_eq!(all[1].namespace.reaches(&container.at(80)), all[1].address().to_string());
    }
    for container in &all {
        host.networks.detach(&container.id, None).unwrap();
    }
    assert_eq!(host.leftovers(), [""; 0]);
}

/// More queues than the one that is used are put aside by the kernel, which waits for that.
#[test]
fn a_pair_has_no_queues_to_put_aside() {
    let host = Host::new();
    let web = host.container("web", "bridge", &[]);
    let ends =
        [ip(&format!("-d link show {}", web.endpoint.link.clone().unwrap())), web.namespace.ip("-d link show eth0")];
    for end in ends {
        assert!(end.contains("numtxqueues 1 numrxqueues 1 "), "{end}");
    }
}

#[test]
fn many_at_a_time_have_addresses_of_their_own() {
    let host = Host::new();
    let here = host.here();
    let addresses: HashSet<IpAddr> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..8)
            .map(|thread| {
                let (networks, here) = (&host.networks, &here);
                scope.spawn(move || {
                    enter(here);
                    let attach = |number| {
                        let name = format!("c{thread}-{number}");
                        let namespace = Namespace::new();
                        let (endpoint, _) = networks.attach(&request(&id(&name), &name, &namespace, "bridge")).unwrap();
                        endpoint.addresses[0].addr()
                    };
                    (0..8).map(attach).collect::<Vec<_>>()
                })
            })
            .collect();
        threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
    });
    assert_eq!(addresses.len(), 64);
}

#[test]
fn an_address_of_ones_own_choice() {
    let host = Host::new();
    let subnets = vec!["10.9.0.0/29".parse().unwrap()];
    let auxiliary = [("router".to_owned(), "10.9.0.3".parse().unwrap())].into();
    host.network(&Create { name: "small".into(), subnets, auxiliary, ..Create::default() });
    let namespace = Namespace::new();
    let attach = |name: &str, address: &str| {
        let wanted: Vec<IpAddr> =
            Some(address).filter(|text| !text.is_empty()).map(|text| text.parse().unwrap()).into_iter().collect();
        let namespace = Namespace::new();
        let id = id(name);
        let request = Attachment { addresses: &wanted, ..request(&id, name, &namespace, "small") };
        host.networks
            .attach(&request)
            .map(|(endpoint, _)| endpoint.addresses[0].addr().to_string())
            .map_err(|error| error.to_string())
    };
    assert_eq!(attach("a", "10.9.0.5").unwrap(), "10.9.0.5");
    assert_eq!(
        attach("b", "10.9.0.5").unwrap_err(),
        format!("the address 10.9.0.5 is in use by the container {}", id("a"))
    );
    assert_eq!(attach("b", "10.9.1.5").unwrap_err(), "the address 10.9.1.5 is outside of the subnet 10.9.0.0/29");
    assert_eq!(attach("b", "10.9.0.1").unwrap_err(), "the address 10.9.0.1 is the gateway's");
    assert_eq!(attach("b", "fd00::5").unwrap_err(), "the network small has no subnet for the address fd00::5");
    // The rest, without the gateway, the router and the one that is taken; then there is none.
    let rest: Vec<String> = ["b", "c", "d"].iter().map(|name| attach(name, "").unwrap()).collect();
    assert_eq!(rest, ["10.9.0.6", "10.9.0.2", "10.9.0.4"]);
    assert_eq!(attach("e", "").unwrap_err(), "no address is free in the subnet 10.9.0.0/29");
    host.networks.detach(&id("c"), None).unwrap();
    assert_eq!(attach("e", "").unwrap(), "10.9.0.2");
    drop(namespace);
}

#[test]
fn a_port_that_somebody_has() {
    let host = Host::new();
    let taken = std::net::TcpListener::bind("0.0.0.0:8080").unwrap();
    let error = host.try_container("web", "bridge", &["8080:80"]).err().unwrap().to_string();
    assert_eq!(error, "Bind for 0.0.0.0:8080 failed: port is already allocated (tcp)");
    drop(taken);
    let web = host.container("web", "bridge", &["8080:80"]);
    // A service of the host that comes later.
    assert!(std::net::TcpListener::bind("127.0.0.1:8080").is_err());
    assert!(host.try_container("other", "bridge", &["127.0.0.1:8080:80"]).is_err());
    // An owner that is gone without having given its port back: its sockets are free, its rules are not.
    let Container { id, sockets, .. } = web;
    drop(sockets);
    let error = host.try_container("other", "bridge", &["8080:80"]).err().unwrap().to_string();
    assert_eq!(error, format!("Bind for 0.0.0.0:8080/tcp failed: port is already allocated to the container {id}"));
    // The one that failed has taken nothing from it.
    assert!(host.rules().contains("tcp . 8080"), "{}", host.rules());
    host.networks.detach(&id, None).unwrap();
    let other = host.container("other", "bridge", &["8080:80"]);
    host.networks.detach(&other.id, None).unwrap();
    let error = host.try_container("third", "bridge", &["192.0.2.77:80:80"]).err().unwrap();
    assert_eq!(format!("{error:#}"), "bind the host's port 192.0.2.77:80/tcp: cannot assign requested address");
    assert_eq!(host.leftovers(), [""; 0]);
}

#[test]
fn a_route_that_came_later() {
    let host = Host::new();
    let network = host.named("mine");
    let subnet = network.pools[0].subnet;
    ip(&format!("route add {subnet} via 192.0.2.2"));
    let error = host.try_container("web", "mine", &[]).err().unwrap().to_string();
    assert_eq!(error, format!("the subnet {subnet} of the network mine overlaps the host's route {subnet} by now"));
    assert_eq!(host.leftovers(), [""; 0]);
    // The default network, which nobody has chosen an address for, moves away.
    let before = host.networks.get("bridge").unwrap().pools[0].subnet;
    ip(&format!("route add {before} via 192.0.2.2"));
    let one = host.container("one", "bridge", &[]);
    assert_ne!(host.networks.get("bridge").unwrap().pools[0].subnet, before);
    // But not from under a container.
    let now = host.networks.get("bridge").unwrap().pools[0].subnet;
    ip(&format!("route add {now} via 192.0.2.2 metric 9"));
    assert_eq!(host.networks.get("bridge").unwrap().pools[0].subnet, now);
    host.networks.detach(&one.id, None).unwrap();
    let wanted = Create { name: "other".into(), subnets: vec!["192.0.2.0/25".parse().unwrap()], ..Create::default() };
    let error = host.networks.create(&wanted).unwrap_err().to_string();
    assert_eq!(error, "invalid pool request: the subnet 192.0.2.0/25 overlaps the host's route 192.0.2.0/24 by eth0");
}

#[test]
fn firewalls_of_others_are_told() {
    let host = Host::new();
    assert_eq!(host.networks.foreign_firewalls().unwrap(), [""; 0]);
    run("nft", "add table ip filter");
    run("nft", "add chain ip filter FORWARD { type filter hook forward priority 0 ; policy drop ; }");
    run("nft", "add table inet firewalld");
    run("nft", "add chain inet firewalld filter_FORWARD { type filter hook forward priority 10 ; policy accept ; }");
    let namespace = Namespace::new();
    let (_, told) = host.networks.attach(&request(&id("one"), "one", &namespace, "bridge")).unwrap();
    let told = told.join("\n");
    assert!(told.contains("net.ipv4.ip_forward is 1 now"), "{told}");
    assert!(told.contains("the chain FORWARD of the nftables table ip filter drops"), "{told}");
    assert!(told.contains("firewalld is in use"), "{told}");
    // What they tell helps.
    let web = host.container("web", "bridge", &["8080:80"]);
    web.namespace.serve((ANY, 80));
    host.outside.does_not_reach("192.0.2.1:8080");
    let link = host.networks.get("bridge").unwrap().link;
    for side in ["iifname", "oifname"] {
        run("nft", &format!("insert rule ip filter FORWARD {side} {link} accept"));
    }
    assert_eq!(host.outside.reaches("192.0.2.1:8080"), "192.0.2.2");
    // Not each time.
    let namespace = Namespace::new();
    let (_, told) = host.networks.attach(&request(&id("two"), "two", &namespace, "bridge")).unwrap();
    assert_eq!(told, [""; 0]);
    assert_eq!(host.networks.reload().unwrap().len(), 2);
}

#[test]
fn a_firewall_of_the_older_kind_is_told() {
    let host = Host::new();
    if Command::new("iptables-legacy")
        .args(["-P", "FORWARD", "DROP"])
        .output()
        .is_ok_and(|output| output.status.success())
    {
        let told = host.networks.foreign_firewalls().unwrap().join("\n");
        assert!(told.contains("iptables-legacy is in use"), "{told}");
    } else {
        let line = "skipped state::a_firewall_of_the_older_kind_is_told: there is no iptables-legacy that works here\n";
        std::io::stderr().write_all(line.as_bytes()).unwrap();
    }
}

/// A thread that nftables is refused to, as by a kernel without it.
fn without_nftables(errno: i32) {
    let socket = |protocol: u32| {
        serde_json::json!({"names": ["socket"], "action": "SCMP_ACT_ERRNO", "errnoRet": errno,
            "args": [{"index": 0, "value": 16, "op": "SCMP_CMP_EQ"}, {"index": 2, "value": protocol, "op": "SCMP_CMP_EQ"}]})
    };
    let profile = serde_json::json!({"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [socket(12)]});
    let profile = serde_json::from_value(profile).unwrap();
    let program = corten::seccomp::compile(&profile, corten::seccomp::Architecture::NATIVE).unwrap();
    corten::sys::seccomp::load(&program.instructions, corten::sys::seccomp::Flags::empty()).unwrap();
}

#[test]
fn a_kernel_without_nftables() {
    let host = Host::new();
    let here = host.here();
    let error = std::thread::scope(|scope| {
        let attach = || {
            enter(&here);
            without_nftables(libc::EPROTONOSUPPORT);
            host.try_container("web", "bridge", &["8080:80"]).err().unwrap()
        };
        scope.spawn(attach).join().unwrap()
    });
    let wanted = "this kernel has no nftables, which networks need (CONFIG_NF_TABLES_INET, CONFIG_NFT_NAT)";
    assert!(format!("{error:#}").starts_with(wanted), "{error:#}");
    assert_eq!(host.leftovers(), [""; 0]);
}

#[test]
fn a_link_that_is_left_to_the_kernel() {
    let host = Host::new();
    let web = host.container("web", "bridge", &["8080:80"]);
    host.networks.release(&web.id).unwrap();
    let link = web.endpoint.link.clone().unwrap();
    assert_eq!(host.leftovers().len(), 1, "{:?}", host.leftovers());
    assert!(host.leftovers()[0].starts_with(&link));
    // The container again, before the kernel has come to it: here the old namespace is still there.
    drop(web.sockets);
    let again = host.container("web", "bridge", &["8080:80"]);
    again.namespace.serve((ANY, 80));
    assert_eq!(host.outside.reaches("192.0.2.1:8080"), "192.0.2.2");
    host.networks.release(&again.id).unwrap();
    // A link of somebody's own stays.
    ip("link add veth-own type veth peer name own");
    ip(&format!("link set veth-own master {}", host.networks.get("bridge").unwrap().link));
    host.networks.reload().unwrap();
    let left = host.leftovers();
    assert!(left.len() == 1 && left[0].starts_with("veth-own"), "{left:?}");
}

#[test]
fn a_container_that_is_gone_leaves_nothing() {
    let host = Host::new();
    let Container { id, namespace, .. } = host.container("web", "bridge", &["8080:80"]);
    let link = host.networks.endpoints_of(&id).unwrap()[0].link.clone().unwrap();
    drop(namespace);
    // The kernel removes a namespace in its own time, and both ends of the link with it.
    ip(&format!("link delete {link}"));
    host.networks.detach(&id, None).unwrap();
    host.networks.detach(&id, None).unwrap();
    assert_eq!(host.leftovers(), [""; 0]);
}
