//! Flows of datagrams that the kernel remembers (nf_conntrack): it leads a flow where its first packet went, for as long as it goes on. So
//! who keeps sending would never reach a container that is new, and would send to one that is gone.

use std::net::IpAddr;

use anyhow::Result;
use rustix::io::Errno;

use super::endpoint::Endpoint;
use super::port::{Protocol, Published};
use crate::netlink::{Attributes, Message, Socket};

// linux/netfilter/nfnetlink_conntrack.h
const SUBSYSTEM: u16 = 1;
const DELETE: u16 = 2;
const ORIGINAL: u16 = 1;
const REPLY: u16 = 2;
const STATUS: u16 = 3;
const FILTER: u16 = 25;
const STATUS_MASK: u16 = 26;
/// IPS_SRC_NAT and IPS_DST_NAT: one of the flow's addresses was changed.
const TRANSLATED: u32 = 0x30;
/// CTA_FILTER_F_*, which are the kernel's own: what of a flow is compared.
const BY_SOURCE: u32 = 1;
const BY_DESTINATION: u32 = 2;
const BY_PROTOCOL: u32 = 8;
const BY_SOURCE_PORT: u32 = 16;
const BY_DESTINATION_PORT: u32 = 32;

/// Forgets the flows to an endpoint's published ports for datagrams: those to the host's side, and those to the container's.
///
/// It helps those who send and does no harm if it can't be done: kernels before 6.9 don't know the filter, and refuse.
pub(super) fn forget(endpoint: &Endpoint, socket: &Socket) -> Result<()> {
    let mut messages = Vec::new();
    for port in endpoint.ports.iter().filter(|port| port.protocol == Protocol::Udp) {
        for address in endpoint.addresses.iter().map(ipnet::IpNet::addr) {
            messages.push(to_host(port, address)?);
            messages.push(from_container(port, address)?);
        }
    }
    for message in messages {
        let _: Result<(), Errno> = socket.request(message);
    }
    Ok(())
}

/// Flows that began with a packet for the host's port, and stayed there: one that was led elsewhere is somebody's who goes outside.
fn to_host(port: &Published, like: IpAddr) -> Result<Message> {
    let at = port.address.filter(|address| !address.is_unspecified() && address.is_ipv4() == like.is_ipv4());
    let kind = if like.is_ipv4() { 2 } else { 4 };
    let flags = BY_PROTOCOL | BY_DESTINATION_PORT | if at.is_some() { BY_DESTINATION } else { 0 };
    let message = delete(like, ORIGINAL, flags, at.map(|address| (kind, address)), (3, port.host))?;
    message.attribute(STATUS, &0u32.to_be_bytes())?.attribute(STATUS_MASK, &TRANSLATED.to_be_bytes())
}

/// Flows whose answers come from the container's port.
fn from_container(port: &Published, address: IpAddr) -> Result<Message> {
    let kind = if address.is_ipv4() { 1 } else { 3 };
    delete(address, REPLY, BY_PROTOCOL | BY_SOURCE | BY_SOURCE_PORT, Some((kind, address)), (2, port.container))
}

fn delete(like: IpAddr, side: u16, flags: u32, address: Option<(u16, IpAddr)>, port: (u16, u16)) -> Result<Message> {
    let mut addresses = Attributes::new();
    match address {
        Some((kind, IpAddr::V4(address))) => addresses = addresses.put(kind, &address.octets())?,
        Some((kind, IpAddr::V6(address))) => addresses = addresses.put(kind, &address.octets())?,
        None => {}
    }
    let transport = Attributes::new().put(1, &[Protocol::Udp.number()])?.put(port.0, &port.1.to_be_bytes())?;
    let tuple = Attributes::new().nest(1, &addresses)?.nest(2, &transport)?;
    let none = 0u32.to_ne_bytes();
    let flags = flags.to_ne_bytes();
    let (original, reply) = if side == ORIGINAL { (flags, none) } else { (none, flags) };
    let filter = Attributes::new().put(1, &original)?.put(2, &reply)?;
    let family = if like.is_ipv4() { libc::AF_INET } else { libc::AF_INET6 };
    let message = Message::new(SUBSYSTEM << 8 | DELETE, 0, &[family as u8, 0, 0, 0]);
    Ok(message.with(&Attributes::new().nest(side, &tuple)?.nest(FILTER, &filter)?))
}
