//! Reading `config.json` and its relatives, with the JSON path of whatever is wrong.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use anyhow::{Context, Result, anyhow, bail};
use serde::de::DeserializeOwned;

use super::Spec;
use super::objects::Objects;
use super::repeated::settled;
use crate::error::Attempt;

/// No honest configuration is larger; an endless file must not fill the memory.
pub(crate) const LARGEST: u64 = 16 << 20;

/// Reads a file that is at most 16 MiB.
pub fn read(path: &Path) -> Result<Vec<u8>> {
    let file = File::open(path).attempt(|| format!("open {path:?}"))?;
    // Room for the usual, so that it is read in one go.
    let mut bytes = Vec::with_capacity(64 << 10);
    file.take(LARGEST + 1).read_to_end(&mut bytes).attempt(|| format!("read {path:?}"))?;
    if bytes.len() as u64 > LARGEST {
        bail!("{path:?} is larger than {} MiB", LARGEST >> 20);
    }
    Ok(bytes)
}

/// Makes a value of JSON; an error reads `linux.resources.memory.limit: invalid type: …`.
pub fn parse<T: DeserializeOwned>(json: &[u8]) -> Result<T> {
    match parse_once(json) {
        // serde::de::Error::duplicate_field. It is rare, and only then it costs a second look.
        Err(error) if error.root_cause().to_string().contains("duplicate field `") => parse_once(&settled(json)?),
        result => result,
    }
}

fn parse_once<T: DeserializeOwned>(json: &[u8]) -> Result<T> {
    let mut deserializer = serde_json::Deserializer::from_slice(json);
    let value = serde_path_to_error::deserialize(Objects(&mut deserializer)).map_err(|error| {
        let path = error.path().to_string();
        let cause = error.into_inner();
        if path == "." || cause.is_syntax() || cause.is_eof() { anyhow!("{cause}") } else { anyhow!("{path}: {cause}") }
    })?;
    deserializer.end().map_err(|error| anyhow!("{error}"))?;
    Ok(value)
}

/// A configuration in the form in which it came, and what it says.
#[derive(Debug)]
pub struct Loaded {
    /// The file's bytes, kept for the container's life: the specification has a later edit change nothing.
    pub bytes: Vec<u8>,
    /// Their meaning.
    pub spec: Spec,
}

/// Reads, parses and checks a configuration file.
pub fn config(path: &Path) -> Result<Loaded> {
    let bytes = read(path)?;
    let spec: Spec = parse(&bytes).with_context(|| format!("parse {path:?}"))?;
    super::check::spec(&spec).with_context(|| format!("{path:?}"))?;
    Ok(Loaded { bytes, spec })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::sentence;

    fn refusal(json: &str) -> String {
        sentence(&parse::<Spec>(json.as_bytes()).unwrap_err())
    }

    #[test]
    fn a_wrong_type_is_named_by_its_path() {
        let text = refusal(r#"{"ociVersion":"1.0.2","process":{"user":{"uid":"zero"}}}"#);
        assert!(text.starts_with("process.user.uid: invalid type: string \"zero\", expected u32"), "{text}");
        let text = refusal(r#"{"mounts":[{"destination":"/a"},{"destination":1}]}"#);
        assert!(text.starts_with("mounts[1].destination: invalid type"), "{text}");
    }

    #[test]
    fn a_syntax_error_is_named_by_its_place() {
        assert_eq!(refusal("{\"root\":"), "EOF while parsing a value at line 1 column 8");
        assert_eq!(refusal("{} x"), "trailing characters at line 1 column 4");
    }

    #[test]
    fn unknown_properties_and_nulls_are_ignored() {
        let spec: Spec = parse(br#"{"ociVersion":"1.0.2","mounts":null,"novelty":{"a":[1]},"linux":null}"#).unwrap();
        assert!(spec.mounts.is_empty());
        assert!(spec.linux.namespaces.is_empty());
    }
}
