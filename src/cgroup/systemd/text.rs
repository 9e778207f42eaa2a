//! Values written as text, as `gdbus` and annotations have them: GVariant's text format.
//!
//! `true`, `5`, `-3`, `1.5`, `'text'`, `"text"`, `b'bytes'`, `[1, 2]`, `('a', 2)`, `<5>`, `{'a': 1}`; a type can be put in
//! front, by name (`uint64 5`) or as a signature (`@as []`).

use anyhow::{Context, Result, bail};

use super::value::{DEEPEST, Value, first_type};

/// Reads one value. A number without a type is an `int32`, one with a point a `double`.
pub(super) fn parse(text: &str) -> Result<Value> {
    let mut parser = Parser { rest: text };
    let value = parser.value(None, 0)?;
    if !parser.peek().is_empty() {
        bail!("there is more behind the value: {:?}", parser.rest);
    }
    if value.signature().len() > 255 {
        bail!("its type is too long");
    }
    Ok(value)
}

/// The names that can stand in front of a value for its type.
const NAMES: [(&str, &str); 12] = [
    ("boolean", "b"),
    ("byte", "y"),
    ("int16", "n"),
    ("uint16", "q"),
    ("int32", "i"),
    ("uint32", "u"),
    ("int64", "x"),
    ("uint64", "t"),
    ("double", "d"),
    ("string", "s"),
    ("objectpath", "o"),
    ("signature", "g"),
];

struct Parser<'a> {
    rest: &'a str,
}

impl<'a> Parser<'a> {
    /// The rest, without the blanks before it.
    fn peek(&mut self) -> &'a str {
        self.rest = self.rest.trim_start();
        self.rest
    }

    fn accept(&mut self, token: &str) -> bool {
        match self.peek().strip_prefix(token) {
            Some(rest) => {
                self.rest = rest;
                true
            }
            None => false,
        }
    }

    fn expect(&mut self, token: &str) -> Result<()> {
        if self.accept(token) { Ok(()) } else { bail!("expected {token:?} before {:?}", self.rest) }
    }

    /// A run of characters that belong to a word or a number.
    fn word(&mut self) -> &'a str {
        let rest = self.peek();
        let end = rest.find(|c: char| !c.is_ascii_alphanumeric() && !"+-._".contains(c)).unwrap_or(rest.len());
        let (word, rest) = rest.split_at(end);
        self.rest = rest;
        word
    }

    fn value(&mut self, wanted: Option<&str>, depth: usize) -> Result<Value> {
        if depth > DEEPEST {
            bail!("values are nested too deep");
        }
        match self.peek().chars().next().context("a value is missing")? {
            '@' => {
                self.rest = &self.rest[1..];
                let (signature, rest) = first_type(self.rest).with_context(|| format!("{:?} is no type", self.rest))?;
                self.rest = rest;
                self.value(Some(signature), depth + 1)
            }
            '[' => self.array(wanted, depth),
            '(' => self.structure(wanted, depth),
            '{' => self.dictionary(wanted, depth),
            '<' => {
                self.rest = &self.rest[1..];
                let value = self.value(None, depth + 1)?;
                self.expect(">")?;
                Ok(Value::Variant(Box::new(value)))
            }
            '\'' | '"' => {
                let text = self.quoted()?;
                text_value(wanted, text)
            }
            'b' if self.rest.starts_with("b'") || self.rest.starts_with("b\"") => {
                self.rest = &self.rest[1..];
                let bytes = self.quoted()?.into_bytes().into_iter().chain([0]).map(Value::Byte).collect();
                Ok(Value::Array("y".into(), bytes))
            }
            _ => self.word_value(wanted, depth),
        }
    }

    /// A type's name, `true`, `false` or a number.
    fn word_value(&mut self, wanted: Option<&str>, depth: usize) -> Result<Value> {
        let word = self.word();
        if let Some((_, signature)) = NAMES.iter().find(|(name, _)| *name == word) {
            return self.value(Some(signature), depth + 1);
        }
        match (word, wanted) {
            ("true", None | Some("b")) => Ok(Value::Boolean(true)),
            ("false", None | Some("b")) => Ok(Value::Boolean(false)),
            ("", _) => bail!("a value is missing before {:?}", self.rest),
            (word, wanted) => number(wanted, word).with_context(|| match wanted {
                Some(signature) => format!("{word:?} is no value of type {signature:?}"),
                None => format!("{word:?} is no value"),
            }),
        }
    }

    fn array(&mut self, wanted: Option<&str>, depth: usize) -> Result<Value> {
        let mut element = match wanted {
            None => None,
            Some(signature) => {
                Some(signature.strip_prefix('a').context("an array stands for something else")?.to_owned())
            }
        };
        let values = self.list("[", "]", |parser, index| {
            let value = parser.value(element.as_deref(), depth + 1)?;
            if index == 0 && element.is_none() {
                element = Some(value.signature());
            }
            match &element {
                Some(element) if *element != value.signature() => {
                    bail!("the elements of an array are of different types")
                }
                _ => Ok(value),
            }
        })?;
        let element = element.context("an empty array needs its type before it, as in \"@as []\"")?;
        Ok(Value::Array(element, values))
    }

    fn structure(&mut self, wanted: Option<&str>, depth: usize) -> Result<Value> {
        let mut types = match wanted {
            None => None,
            Some(signature) => Some(signature.strip_prefix('(').context("a tuple stands for something else")?),
        };
        let fields = self.list("(", ")", |parser, _| {
            let one = match types {
                None => None,
                Some(rest) => {
                    let (one, rest) = first_type(rest).context("a tuple has too many values")?;
                    types = Some(rest);
                    Some(one)
                }
            };
            parser.value(one, depth + 1)
        })?;
        match (fields.is_empty(), types) {
            (true, _) => bail!("a tuple is empty"),
            (false, None | Some(")")) => Ok(Value::Structure(fields)),
            (false, Some(_)) => bail!("a tuple has too few values"),
        }
    }

    fn dictionary(&mut self, wanted: Option<&str>, depth: usize) -> Result<Value> {
        let types = match wanted {
            None => None,
            Some(signature) => {
                let inner = signature.strip_prefix("a{").and_then(|rest| rest.strip_suffix('}'));
                Some(inner.and_then(first_type).context("a dictionary stands for something else")?)
            }
        };
        let entries = self.list("{", "}", |parser, _| {
            let key = parser.value(types.map(|(key, _)| key), depth + 1)?;
            parser.expect(":")?;
            let value = parser.value(types.map(|(_, value)| value), depth + 1)?;
            Ok(Value::DictEntry(Box::new((key, value))))
        })?;
        let element = match (types, entries.first()) {
            (Some((key, value)), _) => format!("{{{key}{value}}}"),
            (None, Some(first)) => first.signature(),
            (None, None) => bail!("an empty dictionary needs its type before it, as in \"@a{{sv}} {{}}\""),
        };
        if entries.iter().any(|entry| entry.signature() != element) {
            bail!("the entries of a dictionary are of different types");
        }
        Ok(Value::Array(element, entries))
    }

    fn list(
        &mut self,
        open: &str,
        close: &str,
        mut one: impl FnMut(&mut Self, usize) -> Result<Value>,
    ) -> Result<Vec<Value>> {
        self.expect(open)?;
        let mut values = Vec::new();
        while !self.accept(close) {
            if !values.is_empty() {
                self.expect(",")?;
                // A tuple of one is written with a comma behind it.
                if self.accept(close) {
                    break;
                }
            }
            values.push(one(self, values.len())?);
        }
        Ok(values)
    }

    fn quoted(&mut self) -> Result<String> {
        let mut chars = self.rest.char_indices();
        let quote = chars.next().map(|(_, quote)| quote);
        let mut text = String::new();
        while let Some((at, character)) = chars.next() {
            match character {
                _ if Some(character) == quote => {
                    self.rest = &self.rest[at + character.len_utf8()..];
                    return Ok(text);
                }
                '\\' => match chars.next().context("a text ends in a backslash")?.1 {
                    'n' => text.push('\n'),
                    't' => text.push('\t'),
                    'r' => text.push('\r'),
                    other => text.push(other),
                },
                _ => text.push(character),
            }
        }
        bail!("a text is not closed: {:?}", self.rest)
    }
}

fn text_value(wanted: Option<&str>, text: String) -> Result<Value> {
    Ok(match wanted {
        None | Some("s") => Value::String(text),
        Some("o") => Value::ObjectPath(text),
        Some("g") => Value::Signature(text),
        Some(other) => bail!("a text stands where a value of type {other:?} is wanted"),
    })
}

fn number(wanted: Option<&str>, word: &str) -> Result<Value> {
    let unsigned = word.strip_prefix(['+', '-']).unwrap_or(word);
    if !unsigned.starts_with(|c: char| c.is_ascii_digit() || c == '.') {
        bail!("it does not begin with a digit");
    }
    let hexadecimal = unsigned.strip_prefix("0x").filter(|digits| !digits.starts_with(['+', '-']));
    let is_whole = hexadecimal.is_some() || !unsigned.contains(['.', 'e', 'E']);
    let whole = || -> Result<i128> {
        let value = hexadecimal.map_or_else(|| unsigned.parse(), |digits| i128::from_str_radix(digits, 16));
        Ok(if word.starts_with('-') { -value? } else { value? })
    };
    Ok(match wanted.unwrap_or(if is_whole { "i" } else { "d" }) {
        "y" => Value::Byte(whole()?.try_into()?),
        "n" => Value::Int16(whole()?.try_into()?),
        "q" => Value::Uint16(whole()?.try_into()?),
        "i" => Value::Int32(whole()?.try_into()?),
        "u" => Value::Uint32(whole()?.try_into()?),
        "x" => Value::Int64(whole()?.try_into()?),
        "t" => Value::Uint64(whole()?.try_into()?),
        "d" => Value::Double(word.parse()?),
        _ => bail!("a number stands for something else"),
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn values_are_read_with_and_without_their_types() {
        let strings = |texts: &[&str]| Value::strings(texts.iter().copied());
        for (text, expected) in [
            ("true", Value::Boolean(true)),
            (" false ", Value::Boolean(false)),
            ("5", Value::Int32(5)),
            ("-0x10", Value::Int32(-16)),
            ("1.5", Value::Double(1.5)),
            ("1e3", Value::Double(1000.0)),
            ("uint64 18446744073709551615", Value::Uint64(u64::MAX)),
            ("int64 -9223372036854775808", Value::Int64(i64::MIN)),
            ("@t 5", Value::Uint64(5)),
            ("byte 0xff", Value::Byte(255)),
            ("double 2", Value::Double(2.0)),
            ("boolean true", Value::Boolean(true)),
            ("'inactive-or-failed'", Value::string("inactive-or-failed")),
            (r#""it's""#, Value::string("it's")),
            (r"'a\'b\n'", Value::string("a'b\n")),
            ("objectpath '/a'", Value::ObjectPath("/a".into())),
            ("['a.service', 'b.service']", strings(&["a.service", "b.service"])),
            ("@as []", strings(&[])),
            ("[uint32 1, 2]", Value::Array("u".into(), vec![Value::Uint32(1), Value::Uint32(2)])),
            ("b'ab'", Value::Array("y".into(), [97, 98, 0].map(Value::Byte).to_vec())),
            ("<5>", Value::Variant(Box::new(Value::Int32(5)))),
            ("('a', 2)", Value::Structure(vec![Value::string("a"), Value::Int32(2)])),
            ("(5,)", Value::Structure(vec![Value::Int32(5)])),
            ("@(st) ('a', 2)", Value::Structure(vec![Value::string("a"), Value::Uint64(2)])),
            (
                "@a(st) [('/', 2)]",
                Value::Array("(st)".into(), vec![Value::Structure(vec![Value::string("/"), Value::Uint64(2)])]),
            ),
            (
                "{'a': 1}",
                Value::Array("{si}".into(), vec![Value::DictEntry(Box::new((Value::string("a"), Value::Int32(1))))]),
            ),
            ("@a{sv} {}", Value::Array("{sv}".into(), vec![])),
        ] {
            assert_eq!(parse(text).unwrap(), expected, "{text}");
        }
        assert_eq!(parse("@au [1, 2]").unwrap(), Value::Array("u".into(), vec![Value::Uint32(1), Value::Uint32(2)]));
    }

    #[test]
    fn what_is_no_value_is_refused() {
        for text in [
            "",
            " ",
            "yes",
            "5 6",
            "[]",
            "{}",
            "()",
            "['a', 1]",
            "'a",
            "(5",
            "[5",
            "@",
            "@z 5",
            "uint64 -1",
            "uint64 'a'",
            "byte 256",
            "@s 5",
            "@as 5",
            "@as ['a', 5]",
            "@(ss) ('a',)",
            "@(s) ('a', 'b')",
            "0x",
            "--5",
            "nan",
            "{'a' 1}",
            "boolean 5",
            "b'a",
        ] {
            assert!(parse(text).is_err(), "{text:?}: {:?}", parse(text));
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn no_text_makes_it_panic(text in r#"[@abistuvy(){}\[\]<>'",: \\0-9ä.-]{0,24}"#) {
            let _ = parse(&text);
        }
    }
}
