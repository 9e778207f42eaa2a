//! Who reaches whom, and as whom: each row of the matrix with traffic.

use std::net::{Ipv4Addr, Ipv6Addr, UdpSocket};

use corten::network::{Create, Driver};

use crate::harness::*;

const ANY: Ipv4Addr = Ipv4Addr::UNSPECIFIED;
const ANY6: Ipv6Addr = Ipv6Addr::UNSPECIFIED;

#[test]
fn a_published_port_from_everywhere() {
    let host = Host::new();
    let web = host.container("web", "bridge", &["8080:80", "8053:53/udp"]);
    let other = host.container("other", "bridge", &[]);
    web.namespace.serve((ANY, 80));
    web.namespace.serve_datagrams((ANY, 53));
    // Outside: with its own address.
    assert_eq!(host.outside.reaches("192.0.2.1:8080"), "192.0.2.2");
    // The host itself, by its loopback and by its own address.
    let gateway = host.gateway("bridge");
    assert_eq!(host.reaches("127.0.0.1:8080"), gateway);
    assert_eq!(host.reaches("192.0.2.1:8080"), gateway);
    // Directly from the host.
    assert_eq!(host.reaches(&web.at(80)), gateway);
    // Containers: directly, and by the host's addresses.
    assert_eq!(other.namespace.reaches(&web.at(80)), other.address().to_string());
    assert_eq!(other.namespace.reaches("192.0.2.1:8080"), gateway);
    assert_eq!(other.namespace.reaches(&format!("{gateway}:8080")), gateway);
    // Datagrams.
    assert_eq!(host.outside.run(|| ask("192.0.2.1:8053")).unwrap(), "192.0.2.2");
    assert_eq!(ask("127.0.0.1:8053").unwrap(), gateway);
}

/// As many distributions have it.
#[test]
fn a_published_port_with_a_strict_look_at_ways_back() {
    let host = Host::new();
    std::fs::write("/proc/sys/net/ipv4/conf/all/rp_filter", "1").unwrap();
    let web = host.container("web", "bridge", &["8080:80"]);
    web.namespace.serve((ANY, 80));
    assert_eq!(host.outside.reaches("192.0.2.1:8080"), "192.0.2.2");
    assert_eq!(host.reaches("127.0.0.1:8080"), host.gateway("bridge"));
    assert_eq!(host.reaches("192.0.2.1:8080"), host.gateway("bridge"));
    assert_eq!(web.namespace.reaches("192.0.2.1:8080"), host.gateway("bridge"));
}

#[test]
fn its_own_published_port_with_and_without_br_netfilter() {
    let host = Host::new();
    let network = host.network(&Create { name: "six".into(), ipv6: true, ..Create::default() });
    let [gateway, gateway6] = [0, 1].map(|at| network.pools[at].gateway.to_string());
    let web = host.container("web", "six", &["8080:80"]);
    web.namespace.serve((ANY6, 80));
    for value in ["0", "1"] {
        for family in ["iptables", "ip6tables"] {
            std::fs::write(format!("/proc/sys/net/bridge/bridge-nf-call-{family}"), value).unwrap();
        }
        let neighbour = host.container(&format!("neighbour{value}"), "six", &[]);
        for container in [&web, &neighbour] {
            assert_eq!(container.namespace.reaches("192.0.2.1:8080"), gateway, "bridge-nf-call-iptables={value}");
            assert_eq!(container.namespace.reaches("[2001:db8::1]:8080"), gateway6, "bridge-nf-call-ip6tables={value}");
        }
        assert_eq!(neighbour.namespace.reaches(&web.at(80)), neighbour.address().to_string());
    }
}

#[test]
fn what_goes_outside_has_the_hosts_address() {
    let host = Host::new();
    let client = host.container("client", "bridge", &[]);
    host.outside.serve((ANY, 80));
    assert_eq!(client.namespace.reaches("192.0.2.2:80"), "192.0.2.1");
    let options = [("com.docker.network.bridge.enable_ip_masquerade".into(), "false".into())].into();
    let network = host.network(&Create { name: "plain".into(), options, ..Create::default() });
    host.outside.ip(&format!("route add {} via 192.0.2.1", network.pools[0].subnet));
    let client = host.container("plain-client", "plain", &[]);
    assert_eq!(client.namespace.reaches("192.0.2.2:80"), client.address().to_string());
}

#[test]
fn nobody_outside_reaches_a_container_by_its_address() {
    let host = Host::new();
    let web = host.container("web", "bridge", &["8080:80"]);
    web.namespace.serve((ANY, 80));
    host.outside.ip(&format!("route add {}/32 via 192.0.2.1", web.address()));
    host.outside.does_not_reach(&web.at(80));
    // Nor what is published for the host alone, by sending it here under the loopback's address.
    let local = host.container("local", "bridge", &["127.0.0.1:8081:80"]);
    local.namespace.serve((ANY, 80));
    assert_eq!(host.reaches("127.0.0.1:8081"), host.gateway("bridge"));
    host.outside.does_not_reach("192.0.2.1:8081");
    // The host's own loopback, through the door that 127.0.0.1:PORT needs.
    let secret = std::net::TcpListener::bind("127.0.0.1:8082").unwrap();
    std::thread::spawn(move || secret.incoming().for_each(drop));
    web.namespace.run(|| std::fs::write("/proc/sys/net/ipv4/conf/eth0/route_localnet", "1").unwrap());
    web.namespace.ip("address delete 127.0.0.1/8 dev lo");
    web.namespace.ip(&format!("route add 127.0.0.1/32 via {} src {}", host.gateway("bridge"), web.address()));
    web.namespace.does_not_reach("127.0.0.1:8082");
}

#[test]
fn an_internal_network_is_kept_in() {
    let host = Host::new();
    host.network(&Create { name: "inside".into(), internal: true, ..Create::default() });
    let web = host.container("web", "bridge", &["8080:80"]);
    let (one, two) = (host.container("one", "inside", &[]), host.container("two", "inside", &[]));
    for there in [&host.outside, &web.namespace, &one.namespace] {
        there.serve((ANY, 80));
    }
    assert_eq!(two.namespace.reaches(&one.at(80)), two.address().to_string());
    // Also with a way outside of its own making.
    two.namespace.ip(&format!("route add default via {}", host.gateway("inside")));
    for at in ["192.0.2.2:80", "192.0.2.1:8080", &web.at(80)] {
        two.namespace.does_not_reach(at);
    }
    web.namespace.does_not_reach(&one.at(80));
    host.outside.ip(&format!("route add {}/32 via 192.0.2.1", one.address()));
    host.outside.does_not_reach(&one.at(80));
    let error = host.try_container("three", "inside", &["8090:80"]).err().unwrap().to_string();
    assert_eq!(error, "ports can't be published in the internal network inside");
}

#[test]
fn networks_are_apart() {
    let host = Host::new();
    for (name, isolate) in [("one", "true"), ("two", "true"), ("open", "false"), ("also-open", "false")] {
        let options = [("isolate".into(), isolate.into())].into();
        host.network(&Create { name: name.into(), options, ..Create::default() });
    }
    let all = ["one", "two", "open", "also-open"].map(|name| host.container(name, name, &[]));
    let [one, two, open, also_open] = &all;
    for container in &all {
        container.namespace.serve((ANY, 80));
    }
    let published = host.container("published", "two", &["8080:80"]);
    published.namespace.serve((ANY, 80));
    one.namespace.does_not_reach(&two.at(80));
    open.namespace.does_not_reach(&two.at(80));
    one.namespace.does_not_reach(&open.at(80));
    assert_eq!(open.namespace.reaches(&also_open.at(80)), host.gateway("also-open"));
    // What is published is for everybody.
    assert_eq!(one.namespace.reaches("192.0.2.1:8080"), host.gateway("two"));
}

#[test]
fn containers_that_are_to_be_apart_from_each_other() {
    let host = Host::new();
    let options = [("com.docker.network.bridge.enable_icc".into(), "false".into())].into();
    host.network(&Create { name: "apart".into(), options, ..Create::default() });
    let web = host.container("web", "apart", &["8080:80"]);
    let other = host.container("other", "apart", &[]);
    web.namespace.serve((ANY, 80));
    let bridged = |value: &str| std::fs::write("/proc/sys/net/bridge/bridge-nf-call-iptables", value).unwrap();
    for value in ["0", "1"] {
        bridged(value);
        other.namespace.does_not_reach(&web.at(80));
        assert_eq!(host.outside.reaches("192.0.2.1:8080"), "192.0.2.2");
    }
    // Nor by the gateway's help.
    other.namespace.ip(&format!("route add {}/32 via {}", web.address(), host.gateway("apart")));
    for value in ["1", "0"] {
        bridged(value);
        other.namespace.does_not_reach(&web.at(80));
    }
    // With br_netfilter the kernel leads such packets from port to port, which are apart.
    assert_eq!(other.namespace.reaches("192.0.2.1:8080"), host.gateway("apart"));
}

#[test]
fn with_ipv6() {
    let host = Host::new();
    host.network(&Create { name: "six".into(), ipv6: true, ..Create::default() });
    std::fs::write("/proc/sys/net/ipv6/conf/eth0/accept_ra", "1").unwrap();
    let web = host.container("web", "six", &["8080:80"]);
    // The host passes packets on now, and still listens to its own router.
    assert_eq!(std::fs::read_to_string("/proc/sys/net/ipv6/conf/eth0/accept_ra").unwrap(), "2\n");
    let other = host.container("other", "six", &[]);
    let address = |container: &Container| container.endpoint.addresses[1].addr().to_string();
    web.namespace.serve((ANY6, 80));
    host.outside.serve((ANY6, 81));
    let gateway = host.networks.get("six").unwrap().pools[1].gateway.to_string();
    assert_eq!(host.outside.reaches("[2001:db8::1]:8080"), "2001:db8::2");
    assert_eq!(host.outside.reaches("192.0.2.1:8080"), "192.0.2.2");
    assert_eq!(host.reaches("[2001:db8::1]:8080"), gateway);
    let at = format!("[{}]:80", address(&web));
    assert_eq!(other.namespace.reaches(&at), address(&other));
    assert_eq!(other.namespace.reaches("[2001:db8::1]:8080"), gateway);
    assert_eq!(other.namespace.reaches("[2001:db8::2]:81"), "2001:db8::1");
    // At one address of the host's.
    ip("address add 2001:db8::10/64 dev eth0 nodad");
    let at_one = host.container("at-one", "six", &["[2001:db8::10]:8081:80"]);
    at_one.namespace.serve((ANY6, 80));
    assert_eq!(host.outside.reaches("[2001:db8::10]:8081"), "2001:db8::2");
    host.outside.does_not_reach("[2001:db8::1]:8081");
    // ::1 has no way to a container: refused, and not waited for.
    let error = fetch("[::1]:8080", PATIENCE).unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::ConnectionRefused);
    host.outside.ip(&format!("-6 route add {}/128 via 2001:db8::1", address(&web)));
    host.outside.does_not_reach(&at);
    // And a container of a network without it has none.
    let four = host.container("four", "bridge", &[]);
    assert_eq!(four.namespace.ip("-6 address show dev eth0"), "");
}

#[test]
fn ports_at_one_address_and_in_ranges() {
    let host = Host::new();
    ip("address add 192.0.2.10/24 dev eth0");
    let one = host.container("one", "bridge", &["192.0.2.1:8080:80", "9000-9002:9000-9002"]);
    let two = host.container("two", "bridge", &["192.0.2.10:8080:80"]);
    for (container, port) in [(&one, 80), (&one, 9002), (&two, 80)] {
        container.namespace.serve((ANY, port));
    }
    assert_eq!(host.outside.reaches("192.0.2.1:8080"), "192.0.2.2");
    assert_eq!(host.outside.reaches("192.0.2.10:8080"), "192.0.2.2");
    assert_eq!(host.outside.reaches("192.0.2.10:9002"), "192.0.2.2");
    host.outside.does_not_reach("192.0.2.1:9003");
    // Each at its own, and gone with its container.
    host.networks.detach(&one.id, None).unwrap();
    host.outside.does_not_reach("192.0.2.1:8080");
    assert_eq!(host.outside.reaches("192.0.2.10:8080"), "192.0.2.2");
    // A free one of a range, and one that the kernel chooses.
    let three = host.container("three", "bridge", &["192.0.2.10:8079-8081:80", "192.0.2.10:8079-8081:80", "80"]);
    let ports: Vec<u16> = three.endpoint.ports.iter().map(|port| port.host).collect();
    assert_eq!(ports[..2], [8079, 8081]);
    assert!(ports[2] > 1024);
    three.namespace.serve((ANY, 80));
    assert_eq!(host.outside.reaches(&format!("192.0.2.1:{}", ports[2])), "192.0.2.2");
}

/// Who keeps sending from the same port is led by the kernel where the first packet went.
#[test]
fn a_flow_of_datagrams_finds_its_container() {
    let host = Host::new();
    let client = host.outside.run(|| UdpSocket::bind("192.0.2.2:5000").unwrap());
    client.set_read_timeout(Some(PATIENCE)).unwrap();
    let ask = || {
        client.send_to(b"?", "192.0.2.1:8053").unwrap();
        let mut bytes = [0; 64];
        client.recv_from(&mut bytes).map(|(length, _)| String::from_utf8_lossy(&bytes[..length]).into_owned())
    };
    // Somebody's who asks the same port outside, and is not to be disturbed.
    let other = host.container("other", "bridge", &[]);
    host.outside.serve_datagrams(([192, 0, 2, 2], 8053));
    assert_eq!(other.namespace.run(|| super::harness::ask("192.0.2.2:8053")).unwrap(), "192.0.2.1");
    // Before there is a container, so that the flow is the host's own, which takes it without an answer.
    let taker = UdpSocket::bind("192.0.2.1:8053").unwrap();
    client.send_to(b"?", "192.0.2.1:8053").unwrap();
    taker.recv_from(&mut [0; 64]).unwrap();
    drop(taker);
    for name in ["one", "two"] {
        let container = host.container(name, "bridge", &["8053:53/udp"]);
        container.namespace.serve_datagrams((ANY, 53));
        assert_eq!(ask().unwrap(), "192.0.2.2", "{name}");
        host.networks.detach(&container.id, None).unwrap();
    }
    let flows = std::fs::read_to_string("/proc/thread-self/net/nf_conntrack").unwrap();
    assert!(flows.contains(&format!("src={} dst=192.0.2.2", other.address())), "{flows}");
}

#[test]
fn a_second_network() {
    let host = Host::new();
    let (front, back) = (host.named("front"), host.named("back"));
    let web = host.container("web", "front", &[]);
    let database = host.container("database", "back", &[]);
    database.namespace.serve((ANY, 80));
    web.namespace.does_not_reach(&database.at(80));
    let request = corten::network::Attachment { interface: "eth1", ..request(&web.id, "web", &web.namespace, "back") };
    let (second, _) = host.networks.attach(&request).unwrap();
    assert_eq!(web.namespace.reaches(&database.at(80)), second.addresses[0].addr().to_string());
    let error = host.networks.attach(&request).unwrap_err().to_string();
    assert_eq!(error, "the container web is in the network back already");
    host.networks.disconnect(&web.id, "back", web.namespace.fd()).unwrap();
    assert!(!web.namespace.ip("-br link").contains("eth1"));
    let error = host.networks.remove("front").unwrap_err().to_string();
    assert!(error.contains("has active endpoints"), "{error}");
    for network in [front, back] {
        for container in [&web, &database] {
            host.networks.detach(&container.id, Some(&network.id)).unwrap();
        }
        host.networks.remove(&network.name).unwrap();
    }
    assert_eq!(host.leftovers(), [""; 0]);
    assert_eq!(host.rules(), "");
}

#[test]
fn a_macvlan_on_the_wire() {
    let host = Host::new();
    host.network(&on_the_wire("wire", Driver::Macvlan));
    let container = host.container("one", "wire", &[]);
    assert_eq!(container.address().to_string(), "192.0.2.64");
    host.outside.serve((ANY, 80));
    assert_eq!(container.namespace.reaches("192.0.2.2:80"), "192.0.2.64");
    host.networks.disconnect(&container.id, "wire", container.namespace.fd()).unwrap();
    assert!(!container.namespace.ip("-br link").contains("eth0"));
}

#[test]
fn an_ipvlan_on_the_wire() {
    let host = Host::new();
    host.network(&on_the_wire("wire", Driver::Ipvlan));
    let container = match host.try_container("one", "wire", &[]) {
        Ok(container) => container,
        Err(error) => {
            assert_eq!(format!("{error:#}"), "this kernel has no ipvlan (CONFIG_IPVLAN)");
            return skipped("an_ipvlan_on_the_wire", "the kernel has no ipvlan");
        }
    };
    assert_eq!(container.address().to_string(), "192.0.2.64");
    host.outside.serve((ANY, 80));
    assert_eq!(container.namespace.reaches("192.0.2.2:80"), "192.0.2.64");
    // The hardware address is the parent's.
    let address = |link: String| link.split_once("link/ether ").unwrap().1[..17].to_owned();
    assert_eq!(address(container.namespace.ip("link show dev eth0")), address(ip("link show dev eth0")));
    host.networks.disconnect(&container.id, "wire", container.namespace.fd()).unwrap();
    assert!(!container.namespace.ip("-br link").contains("eth0"));
}

#[test]
fn a_network_that_publishes_for_the_host_alone() {
    let host = Host::new();
    let options = [("com.docker.network.bridge.host_binding_ipv4".into(), "127.0.0.1".into())].into();
    let network = host.network(&Create { name: "local".into(), options, ..Create::default() });
    let web = host.container("web", "local", &["8080:80"]);
    web.namespace.serve((ANY, 80));
    assert_eq!(host.reaches("127.0.0.1:8080"), network.pools[0].gateway.to_string());
    host.outside.does_not_reach("192.0.2.1:8080");
}

#[test]
fn the_largest_packet_is_that_of_the_way_outside() {
    let host = Host::new();
    ip("link set eth0 mtu 1400");
    let one = host.container("one", "bridge", &[]);
    assert!(one.namespace.ip("link show dev eth0").contains("mtu 1400"));
    let options = [("mtu".into(), "1300".into())].into();
    host.network(&Create { name: "small".into(), options, ..Create::default() });
    let two = host.container("two", "small", &[]);
    assert!(two.namespace.ip("link show dev eth0").contains("mtu 1300"));
}

/// Not by println!, which libtest would swallow.
fn skipped(test: &str, why: &str) {
    std::io::Write::write_all(&mut std::io::stderr(), format!("skipped traffic::{test}: {why}\n").as_bytes()).unwrap();
}

/// A stream of SCTP to an address (sctp(7)).
fn connected(at: std::net::SocketAddr) -> std::io::Result<std::net::TcpStream> {
    let socket = sctp()?;
    rustix::net::connect(&socket, &at)?;
    // Its read(2) and write(2) are those of any stream.
    Ok(socket.into())
}

fn sctp() -> std::io::Result<std::os::fd::OwnedFd> {
    use rustix::net::{AddressFamily, SocketType, ipproto, socket};
    Ok(socket(AddressFamily::INET, SocketType::STREAM, Some(ipproto::SCTP))?)
}

#[test]
fn a_published_port_of_sctp() {
    let host = Host::new();
    let web = host.container("web", "bridge", &["8080:80/sctp", "192.0.2.1:9000-9001:9000-9001/sctp"]);
    // The rules, whatever this kernel speaks itself.
    let rules = host.rules();
    let (address, id) = (web.address(), &web.id);
    for element in [
        format!("sctp . 8080 comment \"{id}\" : {address} . 80"),
        format!("192.0.2.1 . sctp . 9000 comment \"{id}\" : {address} . 9000"),
        format!("192.0.2.1 . sctp . 9001 comment \"{id}\" : {address} . 9001"),
    ] {
        assert!(rules.contains(&element), "{element}: {rules}");
    }
    if let Err(error) = sctp() {
        skipped("a_published_port_of_sctp", &format!("no traffic, for the kernel has no SCTP: {error}"));
    } else {
        let listener = web.namespace.run(|| {
            let socket = sctp().unwrap();
            rustix::net::bind(&socket, &std::net::SocketAddr::from((ANY, 80))).unwrap();
            rustix::net::listen(&socket, 8).unwrap();
            socket
        });
        let server = std::thread::spawn(move || {
            for _ in 0..2 {
                let stream = std::net::TcpStream::from(rustix::net::accept(&listener).unwrap());
                std::io::Write::write_all(&mut &stream, b"over sctp").unwrap();
            }
        });
        let heard = |at: [u8; 4]| {
            let mut bytes = [0; 64];
            let length = std::io::Read::read(&mut connected((at, 8080).into()).unwrap(), &mut bytes).unwrap();
            assert_eq!(&bytes[..length], b"over sctp");
        };
        host.outside.run(|| heard([192, 0, 2, 1]));
        heard([192, 0, 2, 1]);
        server.join().unwrap();
    }
    host.networks.detach(&web.id, None).unwrap();
    assert!(!host.rules().contains("sctp . 8080"));
    assert_eq!(host.leftovers(), [""; 0]);
}
