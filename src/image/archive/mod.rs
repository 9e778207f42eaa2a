//! Images in files: OCI layouts as directories and archives, and the archives of `docker save`, old and new.

pub mod files;
pub mod read;
pub mod write;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

pub use read::Archive;

/// An entry of docker's `manifest.json`.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct DockerImage {
    /// The path of the configuration.
    pub config: String,
    /// Names with tags.
    #[serde(default, deserialize_with = "crate::spec::nullable")]
    pub repo_tags: Vec<String>,
    /// The paths of the layers, the lowest first.
    #[serde(default, deserialize_with = "crate::spec::nullable")]
    pub layers: Vec<String>,
    /// What else there is.
    #[serde(flatten, skip_serializing)]
    pub rest: BTreeMap<String, serde_json::Value>,
}
