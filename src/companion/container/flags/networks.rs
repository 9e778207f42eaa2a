//! Which networks it is in, of the flags.

use std::net::IpAddr;

use anyhow::{Context as _, Result, bail, ensure};

use super::Flags;
use crate::engine::network::Mode;
use crate::engine::record::Membership;

impl Flags {
    /// What other flags want of addresses and names is wanted of the first one.
    pub(super) fn memberships(&self) -> Result<Vec<Membership>> {
        let parse = |text: &String| text.parse::<IpAddr>().ok().with_context(|| format!("invalid IP address: {text}"));
        let (v4, v6) = (self.ip.as_ref().map(parse).transpose()?, self.ip6.as_ref().map(parse).transpose()?);
        if let Some(address) = v4.filter(IpAddr::is_ipv6) {
            bail!("--ip: {address} is no IPv4 address");
        }
        if let Some(address) = v6.filter(IpAddr::is_ipv4) {
            bail!("--ip6: {address} is no IPv6 address");
        }
        let mut memberships = self.network.clone();
        let Some(first) = memberships.first_mut() else { return Ok(memberships) };
        let both =
            |flag: &str, name: &str| format!("conflicting options: cannot specify both {flag} and per-network {name}");
        let has = |is: fn(&IpAddr) -> bool| first.addresses.iter().any(is);
        ensure!(v4.is_none() || !has(IpAddr::is_ipv4), both("--ip", "IPv4 address"));
        ensure!(v6.is_none() || !has(IpAddr::is_ipv6), both("--ip6", "IPv6 address"));
        ensure!(self.network_alias.is_empty() || first.aliases.is_empty(), both("--network-alias", "alias"));
        ensure!(self.mac_address.is_none() || first.mac_address.is_none(), both("--mac-address", "MAC address"));
        first.links.extend_from_slice(&self.link);
        first.link_local.extend_from_slice(&self.link_local_ip);
        first.aliases.extend_from_slice(&self.network_alias);
        first.addresses.extend(v4.into_iter().chain(v6));
        if first.mac_address.is_none() {
            first.mac_address.clone_from(&self.mac_address);
        }
        let settings: Vec<String> = self.sysctl.iter().filter_map(|text| self.of_first_link(text)).collect();
        if !settings.is_empty() {
            let told = first.driver_opts.entry("com.docker.network.endpoint.sysctls".into()).or_default();
            let all = Some(told.clone()).filter(|told| !told.is_empty()).into_iter().chain(settings);
            *told = all.collect::<Vec<_>>().join(",");
        }
        Ok(memberships)
    }

    /// A sysctl of the first link (`net.ipv4.conf.eth0.NAME=VALUE`), as its driver is told it: the link comes into a namespace where
    /// sysctls were set before. docker 28 does the same.
    pub(super) fn of_first_link(&self, sysctl: &str) -> Option<String> {
        let has_link = |first: &Membership| matches!(Mode::of(&first.network), Mode::Network(_));
        let (name, value) = sysctl.split_once('=').filter(|_| self.network.first().is_some_and(has_link))?;
        match name.split('.').collect::<Vec<_>>()[..] {
            ["net", family, table @ ("conf" | "neigh"), "eth0", setting] if !value.contains(',') => {
                Some(format!("net.{family}.{table}.IFNAME.{setting}={value}"))
            }
            _ => None,
        }
    }
}
