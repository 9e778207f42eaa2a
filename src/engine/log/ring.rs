//! What was said and is not kept yet, for a log that takes its time.
//!
//! Lines are one after the other in the bytes: what kind it is, its length, and what it says. The time is said only where it changes, so
//! that a thousand empty lines need no thousand times. The same bytes go to a process that writes files ([`super::aside`]).

use std::collections::VecDeque;
use std::io::Read;

const TIME: u8 = 2;
const HEAD: usize = 5;

/// Lines that wait.
#[derive(Debug, Default)]
pub(super) struct Ring {
    bytes: VecDeque<u8>,
    /// Bytes that there is room for; none without limit.
    limit: Option<usize>,
    /// The one that was said last.
    time: String,
    /// The time of what was popped last.
    popped: String,
}

impl Ring {
    pub(super) fn new(limit: Option<usize>) -> Ring {
        Ring { limit, ..Ring::default() }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// Takes a line. Where there is no room for it, it is the new one that is dropped, as docker does it; one that is larger than all the
    /// room there is has it for itself alone.
    pub(super) fn push(&mut self, is_stderr: bool, text: &[u8], time: &str) {
        let is_new = self.time != time;
        let length = HEAD + text.len() + if is_new { HEAD + time.len() } else { 0 };
        if !self.is_empty() && self.limit.is_some_and(|limit| self.bytes.len() + length > limit) {
            return;
        }
        if is_new {
            self.append(TIME, time.as_bytes());
            time.clone_into(&mut self.time);
        }
        self.append(u8::from(is_stderr), text);
    }

    fn append(&mut self, kind: u8, content: &[u8]) {
        self.bytes.push_back(kind);
        self.bytes.extend((content.len() as u32).to_le_bytes());
        self.bytes.extend(content);
    }

    /// What is there, or the first part of it.
    pub(super) fn first(&self) -> &[u8] {
        self.bytes.as_slices().0
    }

    /// Forgets so many bytes, which are where they belong. The room of many is given back.
    pub(super) fn forget(&mut self, count: usize) {
        self.bytes.drain(..count.min(self.bytes.len()));
        if self.bytes.is_empty() {
            self.bytes.shrink_to(64 << 10);
        }
    }

    /// Hands on the line that has waited longest, if there is one.
    pub(super) fn pop(&mut self, each: impl FnOnce(bool, &[u8], &str)) {
        let mut head = [0; HEAD];
        while self.bytes.read_exact(&mut head).is_ok() {
            let [kind, length @ ..] = head;
            let mut content = vec![0; u32::from_le_bytes(length) as usize];
            let _ = self.bytes.read_exact(&mut content);
            if kind != TIME {
                each(kind == 1, &content, &self.popped);
                break;
            }
            self.popped = String::from_utf8_lossy(&content).into_owned();
        }
        self.forget(0);
    }

    /// Forgets everything: whoever takes what comes has heard nothing before.
    pub(super) fn clear(&mut self) {
        self.forget(usize::MAX);
        self.time.clear();
    }
}

/// Lines out of a ring's bytes.
#[derive(Debug, Default)]
pub(super) struct Lines {
    time: String,
}

impl Lines {
    /// Hands on the first line of these bytes, and says how many bytes it has with what stands before it; none where it is not there as a
    /// whole.
    pub(super) fn next(&mut self, bytes: &[u8], each: impl FnOnce(bool, &[u8], &str)) -> Option<usize> {
        let mut at = 0;
        loop {
            let (head, rest) = bytes.get(at..)?.split_at_checked(HEAD)?;
            let length = u32::from_le_bytes(head[1..].try_into().ok()?) as usize;
            let content = rest.get(..length)?;
            at += HEAD + length;
            if head[0] != TIME {
                each(head[0] == 1, content, &self.time);
                return Some(at);
            }
            self.time = String::from_utf8_lossy(content).into_owned();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// All lines, read in pieces of some size.
    fn all(ring: &mut Ring, size: usize) -> Vec<(bool, String, String)> {
        let (mut lines, mut bytes, mut all) = (Lines::default(), Vec::new(), Vec::new());
        while !ring.is_empty() {
            let length = ring.first().len().min(size);
            bytes.extend_from_slice(&ring.first()[..length]);
            ring.forget(length);
            let mut each = |is_stderr, text: &[u8], time: &str| {
                all.push((is_stderr, String::from_utf8(text.into()).unwrap(), time.to_owned()));
            };
            while let Some(length) = lines.next(&bytes, &mut each) {
                bytes.drain(..length);
            }
        }
        assert!(bytes.is_empty());
        all
    }

    #[test]
    fn lines_come_as_they_went() {
        for size in [1, 7, 1000] {
            let mut ring = Ring::new(None);
            let said = [(false, "one\n", "12:00"), (true, "", "12:00"), (false, "no end", "12:01")];
            said.iter().for_each(|(is_stderr, text, time)| ring.push(*is_stderr, text.as_bytes(), time));
            let wanted = said.map(|(is_stderr, text, time)| (is_stderr, text.to_owned(), time.to_owned()));
            assert_eq!(all(&mut ring, size), wanted, "{size}");
        }
    }

    #[test]
    fn the_newest_is_dropped_where_there_is_no_room() {
        let mut ring = Ring::new(Some(100));
        (0..100).for_each(|number| ring.push(false, format!("{number}\n").as_bytes(), ""));
        let kept: Vec<String> = all(&mut ring, 1000).into_iter().map(|(_, text, _)| text).collect();
        let first: Vec<String> = (0..kept.len()).map(|number| format!("{number}\n")).collect();
        assert!(kept == first && (10..16).contains(&kept.len()), "{kept:?}");
        // One that is too large for any room is kept if it is alone.
        ring.push(false, &[b'x'; 1000], "");
        ring.push(false, b"y", "");
        assert_eq!(all(&mut ring, 1000).len(), 1);
    }
}
