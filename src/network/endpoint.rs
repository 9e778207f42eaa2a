//! A container's place in a network.

use std::net::IpAddr;

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use super::port::Published;
use super::tap::Tap;
use crate::image::digest::Digest;

/// All that is made for a container in a network; the record from which it is removed again, and from which names are answered.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Endpoint {
    /// The container's id.
    pub container: String,
    /// The container's name.
    pub name: String,
    /// Its name for itself, where it was given one (`--hostname`).
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub hostname: String,
    /// The network's id.
    pub network: String,
    /// The how-manieth of the container's networks it is.
    pub order: u32,
    /// How much its way outside is preferred to those of the others; among equals the first one's is.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub gateway_priority: i32,
    /// The link inside: `eth0`.
    pub interface: String,
    /// The host's end, if there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub link: Option<String>,
    /// With the length of the subnet's prefix.
    pub addresses: Vec<IpNet>,
    /// The link's hardware address, written as usual.
    pub mac: String,
    /// Further names in this network.
    #[serde(default)]
    pub aliases: Vec<String>,
    /// Names that it alone has for others.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub links: Vec<Link>,
    /// Addresses beside the network's, which nobody keeps free for it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub link_local: Vec<IpAddr>,
    /// Ports of the host that lead here.
    #[serde(default)]
    pub ports: Vec<Published>,
    /// The link that they lead in by, of an ordinary user's container.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tap: Option<Tap>,
}

/// A name that one container has for another (`--link`).
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct Link {
    /// The other's name or id.
    pub name: String,
    /// What it is called.
    pub alias: String,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands a reference")]
fn is_zero(number: &i32) -> bool {
    *number == 0
}

impl Endpoint {
    /// Docker's name for an endpoint: 64 digits.
    pub fn id(&self) -> String {
        Digest::of(format!("{} {}", self.container, self.network).as_bytes()).hex().to_owned()
    }

    /// All names by which others find it, each once, in docker's order: the container's, its aliases, its short id, its host name.
    pub fn names(&self) -> Vec<&str> {
        let short = self.container.get(..12).unwrap_or(&self.container);
        let aliases = self.aliases.iter().map(String::as_str);
        let all = [self.name.as_str()].into_iter().chain(aliases).chain([short, &self.hostname]);
        let mut names: Vec<&str> = Vec::new();
        for name in all.filter(|name| !name.is_empty()) {
            if !names.contains(&name) {
                names.push(name);
            }
        }
        names
    }
}

/// Whether a link's name is one of those that [`link_name`] makes.
pub(super) fn is_link_name(name: &str) -> bool {
    let digits = name.strip_prefix("veth").unwrap_or_default();
    digits.len() == 10 && digits.bytes().all(|byte| byte.is_ascii_hexdigit())
}

/// The host's end of a container's link: its name follows from both ids, so it is found without having been noted.
pub(super) fn link_name(container: &str, network: &str) -> String {
    format!("veth{}", &Digest::of(format!("{container} {network}").as_bytes()).hex()[..10])
}
