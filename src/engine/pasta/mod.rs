//! pasta(1), a program that carries what goes through a link in a network namespace by sockets of its own, outside; it listens at
//! published ports, too. It is the network of an ordinary user's container, and the edge of the networks that a user makes.
//!
//! | where | what |
//! | --- | --- |
//! | `NAMESPACES/ctn-ID` | the namespace that a container's pasta is for, mounted; pasta ends when this name goes |
//! | `RUN/ID/pasta.json` | which process it is, and the ports that are published |
//!
//! The namespace is the container's own, or that of the user's networks ([`super::rootless::network`]), where a pasta stands before the
//! ports of one container. `NAMESPACES` is `netns` in the user's runtime directory, where AppArmor's profile of pasta lets it look. So
//! whatever is killed, who removes the name ends pasta; the process's number is there for who has to wait until the ports are free.

use std::fs::{self, File};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::{Path, PathBuf};

use anyhow::{Result, bail};
use rustix::process::Pid;
use serde::{Deserialize, Serialize};

use super::rootless::network as users;
use super::{Engine, make_directory, root};
use crate::error::{Attempt, sentence};
use crate::network::{Endpoint, Protocol, Published, Tap};

mod arguments;
mod process;

pub(super) use arguments::of_edge;
pub(super) use process::Process;

/// The word of `--network`.
pub(super) const WORD: &str = "pasta";
/// Where containers ask for names if the machine asks itself: pasta hands on what is sent there.
pub(super) const RESOLVER: Ipv4Addr = Ipv4Addr::new(169, 254, 1, 1);

/// A container's.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(super) struct Pasta {
    process: Process,
    /// The ports of the host that lead to the container.
    pub(super) ports: Vec<Published>,
    arguments: Vec<String>,
    /// The link that it is behind, in the namespace of the user's networks.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    tap: Option<Tap>,
}

/// What would have it never be ready, or stay when its container has gone.
const REFUSED: [&str; 3] = ["-f", "--foreground", "--no-netns-quit"];

/// Refuses what pasta can't do, or may not here.
pub(super) fn check(options: &[String], ports: &[Published]) -> Result<()> {
    if let Some(option) = options.iter().find(|option| REFUSED.contains(&option.as_str())) {
        bail!(
            "the option {option} of pasta is not for containers, whose pasta is in the background and ends with them"
        );
    }
    check_ports(ports)
}

/// Refuses ports that it does not know.
pub(super) fn check_ports(ports: &[Published]) -> Result<()> {
    let sctp = ports.iter().find(|port| port.protocol == Protocol::Sctp);
    if let Some(port) = sctp {
        bail!("the port {port} can't be published: pasta carries TCP and UDP");
    }
    Ok(())
}

/// Where a container's namespace is found by pasta.
fn name(engine: &Engine, id: &str) -> PathBuf {
    let directory = match &engine.user {
        Some(user) => user.namespaces.clone(),
        None => engine.run.join("namespaces"),
    };
    directory.join(format!("ctn-{id}"))
}

fn record(engine: &Engine, id: &str) -> PathBuf {
    engine.running(id).join("pasta.json")
}

/// Gives the network namespace of a process to pasta, and returns when it is ready.
pub(super) fn start(
    engine: &Engine,
    id: &str,
    pid: i32,
    options: &[String],
    ports: Vec<Published>,
    forwards_names: bool,
) -> Result<Pasta> {
    let name = mounted(engine, id, Path::new(&format!("/proc/{pid}/ns/net")))?;
    let mut arguments = arguments::of_container(options, &ports, forwards_names, arguments::has_way_outside());
    if engine.user.is_none() {
        // As nobody, which root's becomes otherwise, it could not enter the namespace.
        arguments.extend(["--runas".to_owned(), "0:0".to_owned()]);
    }
    arguments.extend(["--netns".to_owned(), name.to_string_lossy().into_owned()]);
    let mut pasta = Pasta { ports, arguments, ..Pasta::default() };
    pasta.launch(engine, id)?;
    Ok(pasta)
}

/// Has pasta listen at the ports of a container in a user's networks, and lead them there.
pub(super) fn lead_in(engine: &Engine, endpoint: &Endpoint) -> Result<Pasta> {
    let id = &endpoint.container;
    let name = mounted(engine, id, &users::name(engine))?;
    let mut arguments = arguments::of_ports(endpoint, arguments::has_way_outside());
    arguments.extend(["--netns".to_owned(), name.to_string_lossy().into_owned()]);
    let mut pasta = Pasta { arguments, tap: endpoint.tap, ..Pasta::default() };
    pasta.launch(engine, id)?;
    Ok(pasta)
}

/// The ports of a container in a user's networks that nobody reaches at ::1, in a sentence. A pasta before that of October 2024 leads what
/// comes there to ::1 of the networks' namespace, from which IPv6 leads nothing to a container.
pub(super) fn unreached(endpoint: &Endpoint) -> Option<String> {
    let ports = of_loopback(endpoint);
    if ports.is_empty() {
        return None;
    }
    match process::leads_to_link() {
        Ok(true) => return None,
        Ok(false) => {}
        Err(error) => return Some(format!("whether ports are reached at ::1 is not known: {}", sentence(&error))),
    }
    let ports: Vec<String> = ports.iter().map(|port| format!("{}/{}", port.host, port.protocol)).collect();
    let ports = ports.join(", ");
    Some(format!("nobody reaches the host's port {ports} at ::1: that needs a newer pasta (package passt)"))
}

/// Those that pasta listens at there: without an address only if the container has one of IPv6.
fn of_loopback(endpoint: &Endpoint) -> Vec<&Published> {
    let has_v6 = endpoint.addresses.iter().any(|address| address.addr().is_ipv6());
    let is_there = |port: &&Published| match port.address {
        None => has_v6,
        Some(address) => [IpAddr::V6(Ipv6Addr::LOCALHOST), Ipv6Addr::UNSPECIFIED.into()].contains(&address),
    };
    endpoint.ports.iter().filter(is_there).collect()
}

/// Mounts a network namespace where pasta finds that of a container.
fn mounted(engine: &Engine, id: &str, namespace: &Path) -> Result<PathBuf> {
    let name = name(engine, id);
    if let Some(directory) = name.parent() {
        make_directory(directory)?;
    }
    File::create(&name).attempt(|| format!("make {name:?}"))?;
    rustix::mount::mount_bind(namespace, &name).attempt(|| format!("mount {namespace:?} at {name:?}"))?;
    Ok(name)
}

impl Pasta {
    fn launch(&mut self, engine: &Engine, id: &str) -> Result<()> {
        self.process = Process::start(&self.arguments)?;
        let path = record(engine, id);
        fs::write(&path, serde_json::to_vec(self)?).attempt(|| format!("write {path:?}"))
    }

    /// Whether a child that has ended was this one.
    pub(super) fn is(&self, pid: Pid) -> bool {
        self.process.is(pid)
    }

    /// Whether it is before ports that a network has no more.
    pub(super) fn is_useless(&self, places: &[Endpoint]) -> bool {
        self.tap.is_some() && places.iter().all(|place| place.tap != self.tap)
    }

    /// Somebody killed it: without it the container would be cut off.
    pub(super) fn again(&mut self, engine: &Engine, id: &str) -> Result<()> {
        let is_useless = self.tap.is_some() && self.is_useless(&engine.networks()?.endpoints_of(id)?);
        if is_useless { Ok(()) } else { self.launch(engine, id) }
    }
}

/// What is known of a container's pasta.
pub(super) fn of(engine: &Engine, id: &str) -> Option<Pasta> {
    serde_json::from_slice(&fs::read(record(engine, id)).ok()?).ok()
}

/// Ends a container's pasta, and waits until its ports are free.
pub(super) fn end(engine: &Engine, id: &str) -> Result<()> {
    let process = of(engine, id).map(|pasta| pasta.process).unwrap_or_default();
    process.end(|| remove_name(&name(engine, id)))?;
    let _ = fs::remove_file(record(engine, id));
    Ok(())
}

/// Unmounts what is mounted at a name of a namespace, and removes the name: whichever pasta looks at it ends.
pub(super) fn remove_name(name: &Path) -> Result<()> {
    root::unmount(name)?;
    match fs::remove_file(name) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error).attempt(|| format!("remove {name:?}")),
        _ => Ok(()),
    }
}

/// The addresses that pasta gave the network namespace of a process, which can be looked at without being entered: an ordinary user could
/// not come back.
pub(super) fn addresses(pid: i32) -> Vec<IpAddr> {
    let read = |file: &str| fs::read_to_string(format!("/proc/{pid}/net/{file}")).unwrap_or_default();
    let mut all: Vec<IpAddr> = local(&read("fib_trie")).into_iter().map(IpAddr::V4).collect();
    all.extend(global(&read("if_inet6")).map(IpAddr::V6));
    all
}

/// The table of routes as a tree: an address of the namespace's own is a line of its own, with what it is below.
fn local(text: &str) -> Vec<Ipv4Addr> {
    let mut found = Vec::new();
    let mut last = None;
    for line in text.lines().map(str::trim) {
        if let Some(address) = line.strip_prefix("|-- ") {
            last = address.parse::<Ipv4Addr>().ok();
        } else if line == "/32 host LOCAL" {
            found.extend(last.filter(|address| !address.is_loopback() && !found.contains(address)));
        }
    }
    found
}

/// proc_pid_net(5), if_inet6: the address, and in the fourth field its scope, 0 for global.
fn global(text: &str) -> impl Iterator<Item = Ipv6Addr> {
    text.lines().filter_map(|line| {
        let mut fields = line.split_ascii_whitespace();
        let address = u128::from_str_radix(fields.next()?, 16).ok()?;
        (fields.nth(2)? == "00").then_some(Ipv6Addr::from(address))
    })
}

/// `--network pasta:OPTION,OPTION`.
pub(super) fn options(text: &str) -> Option<Vec<String>> {
    let rest = text.strip_prefix(WORD)?;
    match rest.strip_prefix(':') {
        Some(options) => Some(options.split(',').filter(|option| !option.is_empty()).map(str::to_owned).collect()),
        None => rest.is_empty().then(Vec::new),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read() {
        let trie = "Main:\n  +-- 0.0.0.0/0 3 0 5\n     |-- 10.0.0.0\n        /24 link UNICAST\nLocal:\n     |-- 10.0.0.2\n        /32 host LOCAL\n     |-- 127.0.0.1\n        /32 host LOCAL\n     |-- 10.0.0.255\n        /32 link BROADCAST\n";
        assert_eq!(local(trie), [Ipv4Addr::new(10, 0, 0, 2)]);
        let inet6 =
            "fe800000000000000000000000000001 02 40 20 80 eth0\nfd000000000000000000000000000001 02 40 00 80 eth0\n";
        assert_eq!(global(inet6).collect::<Vec<_>>(), ["fd00::1".parse::<Ipv6Addr>().unwrap()]);
    }

    #[test]
    fn ports_of_the_loopback() {
        let ports = ["8080:80", "127.0.0.1:81:81", "[::1]:82:82", "[::]:83:83", "[2001:db8::1]:84:84", "0.0.0.0:85:85"];
        let ports = ports.iter().flat_map(|text| crate::network::port::parse(text).unwrap()).collect();
        let mut endpoint = Endpoint { ports, addresses: vec!["10.0.0.2/24".parse().unwrap()], ..Endpoint::default() };
        let hosts = |endpoint: &Endpoint| of_loopback(endpoint).iter().map(|port| port.host).collect::<Vec<_>>();
        assert_eq!(hosts(&endpoint), [82, 83]);
        endpoint.addresses.push("fd00::2/64".parse().unwrap());
        assert_eq!(hosts(&endpoint), [8080, 82, 83]);
    }

    #[test]
    fn options_follow_a_colon() {
        assert_eq!(options("pasta:-T,5000"), Some(vec!["-T".into(), "5000".into()]));
        assert_eq!(options("pastas"), None);
    }
}
