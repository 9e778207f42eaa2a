//! `network inspect`.

use anyhow::Result;
use clap::Args;
use serde_json::{Map, Value, json};

use super::{Context, Operation, open};
use crate::companion::inspect::show_each;
use crate::network::{Network, Networks};

/// Show all that is known of networks
#[derive(Debug, Args)]
pub(in crate::companion) struct Inspect {
    /// json, or a template such as {{(index .IPAM.Config 0).Subnet}}
    #[arg(short, long)]
    format: Option<String>,

    /// Without effect on one machine
    #[arg(short, long)]
    verbose: bool,

    /// Names or ids
    #[arg(required = true, value_name = "NETWORK")]
    networks: Vec<String>,
}

impl Operation for Inspect {
    fn carry_out(self, context: &Context) -> Result<u8> {
        let networks = open(context)?;
        show_each(&self.networks, self.format.as_deref(), |text| described(&networks, &networks.get(text)?))
    }
}

/// As docker describes it.
pub(super) fn described(networks: &Networks, network: &Network) -> Result<Value> {
    let mut containers = Map::new();
    for endpoint in networks.endpoints(network)? {
        let address = |v6: bool| {
            let address = endpoint.addresses.iter().find(|address| address.addr().is_ipv6() == v6);
            address.map(ToString::to_string).unwrap_or_default()
        };
        let one = json!({
            "Name": endpoint.name,
            "EndpointID": endpoint.id(),
            "MacAddress": endpoint.mac,
            "IPv4Address": address(false),
            "IPv6Address": address(true),
        });
        containers.insert(endpoint.container, one);
    }
    Ok(json!({
        "Name": network.name,
        "Id": network.id,
        "Created": network.created,
        "Scope": "local",
        "Driver": network.driver,
        "EnableIPv4": true,
        "EnableIPv6": network.ipv6,
        "IPAM": { "Driver": "default", "Options": network.ipam_options, "Config": pools(network) },
        "Internal": network.internal,
        "Attachable": network.attachable,
        "Ingress": false,
        "ConfigFrom": { "Network": network.config_from.as_deref().unwrap_or_default() },
        "ConfigOnly": network.configuration.is_some(),
        "Containers": containers,
        "Options": network.options,
        "Labels": network.labels,
    }))
}

/// Its addresses; of one that is no network, those that others are to be made with.
fn pools(network: &Network) -> Vec<Value> {
    let kept = network.configuration.iter().flat_map(|kept| {
        kept.subnets.iter().map(|subnet| {
            let mut one = json!({ "Subnet": subnet });
            let gateway = kept.gateways.iter().find(|gateway| subnet.contains(*gateway));
            let range = kept.ranges.iter().find(|range| subnet.contains(*range));
            if let Some(gateway) = gateway {
                one["Gateway"] = json!(gateway);
            }
            if let Some(range) = range {
                one["IPRange"] = json!(range);
            }
            one
        })
    });
    let config = network.pools.iter().map(|pool| {
        let mut one = json!({ "Subnet": pool.subnet, "Gateway": pool.gateway });
        if let Some(range) = pool.range {
            one["IPRange"] = json!(range);
        }
        if !pool.auxiliary.is_empty() {
            one["AuxiliaryAddresses"] = json!(pool.auxiliary);
        }
        one
    });
    config.chain(kept).collect()
}
