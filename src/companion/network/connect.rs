//! `network connect`.

use std::net::IpAddr;

use anyhow::Result;
use clap::Args;

use super::{Context, Operation};
use crate::companion::output::remark;
use crate::engine::record::Membership;
use crate::engine::{links, options};
use crate::network::endpoint::Link;

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

    /// Tell the driver something: com.docker.network.endpoint.ifname=NAME, com.docker.network.endpoint.sysctls=SETTING[,SETTING]
    #[arg(long, value_name = "KEY=VALUE")]
    driver_opt: Vec<String>,

    /// Prefer this network's way outside to those of less priority; all have 0
    #[arg(long, value_name = "NUMBER", default_value_t = 0, allow_negative_numbers = true)]
    gw_priority: i32,

    /// Have a name for another container (NAME[:ALIAS])
    #[arg(long, value_name = "LINK", value_parser = links::parse)]
    link: Vec<Link>,

    /// An address beside the network's
    #[arg(long, value_name = "ADDRESS")]
    link_local_ip: Vec<IpAddr>,

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
            links: self.link,
            link_local: self.link_local_ip,
            gw_priority: self.gw_priority,
            driver_opts: self.driver_opt.iter().map(|text| options::pair(text)).collect(),
        };
        engine.find(&self.container)?.connect(wanted, remark)?;
        Ok(0)
    }
}
