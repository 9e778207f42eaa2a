//! Published ports, as people write them (`-p`).

use std::fmt;
use std::net::IpAddr;

use anyhow::{Context, Result, bail, ensure};
use serde::{Deserialize, Serialize};

/// Of IPPROTO_*.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Protocol {
    /// Streams; what is meant where none is named.
    Tcp,
    /// Datagrams.
    Udp,
    /// Messages in streams.
    Sctp,
}

impl Protocol {
    /// Its number on the wire.
    pub fn number(self) -> u8 {
        match self {
            Protocol::Tcp => 6,
            Protocol::Udp => 17,
            Protocol::Sctp => 132,
        }
    }

    /// Reads its name, in any case, as docker does.
    pub fn parse(text: &str) -> Result<Protocol> {
        Ok(match text.to_ascii_lowercase().as_str() {
            "tcp" => Protocol::Tcp,
            "udp" => Protocol::Udp,
            "sctp" => Protocol::Sctp,
            _ => bail!("invalid proto: {text}"),
        })
    }
}

impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Protocol::Tcp => "tcp",
            Protocol::Udp => "udp",
            Protocol::Sctp => "sctp",
        })
    }
}

/// A port of a container, and the port of the host that leads to it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Published {
    /// On both sides.
    pub protocol: Protocol,
    /// The address of the host; none is all of them, of both families.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub address: Option<IpAddr>,
    /// The host's port, 0 for one that the kernel chooses; the first one, where there is a choice.
    pub host: u16,
    /// The last one of a choice; `host` where there is none.
    pub last: u16,
    /// The container's port.
    pub container: u16,
}

impl fmt::Display for Published {
    /// The host's side: `0.0.0.0:8080/tcp`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.address {
            Some(IpAddr::V6(address)) => write!(f, "[{address}]")?,
            Some(address) => write!(f, "{address}")?,
            None => f.write_str("0.0.0.0")?,
        }
        write!(f, ":{}", self.host)?;
        if self.last != self.host {
            write!(f, "-{}", self.last)?;
        }
        write!(f, "/{}", self.protocol)
    }
}

/// Reads `[[ADDRESS:]HOST-PORT[-PORT]:]PORT[-PORT][/PROTOCOL]`; an address of IPv6 is in brackets. A range becomes ports one by one.
pub fn parse(text: &str) -> Result<Vec<Published>> {
    parts(text).with_context(|| format!("invalid published port {text:?}"))
}

fn parts(text: &str) -> Result<Vec<Published>> {
    let (rest, protocol) = match text.rsplit_once('/') {
        Some((rest, name)) => (rest, Protocol::parse(name)?),
        None => (text, Protocol::Tcp),
    };
    let (rest, container) = match rest.rsplit_once(':') {
        Some((rest, container)) => (Some(rest), container),
        None => (None, rest),
    };
    let (address, host) = match rest {
        None => (None, ""),
        Some(rest) if rest.ends_with(']') => bail!("a host's port, or nothing and a colon, goes behind the address"),
        Some(rest) => match rest.rsplit_once(':') {
            Some((address, host)) => (Some(address), host),
            None => (None, rest),
        },
    };
    let (first, last) = range(container)?;
    ensure!(first > 0, "0 is no port of a container");
    let count = last - first;
    let ends = if host.is_empty() { (0, 0) } else { range(host)? };
    let has_choice = count == 0 && ends.1 > ends.0;
    ensure!(
        host.is_empty() || has_choice || ends.1 - ends.0 == count,
        "the ranges have different lengths: {host} and {container}"
    );
    let address = address.filter(|address| !address.is_empty()).map(parse_address).transpose()?;
    let one = |offset| {
        let host = if ends.0 == 0 { 0 } else { ends.0 + offset };
        let last = if has_choice { ends.1 } else { host };
        Published { protocol, address, host, last, container: first + offset }
    };
    Ok((0..=count).map(one).collect())
}

fn parse_address(text: &str) -> Result<IpAddr> {
    let bare = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
    let address = bare.unwrap_or(text).parse::<IpAddr>().ok().filter(|address| address.is_ipv4() || bare.is_some());
    address.with_context(|| format!("invalid IP address: {text}"))
}

fn range(text: &str) -> Result<(u16, u16)> {
    let number = |text: &str| {
        let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        let number = digits.then(|| text.parse().ok()).flatten();
        number.with_context(|| format!("invalid port: {text:?}"))
    };
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    let (first, last): (u16, u16) = (number(first)?, number(last)?);
    ensure!(first <= last, "invalid port range: {text}");
    Ok((first, last))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(text: &str) -> Vec<String> {
        parse(text).unwrap().iter().map(|port| format!("{port} {}", port.container)).collect()
    }

    #[test]
    fn the_forms() {
        assert_eq!(written("80"), ["0.0.0.0:0/tcp 80"]);
        assert_eq!(written("8080:80"), ["0.0.0.0:8080/tcp 80"]);
        assert_eq!(written("8080:80/UDP"), ["0.0.0.0:8080/udp 80"]);
        assert_eq!(written("127.0.0.1:8080:80/sctp"), ["127.0.0.1:8080/sctp 80"]);
        assert_eq!(written("127.0.0.1::80"), ["127.0.0.1:0/tcp 80"]);
        assert_eq!(written("[fd00::1]:8080:80"), ["[fd00::1]:8080/tcp 80"]);
        assert_eq!(written("8000-8001:80-81"), ["0.0.0.0:8000/tcp 80", "0.0.0.0:8001/tcp 81"]);
        assert_eq!(written("8000-8010:80"), ["0.0.0.0:8000-8010/tcp 80"]);
        assert_eq!(written("80-81"), ["0.0.0.0:0/tcp 80", "0.0.0.0:0/tcp 81"]);
    }

    #[test]
    fn what_is_none() {
        for text in [
            "",
            ":",
            "x",
            "80:",
            "0",
            "65536",
            "80/icmp",
            "1.2.3:80:80",
            "8000-8001:80-82",
            "81-80",
            "fd00::1:80:80",
            "[fd00::1]:80",
            "+80",
            "127.0.0.1:[80]:80",
        ] {
            assert!(parse(text).is_err(), "{text}");
        }
    }
}
