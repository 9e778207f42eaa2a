//! The rules in the kernel, and those of others that stand against them.

use anyhow::Result;

use super::endpoint::Endpoint;
use super::nftables::transaction::{BaseChain, Connection};
use super::port::Published;
use super::ruleset::{TABLE, chain_into, has_rules, published, table};
use super::{Network, Networks, conntrack, state, tap};
use crate::image::store::lock::Lock;

impl Networks {
    /// Makes all rules anew from the state, in one transaction: before it the old ones hold, after it the new ones.
    pub(super) fn write_rules(&self, _alone: &Lock, networks: &[Network]) -> Result<()> {
        let mut endpoints = Vec::new();
        for network in networks {
            endpoints
                .extend(self.endpoints(network)?.into_iter().map(|endpoint| self.with_own_ports(endpoint).arriving()));
        }
        self.rules.with(|rules| match networks.iter().any(has_rules) {
            true => rules.replace(&table(&self.table, networks, &endpoints, self.is_users)),
            false => rules.delete(&self.table),
        })
    }

    /// Makes all rules anew if a network's are not there: at its first use, and after somebody has flushed the ruleset.
    pub(super) fn need_rules(&self, alone: &Lock, network: &Network) -> Result<bool> {
        if self.rules.with(|rules| rules.has_chain(&self.table, &chain_into(network)))? {
            return Ok(false);
        }
        self.write_rules(alone, &self.definitions()?).map(|()| true)
    }

    pub(super) fn publish(&self, endpoint: &Endpoint) -> Result<()> {
        let endpoint = endpoint.clone().arriving();
        let elements = published(&endpoint);
        if elements.is_empty() {
            return Ok(());
        }
        self.rules.with(|rules| {
            rules.add(&self.table, &elements)?;
            conntrack::forget(&endpoint, rules.socket())
        })
    }

    /// Takes back what was published; only ports that are the container's own.
    pub(super) fn withdraw(&self, endpoint: &Endpoint) -> Result<()> {
        let endpoint = self.with_own_ports(endpoint.clone()).arriving();
        let elements = published(&endpoint);
        if elements.is_empty() {
            return Ok(());
        }
        self.rules.if_there(|rules| {
            rules.remove(&self.table, &elements)?;
            conntrack::forget(&endpoint, rules.socket())
        })
    }

    /// Without the ports, and the link that they lead in by, that it never came to claim.
    pub(super) fn with_own_ports(&self, mut endpoint: Endpoint) -> Endpoint {
        let directory = self.port_directory();
        let has_tap = endpoint.tap.is_some();
        let is_own = |port: &Published| {
            state::owner(&directory.join(port_claim(port, has_tap))) == Some(endpoint.container.clone())
        };
        endpoint.tap =
            endpoint.tap.filter(|tap| state::owner(&self.tap_claim(*tap)) == Some(endpoint.container.clone()));
        endpoint.ports = std::mem::take(&mut endpoint.ports).into_iter().filter(is_own).collect();
        endpoint
    }

    /// What others' rules do to containers, a sentence each: a packet has to be let through by everybody's.
    pub fn foreign_firewalls(&self) -> Result<Vec<String>> {
        let mut told = others(&self.rules.with(Connection::base_chains)?);
        // Those of the older interface are no chains of nftables, and their policy is told to nobody but their own program.
        let legacy = std::fs::read_to_string("/proc/thread-self/net/ip_tables_names").unwrap_or_default();
        if legacy.lines().any(|table| table == "filter") {
            let text = "iptables-legacy is in use: if `iptables-legacy -S FORWARD` says DROP, containers reach nobody, \
                        until `iptables-legacy -I FORWARD -i LINK -j ACCEPT` and `-o LINK` for each bridge";
            told.push(text.into());
        }
        Ok(told)
    }
}

/// The name by which a port of the host is claimed.
pub(super) fn port_claim(port: &Published, has_tap: bool) -> String {
    let address = if has_tap { tap::claimed(port).address } else { port.address };
    let address = address.filter(|address| !address.is_unspecified());
    let address = address.map_or_else(|| "any".to_owned(), |address| address.to_string());
    format!("{}-{address}-{}", port.protocol, port.host)
}

/// Of this store or another one.
fn is_own(table: &str) -> bool {
    table.strip_prefix(TABLE).is_some_and(|rest| rest.is_empty() || rest.starts_with('-'))
}

/// Chains of others that drop what is passed on.
fn others(chains: &[BaseChain]) -> Vec<String> {
    const FORWARD: u32 = 2;
    const BRIDGE_FAMILY: u8 = 7;
    let passed_on =
        chains.iter().filter(|chain| chain.hook == FORWARD && !is_own(&chain.table) && chain.family != BRIDGE_FAMILY);
    let mut told = Vec::new();
    for chain in passed_on {
        let family = match chain.family {
            2 => "ip",
            10 => "ip6",
            _ => "inet",
        };
        if chain.table == "firewalld" {
            told.push(
                "firewalld is in use: it rejects what containers send and get, until each bridge is in its zone trusted \
                 (firewall-cmd --permanent --zone=trusted --add-interface=LINK, and firewall-cmd --reload)"
                    .into(),
            );
        } else if chain.drops {
            let (table, name) = (&chain.table, &chain.name);
            let remedy = match (family, name.as_str()) {
                ("ip", "FORWARD") => "iptables -I FORWARD -i LINK -j ACCEPT and -o LINK",
                ("ip6", "FORWARD") => "ip6tables -I FORWARD -i LINK -j ACCEPT and -o LINK",
                _ => "rules there that accept what comes in by LINK or goes out by it",
            };
            told.push(format!(
                "the chain {name} of the nftables table {family} {table} drops what it doesn't know, and so what containers send \
                 and get; what helps for each bridge: {remedy}"
            ));
        }
    }
    told.sort();
    told.dedup();
    told
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chain(table: &str, name: &str, hook: u32, drops: bool) -> BaseChain {
        BaseChain { family: 2, table: table.into(), name: name.into(), hook, drops }
    }

    #[test]
    fn who_drops_is_told() {
        assert!(others(&[chain("filter", "FORWARD", 2, true)])[0].contains("iptables -I FORWARD"));
        assert!(others(&[chain("firewalld", "filter_FORWARD", 2, false)])[0].contains("firewalld"));
        let harmless = [
            chain("filter", "FORWARD", 2, false),
            chain("filter", "INPUT", 1, true),
            chain(TABLE, "forward", 2, true),
            BaseChain { family: 7, ..chain("filter", "FORWARD", 2, true) },
        ];
        assert!(others(&harmless).is_empty());
    }
}
