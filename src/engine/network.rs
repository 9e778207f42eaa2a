//! A container's network: which namespace it gets, and what is done for it there.

use anyhow::{Context, Result, bail};
use rustix::event::{PollFd, PollFlags};
use serde_json::{Value, json};

use super::record::Record;
use super::state::State;
use super::{Container, Engine};

/// What `--network` says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Mode {
    /// A loopback, and nothing else.
    None,
    /// The host's.
    Host,
    /// Another container's.
    Container(String),
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
            text => match text.strip_prefix("container:") {
                Some(id) => Mode::Container(id.into()),
                None => Mode::Network(text.into()),
            },
        }
    }
}

/// Refuses what can't be, before anything is made.
pub(super) fn check(engine: &Engine, record: &Record) -> Result<()> {
    let mode = Mode::of(&record.host_config.network_mode);
    let host = &record.host_config;
    if !matches!(mode, Mode::Network(_)) {
        if host.address.is_some() || host.address6.is_some() || !host.network_aliases.is_empty() {
            bail!("invalid config for network {}: addresses and aliases are for networks made by a user", host.network_mode);
        }
        if !matches!(mode, Mode::None) && host.mac_address.is_some() {
            bail!("conflicting options: mac-address and the network mode");
        }
    }
    if let Mode::Container(id) = mode {
        if !host.port_bindings.is_empty() || host.publish_all_ports {
            bail!("conflicting options: port publishing and the container type network mode");
        }
        if !host.dns.is_empty() || !host.extra_hosts.is_empty() {
            bail!("conflicting options: dns, custom host-to-IP mapping and the container type network mode");
        }
        engine.find(&id)?;
    } else if let Mode::Network(name) = mode {
        bail!("network {name} not found: use none, host or container:ID");
    }
    Ok(())
}

/// A file of a namespace of another container, which must run.
pub(super) fn namespace_of(engine: &Engine, id: &str, file: &str) -> Result<String> {
    let other = engine.find(id)?;
    let state = other.state()?;
    if !state.status.is_up() {
        bail!("cannot join {file} namespace of a non running container: {id}");
    }
    Ok(format!("/proc/{}/ns/{file}", state.pid))
}

/// What a container has of the network while it runs.
#[derive(Debug, Default)]
pub(super) struct Attached {}

impl Attached {
    /// Adds what is waited for.
    #[expect(clippy::unused_self, reason = "there are no names to answer for yet")]
    pub(super) fn wants<'a>(&'a self, _to: &mut Vec<PollFd<'a>>) {}

    /// Answers.
    #[expect(clippy::unused_self, reason = "there are no names to answer for yet")]
    pub(super) fn serve(&mut self, _ready: &[PollFlags]) {}
}

/// Does what is needed in a new namespace, before anything of the container runs.
pub(super) fn attach(_engine: &Engine, _record: &Record, _pid: i32) -> Result<Attached> {
    Ok(Attached::default())
}

/// Gives back what a container had.
pub(super) fn release(_engine: &Engine, _record: &Record) -> Result<()> {
    Ok(())
}

/// The content of the container's `/etc/hosts`.
pub(super) fn hosts(_engine: &Engine, record: &Record) -> Result<String> {
    let mut text = String::from(
        "127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\nfe00::\tip6-localnet\nff00::\tip6-mcastprefix\n\
         ff02::1\tip6-allnodes\nff02::2\tip6-allrouters\n",
    );
    for extra in &record.host_config.extra_hosts {
        let (name, address) = extra.split_once(':').with_context(|| format!("bad format for add-host: {extra:?}"))?;
        text += &format!("{address}\t{name}\n");
    }
    Ok(text)
}

/// The content of the container's `/etc/resolv.conf`.
pub(super) fn resolv_conf(_engine: &Engine, _record: &Record) -> Result<String> {
    Ok(std::fs::read_to_string("/etc/resolv.conf").unwrap_or_default())
}

impl Engine {
    /// The ports of a container, and what they are on the host.
    #[expect(clippy::unnecessary_wraps, reason = "networks will be asked")]
    pub fn published(&self, _container: &Container<'_>) -> Result<Vec<(String, String)>> {
        Ok(Vec::new())
    }
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
    let key = if state.status.is_up() { format!("/proc/{}/ns/net", state.pid) } else { String::new() };
    Ok(json!({"SandboxKey": key, "Ports": ports, "Networks": {}}))
}
