//! How a published port leads into the namespace of an ordinary user's networks: by a link of the container's own, behind which a program
//! of the user's listens at the host's ports ([`crate::engine`] has it).
//!
//! Whoever comes from outside is seen there under his own address, so what is sent back to him would leave by the way that leads
//! everywhere, and never reach the program that holds his connection. So a connection is marked with the number of the link that it came by
//! ([`super::ruleset`]), what belongs to it has that mark again, and a rule of ip-rule(8) leads what has the mark to the link.
//!
//! The number is claimed as addresses are. Names, addresses, the mark and the table of routes all follow from it.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use anyhow::{Context, Result};
use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use serde::{Deserialize, Serialize};

use super::endpoint::Endpoint;
use super::link::Links;
use super::port::Published;
use super::{Networks, state, sysctl};
use crate::error::Attempt;
use crate::sys::network::make_tap;

/// The number of such a link.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Tap(u16);

/// What is no network of a user's: the addresses of these links, of the edge's, and the one to which names are asked for.
pub(super) fn between() -> [IpNet; 2] {
    let v4 = Ipv4Net::new_assert(Ipv4Addr::new(169, 254, 0, 0), 16);
    let v6 = Ipv6Net::new_assert(Ipv6Addr::new(0xfd2e, 0x51c4, 0x9b07, 0, 0, 0, 0, 0), 48);
    [v4.into(), v6.into()]
}

/// As many as there are addresses for them.
const MOST: u16 = 0x7000;
/// Marks and tables of routes begin behind those that the kernel has for itself (rt_tables).
const FIRST_MARK: u32 = 0x1_0000;
/// As large as pasta takes them.
pub(super) const MTU: u32 = 65520;

impl Tap {
    /// What it is called in the namespace.
    pub fn link(self) -> String {
        format!("{PREFIX}{}", self.0)
    }

    /// Its address: link-local (RFC 3927), for it is nobody's outside.
    pub fn address(self) -> Ipv4Addr {
        Ipv4Addr::from(u32::from(Ipv4Addr::new(169, 254, 128, 0)) + u32::from(self.0))
    }

    /// The same of IPv6: unique local (RFC 4193).
    pub fn address6(self) -> Ipv6Addr {
        Ipv6Addr::new(0xfd2e, 0x51c4, 0x9b07, 1, 0, 0, 0, self.0)
    }

    /// The mark of what came by it, and the table of routes that leads back.
    pub(super) fn mark(self) -> u32 {
        FIRST_MARK + u32::from(self.0)
    }
}

/// How all their names begin.
const PREFIX: &str = "port";

/// Whether a link's name could be one's of these.
pub(super) fn is_name(name: &str) -> bool {
    name.strip_prefix(PREFIX).is_some_and(|rest| rest.bytes().all(|byte| byte.is_ascii_digit()))
}

impl Endpoint {
    /// With its ports as they are in the namespace of a user's networks: what came to an address of the host's comes to the link's. What
    /// came to the host's loopback comes to the namespace's with a pasta of 2024 or older, and with newer ones to the link's, too.
    pub(super) fn arriving(mut self) -> Endpoint {
        let Some(tap) = self.tap else { return self };
        let link = |address: IpAddr| if address.is_ipv4() { tap.address().into() } else { IpAddr::V6(tap.address6()) };
        let at = |address: IpAddr| match address {
            IpAddr::V4(own) if own.is_loopback() => vec![Ipv4Addr::LOCALHOST.into(), link(address)],
            _ => vec![link(address)],
        };
        let arriving = |port: Published| -> Vec<Published> {
            match port.address.filter(|address| !address.is_unspecified()) {
                Some(address) => {
                    at(address).into_iter().map(|at| Published { address: Some(at), ..port.clone() }).collect()
                }
                None => vec![port],
            }
        };
        self.ports = std::mem::take(&mut self.ports).into_iter().flat_map(arriving).collect();
        self
    }
}

/// The host's address at which a user's port is claimed: what comes to any address of the loopback arrives at the same one.
pub(super) fn claimed(port: &Published) -> Published {
    let address = port.address.map(|address| match address {
        IpAddr::V4(address) if address.is_loopback() => Ipv4Addr::LOCALHOST.into(),
        other => other,
    });
    Published { address, ..port.clone() }
}

impl Networks {
    /// The first number that nobody has.
    pub(super) fn free_tap(&self) -> Result<Tap> {
        let taken = state::names(&self.tap_directory())?;
        let free = (1..MOST).find(|number| taken.binary_search(&number.to_string()).is_err());
        free.map(Tap).context("too many containers have published ports")
    }

    pub(super) fn tap_claim(&self, tap: Tap) -> std::path::PathBuf {
        self.tap_directory().join(tap.0.to_string())
    }

    /// Makes the link that a container's ports lead in by, and all that is needed there, before the program behind it opens it: who
    /// comes while it is not up would be the end of that.
    pub(super) fn need_tap(&self, endpoint: &Endpoint, links: &Links) -> Result<()> {
        let Some(tap) = endpoint.tap else { return Ok(()) };
        let name = tap.link();
        if links.find(&name)?.is_none() {
            make_tap(&name).attempt(|| format!("make the link {name} of published ports"))?;
        }
        let link = links.find(&name)?.with_context(|| format!("the link {name} of published ports is gone"))?;
        // The program behind it learns the link's hardware address.
        sysctl::set(&format!("ipv4/conf/{name}/arp_notify"), "1")?;
        // Who comes by it may have any address.
        sysctl::set(&format!("ipv4/conf/{name}/rp_filter"), "0")?;
        sysctl::set_if_there(&format!("ipv6/conf/{name}/accept_ra"), "0")?;
        links.set_mtu(link.index, MTU)?;
        for address in [IpNet::from(IpAddr::from(tap.address())), IpNet::from(IpAddr::from(tap.address6()))] {
            if address.addr().is_ipv4()
                || sysctl::read(&format!("ipv6/conf/{name}/disable_ipv6")).as_deref() == Some("0")
            {
                links.add_address(link.index, address)?;
            }
        }
        links.set_up(link.index)?;
        for family in [libc::AF_INET, libc::AF_INET6] {
            if family == libc::AF_INET || sysctl::read("ipv6/conf/all/disable_ipv6").as_deref() == Some("0") {
                links.add_rule_for_mark(family as u8, tap.mark())?;
                links.add_route_of_mark(family as u8, tap.mark(), link.index)?;
            }
        }
        Ok(())
    }

    /// Takes it away, or what a killed command may have left of it.
    pub(super) fn clear_tap(&self, endpoint: &Endpoint) -> Result<()> {
        let Some(tap) = endpoint.tap else { return Ok(()) };
        let links = Links::open()?;
        links.delete(&tap.link())?;
        [libc::AF_INET, libc::AF_INET6]
            .into_iter()
            .try_for_each(|family| links.delete_rule_for_mark(family as u8, tap.mark()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_follows_from_the_number() {
        let tap = Tap(3);
        assert_eq!((tap.link().as_str(), tap.mark()), ("port3", 0x1_0003));
        assert_eq!(
            (tap.address().to_string().as_str(), Tap(300).address().to_string().as_str()),
            ("169.254.128.3", "169.254.129.44")
        );
        assert!(Tap(MOST).address() < Ipv4Addr::new(169, 254, 255, 0), "the last of these addresses are reserved");
        assert!(is_name("port3") && !is_name("port3a") && !is_name("br-port3"));
    }

    #[test]
    fn ports_arrive_where_the_link_is() {
        let ports =
            ["8080:80", "127.0.0.5:81:81", "[::1]:82:82", "192.0.2.1:83:83", "[2001:db8::1]:84:84", "0.0.0.0:85:85"];
        let endpoint = Endpoint {
            tap: Some(Tap(2)),
            ports: ports.iter().flat_map(|text| crate::network::port::parse(text).unwrap()).collect(),
            ..Endpoint::default()
        };
        let arrived: Vec<String> = endpoint.arriving().ports.iter().map(ToString::to_string).collect();
        assert_eq!(
            arrived,
            [
                "0.0.0.0:8080/tcp",
                "127.0.0.1:81/tcp",
                "169.254.128.2:81/tcp",
                "[fd2e:51c4:9b07:1::2]:82/tcp",
                "169.254.128.2:83/tcp",
                "[fd2e:51c4:9b07:1::2]:84/tcp",
                "0.0.0.0:85/tcp"
            ]
        );
    }
}
