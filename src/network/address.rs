//! Which address a container gets: pure.

use std::net::IpAddr;

use anyhow::{Result, bail, ensure};

use super::Pool;
use super::subnet::{address, number, usable};

/// The hardware address that goes with an address of IPv4: locally administered, and the same whenever the address is given out again,
/// so that no neighbour remembers a wrong one.
pub fn hardware_address(address: IpAddr) -> [u8; 6] {
    match address {
        IpAddr::V4(address) => {
            let [a, b, c, d] = address.octets();
            [0x02, 0x42, a, b, c, d]
        }
        IpAddr::V6(address) => {
            let octets = address.octets();
            [0x02, 0x46, octets[12], octets[13], octets[14], octets[15]]
        }
    }
}

/// As people write it.
pub fn hardware_text(address: [u8; 6]) -> String {
    address.map(|byte| format!("{byte:02x}")).join(":")
}

/// Reads what people write.
pub fn parse_hardware(text: &str) -> Result<[u8; 6]> {
    let mut bytes = [0; 6];
    let mut parts = text.split([':', '-']);
    for byte in &mut bytes {
        let part = parts.next().filter(|part| part.len() == 2 && part.bytes().all(|byte| byte.is_ascii_hexdigit()));
        let value = part.and_then(|part| u8::from_str_radix(part, 16).ok());
        let Some(value) = value else { bail!("invalid MAC address: {text:?}") };
        *byte = value;
    }
    ensure!(parts.next().is_none(), "invalid MAC address: {text:?}");
    ensure!(bytes[0] & 1 == 0 && bytes != [0; 6], "invalid MAC address: {text:?} is not one of a single link");
    Ok(bytes)
}

/// Checks that an address that somebody wants can be had.
pub(super) fn check(pool: &Pool, wanted: IpAddr) -> Result<()> {
    ensure!(pool.subnet.contains(&wanted), "the address {wanted} is outside of the subnet {}", pool.subnet);
    let (first, last) = usable(&pool.subnet);
    ensure!((first..=last).contains(&number(wanted)), "the address {wanted} can't be a host's in {}", pool.subnet);
    ensure!(wanted != pool.gateway, "the address {wanted} is the gateway's");
    Ok(())
}

/// The next address after the last one that was given, so that one that has come back rests for a while.
pub(super) fn next(pool: &Pool, last: Option<IpAddr>, is_taken: impl Fn(IpAddr) -> bool) -> Option<IpAddr> {
    let (low, high) = usable(&pool.subnet);
    let (low, high) = match &pool.range {
        Some(range) => (low.max(number(range.network())), high.min(number(range.broadcast()))),
        None => (low, high),
    };
    let like = pool.subnet.addr();
    let start = last.map(number).filter(|last| (low..high).contains(last)).map_or(low, |last| last + 1);
    let reserved = |one: IpAddr| one == pool.gateway || pool.auxiliary.values().any(|other| *other == one);
    // It ends: what is taken is finite, and so is the range.
    let candidates = (start..=high).chain(low..start).map(|number| address(number, like));
    candidates.into_iter().find(|one| !reserved(*one) && !is_taken(*one))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn pool(subnet: &str, range: Option<&str>) -> Pool {
        let subnet: ipnet::IpNet = subnet.parse().unwrap();
        let gateway = address(usable(&subnet).0, subnet.addr());
        Pool { subnet, gateway, range: range.map(|range| range.parse().unwrap()), auxiliary: BTreeMap::new() }
    }

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn addresses_go_round() {
        let pool = pool("10.0.0.0/29", None);
        assert_eq!(next(&pool, None, |_| false), Some(ip("10.0.0.2")));
        assert_eq!(next(&pool, Some(ip("10.0.0.2")), |_| false), Some(ip("10.0.0.3")));
        assert_eq!(next(&pool, Some(ip("10.0.0.6")), |_| false), Some(ip("10.0.0.2")));
        assert_eq!(next(&pool, Some(ip("10.0.0.2")), |one| one != ip("10.0.0.2")), Some(ip("10.0.0.2")));
        assert_eq!(next(&pool, None, |_| true), None);
        // Of another range, from before the range was set.
        assert_eq!(next(&pool, Some(ip("10.9.9.9")), |_| false), Some(ip("10.0.0.2")));
    }

    #[test]
    fn a_range_and_what_is_somebody_elses_are_kept() {
        let mut pool = pool("10.0.0.0/24", Some("10.0.0.128/30"));
        pool.auxiliary.insert("router".into(), ip("10.0.0.128"));
        assert_eq!(next(&pool, None, |_| false), Some(ip("10.0.0.129")));
        assert_eq!(next(&pool, Some(ip("10.0.0.131")), |_| false), Some(ip("10.0.0.129")));
    }

    #[test]
    fn a_large_subnet_takes_no_time() {
        let pool = pool("fd00::/64", None);
        assert_eq!(next(&pool, None, |one| one < ip("fd00::100")), Some(ip("fd00::100")));
        assert_eq!(next(&pool, Some(ip("fd00::ffff:ffff:ffff:ffff")), |_| false), Some(ip("fd00::2")));
    }

    #[test]
    fn what_can_be_wanted() {
        let pool = pool("10.0.0.0/24", None);
        let refusal = |text: &str| check(&pool, ip(text)).err().map(|error| error.to_string());
        assert_eq!(refusal("10.0.0.9"), None);
        assert_eq!(refusal("10.0.1.9"), Some("the address 10.0.1.9 is outside of the subnet 10.0.0.0/24".into()));
        assert!(refusal("10.0.0.255").is_some() && refusal("10.0.0.0").is_some() && refusal("10.0.0.1").is_some());
    }

    #[test]
    fn hardware_addresses() {
        assert_eq!(hardware_text(hardware_address(ip("10.84.0.2"))), "02:42:0a:54:00:02");
        assert_eq!(parse_hardware("02:42:0a:54:00:02").unwrap(), [2, 0x42, 10, 84, 0, 2]);
        for wrong in [
            "",
            "02:42:0a:54:00",
            "02:42:0a:54:00:02:03",
            "01:42:0a:54:00:02",
            "+2:42:0a:54:00:02",
            "zz:42:0a:54:00:02",
        ] {
            assert!(parse_hardware(wrong).is_err(), "{wrong}");
        }
    }
}
