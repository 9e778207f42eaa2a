//! Annotations `org.systemd.property.NAME` → further properties of the unit.

use anyhow::{Context, Result, bail};

use super::properties::Property;
use super::text;
use super::value::Value;

const PREFIX: &str = "org.systemd.property.";

/// Reads the properties that annotations ask for, their values in GVariant's text format. A name in `…Sec`, as unit files
/// have it, becomes the `…USec` of the bus, and its number microseconds.
pub fn properties<'a>(annotations: impl IntoIterator<Item = (&'a String, &'a String)>) -> Result<Vec<Property>> {
    let asked = annotations.into_iter().filter_map(|(key, text)| Some((key, key.strip_prefix(PREFIX)?, text)));
    asked
        .map(|(key, name, text)| property(name, text).with_context(|| format!("annotations[{key:?}]: {text:?}")))
        .collect()
}

fn property(name: &str, text: &str) -> Result<Property> {
    if name.len() < 3 || !name.bytes().all(|byte| byte.is_ascii_alphabetic()) {
        bail!("{name:?} is not the name of a property");
    }
    let value = text::parse(text)?;
    match name.strip_suffix("Sec") {
        Some(stem) if stem.ends_with(|letter: char| letter.is_ascii_lowercase()) => {
            Ok((format!("{stem}USec"), Value::Uint64(microseconds(&value)?)))
        }
        _ => Ok((name.to_owned(), value)),
    }
}

fn microseconds(seconds: &Value) -> Result<u64> {
    let whole = match seconds {
        Value::Byte(number) => i128::from(*number),
        Value::Int16(number) => i128::from(*number),
        Value::Uint16(number) => i128::from(*number),
        Value::Int32(number) => i128::from(*number),
        Value::Uint32(number) => i128::from(*number),
        Value::Int64(number) => i128::from(*number),
        Value::Uint64(number) => i128::from(*number),
        Value::Double(number) if *number >= 0.0 && *number < 1.8e13 => return Ok((number * 1e6).round() as u64),
        _ => bail!("this is not a number of seconds"),
    };
    u64::try_from(whole * 1_000_000).context("this is not a number of seconds that can be counted")
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn of(key: &str, text: &str) -> Result<Vec<Property>> {
        properties(&BTreeMap::from([(key.to_owned(), text.to_owned()), ("other".to_owned(), "[".to_owned())]))
    }

    #[test]
    fn properties_are_read() {
        for (name, text, expected) in [
            ("CollectMode", "'inactive-or-failed'", ("CollectMode", Value::string("inactive-or-failed"))),
            ("TimeoutStopUSec", "uint64 123456789", ("TimeoutStopUSec", Value::Uint64(123_456_789))),
            ("TimeoutStopSec", "5", ("TimeoutStopUSec", Value::Uint64(5_000_000))),
            ("TimeoutStopSec", "1.5", ("TimeoutStopUSec", Value::Uint64(1_500_000))),
            ("After", "['a.service']", ("After", Value::strings(["a.service"]))),
            ("IPAccounting", "true", ("IPAccounting", Value::Boolean(true))),
        ] {
            let found = of(&format!("org.systemd.property.{name}"), text).unwrap();
            assert_eq!(found, [(expected.0.to_owned(), expected.1)], "{name} {text}");
        }
        assert!(of("org.other", "5").unwrap().is_empty());
    }

    #[test]
    fn what_is_wrong_is_named() {
        for (name, text) in [
            ("Ti", "5"),
            ("Timeout_Sec", "5"),
            ("", "5"),
            ("TimeoutStopSec", "'5'"),
            ("TimeoutStopSec", "-1"),
            ("TimeoutStopSec", "-1.0"),
            ("TimeoutStopSec", "1e300"),
            ("TimeoutStopSec", "uint64 18446744073709551615"),
            ("After", "['a"),
        ] {
            let error = of(&format!("org.systemd.property.{name}"), text).unwrap_err();
            assert!(format!("{error:#}").starts_with("annotations[\"org.systemd.property."), "{error:#}");
        }
    }
}
