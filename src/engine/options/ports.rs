//! `--publish` and `--expose`.

use std::collections::BTreeMap;

use anyhow::{Context, Result, bail, ensure};

use crate::engine::record::PortBinding;

/// Ports of a container, with what they are published as.
pub type Bindings = BTreeMap<String, Vec<PortBinding>>;

/// `80`, `80-90`: the first and the last.
fn range(text: &str, all: &str) -> Result<(u16, u16)> {
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    let number = |text: &str| text.parse::<u16>().ok().with_context(|| format!("Invalid containerPort: {all}"));
    let (first, last) = (number(first)?, number(last)?);
    ensure!(first <= last, "invalid range specified for port: {all}");
    Ok((first, last))
}

fn protocol(text: &str) -> Result<(&str, &str)> {
    let (ports, protocol) = text.split_once('/').unwrap_or((text, "tcp"));
    ensure!(matches!(protocol, "tcp" | "udp" | "sctp"), "invalid proto: {protocol}");
    Ok((ports, protocol))
}

/// `--expose 80[-90][/udp]`: keys of the API, such as `80/udp`.
pub fn exposed(text: &str) -> Result<Vec<String>> {
    let (ports, protocol) = protocol(text)?;
    let (first, last) = range(ports, text)?;
    Ok((first..=last).map(|port| format!("{port}/{protocol}")).collect())
}

/// `--publish [[ADDRESS:][HOST]:]CONTAINER[/PROTOCOL]`, with ranges.
pub fn publish(text: &str, to: &mut Bindings) -> Result<()> {
    let (ports, protocol) = protocol(text)?;
    let (rest, container) = ports.rsplit_once(':').unwrap_or(("", ports));
    let (address, host) = match rest.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((address, host)) => (address, host.strip_prefix(':').unwrap_or(host)),
        None => rest.rsplit_once(':').unwrap_or(("", rest)),
    };
    ensure!(!container.is_empty(), "no port specified: {text}<empty>");
    ensure!(
        address.is_empty() || address.parse::<std::net::IpAddr>().is_ok(),
        "invalid IP address: {address}"
    );
    let (first, last) = range(container, text)?;
    let hosts = if host.is_empty() { None } else { Some(range(host, text)?) };
    if let Some((low, high)) = hosts
        && high - low != last - first
        && first != last
    {
        bail!("invalid ranges specified for container and host Ports: {container} and {host}");
    }
    for port in first..=last {
        let host_port = match hosts {
            None => String::new(),
            Some((low, high)) if first == last && low != high => format!("{low}-{high}"),
            Some((low, _)) => (low + (port - first)).to_string(),
        };
        let bindings = to.entry(format!("{port}/{protocol}")).or_default();
        bindings.push(PortBinding { host_ip: address.into(), host_port });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn published(text: &str) -> Result<Vec<String>> {
        let mut bindings = Bindings::new();
        publish(text, &mut bindings)?;
        let line = |(port, all): (String, Vec<PortBinding>)| {
            all.into_iter().map(move |binding| format!("{}:{}->{port}", binding.host_ip, binding.host_port))
        };
        Ok(bindings.into_iter().flat_map(line).collect())
    }

    #[test]
    fn what_docker_publishes() {
        for (text, wanted) in [
            ("80", &[":->80/tcp"][..]),
            ("8080:80", &[":8080->80/tcp"]),
            ("127.0.0.1:8080:80/udp", &["127.0.0.1:8080->80/udp"]),
            ("127.0.0.1::80", &["127.0.0.1:->80/tcp"]),
            ("[::1]:8080:80", &["::1:8080->80/tcp"]),
            ("9000-9001:80-81", &[":9000->80/tcp", ":9001->81/tcp"]),
            ("9000-9010:80", &[":9000-9010->80/tcp"]),
        ] {
            assert_eq!(published(text).unwrap(), wanted, "{text}");
        }
        for text in ["", "x", "1:2:3", "80/xyz", "90-80", "8000-8001:80-85", "70000", "8080:", "a.b.c.d:1:2"] {
            assert!(published(text).is_err(), "{text}");
        }
        assert_eq!(exposed("80-81/udp").unwrap(), ["80/udp", "81/udp"]);
    }
}
