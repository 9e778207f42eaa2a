//! What `inspect` shows of a container's network.

use anyhow::Result;
use serde_json::{Value, json};

use super::is_attachable;
use crate::engine::Container;
use crate::engine::record::Membership;
use crate::engine::state::State;
use crate::network::Network;
use crate::network::endpoint::Endpoint;

/// What `inspect` shows of it.
pub fn described(container: &Container<'_>, state: &State) -> Result<Value> {
    let mut ports = serde_json::Map::new();
    for (port, host) in container.engine.published(container)? {
        if let Some((address, number)) = host.rsplit_once(':') {
            let binding = json!({"HostIp": address.trim_matches(['[', ']']), "HostPort": number});
            let bindings = ports.entry(port).or_insert(json!([]));
            bindings.as_array_mut().into_iter().for_each(|bindings| bindings.push(binding.clone()));
        }
    }
    for port in container.engine.only_exposed(container)? {
        ports.insert(port, Value::Null);
    }
    let networks = container.engine.networks()?;
    let endpoints = if is_attachable(&container.record) { networks.endpoints_of(container.id())? } else { Vec::new() };
    let all = networks.list()?;
    let mut described = serde_json::Map::new();
    // Where it doesn't run it has no addresses, but is in its networks.
    for membership in &container.record.networks {
        if let Some(network) = all.iter().find(|network| network.name == membership.network) {
            described.insert(network.name.clone(), unattached(network, membership));
        }
    }
    for endpoint in &endpoints {
        if let Some(network) = all.iter().find(|network| network.id == endpoint.network) {
            let mut place = of_endpoint(network, endpoint);
            if let Some(membership) = container.record.networks.iter().find(|one| one.network == network.name) {
                wanted_of(membership, network, &mut place);
            }
            described.insert(network.name.clone(), place);
        }
    }
    let first = described.values().next().cloned().unwrap_or_default();
    let field = |name: &str| first.get(name).cloned().unwrap_or_else(|| "".into());
    let key = if state.status.is_up() { format!("/proc/{}/ns/net", state.pid) } else { String::new() };
    let number = |name: &str| first.get(name).cloned().unwrap_or_else(|| 0.into());
    Ok(json!({
        "Bridge": "", "SandboxID": "", "SandboxKey": key, "HairpinMode": false, "Ports": ports, "Networks": described,
        "EndpointID": field("EndpointID"), "IPAddress": field("IPAddress"), "IPPrefixLen": number("IPPrefixLen"),
        "Gateway": field("Gateway"), "GlobalIPv6Address": field("GlobalIPv6Address"),
        "GlobalIPv6PrefixLen": number("GlobalIPv6PrefixLen"), "IPv6Gateway": field("IPv6Gateway"),
        "MacAddress": field("MacAddress"), "LinkLocalIPv6Address": "", "LinkLocalIPv6PrefixLen": 0,
        "SecondaryIPAddresses": null, "SecondaryIPv6Addresses": null,
    }))
}

/// What was asked for there.
fn wanted_of(membership: &Membership, network: &Network, place: &mut Value) {
    let mut addresses = serde_json::Map::new();
    for address in &membership.addresses {
        let family = if address.is_ipv4() { "IPv4Address" } else { "IPv6Address" };
        addresses.insert(family.into(), address.to_string().into());
    }
    if !membership.link_local.is_empty() {
        addresses.insert("LinkLocalIPs".into(), json!(membership.link_local));
    }
    if !addresses.is_empty() {
        place["IPAMConfig"] = addresses.into();
    }
    // Those of the default network are among what a container has of the host.
    if network.has_names() && !membership.links.is_empty() {
        let links = membership.links.iter().map(|link| format!("{}:{}", link.name, link.alias));
        place["Links"] = links.collect();
    }
    place["GwPriority"] = membership.gw_priority.into();
    if !membership.driver_opts.is_empty() {
        place["DriverOpts"] = json!(membership.driver_opts);
    }
}

fn unattached(network: &Network, membership: &Membership) -> Value {
    let mut place = json!({
        "NetworkID": network.id, "EndpointID": "", "MacAddress": membership.mac_address.as_deref().unwrap_or_default(),
        "Aliases": membership.aliases, "Gateway": "", "IPAddress": "", "IPPrefixLen": 0, "IPv6Gateway": "",
        "GlobalIPv6Address": "", "GlobalIPv6PrefixLen": 0, "DNSNames": [], "IPAMConfig": null, "Links": null, "DriverOpts": null,
    });
    wanted_of(membership, network, &mut place);
    place
}

fn of_endpoint(network: &Network, endpoint: &Endpoint) -> Value {
    let of_family = |v6: bool| endpoint.addresses.iter().find(|address| address.addr().is_ipv6() == v6);
    let gateway =
        |v6: bool| network.pools.iter().find(|pool| pool.gateway.is_ipv6() == v6).map(|pool| pool.gateway.to_string());
    let address = |v6: bool| of_family(v6).map(|address| address.addr().to_string()).unwrap_or_default();
    let length = |v6: bool| of_family(v6).map_or(0, ipnet::IpNet::prefix_len);
    json!({
        "NetworkID": network.id, "EndpointID": endpoint.id(), "MacAddress": endpoint.mac, "Aliases": endpoint.aliases,
        "Gateway": gateway(false).unwrap_or_default(), "IPAddress": address(false), "IPPrefixLen": length(false),
        "IPv6Gateway": gateway(true).unwrap_or_default(), "GlobalIPv6Address": address(true),
        "GlobalIPv6PrefixLen": length(true), "DNSNames": endpoint.names(), "IPAMConfig": null,
        "Links": null, "DriverOpts": null,
    })
}
