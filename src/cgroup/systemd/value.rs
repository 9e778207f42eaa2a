//! Values as D-Bus has them, each with its type.

use std::fmt;

/// One value (D-Bus specification, "Type system").
#[derive(Debug, Clone, PartialEq)]
#[allow(missing_docs, reason = "the names are those of the specification")]
pub enum Value {
    Byte(u8),
    Boolean(bool),
    Int16(i16),
    Uint16(u16),
    Int32(i32),
    Uint32(u32),
    Int64(i64),
    Uint64(u64),
    Double(f64),
    String(String),
    ObjectPath(String),
    Signature(String),
    /// The signature of an element, and the elements: an empty array has a type too.
    Array(String, Vec<Value>),
    Structure(Vec<Value>),
    DictEntry(Box<(Value, Value)>),
    Variant(Box<Value>),
}

/// For people: no limit is `infinity`, as systemctl has it.
impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Value::Byte(number) => write!(f, "{number:#04x}"),
            Value::Boolean(is) => write!(f, "{is}"),
            Value::Int16(number) => write!(f, "{number}"),
            Value::Uint16(number) => write!(f, "{number}"),
            Value::Int32(number) => write!(f, "{number}"),
            Value::Uint32(number) => write!(f, "{number}"),
            Value::Int64(number) => write!(f, "{number}"),
            Value::Uint64(u64::MAX) => f.write_str("infinity"),
            Value::Uint64(number) => write!(f, "{number}"),
            Value::Double(number) => write!(f, "{number}"),
            Value::String(text) | Value::ObjectPath(text) | Value::Signature(text) => write!(f, "{text:?}"),
            Value::Array(_, values) => list(f, "[", values, "]"),
            Value::Structure(values) => list(f, "(", values, ")"),
            Value::DictEntry(entry) => write!(f, "{}: {}", entry.0, entry.1),
            Value::Variant(value) => write!(f, "{value}"),
        }
    }
}

fn list(f: &mut fmt::Formatter<'_>, open: &str, values: &[Value], close: &str) -> fmt::Result {
    let texts: Vec<String> = values.iter().map(Value::to_string).collect();
    write!(f, "{open}{}{close}", texts.join(", "))
}

impl Value {
    /// The value's type, written as D-Bus does.
    pub fn signature(&self) -> String {
        match self {
            Value::Byte(_) => "y".into(),
            Value::Boolean(_) => "b".into(),
            Value::Int16(_) => "n".into(),
            Value::Uint16(_) => "q".into(),
            Value::Int32(_) => "i".into(),
            Value::Uint32(_) => "u".into(),
            Value::Int64(_) => "x".into(),
            Value::Uint64(_) => "t".into(),
            Value::Double(_) => "d".into(),
            Value::String(_) => "s".into(),
            Value::ObjectPath(_) => "o".into(),
            Value::Signature(_) => "g".into(),
            Value::Array(element, _) => format!("a{element}"),
            Value::Structure(fields) => format!("({})", fields.iter().map(Value::signature).collect::<String>()),
            Value::DictEntry(entry) => format!("{{{}{}}}", entry.0.signature(), entry.1.signature()),
            Value::Variant(_) => "v".into(),
        }
    }

    /// The text of a string or an object path.
    pub fn text(&self) -> Option<&str> {
        match self {
            Value::String(text) | Value::ObjectPath(text) => Some(text),
            _ => None,
        }
    }

    /// A string.
    pub fn string(text: impl Into<String>) -> Value {
        Value::String(text.into())
    }

    /// An array of strings.
    pub fn strings<T: Into<String>>(texts: impl IntoIterator<Item = T>) -> Value {
        Value::Array("s".into(), texts.into_iter().map(Value::string).collect())
    }
}

/// Splits the first complete type off a signature; none if there is no such type.
pub(super) fn first_type(signature: &str) -> Option<(&str, &str)> {
    let length = type_length(signature.as_bytes(), 0)?;
    signature.split_at_checked(length)
}

/// How deep types may be nested in each other (D-Bus specification, "Valid signatures": 32 arrays and 32 structures).
pub(super) const DEEPEST: usize = 64;

fn type_length(signature: &[u8], depth: usize) -> Option<usize> {
    if depth > DEEPEST {
        return None;
    }
    match signature.first()? {
        b'a' => Some(1 + type_length(&signature[1..], depth + 1)?),
        b'(' => closed(signature, b')', depth),
        b'{' => closed(signature, b'}', depth),
        code if b"ybnqiuxtdsogv".contains(code) => Some(1),
        _ => None,
    }
}

fn closed(signature: &[u8], close: u8, depth: usize) -> Option<usize> {
    let mut length = 1;
    while *signature.get(length)? != close {
        length += type_length(&signature[length..], depth + 1)?;
    }
    (length > 1).then_some(length + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signatures_are_split_into_complete_types() {
        let types = |mut rest: &str| {
            let mut all = Vec::new();
            while let Some((one, after)) = first_type(rest) {
                all.push(one.to_owned());
                rest = after;
            }
            (all, rest.to_owned())
        };
        let expected = ["s", "s", "a(sv)", "a(sa(sv))"].map(str::to_owned).to_vec();
        assert_eq!(types("ssa(sv)a(sa(sv))"), (expected, String::new()));
        assert_eq!(types("a{sv}aay"), (["a{sv}", "aay"].map(str::to_owned).to_vec(), String::new()));
        for wrong in ["a", "(", "(s", "()", "z", "a{s", "()s"] {
            assert_eq!(first_type(wrong), None, "{wrong}");
        }
        assert_eq!(first_type(&"a".repeat(1000)), None);
    }

    #[test]
    fn a_value_is_shown_to_people() {
        let entry = Value::DictEntry(Box::new((Value::string("k"), Value::Variant(Box::new(Value::Boolean(true))))));
        let all = Value::Structure(vec![Value::strings(["a", "b"]), Value::Uint64(u64::MAX), Value::Byte(5), entry]);
        assert_eq!(all.to_string(), r#"(["a", "b"], infinity, 0x05, "k": true)"#);
    }

    #[test]
    fn a_value_knows_its_type() {
        let entry = Value::DictEntry(Box::new((Value::string("k"), Value::Variant(Box::new(Value::Byte(1))))));
        let all = Value::Structure(vec![Value::Array("(ss)".into(), vec![]), Value::Uint64(1), entry]);
        assert_eq!(all.signature(), "(a(ss)t{sv})");
    }
}
