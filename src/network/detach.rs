//! `detach`, and what removes networks: whatever a crash left is tolerated, and an error doesn't keep the rest.

use std::os::fd::BorrowedFd;

use anyhow::{Result, anyhow, ensure};
use ipnet::IpNet;

use super::endpoint::{Endpoint, is_link_name, link_name};
use super::firewall::port_claim;
use super::gateways::has_priorities;
use super::link::Links;
use super::namespace::within;
use super::{Driver, Network, Networks, configuration, find, state};
use crate::error::sentence;

impl Networks {
    /// Detaches a container from one network or from all: all that [`Networks::attach`] made or may have begun to make.
    pub fn detach(&self, container: &str, network: Option<&str>) -> Result<()> {
        let _alone = self.lock()?;
        let mut errors = Errors::default();
        errors.take(self.remove_unwritten(container));
        for endpoint in self.endpoints_of(container)? {
            if network.is_none_or(|text| self.is_meant(&endpoint, text)) {
                errors.take(self.detach_one(&endpoint));
            }
        }
        errors.into_result()
    }

    /// What [`Networks::detach`] does, for a container whose network namespace has ended, or does so with the caller's last descriptor of
    /// it (a [`super::names::Responder`] has some): the link is left to the kernel, which removes it with the namespace. To
    /// remove it by oneself takes ten times as long as all the rest.
    pub fn release(&self, container: &str) -> Result<()> {
        let _alone = self.lock()?;
        let mut errors = Errors::default();
        errors.take(self.remove_unwritten(container));
        for endpoint in self.endpoints_of(container)? {
            errors.take(self.detach_one(&Endpoint { link: None, ..endpoint }));
        }
        errors.into_result()
    }

    /// Detaches a running container from a network.
    pub fn disconnect(&self, container: &str, network: &str, namespace: BorrowedFd<'_>) -> Result<()> {
        let endpoints = self.endpoints_of(container)?;
        let is_in = endpoints.iter().any(|endpoint| self.is_meant(endpoint, network));
        ensure!(is_in, "container {container} is not connected to network {network}");
        self.leave(container, network, namespace)
    }

    /// The same, whatever there is of its place in the network: somebody was killed who made it, or took it away. It has left also where
    /// another network can't lead outside any more: a container may have changed the links and addresses that it has.
    pub fn leave(&self, container: &str, network: &str, namespace: BorrowedFd<'_>) -> Result<()> {
        let endpoints = self.endpoints_of(container)?;
        let Some(endpoint) = endpoints.iter().find(|endpoint| self.is_meant(endpoint, network)) else {
            self.detach(container, Some(network))?;
            // Whoever was killed may have been at this.
            let _ = self.lead_outside(container, namespace);
            return Ok(());
        };
        delete_inside(endpoint, namespace)?;
        self.detach(container, Some(&endpoint.network))?;
        if has_priorities(&endpoints) {
            let _ = self.lead_outside(container, namespace);
        }
        Ok(())
    }

    /// What a container was to have that could not be made whole, out of a namespace that may live on.
    pub(super) fn take_back(&self, endpoint: &Endpoint, others: &[Endpoint], namespace: BorrowedFd<'_>) -> Result<()> {
        delete_inside(endpoint, namespace)?;
        self.detach_one(endpoint)?;
        if has_priorities(others.iter().chain([endpoint])) {
            // Their ways outside were ranked with this one among them. If it was that which failed, it was told.
            let _ = self.lead_outside(&endpoint.container, namespace);
        }
        Ok(())
    }

    fn is_meant(&self, endpoint: &Endpoint, text: &str) -> bool {
        let named = || find(&self.definitions().ok()?, text).ok().map(|network| network.id.clone());
        endpoint.network == text || named().as_ref() == Some(&endpoint.network)
    }

    /// In the opposite order of making; the record goes last, and stays if anything else does.
    pub(super) fn detach_one(&self, endpoint: &Endpoint) -> Result<()> {
        let mut errors = Errors::default();
        errors.take(self.withdraw(endpoint));
        if let Some(link) = &endpoint.link {
            errors.take(Links::open().and_then(|links| links.delete(link)));
        }
        errors.take(self.clear_tap(&self.with_own_ports(endpoint.clone())));
        let leases = self.lease_directory(&endpoint.network);
        let addresses = endpoint.addresses.iter().map(|address| leases.join(IpNet::addr(address).to_string()));
        let ports =
            endpoint.ports.iter().map(|port| self.port_directory().join(port_claim(port, endpoint.tap.is_some())));
        let taps = endpoint.tap.map(|tap| self.tap_claim(tap));
        if errors.0.is_empty() {
            for claim in addresses.chain(ports).chain(taps) {
                errors.take(state::release(&claim, &endpoint.container).map(drop));
            }
        }
        if errors.0.is_empty() {
            errors.take(self.remove_endpoint(endpoint));
        }
        errors.into_result()
    }

    /// Removes a network that nobody is in.
    pub fn remove(&self, text: &str) -> Result<Network> {
        let network = find(&self.list()?, text)?.clone();
        ensure!(!network.is_predefined(), "{} is a pre-defined network and cannot be removed", network.name);
        self.remove_unused(&network)?;
        Ok(network)
    }

    /// Removes all networks that nobody is in, of those that are wanted; says which.
    pub fn prune(&self, is_wanted: impl Fn(&Network) -> bool) -> Result<Vec<Network>> {
        let mut removed = Vec::new();
        let mut errors = Errors::default();
        for network in self.definitions()? {
            // What others are to be made like is never in use.
            if network.configuration.is_some()
                || network.is_predefined()
                || !is_wanted(&network)
                || !self.endpoints(&network)?.is_empty()
            {
                continue;
            }
            match self.remove_unused(&network) {
                Ok(()) => removed.push(network),
                // Somebody has come in meanwhile, or has removed it.
                Err(_) if self.is_used_or_gone(&network) => {}
                Err(error) => errors.take(Err(error)),
            }
        }
        errors.into_result().map(|()| removed)
    }

    fn is_used_or_gone(&self, network: &Network) -> bool {
        let is_used = self.endpoints(network).is_ok_and(|endpoints| !endpoints.is_empty());
        is_used || self.definitions().is_ok_and(|all| all.iter().all(|other| other.id != network.id))
    }

    fn remove_unused(&self, network: &Network) -> Result<()> {
        let _definitions = self.lock_definitions()?;
        configuration::ensure_unused(network, &self.definitions()?)?;
        let alone = self.lock()?;
        let (name, id) = (&network.name, &network.id);
        ensure!(
            self.endpoints(network)?.is_empty(),
            "error while removing network: network {name} id {id} has active endpoints"
        );
        if network.driver == Driver::Bridge {
            let others: Vec<Network> = self.definitions()?.into_iter().filter(|other| other.id != *id).collect();
            // The link before its rules; one that somebody else has made meanwhile under this name is his.
            let links = Links::open()?;
            if links.find(&network.link)?.is_some_and(|link| link.kind.as_deref() == Some("bridge")) {
                links.delete(&network.link)?;
            }
            self.write_rules(&alone, &others)?;
        }
        for directory in [self.endpoint_directory(id), self.lease_directory(id)] {
            state::remove_directory(&directory)?;
        }
        self.remove_definition(network)
    }

    /// Makes everything anew that rules and links need, from the state: after somebody has flushed the ruleset or removed a bridge.
    /// Says what others' rules do.
    pub fn reload(&self) -> Result<Vec<String>> {
        let alone = self.lock()?;
        let networks = self.definitions()?;
        self.write_rules(&alone, &networks)?;
        let links = Links::open()?;
        let mut errors = Errors::default();
        for network in networks.iter().filter(|network| network.driver == Driver::Bridge) {
            let endpoints = self.endpoints(network)?;
            if !endpoints.is_empty() || links.find(&network.link)?.is_some() {
                errors.take(self.put_back(&alone, network, &endpoints, &links));
            }
        }
        errors.into_result()?;
        self.foreign_firewalls()
    }

    fn put_back(
        &self,
        alone: &crate::image::store::lock::Lock,
        network: &Network,
        endpoints: &[Endpoint],
        links: &Links,
    ) -> Result<()> {
        let (bridge, _) = self.need_bridge(alone, network, links)?;
        // What belongs to nobody: its container was released, and lived on.
        for link in links.list()?.iter().filter(|link| link.master == Some(bridge.index)) {
            if is_link_name(&link.name) && endpoints.iter().all(|one| one.link.as_ref() != Some(&link.name)) {
                links.delete(&link.name)?;
            }
        }
        let own = endpoints.iter().map(|endpoint| self.with_own_ports(endpoint.clone()));
        own.into_iter().try_for_each(|endpoint| self.need_tap(&endpoint, links))?;
        for name in endpoints.iter().filter_map(|endpoint| endpoint.link.as_ref()) {
            // A container that ends meanwhile takes its link with it.
            let Some(link) = links.find(name)?.filter(|link| link.master != Some(bridge.index)) else { continue };
            links.set_master(link.index, bridge.index)?;
            links.set_port(name, true, !network.is_connected_inside())?;
        }
        Ok(())
    }
}

/// Deletes the link in the container of one that is on a link of the host, and has no end here; by the name, too, that it has at first.
/// What the container has made itself under that name stays.
fn delete_inside(endpoint: &Endpoint, namespace: BorrowedFd<'_>) -> Result<()> {
    if endpoint.link.is_some() {
        return Ok(());
    }
    within(namespace, || {
        let links = Links::open()?;
        for name in [&endpoint.interface, &link_name(&endpoint.container, &endpoint.network)] {
            let kind = links.find(name)?.and_then(|link| link.kind);
            if matches!(kind.as_deref(), Some("macvlan" | "ipvlan")) {
                links.delete(name)?;
            }
        }
        Ok(())
    })
}

/// Errors of a teardown that goes on.
#[derive(Debug, Default)]
struct Errors(Vec<anyhow::Error>);

impl Errors {
    fn take(&mut self, result: Result<()>) {
        self.0.extend(result.err());
    }

    fn into_result(mut self) -> Result<()> {
        match self.0.len() {
            0 => Ok(()),
            1 => Err(self.0.remove(0)),
            _ => Err(anyhow!(self.0.iter().map(sentence).collect::<Vec<_>>().join("; "))),
        }
    }
}
