//! `network create`.

use std::collections::BTreeMap;
use std::net::IpAddr;

use anyhow::{Context as _, Result, bail, ensure};
use clap::Args;
use ipnet::IpNet;

use super::{Context, Operation, open};
use crate::companion::output::print;
use crate::network::{self, Driver};

/// Create a network
#[derive(Debug, Args)]
pub(in crate::companion) struct Create {
    /// bridge, macvlan or ipvlan
    #[arg(short, long, default_value = "bridge")]
    driver: String,

    /// A subnet that represents a network segment, one for each family: 10.9.0.0/24
    #[arg(long)]
    subnet: Vec<String>,

    /// The host's address in a subnet
    #[arg(long)]
    gateway: Vec<String>,

    /// A range of a subnet that addresses are given from
    #[arg(long, value_name = "SUBNET")]
    ip_range: Vec<String>,

    /// An address that is somebody else's
    #[arg(long, value_name = "NAME=ADDRESS")]
    aux_address: Vec<String>,

    /// Restrict external access to the network
    #[arg(long)]
    internal: bool,

    /// Make it as a network says that was made with --config-only
    #[arg(long, value_name = "NETWORK")]
    config_from: Option<String>,

    /// Make no network, but keep what others are to be made like
    #[arg(long)]
    config_only: bool,

    /// Who manages the addresses: default
    #[arg(long, value_name = "DRIVER", default_value = "default")]
    ipam_driver: String,

    /// Kept for whoever looks: the manager of addresses has no options
    #[arg(long, value_name = "KEY=VALUE")]
    ipam_opt: Vec<String>,

    /// Where it is known: local
    #[arg(long, value_name = "SCOPE", default_value = "local")]
    scope: String,

    /// IPv6, too
    #[arg(long)]
    ipv6: bool,

    /// Kept for docker's sake; there are no swarms here
    #[arg(long)]
    attachable: bool,

    /// What is attached to it
    #[arg(long, value_name = "KEY[=VALUE]")]
    label: Vec<String>,

    /// mtu=BYTES, isolate=BOOL, com.docker.network.bridge.name=LINK, com.docker.network.bridge.enable_icc=BOOL,
    /// com.docker.network.bridge.enable_ip_masquerade=BOOL, com.docker.network.bridge.host_binding_ipv4=ADDRESS; parent=LINK and mode=MODE for macvlan and ipvlan
    #[arg(short, long, value_name = "NAME=VALUE")]
    opt: Vec<String>,

    /// Its name
    #[arg(value_name = "NETWORK")]
    name: String,
}

impl Operation for Create {
    fn carry_out(self, context: &Context) -> Result<u8> {
        let wanted = self.wanted()?;
        let network = open(context)?.create(&wanted)?;
        print(&format!("{}\n", network.id))?;
        Ok(0)
    }
}

impl Create {
    fn wanted(self) -> Result<network::Create> {
        let driver = match self.driver.as_str() {
            "bridge" => Driver::Bridge,
            "macvlan" => Driver::Macvlan,
            "ipvlan" => Driver::Ipvlan,
            "host" => Driver::Host,
            "null" | "none" => Driver::Null,
            other => bail!("could not find the network driver {other:?}: there are bridge, macvlan and ipvlan"),
        };
        ensure!(
            self.ipam_driver == "default",
            "could not find the IPAM driver {:?}: there is default",
            self.ipam_driver
        );
        ensure!(self.scope == "local", "the scope {:?} is for swarms: there is local", self.scope);
        let auxiliary = pairs(&self.aux_address).into_iter().map(|(name, text)| Ok((name, address(&text)?)));
        Ok(network::Create {
            name: self.name,
            driver: Some(driver),
            subnets: self.subnet.iter().map(|text| subnet(text)).collect::<Result<_>>()?,
            gateways: self.gateway.iter().map(|text| address(text)).collect::<Result<_>>()?,
            ranges: self.ip_range.iter().map(|text| subnet(text)).collect::<Result<_>>()?,
            auxiliary: auxiliary.collect::<Result<_>>()?,
            internal: self.internal,
            ipv6: self.ipv6,
            attachable: self.attachable,
            labels: pairs(&self.label),
            options: pairs(&self.opt),
            ipam_options: pairs(&self.ipam_opt),
            config_only: self.config_only,
            config_from: self.config_from,
        })
    }
}

/// The later one counts.
fn pairs(all: &[String]) -> BTreeMap<String, String> {
    let pair = |text: &String| {
        let (key, value) = text.split_once('=').unwrap_or((text, ""));
        (key.to_owned(), value.to_owned())
    };
    all.iter().map(pair).collect()
}

fn address(text: &str) -> Result<IpAddr> {
    text.parse().ok().with_context(|| format!("invalid address {text:?}"))
}

fn subnet(text: &str) -> Result<IpNet> {
    let net: Option<IpNet> = text.parse().ok();
    net.map(|net| net.trunc()).with_context(|| format!("invalid subnet {text:?}: ADDRESS/BITS is wanted"))
}
