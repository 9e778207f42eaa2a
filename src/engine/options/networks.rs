//! `--network`.

use std::net::IpAddr;

use anyhow::{Context, Result, bail, ensure};

use crate::engine::pasta;
use crate::engine::record::Membership;

/// A network's name, or `name=…,alias=…,ip=…,ip6=…,link-local-ip=…,mac-address=…,driver-opt=KEY=VALUE,gw-priority=…`.
pub fn network(text: &str) -> Result<Membership> {
    let mut membership = Membership::default();
    // A mode such as `container:ID` has no equals sign, and a name neither; the options of pasta's may have some.
    if !text.contains('=') || pasta::options(text).is_some() {
        membership.network = text.to_owned();
        return Ok(membership);
    }
    for field in text.split(',') {
        let (key, value) =
            field.split_once('=').with_context(|| format!("invalid field {field:?}: it must be key=value"))?;
        match key {
            "name" => membership.network = value.into(),
            "alias" => membership.aliases.push(value.into()),
            "ip" | "ip6" => {
                let wrong = || format!("invalid address {value:?} of {key}");
                let address: IpAddr = value.parse().ok().with_context(wrong)?;
                ensure!(address.is_ipv4() == (key == "ip"), wrong());
                membership.addresses.push(address);
            }
            "mac-address" => membership.mac_address = Some(value.into()),
            "link-local-ip" => {
                let address = value.parse().ok().with_context(|| format!("invalid link-local IP address: {value}"))?;
                membership.link_local.push(address);
            }
            "driver-opt" => membership.driver_opts.extend([crate::engine::options::pair(value)]),
            "gw-priority" => {
                let wrong = || format!("invalid gw-priority {value:?}: a whole number is wanted");
                membership.gw_priority = value.parse().ok().with_context(wrong)?;
            }
            _ => bail!(
                "invalid field key {key}: there are name, alias, ip, ip6, link-local-ip, mac-address, driver-opt and \
                 gw-priority"
            ),
        }
    }
    ensure!(!membership.network.is_empty(), "the network's name is missing: name=…");
    Ok(membership)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_network_is_a_name_or_fields() {
        for text in ["web", "container:abc", "none", "pasta:--map-gw,--udp-ports=all"] {
            assert_eq!(network(text).unwrap(), Membership { network: text.into(), ..Membership::default() });
        }
        let read = network("alias=a,name=web,alias=b,ip=10.0.0.5,ip6=fd00::5,mac-address=02:00:00:00:00:01").unwrap();
        assert_eq!((read.network.as_str(), read.aliases), ("web", vec!["a".to_owned(), "b".to_owned()]));
        assert_eq!(read.addresses, ["10.0.0.5".parse::<IpAddr>().unwrap(), "fd00::5".parse().unwrap()]);
        assert_eq!(read.mac_address.as_deref(), Some("02:00:00:00:00:01"));
        let read = network("name=web,link-local-ip=169.254.1.2,driver-opt=a=b=c").unwrap();
        assert_eq!(read.link_local, ["169.254.1.2".parse::<IpAddr>().unwrap()]);
        assert_eq!(read.driver_opts, [("a".to_owned(), "b=c".to_owned())].into());
        assert_eq!(network("name=web,gw-priority=-7").unwrap().gw_priority, -7);
        for text in [
            "alias=a",
            "name=web,ip=x",
            "name=web,ip=fd00::1",
            "name=web,x=y",
            "name=web,alias",
            "name=web,link-local-ip=x",
            "name=web,gw-priority=x",
            "name=web,gw-priority=2147483648",
        ] {
            assert!(network(text).is_err(), "{text}");
        }
    }
}
