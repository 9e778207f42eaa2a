//! Messages of nf_tables, as linux/netfilter/nf_tables.h has them; numbers of attributes are in network order.

use std::net::IpAddr;

use anyhow::Result;
use ipnet::IpNet;

use super::{Chain, Datum, Element, End, Family, Is, Set, Side, State, Statement, Table, Target, Type, Value};
use crate::netlink::{Attributes, Message};

const SUBSYSTEM: u16 = 10;
const INET: u8 = 1;
const IPV4: u32 = 2;
const IPV6: u32 = 10;
/// NLM_F_CREATE.
const CREATE: u16 = 0x400;

/// NFT_MSG_*.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    NewTable = 0,
    GetTable = 1,
    DeleteTable = 2,
    NewChain = 3,
    GetChain = 4,
    NewRule = 6,
    NewSet = 9,
    NewElements = 12,
    DeleteElements = 14,
}

/// NFTA_LIST_ELEM.
const LIST_ELEMENT: u16 = 1;
/// Elements in one message, whose list has to fit 64 KiB.
const AT_ONCE: usize = 200;

fn message(kind: Kind, family: u8) -> Message {
    let is_new = matches!(kind, Kind::NewTable | Kind::NewChain | Kind::NewRule | Kind::NewSet | Kind::NewElements);
    let flags = if is_new { CREATE } else { 0 };
    // struct nfgenmsg: family, version, resource.
    Message::new(SUBSYSTEM << 8 | kind as u16, flags, &[family, 0, 0, 0])
}

/// Begins or ends a transaction.
pub(super) fn batch(begins: bool) -> Message {
    let [high, low] = SUBSYSTEM.to_be_bytes();
    Message::new(if begins { 0x10 } else { 0x11 }, 0, &[0, 0, high, low])
}

fn big(number: u32) -> [u8; 4] {
    number.to_be_bytes()
}

/// The messages that make a table in place of the one of its name.
pub(super) fn replace(table: &Table) -> Result<Vec<Message>> {
    let name = Attributes::new().text(1, &table.name)?;
    // Made if it is not there, so that deleting it can't fail.
    let mut messages = vec![message(Kind::NewTable, INET).with(&name)];
    messages.push(message(Kind::DeleteTable, INET).with(&name));
    messages.extend(make(table)?);
    Ok(messages)
}

/// The messages that make a table where there is none of its name.
pub(super) fn make(table: &Table) -> Result<Vec<Message>> {
    let mut messages = vec![message(Kind::NewTable, INET).with(&Attributes::new().text(1, &table.name)?)];
    for (number, set) in table.sets.iter().enumerate() {
        messages.push(new_set(&table.name, set, number as u32 + 1)?);
    }
    for chain in &table.chains {
        messages.push(new_chain(&table.name, chain)?);
    }
    for set in &table.sets {
        messages.extend(elements(Kind::NewElements, &table.name, set.name, &set.elements)?);
    }
    for chain in &table.chains {
        for rule in &chain.rules {
            messages.push(new_rule(&table.name, &chain.name, rule)?);
        }
    }
    Ok(messages)
}

/// The message that deletes a table.
pub(super) fn delete(name: &str) -> Result<Message> {
    Ok(message(Kind::DeleteTable, INET).with(&Attributes::new().text(1, name)?))
}

/// The message that asks for a table.
pub(super) fn get_table(name: &str) -> Result<Message> {
    Ok(message(Kind::GetTable, INET).with(&Attributes::new().text(1, name)?))
}

/// The message that asks for a chain.
pub(super) fn get_chain(table: &str, chain: &str) -> Result<Message> {
    Ok(message(Kind::GetChain, INET).with(&Attributes::new().text(1, table)?.text(3, chain)?))
}

/// The message that asks for all chains of all families.
pub(super) fn list_chains() -> Message {
    message(Kind::GetChain, 0)
}

fn new_set(table: &str, set: &Set, number: u32) -> Result<Message> {
    let (interval, map) = (0x4, 0x8);
    let flags = if set.ranges { interval } else { 0 } | if set.value == Value::Nothing { 0 } else { map };
    let mut attributes = Attributes::new().text(1, table)?.text(2, set.name)?.put(3, &big(flags))?;
    attributes = attributes.put(4, &big(name_of_types(set.key)))?.put(5, &big(length(set.key)))?;
    attributes = match set.value {
        Value::Nothing => attributes,
        // NFT_DATA_VERDICT
        Value::Verdict => attributes.put(6, &big(0xffff_ff00))?.put(7, &big(0))?,
        Value::Data(types) => attributes.put(6, &big(name_of_types(types)))?.put(7, &big(length(types)))?,
    };
    attributes = attributes.put(10, &big(number))?;
    if set.key == [Type::Link] {
        // For nft(8): the order of the key's bytes (type 0) is the host's (1), else it prints no name.
        let mut order = [&[0, 4][..], &1u32.to_ne_bytes()].concat();
        if set.value == Value::Data(&[Type::Mark]) {
            // The same of what they lead to (type 1).
            order.extend([&[1, 4][..], &1u32.to_ne_bytes()].concat());
        }
        attributes = attributes.put(13, &order)?;
    }
    Ok(message(Kind::NewSet, INET).with(&attributes))
}

/// What nft(8) calls types by: six bits for each.
fn name_of_types(types: &[Type]) -> u32 {
    let number = |one: &Type| match one {
        Type::Address4 => 7,
        Type::Address6 => 8,
        Type::Protocol => 12,
        Type::Port => 13,
        Type::Mark => 19,
        Type::Link => 41,
    };
    types.iter().fold(0, |whole, one| whole << 6 | number(one))
}

/// Bytes of a concatenation: each part begins at a register of four.
fn length(types: &[Type]) -> u32 {
    let bytes = |one: &Type| match one {
        Type::Address6 | Type::Link => 16,
        Type::Address4 | Type::Protocol | Type::Port | Type::Mark => 4,
    };
    match types {
        // Alone, it has its own length.
        [Type::Protocol] => 1,
        [Type::Port] => 2,
        _ => types.iter().map(bytes).sum(),
    }
}

/// The messages that add or delete elements of a set.
pub(super) fn elements(kind: Kind, table: &str, set: &str, elements: &[Element]) -> Result<Vec<Message>> {
    elements
        .chunks(AT_ONCE)
        .map(|some| {
            let mut list = Attributes::new();
            for element in some {
                for attributes in element_attributes(kind, element)? {
                    list = list.nest(LIST_ELEMENT, &attributes)?;
                }
            }
            Ok(message(kind, INET).with(&Attributes::new().text(1, table)?.text(2, set)?.nest(3, &list)?))
        })
        .collect()
}

/// An element; a range is two: where it begins, and what is behind it.
fn element_attributes(kind: Kind, element: &Element) -> Result<Vec<Attributes>> {
    let mut attributes = Attributes::new().nest(1, &value(&data(&element.key))?)?;
    if kind == Kind::NewElements {
        attributes = match &element.target {
            Target::Nothing => attributes,
            Target::Jump(chain) => attributes.nest(2, &verdict(JUMP, Some(chain))?)?,
            Target::Data(parts) => attributes.nest(2, &value(&data(parts))?)?,
        };
        if !element.comment.is_empty() {
            attributes = attributes.put(6, &comment(&element.comment))?;
        }
    }
    let mut both = vec![attributes];
    if let [Datum::Subnet(subnet)] = &element.key[..] {
        // NFT_SET_ELEM_INTERVAL_END
        let end = behind(subnet).map(|end| Attributes::new().put(3, &big(1))?.nest(1, &value(&end)?));
        both.extend(end.transpose()?);
    }
    Ok(both)
}

/// The address behind a subnet's last.
fn behind(subnet: &IpNet) -> Option<Vec<u8>> {
    match subnet.broadcast() {
        IpAddr::V4(last) => Some(u32::from(last).checked_add(1)?.to_be_bytes().to_vec()),
        IpAddr::V6(last) => Some(u128::from(last).checked_add(1)?.to_be_bytes().to_vec()),
    }
}

/// As libnftnl has a comment: type 0, length, text with a nought.
fn comment(text: &str) -> Vec<u8> {
    let text = &text.as_bytes()[..text.len().min(127)];
    [&[0, text.len() as u8 + 1], text, b"\0"].concat()
}

/// The bytes of a key or a value.
fn data(parts: &[Datum]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for part in parts {
        match part {
            Datum::Address(IpAddr::V4(address)) => bytes.extend(address.octets()),
            Datum::Address(IpAddr::V6(address)) => bytes.extend(address.octets()),
            Datum::Protocol(number) => bytes.push(*number),
            Datum::Port(number) => bytes.extend(number.to_be_bytes()),
            Datum::Link(name) => bytes.extend(link_name(name)),
            Datum::Mark(number) => bytes.extend(number.to_ne_bytes()),
            Datum::Subnet(subnet) => return data(&[Datum::Address(subnet.network())]),
        }
        if parts.len() > 1 {
            bytes.resize(bytes.len().next_multiple_of(4), 0);
        }
    }
    bytes
}

/// A link's name as the kernel compares it.
fn link_name(name: &str) -> [u8; 16] {
    let mut bytes = [0; 16];
    let length = name.len().min(15);
    bytes[..length].copy_from_slice(&name.as_bytes()[..length]);
    bytes
}

fn value(bytes: &[u8]) -> Result<Attributes> {
    Attributes::new().put(1, bytes)
}

const DROP: i32 = 0;
const ACCEPT: i32 = 1;
const JUMP: i32 = -3;

fn verdict(code: i32, chain: Option<&str>) -> Result<Attributes> {
    let mut attributes = Attributes::new().put(1, &code.to_be_bytes())?;
    if let Some(chain) = chain {
        attributes = attributes.text(2, chain)?;
    }
    Attributes::new().nest(2, &attributes)
}

fn new_chain(table: &str, chain: &Chain) -> Result<Message> {
    let mut attributes = Attributes::new().text(1, table)?.text(3, &chain.name)?;
    if let Some(hook) = chain.hook {
        let (kind, _, number, priority) = hook.parts();
        let hook = Attributes::new().put(1, &big(number))?.put(2, &priority.to_be_bytes())?;
        attributes = attributes.nest(4, &hook)?.put(5, &big(1))?.text(7, kind)?;
    }
    Ok(message(Kind::NewChain, INET).with(&attributes))
}

fn new_rule(table: &str, chain: &str, statements: &[Statement]) -> Result<Message> {
    let mut expressions = Expressions(Attributes::new());
    for statement in statements {
        expressions = expressions.statement(statement)?;
    }
    let attributes = Attributes::new().text(1, table)?.text(2, chain)?.nest(4, &expressions.0)?;
    // NLM_F_APPEND: rules stay in their order.
    const APPEND: u16 = 0x800;
    let rule = Message::new(SUBSYSTEM << 8 | Kind::NewRule as u16, CREATE | APPEND, &[INET, 0, 0, 0]);
    Ok(rule.with(&attributes))
}

/// NFT_REG_1, which has 16 bytes, and is the same as the four registers from NFT_REG32_00 on.
const FIRST: u32 = 1;
const FIRST_OF_FOUR: u32 = 8;
const META_MARK: u32 = 3;
const META_INCOMING: u32 = 6;
const META_OUTGOING: u32 = 7;
const META_FAMILY: u32 = 15;
const META_PROTOCOL: u32 = 16;
/// NFT_CT_MARK.
const CT_MARK: u32 = 3;
const EQUAL: u32 = 0;
const NOT_EQUAL: u32 = 1;

/// Expressions of a rule: what nft(8) shows with `--debug=netlink`.
struct Expressions(Attributes);

impl Expressions {
    fn add(self, name: &str, inner: &Attributes) -> Result<Expressions> {
        let expression = Attributes::new().text(1, name)?.nest(2, inner)?;
        Ok(Expressions(self.0.nest(LIST_ELEMENT, &expression)?))
    }

    fn meta(self, key: u32, register: u32) -> Result<Expressions> {
        self.add("meta", &Attributes::new().put(1, &big(register))?.put(2, &big(key))?)
    }

    fn compare(self, how: u32, bytes: &[u8]) -> Result<Expressions> {
        self.add("cmp", &Attributes::new().put(1, &big(FIRST))?.put(2, &big(how))?.nest(3, &value(bytes)?)?)
    }

    fn mask(self, mask: &[u8]) -> Result<Expressions> {
        let attributes = Attributes::new().put(1, &big(FIRST))?.put(2, &big(FIRST))?.put(3, &big(mask.len() as u32))?;
        self.add("bitwise", &attributes.nest(4, &value(mask)?)?.nest(5, &value(&vec![0; mask.len()])?)?)
    }

    /// Loads bytes of the network header (1) or the transport header (2).
    fn payload(self, header: u32, offset: u32, length: u32, register: u32) -> Result<Expressions> {
        let attributes = Attributes::new().put(1, &big(register))?.put(2, &big(header))?;
        self.add("payload", &attributes.put(3, &big(offset))?.put(4, &big(length))?)
    }

    /// Looks the first register up; what is found goes to a register, or is a verdict.
    fn look_up(self, set: &str, target: Option<u32>, is: Is) -> Result<Expressions> {
        let mut attributes = Attributes::new().text(1, set)?.put(2, &big(FIRST))?;
        if let Some(register) = target {
            attributes = attributes.put(3, &big(register))?;
        }
        if is == Is::IsNot {
            attributes = attributes.put(5, &big(1))?;
        }
        self.add("lookup", &attributes)
    }

    fn immediate(self, register: u32, data: &Attributes) -> Result<Expressions> {
        self.add("immediate", &Attributes::new().put(1, &big(register))?.nest(2, data)?)
    }

    fn verdict(self, code: i32, chain: Option<&str>) -> Result<Expressions> {
        self.immediate(0, &verdict(code, chain)?)
    }

    fn family(self, family: Family) -> Result<Expressions> {
        self.meta(META_FAMILY, FIRST)?.compare(EQUAL, &[if family == Family::V4 { IPV4 } else { IPV6 } as u8])
    }

    fn address(self, family: Family, end: End) -> Result<Expressions> {
        let (offset, length) = match (family, end) {
            (Family::V4, End::Source) => (12, 4),
            (Family::V4, End::Destination) => (16, 4),
            (Family::V6, End::Source) => (8, 16),
            (Family::V6, End::Destination) => (24, 16),
        };
        self.payload(1, offset, length, FIRST)
    }

    fn link(self, side: Side) -> Result<Expressions> {
        self.meta(if side == Side::In { META_INCOMING } else { META_OUTGOING }, FIRST)
    }

    /// NFTA_NAT_*: a change of the destination to what two registers have.
    fn translate(self, family: Family, address: u32, port: u32) -> Result<Expressions> {
        let family = if family == Family::V4 { IPV4 } else { IPV6 };
        let attributes = Attributes::new().put(1, &big(1))?.put(2, &big(family))?;
        self.add("nat", &attributes.put(3, &big(address))?.put(5, &big(port))?)
    }

    /// A key of conntrack, of which some bits are looked at.
    fn tracked(self, key: u32, bits: u32, how: u32) -> Result<Expressions> {
        let loaded = self.add("ct", &Attributes::new().put(1, &big(FIRST))?.put(2, &big(key))?)?;
        loaded.mask(&bits.to_ne_bytes())?.compare(how, &[0; 4])
    }

    fn statement(self, statement: &Statement) -> Result<Expressions> {
        let how = |is: &Is| if *is == Is::Is { EQUAL } else { NOT_EQUAL };
        match statement {
            Statement::Link(side, is, name) => self.link(*side)?.compare(how(is), &link_name(name)),
            Statement::LinkIn(side, is, set) => self.link(*side)?.look_up(set, None, *is),
            Statement::LinkMap(side, map) => self.link(*side)?.look_up(map, Some(0), Is::Is),
            Statement::SourceMap(family, map) => {
                self.family(*family)?.address(*family, End::Source)?.look_up(map, Some(0), Is::Is)
            }
            Statement::Local(end) => {
                // NFT_FIB_RESULT_ADDRTYPE; RTN_LOCAL is 2.
                let flags = if *end == End::Source { 1 } else { 2 };
                let attributes = Attributes::new().put(1, &big(FIRST))?.put(2, &big(3))?.put(3, &big(flags))?;
                self.add("fib", &attributes)?.compare(EQUAL, &2u32.to_ne_bytes())
            }
            Statement::Address(end, is, subnet) => {
                let family = Family::of(subnet.addr());
                let loaded = self.family(family)?.address(family, *end)?;
                let mask = data(&[Datum::Address(subnet.netmask())]);
                loaded.mask(&mask)?.compare(how(is), &data(&[Datum::Address(subnet.network())]))
            }
            Statement::Transport(protocol, port) => {
                let of_protocol = self.meta(META_PROTOCOL, FIRST)?.compare(EQUAL, &[*protocol])?;
                of_protocol.payload(2, 2, 2, FIRST)?.compare(EQUAL, &port.to_be_bytes())
            }
            // NF_CT_STATE_*: a bit that is set makes it unlike nought.
            Statement::State(State::Invalid) => self.tracked(0, 1, NOT_EQUAL),
            Statement::State(State::EstablishedOrRelated) => self.tracked(0, 2 | 4, NOT_EQUAL),
            // IPS_DST_NAT
            Statement::Translated(is) => self.tracked(2, 0x20, if *is == Is::Is { NOT_EQUAL } else { EQUAL }),
            Statement::TranslateByMap { family, by_address, map } => self.translate_by(*family, *by_address, map),
            Statement::TranslateTo(address, port) => {
                let family = Family::of(*address);
                let with_address = self.immediate(FIRST, &value(&data(&[Datum::Address(*address)]))?)?;
                let with_port = with_address.immediate(FIRST_OF_FOUR + 4, &value(&port.to_be_bytes())?)?;
                with_port.translate(family, FIRST, FIRST_OF_FOUR + 4)
            }
            Statement::MarkByLink(map) => {
                let found = self.link(Side::In)?.look_up(map, Some(FIRST), Is::Is)?;
                found.add("ct", &Attributes::new().put(2, &big(CT_MARK))?.put(4, &big(FIRST))?)
            }
            Statement::RestoreMark => {
                let loaded = self.add("ct", &Attributes::new().put(1, &big(FIRST))?.put(2, &big(CT_MARK))?)?;
                loaded.add("meta", &Attributes::new().put(2, &big(META_MARK))?.put(3, &big(FIRST))?)
            }
            Statement::Masquerade => self.add("masq", &Attributes::new()),
            Statement::Accept => self.verdict(ACCEPT, None),
            Statement::Drop => self.verdict(DROP, None),
            Statement::Jump(chain) => self.verdict(JUMP, Some(chain)),
        }
    }

    fn translate_by(self, family: Family, by_address: bool, map: &str) -> Result<Expressions> {
        // How many registers of four bytes an address takes.
        let width = if family == Family::V4 { 1 } else { 4 };
        let mut next = FIRST_OF_FOUR;
        let mut loaded = self.family(family)?;
        if by_address {
            loaded = loaded.address(family, End::Destination)?;
            next += width;
        }
        // The first register under its older name, as libnftnl writes it.
        let register = |number| if number == FIRST_OF_FOUR { FIRST } else { number };
        let key = loaded.meta(META_PROTOCOL, register(next))?.payload(2, 2, 2, register(next + 1))?;
        key.look_up(map, Some(FIRST), Is::Is)?.translate(family, FIRST, FIRST_OF_FOUR + width)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn concatenations_are_padded_to_registers() {
        let key = [Datum::Protocol(6), Datum::Port(8080)];
        assert_eq!(data(&key), [6, 0, 0, 0, 0x1f, 0x90, 0, 0]);
        assert_eq!(length(&[Type::Protocol, Type::Port]), 8);
        assert_eq!(data(&[Datum::Port(8080)]), [0x1f, 0x90]);
        assert_eq!(name_of_types(&[Type::Protocol, Type::Port]), 12 << 6 | 13);
    }

    #[test]
    fn a_range_ends_behind_its_last_address() {
        let subnet = |text: &str| text.parse::<IpNet>().unwrap();
        assert_eq!(behind(&subnet("10.84.0.0/16")), Some(vec![10, 85, 0, 0]));
        assert_eq!(behind(&subnet("255.255.255.0/24")), None);
    }

    #[test]
    fn a_comment_has_its_length() {
        assert_eq!(comment("ab"), [0, 3, b'a', b'b', 0]);
        assert_eq!(comment(&"x".repeat(300)).len(), 130);
    }
}
