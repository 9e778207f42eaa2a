//! A network's bridge: made at first use, and made anew if it isn't there any more.

use anyhow::{Result, bail, ensure};
use ipnet::IpNet;
use rustix::io::Errno;

use super::address::hardware_address;
use super::link::{Link, Links};
use super::subnet::overlap;
use super::{Network, Networks, Pool, defaults, sysctl, tap};
use crate::error::Attempt;
use crate::image::store::lock::Lock;

impl Networks {
    /// Has a network's rules and its bridge, up; rules first, so that it is never without them. What others' rules do is told when
    /// ours are made.
    pub(super) fn need_bridge(&self, alone: &Lock, network: &Network, links: &Links) -> Result<(Link, Vec<String>)> {
        let mut warnings = Vec::new();
        self.remove_displaced(alone, network, links)?;
        if self.need_rules(alone, network)? {
            warnings = self.foreign_firewalls()?;
        }
        if !network.internal {
            warnings.extend(forward_packets(network)?);
        }
        if let Some(link) = links.find(&network.link)?.filter(|link| link.is_up) {
            check_kind(&link)?;
            return Ok((link, warnings));
        }
        Ok((make(network, links, self.is_users)?, warnings))
    }

    /// Removes the default network's bridge, and the rules, if they are of the subnet that it had before: where an ordinary user's networks
    /// are, what displaces it ([`Networks::is_displaced`]) is not seen, nor is this link from there.
    fn remove_displaced(&self, alone: &Lock, network: &Network, links: &Links) -> Result<()> {
        if !self.is_users || network.name != defaults::BRIDGE {
            return Ok(());
        }
        let Some(link) = links.find(&network.link)?.filter(|link| link.is_up) else { return Ok(()) };
        let routes = links.routes()?;
        let has_route =
            |pool: &Pool| routes.iter().any(|route| route.link == link.index && route.destination == pool.subnet);
        // One that others are in is not displaced.
        if network.pools.iter().all(has_route) || self.endpoints(network)?.len() > 1 {
            return Ok(());
        }
        check_kind(&link)?;
        links.delete(&network.link)?;
        self.write_rules(alone, &self.definitions()?)
    }
}

/// Each step can be there already: somebody was killed after it.
fn make(network: &Network, links: &Links, is_users: bool) -> Result<Link> {
    let name = &network.link;
    let mtu = match network.mtu() {
        Some(mtu) => mtu,
        // What goes outside is taken apart by pasta.
        None if is_users => tap::MTU,
        None => mtu_outside(links)?,
    };
    // All networks have a pool.
    let Some(first) = network.pools.first() else { bail!("the network {} has no subnet", network.name) };
    check_routes(network, links)?;
    match links.add_bridge(name, hardware_address(first.gateway), mtu) {
        Ok(()) | Err(Errno::EXIST) => {}
        Err(error) => return Err(error).attempt(|| format!("make the bridge {name}")),
    }
    let Some(link) = links.find(name)? else { bail!("the bridge {name} was removed while it was made") };
    check_kind(&link)?;
    links.set_alias(link.index, &format!("network {}", network.name))?;
    settings(network)?;
    for pool in &network.pools {
        links.add_address(link.index, IpNet::new_assert(pool.gateway, pool.subnet.prefix_len()))?;
    }
    links.set_up(link.index)?;
    Ok(link)
}

/// The machine may be elsewhere by now than when the network was made.
fn check_routes(network: &Network, links: &Links) -> Result<()> {
    let own = links.find(&network.link)?.map(|link| link.index);
    for route in links.routes()?.iter().filter(|route| route.destination.prefix_len() > 0 && Some(route.link) != own) {
        if let Some(pool) = network.pools.iter().find(|pool| overlap(&pool.subnet, &route.destination)) {
            let (subnet, destination) = (pool.subnet, route.destination);
            bail!("the subnet {subnet} of the network {} overlaps the host's route {destination} by now", network.name);
        }
    }
    Ok(())
}

fn check_kind(link: &Link) -> Result<()> {
    ensure!(link.kind.as_deref() == Some("bridge"), "the link {} exists and is no bridge", link.name);
    Ok(())
}

fn settings(network: &Network) -> Result<()> {
    let name = &network.link;
    if !network.internal {
        // For what is published at 127.0.0.1; the rules keep others from it.
        sysctl::set(&format!("ipv4/conf/{name}/route_localnet"), "1")?;
    }
    let v6 = |setting: &str, value: &str| sysctl::set_if_there(&format!("ipv6/conf/{name}/{setting}"), value);
    v6("disable_ipv6", if network.ipv6 { "0" } else { "1" })?;
    v6("accept_ra", "0")
}

/// The largest packet of the link that leads outside, so that nobody has to be told of smaller ones.
fn mtu_outside(links: &Links) -> Result<u32> {
    let default = links.routes()?.into_iter().find(|route| route.destination.prefix_len() == 0);
    let Some(route) = default else { return Ok(1500) };
    Ok(links.list()?.iter().find(|link| link.index == route.link).map_or(1500, |link| link.mtu))
}

/// Has the machine pass packets on, and says so if it did not.
fn forward_packets(network: &Network) -> Result<Vec<String>> {
    let mut told = Vec::new();
    if sysctl::read("ipv4/ip_forward").as_deref() == Some("0") {
        sysctl::set("ipv4/ip_forward", "1")?;
        told.push("net.ipv4.ip_forward is 1 now: this machine passes packets on between all its networks".into());
    }
    if network.ipv6 && sysctl::read("ipv6/conf/all/forwarding").as_deref() == Some("0") {
        keep_advertised_routes()?;
        sysctl::set("ipv6/conf/all/forwarding", "1")?;
        told.push(
            "net.ipv6.conf.all.forwarding is 1 now: this machine passes packets on between all its networks".into(),
        );
    }
    Ok(told)
}

/// A router takes no advertisements of other routers unless it is told to (accept_ra 2), and would lose its own way outside.
fn keep_advertised_routes() -> Result<()> {
    for link in Links::open()?.list()? {
        let setting = format!("ipv6/conf/{}/accept_ra", link.name);
        if sysctl::read(&setting).as_deref() == Some("1") {
            sysctl::set(&setting, "2")?;
        }
    }
    Ok(())
}
