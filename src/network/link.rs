//! Links, addresses and routes, by rtnetlink(7).

use std::net::IpAddr;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};

use anyhow::{Context, Result, bail};
use ipnet::IpNet;
use rustix::io::Errno;

use crate::error::Attempt;
use crate::netlink::route::{GET_LINK, LINK_NAME, LINK_NAMESPACE, NEW_ADDRESS, NEW_LINK, UP};
use crate::netlink::{Attributes, Message, Socket, attributes};

/// A default route is not deleted more often than that.
const MOST_ROUTES: usize = 32;

// linux/rtnetlink.h
const DELETE_LINK: u16 = 17;
const NEW_ROUTE: u16 = 24;
const DELETE_ROUTE: u16 = 25;
const GET_ROUTE: u16 = 26;
const NEW_RULE: u16 = 32;
const DELETE_RULE: u16 = 33;
const CREATE: u16 = 0x400;
const EXCLUSIVE: u16 = 0x200;
// linux/if_link.h
const ADDRESS: u16 = 1;
const MTU: u16 = 4;
const PARENT: u16 = 5;
const MASTER: u16 = 10;
const INFO: u16 = 18;
const ALIAS: u16 = 20;
const TRANSMIT_QUEUES: u16 = 31;
const RECEIVE_QUEUES: u16 = 32;
const INFO_KIND: u16 = 1;
const INFO_DATA: u16 = 2;
const INFO_SLAVE_KIND: u16 = 4;
const INFO_SLAVE_DATA: u16 = 5;

/// A link that is there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Link {
    pub(super) index: u32,
    pub(super) is_up: bool,
    pub(super) mtu: u32,
    pub(super) name: String,
    pub(super) master: Option<u32>,
    /// `bridge`, `veth`…; none for a piece of hardware.
    pub(super) kind: Option<String>,
}

/// A route of the host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Route {
    pub(super) destination: IpNet,
    pub(super) link: u32,
}

/// A link that is to be made with its other end in a container.
#[derive(Debug, Clone, Copy)]
pub(super) struct Pair<'a> {
    pub(super) outside: &'a str,
    pub(super) bridge: u32,
    pub(super) inside: Inside<'a>,
}

/// A link that is born in a container's namespace.
#[derive(Debug, Clone, Copy)]
pub(super) struct Inside<'a> {
    pub(super) name: &'a str,
    pub(super) namespace: BorrowedFd<'a>,
    pub(super) mac: Option<[u8; 6]>,
    pub(super) mtu: u32,
}

/// rtnetlink(7) of one namespace.
#[derive(Debug)]
pub(super) struct Links(Socket);

impl Links {
    /// Of the namespace that this thread is in.
    pub(super) fn open() -> Result<Links> {
        Socket::open().map(Links)
    }

    /// The link of a name.
    pub(super) fn find(&self, name: &str) -> Result<Option<Link>> {
        let message = Message::new(GET_LINK, 0, &[0; 16]).with(&Attributes::new().text(LINK_NAME, name)?);
        match self.0.get(message) {
            Ok(body) => Ok(link(&body)),
            Err(Errno::NODEV) => Ok(None),
            Err(error) => Err(error).attempt(|| format!("look for the link {name}")),
        }
    }

    /// All links.
    pub(super) fn list(&self) -> Result<Vec<Link>> {
        let mut links = Vec::new();
        self.0.list(Message::new(GET_LINK, 0, &[0; 16]), |body| links.extend(link(body)))?;
        Ok(links)
    }

    /// The host's routes of both families, those of its own addresses aside.
    pub(super) fn routes(&self) -> Result<Vec<Route>> {
        let mut routes = Vec::new();
        self.0.list(Message::new(GET_ROUTE, 0, &[0; 12]), |body| routes.extend(route(body)))?;
        Ok(routes)
    }

    /// Makes a bridge, down; with an address of its own, for otherwise it has the lowest of its ports', which comes and goes.
    pub(super) fn add_bridge(&self, name: &str, mac: [u8; 6], mtu: u32) -> Result<(), Errno> {
        let made = || -> Result<Message> {
            let info = Attributes::new().text(INFO_KIND, "bridge")?;
            let attributes =
                Attributes::new().text(LINK_NAME, name)?.put(ADDRESS, &mac)?.put(MTU, &mtu.to_ne_bytes())?;
            Ok(Message::new(NEW_LINK, CREATE | EXCLUSIVE, &[0; 16]).with(&attributes.nest(INFO, &info)?))
        };
        // Nothing but a name can be too long for an attribute.
        self.0.request(made().map_err(|_| Errno::NAMETOOLONG)?)
    }

    /// Makes a pair of links, this end up and at its bridge, the other one in the container, down.
    pub(super) fn add_pair(&self, pair: &Pair<'_>) -> Result<()> {
        let inside = one_queue(self.inside(&pair.inside, Attributes::behind(&[0; 16]))?)?;
        // VETH_INFO_PEER
        let data = Attributes::new().nest(1, &inside)?;
        let info = Attributes::new().text(INFO_KIND, "veth")?.nest(INFO_DATA, &data)?;
        let attributes = Attributes::new().text(LINK_NAME, pair.outside)?.put(MTU, &pair.inside.mtu.to_ne_bytes())?;
        let attributes = one_queue(attributes.put(MASTER, &pair.bridge.to_ne_bytes())?.nest(INFO, &info)?)?;
        let message = Message::new(NEW_LINK, CREATE | EXCLUSIVE, &link_fixed(0, UP, UP)).with(&attributes);
        let what = || format!("make the link {} in the container, with {} outside", pair.inside.name, pair.outside);
        match self.0.request(message.clone()) {
            // The container's last one, which the kernel is about to remove with its namespace.
            Err(Errno::EXIST) => {
                self.delete(pair.outside)?;
                self.0.request(message).attempt(what)
            }
            made => made.attempt(what),
        }
    }

    /// Makes a macvlan or ipvlan on one of the host's links, in the container, down.
    pub(super) fn add_on(&self, parent: u32, kind: &str, mode: u32, inside: &Inside<'_>) -> Result<(), Errno> {
        let made = || -> Result<Message> {
            // IFLA_MACVLAN_MODE has 32 bits, IFLA_IPVLAN_MODE 16.
            let bytes = mode.to_ne_bytes();
            let short = (mode as u16).to_ne_bytes();
            let data = Attributes::new().put(1, if kind == "ipvlan" { &short[..] } else { &bytes[..] })?;
            let info = Attributes::new().text(INFO_KIND, kind)?.nest(INFO_DATA, &data)?;
            let attributes = self.inside(inside, Attributes::new())?;
            let attributes = attributes.put(PARENT, &parent.to_ne_bytes())?.nest(INFO, &info)?;
            Ok(Message::new(NEW_LINK, CREATE | EXCLUSIVE, &[0; 16]).with(&attributes))
        };
        // Nothing but a name can be too long for an attribute.
        self.0.request(made().map_err(|_| Errno::NAMETOOLONG)?)
    }

    fn inside(&self, inside: &Inside<'_>, attributes: Attributes) -> Result<Attributes> {
        let mut attributes = attributes.text(LINK_NAME, inside.name)?.put(MTU, &inside.mtu.to_ne_bytes())?;
        if let Some(mac) = inside.mac {
            attributes = attributes.put(ADDRESS, &mac)?;
        }
        attributes.put(LINK_NAMESPACE, &inside.namespace.as_fd().as_raw_fd().to_ne_bytes())
    }

    /// Gives a link that is down another name.
    pub(super) fn rename(&self, name: &str, wanted: &str) -> Result<()> {
        let what = || format!("rename the link {name} to {wanted}");
        let link = self.find(name)?.context("it is gone").with_context(what)?;
        let attributes = Attributes::new().text(LINK_NAME, wanted)?;
        let message = Message::new(NEW_LINK, 0, &link_fixed(link.index, 0, 0)).with(&attributes);
        self.0.request(message).attempt(what)
    }

    /// Says on the link what it is for, for people.
    pub(super) fn set_alias(&self, index: u32, text: &str) -> Result<()> {
        let message = Message::new(NEW_LINK, 0, &link_fixed(index, 0, 0)).attribute(ALIAS, text.as_bytes())?;
        self.0.request(message).attempt(|| format!("set the alias of a link to {text:?}"))
    }

    /// Sets up how a port of a bridge behaves: whether it sends back where a packet came from, and whether it is apart from the others.
    pub(super) fn set_port(&self, name: &str, hairpin: bool, isolated: bool) -> Result<()> {
        // IFLA_BRPORT_MODE and IFLA_BRPORT_ISOLATED
        let data = Attributes::new().put(4, &[hairpin.into()])?.put(33, &[isolated.into()])?;
        let info = Attributes::new().text(INFO_SLAVE_KIND, "bridge")?.nest(INFO_SLAVE_DATA, &data)?;
        let message =
            Message::new(NEW_LINK, 0, &[0; 16]).with(&Attributes::new().text(LINK_NAME, name)?.nest(INFO, &info)?);
        self.0.request(message).attempt(|| format!("set up the port {name} of the bridge"))
    }

    /// Makes a link a port of a bridge.
    pub(super) fn set_master(&self, index: u32, bridge: u32) -> Result<()> {
        let message = Message::new(NEW_LINK, 0, &link_fixed(index, 0, 0)).attribute(MASTER, &bridge.to_ne_bytes())?;
        self.0.request(message).attempt(|| "put a link to its bridge")
    }

    /// Sets a link up.
    pub(super) fn set_up(&self, index: u32) -> Result<()> {
        self.0.request(Message::new(NEW_LINK, 0, &link_fixed(index, UP, UP))).attempt(|| "set a link up")
    }

    /// Sets the largest packet of a link.
    pub(super) fn set_mtu(&self, index: u32, bytes: u32) -> Result<()> {
        let message = Message::new(NEW_LINK, 0, &link_fixed(index, 0, 0)).attribute(MTU, &bytes.to_ne_bytes())?;
        self.0.request(message).attempt(|| format!("set the MTU of a link to {bytes}"))
    }

    /// Deletes the link of a name; one that isn't there is deleted.
    pub(super) fn delete(&self, name: &str) -> Result<()> {
        let message = Message::new(DELETE_LINK, 0, &[0; 16]).with(&Attributes::new().text(LINK_NAME, name)?);
        match self.0.request(message) {
            Ok(()) | Err(Errno::NODEV) => Ok(()),
            Err(error) => Err(error).attempt(|| format!("delete the link {name}")),
        }
    }

    /// Gives a link an address; one of IPv6 is used at once, without asking whether somebody has it (IFA_F_NODAD).
    pub(super) fn add_address(&self, index: u32, address: IpNet) -> Result<()> {
        const LOCAL: u16 = 2;
        const BROADCAST: u16 = 4;
        const NO_DETECTION: u8 = 2;
        let bytes = octets(address.addr());
        let flags = if address.addr().is_ipv6() { NO_DETECTION } else { 0 };
        let mut fixed = [family(address.addr()), address.prefix_len(), flags, 0, 0, 0, 0, 0];
        fixed[4..].copy_from_slice(&index.to_ne_bytes());
        let mut attributes = Attributes::new().put(LOCAL, &bytes)?.put(ADDRESS, &bytes)?;
        if address.addr().is_ipv4() {
            attributes = attributes.put(BROADCAST, &octets(address.broadcast()))?;
        }
        match self.0.request(Message::new(NEW_ADDRESS, CREATE | EXCLUSIVE, &fixed).with(&attributes)) {
            Ok(()) | Err(Errno::EXIST) => Ok(()),
            Err(error) => Err(error).attempt(|| format!("give a link the address {address}")),
        }
    }

    /// Adds the default route of a family.
    pub(super) fn add_default_route(&self, index: u32, gateway: IpAddr, metric: u32) -> Result<()> {
        const PRIORITY: u16 = 6;
        let attributes = default_route(index, gateway)?.put(PRIORITY, &metric.to_ne_bytes())?;
        let message = Message::new(NEW_ROUTE, CREATE | EXCLUSIVE, &everywhere(gateway)).with(&attributes);
        self.0.request(message).attempt(|| format!("make {gateway} the gateway"))
    }

    /// Deletes that route, whatever its metric, and as often as it is there; one that isn't there is deleted. A container may have added
    /// more of it, and be adding more while this is at it, with all networks locked: some number of them is too many.
    pub(super) fn delete_default_route(&self, index: u32, gateway: IpAddr) -> Result<()> {
        let message = Message::new(DELETE_ROUTE, 0, &everywhere(gateway)).with(&default_route(index, gateway)?);
        for _ in 0..MOST_ROUTES {
            match self.0.request(message.clone()) {
                Ok(()) => {}
                Err(Errno::SRCH) => return Ok(()),
                Err(error) => return Err(error).attempt(|| format!("delete the route by the gateway {gateway}")),
            }
        }
        bail!("delete the route by the gateway {gateway}: it was there {MOST_ROUTES} times or more")
    }

    /// Has what is marked look for its way in the table of routes of the mark's number. One that is there is enough.
    pub(super) fn add_rule_for_mark(&self, family: u8, mark: u32) -> Result<()> {
        match self.0.request(rule_for_mark(NEW_RULE, CREATE | EXCLUSIVE, family, mark)?) {
            Ok(()) | Err(Errno::EXIST) => Ok(()),
            Err(error) => Err(error).attempt(|| format!("make a rule for what is marked {mark:#x}")),
        }
    }

    /// Deletes that rule; one that isn't there is deleted.
    pub(super) fn delete_rule_for_mark(&self, family: u8, mark: u32) -> Result<()> {
        match self.0.request(rule_for_mark(DELETE_RULE, 0, family, mark)?) {
            Ok(()) | Err(Errno::NOENT | Errno::OPNOTSUPP | Errno::AFNOSUPPORT) => Ok(()),
            Err(error) => Err(error).attempt(|| format!("delete the rule for what is marked {mark:#x}")),
        }
    }

    /// Leads all that is looked up in a mark's table to a link, behind which somebody answers for every address.
    pub(super) fn add_route_of_mark(&self, family: u8, mark: u32, link: u32) -> Result<()> {
        const OUT: u16 = 4;
        const TABLE: u16 = 15;
        // struct rtmsg: of a table whose number is an attribute (252), by the administrator at start (3), on the link (253), unicast (1).
        let fixed = [family, 0, 0, 0, 252, 3, 253, 1, 0, 0, 0, 0];
        let attributes = Attributes::new().put(OUT, &link.to_ne_bytes())?.put(TABLE, &mark.to_ne_bytes())?;
        match self.0.request(Message::new(NEW_ROUTE, CREATE | EXCLUSIVE, &fixed).with(&attributes)) {
            Ok(()) | Err(Errno::EXIST) => Ok(()),
            Err(error) => Err(error).attempt(|| format!("make a route for what is marked {mark:#x}")),
        }
    }
}

/// struct rtmsg: of the main table (254), by the administrator at start (3), everywhere (0), unicast (1).
fn everywhere(gateway: IpAddr) -> [u8; 12] {
    [family(gateway), 0, 0, 0, 254, 3, 0, 1, 0, 0, 0, 0]
}

fn default_route(index: u32, gateway: IpAddr) -> Result<Attributes> {
    const GATEWAY: u16 = 5;
    const OUT: u16 = 4;
    Attributes::new().put(GATEWAY, &octets(gateway))?.put(OUT, &index.to_ne_bytes())
}

/// `struct fib_rule_hdr` and FRA_*: of a table whose number is an attribute (252), to look there (1).
fn rule_for_mark(kind: u16, flags: u16, family: u8, mark: u32) -> Result<Message> {
    const MARK: u16 = 10;
    const TABLE: u16 = 15;
    let attributes = Attributes::new().put(MARK, &mark.to_ne_bytes())?.put(TABLE, &mark.to_ne_bytes())?;
    Ok(Message::new(kind, flags, &[family, 0, 0, 0, 252, 0, 0, 1, 0, 0, 0, 0]).with(&attributes))
}

/// A veth has one queue in use, and unless that is said one for each processor that it has no use for: to put them aside the kernel waits
/// for its readers, for each end (`veth_init_queues()` of drivers/net/veth.c), which is most of the time that the pair takes.
fn one_queue(link: Attributes) -> Result<Attributes> {
    link.put(TRANSMIT_QUEUES, &1u32.to_ne_bytes())?.put(RECEIVE_QUEUES, &1u32.to_ne_bytes())
}

/// `struct ifinfomsg`.
fn link_fixed(index: u32, flags: u32, change: u32) -> [u8; 16] {
    let mut fixed = [0; 16];
    fixed[4..8].copy_from_slice(&index.to_ne_bytes());
    fixed[8..12].copy_from_slice(&flags.to_ne_bytes());
    fixed[12..16].copy_from_slice(&change.to_ne_bytes());
    fixed
}

fn family(address: IpAddr) -> u8 {
    if address.is_ipv4() { libc::AF_INET as u8 } else { libc::AF_INET6 as u8 }
}

fn octets(address: IpAddr) -> Vec<u8> {
    match address {
        IpAddr::V4(address) => address.octets().to_vec(),
        IpAddr::V6(address) => address.octets().to_vec(),
    }
}

fn number(bytes: &[u8]) -> Option<u32> {
    bytes.first_chunk().map(|bytes| u32::from_ne_bytes(*bytes))
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes.strip_suffix(b"\0").unwrap_or(bytes)).into_owned()
}

fn link(body: &[u8]) -> Option<Link> {
    let all = attributes(body.get(16..)?);
    let find = |kind| all.iter().find(|(one, _)| one & 0x3fff == kind).map(|(_, value)| *value);
    let info = find(INFO).map(attributes).unwrap_or_default();
    Some(Link {
        index: number(body.get(4..)?)?,
        is_up: number(body.get(8..)?)? & UP != 0,
        mtu: find(MTU).and_then(number).unwrap_or(1500),
        name: text(find(LINK_NAME)?),
        master: find(MASTER).and_then(number),
        kind: info.iter().find(|(kind, _)| *kind == INFO_KIND).map(|(_, value)| text(value)),
    })
}

/// Reads `struct rtmsg`: family, lengths, …, table, protocol, scope, type; unicast routes of ordinary tables.
fn route(body: &[u8]) -> Option<Route> {
    const DESTINATION: u16 = 1;
    const OUT: u16 = 4;
    let all = attributes(body.get(12..)?);
    let find = |kind| all.iter().find(|(one, _)| *one == kind).map(|(_, value)| *value);
    let (family, length, table, kind) = (body[0], body[1], body[4], body[7]);
    // RT_TABLE_LOCAL; RTN_UNICAST
    if table == 255 || kind != 1 {
        return None;
    }
    let bytes = find(DESTINATION);
    let address: IpAddr = match i32::from(family) {
        libc::AF_INET => bytes.map_or([0; 4], |bytes| *bytes.first_chunk().unwrap_or(&[0; 4])).into(),
        libc::AF_INET6 => bytes.map_or([0; 16], |bytes| *bytes.first_chunk().unwrap_or(&[0; 16])).into(),
        _ => return None,
    };
    Some(Route { destination: IpNet::new(address, length).ok()?, link: find(OUT).and_then(number).unwrap_or(0) })
}
