//! `create`: from what is wanted to a network, checked.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::SystemTime;

use anyhow::{Context, Result, bail, ensure};
use ipnet::IpNet;
use rustix::rand::{GetRandomFlags, getrandom};

use super::link::Links;
use super::subnet::{self, overlap};
use super::{Driver, Network, Networks, Pool, configuration, defaults, namespace, tap};
use crate::error::Attempt;

/// What is wanted of a network.
#[derive(Debug, Clone, Default)]
pub struct Create {
    /// A name that no other network has.
    pub name: String,
    /// None is `bridge`.
    pub driver: Option<Driver>,
    /// One for each family at most; none is a subnet that is free.
    pub subnets: Vec<IpNet>,
    /// The host's address in each; none is the first.
    pub gateways: Vec<IpAddr>,
    /// Ranges in the subnets that addresses are given from.
    pub ranges: Vec<IpNet>,
    /// Addresses that are somebody else's.
    pub auxiliary: BTreeMap<String, IpAddr>,
    /// Whether nothing leads outside.
    pub internal: bool,
    /// Whether it has IPv6; a subnet of IPv6 alone is not enough, as with docker.
    pub ipv6: bool,
    /// Without effect on one machine.
    pub attachable: bool,
    /// What people attach to it.
    pub labels: BTreeMap<String, String>,
    /// The driver's options.
    pub options: BTreeMap<String, String>,
    /// Options of who manages the addresses, of which none has an effect.
    pub ipam_options: BTreeMap<String, String>,
    /// Whether all this is only kept, for others to be made like.
    pub config_only: bool,
    /// The name of what it is to be made like.
    pub config_from: Option<String>,
}

/// What there is on the host.
#[derive(Debug, Clone, Default)]
pub(super) struct Host {
    /// Routes, each with its link's name; default routes lead everywhere and are not among them.
    pub(super) routes: Vec<(IpNet, String)>,
    pub(super) links: Vec<String>,
    pub(super) random: [u8; 32],
    /// Where the search for a free subnet begins.
    pub(super) offset: u32,
    /// Whether names of taps are taken, too.
    pub(super) has_taps: bool,
    pub(super) now: Option<SystemTime>,
}

impl Host {
    /// Looks at it.
    pub(super) fn look(offset: u32) -> Result<Host> {
        let links = Links::open()?;
        let there = links.list()?;
        let name = |index| there.iter().find(|link| link.index == index).map_or("?".into(), |link| link.name.clone());
        let routes = links.routes()?.into_iter().filter(|route| route.destination.prefix_len() > 0);
        let routes = routes.map(|route| (route.destination, name(route.link))).collect();
        let mut random = [0; 32];
        getrandom(&mut random, GetRandomFlags::empty()).attempt(|| "get random bytes")?;
        let links = there.into_iter().map(|link| link.name).collect();
        Ok(Host { routes, links, random, offset, has_taps: false, now: Some(SystemTime::now()) })
    }
}

impl Networks {
    /// Makes a network. Its link and rules are made when the first container is attached.
    pub fn create(&self, wanted: &Create) -> Result<Network> {
        let _alone = self.lock_definitions()?;
        let there = self.definitions()?;
        let driver = wanted.driver.unwrap_or(Driver::Bridge);
        ensure!(
            !self.is_users || !matches!(driver, Driver::Macvlan | Driver::Ipvlan),
            "a {driver} network is on a link of the machine, which an ordinary user may not change: there is the driver bridge"
        );
        let network = plan(wanted, &there, &self.host()?)?;
        self.write_definition(&network)?;
        Ok(network)
    }
}

impl Networks {
    /// What there is on the host. A user's networks are to overlap none of its routes either, but have links of their own.
    pub(super) fn host(&self) -> Result<Host> {
        let host = Host::look(self.offset)?;
        let links = if self.is_users { vec!["lo".into(), namespace::EDGE.into()] } else { host.links.clone() };
        Ok(Host { links, has_taps: self.is_users, ..host })
    }
}

/// Decides what a network is like: pure.
pub(super) fn plan(wanted: &Create, there: &[Network], host: &Host) -> Result<Network> {
    check_name(wanted, there)?;
    let wanted = &configuration::filled_in(wanted, there)?;
    let id: String = host.random.iter().map(|byte| format!("{byte:02x}")).collect();
    let named = |driver, link, pools: Vec<Pool>| Network {
        id: id.clone(),
        name: wanted.name.clone(),
        created: humantime::format_rfc3339_nanos(host.now.unwrap_or(SystemTime::UNIX_EPOCH)).to_string(),
        driver,
        link,
        ipv6: wanted.ipv6 || pools.iter().any(|pool| pool.gateway.is_ipv6()),
        pools,
        internal: wanted.internal,
        attachable: wanted.attachable,
        labels: wanted.labels.clone(),
        options: wanted.options.clone(),
        ipam_options: wanted.ipam_options.clone(),
        configuration: None,
        config_from: wanted.config_from.clone(),
    };
    if let Some(configuration) = configuration::kept(wanted)? {
        return Ok(Network { configuration: Some(configuration), ..named(Driver::Null, String::new(), Vec::new()) });
    }
    let driver = wanted.driver.unwrap_or(Driver::Bridge);
    check_options(driver, &wanted.options)?;
    ensure!(!matches!(driver, Driver::Host | Driver::Null), "only one instance of \"{driver}\" network is allowed");
    let pools = pools(wanted, there, host)?;
    let option = |name: &str| wanted.options.get(name).cloned();
    let link = match driver {
        Driver::Bridge => bridge_name(option("com.docker.network.bridge.name"), &id, there, host)?,
        _ => {
            let parent = option("parent")
                .with_context(|| format!("a {driver} network needs a link of the host: --opt parent=LINK"))?;
            ensure!(host.links.contains(&parent), "the parent {parent} of the {driver} network is no link of the host");
            parent
        }
    };
    Ok(named(driver, link, pools))
}

fn check_name(wanted: &Create, there: &[Network]) -> Result<()> {
    let name = &wanted.name;
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"_.-".contains(&byte);
    let is_good = name.len() <= 255
        && name.bytes().all(is_plain)
        && name.as_bytes().first().is_some_and(u8::is_ascii_alphanumeric);
    ensure!(is_good, "invalid network name: {name:?}, only [a-zA-Z0-9][a-zA-Z0-9_.-]* are allowed");
    ensure!(![defaults::HOST, defaults::NONE].contains(&name.as_str()), "network with name {name} already exists");
    ensure!(there.iter().all(|one| one.name != *name), "network with name {name} already exists");
    Ok(())
}

/// Options that a driver has. Others are refused: what would be ignored silently might be what keeps something out.
fn check_options(driver: Driver, options: &BTreeMap<String, String>) -> Result<()> {
    for (name, value) in options {
        let short = name.strip_prefix("com.docker.network.bridge.").unwrap_or(name);
        let is_good = match (driver, short) {
            (_, "mtu" | "com.docker.network.driver.mtu") => {
                value.parse::<u32>().is_ok_and(|mtu| (68..=65535).contains(&mtu))
            }
            (Driver::Bridge, "name") => true,
            (Driver::Bridge, "enable_icc" | "enable_ip_masquerade") => {
                ["true", "false", "1", "0"].contains(&value.as_str())
            }
            (Driver::Bridge, "isolate") => ["true", "false", "1", "0", "strict"].contains(&value.as_str()),
            (Driver::Bridge, "host_binding_ipv4") => value.parse::<std::net::Ipv4Addr>().is_ok(),
            (Driver::Macvlan | Driver::Ipvlan, "parent") => true,
            (Driver::Macvlan, "macvlan_mode" | "mode") => super::attach::macvlan_mode(value).is_some(),
            (Driver::Ipvlan, "ipvlan_mode" | "mode") => super::attach::ipvlan_mode(value).is_some(),
            _ => bail!("the {driver} driver has no option {name:?}"),
        };
        ensure!(is_good, "invalid value for the option {name:?}: {value:?}");
    }
    Ok(())
}

fn bridge_name(wanted: Option<String>, id: &str, there: &[Network], host: &Host) -> Result<String> {
    let Some(name) = wanted else { return Ok(format!("br-{}", &id[..12])) };
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"_.-".contains(&byte);
    let is_good = (1..16).contains(&name.len()) && name.bytes().all(is_plain) && ![".", ".."].contains(&name.as_str());
    ensure!(is_good, "{name:?} can't be the name of a link: up to 15 of [a-zA-Z0-9_.-]");
    let is_taken = host.links.contains(&name)
        || host.has_taps && tap::is_name(&name)
        || name == defaults::BRIDGE_LINK
        || there.iter().any(|one| one.link == name);
    ensure!(!is_taken, "the link {name} exists already");
    Ok(name)
}

fn pools(wanted: &Create, there: &[Network], host: &Host) -> Result<Vec<Pool>> {
    let mut subnets = wanted.subnets.clone();
    let has = |subnets: &[IpNet], v6: bool| subnets.iter().filter(|one| one.addr().is_ipv6() == v6).count();
    ensure!(has(&subnets, false) <= 1 && has(&subnets, true) <= 1, "a network has one subnet for each family");
    ensure!(wanted.ipv6 || has(&subnets, true) == 0, "a subnet of IPv6 needs --ipv6");
    let networks = there.iter().flat_map(|one| one.pools.iter().map(|pool| pool.subnet));
    let mut taken: Vec<IpNet> = networks.collect();
    taken.extend(host.routes.iter().map(|(subnet, _)| *subnet));
    if has(&subnets, false) == 0 {
        let picked = subnet::pick(&taken, wanted.name == defaults::BRIDGE, host.offset);
        subnets.insert(0, picked.context("no private subnet is free of the host's routes: give one with --subnet")?);
    }
    if wanted.ipv6 && has(&subnets, true) == 0 {
        let random = *host.random.last_chunk().unwrap_or(&[0; 5]);
        subnets.push(subnet::unique_local(random));
    }
    let pools = subnets.iter().map(|subnet| pool(*subnet, wanted, there, host)).collect::<Result<Vec<_>>>()?;
    let is_inside = |address: IpAddr| pools.iter().any(|pool| pool.subnet.contains(&address));
    for address in wanted.gateways.iter().chain(wanted.auxiliary.values()) {
        ensure!(is_inside(*address), "the address {address} is in no subnet of the network");
    }
    for range in &wanted.ranges {
        ensure!(
            pools.iter().any(|pool| pool.subnet.contains(range)),
            "the range {range} is in no subnet of the network"
        );
    }
    Ok(pools)
}

fn pool(subnet: IpNet, wanted: &Create, there: &[Network], host: &Host) -> Result<Pool> {
    let subnet = subnet.trunc();
    ensure!(
        subnet.prefix_len() > 0 && subnet.max_prefix_len() - subnet.prefix_len() >= 2,
        "the subnet {subnet} has no room for a network"
    );
    let address = subnet.addr();
    ensure!(
        !(address.is_loopback() || address.is_multicast() || address.is_unspecified()),
        "invalid pool request: the subnet {subnet} is for no network of hosts"
    );
    let mut others = there.iter().flat_map(|one| one.pools.iter().map(move |pool| (one, pool)));
    if let Some((other, pool)) = others.find(|(_, pool)| overlap(&pool.subnet, &subnet)) {
        bail!("invalid pool request: the subnet {subnet} overlaps {} of the network {}", pool.subnet, other.name);
    }
    if let Some(between) = tap::between().into_iter().find(|between| host.has_taps && overlap(between, &subnet)) {
        bail!(
            "invalid pool request: the subnet {subnet} overlaps {between}, which is between an ordinary user's networks and what is outside"
        );
    }
    // On somebody's own wire that somebody's route is the one that is meant.
    let is_bridge = matches!(wanted.driver, None | Some(Driver::Bridge));
    if let Some((route, link)) = host.routes.iter().find(|(route, _)| is_bridge && overlap(route, &subnet)) {
        bail!("invalid pool request: the subnet {subnet} overlaps the host's route {route} by {link}");
    }
    let (first, last) = subnet::usable(&subnet);
    let given = wanted.gateways.iter().find(|gateway| subnet.contains(*gateway)).copied();
    let gateway = given.unwrap_or_else(|| subnet::address(first, subnet.addr()));
    ensure!((first..=last).contains(&subnet::number(gateway)), "the gateway {gateway} can't be a host's in {subnet}");
    let range = wanted.ranges.iter().find(|range| subnet.contains(*range)).copied();
    let own = wanted.auxiliary.iter().filter(|(_, address)| subnet.contains(*address));
    Ok(Pool { subnet, gateway, range, auxiliary: own.map(|(name, address)| (name.clone(), *address)).collect() })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn host() -> Host {
        Host {
            routes: vec![("192.0.2.0/24".parse().unwrap(), "eth0".into())],
            links: vec!["eth0".into()],
            ..Host::default()
        }
    }

    fn refusal(wanted: &Create) -> String {
        let there = plan(&Create { name: "there".into(), ..Create::default() }, &[], &host()).unwrap();
        plan(wanted, &[there], &host()).unwrap_err().to_string()
    }

    fn named() -> Create {
        Create { name: "n".into(), ..Create::default() }
    }

    #[test]
    fn all_is_chosen_where_nothing_is_said() {
        let network = plan(&named(), &[], &host()).unwrap();
        assert_eq!(network.pools[0].subnet, "10.64.0.0/24".parse().unwrap());
        assert_eq!(network.pools[0].gateway, "10.64.0.1".parse::<IpAddr>().unwrap());
        assert_eq!(network.link, "br-000000000000");
        let both = plan(&Create { name: "m".into(), ipv6: true, ..named() }, &[network], &host()).unwrap();
        let subnets: Vec<String> = both.pools.iter().map(|pool| pool.subnet.to_string()).collect();
        assert_eq!(subnets, ["10.64.1.0/24", "fd00::/64"]);
    }

    #[test]
    fn what_is_refused() {
        let with = |subnet: &str| Create { subnets: vec![subnet.parse().unwrap()], ..named() };
        assert!(refusal(&with("10.64.0.0/16")).contains("overlaps 10.64.0.0/24 of the network there"));
        assert!(refusal(&with("192.0.2.128/25")).contains("overlaps the host's route 192.0.2.0/24 by eth0"));
        assert!(refusal(&with("fd00::/64")).contains("--ipv6"));
        for reserved in ["127.0.0.0/8", "127.3.0.0/16", "224.1.0.0/16", "0.0.0.0/8", "ff02::/64"] {
            let wanted = Create { ipv6: true, ..with(reserved) };
            assert!(refusal(&wanted).contains("no network of hosts"), "{reserved}");
        }
        assert!(refusal(&with("10.1.0.0/31")).contains("no room"));
        assert!(refusal(&Create { name: "there".into(), ..named() }).contains("already exists"));
        assert!(refusal(&Create { name: "host".into(), ..named() }).contains("already exists"));
        assert!(refusal(&Create { name: "-x".into(), ..named() }).contains("invalid network name"));
        assert!(refusal(&Create { gateways: vec!["10.9.0.1".parse().unwrap()], ..named() }).contains("10.9.0.1"));
        assert!(refusal(&Create { ranges: vec!["10.9.0.0/28".parse().unwrap()], ..named() }).contains("10.9.0.0/28"));
        assert!(refusal(&Create { driver: Some(Driver::Macvlan), ..named() }).contains("parent"));
    }

    #[test]
    fn what_is_between_a_users_networks_and_the_machine_is_no_network() {
        let users = Host { has_taps: true, ..host() };
        for subnet in ["169.254.7.0/24", "169.254.0.0/16", "169.0.0.0/8", "fd2e:51c4:9b07:5::/64"] {
            let wanted = Create { ipv6: true, subnets: vec![subnet.parse().unwrap()], ..named() };
            let refusal = plan(&wanted, &[], &users).unwrap_err().to_string();
            assert!(refusal.contains("between an ordinary user's networks"), "{refusal}");
            assert!(plan(&wanted, &[], &host()).is_ok(), "root has nothing there: {subnet}");
        }
    }

    #[test]
    fn a_network_is_made_like_a_configuration() {
        let subnet = "10.9.0.0/24".parse().unwrap();
        let labels: BTreeMap<String, String> = [("a".to_owned(), "b".to_owned())].into();
        let kept = Create { config_only: true, subnets: vec![subnet], labels: labels.clone(), ..named() };
        let like = plan(&kept, &[], &host()).unwrap();
        assert_eq!((like.driver, like.pools.len()), (Driver::Null, 0));
        let from = |name: &str| Create { name: "made".into(), config_from: Some(name.into()), ..Create::default() };
        let made = plan(&from("n"), std::slice::from_ref(&like), &host()).unwrap();
        assert_eq!((made.pools[0].subnet, &made.labels, made.config_from.as_deref()), (subnet, &labels, Some("n")));
        assert!(configuration::ensure_unused(&like, std::slice::from_ref(&made)).is_err());
        assert!(configuration::ensure_unused(&made, std::slice::from_ref(&made)).is_ok());
        for (wanted, words) in [
            (from("nonesuch"), "\"nonesuch\" does not exist"),
            (from("there"), "\"there\" does not exist"),
            (Create { subnets: vec![subnet], ..from("n") }, "user specified configurations"),
            (Create { labels, ..from("n") }, "user specified configurations"),
            (Create { config_only: true, ..from("n") }, "cannot depend on another"),
            (Create { config_only: true, internal: true, ..named() }, "network specific fields"),
        ] {
            assert!(refusal(&wanted).contains(words), "{words}");
        }
    }

    #[test]
    fn options_that_a_driver_does_not_have_are_refused() {
        let with = |name: &str, value: &str| Create { options: [(name.into(), value.into())].into(), ..named() };
        assert!(refusal(&with("x", "1")).contains("no option \"x\""));
        assert!(refusal(&with("mtu", "9")).contains("invalid value"));
        assert!(refusal(&with("com.docker.network.bridge.name", "a-name-that-is-too-long")).contains("name of a link"));
        assert!(refusal(&with("com.docker.network.bridge.name", "eth0")).contains("exists already"));
        let network = plan(&with("com.docker.network.driver.mtu", "1400"), &[], &host()).unwrap();
        assert_eq!(network.mtu(), Some(1400));
    }
}
