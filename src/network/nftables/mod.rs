//! nftables as data: a table with its chains, rules, sets and maps, and what happens to their elements. They print as nft(8) has them.
//!
//! There is nothing but what the rules of this program need. [`encode`] makes messages of it, [`transaction`] has the kernel take all of
//! them or none.

pub(super) mod encode;
pub(super) mod transaction;

use std::fmt;
use std::net::IpAddr;

use ipnet::IpNet;

/// A table of the family `inet`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Table {
    pub(super) name: String,
    pub(super) sets: Vec<Set>,
    pub(super) chains: Vec<Chain>,
}

/// A set, or a map if its elements lead to something.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Set {
    pub(super) name: &'static str,
    pub(super) key: &'static [Type],
    pub(super) value: Value,
    /// Whether the elements are ranges of keys.
    pub(super) ranges: bool,
    pub(super) elements: Vec<Element>,
}

/// What the elements of a map lead to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Value {
    Nothing,
    Verdict,
    Data(&'static [Type]),
}

/// The type of a part of a key or a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Type {
    Address4,
    Address6,
    Protocol,
    Port,
    Link,
    Mark,
}

/// A part of a key or a value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Datum {
    Address(IpAddr),
    /// Of IPPROTO_*.
    Protocol(u8),
    Port(u16),
    Link(String),
    Mark(u32),
    /// All addresses of a subnet, in a set of ranges.
    Subnet(IpNet),
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Element {
    pub(super) key: Vec<Datum>,
    pub(super) target: Target,
    /// Whose it is.
    pub(super) comment: String,
}

/// What an element leads to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Target {
    Nothing,
    Jump(String),
    Data(Vec<Datum>),
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Chain {
    pub(super) name: String,
    /// Where packets come from; none for a chain that others jump to.
    pub(super) hook: Option<Hook>,
    pub(super) rules: Vec<Vec<Statement>>,
}

/// A hook of netfilter, and the place among those that have the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Hook {
    /// Before connections are looked up.
    Raw,
    /// Where a packet's connection is known, and its way not yet looked for.
    Mangle,
    /// Where destinations change: for what comes in, and what this machine itself sends.
    Prerouting,
    Output,
    /// What is passed on.
    Forward,
    /// Where sources change.
    Postrouting,
}

impl Hook {
    /// Type, number (linux/netfilter.h) and priority (linux/netfilter_ipv4.h).
    fn parts(self) -> (&'static str, &'static str, u32, i32) {
        match self {
            Hook::Raw => ("filter", "prerouting", 0, -300),
            Hook::Mangle => ("filter", "prerouting", 0, -150),
            Hook::Prerouting => ("nat", "prerouting", 0, -100),
            Hook::Output => ("nat", "output", 3, -100),
            Hook::Forward => ("filter", "forward", 2, 0),
            Hook::Postrouting => ("nat", "postrouting", 4, 100),
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Family {
    V4,
    V6,
}

impl Family {
    pub(super) fn of(address: IpAddr) -> Family {
        if address.is_ipv4() { Family::V4 } else { Family::V6 }
    }
}

/// The incoming or the outgoing link.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Side {
    In,
    Out,
}

/// The source or the destination of a packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    Source,
    Destination,
}

/// A part of a rule: it holds or the rule ends; the last one acts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Statement {
    Link(Side, Is, String),
    LinkIn(Side, Is, &'static str),
    /// An address of this machine.
    Local(End),
    /// An address in a subnet.
    Address(End, Is, IpNet),
    Transport(u8, u16),
    /// `ct state`: of the bits of `enum ip_conntrack_info` as nftables has them.
    State(State),
    /// Its destination was changed (`ct status dnat`), or not.
    Translated(Is),
    /// Looks the link up in a map of verdicts.
    LinkMap(Side, &'static str),
    /// Looks the source up in a map of verdicts.
    SourceMap(Family, &'static str),
    /// Changes the destination to what a map has for protocol and port, with the address in front or without.
    TranslateByMap {
        family: Family,
        by_address: bool,
        map: &'static str,
    },
    TranslateTo(IpAddr, u16),
    /// Marks the connection with what a map has for the incoming link.
    MarkByLink(&'static str),
    /// Marks the packet as its connection is marked.
    RestoreMark,
    Masquerade,
    Accept,
    Drop,
    Jump(&'static str),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Is {
    Is,
    IsNot,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum State {
    Invalid,
    EstablishedOrRelated,
}

impl fmt::Display for Family {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if *self == Family::V4 { "ip" } else { "ip6" })
    }
}

impl fmt::Display for Side {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if *self == Side::In { "iifname" } else { "oifname" })
    }
}

impl fmt::Display for End {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if *self == End::Source { "saddr" } else { "daddr" })
    }
}

impl fmt::Display for Is {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if *self == Is::Is { "" } else { "!= " })
    }
}

impl fmt::Display for Statement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let family = |subnet: &IpNet| Family::of(subnet.addr());
        match self {
            Statement::Link(side, is, name) => write!(f, "{side} {is}{name:?}"),
            Statement::LinkIn(side, is, set) => write!(f, "{side} {is}@{set}"),
            Statement::Local(end) => write!(f, "fib {end} type local"),
            Statement::Address(end, is, subnet) => write!(f, "{} {end} {is}{subnet}", family(subnet)),
            Statement::Transport(protocol, port) => write!(f, "meta l4proto {protocol} th dport {port}"),
            Statement::State(State::Invalid) => f.write_str("ct state invalid"),
            Statement::State(State::EstablishedOrRelated) => f.write_str("ct state established,related"),
            Statement::Translated(is) => write!(f, "ct status {is}dnat"),
            Statement::LinkMap(side, map) => write!(f, "{side} vmap @{map}"),
            Statement::SourceMap(family, map) => write!(f, "{family} saddr vmap @{map}"),
            Statement::TranslateByMap { family, by_address, map } => {
                let address = if *by_address { format!("{family} daddr . ") } else { String::new() };
                write!(f, "dnat {family} to {address}meta l4proto . th dport map @{map}")
            }
            Statement::TranslateTo(address, port) => write!(f, "dnat {} to {address}:{port}", Family::of(*address)),
            Statement::MarkByLink(map) => write!(f, "ct mark set iifname map @{map}"),
            Statement::RestoreMark => f.write_str("meta mark set ct mark"),
            Statement::Masquerade => f.write_str("masquerade"),
            Statement::Accept => f.write_str("accept"),
            Statement::Drop => f.write_str("drop"),
            Statement::Jump(chain) => write!(f, "jump {chain}"),
        }
    }
}

/// A line for each rule, behind the name of its chain.
impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for chain in &self.chains {
            for rule in &chain.rules {
                let statements: Vec<String> = rule.iter().map(Statement::to_string).collect();
                writeln!(f, "{}: {}", chain.name, statements.join(" "))?;
            }
        }
        Ok(())
    }
}
