//! The networks that a container is in: kept in its record, and carried out where it runs.
//!
//! A change while it runs is noted first, beside the container's other files below `/run`, and the note goes last: of a command that is
//! killed between, the next one sees that a place which the record doesn't have yet is given back, and that one who was to leave has left
//! ([`settle`]).

use std::collections::BTreeMap;
use std::fs;
use std::net::IpAddr;
use std::os::fd::{AsFd, BorrowedFd};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};
use serde::{Deserialize, Serialize};

use super::network::{Mode, is_attachable, namespace};
use super::protocol::Channel;
use super::record::{Membership, Record};
use super::rootless::network::Outside;
use super::{Container, Engine, links, locks};
use crate::error::Attempt;
use crate::network::{Attachment, Endpoint, Networks, Published, address};

impl Membership {
    /// Whether it wants what only networks that users made have.
    pub(super) fn has_own(&self) -> bool {
        !self.addresses.is_empty() || !self.aliases.is_empty()
    }

    /// Makes it so, for a container whose namespace is there.
    pub(super) fn attach(
        &self,
        engine: &Engine,
        record: &Record,
        namespace: BorrowedFd<'_>,
        ports: &[Published],
    ) -> Result<(Endpoint, Vec<String>)> {
        let networks = engine.networks()?;
        let link = LinkOptions::of(&self.driver_opts)?;
        let used: Vec<String> = networks.endpoints_of(&record.id)?.into_iter().map(|one| one.interface).collect();
        let free = || (0..).map(|number| format!("eth{number}")).find(|name| !used.contains(name)).unwrap_or_default();
        let interface = link.name.map_or_else(free, str::to_owned);
        let settings: Vec<(String, String)> =
            link.settings.iter().map(|(path, value)| (path.replacen("IFNAME", &interface, 1), value.clone())).collect();
        let attachment = Attachment {
            container: &record.id,
            name: &record.name,
            hostname: &record.config.hostname,
            namespace,
            network: &self.network,
            interface: &interface,
            gateway_priority: self.gw_priority,
            addresses: &self.addresses,
            mac: self.mac_address.as_deref().map(address::parse_hardware).transpose()?,
            aliases: &self.aliases,
            links: &self.links,
            link_local: &self.link_local,
            settings: &settings,
            ports,
        };
        let outside = if networks.get(&self.network)?.internal { Outside::AsItIs } else { Outside::Needed };
        engine.at_networks_with(outside, |networks| networks.attach(&attachment))
    }
}

/// docker's options of a container's end of a link.
#[derive(Debug, Default)]
struct LinkOptions<'o> {
    name: Option<&'o str>,
    /// Paths below /proc/sys/net with IFNAME in them, and values.
    settings: Vec<(String, String)>,
}

impl LinkOptions<'_> {
    fn of(options: &BTreeMap<String, String>) -> Result<LinkOptions<'_>> {
        let mut all = LinkOptions::default();
        for (key, value) in options {
            match key.as_str() {
                "com.docker.network.endpoint.ifname" => {
                    let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"_.-".contains(&byte);
                    let is_name = (1..16).contains(&value.len())
                        && value.bytes().all(fits)
                        && !value.trim_matches('.').is_empty()
                        && value != "lo";
                    ensure!(is_name, "{value:?} can't be the name of a link: up to 15 of [a-zA-Z0-9_.-]");
                    all.name = Some(value);
                }
                "com.docker.network.endpoint.sysctls" => {
                    for setting in value.split(',') {
                        all.settings.push(self::setting(setting)?);
                    }
                }
                _ => bail!("there is no option {key:?} for a container's place in a network"),
            }
        }
        Ok(all)
    }
}

/// `net.ipv4.conf.IFNAME.log_martians=1`: of the link alone.
fn setting(text: &str) -> Result<(String, String)> {
    let wrong = || format!("invalid network sysctl {text:?}: net.ipv4.conf.IFNAME.NAME=VALUE is wanted");
    let (name, value) = text.split_once('=').with_context(wrong)?;
    let parts: Vec<&str> = name.trim().split('.').collect();
    let is_plain =
        |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
    match parts[..] {
        ["net", family @ ("ipv4" | "ipv6" | "mpls"), table @ ("conf" | "neigh"), "IFNAME", setting]
            if is_plain(setting) =>
        {
            Ok((format!("{family}/{table}/IFNAME/{setting}"), value.to_owned()))
        }
        _ => bail!(wrong()),
    }
}

/// What is said of a network that has neither addresses to choose nor aliases.
pub(super) fn not_for(network: &str) -> String {
    format!("addresses and aliases are for networks that users made, and {network} is none")
}

/// Docker's sentence.
pub(super) const NOT_BOTH: &str =
    "conflicting options: cannot attach both user-defined and non-user-defined network-modes";

/// What is wanted of all networks of a new container, if that can be.
pub(super) fn all_settled(networks: &Networks, wanted: Vec<Membership>) -> Result<Vec<Membership>> {
    let mut settled: Vec<Membership> = Vec::new();
    for wanted in wanted {
        let Mode::Network(name) = Mode::of(&wanted.network) else { bail!(NOT_BOTH) };
        let next = self::settled(networks, &name, wanted)?;
        let is_there = settled.iter().any(|other| other.network == next.network);
        ensure!(!is_there, "network {:?} is specified multiple times", next.network);
        settled.push(next);
    }
    Ok(settled)
}

/// What is wanted of the network of a name or id, if that can be.
pub(super) fn settled(networks: &Networks, network: &str, wanted: Membership) -> Result<Membership> {
    let network = networks.get(network)?;
    ensure!(network.configuration.is_none(), "cannot create endpoint on configuration-only network");
    ensure!(!wanted.has_own() || !network.is_predefined(), not_for(&network.name));
    wanted.mac_address.as_deref().map(address::parse_hardware).transpose()?;
    wanted.link_local.iter().try_for_each(ensure_link_local)?;
    LinkOptions::of(&wanted.driver_opts)?;
    Ok(Membership { network: network.name, ..wanted })
}

/// As docker does (libnetwork's `createEndpoint`): any other address would bring a route to where the network is not.
fn ensure_link_local(address: &IpAddr) -> Result<()> {
    let is_link_local = match address {
        IpAddr::V4(address) => address.is_link_local(),
        IpAddr::V6(address) => address.is_unicast_link_local(),
    };
    ensure!(is_link_local, "invalid link-local IP address: {address} is neither of 169.254.0.0/16 nor of fe80::/10");
    Ok(())
}

impl Container<'_> {
    /// Puts it in one more network: at once if it runs, and at each start. What should be known is handed to `warn`.
    pub fn connect(&mut self, wanted: Membership, warn: impl Fn(&str)) -> Result<()> {
        let _alone = self.lock_for_change()?;
        let networks = self.engine.networks()?;
        let mut wanted = settled(&networks, &wanted.network, wanted.clone())?;
        links::settle(self.engine, &mut wanted)?;
        let (name, network) = (&self.record.name, &wanted.network);
        let mode = &self.record.host_config.network_mode;
        ensure!(
            is_attachable(&self.record),
            "container {name} can't be connected to network {network}: it has the network {mode}"
        );
        let is_there = self.record.networks.iter().any(|other| other.network == *network);
        ensure!(!is_there, "the container {name} is in the network {network} already");
        let state = self.state()?;
        let change = Change::Joins(network.clone());
        if state.status.is_up() {
            change.note(&self.running())?;
            let (_, warnings) = wanted.attach(self.engine, &self.record, namespace(state.pid)?.as_fd(), &[])?;
            warnings.iter().for_each(|text| warn(text));
        }
        self.record.networks.push(wanted);
        links::note(self.engine, &self.record)?;
        self.have_written(warn)
    }

    /// Takes it out of a network: at once if it runs, and for each start.
    pub fn disconnect(&mut self, network: &str, warn: impl Fn(&str)) -> Result<()> {
        let _alone = self.lock_for_change()?;
        let networks = self.engine.networks()?;
        // One that has been removed meanwhile is named by its name.
        let name = networks.get(network).map_or_else(|_| network.to_owned(), |found| found.name);
        let Some(place) = self.record.networks.iter().position(|one| one.network == name) else {
            networks.get(network)?;
            bail!("container {} is not connected to network {name}", self.id());
        };
        let state = self.state()?;
        if state.status.is_up() {
            Change::Leaves(name.clone()).note(&self.running())?;
            let namespace = namespace(state.pid)?;
            let id = self.id();
            self.engine.at_networks(|networks| networks.disconnect(id, &name, namespace.as_fd()))?;
        }
        self.record.networks.remove(place);
        self.have_written(warn)
    }

    /// Writes the record, and has it known.
    pub(super) fn have_written(&self, warn: impl Fn(&str)) -> Result<()> {
        self.write()?;
        self.have_known(warn)
    }

    /// A monitor reads the record, and looks whether names are to be answered now. That is all of a change. One that is ending hears
    /// nobody any more, and needs to know nothing.
    pub(super) fn have_known(&self, warn: impl Fn(&str)) -> Result<()> {
        if let Some(monitor) = Channel::connect(&self.running())? {
            monitor.reload(warn)?;
        }
        let note = note(&self.running());
        match fs::remove_file(&note) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                Err(error).attempt(|| format!("remove {note:?}"))
            }
            _ => Ok(()),
        }
    }
}

/// What is done to the networks of a container that runs.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum Change {
    Joins(String),
    Leaves(String),
}

impl Change {
    pub(super) fn note(&self, running: &Path) -> Result<()> {
        let path = note(running);
        fs::write(&path, serde_json::to_vec(self).context("write a note")?).attempt(|| format!("write {path:?}"))
    }
}

fn note(running: &Path) -> PathBuf {
    running.join("change-of-networks")
}

/// Whether the networks of a container are being changed, or were when somebody was killed.
pub(super) fn is_unsettled(running: &Path) -> bool {
    note(running).exists()
}

/// Takes a change that nobody is at any more back, or to its end.
pub(super) fn settle(engine: &Engine, id: &str) -> Result<()> {
    let Some(_alone) = locks::try_alone(&engine.directory(id)) else { return Ok(()) };
    let Ok(record) = engine.record(id) else { return Ok(()) };
    Container { engine, record }.settle_networks()
}

impl Container<'_> {
    /// The same, of one that is locked.
    pub(super) fn settle_networks(&mut self) -> Result<()> {
        let Ok(bytes) = fs::read(note(&self.running())) else { return Ok(()) };
        // Half a note is of one who was killed before he began.
        let change: Option<Change> = serde_json::from_slice(&bytes).ok();
        let state = self.state()?;
        let is_recorded = |network: &String| self.record.networks.iter().any(|one| one.network == *network);
        let left = match change.filter(|_| state.status.is_up()) {
            Some(Change::Leaves(network)) => Some(network),
            Some(Change::Joins(network)) => Some(network).filter(|network| !is_recorded(network)),
            None => None,
        };
        if let Some(network) = left {
            // Of one that ends at this moment all goes with its end, the note as well.
            let Ok(namespace) = namespace(state.pid) else { return Ok(()) };
            let id = self.id();
            self.engine.at_networks(|networks| networks.leave(id, &network, namespace.as_fd()))?;
            self.record.networks.retain(|one| one.network != network);
        }
        self.have_written(|_| ())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_of_a_link() {
        let of = |key: &str, value: &str| {
            let options = [(format!("com.docker.network.endpoint.{key}"), value.to_owned())].into();
            LinkOptions::of(&options).map(|all| (all.name.map(str::to_owned), all.settings))
        };
        assert_eq!(of("ifname", "lan0").unwrap(), (Some("lan0".into()), Vec::new()));
        let settings = [("ipv4/conf/IFNAME/log_martians", "1"), ("ipv6/conf/IFNAME/mtu", "1400")];
        let settings = settings.map(|(path, value)| (path.to_owned(), value.to_owned())).into();
        let text = "net.ipv4.conf.IFNAME.log_martians=1,net.ipv6.conf.IFNAME.mtu=1400";
        assert_eq!(of("sysctls", text).unwrap(), (None, settings));
        for (key, value) in [
            ("ifname", "a/b"),
            ("ifname", ".."),
            ("ifname", ""),
            ("sysctls", "net.ipv4.ip_forward=1"),
            ("sysctls", "net.ipv4.conf.all.forwarding=1"),
            ("sysctls", "net.ipv4.conf.IFNAME...=1"),
            ("sysctls", "net.ipv4.conf.IFNAME.x"),
            ("nonsense", "1"),
        ] {
            assert!(of(key, value).is_err(), "{key} {value}");
        }
    }
}
