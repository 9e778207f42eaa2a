//! `attach`: a container gets its place in a network.

use std::net::{IpAddr, Ipv6Addr};
use std::os::fd::BorrowedFd;

use anyhow::{Context, Result, bail, ensure};
use ipnet::IpNet;
use rustix::io::Errno;

use super::address::{check, hardware_address, hardware_text, next};
use super::endpoint::{Endpoint, Link, link_name};
use super::firewall::port_claim;
use super::link::{Inside, Links, Pair};
use super::namespace::within;
use super::port::Published;
use super::{Driver, Network, Networks, Pool, gateways, state, sysctl};
use crate::error::Attempt;
use crate::image::store::lock::Lock;

/// What is wanted of a place in a network.
#[derive(Debug, Clone, Copy)]
pub struct Attachment<'a> {
    /// The container's id.
    pub container: &'a str,
    /// The container's name.
    pub name: &'a str,
    /// The host name that it was given; empty for none.
    pub hostname: &'a str,
    /// Its network namespace.
    pub namespace: BorrowedFd<'a>,
    /// The network's name or id.
    pub network: &'a str,
    /// The link inside: `eth0`.
    pub interface: &'a str,
    /// How much its way outside is preferred to those of the container's other networks.
    pub gateway_priority: i32,
    /// Addresses that it is to have, one for each family at most; those that aren't said are chosen.
    pub addresses: &'a [IpAddr],
    /// The hardware address, if it is not to follow from the address.
    pub mac: Option<[u8; 6]>,
    /// Further names in this network.
    pub aliases: &'a [String],
    /// Names that it alone has for others.
    pub links: &'a [Link],
    /// Addresses beside the network's.
    pub link_local: &'a [IpAddr],
    /// Settings of the link: `ipv4/conf/eth0/log_martians`, below /proc/sys/net.
    pub settings: &'a [(String, String)],
    /// Ports of the host that lead here, as [`Networks::reserve`] has given them.
    pub ports: &'a [Published],
}

impl<'a> Attachment<'a> {
    /// A place that is as the network has it.
    pub fn new(container: &'a str, name: &'a str, namespace: BorrowedFd<'a>, network: &'a str) -> Attachment<'a> {
        Attachment {
            container,
            name,
            hostname: "",
            namespace,
            network,
            interface: "eth0",
            gateway_priority: 0,
            addresses: &[],
            mac: None,
            aliases: &[],
            links: &[],
            link_local: &[],
            settings: &[],
            ports: &[],
        }
    }
}

impl Networks {
    /// Attaches a container; what came to pass that people should know is among the second.
    pub fn attach(&self, request: &Attachment<'_>) -> Result<(Endpoint, Vec<String>)> {
        let network = self.get(request.network)?;
        check_driver(&network, request)?;
        let alone = self.lock()?;
        ensure!(self.is_defined(&network), "network {} not found", network.name);
        let others = self.endpoints_of(request.container)?;
        let endpoint = self.place(&network, request, &others)?;
        self.write_endpoint(&endpoint)?;
        match self.make(&alone, &network, &endpoint, request, &others) {
            Ok(warnings) => Ok((endpoint, warnings)),
            Err(error) => match self.take_back(&endpoint, &others, request.namespace) {
                Ok(()) => Err(error),
                Err(second) => Err(error.context(format!("what was made could not be removed either ({second:#})"))),
            },
        }
    }

    /// Decides what the endpoint is like; nothing is claimed yet.
    fn place(&self, network: &Network, request: &Attachment<'_>, others: &[Endpoint]) -> Result<Endpoint> {
        let is_there = others.iter().any(|other| other.network == network.id);
        ensure!(!is_there, "the container {} is in the network {} already", request.name, network.name);
        // What is made under a name that is another one's would be taken from that when it is taken away.
        let is_free = others.iter().all(|other| other.interface != request.interface);
        ensure!(is_free, "the container {} has a link {} already", request.name, request.interface);
        let addresses = self.choose_addresses(network, request.addresses)?;
        let mac = request.mac.or_else(|| addresses.first().map(|first| hardware_address(first.addr())));
        let link = (network.driver == Driver::Bridge).then(|| link_name(request.container, &network.id));
        Ok(Endpoint {
            container: request.container.to_owned(),
            name: request.name.to_owned(),
            hostname: request.hostname.to_owned(),
            network: network.id.clone(),
            order: others.iter().map(|other| other.order + 1).max().unwrap_or(0),
            gateway_priority: request.gateway_priority,
            interface: request.interface.to_owned(),
            link,
            addresses,
            mac: mac.map(hardware_text).unwrap_or_default(),
            aliases: request.aliases.to_vec(),
            links: request.links.to_vec(),
            link_local: request.link_local.to_vec(),
            ports: request.ports.to_vec(),
            tap: if self.is_users && !request.ports.is_empty() { Some(self.free_tap()?) } else { None },
        })
    }

    fn choose_addresses(&self, network: &Network, wanted: &[IpAddr]) -> Result<Vec<IpNet>> {
        let leases = self.lease_directory(&network.id);
        for address in wanted {
            let pool = network.pools.iter().find(|pool| pool.gateway.is_ipv4() == address.is_ipv4());
            let pool =
                pool.with_context(|| format!("the network {} has no subnet for the address {address}", network.name))?;
            check(pool, *address)?;
            if let Some(owner) = state::owner(&leases.join(address.to_string())) {
                bail!("the address {address} is in use by the container {owner}");
            }
        }
        let mut addresses = Vec::new();
        for pool in &network.pools {
            let family = |address: &&IpAddr| address.is_ipv4() == pool.gateway.is_ipv4();
            let address = match wanted.iter().find(family) {
                Some(address) => *address,
                None => {
                    let last = state::owner(&last_lease(&leases, pool.gateway)).and_then(|text| text.parse().ok());
                    let is_taken = |one: IpAddr| leases.join(one.to_string()).is_symlink();
                    next(pool, last, is_taken)
                        .with_context(|| format!("no address is free in the subnet {}", pool.subnet))?
                }
            };
            addresses.push(IpNet::new_assert(address, pool.subnet.prefix_len()));
        }
        Ok(addresses)
    }

    /// Claims and makes what the endpoint's record says.
    fn make(
        &self,
        alone: &Lock,
        network: &Network,
        endpoint: &Endpoint,
        request: &Attachment<'_>,
        others: &[Endpoint],
    ) -> Result<Vec<String>> {
        self.claim(endpoint)?;
        let links = Links::open()?;
        let mac = Some(super::address::parse_hardware(&endpoint.mac)?);
        let inside = Inside { name: &endpoint.interface, namespace: request.namespace, mac, mtu: 0 };
        let mut warnings = Vec::new();
        match &endpoint.link {
            Some(outside) => {
                let (bridge, told) = self.need_bridge(alone, network, &links)?;
                warnings = told;
                let inside = Inside { mtu: bridge.mtu, ..inside };
                links.add_pair(&Pair { outside, bridge: bridge.index, inside })?;
                // Back to where it came from: a container that calls its own published port, when bridges hand their packets to
                // netfilter (br_netfilter).
                links.set_port(outside, true, !network.is_connected_inside())?;
            }
            // Older kernels look for a new link's name where the request is made as well, and say EEXIST where that has an eth0 (seen with
            // Linux 6.12, and not with 6.18).
            None => {
                let name = link_name(&endpoint.container, &endpoint.network);
                on_parent(network, &links, &Inside { name: &name, ..inside })?;
                within(request.namespace, || Links::open()?.rename(&name, &endpoint.interface))?;
            }
        }
        // By a tap it may arrive elsewhere.
        let is_dead = |port: &&Published| endpoint.tap.is_none() && port.address == Some(Ipv6Addr::LOCALHOST.into());
        let dead = endpoint.ports.iter().filter(is_dead);
        warnings.extend(
            dead.map(|port| format!("the port {port} reaches nobody: IPv6 leads nothing from ::1 to a container")),
        );
        let has_priorities = gateways::has_priorities(others.iter().chain([endpoint]));
        let gateways = if has_priorities { &[] } else { gateways::of(network) };
        within(request.namespace, || set_up_inside(endpoint, request.settings, gateways))?;
        if has_priorities {
            self.lead_outside(&endpoint.container, request.namespace)?;
        }
        self.need_tap(endpoint, &links)?;
        self.publish(endpoint)?;
        Ok(warnings)
    }

    fn claim(&self, endpoint: &Endpoint) -> Result<()> {
        let leases = self.lease_directory(&endpoint.network);
        state::make_directory(&leases)?;
        for address in endpoint.addresses.iter().map(IpNet::addr) {
            if let Some(owner) = state::claim(&leases.join(address.to_string()), &endpoint.container)? {
                bail!("the address {address} is in use by the container {owner}");
            }
            let last = last_lease(&leases, address);
            state::remove(&last)?;
            state::claim(&last, &address.to_string())?;
        }
        if let Some(tap) = endpoint.tap {
            state::claim(&self.tap_claim(tap), &endpoint.container)?;
            // Left by somebody who was killed.
            self.clear_tap(endpoint)?;
        }
        for port in &endpoint.ports {
            let claim = self.port_directory().join(port_claim(port, endpoint.tap.is_some()));
            if let Some(owner) = state::claim(&claim, &endpoint.container)? {
                bail!("Bind for {port} failed: port is already allocated to the container {owner}");
            }
        }
        Ok(())
    }
}

/// Where the last address that was given is kept, for each family.
fn last_lease(leases: &std::path::Path, like: IpAddr) -> std::path::PathBuf {
    leases.join(if like.is_ipv4() { ".last4" } else { ".last6" })
}

fn check_driver(network: &Network, request: &Attachment<'_>) -> Result<()> {
    let name = &network.name;
    match network.driver {
        Driver::Host | Driver::Null => {
            bail!("a container can't be attached to the network {name}: it is chosen when it is made")
        }
        Driver::Macvlan | Driver::Ipvlan => {
            ensure!(request.ports.is_empty(), "ports can't be published in the {} network {name}", network.driver);
        }
        Driver::Bridge => {
            let everywhere =
                request.ports.iter().find(|port| port.address.is_none() && network.host_binding().is_some());
            if let Some(port) = everywhere {
                bail!("the port {port} is not at the address that the network {name} has for ports");
            }
            ensure!(
                request.ports.is_empty() || !network.internal,
                "ports can't be published in the internal network {name}"
            );
        }
    }
    Ok(())
}

/// The number of a mode, linux/if_link.h.
pub(super) fn macvlan_mode(name: &str) -> Option<u32> {
    Some(match name {
        "private" => 1,
        "vepa" => 2,
        "bridge" => 4,
        "passthru" => 8,
        _ => return None,
    })
}

/// The number of a mode, linux/if_link.h.
pub(super) fn ipvlan_mode(name: &str) -> Option<u32> {
    Some(match name {
        "l2" => 0,
        "l3" => 1,
        "l3s" => 2,
        _ => return None,
    })
}

fn on_parent(network: &Network, links: &Links, inside: &Inside<'_>) -> Result<()> {
    let parent = links.find(&network.link)?;
    let parent =
        parent.with_context(|| format!("the parent {} of the network {} is not there", network.link, network.name))?;
    let is_macvlan = network.driver == Driver::Macvlan;
    let option = |name| network.options.get(name).or_else(|| network.options.get("mode"));
    let (kind, mode) = if is_macvlan {
        ("macvlan", option("macvlan_mode").and_then(|name| macvlan_mode(name)).unwrap_or(4))
    } else {
        ("ipvlan", option("ipvlan_mode").and_then(|name| ipvlan_mode(name)).unwrap_or(0))
    };
    // An ipvlan has its parent's hardware address.
    let mac = inside.mac.filter(|_| is_macvlan);
    let mtu = network.mtu().unwrap_or(parent.mtu);
    match links.add_on(parent.index, kind, mode, &Inside { mac, mtu, ..*inside }) {
        Err(Errno::OPNOTSUPP) => bail!("this kernel has no {kind} (CONFIG_{})", kind.to_uppercase()),
        made => made.attempt(|| format!("make the {kind} {} on {}", inside.name, network.link)),
    }
}

/// An address beside the network's, with the length that link-local ones have (RFC 3927, RFC 4291).
fn beside(address: &IpAddr) -> IpNet {
    IpNet::new_assert(*address, if address.is_ipv4() { 16 } else { 64 })
}

/// In the container: settings before the link is up, so that none of them comes too late.
fn set_up_inside(endpoint: &Endpoint, settings: &[(String, String)], gateways: &[Pool]) -> Result<()> {
    let links = Links::open()?;
    let name = &endpoint.interface;
    if let Some(loopback) = links.find("lo")?.filter(|link| !link.is_up) {
        links.set_up(loopback.index)?;
    }
    let link = links.find(name)?.with_context(|| format!("the link {name} of the container is gone"))?;
    // Neighbours learn at once who has the address now.
    sysctl::set(&format!("ipv4/conf/{name}/arp_notify"), "1")?;
    let addresses: Vec<IpNet> =
        endpoint.addresses.iter().copied().chain(endpoint.link_local.iter().map(beside)).collect();
    let has_v6 = addresses.iter().any(|address| address.addr().is_ipv6());
    let v6 = |setting: &str, value: &str| sysctl::set_if_there(&format!("ipv6/conf/{name}/{setting}"), value);
    v6("disable_ipv6", if has_v6 { "0" } else { "1" })?;
    v6("accept_ra", "0")?;
    v6("autoconf", "0")?;
    for (name, value) in settings {
        sysctl::set(name, value)?;
    }
    for address in addresses {
        links.add_address(link.index, address)?;
    }
    links.set_up(link.index)?;
    let metric = |pool: &Pool| gateways::metric(endpoint.order, pool.gateway);
    gateways.iter().try_for_each(|pool| links.add_default_route(link.index, pool.gateway, metric(pool)))
}
