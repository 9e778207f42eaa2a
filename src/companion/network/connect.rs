//! `network connect`.

use std::net::IpAddr;
use std::os::fd::AsFd;

use anyhow::{Result, ensure};
use clap::Args;

use super::container::find;
use super::{Context, Operation, open};
use crate::companion::output::warn;
use crate::network::{Attachment, address};

/// Connect a running container to a network
#[derive(Debug, Args)]
pub(in crate::companion) struct Connect {
    /// A further name in the network
    #[arg(long, value_name = "NAME")]
    alias: Vec<String>,

    /// The address that it is to have
    #[arg(long, value_name = "ADDRESS")]
    ip: Option<std::net::Ipv4Addr>,

    /// The address of IPv6 that it is to have
    #[arg(long, value_name = "ADDRESS")]
    ip6: Option<std::net::Ipv6Addr>,

    /// The hardware address that it is to have
    #[arg(long, value_name = "ADDRESS")]
    mac_address: Option<String>,

    /// The network
    network: String,

    /// The container
    container: String,
}

impl Operation for Connect {
    fn carry_out(self, context: &Context) -> Result<u8> {
        let networks = open(context)?;
        let container = find(context, &self.container)?;
        let network = networks.get(&self.network)?;
        ensure!(
            (self.alias.is_empty() && self.ip.is_none() && self.ip6.is_none()) || !network.is_predefined(),
            "addresses and aliases are for networks that users made"
        );
        let addresses: Vec<IpAddr> = self.ip.map(IpAddr::from).into_iter().chain(self.ip6.map(IpAddr::from)).collect();
        let used: Vec<String> = networks.endpoints_of(&container.id)?.into_iter().map(|one| one.interface).collect();
        let free = (0..).map(|number| format!("eth{number}")).find(|name| !used.contains(name));
        let (_, warnings) = networks.attach(&Attachment {
            container: &container.id,
            name: &container.name,
            namespace: container.namespace.as_fd(),
            network: &network.id,
            interface: &free.unwrap_or_default(),
            addresses: &addresses,
            mac: self.mac_address.as_deref().map(address::parse_hardware).transpose()?,
            aliases: &self.alias,
            ports: &[],
        })?;
        warn(&warnings.into_iter().collect());
        container.tell()?;
        Ok(0)
    }
}
