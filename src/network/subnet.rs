//! Subnets: which overlap, and which is free.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::{IpNet, Ipv4Net, Ipv6Net};

/// Whether two have an address in common.
pub(super) fn overlap(one: &IpNet, other: &IpNet) -> bool {
    one.contains(other) || other.contains(one)
}

/// Where subnets are taken from, in this order, and how long their prefixes are: far from docker's (172.17–31, 192.168), podman's
/// (10.88 and up) and Kubernetes' (10.96, 10.244).
const POOLS: [([u8; 2], u8, u8); 4] =
    [([10, 64], 12, 24), ([10, 48], 12, 24), ([172, 16], 12, 24), ([192, 168], 16, 24)];
/// `bridge` has room for more.
const DEFAULT_POOLS: [([u8; 2], u8, u8); 3] = [([10, 84], 16, 16), ([10, 80], 13, 16), ([172, 16], 12, 16)];

/// The first subnet that overlaps none of those that are taken; the first from an offset on, if there is one, for those who don't know of
/// each other.
pub(super) fn pick(taken: &[IpNet], is_default: bool, offset: u32) -> Option<IpNet> {
    let pools = if is_default && offset == 0 { &DEFAULT_POOLS[..] } else { &POOLS[..] };
    pools.iter().find_map(|([first, second], length, wanted)| {
        let pool = Ipv4Net::new(Ipv4Addr::new(*first, *second, 0, 0), *length).ok()?;
        let count = 1 << (wanted - length);
        let candidate = |number: u32| {
            let first = u32::from(pool.network()) + ((number.wrapping_add(offset) % count) << (32 - wanted));
            Some(IpNet::V4(Ipv4Net::new(first.into(), *wanted).ok()?))
        };
        (0..count).filter_map(candidate).find(|one| taken.iter().all(|other| !overlap(one, other)))
    })
}

/// A unique local /64 (RFC 4193): random, so that it is free wherever it goes.
pub(super) fn unique_local(random: [u8; 5]) -> IpNet {
    let mut bytes = [0; 16];
    bytes[0] = 0xfd;
    bytes[1..6].copy_from_slice(&random);
    IpNet::V6(Ipv6Net::new_assert(Ipv6Addr::from(bytes), 64))
}

/// An address as a number, and back.
pub(super) fn number(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(address) => u32::from(address).into(),
        IpAddr::V6(address) => address.into(),
    }
}

/// The address of a number, of the family of another one. What is too large for it is cut.
pub(super) fn address(number: u128, like: IpAddr) -> IpAddr {
    match like {
        IpAddr::V4(_) => IpAddr::V4((number as u32).into()),
        IpAddr::V6(_) => IpAddr::V6(number.into()),
    }
}

/// The first and last address that can be a host's. IPv4 has one for all at the end, but for links of two.
pub(super) fn usable(subnet: &IpNet) -> (u128, u128) {
    let (first, last) = (number(subnet.network()), number(subnet.broadcast()));
    match (subnet, subnet.max_prefix_len() - subnet.prefix_len()) {
        (_, 0 | 1) => (first, last),
        (IpNet::V4(_), _) => (first + 1, last - 1),
        (IpNet::V6(_), _) => (first + 1, last),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn net(text: &str) -> IpNet {
        text.parse().unwrap()
    }

    #[test]
    fn the_first_free_subnet_is_taken() {
        assert_eq!(pick(&[], true, 0), Some(net("10.84.0.0/16")));
        assert_eq!(pick(&[net("10.84.7.0/24")], true, 0), Some(net("10.80.0.0/16")));
        assert_eq!(pick(&[], false, 0), Some(net("10.64.0.0/24")));
        assert_eq!(pick(&[net("10.64.0.0/24"), net("10.64.1.128/25")], false, 0), Some(net("10.64.2.0/24")));
        // A route that covers a whole pool, as a VPN's.
        assert_eq!(pick(&[net("10.0.0.0/8")], false, 0), Some(net("172.16.0.0/24")));
        assert_eq!(pick(&[net("10.0.0.0/8"), net("172.16.0.0/12"), net("192.168.0.0/16")], false, 0), None);
        assert_eq!(pick(&[net("10.64.5.0/24")], true, 4096 + 5), Some(net("10.64.6.0/24")));
    }

    #[test]
    fn overlapping_is_having_an_address_in_common() {
        assert!(overlap(&net("10.0.0.0/8"), &net("10.1.2.0/24")));
        assert!(overlap(&net("10.1.2.0/24"), &net("10.0.0.0/8")));
        assert!(!overlap(&net("10.0.0.0/24"), &net("10.0.1.0/24")));
        assert!(!overlap(&net("10.0.0.0/24"), &net("fd00::/8")));
    }

    #[test]
    fn usable_addresses() {
        let of = |text| {
            let subnet = net(text);
            let (first, last) = usable(&subnet);
            (address(first, subnet.addr()).to_string(), address(last, subnet.addr()).to_string())
        };
        assert_eq!(of("10.0.0.0/24"), ("10.0.0.1".into(), "10.0.0.254".into()));
        assert_eq!(of("10.0.0.0/31"), ("10.0.0.0".into(), "10.0.0.1".into()));
        assert_eq!(of("fd00::/64"), ("fd00::1".into(), "fd00::ffff:ffff:ffff:ffff".into()));
    }

    #[test]
    fn a_unique_local_subnet_is_one() {
        assert_eq!(unique_local([1, 2, 3, 4, 5]), net("fd01:203:405::/64"));
    }
}
