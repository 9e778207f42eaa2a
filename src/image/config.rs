//! An image's configuration: what to run in it, and of which layers it consists (image-spec, config.md).

use std::collections::BTreeMap;

use anyhow::{Context, Result, ensure};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::digest::Digest;
use super::manifest::LARGEST_DOCUMENT;
use super::platform::Platform;
use crate::spec::nullable;

/// A configuration, as OCI and docker write it. The document's bytes are its identity; this is read from them.
#[derive(Debug, Clone, Default, PartialEq, Deserialize, Serialize)]
pub struct Config {
    /// When the image was made, RFC 3339.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub created: Option<String>,
    /// Who made it.
    #[serde(default, deserialize_with = "nullable", skip_serializing_if = "String::is_empty")]
    pub author: String,
    /// The processor.
    #[serde(default, deserialize_with = "nullable")]
    pub architecture: String,
    /// The operating system.
    #[serde(default, deserialize_with = "nullable")]
    pub os: String,
    /// The processor's variant.
    #[serde(default, deserialize_with = "nullable", skip_serializing_if = "String::is_empty")]
    pub variant: String,
    /// How its containers are run.
    #[serde(default, deserialize_with = "nullable")]
    pub config: Execution,
    /// Its layers.
    #[serde(default)]
    pub rootfs: RootFs,
    /// How it came about.
    #[serde(default, deserialize_with = "nullable", skip_serializing_if = "Vec::is_empty")]
    pub history: Vec<History>,
    /// docker's free text of a commit.
    #[serde(default, deserialize_with = "nullable", skip_serializing_if = "String::is_empty")]
    pub comment: String,
}

/// `config`: defaults for the containers of an image.
#[derive(Debug, Clone, Default, PartialEq, Deserialize, Serialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct Execution {
    /// `user[:group]`, names or numbers.
    #[serde(deserialize_with = "nullable", skip_serializing_if = "String::is_empty")]
    pub user: String,
    /// `port/protocol`, each with an empty object.
    #[serde(deserialize_with = "nullable", skip_serializing_if = "BTreeMap::is_empty")]
    pub exposed_ports: BTreeMap<String, Value>,
    /// `NAME=value`.
    #[serde(deserialize_with = "nullable", skip_serializing_if = "Vec::is_empty")]
    pub env: Vec<String>,
    /// The program and its first arguments.
    #[serde(deserialize_with = "nullable", skip_serializing_if = "Vec::is_empty")]
    pub entrypoint: Vec<String>,
    /// Further arguments, or all of them where there is no entry point.
    #[serde(deserialize_with = "nullable", skip_serializing_if = "Vec::is_empty")]
    pub cmd: Vec<String>,
    /// Directories whose content outlives the container, each with an empty object.
    #[serde(deserialize_with = "nullable", skip_serializing_if = "BTreeMap::is_empty")]
    pub volumes: BTreeMap<String, Value>,
    /// The working directory.
    #[serde(deserialize_with = "nullable", skip_serializing_if = "String::is_empty")]
    pub working_dir: String,
    /// Free text.
    #[serde(deserialize_with = "nullable", skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
    /// The signal that ends it.
    #[serde(deserialize_with = "nullable", skip_serializing_if = "String::is_empty")]
    pub stop_signal: String,
    /// docker's: how a container's health is asked.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub healthcheck: Option<Value>,
    /// docker's: what the shell form of instructions is run by.
    #[serde(deserialize_with = "nullable", skip_serializing_if = "Vec::is_empty")]
    pub shell: Vec<String>,
    /// docker's: instructions for images that are built on this one.
    #[serde(deserialize_with = "nullable", skip_serializing_if = "Vec::is_empty")]
    pub on_build: Vec<String>,
}

/// `rootfs`: the layers by their uncompressed content, the lowest first.
#[derive(Debug, Clone, PartialEq, Deserialize, Serialize)]
pub struct RootFs {
    /// Always `layers`.
    #[serde(rename = "type", default)]
    pub kind: String,
    /// Digests of the uncompressed archives.
    #[serde(default, deserialize_with = "nullable")]
    pub diff_ids: Vec<Digest>,
}

impl Default for RootFs {
    fn default() -> RootFs {
        RootFs { kind: "layers".into(), diff_ids: Vec::new() }
    }
}

/// One step of how the image came about.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(default)]
pub struct History {
    /// When, RFC 3339.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub created: Option<String>,
    /// Who.
    #[serde(deserialize_with = "nullable", skip_serializing_if = "String::is_empty")]
    pub author: String,
    /// By which command.
    #[serde(deserialize_with = "nullable", skip_serializing_if = "String::is_empty")]
    pub created_by: String,
    /// Free text.
    #[serde(deserialize_with = "nullable", skip_serializing_if = "String::is_empty")]
    pub comment: String,
    /// The step made no layer.
    #[serde(deserialize_with = "nullable", skip_serializing_if = "is_false")]
    pub empty_layer: bool,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands a reference")]
fn is_false(value: &bool) -> bool {
    !value
}

impl Config {
    /// Reads a configuration.
    pub fn parse(bytes: &[u8]) -> Result<Config> {
        let size = bytes.len() as u64;
        ensure!(size <= LARGEST_DOCUMENT, "the configuration has {size} bytes, more than {LARGEST_DOCUMENT}");
        // serde would take a list for the fields in their order.
        ensure!(bytes.trim_ascii_start().starts_with(b"{"), "the image's configuration is no JSON object");
        serde_json::from_slice(bytes).context("the image's configuration can't be read")
    }

    /// Whom the image is for.
    pub fn platform(&self) -> Platform {
        Platform::new(&self.os, &self.architecture, &self.variant)
    }

    /// The names of the layers with all that is below each, the lowest first.
    pub fn chain(&self) -> Vec<Digest> {
        chain(&self.rootfs.diff_ids)
    }
}

/// Chain ids: the first is the diff id, each next the hash of the one before, a blank and the own diff id.
pub fn chain(diff_ids: &[Digest]) -> Vec<Digest> {
    let mut chain: Vec<Digest> = Vec::with_capacity(diff_ids.len());
    for diff_id in diff_ids {
        chain.push(match chain.last() {
            None => diff_id.clone(),
            Some(below) => Digest::of(format!("{below} {diff_id}").as_bytes()),
        });
    }
    chain
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chain_ids_are_those_of_the_specification() {
        let ids: Vec<Digest> = [b"a", b"b", b"c"].iter().map(|layer| Digest::of(*layer)).collect();
        let chain = chain(&ids);
        assert_eq!(chain[0], ids[0]);
        assert_eq!(chain[1], Digest::of(format!("sha256:{} sha256:{}", ids[0].hex(), ids[1].hex()).as_bytes()));
        assert_eq!(chain[2], Digest::of(format!("{} {}", chain[1], ids[2]).as_bytes()));
    }

    #[test]
    fn null_is_absent_and_unknown_is_ignored() {
        let text =
            br#"{"architecture":"amd64","os":"linux","config":{"Env":null,"Cmd":["sh"],"New":1,"Healthcheck":null},
            "rootfs":{"type":"layers","diff_ids":null},"history":null,"docker_version":"20"}"#;
        let config = Config::parse(text).unwrap();
        assert_eq!((config.config.cmd, config.config.env.len()), (vec!["sh".to_owned()], 0));
        assert_eq!(Config::parse(br#"{"config":null}"#).unwrap().config, Execution::default());
        assert!(Config::parse(b"[]").is_err());
    }
}
