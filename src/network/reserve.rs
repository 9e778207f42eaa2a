//! Ports of the host that nobody else takes while a container has them.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::OwnedFd;

use anyhow::{Result, bail};
use rustix::io::Errno;
use rustix::net::{
    AddressFamily, Protocol as Ip, SocketFlags, SocketType, bind, getsockname, ipproto, socket_with, sockopt,
};

use super::port::{Protocol, Published};
use super::{Network, Networks};
use crate::error::Attempt;

/// Ports that are bound. A socket that is bound and does not listen answers nobody; it is there so that another bind(2) fails.
#[derive(Debug)]
pub struct Reserved {
    /// The ports, each with a number now.
    pub ports: Vec<Published>,
    /// To be kept open for as long as the container runs.
    pub sockets: Vec<OwnedFd>,
}

impl Networks {
    /// Binds ports of the host for a container of a network, at the address that the network has for those without one.
    pub fn reserve_in(&self, network: &Network, ports: &[Published]) -> Result<Reserved> {
        self.reserve(&at_binding(network, ports))
    }

    /// What [`Networks::choose`] does, at the address that the network has for ports without one.
    pub fn choose_in(&self, network: &Network, ports: &[Published]) -> Result<Vec<Published>> {
        self.choose(&at_binding(network, ports))
    }

    /// Binds ports of the host, and chooses those that are not chosen yet.
    pub fn reserve(&self, ports: &[Published]) -> Result<Reserved> {
        let mut reserved = Reserved { ports: Vec::new(), sockets: Vec::new() };
        for port in ports {
            let (number, sockets) = one_of(port, false)?;
            reserved.ports.push(Published { host: number, last: number, ..port.clone() });
            reserved.sockets.extend(sockets);
        }
        Ok(reserved)
    }

    /// Looks whether ports of the host are free, and chooses those that are not chosen yet, for a program that binds them itself.
    pub fn choose(&self, ports: &[Published]) -> Result<Vec<Published>> {
        let mut chosen = Vec::new();
        let mut all = Vec::new();
        for port in ports {
            let (number, sockets) = one_of(port, true)?;
            chosen.push(Published { host: number, last: number, ..port.clone() });
            // None of them twice.
            all.extend(sockets);
        }
        Ok(chosen)
    }
}

fn at_binding(network: &Network, ports: &[Published]) -> Vec<Published> {
    let at = |port: &Published| Published { address: port.address.or(network.host_binding()), ..port.clone() };
    ports.iter().map(at).collect()
}

/// Ports that the kernel chooses may be taken for the other family.
const TRIES: u32 = 64;

fn one_of(port: &Published, reuse: bool) -> Result<(u16, Vec<OwnedFd>)> {
    let attempts: Vec<u16> = match port.host {
        0 => vec![0; TRIES as usize],
        first => (first..=port.last).collect(),
    };
    for number in attempts {
        match take(port, number, reuse) {
            Err(Errno::ADDRINUSE) => {}
            Err(Errno::ACCESS) => bail!(
                "bind the host's port {port}: permission denied (ordinary users have those from \
                 net.ipv4.ip_unprivileged_port_start of sysctl(8) on)"
            ),
            taken => return taken.attempt(|| format!("bind the host's port {port}")),
        }
    }
    // Docker's sentence, which people and programs know.
    let (at, _) = port
        .to_string()
        .rsplit_once('/')
        .map(|(at, protocol)| (at.to_owned(), protocol.to_owned()))
        .unwrap_or_default();
    bail!("Bind for {at} failed: port is already allocated ({})", port.protocol)
}

fn take(port: &Published, number: u16, reuse: bool) -> Result<(u16, Vec<OwnedFd>), Errno> {
    let mut number = number;
    let mut sockets = Vec::new();
    for address in addresses(port) {
        match bound(port.protocol, SocketAddr::new(address, number), reuse) {
            Ok(socket) => {
                number = SocketAddr::try_from(getsockname(&socket)?).map_or(number, |address| address.port());
                sockets.push(socket);
            }
            // Nobody on this machine can have it, then.
            Err(Errno::PROTONOSUPPORT | Errno::SOCKTNOSUPPORT) if number != 0 => {}
            Err(Errno::AFNOSUPPORT | Errno::ADDRNOTAVAIL) if port.address.is_none() && address.is_ipv6() => {}
            Err(error) => return Err(error),
        }
    }
    Ok((number, sockets))
}

fn addresses(port: &Published) -> Vec<IpAddr> {
    match port.address {
        Some(address) => vec![address],
        None => vec![Ipv4Addr::UNSPECIFIED.into(), Ipv6Addr::UNSPECIFIED.into()],
    }
}

/// With `reuse` connections that were closed a moment ago don't count, as they don't for servers (socket(7), SO_REUSEADDR).
fn bound(protocol: Protocol, address: SocketAddr, reuse: bool) -> Result<OwnedFd, Errno> {
    let family = if address.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
    let (kind, number): (_, Ip) = match protocol {
        Protocol::Tcp => (SocketType::STREAM, ipproto::TCP),
        Protocol::Udp => (SocketType::DGRAM, ipproto::UDP),
        Protocol::Sctp => (SocketType::STREAM, ipproto::SCTP),
    };
    let socket = socket_with(family, kind, SocketFlags::CLOEXEC, Some(number))?;
    if address.is_ipv6() {
        sockopt::set_ipv6_v6only(&socket, true)?;
    }
    if reuse && protocol == Protocol::Tcp {
        sockopt::set_socket_reuseaddr(&socket, true)?;
    }
    bind(&socket, &address)?;
    Ok(socket)
}
