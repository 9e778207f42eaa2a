//! What the program is told: for a container of its own, at the edge of a user's networks, and before a container's ports there.

use std::fs;
use std::net::{IpAddr, Ipv4Addr};

use super::RESOLVER;
use crate::network::namespace::EDGE;
use crate::network::{Endpoint, Protocol, Published};

/// The addresses of the edge and of what is behind it, where no address of the machine's is to be hidden by one: of the first link-local
/// ones, which are reserved (RFC 3927, 2.1), and unique local ones (RFC 4193).
const EDGE_ADDRESS: [&str; 8] = ["-a", "169.254.0.2", "-n", "30", "-a", "fd2e:51c4:9b07::2", "-g", "fd2e:51c4:9b07::1"];
const GATEWAY: [&str; 2] = ["-g", "169.254.0.1"];
/// Without a link of the machine's that leads anywhere pasta needs to be told all that it looks for there (seen with that of Debian 12).
const NO_LINK: [&str; 4] = ["-i", "lo", "-M", "02:00:a9:fe:00:01"];
/// Nothing is carried that wasn't asked for; the gateway's address is not to lead to what listens at the machine's loopback alone.
const NO_MORE: [&str; 5] = ["-T", "none", "-U", "none", "--no-map-gw"];

fn text<const N: usize>(words: [&str; N]) -> impl Iterator<Item = String> {
    words.map(str::to_owned).into_iter()
}

/// Whether the machine has a way outside, by its tables of routes (proc_pid_net(5)): those that lead everywhere have no bits.
pub(super) fn has_way_outside() -> bool {
    let read = |file: &str| fs::read_to_string(format!("/proc/thread-self/net/{file}")).unwrap_or_default();
    leads_outside(&read("route"), &read("ipv6_route"))
}

fn leads_outside(v4: &str, v6: &str) -> bool {
    let of_v4 = |line: &str| {
        let fields: Vec<&str> = line.split_ascii_whitespace().collect();
        fields.get(1) == Some(&"00000000") && fields.get(7) == Some(&"00000000")
    };
    let of_v6 = |line: &str| {
        let fields: Vec<&str> = line.split_ascii_whitespace().collect();
        // What is refused is by the loopback.
        fields.get(1) == Some(&"00")
            && fields.last().is_some_and(|link| *link != "lo")
            && fields.first().is_some_and(|address| address.bytes().all(|digit| digit == b'0'))
    };
    v4.lines().any(of_v4) || v6.lines().any(of_v6)
}

/// For a container's own namespace; what the user says is in place of what is said here.
pub(super) fn of_container(
    options: &[String],
    ports: &[Published],
    forwards_names: bool,
    has_way: bool,
) -> Vec<String> {
    let text = |text: &str| text.to_owned();
    let mut all = vec![text("--config-net"), text("--quiet")];
    let says = |names: &[&str]| {
        options.iter().any(|option| names.iter().any(|name| option == name || option.starts_with(&format!("{name}="))))
    };
    for (protocol, short, long) in [(Protocol::Tcp, "-t", "--tcp-ports"), (Protocol::Udp, "-u", "--udp-ports")] {
        let published = ports.iter().filter(|port| port.protocol == protocol);
        let before = all.len();
        for port in published {
            let address = port.address.map(|address| format!("{address}/")).unwrap_or_default();
            all.extend([text(short), format!("{address}{}:{}", port.host, port.container)]);
        }
        if all.len() == before && !says(&[short, long]) {
            all.extend([text(short), text("none")]);
        }
    }
    for (short, long) in [("-T", "--tcp-ns"), ("-U", "--udp-ns")] {
        if !says(&[short, long]) {
            all.extend([text(short), text("none")]);
        }
    }
    if !says(&["--map-gw"]) {
        all.push(text("--no-map-gw"));
    }
    if forwards_names && !says(&["--dns-forward"]) {
        all.extend([text("--dns-forward"), RESOLVER.to_string()]);
    }
    if !has_way && !says(&["-i", "--interface", "-a", "--address"]) {
        if !says(&["-I", "--ns-ifname"]) {
            all.extend(self::text(["-I", "eth0"]));
        }
        all.extend(self::text(NO_LINK).chain(self::text(["-a", "169.254.0.2", "-n", "30"])).chain(self::text(GATEWAY)));
    }
    all.extend(options.iter().filter(|option| *option != "--map-gw").cloned());
    all
}

/// For the way outside of a user's networks.
pub(in crate::engine) fn of_edge(forwards_names: bool) -> Vec<String> {
    at_edge(forwards_names, has_way_outside())
}

fn at_edge(forwards_names: bool, has_way: bool) -> Vec<String> {
    let mut all: Vec<String> =
        text(["--config-net", "--quiet", "-t", "none", "-u", "none"]).chain(text(NO_MORE)).collect();
    all.extend(text(["-I", EDGE]).chain(text(EDGE_ADDRESS)).chain(text(GATEWAY)));
    if forwards_names {
        all.extend(["--dns-forward".to_owned(), RESOLVER.to_string()]);
    }
    if !has_way {
        all.extend(text(NO_LINK));
    }
    all
}

/// For the ports of a container in a user's networks. What they lead to inside has the same numbers; rules lead on from there.
pub(super) fn of_ports(endpoint: &Endpoint, has_way: bool) -> Vec<String> {
    let Some(tap) = endpoint.tap else { return Vec::new() };
    let mut all: Vec<String> = text(["--quiet"]).chain(text(NO_MORE)).collect();
    let has_v6 = endpoint.addresses.iter().any(|address| address.addr().is_ipv6());
    for (protocol, word) in [(Protocol::Tcp, "-t"), (Protocol::Udp, "-u")] {
        let published: Vec<&Published> = endpoint.ports.iter().filter(|port| port.protocol == protocol).collect();
        for port in &published {
            // Who asks for `localhost` tries IPv6 first, and is to be refused there at once where nobody listens inside.
            let everywhere = (!has_v6).then_some(IpAddr::V4(Ipv4Addr::UNSPECIFIED));
            let address = port.address.or(everywhere).map(|address| format!("{address}/")).unwrap_or_default();
            all.extend([word.to_owned(), format!("{address}{}:{}", port.host, port.host)]);
        }
        if published.is_empty() {
            all.extend(text([word, "none"]));
        }
    }
    all.extend(["-I".to_owned(), tap.link(), "-a".to_owned(), tap.address().to_string()]);
    all.extend(text(["-n", "32", "-a"]).chain([tap.address6().to_string()]));
    all.extend(text(GATEWAY).chain(text(["-g", "fd2e:51c4:9b07::1"])));
    if !has_way {
        all.extend(text(NO_LINK));
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::network::port;

    fn words(options: &str, ports: &[&str], forwards_names: bool) -> String {
        let ports: Vec<Published> = ports.iter().flat_map(|port| port::parse(port).unwrap()).collect();
        of_container(&super::super::options(options).unwrap(), &ports, forwards_names, true).join(" ")
    }

    #[test]
    fn nothing_is_carried_that_was_not_asked_for() {
        assert_eq!(words("pasta", &[], false), "--config-net --quiet -t none -u none -T none -U none --no-map-gw");
        let forwarding = words("pasta", &[], true);
        assert!(forwarding.ends_with("--no-map-gw --dns-forward 169.254.1.1"), "{forwarding}");
    }

    #[test]
    fn ports_are_named() {
        let said = words("pasta", &["8080:80", "127.0.0.1:53:5353/udp", "[::1]:81:80"], false);
        assert!(said.contains("-t 8080:80 -t ::1/81:80 -u 127.0.0.1/53:5353 -T none"), "{said}");
    }

    #[test]
    fn what_the_user_says_counts() {
        assert_eq!(
            words("pasta:--map-gw,-T,5000,--udp-ports=all", &[], false),
            "--config-net --quiet -t none -U none -T 5000 --udp-ports=all"
        );
    }

    #[test]
    fn ports_of_a_users_networks_keep_their_numbers() {
        let ports = ["8080:80", "127.0.0.1:53:5353/udp"];
        let mut endpoint = Endpoint {
            tap: serde_json::from_str("4").unwrap(),
            ports: ports.iter().flat_map(|port| port::parse(port).unwrap()).collect(),
            addresses: vec!["10.0.0.2/24".parse().unwrap()],
            ..Endpoint::default()
        };
        let said = of_ports(&endpoint, true).join(" ");
        assert!(said.contains("-t 0.0.0.0/8080:8080 -u 127.0.0.1/53:53 -I port4 -a 169.254.128.4 -n 32"), "{said}");
        endpoint.addresses.push("fd00::2/64".parse().unwrap());
        assert!(of_ports(&endpoint, true).join(" ").contains("-t 8080:8080"));
    }

    #[test]
    fn a_machine_without_a_way_outside() {
        let header = "Iface\tDestination\tGateway\tFlags\tRefCnt\tUse\tMetric\tMask\tMTU\tWindow\tIRTT\n";
        let of =
            |destination: &str, mask: &str| format!("{header}eth0\t{destination}\t0\t1\t0\t0\t0\t{mask}\t0\t0\t0\n");
        assert!(leads_outside(&of("00000000", "00000000"), ""));
        assert!(!leads_outside(&of("0000000A", "00FFFFFF"), ""));
        let nought = "0".repeat(32);
        let of = |link: &str| format!("{nought} 00 {nought} 00 {nought} ffffffff 1 0 00200200 {link}\n");
        assert!(leads_outside("", &of("eth0")) && !leads_outside("", &of("lo")));
        for said in [at_edge(false, false), of_container(&[], &[], false, false)] {
            let said = said.join(" ");
            assert!(
                said.contains("-i lo -M 02:")
                    && said.contains("-a 169.254.0.2 -n 30")
                    && said.contains("-g 169.254.0.1"),
                "{said}"
            );
        }
        assert!(!at_edge(false, true).contains(&"lo".to_owned()));
    }
}
