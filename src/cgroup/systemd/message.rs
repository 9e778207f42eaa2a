//! Messages: a header of fixed layout and typed fields, and a body (D-Bus specification, "Message protocol").

use anyhow::{Context, Result, bail};

use super::value::Value;
use super::wire::{self, Reader};

/// The kinds of message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Call = 1,
    Reply = 2,
    Error = 3,
    Signal = 4,
}

#[derive(Debug, Clone, PartialEq)]
pub(super) struct Message {
    pub(super) kind: Kind,
    pub(super) serial: u32,
    pub(super) path: String,
    pub(super) interface: String,
    pub(super) member: String,
    pub(super) error_name: String,
    pub(super) reply_serial: u32,
    pub(super) destination: String,
    pub(super) body: Vec<Value>,
}

const PATH: u8 = 1;
const INTERFACE: u8 = 2;
const MEMBER: u8 = 3;
const ERROR_NAME: u8 = 4;
const REPLY_SERIAL: u8 = 5;
const DESTINATION: u8 = 6;
const SIGNATURE: u8 = 8;

/// Endianness, kind, flags, version, length of the body, serial, length of the fields.
const FIXED: usize = 16;
/// More than systemd ever sends; the specification allows 128 MiB.
const LONGEST: usize = 16 << 20;

impl Message {
    pub(super) fn call(destination: &str, path: &str, interface: &str, member: &str, body: Vec<Value>) -> Message {
        Message {
            kind: Kind::Call,
            serial: 0,
            path: path.to_owned(),
            interface: interface.to_owned(),
            member: member.to_owned(),
            error_name: String::new(),
            reply_serial: 0,
            destination: destination.to_owned(),
            body,
        }
    }

    pub(super) fn to_bytes(&self) -> Vec<u8> {
        let mut body = Vec::new();
        self.body.iter().for_each(|value| wire::write(&mut body, value));
        let mut bytes = vec![b'l', self.kind as u8, 0, 1];
        bytes.extend((body.len() as u32).to_le_bytes());
        bytes.extend(self.serial.to_le_bytes());
        wire::write(&mut bytes, &Value::Array("(yv)".into(), self.fields()));
        wire::pad(&mut bytes, 8);
        bytes.extend(body);
        bytes
    }

    /// The header fields that are not empty.
    fn fields(&self) -> Vec<Value> {
        let signature: String = self.body.iter().map(Value::signature).collect();
        let texts = [
            (INTERFACE, &self.interface),
            (MEMBER, &self.member),
            (ERROR_NAME, &self.error_name),
            (DESTINATION, &self.destination),
        ];
        let texts =
            texts.into_iter().filter(|(_, text)| !text.is_empty()).map(|(code, text)| (code, Value::string(text)));
        let path = (!self.path.is_empty()).then(|| (PATH, Value::ObjectPath(self.path.clone())));
        let reply_serial = (self.reply_serial != 0).then_some((REPLY_SERIAL, Value::Uint32(self.reply_serial)));
        let signature = (!signature.is_empty()).then_some((SIGNATURE, Value::Signature(signature)));
        let all = path.into_iter().chain(texts).chain(reply_serial).chain(signature);
        all.map(|(code, value)| Value::Structure(vec![Value::Byte(code), Value::Variant(Box::new(value))])).collect()
    }

    /// How long the message is that begins so, if that can be said yet.
    pub(super) fn length(bytes: &[u8]) -> Result<Option<usize>> {
        if bytes.len() < FIXED {
            return Ok(None);
        }
        if bytes[0] != b'l' || bytes[3] != 1 {
            bail!("the other side does not speak D-Bus as we do: the message begins with {:?}", &bytes[..4]);
        }
        let [body, _, fields] = [4, 8, 12].map(|at| Message::word(bytes, at));
        let length = (FIXED + fields).next_multiple_of(8).saturating_add(body);
        if length > LONGEST {
            bail!("a message of {length} bytes is too long");
        }
        Ok(Some(length))
    }

    fn word(bytes: &[u8], at: usize) -> usize {
        bytes[at..at + 4].iter().rev().fold(0, |word, byte| word << 8 | usize::from(*byte))
    }

    /// Reads one whole message.
    pub(super) fn from_bytes(bytes: &[u8]) -> Result<Message> {
        Message::length(bytes)?.filter(|length| *length == bytes.len()).context("it is cut off")?;
        let kind =
            [Kind::Call, Kind::Reply, Kind::Error, Kind::Signal].into_iter().find(|kind| *kind as u8 == bytes[1]);
        let mut message = Message::call("", "", "", "", Vec::new());
        message.kind = kind.with_context(|| format!("{} is no kind of message", bytes[1]))?;
        message.serial = Message::word(bytes, 8) as u32;
        let mut signature = String::new();
        // The fields' array begins behind serial and lengths, and its offsets count from the message's start.
        let fields_end = FIXED + Message::word(bytes, 12);
        let header = Reader::new(&bytes[..fields_end]).all("yyyyuua(yv)")?;
        let Some(Value::Array(_, fields)) = header.into_iter().next_back() else { bail!("it has no header fields") };
        for field in fields {
            let Value::Structure(field) = field else { continue };
            let [Value::Byte(code), Value::Variant(value)] = &field[..] else { continue };
            match (*code, &**value) {
                (PATH, Value::ObjectPath(text)) => message.path.clone_from(text),
                (INTERFACE, Value::String(text)) => message.interface.clone_from(text),
                (MEMBER, Value::String(text)) => message.member.clone_from(text),
                (ERROR_NAME, Value::String(text)) => message.error_name.clone_from(text),
                (DESTINATION, Value::String(text)) => message.destination.clone_from(text),
                (REPLY_SERIAL, Value::Uint32(number)) => message.reply_serial = *number,
                (SIGNATURE, Value::Signature(text)) => signature.clone_from(text),
                _ => {}
            }
        }
        message.body = Reader::new(&bytes[fields_end.next_multiple_of(8)..]).all(&signature)?;
        Ok(message)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn hello() -> Message {
        let bus = "org.freedesktop.DBus";
        Message { serial: 1, ..Message::call(bus, "/org/freedesktop/DBus", bus, "Hello", vec![]) }
    }

    #[test]
    fn a_call_is_laid_out_as_the_specification_says() {
        let bytes = hello().to_bytes();
        // Little-endian, call, no flags, version 1, no body, serial 1, 109 bytes of fields.
        assert_eq!(bytes[..16], [b'l', 1, 0, 1, 0, 0, 0, 0, 1, 0, 0, 0, 109, 0, 0, 0]);
        // Field 1, the path: an object path of 21 bytes.
        assert_eq!(bytes[16..24], [1, 1, b'o', 0, 21, 0, 0, 0]);
        assert_eq!(&bytes[24..45], b"/org/freedesktop/DBus");
        assert_eq!(bytes.len() % 8, 0);
    }

    #[test]
    fn what_is_written_is_read_back() {
        let body = vec![Value::string("docker-x.scope"), Value::Array("(sv)".into(), vec![]), Value::Uint64(3)];
        let message = Message { body, reply_serial: 9, error_name: "a.b".into(), serial: 70_000, ..hello() };
        let bytes = message.to_bytes();
        assert_eq!(Message::length(&bytes[..15]).unwrap(), None);
        assert_eq!(Message::length(&bytes[..16]).unwrap(), Some(bytes.len()));
        assert_eq!(Message::from_bytes(&bytes).unwrap(), message);
        assert!(Message::from_bytes(&bytes[..bytes.len() - 1]).is_err());
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn no_damage_makes_it_panic(at in 0usize..160, byte in any::<u8>()) {
            let mut bytes = Message { body: vec![Value::string("x")], ..hello() }.to_bytes();
            if let Some(place) = bytes.get_mut(at) {
                *place = byte;
            }
            let _ = Message::from_bytes(&bytes);
        }
    }
}
