//! A JSON array is no object, and `null` among others is nothing.
//!
//! serde's derived types read a struct from a sequence as well, field by field: `"memory": [1, 2]` would be a limit and a
//! reservation. This deserializer stands before another one and asks it for a map wherever a struct is wanted.
//!
//! An element of an array or a value of a map that is `null` is what Go's decoder makes of it: an empty text, 0, an object without
//! properties. Properties that are `null` are for the types to say: absent, or wrong where they are required.

use std::fmt;
use std::marker::PhantomData;

use serde::de::value::MapDeserializer;
use serde::de::{DeserializeSeed, Deserializer, EnumAccess, Error, MapAccess, SeqAccess, Visitor};

/// Reads structs from maps only, all the way down.
pub(super) struct Objects<D>(pub(super) D);

macro_rules! all_but_those_of_elements {
    ($with:ident) => {
        $with! {
            deserialize_any();
            deserialize_bool();
            deserialize_i8();
            deserialize_i16();
            deserialize_i32();
            deserialize_i64();
            deserialize_u8();
            deserialize_u16();
            deserialize_u64();
            deserialize_f32();
            deserialize_f64();
            deserialize_char();
            deserialize_str();
            deserialize_bytes();
            deserialize_byte_buf();
            deserialize_option();
            deserialize_unit();
            deserialize_unit_struct(name: &'static str);
            deserialize_newtype_struct(name: &'static str);
            deserialize_seq();
            deserialize_tuple(length: usize);
            deserialize_tuple_struct(name: &'static str, length: usize);
            deserialize_map();
            deserialize_enum(name: &'static str, variants: &'static [&'static str]);
            deserialize_identifier();
            deserialize_ignored_any();
        }
    };
}

macro_rules! forward {
    ($($method:ident($($argument:ident: $type:ty),*);)+) => {$(
        fn $method<V: Visitor<'de>>(self, $($argument: $type,)* visitor: V) -> Result<V::Value, D::Error> {
            self.0.$method($($argument,)* Within(visitor))
        }
    )+};
}

impl<'de, D: Deserializer<'de>> Deserializer<'de> for Objects<D> {
    type Error = D::Error;

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, D::Error> {
        self.0.deserialize_map(Properties(visitor))
    }

    forward! {
        deserialize_string();
        deserialize_u32();
    }

    all_but_those_of_elements!(forward);
}

/// Reads an element of an array or a value of a map as [`Objects`] does, and `null` as what is empty.
struct Elements<D>(D);

macro_rules! or_empty {
    ($($method:ident($($argument:ident: $type:ty),*) $kind:ty;)+) => {$(
        fn $method<V: Visitor<'de>>(self, $($argument: $type,)* visitor: V) -> Result<V::Value, D::Error> {
            $(let _ = $argument;)*
            self.0.deserialize_option(OrEmpty::<V, $kind>(visitor, PhantomData))
        }
    )+};
}

macro_rules! as_object {
    ($($method:ident($($argument:ident: $type:ty),*);)+) => {$(
        fn $method<V: Visitor<'de>>(self, $($argument: $type,)* visitor: V) -> Result<V::Value, D::Error> {
            Objects(self.0).$method($($argument,)* visitor)
        }
    )+};
}

impl<'de, D: Deserializer<'de>> Deserializer<'de> for Elements<D> {
    type Error = D::Error;

    or_empty! {
        deserialize_string() Text;
        deserialize_u32() Number;
        deserialize_struct(name: &'static str, fields: &'static [&'static str]) Object;
    }

    all_but_those_of_elements!(as_object);
}

/// What an element is, if it isn't `null`.
trait Kind {
    fn read<'de, V: Visitor<'de>, D: Deserializer<'de>>(deserializer: D, visitor: V) -> Result<V::Value, D::Error>;
    fn empty<'de, V: Visitor<'de>, E: Error>(visitor: V) -> Result<V::Value, E>;
}

struct Text;
struct Number;
struct Object;

impl Kind for Text {
    fn read<'de, V: Visitor<'de>, D: Deserializer<'de>>(deserializer: D, visitor: V) -> Result<V::Value, D::Error> {
        deserializer.deserialize_string(visitor)
    }

    fn empty<'de, V: Visitor<'de>, E: Error>(visitor: V) -> Result<V::Value, E> {
        visitor.visit_str("")
    }
}

impl Kind for Number {
    fn read<'de, V: Visitor<'de>, D: Deserializer<'de>>(deserializer: D, visitor: V) -> Result<V::Value, D::Error> {
        deserializer.deserialize_u32(visitor)
    }

    fn empty<'de, V: Visitor<'de>, E: Error>(visitor: V) -> Result<V::Value, E> {
        visitor.visit_u64(0)
    }
}

impl Kind for Object {
    fn read<'de, V: Visitor<'de>, D: Deserializer<'de>>(deserializer: D, visitor: V) -> Result<V::Value, D::Error> {
        deserializer.deserialize_map(Properties(visitor))
    }

    fn empty<'de, V: Visitor<'de>, E: Error>(visitor: V) -> Result<V::Value, E> {
        visitor.visit_map(MapDeserializer::new(std::iter::empty::<(&str, ())>()))
    }
}

/// Asked for an option, a deserializer looks at what comes before it says what that is.
struct OrEmpty<V, K>(V, PhantomData<K>);

impl<'de, V: Visitor<'de>, K: Kind> Visitor<'de> for OrEmpty<V, K> {
    type Value = V::Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.expecting(f)
    }

    fn visit_unit<E: Error>(self) -> Result<V::Value, E> {
        K::empty(self.0)
    }

    fn visit_none<E: Error>(self) -> Result<V::Value, E> {
        K::empty(self.0)
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<V::Value, D::Error> {
        K::read(deserializer, self.0)
    }
}

/// The visitor of a struct, and what it is given to read the properties from.
struct Properties<T>(T);

impl<'de, V: Visitor<'de>> Visitor<'de> for Properties<V> {
    type Value = V::Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.expecting(f)
    }

    fn visit_map<A: MapAccess<'de>>(self, access: A) -> Result<V::Value, A::Error> {
        self.0.visit_map(Properties(access))
    }
}

impl<'de, A: MapAccess<'de>> MapAccess<'de> for Properties<A> {
    type Error = A::Error;

    fn next_key_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<Option<S::Value>, A::Error> {
        self.0.next_key_seed(seed)
    }

    fn next_value_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<S::Value, A::Error> {
        self.0.next_value_seed(Properties(seed))
    }
}

impl<'de, S: DeserializeSeed<'de>> DeserializeSeed<'de> for Properties<S> {
    type Value = S::Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<S::Value, D::Error> {
        self.0.deserialize(Objects(deserializer))
    }
}

/// What the other deserializer is given in place of a visitor, a seed or an access, so that what lies within is read by
/// [`Objects`] or [`Elements`], too.
struct Within<T>(T);

macro_rules! visit {
    ($($method:ident($type:ty);)+) => {$(
        fn $method<E: Error>(self, value: $type) -> Result<V::Value, E> {
            self.0.$method(value)
        }
    )+};
}

impl<'de, V: Visitor<'de>> Visitor<'de> for Within<V> {
    type Value = V::Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.expecting(f)
    }

    visit! {
        visit_bool(bool);
        visit_i64(i64);
        visit_u64(u64);
        visit_f64(f64);
        visit_str(&str);
        visit_borrowed_str(&'de str);
        visit_string(String);
        visit_bytes(&[u8]);
        visit_borrowed_bytes(&'de [u8]);
        visit_byte_buf(Vec<u8>);
    }

    fn visit_none<E: Error>(self) -> Result<V::Value, E> {
        self.0.visit_none()
    }

    fn visit_unit<E: Error>(self) -> Result<V::Value, E> {
        self.0.visit_unit()
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<V::Value, D::Error> {
        self.0.visit_some(Objects(deserializer))
    }

    fn visit_newtype_struct<D: Deserializer<'de>>(self, deserializer: D) -> Result<V::Value, D::Error> {
        self.0.visit_newtype_struct(Objects(deserializer))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, access: A) -> Result<V::Value, A::Error> {
        self.0.visit_seq(Within(access))
    }

    fn visit_map<A: MapAccess<'de>>(self, access: A) -> Result<V::Value, A::Error> {
        self.0.visit_map(Within(access))
    }

    fn visit_enum<A: EnumAccess<'de>>(self, access: A) -> Result<V::Value, A::Error> {
        // The enums of our documents are names and hold nothing.
        self.0.visit_enum(access)
    }
}

impl<'de, S: DeserializeSeed<'de>> DeserializeSeed<'de> for Within<S> {
    type Value = S::Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<S::Value, D::Error> {
        self.0.deserialize(Elements(deserializer))
    }
}

impl<'de, A: SeqAccess<'de>> SeqAccess<'de> for Within<A> {
    type Error = A::Error;

    fn next_element_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<Option<S::Value>, A::Error> {
        self.0.next_element_seed(Within(seed))
    }

    fn size_hint(&self) -> Option<usize> {
        self.0.size_hint()
    }
}

impl<'de, A: MapAccess<'de>> MapAccess<'de> for Within<A> {
    type Error = A::Error;

    fn next_key_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<Option<S::Value>, A::Error> {
        // A key is text, or a number in quotes: nothing lies within.
        self.0.next_key_seed(seed)
    }

    fn next_value_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<S::Value, A::Error> {
        self.0.next_value_seed(Within(seed))
    }

    fn size_hint(&self) -> Option<usize> {
        self.0.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use super::super::load::parse;
    use crate::error::sentence;
    use crate::spec::resources::LinuxResources;
    use crate::spec::{Process, Spec};

    #[test]
    fn an_array_is_no_object_wherever_it_stands() {
        let cases = [
            ("[]", "invalid type: sequence, expected struct Spec"),
            (r#"{"hooks":[]}"#, "hooks: invalid type: sequence, expected struct Hooks"),
            (r#"{"process":[true]}"#, "process: invalid type: sequence, expected struct Process"),
            (r#"{"mounts":[{"destination":"/a"},["/b"]]}"#, "mounts[1]: invalid type: sequence, expected struct Mount"),
            (
                r#"{"linux":{"resources":{"memory":[1,2]}}}"#,
                "linux.resources.memory: invalid type: sequence, expected struct LinuxMemory",
            ),
            (
                r#"{"linux":{"timeOffsets":{"boottime":[1]}}}"#,
                "linux.timeOffsets.boottime: invalid type: sequence, expected struct TimeOffset",
            ),
            (r#"{"linux":{"seccomp":[]}}"#, "linux.seccomp: invalid type: sequence, expected struct Seccomp"),
        ];
        for (json, expected) in cases {
            let text = sentence(&parse::<Spec>(json.as_bytes()).unwrap_err());
            assert!(text.starts_with(expected), "{json}: {text}");
        }
    }

    #[test]
    fn null_among_others_is_empty() {
        let text = r#"{"annotations":{"a":null,"b":"c"},"process":{"args":["sh",null],"user":{"additionalGids":[1,null]}},
            "linux":{"sysctl":{"x":null},"netDevices":{"a":null},"resources":{"unified":{"y":null},"rdma":{"z":null}}}}"#;
        let spec: Spec = parse(text.as_bytes()).unwrap();
        let expected = [("a".to_owned(), String::new()), ("b".to_owned(), "c".to_owned())];
        assert_eq!(spec.annotations, expected.into());
        let process = spec.process.unwrap();
        assert_eq!((process.args, process.user.additional_gids), (vec!["sh".into(), String::new()], vec![1, 0]));
        assert_eq!(spec.linux.sysctl["x"], "");
        assert_eq!(spec.linux.net_devices["a"].name, "");
        let resources = spec.linux.resources.unwrap();
        assert_eq!(resources.unified.unwrap()["y"], "");
        assert_eq!(resources.rdma.unwrap()["z"].hca_handles, None);
    }

    #[test]
    fn null_where_something_is_required_is_nothing() {
        let cases = [
            (r#"{"mounts":[null]}"#, "mounts[0]: missing field `destination`"),
            (r#"{"mounts":[{"destination":null}]}"#, "mounts[0].destination: invalid type: null, expected a string"),
            (
                r#"{"process":{"rlimits":[{"type":"RLIMIT_CORE","hard":null,"soft":1}]}}"#,
                "process.rlimits[0].hard: invalid",
            ),
            (r#"{"root":{"path":null}}"#, "root.path: invalid type: null"),
        ];
        for (json, expected) in cases {
            let text = sentence(&parse::<Spec>(json.as_bytes()).unwrap_err());
            assert!(text.starts_with(expected), "{json}: {text}");
        }
    }

    #[test]
    fn all_else_is_read_as_it_was() {
        let text = include_str!("../../tests/data/configs/docker-limits.json");
        let (with, without): (Spec, Spec) = (parse(text.as_bytes()).unwrap(), serde_json::from_str(text).unwrap());
        assert_eq!(format!("{with:?}"), format!("{without:?}"));
        let text = r#"{"devices":[{"allow":true,"major":null}],"rdma":{"a":{}},"unified":{},"later":[[{"a":[1.5]}]]}"#;
        let (with, without): (LinuxResources, LinuxResources) =
            (parse(text.as_bytes()).unwrap(), serde_json::from_str(text).unwrap());
        assert_eq!(with, without);
        assert_eq!(parse::<Process>(br#"{"args":["a\u0041"],"user":null}"#).unwrap().args, ["aA"]);
    }
}
