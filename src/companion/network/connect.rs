//! `network connect`.

use std::net::IpAddr;

use anyhow::Result;
use clap::Args;

use super::{Context, Operation};
use crate::companion::output::remark;
use crate::engine::record::Membership;

/// Connect a container to a network, now if it runs and at each start
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
        let engine = context.engine()?;
        let wanted = Membership {
            network: self.network,
            aliases: self.alias,
            addresses: self.ip.map(IpAddr::from).into_iter().chain(self.ip6.map(IpAddr::from)).collect(),
            mac_address: self.mac_address,
        };
        engine.find(&self.container)?.connect(wanted, remark)?;
        Ok(0)
    }
}
