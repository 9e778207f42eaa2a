//! What each call is told, and what it answers.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
use std::rc::Rc;
use std::time::Duration;

use serde::Serialize;

use super::descriptors::Passed;
use crate::cgroup::{self, Group};
use crate::spec::Process;
use crate::spec::resources::LinuxResources;

/// Whether a refusal of the cgroup file system is ignored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rootless {
    /// Yes.
    True,
    /// No.
    False,
    /// Where the caller isn't root of the host.
    Auto,
}

/// Where and how containers are kept.
#[derive(Debug, Clone)]
pub struct Host {
    /// The directory of states.
    pub root: PathBuf,
    /// Who makes the cgroups.
    pub cgroup_manager: cgroup::Manager,
    /// Whether a refusal of the cgroup file system is ignored.
    pub rootless: Rootless,
    /// Whether everything is logged.
    pub debug: bool,
    /// Where warnings go.
    pub warn: Warn,
}

/// Takes what is not an error but should be known.
#[derive(Clone)]
pub struct Warn(pub Rc<dyn Fn(&str)>);

impl Warn {
    /// Tells all of them.
    pub fn all<'a>(&self, warnings: impl IntoIterator<Item = &'a String>) {
        warnings.into_iter().for_each(|warning| (self.0)(warning));
    }
}

impl fmt::Debug for Warn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Warn")
    }
}

/// What `create` is told.
#[derive(Debug, Clone, Default)]
pub struct CreateOptions {
    /// The bundle, absolute.
    pub bundle: PathBuf,
    /// Another file than the bundle's config.json, absolute.
    pub config: Option<PathBuf>,
    /// Where the terminal is sent.
    pub console_socket: Option<PathBuf>,
    /// Where the pidfd is sent.
    pub pidfd_socket: Option<PathBuf>,
    /// Where the pid is written.
    pub pid_file: Option<PathBuf>,
    /// Whether the root is moved instead of pivoted.
    pub no_pivot: bool,
    /// Whether the root is opened for init, whose user namespace may give it no right to the path.
    pub opens_root: bool,
    /// Whether the session keyring is kept.
    pub no_new_keyring: bool,
    /// Which descriptors above stdio the container gets.
    pub passed: Passed,
}

/// What `run` is told.
#[derive(Debug, Clone, Default)]
pub struct RunOptions {
    /// As for `create`.
    pub create: CreateOptions,
    /// Whether to return once it runs.
    pub detach: bool,
    /// Whether the container stays after its end.
    pub keep: bool,
    /// Whether the caller's subreaper is left in place.
    pub no_subreaper: bool,
}

/// A container's status.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// Made, waiting for `start`.
    Created,
    /// Running.
    Running,
    /// Frozen.
    Paused,
    /// Over.
    Stopped,
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Status::Created => "created",
            Status::Running => "running",
            Status::Paused => "paused",
            Status::Stopped => "stopped",
        })
    }
}

/// The `state` document.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct State {
    /// The configuration's version of the specification.
    pub oci_version: String,
    /// The container's id.
    pub id: String,
    /// The container's process on the host; 0 when stopped.
    pub pid: i32,
    /// Its status.
    pub status: Status,
    /// The bundle, absolute.
    pub bundle: PathBuf,
    /// The root file system, absolute.
    pub rootfs: PathBuf,
    /// When it was made, RFC 3339.
    pub created: String,
    /// The configuration's annotations.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: BTreeMap<String, String>,
    /// The user whose container it is; empty but in `list`.
    pub owner: String,
}

/// A signal's number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Signal(pub i32);

/// What `kill` is told.
#[derive(Debug, Clone, Copy)]
pub struct KillOptions {
    /// What is sent.
    pub signal: Signal,
    /// Whether a container that doesn't run is no error.
    pub all: bool,
}

/// Which process `exec` runs.
#[derive(Debug, Clone)]
pub enum ProcessSource {
    /// A file with a `process` object; `tty` gives it a terminal that it does not ask for.
    File {
        /// The file.
        path: PathBuf,
        /// `--tty`, which conmon passes beside the file.
        tty: bool,
    },
    /// As the caller made it.
    Process(Box<Process>),
    /// The configuration's process, with these in place of its own.
    Arguments(ProcessArguments),
}

/// What replaces or extends the configuration's process.
#[derive(Debug, Clone, Default)]
pub struct ProcessArguments {
    /// Program and arguments.
    pub args: Vec<String>,
    /// The working directory, if another.
    pub cwd: Option<String>,
    /// Added to the environment.
    pub env: Vec<String>,
    /// Whether it gets a terminal.
    pub tty: bool,
    /// User id and group id, if others.
    pub user: Option<(u32, Option<u32>)>,
    /// Added to the groups.
    pub additional_gids: Vec<u32>,
    /// no_new_privs, if other.
    pub no_new_privs: Option<bool>,
    /// Added to the capabilities.
    pub caps: Vec<String>,
    /// The SELinux label, if another.
    pub process_label: Option<String>,
    /// The AppArmor profile, if another.
    pub apparmor: Option<String>,
}

/// What `exec` is told.
#[derive(Debug, Clone)]
pub struct ExecOptions {
    /// What is run.
    pub process: ProcessSource,
    /// Where the terminal is sent.
    pub console_socket: Option<PathBuf>,
    /// Where the pidfd is sent.
    pub pidfd_socket: Option<PathBuf>,
    /// Where the pid is written.
    pub pid_file: Option<PathBuf>,
    /// Whether to return once it runs.
    pub detach: bool,
    /// Whether a process is left behind then that holds the program's terminal; else somebody else must be given it.
    pub leaves_holder: bool,
    /// The group that such a process is to be in, if it can be had.
    pub holders_group: Option<Group>,
    /// Which descriptors above stdio the container gets.
    pub passed: Passed,
    /// A cgroup below the container's.
    pub cgroup: Option<String>,
    /// Whether a paused container is no error.
    pub ignore_paused: bool,
    /// The keys that leave the program alone with its terminal; without any there is no way.
    pub detach_keys: Vec<u8>,
}

/// What `update` is told.
#[derive(Debug, Clone)]
pub struct UpdateOptions {
    /// The limits that change.
    pub resources: LinuxResources,
    /// The line L3 of resctrl's schemata.
    pub l3_cache_schema: Option<String>,
    /// The line MB of resctrl's schemata.
    pub mem_bw_schema: Option<String>,
}

/// What `events` is told.
#[derive(Debug, Clone, Copy)]
pub struct EventsOptions {
    /// How long between two statistics.
    pub interval: Duration,
    /// Whether to end after one.
    pub stats: bool,
}

/// What `plan` is told.
#[derive(Debug, Clone)]
pub struct PlanOptions {
    /// The bundle, absolute.
    pub bundle: PathBuf,
    /// Another file than the bundle's config.json, absolute.
    pub config: Option<PathBuf>,
    /// Whether as JSON.
    pub json: bool,
}

/// What is below the root, in the order of the ids.
#[derive(Debug, Default)]
pub struct Listing {
    /// The readable containers.
    pub states: Vec<State>,
    /// The ids of those that can't be read, and why.
    pub broken: Vec<(String, anyhow::Error)>,
    /// The ids of those that are being created, or whose creator was killed.
    pub half_made: Vec<String>,
}
