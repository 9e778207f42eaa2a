//! Values ↔ bytes (D-Bus specification, "Marshaling"), little-endian.

use anyhow::{Context, Result, bail};

use super::value::{DEEPEST, Value, first_type};

/// Appends a value; offsets count from the start of `bytes`.
pub(super) fn write(bytes: &mut Vec<u8>, value: &Value) {
    match value {
        Value::Byte(number) => bytes.push(*number),
        Value::Boolean(is) => number(bytes, u32::from(*is).to_le_bytes()),
        Value::Int16(value) => number(bytes, value.to_le_bytes()),
        Value::Uint16(value) => number(bytes, value.to_le_bytes()),
        Value::Int32(value) => number(bytes, value.to_le_bytes()),
        Value::Uint32(value) => number(bytes, value.to_le_bytes()),
        Value::Int64(value) => number(bytes, value.to_le_bytes()),
        Value::Uint64(value) => number(bytes, value.to_le_bytes()),
        Value::Double(value) => number(bytes, value.to_le_bytes()),
        Value::String(text) | Value::ObjectPath(text) => {
            number(bytes, (text.len() as u32).to_le_bytes());
            bytes.extend(text.as_bytes());
            bytes.push(0);
        }
        Value::Signature(text) => short_text(bytes, text),
        Value::Array(element, values) => array(bytes, element, values),
        Value::Structure(fields) => {
            pad(bytes, 8);
            fields.iter().for_each(|field| write(bytes, field));
        }
        Value::DictEntry(entry) => {
            pad(bytes, 8);
            write(bytes, &entry.0);
            write(bytes, &entry.1);
        }
        Value::Variant(value) => {
            short_text(bytes, &value.signature());
            write(bytes, value);
        }
    }
}

/// A number lies at a multiple of its size.
fn number<const SIZE: usize>(bytes: &mut Vec<u8>, number: [u8; SIZE]) {
    pad(bytes, SIZE);
    bytes.extend(number);
}

fn short_text(bytes: &mut Vec<u8>, text: &str) {
    bytes.push(text.len() as u8);
    bytes.extend(text.as_bytes());
    bytes.push(0);
}

/// The length does not count the padding before the first element, which is there even if there is none.
fn array(bytes: &mut Vec<u8>, element: &str, values: &[Value]) {
    number(bytes, [0; 4]);
    let length_at = bytes.len() - 4;
    pad(bytes, alignment(element));
    let start = bytes.len();
    values.iter().for_each(|value| write(bytes, value));
    let length = (bytes.len() - start) as u32;
    bytes[length_at..length_at + 4].copy_from_slice(&length.to_le_bytes());
}

pub(super) fn pad(bytes: &mut Vec<u8>, alignment: usize) {
    bytes.resize(bytes.len().next_multiple_of(alignment), 0);
}

fn alignment(signature: &str) -> usize {
    match signature.as_bytes().first() {
        Some(b'n' | b'q') => 2,
        Some(b'b' | b'i' | b'u' | b's' | b'o' | b'a') => 4,
        Some(b'x' | b't' | b'd' | b'(' | b'{') => 8,
        _ => 1,
    }
}

/// Reads values from bytes that someone else wrote: nothing in them is taken on trust.
pub(super) struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Reader<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Reader<'a> {
        Reader { bytes, at: 0 }
    }

    /// All values of a signature.
    pub(super) fn all(&mut self, mut signature: &str) -> Result<Vec<Value>> {
        let mut values = Vec::new();
        while !signature.is_empty() {
            let (one, rest) = first_type(signature).with_context(|| format!("{signature:?} is no signature"))?;
            values.push(self.value(one, 0)?);
            signature = rest;
        }
        Ok(values)
    }

    fn value(&mut self, signature: &str, depth: usize) -> Result<Value> {
        if depth > DEEPEST {
            bail!("values are nested too deep");
        }
        self.skip_to(alignment(signature))?;
        Ok(match signature.as_bytes()[0] {
            b'y' => Value::Byte(self.take(1)?[0]),
            b'b' => Value::Boolean(self.length()? != 0),
            b'n' => Value::Int16(i16::from_le_bytes(self.number()?)),
            b'q' => Value::Uint16(u16::from_le_bytes(self.number()?)),
            b'i' => Value::Int32(i32::from_le_bytes(self.number()?)),
            b'u' => Value::Uint32(u32::from_le_bytes(self.number()?)),
            b'x' => Value::Int64(i64::from_le_bytes(self.number()?)),
            b't' => Value::Uint64(u64::from_le_bytes(self.number()?)),
            b'd' => Value::Double(f64::from_le_bytes(self.number()?)),
            b's' => Value::String(self.text()?),
            b'o' => Value::ObjectPath(self.text()?),
            b'g' => Value::Signature(self.short_text()?),
            b'v' => {
                let inner = self.short_text()?;
                match first_type(&inner) {
                    Some((one, "")) => Value::Variant(Box::new(self.value(one, depth + 1)?)),
                    _ => bail!("{inner:?} is not one type"),
                }
            }
            b'a' => self.array(&signature[1..], depth)?,
            b'(' => Value::Structure(self.fields(&signature[1..signature.len() - 1], depth)?),
            b'{' => match <[Value; 2]>::try_from(self.fields(&signature[1..signature.len() - 1], depth)?) {
                Ok([key, value]) => Value::DictEntry(Box::new((key, value))),
                Err(_) => bail!("{signature:?} is not a key and a value"),
            },
            _ => bail!("{signature:?} is no type"),
        })
    }

    fn array(&mut self, element: &str, depth: usize) -> Result<Value> {
        let length = self.length()?;
        self.skip_to(alignment(element))?;
        let end = self.at.checked_add(length).filter(|end| *end <= self.bytes.len()).context("an array is cut off")?;
        let mut values = Vec::new();
        while self.at < end {
            values.push(self.value(element, depth + 1)?);
        }
        if self.at != end {
            bail!("an array is longer than its elements");
        }
        Ok(Value::Array(element.to_owned(), values))
    }

    fn fields(&mut self, mut signature: &str, depth: usize) -> Result<Vec<Value>> {
        let mut fields = Vec::new();
        while let Some((one, rest)) = first_type(signature) {
            fields.push(self.value(one, depth + 1)?);
            signature = rest;
        }
        Ok(fields)
    }

    fn text(&mut self) -> Result<String> {
        let length = self.length()?;
        self.terminated(length)
    }

    fn short_text(&mut self) -> Result<String> {
        let length = usize::from(self.take(1)?[0]);
        self.terminated(length)
    }

    fn terminated(&mut self, length: usize) -> Result<String> {
        let text = self.take(length)?.to_vec();
        self.take(1)?;
        String::from_utf8(text).context("a text is not UTF-8")
    }

    fn length(&mut self) -> Result<usize> {
        Ok(u32::from_le_bytes(self.number()?) as usize)
    }

    fn number<const SIZE: usize>(&mut self) -> Result<[u8; SIZE]> {
        self.skip_to(SIZE)?;
        Ok(self.take(SIZE)?.try_into()?)
    }

    pub(super) fn skip_to(&mut self, alignment: usize) -> Result<()> {
        let aligned = self.at.next_multiple_of(alignment);
        self.take(aligned - self.at)?;
        Ok(())
    }

    fn take(&mut self, length: usize) -> Result<&'a [u8]> {
        let taken =
            self.at.checked_add(length).and_then(|end| self.bytes.get(self.at..end)).context("it is cut off")?;
        self.at += length;
        Ok(taken)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn bytes_of(values: &[Value]) -> Vec<u8> {
        let mut bytes = Vec::new();
        values.iter().for_each(|value| write(&mut bytes, value));
        bytes
    }

    #[test]
    fn values_lie_where_the_specification_says() {
        assert_eq!(bytes_of(&[Value::Byte(7), Value::Uint32(1)]), [7, 0, 0, 0, 1, 0, 0, 0]);
        assert_eq!(bytes_of(&[Value::string("ab")]), [2, 0, 0, 0, b'a', b'b', 0]);
        assert_eq!(bytes_of(&[Value::Variant(Box::new(Value::Boolean(true)))]), [1, b'b', 0, 0, 1, 0, 0, 0]);
        // An array of 8-aligned elements is padded before the first, and the padding is not counted.
        assert_eq!(
            bytes_of(&[Value::Array("t".into(), vec![Value::Uint64(5)])]),
            [8, 0, 0, 0, 0, 0, 0, 0, 5, 0, 0, 0, 0, 0, 0, 0]
        );
        assert_eq!(bytes_of(&[Value::Array("(sv)".into(), vec![])]), [0; 8]);
        let pair = Value::Structure(vec![Value::string("a"), Value::Byte(9)]);
        assert_eq!(bytes_of(&[Value::Byte(1), pair]), [1, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, b'a', 0, 9]);
    }

    fn a_value() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            any::<u8>().prop_map(Value::Byte),
            any::<bool>().prop_map(Value::Boolean),
            any::<i16>().prop_map(Value::Int16),
            any::<u16>().prop_map(Value::Uint16),
            any::<i32>().prop_map(Value::Int32),
            any::<u32>().prop_map(Value::Uint32),
            any::<i64>().prop_map(Value::Int64),
            any::<u64>().prop_map(Value::Uint64),
            (-1e9..1e9).prop_map(Value::Double),
            "[a-zä]{0,9}".prop_map(Value::String),
            "(ss|t|ay|v)".prop_map(Value::Signature),
        ];
        leaf.prop_recursive(4, 32, 4, |inner| {
            prop_oneof![
                inner.clone().prop_map(|value| Value::Variant(Box::new(value))),
                prop::collection::vec(inner.clone(), 1..4).prop_map(Value::Structure),
                (inner.clone(), 0usize..4)
                    .prop_map(|(value, count)| Value::Array(value.signature(), vec![value; count])),
                (any::<u32>(), inner).prop_map(|(key, value)| Value::DictEntry(Box::new((Value::Uint32(key), value)))),
            ]
        })
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn what_is_written_is_read_back(values in prop::collection::vec(a_value(), 0..6)) {
            let signature: String = values.iter().map(Value::signature).collect();
            let bytes = bytes_of(&values);
            let mut reader = Reader::new(&bytes);
            prop_assert_eq!(reader.all(&signature).unwrap(), values);
            prop_assert_eq!(reader.at, bytes.len());
        }

        #[test]
        fn no_bytes_make_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..64), signature in "[abgnqstuvxy(){}]{0,8}") {
            let _ = Reader::new(&bytes).all(&signature);
        }
    }
}
