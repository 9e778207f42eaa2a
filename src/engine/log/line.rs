//! One line of docker's json-file: `{"log":"text\n","stream":"stdout","time":"2026-01-02T03:04:05.678901234Z"}`.

use serde::Deserialize;

/// A line, read.
#[derive(Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub(super) struct Entry {
    pub(super) log: String,
    pub(super) stream: String,
    pub(super) time: String,
}

/// Appends a line.
pub(super) fn write(to: &mut Vec<u8>, text: &[u8], is_stderr: bool, time: &str) {
    to.extend_from_slice(b"{\"log\":\"");
    escape(to, text);
    to.extend_from_slice(if is_stderr {
        b"\",\"stream\":\"stderr\",\"time\":\""
    } else {
        b"\",\"stream\":\"stdout\",\"time\":\""
    });
    to.extend_from_slice(time.as_bytes());
    to.extend_from_slice(b"\"}\n");
}

/// What is no UTF-8 becomes U+FFFD, for JSON has no bytes.
fn escape(to: &mut Vec<u8>, text: &[u8]) {
    for chunk in text.utf8_chunks() {
        let mut plain = 0;
        let valid = chunk.valid().as_bytes();
        for (at, byte) in valid.iter().enumerate() {
            let escaped: &[u8] = match byte {
                b'"' => b"\\\"",
                b'\\' => b"\\\\",
                b'\n' => b"\\n",
                b'\r' => b"\\r",
                b'\t' => b"\\t",
                0..32 | 127 => b"",
                _ => continue,
            };
            to.extend_from_slice(&valid[plain..at]);
            plain = at + 1;
            if escaped.is_empty() {
                const DIGITS: &[u8; 16] = b"0123456789abcdef";
                to.extend_from_slice(b"\\u00");
                to.extend([DIGITS[usize::from(byte >> 4)], DIGITS[usize::from(byte & 15)]]);
            } else {
                to.extend_from_slice(escaped);
            }
        }
        to.extend_from_slice(&valid[plain..]);
        if !chunk.invalid().is_empty() {
            to.extend_from_slice("\u{fffd}".as_bytes());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_text_comes_back() {
        for text in ["", "plain\n", "\"\\\r\t\u{1}\u{7f}ü😀\n", "a\0b"] {
            let mut line = Vec::new();
            write(&mut line, text.as_bytes(), true, "2026-01-02T03:04:05Z");
            let entry: Entry = serde_json::from_slice(&line).unwrap();
            assert_eq!((entry.log.as_str(), entry.stream.as_str()), (text, "stderr"));
        }
        let mut line = Vec::new();
        write(&mut line, b"a\xffb", false, "");
        assert_eq!(serde_json::from_slice::<Entry>(&line).unwrap().log, "a\u{fffd}b");
    }
}
