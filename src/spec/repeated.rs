//! A name that stands twice in a JSON object.
//!
//! serde's derived types refuse it. For Go's decoder, and so for runc, the last one counts; of two objects, all that is in either.

use std::fmt;

use anyhow::{Result, anyhow};
use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Value};

/// The same JSON with each name once.
pub(super) fn settled(json: &[u8]) -> Result<Vec<u8>> {
    let Settled(value) = serde_json::from_slice(json).map_err(|error| anyhow!("{error}"))?;
    serde_json::to_vec(&value).map_err(|error| anyhow!("{error}"))
}

struct Settled(Value);

impl<'de> Deserialize<'de> for Settled {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Settled, D::Error> {
        deserializer.deserialize_any(AnyValue).map(Settled)
    }
}

struct AnyValue;

macro_rules! take {
    ($($method:ident($type:ty);)+) => {$(
        fn $method<E>(self, value: $type) -> Result<Value, E> {
            Ok(value.into())
        }
    )+};
}

impl<'de> Visitor<'de> for AnyValue {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    take! {
        visit_bool(bool);
        visit_i64(i64);
        visit_u64(u64);
        visit_f64(f64);
        visit_str(&str);
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut access: A) -> Result<Value, A::Error> {
        let mut elements = Vec::new();
        while let Some(Settled(element)) = access.next_element()? {
            elements.push(element);
        }
        Ok(elements.into())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Value, A::Error> {
        let mut object = Map::new();
        while let Some((name, Settled(value))) = access.next_entry()? {
            add(&mut object, name, value);
        }
        Ok(object.into())
    }
}

fn add(object: &mut Map<String, Value>, name: String, value: Value) {
    match (object.get_mut(&name), value) {
        (Some(Value::Object(first)), Value::Object(second)) => {
            second.into_iter().for_each(|(name, value)| add(first, name, value));
        }
        (_, value) => drop(object.insert(name, value)),
    }
}

#[cfg(test)]
mod tests {
    use super::super::load::parse;
    use super::settled;
    use crate::error::sentence;
    use crate::spec::Spec;

    #[test]
    fn the_last_counts_and_objects_are_joined() {
        let cases = [
            (r#"{"a":1,"a":"x"}"#, r#"{"a":"x"}"#),
            (r#"{"a":{"b":1,"c":2},"a":{"c":[3],"d":null}}"#, r#"{"a":{"b":1,"c":[3],"d":null}}"#),
            (r#"{"a":{"b":{"c":1}},"a":{"b":{"d":1.5}}}"#, r#"{"a":{"b":{"c":1,"d":1.5}}}"#),
            (r#"{"a":{"b":1},"a":null}"#, r#"{"a":null}"#),
            (r#"[{"a":true,"a":-1},{"a":18446744073709551615}]"#, r#"[{"a":-1},{"a":18446744073709551615}]"#),
        ];
        for (json, expected) in cases {
            assert_eq!(String::from_utf8(settled(json.as_bytes()).unwrap()).unwrap(), expected);
        }
    }

    #[test]
    fn configurations_may_repeat_themselves() {
        let spec: Spec = parse(
            br#"{"hostname":"a","process":{"args":["a"],"cwd":"/"},"annotations":{"x":"1","x":"2"},
                "hostname":"b","process":{"args":["b"]}}"#,
        )
        .unwrap();
        let process = spec.process.unwrap();
        assert_eq!((spec.hostname.as_str(), process.cwd.as_str(), process.args), ("b", "/", vec!["b".to_owned()]));
        assert_eq!(spec.annotations["x"], "2");
        // What is wrong beside is said.
        let wrong = parse::<Spec>(br#"{"hostname":"a","hostname":"b","root":{"path":1}}"#).unwrap_err();
        assert!(sentence(&wrong).starts_with("root.path: invalid type: integer `1`"), "{wrong:?}");
    }
}
