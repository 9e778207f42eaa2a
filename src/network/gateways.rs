//! Which of its networks a container's way outside leads through: that of the highest priority, and among equals the one that it has been in
//! for the longest time. The others' are there for when that one goes.

use std::net::IpAddr;
use std::os::fd::BorrowedFd;

use anyhow::Result;

use super::endpoint::Endpoint;
use super::link::Links;
use super::namespace::within;
use super::{Network, Networks, Pool};

/// Whether any way is preferred to another.
pub(super) fn has_priorities<'e>(endpoints: impl IntoIterator<Item = &'e Endpoint>) -> bool {
    endpoints.into_iter().any(|endpoint| endpoint.gateway_priority != 0)
}

/// Where a network leads outside.
pub(super) fn of(network: &Network) -> &[Pool] {
    if network.internal { &[] } else { &network.pools }
}

/// The metric of a default route, by its place among the container's. Of IPv6 none is 1024 (IP6_RT_PRIO_USER, linux/ipv6_route.h).
pub(super) fn metric(place: u32, gateway: IpAddr) -> u32 {
    let none = if gateway.is_ipv6() { 1024 } else { 0 };
    if place == 0 { 0 } else { none + 100 + place }
}

/// The place of each endpoint's default routes. Without priorities it is the same whatever others there are, so that nothing has to be
/// made anew for a further one.
fn places(endpoints: &[Endpoint]) -> Vec<(&Endpoint, u32)> {
    let mut best_first: Vec<&Endpoint> = endpoints.iter().collect();
    best_first.sort_by_key(|endpoint| (-i64::from(endpoint.gateway_priority), endpoint.order));
    let is_ranked = has_priorities(endpoints);
    let place = |rank, endpoint: &Endpoint| if is_ranked { rank } else { endpoint.order };
    (0..).zip(best_first).map(|(rank, endpoint)| (endpoint, place(rank, endpoint))).collect()
}

impl Networks {
    /// Makes all default routes of a container anew.
    pub(super) fn lead_outside(&self, container: &str, namespace: BorrowedFd<'_>) -> Result<()> {
        let (endpoints, networks) = (self.endpoints_of(container)?, self.definitions()?);
        within(namespace, || {
            let links = Links::open()?;
            let mut wanted = Vec::new();
            for (endpoint, place) in places(&endpoints) {
                let network = networks.iter().find(|network| network.id == endpoint.network);
                // One that somebody has set down, or removed, leads nowhere.
                let Some(link) = links.find(&endpoint.interface)?.filter(|link| link.is_up) else { continue };
                let gateways = network.map(of).unwrap_or_default();
                wanted.extend(gateways.iter().map(|pool| (link.index, pool.gateway, metric(place, pool.gateway))));
            }
            // No two have the same metric, not even for a moment.
            let delete = |(link, gateway, _): &(_, _, _)| links.delete_default_route(*link, *gateway);
            let deleted: Vec<Result<()>> = wanted.iter().map(delete).collect();
            // Where somebody has removed the address there is none, and the others have theirs all the same.
            let add = |(link, gateway, metric): &(_, _, _)| links.add_default_route(*link, *gateway, *metric);
            let added: Vec<Result<()>> = wanted.iter().map(add).collect();
            deleted.into_iter().chain(added).collect()
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_highest_priority_is_the_best_way() {
        let of = |priorities: &[i32]| -> Vec<(u32, u32)> {
            let endpoint =
                |(order, priority): (u32, &i32)| Endpoint { order, gateway_priority: *priority, ..Endpoint::default() };
            let endpoints: Vec<Endpoint> = (0..).zip(priorities).map(endpoint).collect();
            places(&endpoints).into_iter().map(|(endpoint, place)| (endpoint.order, place)).collect()
        };
        assert_eq!(of(&[0, 0, 0]), [(0, 0), (1, 1), (2, 2)]);
        assert_eq!(of(&[0, 0, 1]), [(2, 0), (0, 1), (1, 2)]);
        assert_eq!(of(&[-1, 0, 0]), [(1, 0), (2, 1), (0, 2)]);
        assert_eq!(of(&[i32::MIN, i32::MAX]), [(1, 0), (0, 1)]);
    }
}
