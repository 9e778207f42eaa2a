//! The child side: a small interpreter of steps, in the one process that must be trusted most.
//!
//! It has one thread, parses nothing, logs nothing, and ends in execve(2) or `_exit`. Every path of the container is resolved to a
//! descriptor first ([`tree`]), and only the descriptor is acted on.

mod devices;
mod directory;
mod entry;
mod landlock;
mod mounts;
mod program;
mod start;
mod stdio;
mod terminal;
mod tree;

use std::convert::Infallible;
use std::ffi::{CStr, CString};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::fs::{Mode, OFlags, ResolveFlags, openat2};
use rustix::io::Errno;
use rustix::process::{Signal, geteuid, set_parent_process_death_signal, setsid, umask};

use crate::launch::protocol::{Failure, InitEnd, ToInit, ToParent};
use crate::plan::Plan;
use crate::plan::step::Step;
use crate::security::capabilities;
use crate::sys::clone::CloneFlags;
use crate::sys::execute::{close_all_but, exit_now};
use crate::sys::{keyring, network, priority, signal};

/// Why a step failed.
pub(crate) struct Fault {
    errno: Errno,
    /// The sentence, where it says more than the step's own text.
    sentence: Option<String>,
    /// What to add to the step's own text.
    detail: Option<String>,
}

impl From<Errno> for Fault {
    fn from(errno: Errno) -> Fault {
        Fault { errno, sentence: None, detail: None }
    }
}

impl Fault {
    /// With a sentence of its own in place of the step's.
    pub(crate) fn new(errno: Errno, sentence: String) -> Fault {
        Fault { errno, sentence: Some(sentence), detail: None }
    }
}

impl Fault {
    /// With more behind the kernel's answer.
    pub(crate) fn detailed(errno: Errno, detail: String) -> Fault {
        Fault { errno, sentence: None, detail: Some(detail) }
    }
}

/// What became of a step.
pub(crate) type Outcome<T = ()> = std::result::Result<T, Fault>;

/// Where failures are told.
enum Listener {
    /// The runtime that cloned this process.
    Parent,
    /// `start`.
    Start(OwnedFd),
}

/// What the steps leave to each other.
pub(crate) struct Init<'a> {
    plan: &'a Plan,
    slots: Vec<Option<OwnedFd>>,
    channel: InitEnd,
    listener: Listener,
    /// The root file system's top mount.
    root: Option<OwnedFd>,
    /// A procfs that no mount of the container covers.
    procfs: Option<OwnedFd>,
    /// Joins that were refused outside a user namespace.
    refused: Vec<(usize, CloneFlags)>,
    /// What files are masked with.
    null_device: Option<OwnedFd>,
    /// What directories are masked with.
    empty_directory: Option<OwnedFd>,
    in_working_directory: bool,
    /// The caller's, for hooks that run before the container has its own.
    umask: Mode,
    home: Option<CString>,
    program: Option<CString>,
}

/// Runs in the process that is cloned: the plan's steps, from the first to execve(2).
pub fn run(plan: &Plan, slots: Vec<Option<OwnedFd>>, channel: InitEnd) -> Infallible {
    let between = plan.entry.between.as_slice();
    let init = Init::new(plan, slots, channel);
    if let Err(error) = init.close_what_is_the_parents() {
        return init.fail(&Step::Execute, 0, between.len(), error.into());
    }
    if let Err(error) = signal::reset() {
        return init.fail(&Step::Execute, 0, between.len(), error.into());
    }
    if between.is_empty() { init.run_steps() } else { init.run_between(between) }
}

impl<'a> Init<'a> {
    fn new(plan: &'a Plan, slots: Vec<Option<OwnedFd>>, channel: InitEnd) -> Init<'a> {
        Init {
            plan,
            slots,
            channel,
            listener: Listener::Parent,
            root: None,
            procfs: None,
            refused: Vec::new(),
            null_device: None,
            empty_directory: None,
            in_working_directory: false,
            umask: Mode::empty(),
            home: None,
            program: None,
        }
    }

    /// Until execve(2) has closed it, what is open here leads out of the container: `/proc/self/fd/N/..` can be its program or the
    /// interpreter of that (CVE-2024-21626). The parent's end of the channel, too: with it open here nobody would see the parent die.
    fn close_what_is_the_parents(&self) -> rustix::io::Result<()> {
        let slots = self.slots.iter().flatten().map(AsFd::as_fd);
        let kept: Vec<BorrowedFd<'_>> =
            slots.chain([self.channel.as_fd()]).chain(self.plan.hook_output.files()).collect();
        close_all_but(&kept, 3 + self.plan.passed)
    }

    /// The process between runtime and init: it ends when init is cloned.
    fn run_between(mut self, steps: &'a [Step]) -> Infallible {
        for (index, step) in steps.iter().enumerate() {
            crash_point("CORTEN_CRASH_BETWEEN_AT", index);
            if let Step::CloneInit(flags) = step {
                return self.clone_init(*flags, step, index, steps.len());
            }
            if let Err(fault) = self.step(step, false) {
                return self.fail(step, index, steps.len(), fault);
            }
        }
        exit_now(0)
    }

    fn run_steps(mut self) -> Infallible {
        // Session leader, so that no terminal of the caller's sends signals here. It can't fail in a new process that leads no group.
        let _ = setsid();
        // Modes are meant as they are written, until the step that sets the container's umask.
        self.umask = umask(Mode::empty());
        let plan = self.plan;
        for (index, step) in plan.steps.iter().enumerate() {
            crash_point("CORTEN_CRASH_AT", index);
            if let Err(fault) = self.step(step, true) {
                return self.fail(step, index, plan.steps.len(), fault);
            }
        }
        exit_now(0)
    }

    /// Tells why, and ends.
    fn fail(self, step: &Step, index: usize, of: usize, fault: Fault) -> Infallible {
        let refusal = crate::error::Refusal(fault.errno);
        let field = step.field().map(|field| format!("{field}: ")).unwrap_or_default();
        let detail = fault.detail.map(|detail| format!(": {detail}")).unwrap_or_default();
        let sentence =
            fault.sentence.unwrap_or_else(|| format!("{step} (step {} of {of}): {refusal}{detail}", index + 1));
        let text = format!("{field}{sentence}");
        match self.listener {
            Listener::Parent => {
                let _ = self.channel.send(&ToParent::Failed(Failure { errno: fault.errno.raw_os_error(), text }));
            }
            Listener::Start(report) => {
                let _ = rustix::io::write(&report, text.as_bytes());
            }
        }
        exit_now(1)
    }

    fn step(&mut self, step: &Step, is_init: bool) -> Outcome {
        match step {
            Step::OomScore(score) => self.oom_score(*score),
            Step::AwaitCgroup => Ok(self.channel.expect(ToInit::InCgroup)?),
            Step::Undumpable => self.undumpable(),
            Step::Join { namespaces, slot, may_fail, .. } => self.join(*namespaces, *slot, *may_fail),
            Step::JoinRefused => self.join_refused(),
            Step::Unshare(namespaces) => Ok(crate::sys::clone::unshare(*namespaces)?),
            Step::AwaitIdMaps => self.await_id_maps(is_init),
            Step::BecomeRoot => self.become_root(),
            Step::CheckIdMaps(maps) => entry::check_id_maps(maps),
            Step::TimeOffsets(offsets) => self.time_offsets(offsets),
            Step::CloneInit(_) => Err(Errno::PROTO.into()),
            Step::SessionKeyring { name } => session_keyring(name),
            Step::LoopbackUp => Ok(network::loopback_up()?),
            Step::Propagation { path, propagation } => self.propagation(path, *propagation),
            Step::Root { path, slot, .. } => self.open_root(path, *slot),
            Step::MountFileSystem(mount) => self.mount_file_system(mount),
            Step::BindMount(bind) => self.bind_mount(bind),
            Step::Remount(remount) => self.remount(remount),
            Step::OpenProc => self.open_proc(),
            Step::MakeDevice(node) => self.make_device(node),
            Step::Symlink { path, target } => self.make_symlink(path, target),
            Step::RuntimeHooks => {
                self.channel.send(&ToParent::HooksNow)?;
                Ok(self.channel.expect(ToInit::HooksDone)?)
            }
            Step::CreateContainerHooks(hooks) => self.create_container_hooks(hooks),
            Step::PivotRoot => self.pivot_root(),
            Step::MoveRoot => self.move_root(),
            Step::ChangeRoot => self.change_root(),
            Step::Terminal { slot, size, bind_console } => self.terminal(*slot, *size, *bind_console),
            Step::SetMountAttributes { path, set } => self.set_mount_attributes(path, *set),
            Step::Umask(mask) => {
                umask(Mode::from_raw_mode(*mask));
                Ok(())
            }
            Step::Hostname(name) => Ok(rustix::system::sethostname(name.to_bytes())?),
            Step::Domainname(name) => Ok(rustix::system::setdomainname(name.to_bytes())?),
            Step::Sysctl { path, value, .. } => self.write_proc(path, value.to_bytes()),
            Step::ReadonlyPath(path) => self.readonly_path(path),
            Step::MaskPath(path) => self.mask_path(path),
            Step::NoNewPrivileges => Ok(rustix::thread::set_no_new_privs(true)?),
            Step::Scheduler(scheduling) => Ok(priority::set_scheduling(*scheduling)?),
            Step::IoPriority { class, level } => Ok(priority::set_io_priority(*class, *level)?),
            Step::Personality(domain) => Ok(priority::set_personality(*domain)?),
            Step::MemoryPolicy { mode, nodes } => Ok(priority::set_memory_policy(*mode, nodes)?),
            Step::Affinity(cpus) => entry::affinity(cpus),
            Step::Label { attribute, or_attribute, value, .. } => self.label(attribute, or_attribute.as_deref(), value),
            Step::OwnStdio { uid, has_terminal } => self.own_stdio(*uid, *has_terminal),
            Step::MakeWorkingDirectory(path) => self.make_working_directory(path),
            Step::ChangeDirectory { path, may_fail } => self.change_directory(path, *may_fail),
            Step::BoundingSet { keep } => Ok(capabilities::limit_bounding_set(*keep)?),
            Step::Groups { gids, may_fail } => entry::groups(gids, *may_fail),
            Step::User { uid, gid } => entry::user(*uid, *gid),
            Step::Home { uid } => self.find_home(*uid),
            Step::Capabilities(masks) => Ok(capabilities::apply(masks)?),
            Step::Limits(limits) => entry::limits(limits),
            Step::NoProgram => {
                Err(Fault::new(Errno::INVAL, "is missing; name the program to run in process.args".to_owned()))
            }
            Step::FindProgram => {
                self.close_what_is_not_the_programs();
                self.find_program()
            }
            Step::Landlock(rules) => landlock::restrict(rules),
            Step::Seccomp => self.load_filter(),
            Step::Ready => {
                self.channel.send(&ToParent::Ready)?;
                Ok(self.channel.expect(ToInit::Go)?)
            }
            Step::AwaitStart { gate, report } => self.await_start(*gate, *report),
            Step::StartContainerHooks(hooks) => self.start_container_hooks(hooks),
            Step::Execute => self.execute(),
        }
    }

    fn undumpable(&mut self) -> Outcome {
        rustix::process::set_dumpable_behavior(rustix::process::DumpableBehavior::NotDumpable)?;
        // Changing credentials clears the signal that the runtime's caller may have asked for; it was never meant for the container.
        Ok(set_parent_process_death_signal(None::<Signal>)?)
    }

    /// A prepared descriptor, for its one use.
    fn take(&mut self, slot: usize) -> Outcome<OwnedFd> {
        self.slots.get_mut(slot).and_then(Option::take).ok_or(Fault::from(Errno::BADF))
    }

    /// Gives up what only the way in needed, while no filter can refuse that.
    fn close_what_is_not_the_programs(&mut self) {
        (self.root, self.procfs, self.null_device, self.empty_directory) = (None, None, None, None);
    }

    /// The root file system.
    fn root(&self) -> Outcome<BorrowedFd<'_>> {
        self.root.as_ref().map(AsFd::as_fd).ok_or(Fault::from(Errno::NOENT))
    }

    /// Writes to a file of the private procfs, which nothing mounted over it can redirect (CVE-2025-52881).
    fn write_proc(&mut self, path: &CStr, value: &[u8]) -> Outcome {
        let procfs = self.procfs.as_ref().ok_or(Fault::from(Errno::NOENT))?;
        let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_MAGICLINKS | ResolveFlags::NO_XDEV;
        let file = openat2(procfs, path, OFlags::WRONLY | OFlags::CLOEXEC | OFlags::TRUNC, Mode::empty(), resolve)?;
        let written = rustix::io::write(&file, value)?;
        if written == value.len() { Ok(()) } else { Err(Errno::IO.into()) }
    }

    fn label(&mut self, attribute: &CStr, or_attribute: Option<&CStr>, value: &CStr) -> Outcome {
        let first = self.write_proc(attribute, value.to_bytes());
        match (first, or_attribute) {
            (Err(fault), Some(other)) if fault.errno == Errno::NOENT => self.write_proc(other, value.to_bytes()),
            (result, _) => result,
        }
    }
}

/// A session keyring that its possessor may also search and link, as login(1) makes one: keys of the caller's stay outside.
fn session_keyring(name: &CStr) -> Outcome {
    /// KEY_POS_SEARCH | KEY_POS_LINK as bits of the user's part (keyctl_setperm(3)).
    const USER_SEARCH: u32 = 0x0008_0000;
    let joined = match keyring::join_session(name) {
        // A kernel without keyrings, or whose quota is used up, has nothing to keep apart.
        Err(Errno::NOSYS | Errno::DQUOT) => return Ok(()),
        result => result?,
    };
    let found = keyring::describe(joined)?;
    // keyctl(2): a keyring of this name is joined, whoever made it; another user may have laid one out with its own keys.
    if found.owner != geteuid().as_raw() {
        let sentence = format!("join the session keyring {name:?}: it belongs to user {}", found.owner);
        return Err(Fault::new(Errno::PERM, sentence));
    }
    Ok(keyring::set_permissions(joined, found.permissions | USER_SEARCH)?)
}

/// Ends the process as suddenly as a SIGKILL at this step would, where a test asks for it; release builds have no such thing.
fn crash_point(variable: &str, index: usize) {
    #[cfg(debug_assertions)]
    if std::env::var(variable).is_ok_and(|at| at == index.to_string()) {
        // Not by a signal: the first process of a pid namespace is not killed by its own.
        exit_now(137);
    }
    #[cfg(not(debug_assertions))]
    let _ = (variable, index);
}
