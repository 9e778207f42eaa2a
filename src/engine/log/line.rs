//! One line of docker's json-file: `{"log":"text\n","stream":"stdout","time":"2026-01-02T03:04:05.678901234Z"}`, with
//! `"attrs":{"tag":"web"}` before the time where there are any.

use std::collections::BTreeMap;

use anyhow::{Context, Result};
use serde::Deserialize;

use super::read::Line;

/// A line, read.
#[derive(Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
struct Entry {
    log: String,
    stream: String,
    attrs: Option<BTreeMap<String, String>>,
    time: String,
}

/// Room for what of a line is not as it stands there.
#[derive(Debug, Default)]
pub(super) struct Scratch {
    text: Vec<u8>,
    entry: Entry,
    attributes: String,
}

/// Attributes as they are in a line; nothing where there are none.
pub(super) fn attributes(all: BTreeMap<String, String>) -> Result<String> {
    if all.is_empty() {
        Ok(String::new())
    } else {
        serde_json::to_string(&all).context("write a log's attributes as JSON")
    }
}

/// Reads a line; none where it is no such line.
pub(super) fn read<'l>(line: &'l [u8], scratch: &'l mut Scratch) -> Option<Line<'l>> {
    let Scratch { text, entry, attributes } = scratch;
    if let Some((is_stderr, attributes, time)) = as_written(line, text) {
        return Some(Line { text, is_stderr, attributes, time });
    }
    *entry = serde_json::from_slice(line).ok()?;
    *attributes = self::attributes(entry.attrs.take().unwrap_or_default()).ok()?;
    Some(Line { text: entry.log.as_bytes(), is_stderr: entry.stream == "stderr", attributes, time: &entry.time })
}

/// Reads what [`write()`] has written, which needs a sixth of the time that JSON in general does; none if it is anything else.
fn as_written<'l>(line: &'l [u8], text: &mut Vec<u8>) -> Option<(bool, &'l str, &'l str)> {
    let mut rest = line.strip_prefix(b"{\"log\":\"")?;
    text.clear();
    loop {
        let at = memchr::memchr2(b'"', b'\\', rest)?;
        let (plain, from) = rest.split_at(at);
        text.extend_from_slice(plain);
        rest = &from[1..];
        if from[0] == b'"' {
            break;
        }
        let (escaped, after) = rest.split_first()?;
        text.push(match escaped {
            b'n' => b'\n',
            b'r' => b'\r',
            b't' => b'\t',
            b'"' | b'\\' => *escaped,
            _ => return None,
        });
        rest = after;
    }
    let rest = rest.strip_prefix(b",\"stream\":\"std")?;
    let (is_stderr, rest) = match rest.strip_prefix(b"out") {
        Some(rest) => (false, rest),
        None => (true, rest.strip_prefix(b"err")?),
    };
    let rest = rest.strip_prefix(b"\",")?;
    let (attributes, rest) = match rest.strip_prefix(b"\"attrs\":") {
        // A quote in a value has a backslash before it, and the time is the last field.
        Some(rest) => {
            let end = memchr::memmem::rfind(rest, b",\"time\":\"")?;
            (&rest[..end], &rest[end + 1..])
        }
        None => (&b""[..], rest),
    };
    let attributes = std::str::from_utf8(attributes).ok()?;
    let time = rest.strip_prefix(b"\"time\":\"")?.strip_suffix(b"\"}\n")?;
    let is_plain = time.iter().all(|byte| matches!(byte, b'0'..=b'9' | b'-' | b'+' | b':' | b'.' | b'T' | b'Z'));
    let time = std::str::from_utf8(time).ok().filter(|_| is_plain)?;
    Some((is_stderr, attributes, time))
}

/// Appends a line, with attributes as [`attributes()`] makes them.
pub(super) fn write(to: &mut Vec<u8>, text: &[u8], is_stderr: bool, attributes: &str, time: &str) {
    to.extend_from_slice(b"{\"log\":\"");
    escape(to, text);
    to.extend_from_slice(if is_stderr { b"\",\"stream\":\"stderr\"," } else { b"\",\"stream\":\"stdout\"," });
    if !attributes.is_empty() {
        to.extend_from_slice(b"\"attrs\":");
        to.extend_from_slice(attributes.as_bytes());
        to.push(b',');
    }
    to.extend_from_slice(b"\"time\":\"");
    to.extend_from_slice(time.as_bytes());
    to.extend_from_slice(b"\"}\n");
}

/// Each byte that is no UTF-8 becomes U+FFFD, as docker has it, for JSON has no bytes.
fn escape(to: &mut Vec<u8>, text: &[u8]) {
    if std::str::from_utf8(text).is_ok() {
        return escape_valid(to, text);
    }
    for chunk in text.utf8_chunks() {
        escape_valid(to, chunk.valid().as_bytes());
        for _ in chunk.invalid() {
            to.extend_from_slice("\u{fffd}".as_bytes());
        }
    }
}

fn escape_valid(to: &mut Vec<u8>, mut text: &[u8]) {
    while let Some(at) = first_special(text) {
        let (plain, from) = text.split_at(at);
        to.extend_from_slice(plain);
        match from[0] {
            b'\n' => to.extend_from_slice(b"\\n"),
            b'\r' => to.extend_from_slice(b"\\r"),
            b'\t' => to.extend_from_slice(b"\\t"),
            byte @ (b'"' | b'\\') => to.extend([b'\\', byte]),
            byte => {
                const DIGITS: &[u8; 16] = b"0123456789abcdef";
                to.extend_from_slice(b"\\u00");
                to.extend([DIGITS[usize::from(byte >> 4)], DIGITS[usize::from(byte & 15)]]);
            }
        }
        text = &from[1..];
    }
    to.extend_from_slice(text);
}

/// Where the first byte is that can't stand in a JSON string as it is, or had better not (DEL). Eight are looked at at once, as most
/// of what is said is plain.
fn first_special(text: &[u8]) -> Option<usize> {
    const ONES: u64 = 0x0101_0101_0101_0101;
    const HIGH: u64 = 0x80 * ONES;
    let is_special = |byte: &u8| matches!(byte, 0..32 | b'"' | b'\\' | 127);
    let words = text.chunks_exact(8);
    // Exact only up to the lowest hit, which is enough to know that there is one.
    let has_special = |word: &[u8]| {
        let word = u64::from_le_bytes(word.try_into().unwrap_or_default());
        let zeros = |word: u64| word.wrapping_sub(ONES) & !word;
        let equal = |byte: u8| zeros(word ^ (ONES * u64::from(byte)));
        let below_32 = word.wrapping_sub(ONES * 32) & !word;
        (below_32 | equal(b'"') | equal(b'\\') | equal(127)) & HIGH != 0
    };
    let begin = words.clone().position(has_special).map_or(text.len() - words.remainder().len(), |at| at * 8);
    text[begin..].iter().position(is_special).map(|at| begin + at)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_text_comes_back() {
        let mut scratch = Scratch::default();
        for text in ["", "plain\n", "\"\\\r\t\u{1}\u{7f}ü😀\n", "a\0b", "\\\\n\"\"", "\\u0041"] {
            let mut line = Vec::new();
            write(&mut line, text.as_bytes(), true, "", "2026-01-02T03:04:05Z");
            let wanted = Line { text: text.as_bytes(), is_stderr: true, attributes: "", time: "2026-01-02T03:04:05Z" };
            assert_eq!(read(&line, &mut scratch), Some(wanted));
        }
        let mut line = Vec::new();
        // A byte, and two of three.
        write(&mut line, b"a\xffb\xe2\x82c", false, "", "");
        assert_eq!(read(&line, &mut scratch).unwrap().text, "a\u{fffd}b\u{fffd}\u{fffd}c".as_bytes());
    }

    #[test]
    fn attributes_are_between_stream_and_time() {
        let mut scratch = Scratch::default();
        let all = [("time", "\",\"time\":\"x"), ("tag", "a\\b")].map(|(key, value)| (key.to_owned(), value.to_owned()));
        let attributes = attributes(all.into()).unwrap();
        let mut line = Vec::new();
        write(&mut line, b"x\n", false, &attributes, "2026-01-02T03:04:05Z");
        let wanted = Line { text: b"x\n", is_stderr: false, attributes: &attributes, time: "2026-01-02T03:04:05Z" };
        assert!(as_written(&line, &mut Vec::new()).is_some());
        assert_eq!(read(&line, &mut scratch), Some(wanted));
        let text = r#"{"log":"x\n","stream":"stdout","attrs":{"tag":"a\\b","time":"\",\"time\":\"x"},"time":"2026-01-02T03:04:05Z"}"#;
        assert_eq!(String::from_utf8(line).unwrap().trim_end(), text);
    }

    #[test]
    fn special_bytes_are_found_wherever_they_are() {
        for byte in 0..=255 {
            let is_special = byte < 32 || matches!(byte, b'"' | b'\\' | 127);
            for at in 0..20 {
                let mut text = vec![b'!'; 20];
                text[at] = byte;
                assert_eq!(first_special(&text), is_special.then_some(at), "{byte} at {at}");
                text[19] = b'\n';
                assert_eq!(first_special(&text), Some(if is_special { at.min(19) } else { 19 }), "{byte} at {at}");
            }
        }
    }

    #[test]
    fn lines_of_others_are_read_and_no_line_is_none() {
        let mut scratch = Scratch::default();
        let other =
            br#"{ "time":"2026-01-02T03:04:05Z", "log":"\u0041\/\n", "stream":"stderr", "attrs":{ "a": "b" } }"#;
        let attributes = r#"{"a":"b"}"#;
        let wanted = Line { text: b"A/\n", is_stderr: true, attributes, time: "2026-01-02T03:04:05Z" };
        assert_eq!(read(other, &mut scratch), Some(wanted));
        let own = br#"{"log":"x\n","stream":"stdout","time":"2026-01-02T03:04:05Z"}"#;
        for end in 0..own.len() {
            assert_eq!(read(&own[..end], &mut scratch), None, "{end}");
        }
    }
}
