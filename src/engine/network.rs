//! A container's network: which namespace it gets, and what [`crate::network`] does for it there.

use std::fs::{self, File};
use std::net::IpAddr;
use std::os::fd::{AsFd, OwnedFd};
use std::path::PathBuf;
use std::time::Instant;

use anyhow::{Context, Result, bail, ensure};
use rustix::event::{PollFd, PollFlags};
use rustix::process::Pid;
use serde_json::{Value, json};

use super::pasta::{self, Pasta};
use super::record::{HostConfig, Membership, Record};
use super::state::State;
use super::{Container, Engine, membership};
use crate::error::Attempt;
use crate::network::endpoint::Endpoint;
use crate::network::files::{self, Hosts, Resolving};
use crate::network::names::Responder;
use crate::network::{Network, Networks, Published, port};

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
        if let Some(networks) = self.networks.get() {
            return Ok(networks.clone());
        }
        let networks = Networks::open(self.store.root(), &self.run)?;
        Ok(self.networks.get_or_init(|| networks).clone())
    }

    /// The ports of a container (`80/tcp`), and what they are on the host.
    pub fn published(&self, container: &Container<'_>) -> Result<Vec<(String, String)>> {
        let mut ports = pasta::of(self, container.id()).map(|pasta| pasta.ports).unwrap_or_default();
        if is_attachable(&container.record) {
            let endpoints = self.networks()?.endpoints_of(container.id())?;
            ports.extend(endpoints.into_iter().flat_map(|endpoint| endpoint.ports));
        }
        let host =
            |port: &Published| port.to_string().rsplit_once('/').map(|(at, _)| at.to_owned()).unwrap_or_default();
        Ok(ports.iter().map(|port| (format!("{}/{}", port.container, port.protocol), host(port))).collect())
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
        Mode::Network(name) => {
            ensure_bridges(engine, &name)?;
            record.networks = membership::all_settled(&engine.networks()?, memberships)?;
            return Ok(());
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
        ensure!(!membership.has_own(), membership::not_for(&host.network_mode));
        ensure!(
            membership.mac_address.is_none(),
            "conflicting options: mac-address and the network mode {}",
            host.network_mode
        );
    }
    Ok(())
}

/// Refuses what needs links of the machine.
pub(super) fn ensure_bridges(engine: &Engine, network: &str) -> Result<()> {
    ensure!(
        engine.user.is_none(),
        "the network {network} is not for an ordinary user, who may not make links of the machine: there are pasta, host, none and \
         container:NAME"
    );
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

/// What a container has of the network while it runs.
#[derive(Debug, Default)]
pub(super) struct Attached {
    /// Bound, so that nobody else takes the host's ports.
    #[allow(dead_code, reason = "open is what they are to be")]
    ports: Vec<OwnedFd>,
    names: Option<Responder>,
    pasta: Option<Pasta>,
    /// What should be known.
    pub(super) warnings: Vec<String>,
}

impl Attached {
    /// Adds what is waited for.
    pub(super) fn wants<'a>(&'a self, to: &mut Vec<PollFd<'a>>) {
        if let Some(names) = &self.names {
            to.extend(
                names.descriptors().into_iter().map(|(descriptor, flags)| PollFd::from_borrowed_fd(descriptor, flags)),
            );
        }
    }

    /// When it is to be called though nothing came.
    pub(super) fn next_deadline(&self) -> Option<Instant> {
        self.names.as_ref().and_then(Responder::deadline)
    }

    /// A child of the monitor's has ended: without pasta, which somebody killed then, the container would be cut off.
    pub(super) fn reaped(&mut self, engine: &Engine, id: &str, pid: Pid) -> Result<()> {
        match self.pasta.as_mut().filter(|pasta| pasta.is(pid)) {
            Some(pasta) => pasta.again(engine, id),
            None => Ok(()),
        }
    }

    /// Answers who asked for names.
    pub(super) fn serve(&mut self, ready: &[PollFlags]) {
        let is_due = self.next_deadline().is_some_and(|at| at <= Instant::now());
        if let Some(names) = &mut self.names
            && (is_due || ready.iter().any(|ready| !ready.is_empty()))
        {
            names.serve_ready();
        }
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
        let reserved = networks.reserve_in(&network, &std::mem::take(&mut ports))?;
        let (endpoint, warnings) = membership.attach(&networks, record, namespace.as_fd(), &reserved.ports)?;
        attached.ports.extend(reserved.sockets);
        attached.warnings.extend(warnings);
        places.push((network, endpoint));
    }
    if places.iter().any(|(network, _)| network.has_names()) {
        let servers = servers(&record.host_config)?;
        attached.names = Some(Responder::open(&networks, &record.id, namespace.as_fd(), &servers)?);
    }
    write_files(engine, record, hostname, &places)?;
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
    let all = networks.list()?;
    let endpoints = networks.endpoints_of(&record.id)?.into_iter();
    let places: Vec<(Network, Endpoint)> = endpoints
        .filter_map(|endpoint| Some((all.iter().find(|network| network.id == endpoint.network)?.clone(), endpoint)))
        .collect();
    if attached.names.is_none() && places.iter().any(|(network, _)| network.has_names()) {
        let servers = servers(&record.host_config)?;
        attached.names = Some(Responder::open(&networks, &record.id, namespace(pid)?.as_fd(), &servers)?);
    }
    let path = engine.directory(&record.id).join("hostname");
    let hostname = fs::read_to_string(&path).attempt(|| format!("read {path:?}"))?;
    write_files(engine, record, hostname.trim_end(), &places)
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
    let networks = engine.networks()?;
    if joined(engine, &record.id).exists() { networks.detach(&record.id, None) } else { networks.release(&record.id) }
}

/// Writes the files that are mounted on some of `/etc`, in place: what is mounted in a container is the file itself.
pub(super) fn write_files(
    engine: &Engine,
    record: &Record,
    hostname: &str,
    places: &[(Network, Endpoint)],
) -> Result<()> {
    let addresses: Vec<IpAddr> =
        places.iter().flat_map(|(_, place)| &place.addresses).map(ipnet::IpNet::addr).collect();
    let gateway = places.first().and_then(|(network, _)| network.pools.first()).map(|pool| pool.gateway);
    let has_names = places.iter().any(|(network, _)| network.has_names());
    write_files_with(engine, record, hostname, &Written { addresses: &addresses, gateway, has_names, forwards: false })
}

/// What the files depend on beside the record.
#[derive(Debug, Default)]
struct Written<'a> {
    addresses: &'a [IpAddr],
    /// The host's address in the first network.
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
    let extra = extra_hosts(host, with.gateway)?;
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

/// What `inspect` shows of it.
pub fn described(container: &Container<'_>, state: &State) -> Result<Value> {
    let mut ports = serde_json::Map::new();
    for (port, host) in container.engine.published(container)? {
        if let Some((address, number)) = host.rsplit_once(':') {
            let binding = json!({"HostIp": address.trim_matches(['[', ']']), "HostPort": number});
            let bindings = ports.entry(port).or_insert(json!([]));
            bindings.as_array_mut().into_iter().for_each(|bindings| bindings.push(binding.clone()));
        }
    }
    let networks = container.engine.networks()?;
    let endpoints = if is_attachable(&container.record) { networks.endpoints_of(container.id())? } else { Vec::new() };
    let all = networks.list()?;
    let mut described = serde_json::Map::new();
    // Where it doesn't run it has no addresses, but is in its networks.
    for membership in &container.record.networks {
        if let Some(network) = all.iter().find(|network| network.name == membership.network) {
            described.insert(network.name.clone(), unattached(network, membership));
        }
    }
    for endpoint in &endpoints {
        if let Some(network) = all.iter().find(|network| network.id == endpoint.network) {
            described.insert(network.name.clone(), of_endpoint(network, endpoint));
        }
    }
    let first = described.values().next().cloned().unwrap_or_default();
    let field = |name: &str| first.get(name).cloned().unwrap_or_else(|| "".into());
    let key = if state.status.is_up() { format!("/proc/{}/ns/net", state.pid) } else { String::new() };
    let number = |name: &str| first.get(name).cloned().unwrap_or_else(|| 0.into());
    Ok(json!({
        "Bridge": "", "SandboxID": "", "SandboxKey": key, "HairpinMode": false, "Ports": ports, "Networks": described,
        "EndpointID": field("EndpointID"), "IPAddress": field("IPAddress"), "IPPrefixLen": number("IPPrefixLen"),
        "Gateway": field("Gateway"), "GlobalIPv6Address": field("GlobalIPv6Address"),
        "GlobalIPv6PrefixLen": number("GlobalIPv6PrefixLen"), "IPv6Gateway": field("IPv6Gateway"),
        "MacAddress": field("MacAddress"), "LinkLocalIPv6Address": "", "LinkLocalIPv6PrefixLen": 0,
        "SecondaryIPAddresses": null, "SecondaryIPv6Addresses": null,
    }))
}

fn unattached(network: &Network, membership: &Membership) -> Value {
    json!({
        "NetworkID": network.id, "EndpointID": "", "MacAddress": membership.mac_address.as_deref().unwrap_or_default(),
        "Aliases": membership.aliases, "Gateway": "", "IPAddress": "", "IPPrefixLen": 0, "IPv6Gateway": "",
        "GlobalIPv6Address": "", "GlobalIPv6PrefixLen": 0, "DNSNames": [], "IPAMConfig": null, "Links": null, "DriverOpts": null,
    })
}

fn of_endpoint(network: &Network, endpoint: &Endpoint) -> Value {
    let of_family = |v6: bool| endpoint.addresses.iter().find(|address| address.addr().is_ipv6() == v6);
    let gateway =
        |v6: bool| network.pools.iter().find(|pool| pool.gateway.is_ipv6() == v6).map(|pool| pool.gateway.to_string());
    let address = |v6: bool| of_family(v6).map(|address| address.addr().to_string()).unwrap_or_default();
    let length = |v6: bool| of_family(v6).map_or(0, ipnet::IpNet::prefix_len);
    json!({
        "NetworkID": network.id, "EndpointID": endpoint.id(), "MacAddress": endpoint.mac, "Aliases": endpoint.aliases,
        "Gateway": gateway(false).unwrap_or_default(), "IPAddress": address(false), "IPPrefixLen": length(false),
        "IPv6Gateway": gateway(true).unwrap_or_default(), "GlobalIPv6Address": address(true),
        "GlobalIPv6PrefixLen": length(true), "DNSNames": endpoint.names(), "IPAMConfig": null,
        "Links": null, "DriverOpts": null,
    })
}
