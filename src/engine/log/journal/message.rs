//! Messages as systemd's journal takes and gives them: the native protocol
//! (<https://systemd.io/JOURNAL_NATIVE_PROTOCOL/>) and the export format (<https://systemd.io/JOURNAL_EXPORT_FORMATS/>), which are nearly
//! one.

use std::collections::BTreeMap;

/// Appends a field: `NAME=value`, or with a length before the value if that has line breaks.
pub(super) fn field(to: &mut Vec<u8>, name: &str, value: &[u8]) {
    to.extend_from_slice(name.as_bytes());
    if value.contains(&b'\n') {
        to.push(b'\n');
        to.extend_from_slice(&(value.len() as u64).to_le_bytes());
    } else {
        to.push(b'=');
    }
    to.extend_from_slice(value);
    to.push(b'\n');
}

/// A name that the journal takes: capital letters, digits and underscores, and none of these at the beginning, where they mean fields
/// that only the journal itself sets; none where nothing of the kind is left, and at most 64 characters.
pub(super) fn name(text: &str) -> Option<String> {
    let character = |c: char| if c.is_ascii_alphanumeric() { c.to_ascii_uppercase() } else { '_' };
    let name: String = text.chars().map(character).collect();
    let name = name.trim_start_matches(|c: char| c == '_' || c.is_ascii_digit());
    let name: String = name.chars().take(64).collect();
    (!name.is_empty()).then_some(name)
}

/// An entry, of which only what shows what a container said is kept.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) message: Vec<u8>,
    pub(super) is_stderr: bool,
    /// It has no end of line.
    pub(super) is_partial: bool,
    /// RFC 3339.
    pub(super) time: String,
    pub(super) cursor: String,
    /// Labels and variables, which are all other fields but the journal's.
    pub(super) attributes: BTreeMap<String, String>,
}

impl Entry {
    fn take(&mut self, name: &[u8], value: &[u8]) {
        let text = || String::from_utf8_lossy(value).into_owned();
        match name {
            b"MESSAGE" => self.message = value.to_vec(),
            b"PRIORITY" => self.is_stderr = value == super::ERROR.as_bytes(),
            b"CONTAINER_PARTIAL_MESSAGE" => self.is_partial = value == b"true",
            b"SYSLOG_TIMESTAMP" => self.time = text(),
            b"__CURSOR" => self.cursor = text(),
            _ => match std::str::from_utf8(name) {
                Ok(name) if !name.starts_with('_') && !super::is_own(name) => {
                    self.attributes.insert(name.to_owned(), text());
                }
                _ => {}
            },
        }
    }
}

/// Entries out of a stream of bytes.
#[derive(Debug, Default)]
pub(super) struct Export {
    bytes: Vec<u8>,
    /// Up to where they were taken.
    at: usize,
    entry: Entry,
    has_fields: bool,
}

impl Export {
    pub(super) fn push(&mut self, bytes: &[u8]) {
        self.bytes.drain(..self.at);
        self.at = 0;
        self.bytes.extend_from_slice(bytes);
    }

    /// The next entry that is there as a whole.
    pub(super) fn next(&mut self) -> Option<Entry> {
        loop {
            let rest = &self.bytes[self.at..];
            let end = rest.iter().position(|byte| *byte == b'\n')?;
            let line = &rest[..end];
            if line.is_empty() {
                self.at += 1;
                if std::mem::take(&mut self.has_fields) {
                    return Some(std::mem::take(&mut self.entry));
                }
            } else if let Some(equals) = line.iter().position(|byte| *byte == b'=') {
                self.entry.take(&line[..equals], &line[equals + 1..]);
                self.at += end + 1;
                self.has_fields = true;
            } else {
                let length = rest.get(end + 1..end + 9)?.try_into().map(u64::from_le_bytes).ok()?;
                let value = end + 9;
                let after = value.checked_add(usize::try_from(length).ok()?)?;
                // With the line feed behind it.
                rest.get(after)?;
                self.entry.take(line, &rest[value..after]);
                self.at += after + 1;
                self.has_fields = true;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_field_is_a_line_unless_it_has_lines() {
        let mut message = Vec::new();
        field(&mut message, "PRIORITY", b"6");
        field(&mut message, "MESSAGE", b"a=b");
        field(&mut message, "LONG", b"one\ntwo");
        assert_eq!(message, b"PRIORITY=6\nMESSAGE=a=b\nLONG\n\x07\0\0\0\0\0\0\0one\ntwo\n");
    }

    #[test]
    fn names_are_the_journals() {
        let expected = [
            ("team", Some("TEAM")),
            ("com.example.my-label", Some("COM_EXAMPLE_MY_LABEL")),
            ("_PID", Some("PID")),
            ("__1x", Some("X")),
            ("ü", None),
            ("", None),
        ];
        for (text, expected) in expected {
            assert_eq!(name(text).as_deref(), expected, "{text}");
        }
        assert_eq!(name(&"x".repeat(100)).map(|name| name.len()), Some(64));
    }

    #[test]
    fn what_was_exported_is_read_whole_however_it_comes() {
        let mut bytes = b"__CURSOR=s=1;i=2\n_UID=0\nTEAM=blue\nCONTAINER_TAG=x\nPRIORITY=3\nSYSLOG_TIMESTAMP=2026-01-02T03:04:05Z\n".to_vec();
        field(&mut bytes, "MESSAGE", b"two\n\nlines=x");
        bytes.extend_from_slice(b"\n__CURSOR=c\nMESSAGE=\nCONTAINER_PARTIAL_MESSAGE=true\nPRIORITY=6\n\n");
        let first = Entry {
            message: b"two\n\nlines=x".into(),
            is_stderr: true,
            is_partial: false,
            time: "2026-01-02T03:04:05Z".into(),
            cursor: "s=1;i=2".into(),
            attributes: [("TEAM".to_owned(), "blue".to_owned())].into(),
        };
        let second = Entry { is_partial: true, cursor: "c".into(), ..Entry::default() };
        for size in [1, 7, bytes.len()] {
            let mut export = Export::default();
            let mut all = Vec::new();
            for part in bytes.chunks(size) {
                export.push(part);
                all.extend(std::iter::from_fn(|| export.next()));
            }
            assert_eq!(
                all,
                [&first, &second].map(|entry| Entry {
                    message: entry.message.clone(),
                    time: entry.time.clone(),
                    cursor: entry.cursor.clone(),
                    attributes: entry.attributes.clone(),
                    ..*entry
                }),
                "{size}"
            );
        }
        // A length that is longer than what there can be waits for ever, and breaks nothing.
        let mut export = Export::default();
        export.push(b"MESSAGE\n\xff\xff\xff\xff\xff\xff\xff\xff...");
        assert_eq!(export.next(), None);
    }
}
