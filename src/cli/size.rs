//! Sizes as Go's units package reads them: `512`, `64m`, `1.5 GiB`.

/// Reads a size in bytes, or -1 for none. A unit is a power of 1024, with or without `b` or `ib`, in any letters.
pub(super) fn parse(text: &str) -> Result<i64, String> {
    if text == "-1" {
        return Ok(-1);
    }
    let invalid = || format!("invalid size: '{text}'");
    let end = text.rfind(|letter: char| letter.is_ascii_digit() || letter == '.').ok_or_else(invalid)? + 1;
    let (number, unit) = text.split_at(end);
    let factor = factor(unit.strip_prefix(' ').unwrap_or(unit)).ok_or_else(|| format!("invalid suffix: '{unit}'"))?;
    let bytes = match number.parse::<i64>() {
        Ok(whole) => whole.checked_mul(factor),
        Err(_) => fraction(number, factor),
    };
    bytes.filter(|bytes| *bytes >= 0).ok_or_else(invalid)
}

fn factor(unit: &str) -> Option<i64> {
    let lower = unit.to_ascii_lowercase();
    let Some(letter) = lower.chars().next() else { return Some(1) };
    let power = "bkmgtp".find(letter)?;
    let rest = &lower[1..];
    let known = rest.is_empty() || power > 0 && (rest == "b" || rest == "ib");
    known.then(|| 1_i64 << (10 * power))
}

/// A number with a point, or one that is too large for an integer.
fn fraction(number: &str, factor: i64) -> Option<i64> {
    // The other words that are floating-point numbers in Rust have no place in a size.
    if !number.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.') {
        return None;
    }
    let bytes = number.parse::<f64>().ok()? * factor as f64;
    // i64::MAX is no f64; the next one is 2^63, which is too large.
    (bytes < i64::MAX as f64).then_some(bytes as i64)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn sizes_have_units() {
        for (text, bytes) in [
            ("0", 0),
            ("-1", -1),
            ("32", 32),
            ("32b", 32),
            ("32B", 32),
            ("32k", 32 << 10),
            ("32K", 32 << 10),
            ("32kb", 32 << 10),
            ("32Kb", 32 << 10),
            ("32KiB", 32 << 10),
            ("32 kib", 32 << 10),
            ("64m", 64 << 20),
            ("1.5g", 3 << 29),
            ("32.5kB", 33280),
            ("0.3 K", 307),
            (".3kB", 307),
            ("32.", 32),
            ("3t", 3 << 40),
            ("32p", 32 << 50),
            ("9223372036854775807", i64::MAX),
        ] {
            assert_eq!(parse(text), Ok(bytes), "{text}");
        }
    }

    #[test]
    fn what_is_no_size_is_refused() {
        for text in [
            "",
            "hello",
            "-32",
            "-2",
            ".",
            ". ",
            " ",
            "  ",
            "32m b",
            "32mib2",
            "32bb",
            "32bi",
            "32kbi",
            "32x",
            "32kix",
            "1e3",
            "inf",
            "nan1",
            "--1",
            "+.5",
            "32  k",
            "32k ",
            "1 2",
            "9223372036854775808",
            "9999999999999p",
            "8192p",
            "1.1.1",
        ] {
            assert!(parse(text).is_err(), "{text}: {:?}", parse(text));
        }
    }

    proptest! {
        #[test]
        fn any_text_is_read_or_refused(text in "\\PC{0,12}") {
            if let Ok(bytes) = parse(&text) {
                prop_assert!(bytes >= -1);
            }
        }

        #[test]
        fn whole_numbers_are_exact(bytes in 0..i64::MAX) {
            prop_assert_eq!(parse(&bytes.to_string()), Ok(bytes));
        }
    }
}
