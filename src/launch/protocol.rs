//! How the parent and init talk: one SOCK_SEQPACKET pair, a message a packet.
//!
//! ```text
//!  parent (the runtime)                 between (only some plans)        init
//!  ─────────────────────────────────────────────────────────────────────────────────────────────
//!  opens the preparations
//!  clone3 ────────────────────────────▶ born in the cgroup          or   born in the cgroup
//!  has it moved into the cgroup          (where it could not be born there)
//!  InCgroup ──────────────────────────▶                             or ─▶
//!                                       joins, unshares
//!    writes the id maps ◀────────────── MapMe
//!    IdsMapped ─────────────────────▶
//!                                       clone3, CLONE_PARENT ──────────▶ child of the parent
//!    opens its pidfd    ◀────────────── InitPid, exits
//!  writes init's id maps
//!  IdsMapped ─────────────────────────────────────────────────────────▶ (with a new user namespace)
//!  limits, network devices                                               mounts
//!  prestart hooks,      ◀─────────────────────────────────────────────── HooksNow
//!  createRuntime hooks
//!  HooksDone ─────────────────────────────────────────────────────────▶ createContainer hooks
//!                                                                        pivot_root, identity, …
//!  takes the listener   ◀─────────────────────────────────────────────── Listener   (seccomp notify)
//!  ListenerTaken ─────────────────────────────────────────────────────▶
//!  rlimits, state file  ◀─────────────────────────────────────────────── Ready
//!  Go ────────────────────────────────────────────────────────────────▶
//!  create: exits                                                         create: waits at the start gate
//!  waits longer for an  ◀─────────────────────────────────────────────── Turn       startContainer hooks, of each
//!  agent of seccomp                                                                 beginning and end (seccomp notify)
//!  run, exec: end of file ◀──────────────────────────────────────────── execve (close-on-exec)
//! ```
//!
//! `Failed` can come in place of any message of init's; it says what failed in a sentence, and init has ended. End of file
//! before `Ready` means that init was killed. Init on its side ends when the parent's end of the pair is closed before `Go`:
//! a runtime that is killed leaves nobody waiting. After the filter is loaded init uses read(2) and write(2) only, which
//! every filter that lets a program run allows.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::Instant;

use anyhow::{Context, Result};
use rustix::io::{Errno, read, write};
use rustix::net::{AddressFamily, SocketFlags, SocketType, socketpair};

use super::patience::{self, Turn};
use crate::error::Attempt;

/// The longest packet: an error's text is cut to it.
const LONGEST: usize = 4096;

/// What init (or the process between) says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ToParent {
    /// The process between is in a new user namespace and waits for its maps.
    MapMe,
    /// Init's pid, in the runtime's pid namespace.
    InitPid(i32),
    /// The mounts are made: run the hooks that run outside.
    HooksNow,
    /// The filter is loaded; its listener has this number in init.
    Listener(i32),
    /// All is prepared.
    Ready,
    /// Where init is on the rest of its way.
    Turn(Turn),
    /// What failed.
    Failed(Failure),
}

/// What the parent says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ToInit {
    /// The process is in its cgroup.
    InCgroup,
    /// The maps are written.
    IdsMapped,
    /// The hooks went well.
    HooksDone,
    /// The listener is in good hands.
    ListenerTaken,
    /// Everything is written down.
    Go,
}

/// Why init ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// The kernel's number; 0 where no system call was the cause.
    pub errno: i32,
    /// One sentence.
    pub text: String,
}

impl Failure {
    /// As an error, its errno kept.
    pub fn into_error(self) -> anyhow::Error {
        anyhow::Error::new(Reported(self))
    }
}

/// A failure that init reported.
#[derive(Debug)]
pub struct Reported(pub Failure);

impl std::fmt::Display for Reported {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0.text)
    }
}

impl std::error::Error for Reported {}

/// The parent's end.
#[derive(Debug)]
pub struct ParentEnd(OwnedFd);

/// Init's end.
#[derive(Debug)]
pub struct InitEnd(OwnedFd);

/// A new pair, close-on-exec.
pub fn pair() -> Result<(ParentEnd, InitEnd)> {
    let (parent, init) = socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None)
        .attempt(|| "make a socket pair")?;
    Ok((ParentEnd(parent), InitEnd(init)))
}

impl ParentEnd {
    /// Sends; an init that is gone is found out by the next [`ParentEnd::receive`].
    pub fn send(&self, message: ToInit) -> Result<()> {
        match send(self.0.as_fd(), &[message as u8]) {
            Ok(()) | Err(Errno::PIPE) => Ok(()),
            Err(error) => Err(error).attempt(|| "write to init"),
        }
    }

    /// Waits until there is a message, or init's end is closed; false if that is not so in time.
    pub fn wait(&self, deadline: Instant) -> Result<bool> {
        patience::readable(self, Some(deadline))
    }

    /// The next message; none when init's end is closed.
    pub fn receive(&self) -> Result<Option<ToParent>> {
        let mut packet = [0; LONGEST];
        let length = receive(self.0.as_fd(), &mut packet).attempt(|| "read from init")?;
        if length == 0 {
            return Ok(None);
        }
        ToParent::decode(&packet[..length]).map(Some).context("init sent a message of no known kind")
    }
}

impl AsFd for ParentEnd {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

impl AsFd for InitEnd {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

impl InitEnd {
    /// Sends.
    pub fn send(&self, message: &ToParent) -> std::result::Result<(), Errno> {
        let mut packet = [0; LONGEST];
        let length = message.encode(&mut packet);
        send(self.0.as_fd(), &packet[..length])
    }

    /// Waits for this message; a parent that is gone is EPIPE.
    pub fn expect(&self, expected: ToInit) -> std::result::Result<(), Errno> {
        let mut packet = [0; 1];
        match receive(self.0.as_fd(), &mut packet)? {
            0 => Err(Errno::PIPE),
            _ if packet[0] == expected as u8 => Ok(()),
            _ => Err(Errno::PROTO),
        }
    }
}

fn send(socket: BorrowedFd<'_>, packet: &[u8]) -> std::result::Result<(), Errno> {
    loop {
        match write(socket, packet) {
            Ok(_) => return Ok(()),
            Err(Errno::INTR) => {}
            Err(error) => return Err(error),
        }
    }
}

fn receive(socket: BorrowedFd<'_>, packet: &mut [u8]) -> std::result::Result<usize, Errno> {
    loop {
        match read(socket, &mut *packet) {
            Err(Errno::INTR) => {}
            // What init never read is still in its queue when it dies: the pair says so by a reset.
            Err(Errno::CONNRESET) => return Ok(0),
            result => return result,
        }
    }
}

impl ToParent {
    fn encode(&self, packet: &mut [u8; LONGEST]) -> usize {
        let (kind, number, text) = match self {
            ToParent::MapMe => (0, 0, ""),
            ToParent::InitPid(pid) => (1, *pid, ""),
            ToParent::HooksNow => (2, 0, ""),
            ToParent::Listener(number) => (3, *number, ""),
            ToParent::Ready => (4, 0, ""),
            ToParent::Failed(failure) => (5, failure.errno, failure.text.as_str()),
            ToParent::Turn(turn) => (6, turn.byte().into(), ""),
        };
        packet[0] = kind;
        packet[1..5].copy_from_slice(&number.to_ne_bytes());
        let length = text.len().min(LONGEST - 5);
        packet[5..5 + length].copy_from_slice(&text.as_bytes()[..length]);
        5 + length
    }

    fn decode(packet: &[u8]) -> Option<ToParent> {
        let number = i32::from_ne_bytes(packet.get(1..5)?.try_into().ok()?);
        Some(match packet[0] {
            0 => ToParent::MapMe,
            1 => ToParent::InitPid(number),
            2 => ToParent::HooksNow,
            3 => ToParent::Listener(number),
            4 => ToParent::Ready,
            5 => {
                let text = String::from_utf8_lossy(&packet[5..]).into_owned();
                ToParent::Failed(Failure { errno: number, text })
            }
            6 => ToParent::Turn(u8::try_from(number).ok().and_then(Turn::of)?),
            _ => return None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_message_arrives_as_it_was_sent() {
        let (parent, init) = pair().unwrap();
        let failure = Failure { errno: 2, text: "exec: \"ü\": not found".into() };
        let all = [
            ToParent::MapMe,
            ToParent::InitPid(4_000_000),
            ToParent::HooksNow,
            ToParent::Listener(7),
            ToParent::Ready,
            ToParent::Turn(Turn::HookBegins),
            ToParent::Turn(Turn::HookEnds),
            ToParent::Failed(failure),
        ];
        for message in all {
            init.send(&message).unwrap();
            assert_eq!(parent.receive().unwrap(), Some(message));
        }
        for message in [ToInit::InCgroup, ToInit::IdsMapped, ToInit::HooksDone, ToInit::ListenerTaken, ToInit::Go] {
            parent.send(message).unwrap();
            init.expect(message).unwrap();
        }
    }

    #[test]
    fn a_text_too_long_for_a_packet_is_cut() {
        let (parent, init) = pair().unwrap();
        init.send(&ToParent::Failed(Failure { errno: 1, text: "x".repeat(10_000) })).unwrap();
        let Some(ToParent::Failed(failure)) = parent.receive().unwrap() else { panic!("not a failure") };
        assert_eq!(failure.text.len(), LONGEST - 5);
    }

    #[test]
    fn each_side_sees_the_other_go() {
        let (parent, init) = pair().unwrap();
        drop(parent);
        assert_eq!(init.expect(ToInit::Go), Err(Errno::PIPE));
        let (parent, init) = pair().unwrap();
        parent.send(ToInit::Go).unwrap();
        drop(init);
        assert_eq!(parent.receive().unwrap(), None);
        parent.send(ToInit::Go).unwrap();
    }
}
