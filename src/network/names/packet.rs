//! Questions and answers of DNS (RFC 1035): as much as it takes to answer names, and to pass the rest on.

use std::net::IpAddr;

/// Types of records.
pub(super) const A: u16 = 1;
pub(super) const PTR: u16 = 12;
pub(super) const AAAA: u16 = 28;
const INTERNET: u16 = 1;

/// Codes of answers.
pub(super) const NO_ERROR: u8 = 0;
pub(super) const SERVER_FAILURE: u8 = 2;
pub(super) const NO_SUCH_NAME: u8 = 3;
pub(super) const REFUSED: u8 = 5;
const NOT_IMPLEMENTED: u8 = 4;
const FORM_ERROR: u8 = 1;

/// The most that goes into a datagram without more being agreed on.
pub(super) const DATAGRAM: usize = 512;
/// The most that a stream carries.
pub(super) const STREAM: usize = 65535;
const HEADER: usize = 12;
/// Names are not longer, nor are their parts.
const LONGEST_NAME: usize = 255;

/// A question.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Question {
    /// In small letters, without the dot at its end.
    pub(super) name: String,
    pub(super) kind: u16,
    /// Header and question as they came.
    head: Vec<u8>,
}

/// A record that answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Record {
    Address(IpAddr),
    Name(String),
}

/// The code of an answer; 0 of what is none.
pub(super) fn code(answer: &[u8]) -> u8 {
    answer.get(3).map_or(NO_ERROR, |byte| byte & 0xf)
}

/// Reads a question. What is none is answered by the bytes of the error, or not at all.
pub(super) fn question(bytes: &[u8]) -> Result<Question, Option<Vec<u8>>> {
    let header = bytes.get(..HEADER).ok_or(None)?;
    // An answer is not answered: two servers would never come to an end.
    if header[2] & 0x80 != 0 {
        return Err(None);
    }
    let refused = |code| Some(reply(header, code, 0, 0, false));
    if header[2] & 0x78 != 0 {
        return Err(refused(NOT_IMPLEMENTED));
    }
    if header[4..6] != [0, 1] {
        return Err(refused(FORM_ERROR));
    }
    let (name, end) = read_name(bytes).ok_or_else(|| refused(FORM_ERROR))?;
    let rest = bytes.get(end..end + 4).ok_or_else(|| refused(FORM_ERROR))?;
    if rest[2..4] != INTERNET.to_be_bytes() {
        return Err(refused(NOT_IMPLEMENTED));
    }
    Ok(Question { name, kind: u16::from_be_bytes([rest[0], rest[1]]), head: bytes[..end + 4].to_vec() })
}

/// Reads the name behind the header, and where it ends. A question's name is never compressed: there is nothing before it.
fn read_name(bytes: &[u8]) -> Option<(String, usize)> {
    let mut name = String::new();
    let mut at = HEADER;
    loop {
        let length = usize::from(*bytes.get(at)?);
        at += 1;
        match length {
            0 => return Some((name, at)),
            1..64 => {}
            _ => return None,
        }
        if !name.is_empty() {
            name.push('.');
        }
        for byte in bytes.get(at..at + length)? {
            name.push(char::from(byte.to_ascii_lowercase()));
        }
        at += length;
        if at - HEADER > LONGEST_NAME {
            return None;
        }
    }
}

/// The header of an answer: the same number, recursion wanted as it was and available.
fn reply(header: &[u8], code: u8, questions: u16, answers: u16, truncated: bool) -> Vec<u8> {
    let mut bytes = vec![header[0], header[1], 0x80 | header[2] & 0x01 | u8::from(truncated) << 1, 0x80 | code];
    for count in [questions, answers, 0, 0] {
        bytes.extend(count.to_be_bytes());
    }
    bytes
}

impl Question {
    /// An answer with records, at most so many bytes; with fewer records than there are, it says so.
    pub(super) fn answer(&self, code: u8, records: &[Record], most: usize) -> Vec<u8> {
        let mut body = self.head[HEADER..].to_vec();
        let mut count = 0;
        for record in records {
            let record = resource(record);
            if HEADER + body.len() + record.len() > most {
                break;
            }
            body.extend(record);
            count += 1;
        }
        let mut bytes = reply(&self.head, code, 1, count, usize::from(count) < records.len());
        bytes.extend(body);
        bytes
    }

    /// Whether bytes are somebody's answer to it.
    pub(super) fn is_answered_by(&self, bytes: &[u8]) -> bool {
        let Some(header) = bytes.get(..HEADER) else { return false };
        if header[..2] != self.head[..2] || header[2] & 0x80 == 0 {
            return false;
        }
        // A server that did not understand it may say no more than that.
        if header[4..6] == [0, 0] {
            return code(header) != NO_ERROR;
        }
        let Some((name, end)) = read_name(bytes) else { return false };
        name == self.name && bytes.get(end..end + 2) == Some(&self.kind.to_be_bytes()[..])
    }

    /// The address that is asked for by its number: `2.0.64.10.in-addr.arpa`.
    pub(super) fn reversed(&self) -> Option<IpAddr> {
        if let Some(digits) = self.name.strip_suffix(".in-addr.arpa") {
            let mut parts = digits.split('.').rev().map(|part| part.parse::<u8>().ok());
            let octets = [parts.next()??, parts.next()??, parts.next()??, parts.next()??];
            return parts.next().is_none().then(|| IpAddr::from(octets));
        }
        let digits: String = self.name.strip_suffix(".ip6.arpa")?.split('.').rev().collect();
        let number = u128::from_str_radix(&digits, 16).ok().filter(|_| digits.len() == 32)?;
        Some(IpAddr::V6(number.into()))
    }
}

/// A record with the question's name, which is where the header ends. It is true for this moment only.
fn resource(record: &Record) -> Vec<u8> {
    let (kind, data) = match record {
        Record::Address(IpAddr::V4(address)) => (A, address.octets().to_vec()),
        Record::Address(IpAddr::V6(address)) => (AAAA, address.octets().to_vec()),
        Record::Name(name) => (PTR, write_name(name)),
    };
    let mut bytes = vec![0xc0, HEADER as u8];
    for number in [kind, INTERNET, 0, 0, data.len() as u16] {
        bytes.extend(number.to_be_bytes());
    }
    bytes.extend(data);
    bytes
}

fn write_name(name: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    for part in name.split('.').filter(|part| !part.is_empty()) {
        let part = &part.as_bytes()[..part.len().min(63)];
        bytes.push(part.len() as u8);
        bytes.extend(part);
    }
    bytes.truncate(LONGEST_NAME - 1);
    bytes.push(0);
    bytes
}

#[cfg(test)]
pub(super) mod tests {
    use proptest::prelude::*;

    use super::*;

    /// A question, as resolvers send it.
    pub(crate) fn asked(name: &str, kind: u16) -> Vec<u8> {
        let mut bytes = vec![0x12, 0x34, 0x01, 0, 0, 1, 0, 0, 0, 0, 0, 0];
        bytes.extend(write_name(name));
        bytes.extend(kind.to_be_bytes());
        bytes.extend([0, 1]);
        bytes
    }

    #[test]
    fn a_question_and_its_answer() {
        let question = question(&asked("Web.Example", A)).unwrap();
        assert_eq!((question.name.as_str(), question.kind), ("web.example", A));
        let answer = question.answer(NO_ERROR, &[Record::Address([10, 0, 0, 2].into())], DATAGRAM);
        assert_eq!(answer[..12], [0x12, 0x34, 0x81, 0x80, 0, 1, 0, 1, 0, 0, 0, 0]);
        // The name as it was asked for, letter by letter.
        assert_eq!(&answer[12..25], b"\x03Web\x07Example\0");
        assert_eq!(answer[answer.len() - 16..], [0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 0, 0, 4, 10, 0, 0, 2]);
        assert!(question.is_answered_by(&answer));
        assert!(!super::question(&asked("other", A)).unwrap().is_answered_by(&answer));
        // That it was not understood is an answer without the question; that there is nothing is none.
        let without = |code| [&answer[..3], &[0x80 | code], &[0; 8]].concat();
        assert!(question.is_answered_by(&without(FORM_ERROR)) && !question.is_answered_by(&without(NO_ERROR)));
        // An answer is no question.
        assert_eq!(super::question(&answer), Err(None));
    }

    /// RFC 6891, 7: who knows nothing of extensions answers as if they were not there.
    #[test]
    fn extensions_are_passed_over() {
        let mut bytes = asked("web", A);
        bytes[11] = 1;
        bytes.extend([0, 0, 41, 0x10, 0, 0, 0, 0, 0, 0, 0]);
        let answer = question(&bytes).unwrap().answer(NO_ERROR, &[], DATAGRAM);
        assert_eq!(answer, [&[0x12, 0x34, 0x81, 0x80, 0, 1, 0, 0, 0, 0, 0, 0], &asked("web", A)[12..]].concat());
    }

    #[test]
    fn what_does_not_fit_is_said_to() {
        let question = question(&asked("many", A)).unwrap();
        let records = vec![Record::Address([10, 0, 0, 2].into()); 100];
        let answer = question.answer(NO_ERROR, &records, DATAGRAM);
        assert!(answer.len() <= DATAGRAM);
        assert_eq!(answer[2] & 2, 2);
        assert_eq!(question.answer(NO_ERROR, &records, STREAM)[2] & 2, 0);
    }

    #[test]
    fn reversed_addresses() {
        let of = |name: &str| question(&asked(name, PTR)).unwrap().reversed().map(|address| address.to_string());
        assert_eq!(of("2.0.64.10.in-addr.arpa").as_deref(), Some("10.64.0.2"));
        let six = "2.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.d.f.ip6.arpa";
        assert_eq!(of(six).as_deref(), Some("fd00::2"));
        assert_eq!(of("0.64.10.in-addr.arpa"), None);
        assert_eq!(of("1.2.0.64.10.in-addr.arpa"), None);
        assert_eq!(of("x"), None);
    }

    #[test]
    fn what_is_no_question() {
        assert_eq!(question(&[0; 11]), Err(None));
        let refusal = |change: fn(&mut Vec<u8>)| {
            let mut bytes = asked("web", A);
            change(&mut bytes);
            question(&bytes).unwrap_err().unwrap()[3] & 0xf
        };
        assert_eq!(refusal(|bytes| bytes[2] = 0x28), NOT_IMPLEMENTED);
        assert_eq!(refusal(|bytes| bytes[5] = 2), FORM_ERROR);
        assert_eq!(refusal(|bytes| bytes.truncate(15)), FORM_ERROR);
        assert_eq!(refusal(|bytes| bytes[12] = 0xc0), FORM_ERROR);
        assert_eq!(refusal(|bytes| *bytes.last_mut().unwrap() = 3), NOT_IMPLEMENTED);
    }

    proptest! {
        #[test]
        fn nothing_that_comes_does_harm(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            if let Ok(question) = question(&bytes) {
                let _ = question.reversed();
                prop_assert!(question.answer(NO_ERROR, &[Record::Name("a.b".into())], DATAGRAM).len() <= DATAGRAM);
                let _ = question.is_answered_by(&bytes);
            }
        }
    }
}
