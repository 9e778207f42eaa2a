//! netlink(7): requests, their attributes, and the kernel's answers.
//!
//! What the messages mean is known by those who send them: [`crate::launch`] moves network devices, `network` makes links, addresses,
//! routes and rules.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use anyhow::{Context, Result, bail};
use rustix::io::Errno;
use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, recv, send, socket_with};

use crate::error::Attempt;

const REQUEST: u16 = 0x1;
pub(crate) const ACKNOWLEDGE: u16 = 0x4;
const DUMP: u16 = 0x300;
/// Of NLMSG_*: an errno, and the end of a list.
const ERROR: u16 = 2;
const DONE: u16 = 3;

/// Kinds, attributes and flags of rtnetlink(7) that more than one room needs: linux/rtnetlink.h, linux/if_link.h.
pub(crate) mod route {
    pub(crate) const NEW_LINK: u16 = 16;
    pub(crate) const GET_LINK: u16 = 18;
    pub(crate) const NEW_ADDRESS: u16 = 20;
    pub(crate) const LINK_NAME: u16 = 3;
    pub(crate) const LINK_NAMESPACE: u16 = 28;
    /// IFF_UP (netdevice(7)).
    pub(crate) const UP: u32 = 1;
}

/// A request with its attributes (netlink(7)): header, fixed part, then type-length-value.
#[derive(Debug, Clone)]
pub(crate) struct Message {
    bytes: Vec<u8>,
}

/// Attributes one after the other: the inside of one that has others in it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Attributes {
    bytes: Vec<u8>,
}

impl Attributes {
    pub(crate) fn new() -> Attributes {
        Attributes::default()
    }

    /// Begins with bytes that are no attribute: a fixed part.
    #[cfg(feature = "companion")]
    pub(crate) fn behind(fixed: &[u8]) -> Attributes {
        Attributes { bytes: fixed.to_vec() }
    }

    /// Adds an attribute. What does not fit its 16-bit length is refused, not cut (CVE-2021-43784).
    pub(crate) fn put(mut self, kind: u16, value: &[u8]) -> Result<Attributes> {
        let length = u16::try_from(value.len() + 4).ok().context("a netlink attribute is too long")?;
        self.bytes.extend_from_slice(&length.to_ne_bytes());
        self.bytes.extend_from_slice(&kind.to_ne_bytes());
        self.bytes.extend_from_slice(value);
        self.bytes.resize(self.bytes.len().next_multiple_of(4), 0);
        Ok(self)
    }

    /// Adds a text with the nought at its end.
    #[cfg(feature = "companion")]
    pub(crate) fn text(self, kind: u16, text: &str) -> Result<Attributes> {
        self.put(kind, &[text.as_bytes(), b"\0"].concat())
    }

    /// Adds an attribute that is made of attributes.
    #[cfg(feature = "companion")]
    pub(crate) fn nest(self, kind: u16, inner: &Attributes) -> Result<Attributes> {
        // NLA_F_NESTED
        self.put(kind | 0x8000, &inner.bytes)
    }
}

impl Message {
    /// A request of this kind with its fixed part.
    pub(crate) fn new(kind: u16, flags: u16, fixed: &[u8]) -> Message {
        let mut bytes = vec![0; 16];
        bytes[4..6].copy_from_slice(&kind.to_ne_bytes());
        bytes[6..8].copy_from_slice(&(REQUEST | flags).to_ne_bytes());
        bytes.extend_from_slice(fixed);
        Message { bytes }
    }

    /// Adds an attribute.
    pub(crate) fn attribute(self, kind: u16, value: &[u8]) -> Result<Message> {
        Ok(self.with(&Attributes::new().put(kind, value)?))
    }

    /// Adds attributes.
    pub(crate) fn with(mut self, attributes: &Attributes) -> Message {
        self.bytes.extend_from_slice(&attributes.bytes);
        self
    }

    /// Numbers it, so that its answer is known among others.
    #[cfg(feature = "companion")]
    pub(crate) fn numbered(mut self, number: u32) -> Message {
        self.bytes[8..12].copy_from_slice(&number.to_ne_bytes());
        self
    }

    /// Its bytes, with further flags.
    pub(crate) fn finished(mut self, flags: u16) -> Vec<u8> {
        let flags = u16::from_ne_bytes([self.bytes[6], self.bytes[7]]) | flags;
        self.bytes[6..8].copy_from_slice(&flags.to_ne_bytes());
        let length = self.bytes.len() as u32;
        self.bytes[..4].copy_from_slice(&length.to_ne_bytes());
        self.bytes
    }
}

/// A socket of the network namespace that this thread is in when it is opened.
#[derive(Debug)]
pub(crate) struct Socket(OwnedFd);

impl AsFd for Socket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

impl Socket {
    /// Opens one of rtnetlink(7).
    pub(crate) fn open() -> Result<Socket> {
        // NETLINK_ROUTE is protocol 0.
        socket_with(AddressFamily::NETLINK, SocketType::RAW, SocketFlags::CLOEXEC, None)
            .map(Socket)
            .attempt(|| "open a netlink socket")
    }

    /// Opens one of netfilter's.
    #[cfg(feature = "companion")]
    pub(crate) fn netfilter() -> Result<Socket, Errno> {
        let protocol = Some(rustix::net::netlink::NETFILTER);
        socket_with(AddressFamily::NETLINK, SocketType::RAW, SocketFlags::CLOEXEC, protocol).map(Socket)
    }

    /// Sends bytes that are messages.
    #[cfg(feature = "companion")]
    pub(crate) fn send(&self, bytes: &[u8]) -> Result<(), Errno> {
        send(&self.0, bytes, SendFlags::empty()).map(drop)
    }

    /// Hands on the next answers: which request, and the kernel's yes or no.
    #[cfg(feature = "companion")]
    pub(crate) fn answers(&self, mut each: impl FnMut(u32, Result<(), Errno>)) -> Result<(), Errno> {
        let packet = self.receive()?;
        parts(&packet).iter().filter(|part| part.kind == ERROR).for_each(|part| each(part.number, answer(part.body)));
        Ok(())
    }

    /// Forgets answers that are there. The kernel has given all of them when a request is sent.
    #[cfg(feature = "companion")]
    pub(crate) fn drain(&self) {
        while recv(&self.0, &mut [0; 16], RecvFlags::DONTWAIT).is_ok() {}
    }

    /// Asks for one thing, and hands on the body of what the kernel says.
    #[cfg(feature = "companion")]
    pub(crate) fn get(&self, message: Message) -> Result<Vec<u8>, Errno> {
        send(&self.0, &message.finished(0), SendFlags::empty())?;
        match parts(&self.receive()?).first() {
            Some(part) if part.kind == ERROR => answer(part.body).and(Err(Errno::PROTO)),
            Some(part) => Ok(part.body.to_vec()),
            None => Err(Errno::PROTO),
        }
    }

    /// Sends a request and waits for the kernel's yes or no.
    pub(crate) fn request(&self, message: Message) -> Result<(), Errno> {
        send(&self.0, &message.finished(ACKNOWLEDGE), SendFlags::empty())?;
        for part in parts(&self.receive()?) {
            if part.kind == ERROR {
                return answer(part.body);
            }
        }
        Err(Errno::PROTO)
    }

    /// Asks for a list, and hands each of its entries' bodies to `each`.
    pub(crate) fn list(&self, message: Message, mut each: impl FnMut(&[u8])) -> Result<()> {
        send(self.0.as_fd(), &message.finished(DUMP), SendFlags::empty()).attempt(|| "ask for a list by netlink")?;
        loop {
            for part in parts(&self.receive().attempt(|| "read a list from netlink")?) {
                match part.kind {
                    DONE => return Ok(()),
                    ERROR => bail!("the kernel refused a list by netlink"),
                    _ => each(part.body),
                }
            }
        }
    }

    fn receive(&self) -> Result<Vec<u8>, Errno> {
        let mut bytes = vec![0; 65536];
        loop {
            match recv(&self.0, &mut bytes[..], RecvFlags::empty()) {
                Err(Errno::INTR) => {}
                Ok((_, length)) => {
                    bytes.truncate(length);
                    return Ok(bytes);
                }
                Err(error) => return Err(error),
            }
        }
    }
}

/// The errno of an NLMSG_ERROR, negative as the kernel keeps it; 0 is a yes.
fn answer(body: &[u8]) -> Result<(), Errno> {
    match body.first_chunk().map(|bytes| i32::from_ne_bytes(*bytes)) {
        Some(0) => Ok(()),
        // MAX_ERRNO of include/linux/err.h.
        Some(number @ -4095..0) => Err(Errno::from_raw_os_error(-number)),
        _ => Err(Errno::PROTO),
    }
}

struct Part<'a> {
    kind: u16,
    #[cfg_attr(not(feature = "companion"), allow(dead_code, reason = "the runtime has one request at a time"))]
    number: u32,
    body: &'a [u8],
}

/// The messages of a packet. Lengths that lead outside end it.
fn parts(packet: &[u8]) -> Vec<Part<'_>> {
    let mut parts = Vec::new();
    let mut rest = packet;
    while let Some(header) = rest.first_chunk::<16>() {
        let length = u32::from_ne_bytes([header[0], header[1], header[2], header[3]]) as usize;
        let Some(message) = rest.get(..length).filter(|_| length >= 16) else { break };
        let number = u32::from_ne_bytes([header[8], header[9], header[10], header[11]]);
        parts.push(Part { kind: u16::from_ne_bytes([header[4], header[5]]), number, body: &message[16..] });
        rest = rest.get(length.next_multiple_of(4)..).unwrap_or_default();
    }
    parts
}

/// Attributes of a body, behind its fixed part.
pub(crate) fn attributes(mut rest: &[u8]) -> Vec<(u16, &[u8])> {
    let mut attributes = Vec::new();
    while let Some(header) = rest.first_chunk::<4>() {
        let length = usize::from(u16::from_ne_bytes([header[0], header[1]]));
        let Some(attribute) = rest.get(..length).filter(|_| length >= 4) else { break };
        attributes.push((u16::from_ne_bytes([header[2], header[3]]), &attribute[4..]));
        rest = rest.get(length.next_multiple_of(4)..).unwrap_or_default();
    }
    attributes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_can_be_read() {
        let message =
            Message::new(16, 0, &[0; 16]).attribute(3, b"eth0\0").unwrap().attribute(28, &[7, 0, 0, 0]).unwrap();
        let bytes = message.finished(ACKNOWLEDGE);
        let parts = parts(&bytes);
        assert_eq!((parts.len(), parts[0].kind), (1, 16));
        assert_eq!(attributes(&parts[0].body[16..]), [(3, b"eth0\0".as_slice()), (28, [7, 0, 0, 0].as_slice())]);
    }

    #[test]
    fn too_long_an_attribute_is_refused() {
        assert!(Message::new(16, 0, &[]).attribute(1, &[0; 65532]).is_err());
        assert!(Message::new(16, 0, &[]).attribute(1, &[0; 65531]).is_ok());
    }

    #[test]
    fn only_an_errno_is_taken_for_one() {
        assert_eq!(answer(&0i32.to_ne_bytes()), Ok(()));
        assert_eq!(answer(&(-libc::ENODEV).to_ne_bytes()), Err(Errno::NODEV));
        for number in [1, i32::MAX, i32::MIN, -4096] {
            assert_eq!(answer(&number.to_ne_bytes()), Err(Errno::PROTO), "{number}");
        }
        assert_eq!(answer(&[0; 3]), Err(Errno::PROTO));
    }

    #[test]
    fn lying_lengths_end_the_reading() {
        assert!(attributes(&[3, 0, 1, 0]).is_empty());
        assert!(attributes(&[255, 255, 1, 0, 9]).is_empty());
        assert!(parts(&[255; 32]).is_empty());
    }
}
