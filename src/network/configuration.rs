//! `--config-only`: what networks are to be made like, kept under a name for those that are made `--config-from` it.

use std::collections::BTreeMap;
use std::net::IpAddr;

use anyhow::{Context, Result, ensure};
use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use super::{Create, Network};

/// The addresses of a network that isn't made yet; labels, options and IPv6 are kept as any network's.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Configuration {
    /// One for each family at most.
    pub subnets: Vec<IpNet>,
    /// The host's addresses.
    pub gateways: Vec<IpAddr>,
    /// What addresses are given from.
    pub ranges: Vec<IpNet>,
    /// Addresses that are somebody else's.
    pub auxiliary: BTreeMap<String, IpAddr>,
}

/// What is kept, if it is to be kept only.
pub(super) fn kept(wanted: &Create) -> Result<Option<Configuration>> {
    if !wanted.config_only {
        return Ok(None);
    }
    ensure!(
        !wanted.internal && !wanted.attachable,
        "configuration network can only contain network specific fields. \
         Network operator fields like [ ingress | internal | attachable | scope ] are not supported."
    );
    let Create { subnets, gateways, ranges, auxiliary, .. } = wanted.clone();
    Ok(Some(Configuration { subnets, gateways, ranges, auxiliary }))
}

/// What is wanted, with what the network says that it is made like.
pub(super) fn filled_in(wanted: &Create, there: &[Network]) -> Result<Create> {
    let Some(name) = &wanted.config_from else { return Ok(wanted.clone()) };
    ensure!(!wanted.config_only, "a configuration network cannot depend on another configuration network");
    let has_own = wanted.ipv6
        || !(wanted.labels.is_empty() && wanted.options.is_empty() && wanted.ipam_options.is_empty())
        || !(wanted.subnets.is_empty() && wanted.gateways.is_empty() && wanted.ranges.is_empty())
        || !wanted.auxiliary.is_empty();
    ensure!(
        !has_own,
        "user specified configurations are not supported if the network depends on a configuration network"
    );
    let found = there.iter().find(|network| network.name == *name);
    let found = found.and_then(|network| Some((network, network.configuration.clone()?)));
    let (from, configuration) = found.with_context(|| format!("configuration network {name:?} does not exist"))?;
    let Configuration { subnets, gateways, ranges, auxiliary } = configuration;
    Ok(Create {
        subnets,
        gateways,
        ranges,
        auxiliary,
        ipv6: from.ipv6,
        labels: from.labels.clone(),
        options: from.options.clone(),
        ipam_options: from.ipam_options.clone(),
        ..wanted.clone()
    })
}

/// Refuses to take away what others were made like.
pub(super) fn ensure_unused(network: &Network, all: &[Network]) -> Result<()> {
    let is_used = all.iter().any(|other| other.config_from.as_ref() == Some(&network.name));
    ensure!(
        !(network.configuration.is_some() && is_used),
        "error while removing network: configuration network {:?} is in use",
        network.name
    );
    Ok(())
}
