//! `config.json` as the OCI runtime specification defines it, for Linux.
//!
//! The types are lenient where the specification is: properties we don't know are ignored, `null` is the same as absent, and
//! what is an open set of names (capabilities, rlimits, namespaces) stays text here, so that one unknown name never makes
//! a file unreadable. [`check`] says what is wrong with a file that could be read; [`load`] names the JSON path of what
//! can't be.

pub mod check;
pub mod features;
pub mod linux;
pub mod load;
mod objects;
pub mod process;
mod repeated;
pub mod resources;
#[cfg(test)]
pub(crate) mod schema;
pub mod seccomp;
pub mod state;
pub mod template;

use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer};

pub use linux::{Device, IdMapping, Linux, Namespace};
pub use process::Process;

/// The newest version of the specification that is followed.
pub const VERSION: &str = "1.3.0";

/// The whole of `config.json` (config.md).
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Spec {
    /// The version of the specification that the file is written to.
    #[serde(default)]
    pub oci_version: String,
    /// The root file system.
    pub root: Option<Root>,
    /// The container's process; may be missing until `start`.
    pub process: Option<Process>,
    /// The name in the new UTS namespace.
    #[serde(default, deserialize_with = "nullable")]
    pub hostname: String,
    /// The NIS domain name in the new UTS namespace.
    #[serde(default, deserialize_with = "nullable")]
    pub domainname: String,
    /// What is mounted beyond the root, in this order.
    #[serde(default, deserialize_with = "nullable")]
    pub mounts: Vec<Mount>,
    /// Programs run at the turns of the container's life.
    #[serde(default, deserialize_with = "nullable")]
    pub hooks: Hooks,
    /// Free text for whoever manages the container.
    #[serde(default, deserialize_with = "nullable")]
    pub annotations: BTreeMap<String, String>,
    /// What only Linux has.
    #[serde(default, deserialize_with = "nullable")]
    pub linux: Linux,
}

/// `root`: the directory that becomes `/`.
#[derive(Debug, Clone, Default, Deserialize)]
pub struct Root {
    /// Relative to the bundle, or absolute.
    pub path: String,
    /// Whether `/` is read-only for the process.
    #[serde(default, deserialize_with = "nullable")]
    pub readonly: bool,
}

/// One entry of `mounts`.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Mount {
    /// Where, inside the container.
    pub destination: String,
    /// A file system type; of no meaning for bind mounts.
    #[serde(rename = "type", default, deserialize_with = "nullable")]
    pub kind: String,
    /// A device, a name, or for bind mounts a path (relative to the bundle).
    #[serde(default, deserialize_with = "nullable")]
    pub source: String,
    /// Options as mount(8) has them, and the specification's own.
    #[serde(default, deserialize_with = "nullable")]
    pub options: Vec<String>,
    /// For an idmapped mount; none means the container's own with `idmap` among the options.
    #[serde(default, deserialize_with = "nullable")]
    pub uid_mappings: Vec<IdMapping>,
    /// See `uid_mappings`.
    #[serde(default, deserialize_with = "nullable")]
    pub gid_mappings: Vec<IdMapping>,
}

/// `hooks`, each list in the order in which it is run.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Hooks {
    /// Deprecated in favour of the next three: like `createRuntime`, before it.
    #[serde(default, deserialize_with = "nullable")]
    pub prestart: Vec<Hook>,
    /// In the runtime's namespaces, after the container's exist, before pivot_root(2).
    #[serde(default, deserialize_with = "nullable")]
    pub create_runtime: Vec<Hook>,
    /// In the container's namespaces, before pivot_root(2).
    #[serde(default, deserialize_with = "nullable")]
    pub create_container: Vec<Hook>,
    /// In the container, before the process.
    #[serde(default, deserialize_with = "nullable")]
    pub start_container: Vec<Hook>,
    /// In the runtime's namespaces, after the process was started, before `start` returns.
    #[serde(default, deserialize_with = "nullable")]
    pub poststart: Vec<Hook>,
    /// In the runtime's namespaces, after the container is deleted.
    #[serde(default, deserialize_with = "nullable")]
    pub poststop: Vec<Hook>,
}

/// A program to run at one of the turns.
#[derive(Debug, Clone, Default, Deserialize)]
pub struct Hook {
    /// Absolute; not looked up in `PATH`.
    pub path: String,
    /// With the program's name first, as execve(2) takes it; none means the path alone.
    #[serde(default, deserialize_with = "nullable")]
    pub args: Vec<String>,
    /// The whole environment.
    #[serde(default, deserialize_with = "nullable")]
    pub env: Vec<String>,
    /// Seconds until the hook is killed; must be above 0.
    pub timeout: Option<i64>,
}

/// `null` and absent are the same: Go's encoder writes `null` for what is empty.
pub(crate) fn nullable<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: Default + Deserialize<'de>,
{
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}
