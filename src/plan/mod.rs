//! Spec + Host → Plan: everything that can be decided before the clone, decided before the clone.
//!
//! [`container()`] and [`exec()`] are functions of their arguments: they change nothing and need no privilege, so plans are compared
//! with golden files in tests, and `corten plan` prints them. Who carries a plan out: [`crate::launch`] the preparations and the
//! clone, [`crate::init`] the steps.

pub mod container;
pub mod devices;
pub mod exec;
pub mod identity;
pub mod landlock;
pub mod memory_policy;
pub mod mount_options;
pub mod mounts;
pub mod namespaces;
pub mod process;
pub mod show;
pub mod step;
pub mod sysctl;

use std::borrow::Cow;
use std::ffi::CString;
use std::path::PathBuf;

use anyhow::{Result, bail};
use rustix::process::Resource;

use crate::launch::hooks;
pub use container::container;
pub use exec::exec;

use crate::seccomp;
use crate::spec::process::ConsoleSize;
use crate::spec::seccomp::Seccomp;
use crate::spec::state::Identity;
use crate::spec::{IdMapping, Process, Spec};
use namespaces::{Entry, IdMaps, Kind, Wanted};
use process::Filter;
use step::{Propagation, Step, c_string};

/// What a plan depends on beside the configuration.
#[derive(Debug, Clone)]
pub struct Host {
    /// The container's id.
    pub id: String,
    /// Absolute path of the bundle.
    pub bundle: PathBuf,
    /// Absolute path of the root file system, symlinks resolved.
    pub rootfs: PathBuf,
    /// Whether the caller is root of whichever user namespace it is in.
    pub is_root: bool,
    /// Root in the initial user namespace: may map any id, and opens sources that root of a user namespace can't.
    pub privileged: bool,
    /// False inside a user namespace, where device nodes can't be made.
    pub initial_user_namespace: bool,
    /// Namespaces that the configuration joins by a path that leads to the runtime's own.
    pub shared_namespaces: Vec<Kind>,
    /// The capabilities that can be given, as a bit mask.
    pub capabilities: u64,
    /// Whether /proc/kcore exists.
    pub has_kcore: bool,
    /// Where the cgroup2 hierarchy is mounted.
    pub cgroup_mount: Option<CString>,
    /// The container's cgroup in it.
    pub cgroup_directory: Option<CString>,
    /// `--no-pivot`.
    pub no_pivot: bool,
    /// Whether the root is opened for init, who may have no right to its path.
    pub opens_root: bool,
    /// Not `--no-new-keyring`.
    pub new_keyring: bool,
    /// Whether the program waits for `start`, or for the parent's word alone.
    pub waits_for_start: bool,
    /// Where the notify socket's directory is on the host, with NOTIFY_SOCKET.
    pub notify_directory: Option<PathBuf>,
}

/// A container's or a process's way from the runtime's clone to its execve(2).
#[derive(Debug)]
pub struct Plan {
    /// Descriptors that the parent opens before the clone, by slot.
    pub preparations: Vec<Preparation>,
    /// How the namespaces are entered.
    pub entry: Entry,
    /// What init does, in order. The first ones are the entry's.
    pub steps: Vec<Step>,
    /// The program.
    pub program: Program,
    /// What the parent sets once all is prepared.
    pub limits: Vec<ResourceLimit>,
    /// Network devices to move, name on the host and in the container.
    pub network_devices: Vec<(String, String)>,
    /// The network namespace that is joined; a new one is init's.
    pub network_namespace: Option<CString>,
    /// `/proc/PID/oom_score_adj`, which the parent writes where it has the privilege.
    pub oom_score: Option<i32>,
    /// To whom, as the host numbers users, stdio is given: root of a user namespace can't take what it does not own.
    pub stdio_owner: Option<u32>,
    /// CPUs for the runtime before the clone (`execCPUAffinity.initial`).
    pub initial_affinity: Vec<usize>,
    /// The seccomp filter.
    pub filter: Option<seccomp::Program>,
    /// How many descriptors above stdio the program gets.
    pub passed: u32,
    /// What hooks are told.
    pub state: Identity,
    /// The status that an agent of seccomp is told (runtime-spec, config-linux.md, "The Container Process State").
    pub status_for_listener: &'static str,
    /// Where the hooks' output goes.
    pub hook_output: hooks::Output,
    /// Whether the container is in a mount namespace of its own.
    pub changes_mounts: bool,
    /// Whether its mounts propagate to the host.
    pub shares_mounts: bool,
    /// SELinux's label of what is mounted where no option says it: masks, message queues. Empty for none.
    pub mount_label: CString,
    /// What is not an error but should be known.
    pub warnings: Vec<String>,
}

impl Plan {
    /// Of a process that enters so and takes these steps. What it needs beside them is left to the caller.
    fn of(
        spec: &Spec,
        process: &Process,
        wanted: &Wanted,
        host: &Host,
        entry: Entry,
        steps: Vec<Step>,
    ) -> Result<Plan> {
        let has_mounts = wanted.has(Kind::Mount);
        Ok(Plan {
            entry,
            steps,
            program: process::program(process),
            limits: parent_limits(process, wanted)?,
            network_devices: Vec::new(),
            network_namespace: None,
            oom_score: process.oom_score_adj.filter(|_| host.privileged),
            stdio_owner: host.privileged.then(|| host_uid(spec, process.user.uid)).flatten(),
            initial_affinity: Vec::new(),
            preparations: Vec::new(),
            filter: None,
            passed: 0,
            state: identity(spec, host),
            status_for_listener: "creating",
            hook_output: hooks::Output::default(),
            changes_mounts: has_mounts,
            shares_mounts: has_mounts && mounts::base_propagation(&spec.linux)?.kind == libc::MS_SHARED,
            mount_label: c_string(&spec.linux.mount_label),
            warnings: Vec::new(),
        })
    }

    /// Gives the terminal a size, where the configuration gives none: before the program can ask for it.
    pub fn size_terminal(&mut self, caller: Option<ConsoleSize>) {
        for step in &mut self.steps {
            if let Step::Terminal { size: size @ None, .. } = step {
                *size = caller;
            }
        }
    }

    /// Whether a later `start` is waited for.
    pub fn waits_for_start(&self) -> bool {
        self.steps.iter().any(|step| matches!(step, Step::AwaitStart { .. }))
    }

    /// Has the first process wait until somebody has moved it into its cgroup, before it makes anything that counts there.
    pub fn await_cgroup(&mut self) {
        let first_process = if self.entry.between.is_empty() { &mut self.steps } else { &mut self.entry.between };
        first_process.insert(0, Step::AwaitCgroup);
    }

    /// Whether the first process is moved into its cgroup, not born there.
    pub fn awaits_cgroup(&self) -> bool {
        let first_process = if self.entry.between.is_empty() { &self.steps } else { &self.entry.between };
        matches!(first_process.first(), Some(Step::AwaitCgroup))
    }
}

/// What is executed at the end.
#[derive(Debug, Clone)]
pub struct Program {
    /// With the program's name first.
    pub arguments: Vec<CString>,
    /// `NAME=value`.
    pub environment: Vec<CString>,
    /// The value of PATH among them.
    pub path: Option<CString>,
    /// Whether HOME has to be looked up.
    pub needs_home: bool,
}

impl Program {
    /// Gives a variable of the environment another value: `NAME=value`.
    pub fn set(&mut self, variable: CString) {
        let name = |text: &CString| text.to_bytes().split(|byte| *byte == b'=').next().map(<[u8]>::to_vec);
        self.environment.retain(|other| name(other) != name(&variable));
        self.environment.push(variable);
    }
}

/// One resource limit.
#[derive(Debug, Clone)]
pub struct ResourceLimit {
    /// In `process.rlimits`.
    pub index: usize,
    /// Which.
    pub resource: Resource,
    /// As the configuration calls it.
    pub name: String,
    /// In force.
    pub soft: u64,
    /// The ceiling.
    pub hard: u64,
}

/// A descriptor that is there before the clone.
#[derive(Debug, Clone)]
pub enum Preparation {
    /// A namespace to join.
    OpenNamespace {
        /// Which kind it must be.
        kind: Kind,
        /// Its file.
        path: CString,
    },
    /// A copy of a part of the host's mount tree.
    CopyTree(TreeCopy),
    /// What the caller holds.
    Given(Given),
}

/// A descriptor that only the caller can have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Given {
    /// The socket to which the terminal's master goes.
    Console,
    /// The fifo that `start` writes to.
    StartGate,
    /// The fifo that `start` reads why it failed from.
    StartReport,
    /// The pidfd of the container whose namespaces are joined.
    Container,
}

/// open_tree(2) with OPEN_TREE_CLONE.
#[derive(Debug, Clone)]
pub struct TreeCopy {
    /// What.
    pub path: CString,
    /// With all mounts below.
    pub recursive: bool,
    /// What the copy's propagation becomes, since it leaves the host's mount namespace.
    pub propagation: Propagation,
    /// Whether a symlink at the end is followed.
    pub follow: bool,
    /// Ids mapped by a user namespace of these maps.
    pub id_map: Option<IdMapSource>,
}

/// The maps of an idmapped mount.
#[derive(Debug, Clone)]
pub struct IdMapSource {
    /// Where they are.
    pub maps: MountIdMaps,
    /// For all mounts of the tree.
    pub recursive: bool,
}

/// Where the maps of an idmapped mount are.
#[derive(Debug, Clone)]
pub enum MountIdMaps {
    /// In the configuration; a user namespace is made of them.
    Given(IdMaps),
    /// In a user namespace that the container joins: its file.
    Joined(CString),
}

/// Preparations while a plan is made; each gets a slot.
#[derive(Debug, Default)]
pub struct Preparations(Vec<Preparation>);

impl Preparations {
    /// Adds one and says its slot.
    pub fn add(&mut self, preparation: Preparation) -> usize {
        self.0.push(preparation);
        self.0.len() - 1
    }
}

/// What the program waits for once all is prepared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Start {
    /// The parent's word.
    Parent,
    /// `start`, through two fifos.
    Gate {
        /// The slot of the one that is waited at.
        gate: usize,
        /// The slot of the one that failures go to.
        report: usize,
    },
}

/// What the host calls a user of the container's user namespace, where the configuration says.
fn host_uid(spec: &Spec, uid: u32) -> Option<u32> {
    let within = |map: &&IdMapping| uid.checked_sub(map.container_id).is_some_and(|offset| offset < map.size);
    let map = spec.linux.uid_mappings.iter().find(within)?;
    map.host_id.checked_add(uid - map.container_id)
}

fn parent_limits(process: &Process, wanted: &Wanted) -> Result<Vec<ResourceLimit>> {
    if wanted.has(Kind::User) { process::limits(process) } else { Ok(Vec::new()) }
}

/// crun's annotation, from before profiles could name their agent; it is asked where the profile does not.
const SECCOMP_RECEIVER: &str = "run.oci.seccomp.receiver";

/// The filter, made before anything else exists.
fn filter(spec: &Spec) -> Result<Option<seccomp::Program>> {
    profile(spec)?.map(|profile| seccomp::compile(&profile, seccomp::Architecture::NATIVE)).transpose()
}

/// The agent that can keep the program of a container waiting, if there is one.
pub fn agent(spec: &Spec) -> Result<Option<seccomp::Listener>> {
    Ok(profile(spec)?.map(|profile| seccomp::listener(&profile)).transpose()?.flatten())
}

/// The profile, with the agent that it or the annotation names.
fn profile(spec: &Spec) -> Result<Option<Cow<'_, Seccomp>>> {
    let Some(profile) = &spec.linux.seccomp else { return Ok(None) };
    let mut profile = Cow::Borrowed(profile);
    let names_agent = profile.listener_path.as_ref().is_some_and(|path| !path.as_os_str().is_empty());
    if let Some(receiver) = spec.annotations.get(SECCOMP_RECEIVER).filter(|_| !names_agent) {
        if !receiver.starts_with('/') || receiver.contains('\0') {
            bail!("annotations[{SECCOMP_RECEIVER:?}]: {receiver:?} is not an absolute path");
        }
        profile.to_mut().listener_path = Some(receiver.into());
    }
    Ok(Some(profile))
}

fn when(filter: &seccomp::Program) -> Filter {
    if filter.listener.is_some() { Filter::WithListener } else { Filter::Alone }
}

fn identity(spec: &Spec, host: &Host) -> Identity {
    Identity {
        id: host.id.clone(),
        bundle: host.bundle.to_string_lossy().into_owned(),
        annotations: spec.annotations.clone(),
    }
}

/// Its name is the one that runc gives it.
fn keyring(host: &Host) -> Step {
    Step::SessionKeyring { name: c_string(&format!("_ses.{}", host.id)) }
}

/// crun's annotation, which podman's `--group-add keep-groups` sets.
fn keeps_groups(spec: &Spec) -> bool {
    spec.annotations.get("run.oci.keep_original_groups").is_some_and(|value| value == "1")
}

/// Where a step writes to procfs and no mount of the plan leaves a private way in before it, one is opened first.
fn open_proc_before_use(steps: &mut Vec<Step>) {
    let used = steps.iter().position(|step| matches!(step, Step::Sysctl { .. } | Step::Label { .. }));
    let Some(used) = used else { return };
    let has = |step: &Step| matches!(step, Step::MountFileSystem(mount) if mount.private_proc);
    if !steps[..used].iter().any(has) {
        steps.insert(used, Step::OpenProc);
    }
}
