//! The rules of all networks, as data: a pure function of what there is.
//!
//! A network is four elements and three chains, a published port is an element. Packets find the chains of their network by the link's
//! name in a map, so that their number costs nothing.
//!
//! - **Published ports**: the destination is changed where it is an address of this machine, for what comes in and for what the
//!   machine itself sends. What comes back must pass here, so a sender that would not send it here (this machine under its loopback
//!   address, a container of the same network) is hidden behind the gateway's address.
//! - **Passing on**: into a network comes what belongs to a connection, what a published port has led there, and what its
//!   containers send each other; nothing else, and so nobody on the wire reaches a container by its own address. Another network of
//!   ours gets no further either, unless neither of them is isolated. Out of an internal network goes nothing.
//! - **127.0.0.0/8**: bridges have route_localnet, for `127.0.0.1:PORT`. Containers must not reach the machine's loopback that way
//!   (as in CVE-2020-8558), so what comes from outside for it is dropped first of all.

use std::net::IpAddr;

use ipnet::IpNet;

use super::endpoint::Endpoint;
use super::nftables::{
    Chain, Datum, Element, End, Family, Hook, Is, Set, Side, State, Statement, Table, Target, Type, Value,
};
use super::{Driver, Network, Published};

/// The table's name, of the store in its usual place.
pub(super) const TABLE: &str = "corten";

const BRIDGES: &str = "bridges";
const INTO: &str = "into";
const OUT_OF: &str = "out-of";
const SOURCES: [&str; 2] = ["sources4", "sources6"];
const PORTS: [&str; 2] = ["ports4", "ports6"];
const PORTS_AT: [&str; 2] = ["ports4-at", "ports6-at"];

/// The chain that is there if a network's rules are.
pub(super) fn chain_into(network: &Network) -> String {
    format!("into-{}", network.link)
}

fn chain_out_of(network: &Network) -> String {
    format!("out-of-{}", network.link)
}

fn chain_source(network: &Network) -> String {
    format!("source-{}", network.link)
}

/// Whether a network is there by rules.
pub(super) fn has_rules(network: &Network) -> bool {
    network.driver == Driver::Bridge && !network.pools.is_empty()
}

/// The whole table.
pub(super) fn table(name: &str, networks: &[Network], endpoints: &[Endpoint]) -> Table {
    let bridges: Vec<&Network> = networks.iter().filter(|one| has_rules(one)).collect();
    let mut table = Table { name: name.into(), sets: sets(&bridges), chains: base_chains() };
    for network in &bridges {
        table.chains.extend([into(network), out_of(network), source(network)]);
    }
    for (name, element) in endpoints.iter().flat_map(published) {
        if let Some(set) = table.sets.iter_mut().find(|set| set.name == name) {
            set.elements.push(element);
        }
    }
    table
}

/// The elements of an endpoint's published ports, those of a set beside each other.
pub(super) fn published(endpoint: &Endpoint) -> Vec<(&'static str, Element)> {
    let mut elements = Vec::new();
    for address in endpoint.addresses.iter().map(IpNet::addr) {
        let family = usize::from(address.is_ipv6());
        for port in endpoint.ports.iter().filter(|port| port.address.is_none_or(|at| at.is_ipv4() == address.is_ipv4()))
        {
            let name = if specific(port).is_some() { PORTS_AT[family] } else { PORTS[family] };
            let mut key: Vec<Datum> = specific(port).map(Datum::Address).into_iter().collect();
            key.extend([Datum::Protocol(port.protocol.number()), Datum::Port(port.host)]);
            let target = Target::Data(vec![Datum::Address(address), Datum::Port(port.container)]);
            elements.push((name, Element { key, target, comment: endpoint.container.clone() }));
        }
    }
    elements.sort_by_key(|(name, _)| *name);
    elements
}

/// The address of the host that a port is published at, unless that is every one.
fn specific(port: &Published) -> Option<IpAddr> {
    port.address.filter(|address| !address.is_unspecified())
}

fn sets(bridges: &[&Network]) -> Vec<Set> {
    let links = |target: &dyn Fn(&Network) -> Target| -> Vec<Element> {
        let one = |network: &&Network| Element {
            key: vec![Datum::Link(network.link.clone())],
            target: target(network),
            comment: network.name.clone(),
        };
        bridges.iter().map(one).collect()
    };
    let sources = |wanted: Family| -> Vec<Element> {
        let pools = bridges.iter().flat_map(|network| network.pools.iter().map(move |pool| (network, pool)));
        let pools = pools.filter(|(_, pool)| Family::of(pool.gateway) == wanted);
        let one = |(network, pool): (&&Network, &super::Pool)| Element {
            key: vec![Datum::Subnet(pool.subnet)],
            target: Target::Jump(chain_source(network)),
            comment: network.name.clone(),
        };
        pools.map(one).collect()
    };
    let set = |name, key, value, ranges, elements| Set { name, key, value, ranges, elements };
    use Type::{Address4, Address6, Link, Port, Protocol};
    let to4 = Value::Data(&[Address4, Port]);
    let to6 = Value::Data(&[Address6, Port]);
    vec![
        set(BRIDGES, &[Link], Value::Nothing, false, links(&|_| Target::Nothing)),
        set(INTO, &[Link], Value::Verdict, false, links(&|network| Target::Jump(chain_into(network)))),
        set(OUT_OF, &[Link], Value::Verdict, false, links(&|network| Target::Jump(chain_out_of(network)))),
        set(SOURCES[0], &[Address4], Value::Verdict, true, sources(Family::V4)),
        set(SOURCES[1], &[Address6], Value::Verdict, true, sources(Family::V6)),
        set(PORTS[0], &[Protocol, Port], to4, false, Vec::new()),
        set(PORTS[1], &[Protocol, Port], to6, false, Vec::new()),
        set(PORTS_AT[0], &[Address4, Protocol, Port], to4, false, Vec::new()),
        set(PORTS_AT[1], &[Address6, Protocol, Port], to6, false, Vec::new()),
    ]
}

fn base_chains() -> Vec<Chain> {
    use Statement::*;
    let translate = |by_address, family: Family| {
        let names = if by_address { PORTS_AT } else { PORTS };
        vec![TranslateByMap { family, by_address, map: names[usize::from(family == Family::V6)] }]
    };
    let chain = |name: &str, hook, rules| Chain { name: name.into(), hook, rules };
    let forward = vec![
        vec![LinkMap(Side::In, OUT_OF)],
        vec![State(self::State::EstablishedOrRelated), Accept],
        vec![LinkMap(Side::Out, INTO)],
    ];
    let published = "published";
    vec![
        chain(
            published,
            None,
            vec![
                translate(true, Family::V4),
                translate(false, Family::V4),
                translate(true, Family::V6),
                translate(false, Family::V6),
            ],
        ),
        chain(
            "raw",
            Some(Hook::Raw),
            vec![vec![
                Link(Side::In, Is::IsNot, "lo".into()),
                Address(End::Destination, Is::Is, loopback(false)),
                Drop,
            ]],
        ),
        chain("prerouting", Some(Hook::Prerouting), vec![vec![Local(End::Destination), Jump(published)]]),
        chain(
            "output",
            Some(Hook::Output),
            // There is no route_localnet for ::1.
            vec![
                vec![Address(End::Destination, Is::Is, loopback(true)), Accept],
                vec![Local(End::Destination), Jump(published)],
            ],
        ),
        chain("forward", Some(Hook::Forward), forward),
        chain(
            "postrouting",
            Some(Hook::Postrouting),
            vec![
                vec![LinkIn(Side::Out, Is::Is, BRIDGES), Translated(Is::Is), Local(End::Source), Masquerade],
                vec![SourceMap(Family::V4, SOURCES[0])],
                vec![SourceMap(Family::V6, SOURCES[1])],
            ],
        ),
    ]
}

fn loopback(v6: bool) -> IpNet {
    if v6 {
        IpNet::new_assert(std::net::Ipv6Addr::LOCALHOST.into(), 128)
    } else {
        IpNet::new_assert([127, 0, 0, 0].into(), 8)
    }
}

/// What comes into a network.
fn into(network: &Network) -> Chain {
    use Statement::*;
    let own = || Link(Side::In, Is::Is, network.link.clone());
    let mut rules = Vec::new();
    if !network.internal {
        rules.push(vec![Translated(Is::Is), Accept]);
    }
    if network.is_connected_inside() {
        rules.push(vec![own(), Accept]);
    }
    if !network.is_isolated() && !network.internal {
        // The other one has its say before: `out_of`.
        rules.push(vec![LinkIn(Side::In, Is::Is, BRIDGES), Accept]);
    }
    rules.push(vec![Drop]);
    Chain { name: chain_into(network), hook: None, rules }
}

/// What leaves a network.
fn out_of(network: &Network) -> Chain {
    use Statement::*;
    let elsewhere = || Link(Side::Out, Is::IsNot, network.link.clone());
    let mut rules = Vec::new();
    if network.internal {
        rules.push(vec![elsewhere(), Drop]);
    } else {
        // Address translation passes over such a packet, and it would leave with an address that nobody outside knows.
        rules.push(vec![State(self::State::Invalid), elsewhere(), Drop]);
        if network.is_isolated() {
            let new = State(self::State::EstablishedOrRelated);
            rules.push(vec![new, Accept]);
            rules.push(vec![elsewhere(), LinkIn(Side::Out, Is::Is, BRIDGES), Translated(Is::IsNot), Drop]);
        }
    }
    Chain { name: chain_out_of(network), hook: None, rules }
}

/// What a network's containers send, on its way out.
fn source(network: &Network) -> Chain {
    use Statement::*;
    let own = |is| Link(Side::Out, is, network.link.clone());
    let mut rules = vec![vec![own(Is::Is), Translated(Is::Is), Masquerade]];
    if network.is_masqueraded() && !network.internal {
        // What is for many is not for being translated.
        rules.push(vec![Address(End::Destination, Is::Is, IpNet::new_assert([224, 0, 0, 0].into(), 4)), Accept]);
        rules.push(vec![own(Is::IsNot), Masquerade]);
    }
    Chain { name: chain_source(network), hook: None, rules }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::network::create::{Create, Host, plan};
    use crate::network::{Protocol, port};

    fn network(wanted: Create) -> Network {
        plan(&Create { name: "n".into(), ..wanted }, &[], &Host::default()).unwrap()
    }

    fn endpoint(addresses: &[&str], ports: &[&str]) -> Endpoint {
        Endpoint {
            container: "c".into(),
            name: "c".into(),
            hostname: String::new(),
            network: "n".into(),
            order: 0,
            interface: "eth0".into(),
            link: None,
            addresses: addresses.iter().map(|text| text.parse().unwrap()).collect(),
            mac: String::new(),
            aliases: Vec::new(),
            ports: ports.iter().flat_map(|text| port::parse(text).unwrap()).collect(),
        }
    }

    /// The rules of a network's own chains.
    fn rules(wanted: Create) -> Vec<String> {
        let text = table(TABLE, &[network(wanted)], &[]).to_string();
        text.lines().filter(|line| line.contains("-br-")).map(|line| line.replace("br-000000000000", "BR")).collect()
    }

    #[test]
    fn of_a_network() {
        assert_eq!(
            rules(Create::default()),
            [
                "into-BR: ct status dnat accept",
                "into-BR: iifname \"BR\" accept",
                "into-BR: drop",
                "out-of-BR: ct state invalid oifname != \"BR\" drop",
                "out-of-BR: ct state established,related accept",
                "out-of-BR: oifname != \"BR\" oifname @bridges ct status != dnat drop",
                "source-BR: oifname \"BR\" ct status dnat masquerade",
                "source-BR: ip daddr 224.0.0.0/4 accept",
                "source-BR: oifname != \"BR\" masquerade",
            ]
        );
    }

    #[test]
    fn of_an_internal_network() {
        assert_eq!(
            rules(Create { internal: true, ..Create::default() }),
            [
                "into-BR: iifname \"BR\" accept",
                "into-BR: drop",
                "out-of-BR: oifname != \"BR\" drop",
                "source-BR: oifname \"BR\" ct status dnat masquerade",
            ]
        );
    }

    #[test]
    fn options_take_rules_away_and_add_some() {
        let with = |name: &str, value: &str| {
            rules(Create { options: [(name.to_owned(), value.to_owned())].into(), ..Create::default() })
        };
        let apart = with("com.docker.network.bridge.enable_icc", "false");
        assert!(!apart.contains(&"into-BR: iifname \"BR\" accept".to_owned()), "{apart:?}");
        let plain = with("com.docker.network.bridge.enable_ip_masquerade", "false");
        assert!(!plain.contains(&"source-BR: oifname != \"BR\" masquerade".to_owned()), "{plain:?}");
        let open = with("isolate", "false");
        assert!(open.contains(&"into-BR: iifname @bridges accept".to_owned()), "{open:?}");
        assert!(!open.iter().any(|rule| rule.starts_with("out-of-BR: oifname")), "{open:?}");
    }

    #[test]
    fn a_published_port_is_an_element_of_each_family() {
        let both = ["10.0.0.2/24", "fd00::2/64"];
        let names = |ports: &[&str]| -> Vec<&str> {
            published(&endpoint(&both, ports)).iter().map(|(name, _)| *name).collect()
        };
        assert_eq!(names(&["8080:80"]), ["ports4", "ports6"]);
        assert_eq!(names(&["127.0.0.1:8080:80"]), ["ports4-at"]);
        assert_eq!(names(&["0.0.0.0:8080:80"]), ["ports4"]);
        assert_eq!(names(&["[fd00::1]:8080:80"]), ["ports6-at"]);
        let element = &published(&endpoint(&both[..1], &["127.0.0.1:8080:80/udp"]))[0].1;
        let address = IpAddr::from([127, 0, 0, 1]);
        assert_eq!(element.key, [Datum::Address(address), Datum::Protocol(Protocol::Udp.number()), Datum::Port(8080)]);
        assert_eq!(element.target, Target::Data(vec![Datum::Address([10, 0, 0, 2].into()), Datum::Port(80)]));
    }

    #[test]
    fn networks_cost_the_base_chains_nothing() {
        let base = |networks: &[Network]| {
            table(TABLE, networks, &[]).chains.iter().filter(|chain| chain.hook.is_some()).count()
        };
        let many: Vec<Network> =
            ["a", "b", "c"].map(|name| Network { link: format!("br-{name}"), ..network(Create::default()) }).into();
        assert_eq!(base(&many), base(&[]));
        let sizes = |networks: &[Network]| -> Vec<usize> {
            table(TABLE, networks, &[])
                .chains
                .iter()
                .filter(|chain| chain.hook.is_some())
                .map(|chain| chain.rules.len())
                .collect()
        };
        assert_eq!(sizes(&many), sizes(&[]));
    }
}
