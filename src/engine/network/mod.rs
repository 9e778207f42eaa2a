//! A container's network: which namespace it gets, and what [`crate::network`] does for it there ([`attached`] while it runs).

mod attached;
mod described;

use std::fs::{self, File};
use std::net::{IpAddr, UdpSocket};
use std::os::fd::AsFd;
use std::path::PathBuf;

use anyhow::{Context, Result, bail, ensure};

pub(super) use attached::Attached;
pub use described::described;

use super::pasta::{self, Pasta};
use super::record::{HostConfig, Record};
use super::rootless::network as users;
use super::{Container, Engine, links, membership};
use crate::error::Attempt;
use crate::network::endpoint::Endpoint;
use crate::network::files::{self, Hosts, Resolving};
use crate::network::names::Responder;
use crate::network::{Network, Networks, Published, Reserved, port};

/// What `--network` says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Mode {
    /// A loopback, and nothing else.
    None,
    /// The host's.
    Host,
    /// Another container's.
    Container(String),
    /// What pasta(1) makes of it, with options for that.
    Pasta(Vec<String>),
    /// A network by its name.
    Network(String),
}

impl Mode {
    /// Reads it; docker's `default` and nothing are the default network.
    pub fn of(text: &str) -> Mode {
        match text {
            "none" => Mode::None,
            "host" => Mode::Host,
            "" | "default" => Mode::Network("bridge".into()),
            text => match (text.strip_prefix("container:"), pasta::options(text)) {
                (Some(id), _) => Mode::Container(id.into()),
                (_, Some(options)) => Mode::Pasta(options),
                _ => Mode::Network(text.into()),
            },
        }
    }
}

impl Engine {
    /// The networks of the same store.
    pub fn networks(&self) -> Result<Networks> {
        // What is done to an ordinary user's is done by other processes, in another namespace: nothing of it is kept here.
        if self.user.is_some() {
            return Networks::of_user(self.store.root(), &self.run);
        }
        if let Some(networks) = self.networks.get() {
            return Ok(networks.clone());
        }
        let networks = Networks::open(self.store.root(), &self.run)?;
        Ok(self.networks.get_or_init(|| networks).clone())
    }

    /// The ports that a container in networks says that it has (`80/tcp`), and that are published nowhere; a running one's.
    pub fn only_exposed(&self, container: &Container<'_>) -> Result<Vec<String>> {
        let exposed = container.record.config.exposed_ports.keys();
        if exposed.len() == 0
            || !is_attachable(&container.record)
            || self.networks()?.endpoints_of(container.id())?.is_empty()
        {
            return Ok(Vec::new());
        }
        let published = self.published(container)?;
        Ok(exposed.filter(|port| published.iter().all(|(inside, _)| inside != *port)).cloned().collect())
    }

    /// The ports of a container (`80/tcp`), and what they are on the host.
    pub fn published(&self, container: &Container<'_>) -> Result<Vec<(String, String)>> {
        let mut ports = had(self, container)?;
        ports.sort_by_cached_key(|port| (port.container, port.protocol.to_string()));
        let host =
            |port: &Published| port.to_string().rsplit_once('/').map(|(at, _)| at.to_owned()).unwrap_or_default();
        Ok(ports.iter().map(|port| (format!("{}/{}", port.container, port.protocol), host(port))).collect())
    }
}

/// The ports of the host that a container has while it runs.
fn had(engine: &Engine, container: &Container<'_>) -> Result<Vec<Published>> {
    let mut ports = pasta::of(engine, container.id()).map(|pasta| pasta.ports).unwrap_or_default();
    if is_attachable(&container.record) {
        let endpoints = engine.networks()?.endpoints_of(container.id())?;
        ports.extend(endpoints.into_iter().flat_map(|endpoint| endpoint.ports));
    }
    Ok(ports)
}

/// Refuses ports of the host that somebody has; those of the one that is replaced are free when it is gone.
pub(super) fn ensure_free(engine: &Engine, record: &Record, replaced: &Container<'_>) -> Result<()> {
    let had = had(engine, replaced)?;
    let becomes_free = |port: &Published| {
        had.iter().any(|old| old.protocol == port.protocol && (port.host..=port.last).contains(&old.host))
    };
    let mut wanted = published(record)?;
    wanted.retain(|port| !becomes_free(port));
    let networks = engine.networks()?;
    match (Mode::of(&record.host_config.network_mode), record.networks.first()) {
        (Mode::Pasta(_), _) => networks.choose(&wanted).map(drop),
        (Mode::Network(_), Some(first)) if engine.user.is_some() => {
            networks.choose_in(&networks.get(&first.network)?, &wanted).map(drop)
        }
        (Mode::Network(_), Some(first)) => networks.reserve_in(&networks.get(&first.network)?, &wanted).map(drop),
        _ => Ok(()),
    }
}

/// Whether a container may be in networks.
pub(super) fn is_attachable(record: &Record) -> bool {
    matches!(Mode::of(&record.host_config.network_mode), Mode::None | Mode::Network(_))
}

/// Refuses what can't be, before anything is made; leaves the networks that the container is to be in, by their names.
pub(super) fn settle(engine: &Engine, record: &mut Record) -> Result<()> {
    let mut memberships = std::mem::take(&mut record.networks);
    if engine.user.is_some() && matches!(record.host_config.network_mode.as_str(), "" | "default") {
        record.host_config.network_mode = pasta::WORD.into();
        memberships.iter_mut().for_each(|one| one.network = pasta::WORD.into());
    }
    let host = &record.host_config;
    for mode in [&host.pid_mode, &host.ipc_mode] {
        if let Some(id) = mode.strip_prefix("container:") {
            engine.find(id)?;
        }
    }
    extra_hosts(host, None)?;
    servers(host)?;
    let published = published(record)?;
    match Mode::of(&host.network_mode) {
        Mode::Network(_) => {
            if engine.user.is_some() {
                pasta::check_ports(&published)?;
            }
            record.networks = membership::all_settled(&engine.networks()?, memberships)?;
            return record.networks.iter_mut().try_for_each(|membership| links::settle(engine, membership));
        }
        Mode::Container(id) => {
            ensure!(published.is_empty(), "conflicting options: port publishing and the container type network mode");
            ensure!(
                host.dns.is_empty() && host.extra_hosts.is_empty(),
                "conflicting options: dns, custom host-to-IP mapping and the container type network mode"
            );
            engine.find(&id)?;
        }
        Mode::Pasta(options) => pasta::check(&options, &published)?,
        Mode::None | Mode::Host => {}
    }
    ensure!(memberships.len() < 2, membership::NOT_BOTH);
    for membership in memberships {
        let kind = host.network_mode.split(':').next().unwrap_or_default();
        ensure!(membership.links.is_empty(), "links are only supported for user-defined networks");
        ensure!(
            membership.link_local.is_empty() && membership.driver_opts.is_empty() && membership.gw_priority == 0,
            "addresses, options and priorities of a link are for networks, and {kind} is none"
        );
        ensure!(!membership.has_own(), membership::not_for(&host.network_mode));
        ensure!(
            membership.mac_address.is_none(),
            "conflicting options: mac-address and the network mode {}",
            host.network_mode
        );
    }
    Ok(())
}

fn servers(host: &HostConfig) -> Result<Vec<IpAddr>> {
    let parse = |text: &String| {
        text.parse::<IpAddr>().ok().with_context(|| format!("invalid IP address of a name server: {text}"))
    };
    host.dns.iter().map(parse).collect()
}

/// The lines of `--add-host`; `host-gateway` is the host's address in the container's network.
fn extra_hosts(host: &HostConfig, gateway: Option<IpAddr>) -> Result<Vec<(String, IpAddr)>> {
    let read = |text: &String| -> Result<(String, IpAddr)> {
        let (name, address) = text.split_once(':').with_context(|| format!("bad format for add-host: {text:?}"))?;
        let address = match address.trim_matches(['[', ']']) {
            "host-gateway" => gateway.unwrap_or(IpAddr::from([127, 0, 0, 1])),
            address => address.parse().ok().with_context(|| format!("invalid IP address in add-host: {address:?}"))?,
        };
        Ok((name.to_owned(), address))
    };
    host.extra_hosts.iter().map(read).collect()
}

/// The ports to be published: those that are named, and under `--publish-all` every one that the image or the user exposes.
fn published(record: &Record) -> Result<Vec<Published>> {
    let host = &record.host_config;
    let mut all = Vec::new();
    for (inside, bindings) in &host.port_bindings {
        for binding in bindings {
            let address =
                if binding.host_ip.contains(':') { format!("[{}]", binding.host_ip) } else { binding.host_ip.clone() };
            let colon = if address.is_empty() { "" } else { ":" };
            all.extend(port::parse(&format!("{address}{colon}{}:{inside}", binding.host_port))?);
        }
    }
    if host.publish_all_ports {
        let others = record.config.exposed_ports.keys().filter(|port| !host.port_bindings.contains_key(*port));
        for port in others {
            all.extend(port::parse(port)?);
        }
    }
    Ok(all)
}

/// A file of a namespace of another container, which must run.
pub(super) fn namespace_of(engine: &Engine, id: &str, file: &str) -> Result<String> {
    let other = engine.find(id)?;
    let state = other.state()?;
    if !state.status.is_up() {
        bail!("cannot join {file} namespace of a non running container: {id}");
    }
    if file == "net" {
        let note = joined(engine, other.id());
        File::create(&note).attempt(|| format!("make {note:?}"))?;
    }
    Ok(format!("/proc/{}/ns/{file}", state.pid))
}

/// Whose files and name a container has: its own, or those of the one whose network it joins.
pub(super) fn owner_of_files(engine: &Engine, record: &Record) -> PathBuf {
    let own = engine.directory(&record.id);
    match Mode::of(&record.host_config.network_mode) {
        // Once it runs, the other one may be gone.
        Mode::Container(id) => engine.find(&id).map_or(own, |other| other.directory()),
        _ => own,
    }
}

/// Does what is needed in a new namespace, before anything of the container runs, and writes the files that depend on it.
pub(super) fn attach(engine: &Engine, record: &Record, hostname: &str, pid: i32) -> Result<Attached> {
    let mut attached = Attached::default();
    if let Mode::Pasta(options) = Mode::of(&record.host_config.network_mode) {
        attached.pasta = Some(carried(engine, record, hostname, pid, &options)?);
        return Ok(attached);
    }
    let mode = record.host_config.network_mode.as_str();
    if matches!(Mode::of(mode), Mode::None | Mode::Host) && !published(record)?.is_empty() {
        attached.warnings.push(format!("published ports are discarded in the network mode {mode}"));
    }
    if !is_attachable(record) || record.networks.is_empty() {
        return Ok(attached);
    }
    let networks = engine.networks()?;
    let namespace = namespace(pid)?;
    let mut ports = published(record)?;
    let mut places = Vec::new();
    for membership in &record.networks {
        let network = networks.get(&membership.network)?;
        let wanted = std::mem::take(&mut ports);
        let reserved = match &engine.user {
            // Pasta binds them.
            Some(_) => Reserved { ports: networks.choose_in(&network, &wanted)?, sockets: Vec::new() },
            None => networks.reserve_in(&network, &wanted)?,
        };
        let (endpoint, warnings) = membership.attach(engine, record, namespace.as_fd(), &reserved.ports)?;
        attached.ports.extend(reserved.sockets);
        attached.warnings.extend(warnings);
        if endpoint.tap.is_some() {
            attached.pasta = Some(pasta::lead_in(engine, &endpoint)?);
            attached.warnings.extend(pasta::unreached(&endpoint));
        }
        places.push((network, endpoint));
    }
    attached.edge = users::edge(engine);
    if places.iter().any(|(network, _)| network.has_names()) {
        let servers = servers(&record.host_config)?;
        attached.names = Some(Responder::open(&networks, &record.id, namespace.as_fd(), &servers)?);
    }
    write_files(engine, record, hostname, &places)?;
    attached.warnings.extend(links::tell(engine, record));
    Ok(attached)
}

/// Has pasta carry what a container sends and is sent.
fn carried(engine: &Engine, record: &Record, hostname: &str, pid: i32, options: &[String]) -> Result<Pasta> {
    // Bound for a moment: what is taken already is said as for any network, and what was left open is chosen.
    let ports = engine.networks()?.choose(&published(record)?)?;
    let forwards = record.host_config.dns.is_empty() && files::is_own_resolver(&files::host_resolv_conf());
    let pasta = pasta::start(engine, &record.id, pid, options, ports, forwards)?;
    let addresses = pasta::addresses(pid);
    write_files_with(engine, record, hostname, &Written { addresses: &addresses, forwards, ..Written::default() })?;
    Ok(pasta)
}

/// The network namespace of a process.
pub(super) fn namespace(pid: i32) -> Result<File> {
    let path = format!("/proc/{pid}/ns/net");
    File::open(&path).attempt(|| format!("open {path:?}"))
}

/// A container that runs was connected to a network, or disconnected: names may have to be answered now.
pub(super) fn look_again(engine: &Engine, record: &Record, pid: i32, attached: &mut Attached) -> Result<()> {
    if pid == 0 || !is_attachable(record) {
        return Ok(());
    }
    let networks = engine.networks()?;
    let places = places(&networks, record)?;
    if attached.names.is_none() && places.iter().any(|(network, _)| network.has_names()) {
        let servers = servers(&record.host_config)?;
        attached.names = Some(Responder::open(&networks, &record.id, namespace(pid)?.as_fd(), &servers)?);
    }
    if attached.edge.is_none() && attached.edge_pause.until().is_none() {
        attached.edge = users::edge(engine);
    }
    let endpoints: Vec<Endpoint> = places.iter().map(|(_, endpoint)| endpoint.clone()).collect();
    if attached.pasta.as_ref().is_some_and(|pasta| pasta.is_useless(&endpoints)) {
        attached.pasta = None;
        pasta::end(engine, &record.id)?;
    }
    write_files(engine, record, &hostname(engine, record)?, &places)
}

/// Where a container is.
fn places(networks: &Networks, record: &Record) -> Result<Vec<(Network, Endpoint)>> {
    let all = networks.list()?;
    let place =
        |endpoint: Endpoint| Some((all.iter().find(|network| network.id == endpoint.network)?.clone(), endpoint));
    Ok(networks.endpoints_of(&record.id)?.into_iter().filter_map(place).collect())
}

/// Another container's address, which stands in the files of this one, is a new one.
pub(super) fn write_again(engine: &Engine, id: &str) -> Result<()> {
    let _alone = links::lock(engine, &engine.record(id)?)?;
    // It may have been changed meanwhile.
    let record = engine.record(id)?;
    let places = places(&engine.networks()?, &record)?;
    // One that doesn't run is nowhere, and has its files written when it starts.
    if places.is_empty() { Ok(()) } else { write_now(engine, &record, &hostname(engine, &record)?, &places) }
}

/// The name that a container has for itself since its start.
fn hostname(engine: &Engine, record: &Record) -> Result<String> {
    let path = engine.directory(&record.id).join("hostname");
    let text = fs::read_to_string(&path).attempt(|| format!("read {path:?}"))?;
    Ok(text.trim_end().to_owned())
}

/// The file that says that others are in a container's network namespace, which may outlive it then.
fn joined(engine: &Engine, id: &str) -> PathBuf {
    engine.running(id).join("joined")
}

/// Gives back what a container had that has ended. The link is left to the kernel, which removes it with the namespace.
pub(super) fn release(engine: &Engine, record: &Record) -> Result<()> {
    pasta::end(engine, &record.id)?;
    if !is_attachable(record) {
        return Ok(());
    }
    let (id, is_joined) = (&record.id, joined(engine, &record.id).exists());
    let give_back = move |networks: &Networks| if is_joined { networks.detach(id, None) } else { networks.release(id) };
    if engine.user.is_some() && !engine.networks()?.has_records(id)? {
        return Ok(());
    }
    engine.at_networks(give_back)
}

/// Writes the files that are mounted on some of `/etc`, in place: what is mounted in a container is the file itself.
pub(super) fn write_files(
    engine: &Engine,
    record: &Record,
    hostname: &str,
    places: &[(Network, Endpoint)],
) -> Result<()> {
    let _alone = links::lock(engine, record)?;
    write_now(engine, record, hostname, places)
}

fn write_now(engine: &Engine, record: &Record, hostname: &str, places: &[(Network, Endpoint)]) -> Result<()> {
    let addresses: Vec<IpAddr> =
        places.iter().flat_map(|(_, place)| &place.addresses).map(ipnet::IpNet::addr).collect();
    let of_network = || places.first().and_then(|(network, _)| network.pools.first()).map(|pool| pool.gateway);
    // A user's network ends before the machine, which is reached by its own address.
    let gateway = if engine.user.is_some() { address_outside() } else { of_network() };
    let has_names = places.iter().any(|(network, _)| network.has_names());
    let leads_outside = places.iter().any(|(network, _)| !network.internal);
    let forwards = engine.user.is_some()
        && !has_names
        && leads_outside
        && record.host_config.dns.is_empty()
        && files::is_own_resolver(&files::host_resolv_conf());
    write_files_with(engine, record, hostname, &Written { addresses: &addresses, gateway, has_names, forwards })
}

/// The address by which the machine reaches what is outside: that which a socket has that is connected there. Nothing is sent.
fn address_outside() -> Option<IpAddr> {
    // Of the addresses that are for documentation (RFC 5737, RFC 3849), the discard port.
    let of = |own: &str, other: &str| -> std::io::Result<IpAddr> {
        let socket = UdpSocket::bind((own, 0))?;
        socket.connect((other, 9))?;
        Ok(socket.local_addr()?.ip())
    };
    of("0.0.0.0", "192.0.2.1").or_else(|_| of("::", "2001:db8::1")).ok()
}

/// What the files depend on beside the record.
#[derive(Debug, Default)]
struct Written<'a> {
    addresses: &'a [IpAddr],
    /// The host's address, as the container reaches it.
    gateway: Option<IpAddr>,
    /// Whether names are answered at an address of the container's own.
    has_names: bool,
    /// Whether pasta hands questions for names on.
    forwards: bool,
}

fn write_files_with(engine: &Engine, record: &Record, hostname: &str, with: &Written<'_>) -> Result<()> {
    let host = &record.host_config;
    let mode = Mode::of(&host.network_mode);
    if matches!(mode, Mode::Container(_)) {
        return Ok(());
    }
    let addresses = with.addresses;
    let ipv6 = mode != Mode::Host && addresses.iter().any(IpAddr::is_ipv6) || mode == Mode::None;
    let mut extra = extra_hosts(host, with.gateway)?;
    extra.extend(links::hosts(engine, record)?);
    let of_host = || fs::read_to_string("/etc/hosts").unwrap_or_default();
    let hosts = match mode {
        Mode::Host => {
            let lines = extra.iter().map(|(name, address)| format!("{address}\t{name}\n"));
            of_host() + &lines.collect::<String>()
        }
        _ => files::hosts(&Hosts {
            hostname: if addresses.is_empty() { "" } else { hostname },
            domain: &record.config.domainname,
            addresses,
            extra: &extra,
            ipv6,
        }),
    };
    let asks_for_own = !(host.dns.is_empty() && host.dns_search.is_empty() && host.dns_options.is_empty());
    let resolv_conf = if mode == Mode::Host && !asks_for_own {
        fs::read_to_string("/etc/resolv.conf").unwrap_or_default()
    } else {
        files::resolv_conf(&Resolving {
            host: &files::host_resolv_conf(),
            servers: &if with.forwards { vec![pasta::RESOLVER.into()] } else { servers(host)? },
            search: &host.dns_search,
            options: &host.dns_options,
            has_names: with.has_names,
            ipv6,
        })
    };
    let directory = engine.directory(&record.id);
    for (name, content) in [("hostname", format!("{hostname}\n")), ("hosts", hosts), ("resolv.conf", resolv_conf)] {
        let path = directory.join(name);
        fs::write(&path, content).attempt(|| format!("write {path:?}"))?;
    }
    Ok(())
}
