//! Which networks it is in, of the flags.

use std::net::IpAddr;

use anyhow::{Context as _, Result, bail};

use super::Flags;
use crate::engine::record::Membership;

impl Flags {
    /// What is wanted of addresses and names is wanted of the first one.
    pub(super) fn memberships(&self) -> Result<Vec<Membership>> {
        let parse = |text: &String| text.parse::<IpAddr>().ok().with_context(|| format!("invalid IP address: {text}"));
        let (v4, v6) = (self.ip.as_ref().map(parse).transpose()?, self.ip6.as_ref().map(parse).transpose()?);
        if let Some(address) = v4.filter(IpAddr::is_ipv6) {
            bail!("--ip: {address} is no IPv4 address");
        }
        if let Some(address) = v6.filter(IpAddr::is_ipv4) {
            bail!("--ip6: {address} is no IPv6 address");
        }
        let plain = |network: &String| Membership { network: network.clone(), ..Membership::default() };
        let mut memberships: Vec<Membership> = self.network.iter().map(plain).collect();
        if let Some(first) = memberships.first_mut() {
            first.aliases.clone_from(&self.network_alias);
            first.addresses = v4.into_iter().chain(v6).collect();
            first.mac_address.clone_from(&self.mac_address);
        }
        Ok(memberships)
    }
}
