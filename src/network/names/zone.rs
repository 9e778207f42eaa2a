//! The names that a container sees: those of all endpoints in its networks.

use std::collections::HashMap;
use std::net::IpAddr;

use ipnet::IpNet;

use super::packet::{A, AAAA, NO_ERROR, PTR, Question, Record};
use crate::network::Network;
use crate::network::endpoint::{Endpoint, Link};

#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Zone {
    names: HashMap<String, Vec<IpAddr>>,
    addresses: HashMap<IpAddr, String>,
    /// Whether there is a way outside, and so somebody to ask further.
    pub(super) leads_outside: bool,
}

impl Zone {
    /// As a container sees it, which has names of its own for others.
    pub(super) fn new(container: &str, networks: &[(Network, Vec<Endpoint>)]) -> Zone {
        let mut zone = Zone { leads_outside: networks.iter().any(|(network, _)| !network.internal), ..Zone::default() };
        for (network, endpoints) in networks.iter().filter(|(network, _)| network.has_names()) {
            for endpoint in endpoints {
                zone.add(network, endpoint);
            }
        }
        for (_, endpoints) in networks {
            for own in endpoints.iter().filter(|endpoint| endpoint.container == container) {
                own.links.iter().for_each(|link| zone.link(link, endpoints));
            }
        }
        zone
    }

    /// What a container calls another counts for it before what that calls itself. Where there is none, nothing is said.
    fn link(&mut self, link: &Link, endpoints: &[Endpoint]) {
        let is_meant = |one: &&Endpoint| one.container == link.name || one.names().contains(&link.name.as_str());
        let meant = endpoints.iter().filter(is_meant).flat_map(|one| &one.addresses);
        let addresses: Vec<IpAddr> = meant.map(IpNet::addr).collect();
        if !addresses.is_empty() {
            self.names.insert(link.alias.to_ascii_lowercase(), addresses);
        }
    }

    fn add(&mut self, network: &Network, endpoint: &Endpoint) {
        let addresses: Vec<IpAddr> = endpoint.addresses.iter().map(IpNet::addr).collect();
        for name in endpoint.names() {
            // With the network's name behind it, as docker has it, where the same name is in several.
            for name in [name.to_ascii_lowercase(), format!("{name}.{}", network.name).to_ascii_lowercase()] {
                let there = self.names.entry(name).or_default();
                there.extend(addresses.iter().filter(|address| !there.contains(address)).copied().collect::<Vec<_>>());
            }
        }
        for address in addresses {
            self.addresses.entry(address).or_insert_with(|| format!("{}.{}", endpoint.name, network.name));
        }
    }

    /// The answer to a question, if it is one that is known here; one to a name without an address of the family is empty.
    pub(super) fn answer(&self, question: &Question) -> Option<(u8, Vec<Record>)> {
        if question.kind == PTR {
            let name = self.addresses.get(&question.reversed()?)?;
            return Some((NO_ERROR, vec![Record::Name(name.clone())]));
        }
        let addresses = self.names.get(&question.name)?;
        let is_wanted = |address: &&IpAddr| match question.kind {
            A => address.is_ipv4(),
            AAAA => address.is_ipv6(),
            _ => false,
        };
        Some((NO_ERROR, addresses.iter().filter(is_wanted).map(|address| Record::Address(*address)).collect()))
    }
}

#[cfg(test)]
mod tests {
    use super::super::packet::{question, tests::asked};
    use super::*;
    use crate::network::Driver;

    fn zone() -> Zone {
        let network = Network {
            id: "n".into(),
            name: "front".into(),
            created: String::new(),
            driver: Driver::Bridge,
            link: String::new(),
            pools: Vec::new(),
            ipv6: true,
            internal: false,
            attachable: false,
            labels: Default::default(),
            options: Default::default(),
            ipam_options: Default::default(),
            configuration: None,
            config_from: None,
        };
        let endpoint = |name: &str, last: u8| Endpoint {
            container: format!("{name}0123456789abcdef"),
            name: name.into(),
            network: "n".into(),
            order: 0,
            interface: "eth0".into(),
            addresses: vec![format!("10.0.0.{last}/24").parse().unwrap(), format!("fd00::{last}/64").parse().unwrap()],
            mac: String::new(),
            aliases: vec!["App".into()],
            links: vec![Link { name: if name == "one" { "two" } else { "one" }.into(), alias: "Other".into() }],
            ..Endpoint::default()
        };
        Zone::new("one0123456789abcdef", &[(network, vec![endpoint("one", 2), endpoint("two", 3)])])
    }

    fn ask(name: &str, kind: u16) -> Option<Vec<Record>> {
        zone().answer(&question(&asked(name, kind)).unwrap()).map(|(_, records)| records)
    }

    #[test]
    fn names_ids_and_aliases() {
        let one = Some(vec![Record::Address([10, 0, 0, 2].into())]);
        for name in ["one", "ONE", "one.front", "one012345678"] {
            assert_eq!(ask(name, A), one, "{name}");
        }
        assert_eq!(ask("app", A).unwrap().len(), 2);
        // A link is its own: the other's of the same name leads elsewhere.
        assert_eq!(ask("other", A), Some(vec![Record::Address([10, 0, 0, 3].into())]));
        assert_eq!(ask("one", AAAA), Some(vec![Record::Address("fd00::2".parse().unwrap())]));
        // A name that is known has no mail exchanger here, nor anywhere else.
        assert_eq!(ask("one", 15), Some(Vec::new()));
        assert_eq!(ask("three", A), None);
        assert_eq!(ask("3.0.0.10.in-addr.arpa", PTR), Some(vec![Record::Name("two.front".into())]));
        assert_eq!(ask("4.0.0.10.in-addr.arpa", PTR), None);
    }
}
