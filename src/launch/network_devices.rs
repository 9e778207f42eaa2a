//! `linux.netDevices`: network devices of the host that become the container's.
//!
//! The move is one request to the host's namespace; it takes the device's addresses away, so the permanent ones of global scope are
//! given back inside, by a process that enters the namespace for it: the runtime itself stays outside.

use std::ffi::CStr;
use std::fs::File;
use std::os::fd::{AsFd, AsRawFd};

use anyhow::{Context, Result, bail};
use rustix::io::Errno;

use super::protocol::{self, Failure, ToParent};
use crate::error::{Attempt, sentence};
use crate::netlink::route::{GET_LINK, LINK_NAME, LINK_NAMESPACE, NEW_ADDRESS, NEW_LINK, UP};
use crate::netlink::{Message, Socket, attributes};
use crate::sys::clone::{self, Child, CloneFlags};
use crate::sys::execute::exit_now;

// linux/rtnetlink.h, linux/if_addr.h
const GET_ADDRESS: u16 = 22;
const ADDRESS_FLAGS: u16 = 8;
const PERMANENT: u32 = 0x80;
const SCOPE_GLOBAL: u8 = 0;

/// An address of a device: the fixed part of the kernel's message and its attributes, to be sent back as they came.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Address {
    fixed: [u8; 8],
    attributes: Vec<(u16, Vec<u8>)>,
}

/// Devices that are in the container, and what it takes to have them back.
#[derive(Debug)]
pub(super) struct Moved {
    /// Name outside, name inside.
    devices: Vec<(String, String)>,
    /// As they were, in the same order.
    known: Vec<Device>,
    /// Kept open: it must outlive the container's process for as long as a device is in it.
    namespace: File,
    own: File,
}

/// Moves all devices into init's network namespace, and brings them up there.
pub(super) fn hand_over(devices: &[(String, String)], joined: Option<&CStr>, init: &Child) -> Result<Option<Moved>> {
    if devices.is_empty() {
        return Ok(None);
    }
    // One that is joined by its own path: init may not be in it yet.
    let path = match joined {
        Some(path) => path.to_string_lossy().into_owned(),
        None => format!("/proc/{}/ns/net", init.pid.as_raw_nonzero()),
    };
    let namespace = File::open(&path).attempt(|| format!("open {path:?}"))?;
    let own = File::open("/proc/self/ns/net").attempt(|| "open the runtime's network namespace")?;
    let host = Socket::open()?;
    let mut moved = Moved { devices: Vec::new(), known: Vec::new(), namespace, own };
    for (name, new_name) in devices {
        if let Err(error) = moved.take_in(&host, name, new_name) {
            moved.take_back();
            let place = format!("linux.netDevices[{name:?}]");
            return Err(error.context(format!("{place}: move the device into the container as {new_name:?}")));
        }
    }
    match moved.set_up_inside() {
        Ok(()) => Ok(Some(moved)),
        Err(error) => {
            moved.take_back();
            Err(error)
        }
    }
}

impl Moved {
    fn take_in(&mut self, host: &Socket, name: &str, new_name: &str) -> Result<()> {
        let device = find(host, name)?;
        let index = device.index;
        // On record before it is moved, so that it is looked after whatever happens.
        self.devices.push((name.to_owned(), new_name.to_owned()));
        self.known.push(device);
        move_one(host, index, new_name, &self.namespace)
    }

    fn set_up_inside(&self) -> Result<()> {
        in_namespace(&self.namespace, || {
            let socket = Socket::open()?;
            self.devices.iter().zip(&self.known).try_for_each(|((_, name), device)| {
                set_up(&socket, name, &device.addresses, true)
                    .with_context(|| format!("linux.netDevices: set up {name:?} in the container"))
            })
        })
    }

    /// Has the host's devices as they were, because the container came to nothing. What can't be had back is said by nobody: the first
    /// error is the one that is told.
    pub(super) fn take_back(&self) {
        let Ok(host) = Socket::open() else { return };
        let is_here = |name: &str| rustix::net::netdevice::name_to_index(host.as_fd(), name).is_ok();
        let away: Vec<_> = self.devices.iter().filter(|(name, _)| !is_here(name)).collect();
        if !away.is_empty() {
            let _ = in_namespace(&self.namespace, || give_back(&away, &self.own));
        }
        for ((name, _), device) in self.devices.iter().zip(&self.known) {
            let _ = set_up(&host, name, &device.addresses, device.is_up);
        }
    }
}

/// A device before it was moved.
#[derive(Debug)]
struct Device {
    index: u32,
    is_up: bool,
    addresses: Vec<Address>,
}

fn find(host: &Socket, name: &str) -> Result<Device> {
    let index = rustix::net::netdevice::name_to_index(host.as_fd(), name).attempt(|| "find it")?;
    let mut is_up = false;
    host.list(Message::new(GET_LINK, 0, &[0; 16]), |body| is_up |= is_up_link(body, index))?;
    Ok(Device { index, is_up, addresses: addresses(host, index)? })
}

/// Reads `struct ifinfomsg`: family, type, index, flags.
fn is_up_link(body: &[u8], index: u32) -> bool {
    let number = |at: usize| body.get(at..at + 4)?.try_into().ok().map(u32::from_ne_bytes);
    number(4) == Some(index) && number(8).is_some_and(|flags| flags & UP != 0)
}

fn move_one(host: &Socket, index: u32, new_name: &str, namespace: &File) -> Result<()> {
    // A device that is up can't be renamed.
    host.request(link(index, false)).attempt(|| "set it down")?;
    let message = link(index, false)
        .attribute(LINK_NAME, &[new_name.as_bytes(), b"\0"].concat())?
        .attribute(LINK_NAMESPACE, &namespace.as_raw_fd().to_ne_bytes())?;
    host.request(message).attempt(|| "move it")
}

/// Moves devices out again, under their old names. One that could be moved and not be renamed has that inside, too.
fn give_back(devices: &[&(String, String)], host: &File) -> Result<()> {
    let socket = Socket::open()?;
    let mut first_error = Ok(());
    for (old_name, name) in devices {
        let result = give_one_back(&socket, name, old_name, host)
            .or_else(|error| give_one_back(&socket, old_name, old_name, host).map_err(|_| error));
        first_error = first_error.and(result);
    }
    first_error
}

fn give_one_back(socket: &Socket, name: &str, old_name: &str, host: &File) -> Result<()> {
    let index = rustix::net::netdevice::name_to_index(socket.as_fd(), name).attempt(|| "find it")?;
    socket.request(link(index, false)).attempt(|| "set it down")?;
    let message = link(index, false)
        .attribute(LINK_NAME, &[old_name.as_bytes(), b"\0"].concat())?
        .attribute(LINK_NAMESPACE, &host.as_raw_fd().to_ne_bytes())?;
    socket.request(message).attempt(|| "move it back")
}

/// RTM_NEWLINK of an existing device: `struct ifinfomsg` with IFF_UP set or cleared.
fn link(index: u32, up: bool) -> Message {
    let mut fixed = [0; 16];
    fixed[4..8].copy_from_slice(&index.to_ne_bytes());
    fixed[8..12].copy_from_slice(&u32::from(up).to_ne_bytes());
    fixed[12..16].copy_from_slice(&UP.to_ne_bytes());
    Message::new(NEW_LINK, 0, &fixed)
}

/// The permanent addresses of global scope.
fn addresses(host: &Socket, index: u32) -> Result<Vec<Address>> {
    let mut found = Vec::new();
    host.list(Message::new(GET_ADDRESS, 0, &[0; 8]), |body| found.extend(address(body, index)))?;
    Ok(found)
}

/// Reads `struct ifaddrmsg`: family, prefix length, flags, scope, index.
fn address(body: &[u8], index: u32) -> Option<Address> {
    let fixed = *body.first_chunk::<8>()?;
    let of = u32::from_ne_bytes([fixed[4], fixed[5], fixed[6], fixed[7]]);
    let attributes = attributes(&body[8..]);
    let long_flags =
        attributes.iter().find(|(kind, _)| *kind == ADDRESS_FLAGS).and_then(|(_, value)| value.first_chunk::<4>());
    let flags = long_flags.map_or(u32::from(fixed[2]), |bytes| u32::from_ne_bytes(*bytes));
    if of != index || fixed[3] != SCOPE_GLOBAL || flags & PERMANENT == 0 {
        return None;
    }
    // IFA_CACHEINFO (6) and IFA_PROTO (11) are the kernel's own.
    let kept = attributes.into_iter().filter(|(kind, _)| !matches!(kind, 6 | 11));
    Some(Address { fixed, attributes: kept.map(|(kind, value)| (kind, value.to_vec())).collect() })
}

/// Gives a device back what the move took.
fn set_up(socket: &Socket, name: &str, addresses: &[Address], up: bool) -> Result<()> {
    const CREATE: u16 = 0x400;
    let index = rustix::net::netdevice::name_to_index(socket.as_fd(), name).attempt(|| "find it")?;
    for address in addresses {
        let mut fixed = address.fixed;
        fixed[4..8].copy_from_slice(&index.to_ne_bytes());
        let mut message = Message::new(NEW_ADDRESS, CREATE, &fixed);
        for (kind, value) in &address.attributes {
            message = message.attribute(*kind, value)?;
        }
        match socket.request(message) {
            Ok(()) | Err(Errno::EXIST) => {}
            Err(error) => return Err(error).attempt(|| "give it its address back"),
        }
    }
    if up { socket.request(link(index, true)).attempt(|| "set it up") } else { Ok(()) }
}

/// Does something in a network namespace, in a process of its own.
fn in_namespace(namespace: &File, work: impl FnOnce() -> Result<()>) -> Result<()> {
    let (parent, end) = protocol::pair()?;
    let child = clone::process(CloneFlags::empty(), None, || {
        let join =
            clone::join(namespace.as_fd(), CloneFlags::NEWNET).attempt(|| "join the container's network namespace");
        let said = match join.and_then(|()| work()) {
            Ok(()) => ToParent::Ready,
            Err(error) => ToParent::Failed(Failure {
                errno: crate::error::errno(&error).map_or(0, Errno::raw_os_error),
                text: sentence(&error),
            }),
        };
        let _ = end.send(&said);
        exit_now(0)
    })
    .attempt(|| "clone a process for the container's network namespace")?;
    let said = parent.receive();
    let _ = clone::wait(child.pid);
    match said? {
        Some(ToParent::Ready) => Ok(()),
        Some(ToParent::Failed(failure)) => Err(failure.into_error()),
        other => bail!("the process in the container's network namespace said {other:?}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn body(index: u32, scope: u8, flags: u32) -> Vec<u8> {
        let mut body = vec![2, 24, 0, scope];
        body.extend_from_slice(&index.to_ne_bytes());
        body.extend_from_slice(&[8, 0, 2, 0, 10, 0, 0, 1]);
        body.extend_from_slice(&[8, 0, ADDRESS_FLAGS as u8, 0]);
        body.extend_from_slice(&flags.to_ne_bytes());
        body
    }

    #[test]
    fn permanent_global_addresses_of_the_device_are_kept() {
        let kept = address(&body(7, SCOPE_GLOBAL, PERMANENT), 7).unwrap();
        assert_eq!(kept.attributes[0], (2, vec![10, 0, 0, 1]));
        assert_eq!(address(&body(8, SCOPE_GLOBAL, PERMANENT), 7), None);
        assert_eq!(address(&body(7, 253, PERMANENT), 7), None);
        assert_eq!(address(&body(7, SCOPE_GLOBAL, 0), 7), None);
    }
}
