//! `--publish` and `--expose`.

use std::collections::BTreeMap;

use anyhow::{Result, ensure};

use crate::engine::record::PortBinding;
use crate::network::{Published, port};

/// Ports of a container, with what they are published as.
pub type Bindings = BTreeMap<String, Vec<PortBinding>>;

/// `--expose 80[-90][/udp]`: keys of the API, such as `80/udp`.
pub fn exposed(text: &str) -> Result<Vec<String>> {
    ensure!(!text.contains(':'), "invalid port format for --expose: {text}");
    Ok(port::parse(text)?.into_iter().map(|port| key(&port)).collect())
}

fn key(port: &Published) -> String {
    format!("{}/{}", port.container, port.protocol)
}

/// `--publish [[ADDRESS:][HOST]:]CONTAINER[/PROTOCOL]`, with ranges.
pub fn publish(text: &str, to: &mut Bindings) -> Result<()> {
    for port in port::parse(text)? {
        let host_port = match (port.host, port.last) {
            (0, _) => String::new(),
            (first, last) if first == last => first.to_string(),
            (first, last) => format!("{first}-{last}"),
        };
        let host_ip = port.address.map(|address| address.to_string()).unwrap_or_default();
        to.entry(key(&port)).or_default().push(PortBinding { host_ip, host_port });
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
        for text in ["", "x", "1:2:3", "80/xyz", "90-80", "70000", "8080:", "a.b.c.d:1:2"] {
            assert!(published(text).is_err(), "{text}");
        }
        assert_eq!(exposed("80-81/udp").unwrap(), ["80/udp", "81/udp"]);
    }
}
