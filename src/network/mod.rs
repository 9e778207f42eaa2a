//! Networks of containers: bridges, addresses, published ports, names. A library without a daemon: each call opens the state, does its
//! work, and ends.
//!
//! | where | what |
//! | --- | --- |
//! | `ROOT/networks/ID.json` | a network: what `create` was told and what it chose; outlives a reboot |
//! | `ROOT/networks/lock` | held exclusively by whoever makes or removes a network |
//! | `RUN/network/lock` | held exclusively by whoever changes anything below, or links and rules in the kernel |
//! | `RUN/network/endpoints/NETWORK/CONTAINER` | an endpoint: all that was made for a container in a network, written **before** it is made |
//! | `RUN/network/leases/NETWORK/ADDRESS` | a symlink to the id of the container that has the address |
//! | `RUN/network/ports/PROTOCOL-ADDRESS-PORT` | a symlink to the id of the container that has the host's port |
//! | `RUN/network/taps/NUMBER` | a symlink to the id of the container whose ports lead in by the link `portNUMBER` ([`tap`]) |
//! | the link `veth…` | the host's end, named after container and network ([`endpoint`]) |
//! | the bridge `corten0` | the default network's link; other networks' are `br-…`, or what people called them |
//! | the table `inet corten` | all rules ([`ruleset`]); a published port is one element of a map |
//!
//! A store that is not in its usual place has a table and a default bridge of its own, `corten-` and the beginning of a hash of its path.
//!
//! RUN is on a tmpfs, so it goes with what it speaks of when the machine does. The order in which things are made is the order in which
//! they can be found again: whoever is killed in [`Networks::attach`] leaves an endpoint's record, and [`Networks::detach`] with the
//! container's id removes whatever there is of what it names. An address or a port is only taken away from the container that its
//! symlink names, so a half-made endpoint takes nothing from another.
//!
//! # How a container is run
//!
//! 1. [`Networks::reserve_in`]: host ports are chosen and bound. Whoever stands for the container (its monitor) holds the sockets for as
//!    long as it runs; rules win over listeners, so that without them the port could be given away twice, silently.
//! 2. A network namespace is made, and [`Networks::attach`] called for each network.
//! 3. [`files`] has the content of `/etc/hosts` and `/etc/resolv.conf`; in a network with names ([`Network::has_names`]) the monitor
//!    serves a [`names::Responder`].
//! 4. [`Networks::release`] when the container has ended, and [`Networks::detach`] by whoever finds that its owner is gone.

pub mod address;
mod attach;
mod bridge;
pub mod configuration;
mod conntrack;
mod create;
mod defaults;
mod detach;
pub mod endpoint;
pub mod files;
mod firewall;
mod gateways;
mod link;
pub mod names;
pub mod namespace;
mod nftables;
pub mod port;
mod reserve;
mod ruleset;
mod state;
mod subnet;
mod sysctl;
pub mod tap;

use std::collections::BTreeMap;
use std::fmt;
use std::net::IpAddr;
use std::path::{Path, PathBuf};

use anyhow::{Result, bail};
use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use crate::error::Attempt;
use crate::image::digest::Digest;

pub use attach::Attachment;
use configuration::Configuration;
pub use create::Create;
pub use endpoint::Endpoint;
pub use port::{Protocol, Published};
pub use reserve::Reserved;
pub use tap::Tap;

use nftables::transaction::Kept;

/// The networks of a machine. What is done over one value, and over clones of it, is done over one connection to the kernel's rules, whose
/// end takes some milliseconds where rules were deleted: it is best dropped when nobody waits any more.
#[derive(Debug, Clone)]
pub struct Networks {
    root: PathBuf,
    run: PathBuf,
    /// The name of the table of rules.
    table: String,
    /// The link of the default network.
    bridge: String,
    /// Where the search for a free subnet begins.
    offset: u32,
    /// Whether they are an ordinary user's: in a network namespace of the user's, where ports lead in by links of their own ([`tap`]).
    is_users: bool,
    /// Of the network namespace that rules were needed in first.
    rules: Kept,
}

/// What makes a network.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Driver {
    /// A bridge of the host, with address translation.
    Bridge,
    /// The host's own network.
    Host,
    /// No network but a loopback.
    Null,
    /// A further address on the wire of one of the host's links.
    Macvlan,
    /// The same with the link's own hardware address, where the kernel has it.
    Ipvlan,
}

impl fmt::Display for Driver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Driver::Bridge => "bridge",
            Driver::Host => "host",
            Driver::Null => "null",
            Driver::Macvlan => "macvlan",
            Driver::Ipvlan => "ipvlan",
        })
    }
}

/// Addresses of a network, of one family.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pool {
    /// All of them.
    pub subnet: IpNet,
    /// The host's address in it: where containers send what is for elsewhere.
    pub gateway: IpAddr,
    /// Those that are given to who wants no address of its own choice.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub range: Option<IpNet>,
    /// Those that are somebody else's, by name (`--aux-address`).
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub auxiliary: BTreeMap<String, IpAddr>,
}

/// A network.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Network {
    /// 64 hexadecimal digits.
    pub id: String,
    /// What people call it.
    pub name: String,
    /// When it was made, RFC 3339.
    pub created: String,
    /// What makes it.
    pub driver: Driver,
    /// The host's link: the bridge, or the parent of macvlan and ipvlan; empty for `host` and `none`.
    #[serde(default)]
    pub link: String,
    /// One for each family that it has.
    #[serde(default)]
    pub pools: Vec<Pool>,
    /// Whether it was made with IPv6.
    #[serde(default)]
    pub ipv6: bool,
    /// Whether nothing leads outside.
    #[serde(default)]
    pub internal: bool,
    /// Docker's, for its swarms: kept, and without effect on one machine.
    #[serde(default)]
    pub attachable: bool,
    /// What people attach to it.
    #[serde(default)]
    pub labels: BTreeMap<String, String>,
    /// The driver's options, as they were given.
    #[serde(default)]
    pub options: BTreeMap<String, String>,
    /// Options of who manages the addresses: kept, and without effect, as docker's own manager has none.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub ipam_options: BTreeMap<String, String>,
    /// What others are made like; it is no network itself then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub configuration: Option<Configuration>,
    /// The name of what it was made like.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub config_from: Option<String>,
}

impl Network {
    /// Whether names of containers are answered in it: in all that a user made.
    pub fn has_names(&self) -> bool {
        self.name != defaults::BRIDGE && matches!(self.driver, Driver::Bridge | Driver::Macvlan | Driver::Ipvlan)
    }

    /// Whether it is there without having been made, and can't be removed.
    pub fn is_predefined(&self) -> bool {
        [defaults::BRIDGE, defaults::HOST, defaults::NONE].contains(&self.name.as_str())
    }

    /// The option that says yes or no, under either of two names.
    fn says(&self, names: [&str; 2], otherwise: bool) -> bool {
        let value = names.iter().find_map(|name| self.options.get(*name));
        value.map_or(otherwise, |value| matches!(value.as_str(), "true" | "1" | "strict"))
    }

    /// Whether containers in it reach one another.
    pub fn is_connected_inside(&self) -> bool {
        self.says(["com.docker.network.bridge.enable_icc", "enable_icc"], true)
    }

    /// Whether other networks are kept out.
    pub fn is_isolated(&self) -> bool {
        self.says(["isolate", "isolate"], true)
    }

    /// Whether what goes outside carries the host's address.
    pub fn is_masqueraded(&self) -> bool {
        self.says(["com.docker.network.bridge.enable_ip_masquerade", "enable_ip_masquerade"], true)
    }

    /// The largest packet, in bytes, where that was said.
    pub fn mtu(&self) -> Option<u32> {
        let value = self.options.get("mtu").or_else(|| self.options.get("com.docker.network.driver.mtu"))?;
        value.parse().ok()
    }

    /// The host's address that ports are published at if none is given.
    pub fn host_binding(&self) -> Option<IpAddr> {
        self.options.get("com.docker.network.bridge.host_binding_ipv4")?.parse().ok()
    }
}

impl Networks {
    /// Opens the networks of a machine: what is kept below `root`, and what goes with the machine's running below `run`, on a tmpfs.
    pub fn open(root: &Path, run: &Path) -> Result<Networks> {
        let mut networks = Networks {
            root: root.join("networks"),
            run: run.join("network"),
            table: ruleset::TABLE.into(),
            bridge: defaults::BRIDGE_LINK.into(),
            offset: 0,
            is_users: false,
            rules: Kept::default(),
        };
        if let Some(hash) = hash_of(root) {
            networks.table = format!("{}-{hash}", ruleset::TABLE);
            networks.bridge = format!("corten-{hash}");
            networks.offset = u32::from_str_radix(&hash, 16).unwrap_or(0);
        }
        networks.make_directories()?;
        Ok(networks)
    }

    /// Opens the networks of an ordinary user. What changes anything of the kernel's is done in the namespace that they are in.
    pub fn of_user(root: &Path, run: &Path) -> Result<Networks> {
        Ok(Networks { is_users: true, ..Networks::open(root, run)? })
    }

    /// Whether any container is in one of them.
    pub fn are_in_use(&self) -> Result<bool> {
        let directory = self.run.join("endpoints");
        let networks = state::names(&directory)?;
        Ok(networks.iter().any(|network| state::names(&directory.join(network)).is_ok_and(|all| !all.is_empty())))
    }

    /// Opens the networks that belong to the store below `root`.
    pub fn of_store(root: &Path) -> Result<Networks> {
        let root = std::path::absolute(root).attempt(|| format!("make {root:?} absolute"))?;
        Networks::open(&root, &Networks::run_of_store(&root)?)
    }

    /// Where that goes which belongs to the store below `root` and ends with the machine's running.
    pub fn run_of_store(root: &Path) -> Result<PathBuf> {
        let root = std::path::absolute(root).attempt(|| format!("make {root:?} absolute"))?;
        let name = hash_of(&root).map_or_else(|| "engine".to_owned(), |hash| format!("engine-{hash}"));
        Ok(Path::new("/run/corten").join(name))
    }

    /// All networks, by name. `bridge` is in the list before it is made.
    pub fn list(&self) -> Result<Vec<Network>> {
        let mut all = self.definitions()?;
        let missing = defaults::placeholders(&self.bridge)
            .into_iter()
            .filter(|one| all.iter().all(|there| there.name != one.name));
        all.extend(missing.collect::<Vec<_>>());
        all.sort_by(|one, other| one.name.cmp(&other.name));
        Ok(all)
    }

    /// The network of a name, an id or the beginning of one. `bridge` is made if it wasn't yet.
    pub fn get(&self, text: &str) -> Result<Network> {
        let all = self.list()?;
        let found = find(&all, text)?;
        if found.name == defaults::BRIDGE && (found.pools.is_empty() || self.is_displaced(found)?) {
            return self.make_default();
        }
        Ok(found.clone())
    }
}

/// What tells another store's networks from the machine's usual ones: they share its links and its rules.
fn hash_of(root: &Path) -> Option<String> {
    let is_usual = root == Path::new(crate::image::store::DEFAULT);
    (!is_usual).then(|| Digest::of(root.as_os_str().as_encoded_bytes()).hex()[..8].to_owned())
}

/// By name, by id, by the beginning of an id, in this order.
fn find<'a>(all: &'a [Network], text: &str) -> Result<&'a Network> {
    if let Some(found) = all.iter().find(|one| one.name == text).or_else(|| all.iter().find(|one| one.id == text)) {
        return Ok(found);
    }
    let mut begun = all.iter().filter(|one| !text.is_empty() && one.id.starts_with(text));
    match (begun.next(), begun.next()) {
        (Some(found), None) => Ok(found),
        (Some(_), Some(_)) => bail!("network {text} is ambiguous: several ids begin so"),
        (None, _) => bail!("network {text} not found"),
    }
}
