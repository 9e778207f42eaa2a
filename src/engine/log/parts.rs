//! What a container says, in lines.

/// A line that is longer is kept in parts, as docker does, but for characters, of which none is cut.
pub(super) const LONGEST: usize = 16 << 10;

/// The beginnings of lines that have no end yet, of stdout and stderr.
#[derive(Debug, Default)]
pub(super) struct Parts {
    open: [Vec<u8>; 2],
}

impl Parts {
    /// Takes what was said, and hands on each line, or part of a long one, that is whole by now.
    pub(super) fn take(&mut self, is_stderr: bool, mut bytes: &[u8], mut each: impl FnMut(&[u8])) {
        let open = &mut self.open[usize::from(is_stderr)];
        while !bytes.is_empty() {
            let room = (LONGEST - open.len()).min(bytes.len());
            let end = memchr::memchr(b'\n', &bytes[..room]).map_or(room, |at| at + 1);
            let part;
            (part, bytes) = bytes.split_at(end);
            if open.is_empty() && part.ends_with(b"\n") {
                each(part);
                continue;
            }
            open.extend_from_slice(part);
            if open.ends_with(b"\n") {
                each(open);
                open.clear();
            } else if open.len() == LONGEST {
                let whole = LONGEST - cut_off(open);
                each(&open[..whole]);
                open.drain(..whole);
            }
        }
    }

    /// At the end: lines that never got theirs.
    pub(super) fn finish(&mut self, mut each: impl FnMut(bool, &[u8])) {
        for is_stderr in [false, true] {
            let open = std::mem::take(&mut self.open[usize::from(is_stderr)]);
            if !open.is_empty() {
                each(is_stderr, &open);
            }
        }
    }
}

/// Bytes of a character at the end that has more of them.
fn cut_off(text: &[u8]) -> usize {
    let is_first = |byte: &u8| *byte >= 0xc0;
    let length = text.iter().rev().take(3).position(is_first).map_or(0, |at| at + 1);
    let last = &text[text.len() - length..];
    // The beginning of a character that is one, of which nothing but its end is missing.
    if std::str::from_utf8(last).is_err_and(|error| error.error_len().is_none()) { length } else { 0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_that_are_no_text_are_cut_as_they_come() {
        for (text, wanted) in
            [(&b"ab"[..], 0), (b"a\xe2\x82", 2), (b"\xff", 0), (b"\xc3", 1), (b"\xe2\x82\xac", 0), (b"\x80\x80\x80", 0)]
        {
            assert_eq!(cut_off(text), wanted, "{text:?}");
        }
        let mut parts = Parts::default();
        let mut lines = Vec::new();
        parts.take(false, &[0xf0; 3 * LONGEST], |line| lines.push(line.len()));
        parts.finish(|_, line| lines.push(line.len()));
        assert_eq!(lines.iter().sum::<usize>(), 3 * LONGEST);
    }

    #[test]
    fn lines_are_cut_where_docker_cuts_them() {
        let long = |length: usize| "x".repeat(length);
        for (said, expected) in [
            ("a\nb\n\nc".to_owned(), vec!["a\n".to_owned(), "b\n".into(), "\n".into(), "c".into()]),
            (long(LONGEST - 1) + "\ny", vec![long(LONGEST - 1) + "\n", "y".into()]),
            (long(LONGEST) + "\ny", vec![long(LONGEST), "\n".into(), "y".into()]),
            (long(2 * LONGEST + 1), vec![long(LONGEST), long(LONGEST), "x".into()]),
            (long(LONGEST - 2) + "€\n", vec![long(LONGEST - 2), "€\n".into()]),
            (long(LONGEST - 4) + "😀€", vec![long(LONGEST - 4) + "😀", "€".into()]),
        ] {
            for size in [1, 1000, said.len()] {
                let mut parts = Parts::default();
                let mut lines = Vec::new();
                for chunk in said.as_bytes().chunks(size) {
                    parts.take(false, chunk, |line| lines.push(String::from_utf8(line.into()).unwrap()));
                }
                // What the other stream says is no part of it.
                parts.take(true, b"other", |_| panic!("it has no end"));
                parts.finish(|is_stderr, line| {
                    if !is_stderr {
                        lines.push(String::from_utf8(line.into()).unwrap());
                    }
                });
                assert_eq!(lines, expected, "{size}");
            }
        }
    }
}
