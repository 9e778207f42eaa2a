//! `--link` in the default network, where names are answered by nobody: lines of `/etc/hosts`, and the variables that docker sets. In a
//! network that a user made a link is one more name, which this container alone can ask for ([`crate::network::names`]).
//!
//! Whoever is linked to has a directory `linked/` with an empty file for each container that wants to know its address.

use std::fs::{self, File};
use std::io::ErrorKind;
use std::net::IpAddr;

use anyhow::{Context, Result, ensure};
use ipnet::IpNet;
use rustix::fs::FlockOperation;

use super::locks::{self, Lock};
use super::network::{Mode, write_again};
use super::record::{Membership, Record};
use super::{Container, Engine, make_directory};
use crate::error::{Attempt, sentence};
use crate::network::endpoint::Link;

/// `NAME[:ALIAS]`.
pub fn parse(text: &str) -> Result<Link> {
    let (name, alias) = text.split_once(':').unwrap_or((text, text));
    ensure!(!text.is_empty(), "empty string specified for links");
    ensure!(!name.is_empty() && !alias.is_empty() && !alias.contains(':'), "bad format for links: {text}");
    Ok(Link { name: name.trim_start_matches('/').into(), alias: alias.into() })
}

/// Whether a network's links are lines in a file.
fn is_default(membership: &Membership) -> bool {
    Mode::of(&membership.network) == Mode::of("")
}

/// Held by who writes the files of a container that has links: its own monitor, or that of one whom it is linked to. What they are to say is
/// looked up after this, so that the last one has seen what all before him had to tell. The files themselves are no locks, for the container
/// could hold them. None for a container that never had links, of which only its own monitor writes.
pub(super) fn lock(engine: &Engine, record: &Record) -> Result<Option<Lock>> {
    let path = engine.directory(&record.id).join("hosts.lock");
    let has_links = record.networks.iter().any(|membership| is_default(membership) && !membership.links.is_empty());
    match File::options().create(has_links).append(true).open(&path) {
        Err(error) if error.kind() == ErrorKind::NotFound && !has_links => return Ok(None),
        made => drop(made.attempt(|| format!("make {path:?}"))?),
    }
    locks::wait(&path, FlockOperation::LockExclusive).map(Some)
}

/// Names containers by their ids, for a name may be another's by the next start.
pub(super) fn settle(engine: &Engine, membership: &mut Membership) -> Result<()> {
    if !is_default(membership) {
        return Ok(());
    }
    for link in &mut membership.links {
        let other = engine.find(&link.name).with_context(|| format!("could not get container for {}", link.name))?;
        let mode = &other.record.host_config.network_mode;
        ensure!(
            Mode::of(mode) != Mode::Host,
            "conflicting options: host type networking can't be used with links. This would result in undefined behavior"
        );
        link.name = other.record.id;
    }
    Ok(())
}

/// The links of a container in the default network, and whom they lead to. One that is gone is no link any more.
fn all<'e>(engine: &'e Engine, record: &Record) -> Vec<(String, Container<'e>)> {
    let links = record.networks.iter().filter(|membership| is_default(membership)).flat_map(|one| &one.links);
    let found = links.map(|link| Some((link.alias.clone(), engine.find(&link.name).ok()?)));
    found.flatten().collect()
}

/// As docker's `inspect` shows them: `/other:/own/alias`.
pub fn described(engine: &Engine, record: &Record) -> Vec<String> {
    let line = |(alias, other): (String, Container<'_>)| format!("/{}:/{}/{alias}", other.record.name, record.name);
    all(engine, record).into_iter().map(line).collect()
}

/// Has those that are linked to know who wants their addresses.
pub(super) fn note(engine: &Engine, record: &Record) -> Result<()> {
    for (_, other) in all(engine, record) {
        let directory = other.directory().join("linked");
        make_directory(&directory)?;
        let path = directory.join(&record.id);
        File::create(&path).attempt(|| format!("make {path:?}"))?;
    }
    Ok(())
}

/// Refuses to start before those that are linked to.
pub(super) fn ensure_running(engine: &Engine, record: &Record) -> Result<()> {
    for (alias, other) in all(engine, record) {
        ensure!(
            other.state()?.status.is_up(),
            "Cannot link to a non running container: /{} AS /{}/{alias}",
            other.record.name,
            record.name
        );
    }
    Ok(())
}

/// Those that run, with the address of each.
fn reached<'e>(engine: &'e Engine, record: &Record) -> Result<Vec<(String, Container<'e>, IpAddr)>> {
    let links = all(engine, record);
    if links.is_empty() {
        return Ok(Vec::new());
    }
    let networks = engine.networks()?;
    let network = networks.get("bridge")?;
    let mut reached = Vec::new();
    for (alias, other) in links {
        let endpoints = networks.endpoints_of(other.id())?;
        let place = endpoints.iter().find(|endpoint| endpoint.network == network.id);
        if let Some(address) = place.and_then(|place| place.addresses.first()).map(IpNet::addr) {
            reached.push((alias, other, address));
        }
    }
    Ok(reached)
}

/// Lines of `/etc/hosts`: by its alias, the name that it has for itself, and its name.
pub(super) fn hosts(engine: &Engine, record: &Record) -> Result<Vec<(String, IpAddr)>> {
    let line = |(alias, other, address): (String, Container<'_>, IpAddr)| {
        let Record { name, config, .. } = &other.record;
        let hostname = if config.hostname.is_empty() { other.record.short() } else { &config.hostname };
        let name = if *name == alias { String::new() } else { format!(" {name}") };
        (format!("{alias} {hostname}{name}"), address)
    };
    Ok(reached(engine, record)?.into_iter().map(line).collect())
}

/// The variables that docker sets.
pub(super) fn variables(engine: &Engine, record: &Record) -> Result<Vec<String>> {
    let mut all = Vec::new();
    for (alias, other, address) in reached(engine, record)? {
        let config = &other.record.config;
        let ports: Vec<&str> = config.exposed_ports.keys().map(String::as_str).collect();
        let full = format!("/{}/{alias}", record.name);
        all.extend(variables_of(&alias, &full, address, &ports, &config.env));
    }
    Ok(all)
}

fn variables_of(alias: &str, full: &str, address: IpAddr, ports: &[&str], env: &[String]) -> Vec<String> {
    let prefix = alias.to_uppercase().replace('-', "_");
    let ports = sorted(ports);
    let mut all = Vec::new();
    // The lowest number, of whatever protocol.
    if let Some((number, protocol)) = ports.iter().min_by_key(|(number, protocol)| (*number, *protocol != "tcp")) {
        all.push(format!("{prefix}_PORT={protocol}://{address}:{number}"));
    }
    for range in
        ports.chunk_by(|(number, protocol), (next, other)| number.checked_add(1) == Some(*next) && protocol == other)
    {
        let [(first, protocol), _, .., (last, _)] = range else { continue };
        let port = format!("{prefix}_PORT_{first}_{}", protocol.to_uppercase());
        all.push(format!("{port}_START={protocol}://{address}:{first}"));
        all.push(format!("{port}_ADDR={address}"));
        all.push(format!("{port}_PROTO={protocol}"));
        all.push(format!("{port}_PORT_START={first}"));
        all.push(format!("{port}_END={protocol}://{address}:{last}"));
        all.push(format!("{port}_PORT_END={last}"));
    }
    for (number, protocol) in &ports {
        let port = format!("{prefix}_PORT_{number}_{}", protocol.to_uppercase());
        all.push(format!("{port}={protocol}://{address}:{number}"));
        all.push(format!("{port}_ADDR={address}"));
        all.push(format!("{port}_PORT={number}"));
        all.push(format!("{port}_PROTO={protocol}"));
    }
    all.push(format!("{prefix}_NAME={full}"));
    let is_of_build = |variable: &&String| variable.starts_with("HOME=") || variable.starts_with("PATH=");
    all.extend(env.iter().filter(|variable| !is_of_build(variable)).map(|variable| format!("{prefix}_ENV_{variable}")));
    all
}

/// Numbers and protocols of `80/tcp`; those of TCP come first.
fn sorted<'p>(ports: &[&'p str]) -> Vec<(u16, &'p str)> {
    let read = |port: &&'p str| {
        let (number, protocol) = port.split_once('/').unwrap_or((port, "tcp"));
        Some((number.parse().ok()?, protocol))
    };
    let mut all: Vec<(u16, &str)> = ports.iter().filter_map(read).collect();
    all.sort_by_key(|(number, protocol)| (*protocol != "tcp", *protocol, *number));
    all
}

/// Has those that run and are linked to a container know its new address. Says of whom this can't be told, which is no reason not to
/// start: it may be on its way out.
pub(super) fn tell(engine: &Engine, record: &Record) -> Vec<String> {
    let mut warnings = Vec::new();
    for entry in fs::read_dir(engine.directory(&record.id).join("linked")).into_iter().flatten().flatten() {
        let id = entry.file_name().to_string_lossy().into_owned();
        match engine.record(&id) {
            Ok(other) => warnings.extend(write_again(engine, &id).err().map(|error| {
                format!("the new address is not known to the container {}: {}", other.name, sentence(&error))
            })),
            // It is gone, and its id is nobody else's. One that is being made has a directory, and will have a record.
            Err(_) if !engine.directory(&id).exists() => drop(fs::remove_file(entry.path())),
            Err(_) => {}
        }
    }
    warnings
}

impl Engine {
    /// `rm --link /OWN/ALIAS`.
    pub fn unlink(&self, path: &str, warn: impl Fn(&str)) -> Result<()> {
        let (own, alias) = path.trim_start_matches('/').split_once('/').with_context(|| {
            format!("Conflict, cannot remove the default link name of the container {path}: it is /CONTAINER/ALIAS")
        })?;
        let mut container = self.find(own).with_context(|| format!("Cannot get parent /{own} for link name {path}"))?;
        let _alone = container.lock_for_change()?;
        let links = container.record.networks.iter_mut().filter(|membership| is_default(membership));
        let mut found = false;
        for membership in links {
            let before = membership.links.len();
            membership.links.retain(|link| link.alias != alias);
            found |= membership.links.len() < before;
        }
        ensure!(found, "no such link: {path}");
        container.have_written(warn)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_have_two_names_or_one() {
        let link = |name: &str, alias: &str| Link { name: name.into(), alias: alias.into() };
        assert_eq!(parse("db").unwrap(), link("db", "db"));
        assert_eq!(parse("db:store").unwrap(), link("db", "store"));
        for text in ["", ":", "db:", ":a", "a:b:c"] {
            assert!(parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn the_last_port_is_no_beginning_of_a_range() {
        let all = variables_of("db", "/web/db", IpAddr::from([10, 0, 0, 2]), &["65535/tcp", "53/udp"], &[]);
        assert_eq!(all[1], "DB_PORT_65535_TCP=tcp://10.0.0.2:65535");
    }

    #[test]
    fn the_variables_are_dockers() {
        let env = ["PATH=/bin".to_owned(), "HOME=/".into(), "X=y=z".into()];
        let ports = ["53/udp", "8001/tcp", "8000/tcp", "8002/tcp"];
        let all = variables_of("my-db", "/web/my-db", IpAddr::from([10, 0, 0, 2]), &ports, &env);
        assert_eq!(
            all[..11],
            [
                "MY_DB_PORT=udp://10.0.0.2:53",
                "MY_DB_PORT_8000_TCP_START=tcp://10.0.0.2:8000",
                "MY_DB_PORT_8000_TCP_ADDR=10.0.0.2",
                "MY_DB_PORT_8000_TCP_PROTO=tcp",
                "MY_DB_PORT_8000_TCP_PORT_START=8000",
                "MY_DB_PORT_8000_TCP_END=tcp://10.0.0.2:8002",
                "MY_DB_PORT_8000_TCP_PORT_END=8002",
                "MY_DB_PORT_8000_TCP=tcp://10.0.0.2:8000",
                "MY_DB_PORT_8000_TCP_ADDR=10.0.0.2",
                "MY_DB_PORT_8000_TCP_PORT=8000",
                "MY_DB_PORT_8000_TCP_PROTO=tcp",
            ]
        );
        assert_eq!(all[all.len() - 3..], ["MY_DB_PORT_53_UDP_PROTO=udp", "MY_DB_NAME=/web/my-db", "MY_DB_ENV_X=y=z"]);
        // After the last number comes none.
        let all = variables_of("a", "/b/a", IpAddr::from([10, 0, 0, 2]), &["65535/tcp", "0/tcp", "0/udp"], &[]);
        assert!(!all.iter().any(|variable| variable.contains("_START=")), "{all:?}");
    }
}
