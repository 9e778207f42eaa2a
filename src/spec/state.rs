//! The state of a container as the specification words it (runtime.md, "State"): what hooks read on stdin.

use std::collections::BTreeMap;

use serde::Serialize;

/// State without what changes.
#[derive(Debug, Clone, Default)]
pub struct Identity {
    /// The container's id.
    pub id: String,
    /// Absolute path of the bundle.
    pub bundle: String,
    /// As configured.
    pub annotations: BTreeMap<String, String>,
}

/// The state at a moment.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct State<'a> {
    oci_version: &'static str,
    id: &'a str,
    status: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pid: Option<i32>,
    bundle: &'a str,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    annotations: &'a BTreeMap<String, String>,
}

impl Identity {
    /// The state with this status, and the pid where there is one.
    pub fn at<'a>(&'a self, status: &'a str, pid: impl Into<Option<i32>>) -> State<'a> {
        State {
            oci_version: super::VERSION,
            id: &self.id,
            status,
            pid: pid.into(),
            bundle: &self.bundle,
            annotations: &self.annotations,
        }
    }
}
