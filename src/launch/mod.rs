//! The parent side: everything from the plan to an init that waits for its last word.
//!
//! The conversation with init is drawn in [`protocol`].

pub mod hooks;
mod id_maps;
mod network_devices;
pub mod patience;
mod preparations;
pub mod protocol;

use std::convert::Infallible;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::Instant;

use anyhow::{Context, Result, anyhow, bail};
use rustix::fs::{Uid, fchown};
use rustix::process::{Pid, PidfdFlags, PidfdGetfdFlags, pidfd_getfd, pidfd_open, prlimit};

use crate::error::Attempt;
use crate::plan::step::Step;
use crate::plan::{Given, Plan};
use crate::stdio::stays_the_callers;
use crate::sys::clone::{self, Child, CloneFlags};
use crate::sys::signal;
use network_devices::Moved;
use patience::{Patience, Turn};
use protocol::{ParentEnd, ToInit, ToParent};

/// What a launch needs beside the plan.
pub struct Launch<'a> {
    /// What to carry out.
    pub plan: &'a Plan,
    /// Descriptors that the plan names as given.
    pub given: Vec<(Given, OwnedFd)>,
    /// The cgroup in which the process is born.
    pub cgroup: Option<BorrowedFd<'a>>,
}

/// What the caller does while init is on its way.
pub trait Company {
    /// The first process is there: init, or the one between. Where the plan says so it waits for its cgroup, and is in it when
    /// this returns.
    fn cloned(&mut self, first: &Child) -> Result<()>;
    /// Init is there; nothing of the container has run. Its mounts are being made at the same time.
    fn born(&mut self, init: &Child) -> Result<()>;
    /// Init's mounts are made: `prestart` and `createRuntime` hooks.
    fn hooks_now(&mut self, init: &Child) -> Result<()>;
    /// A seccomp filter has a listener.
    fn listener(&mut self, init: &Child, listener: OwnedFd) -> Result<()>;
}

/// An init that has done all but what `Go` lets it do.
#[derive(Debug)]
pub struct Prepared {
    init: Option<Child>,
    channel: ParentEnd,
    /// With the agent of init's filter, if it has one.
    patience: Option<Patience>,
    /// Network devices that are the host's again if nothing comes of the program.
    moved: Option<Moved>,
}

impl Launch<'_> {
    /// Clones, and keeps init company until it is ready. On an error nothing is left of it.
    pub fn start(self, company: &mut dyn Company) -> Result<Prepared> {
        let plan = self.plan;
        bear_undumpable()?;
        let slots = preparations::open(plan, self.given)?;
        if let Some(uid) = plan.stdio_owner {
            give_stdio(uid);
        }
        if !plan.initial_affinity.is_empty() {
            set_affinity(&plan.initial_affinity)?;
        }
        let (channel, init_end) = protocol::pair()?;
        let first =
            clone::process(plan.entry.clone, self.cgroup, || -> Infallible { crate::init::run(plan, slots, init_end) })
                .attempt(|| Step::CloneInit(plan.entry.clone))?;
        let mut conversation = Conversation { plan, channel, first: None, init: None, patience: None, moved: None };
        let placed = company.cloned(&first);
        if plan.entry.between.is_empty() {
            conversation.init = Some(first);
        } else {
            conversation.first = Some(first);
        }
        let placed = placed.map_err(|error| conversation.or_inits_own(error));
        match placed.and_then(|()| conversation.hold(company)) {
            Ok(()) => {
                let Conversation { channel, init, patience, moved, .. } = conversation;
                Ok(Prepared { init, channel, patience, moved })
            }
            Err(error) => {
                conversation.end();
                conversation.moved.iter().for_each(Moved::take_back);
                Err(error)
            }
        }
    }
}

impl Prepared {
    /// Init.
    pub fn init(&self) -> &Child {
        self.init.as_ref().expect("a prepared init is there until it is taken")
    }

    /// Lets init go on and looks after it no more: it waits for `start`.
    pub fn let_go(mut self) -> Result<Child> {
        self.channel.send(ToInit::Go)?;
        Ok(self.give_away())
    }

    /// Lets init go on until it has executed the program, or says why it could not.
    pub fn execute(mut self) -> Result<Child> {
        self.channel.send(ToInit::Go)?;
        match self.last_word()? {
            None => Ok(self.give_away()),
            Some(ToParent::Failed(failure)) => Err(failure.into_error()),
            Some(other) => bail!("init said {other:?} where it had nothing more to say"),
        }
    }

    /// What init says but of its hooks.
    fn last_word(&mut self) -> Result<Option<ToParent>> {
        let mut turn = Turn::HookEnds;
        loop {
            if let Some(patience) = &mut self.patience {
                patience.renew(turn);
                patience.wait(&self.channel)?;
            }
            match self.channel.receive()? {
                Some(ToParent::Turn(next)) => turn = next,
                word => return Ok(word),
            }
        }
    }

    /// Init is on its own, with its network devices.
    fn give_away(&mut self) -> Child {
        self.moved = None;
        self.init.take().expect("taken once, by who consumes this")
    }
}

impl Drop for Prepared {
    fn drop(&mut self) {
        if let Some(init) = &self.init {
            end(init);
        }
        self.moved.iter().for_each(Moved::take_back);
    }
}

/// With the agent of the plan's filter, and the hooks that it may have to answer for.
fn patience(plan: &Plan) -> Option<Patience> {
    let agent = plan.filter.as_ref()?.listener.clone()?;
    let hooks = plan.steps.iter().find_map(|step| match step {
        Step::StartContainerHooks(hooks) => Some(hooks.as_slice()),
        _ => None,
    });
    Some(Patience::new(agent, hooks.unwrap_or_default()))
}

/// What is said until init is ready.
struct Conversation<'a> {
    plan: &'a Plan,
    channel: ParentEnd,
    /// The process between, where the plan has one.
    first: Option<Child>,
    init: Option<Child>,
    /// With the agent of init's filter, once that is in force.
    patience: Option<Patience>,
    /// Network devices that are the host's again if nothing comes of the container.
    moved: Option<Moved>,
}

impl Conversation<'_> {
    fn hold(&mut self, company: &mut dyn Company) -> Result<()> {
        if self.plan.awaits_cgroup() {
            self.channel.send(ToInit::InCgroup)?;
        }
        if self.init.is_some() {
            self.welcome(company).map_err(|error| self.or_inits_own(error))?;
        }
        // Init may speak before the process between could say its pid; it waits for the answer then.
        let mut early = None;
        loop {
            let message = if self.init.is_some() && early.is_some() { early.take() } else { self.receive()? };
            match message {
                Some(message @ (ToParent::HooksNow | ToParent::Listener(_) | ToParent::Ready))
                    if self.init.is_none() =>
                {
                    early = Some(message);
                }
                Some(ToParent::MapMe) => {
                    let first = self.first.as_ref().ok_or_else(|| anyhow!("init asked for id maps it has"))?;
                    self.map_ids(first.pid)?;
                }
                Some(ToParent::InitPid(pid)) => {
                    self.adopt(pid)?;
                    self.welcome(company).map_err(|error| self.or_inits_own(error))?;
                }
                Some(ToParent::HooksNow) => {
                    company.hooks_now(self.known()?)?;
                    self.channel.send(ToInit::HooksDone)?;
                }
                Some(ToParent::Listener(number)) => {
                    let init = self.known()?;
                    let listener = pidfd_getfd(&init.pidfd, number, PidfdGetfdFlags::empty())
                        .attempt(|| "take the seccomp listener")?;
                    company.listener(init, listener)?;
                    self.patience = patience(self.plan);
                    self.channel.send(ToInit::ListenerTaken)?;
                }
                Some(ToParent::Ready) => return self.set_limits(),
                Some(ToParent::Turn(turn)) => bail!("init said {turn:?} before it was ready"),
                Some(ToParent::Failed(failure)) => {
                    self.meet_init();
                    return Err(failure.into_error());
                }
                None => return Err(self.how_it_ended()),
            }
        }
    }

    fn receive(&self) -> Result<Option<ToParent>> {
        if let Some(patience) = &self.patience {
            patience.wait(&self.channel)?;
        }
        self.channel.receive()
    }

    /// Init may have failed before the process between told its pid; without that nobody would reap it, and a pid namespace does not
    /// end before all in it are reaped.
    fn meet_init(&mut self) {
        while self.first.is_some() {
            match self.channel.receive() {
                Ok(Some(ToParent::InitPid(pid))) => drop(self.adopt(pid)),
                Ok(Some(_)) => {}
                Ok(None) | Err(_) => return,
            }
        }
    }

    /// The process between has cloned init as this process's child.
    fn adopt(&mut self, pid: i32) -> Result<()> {
        let pid = Some(pid).filter(|pid| *pid > 0).and_then(Pid::from_raw).context("init has no pid")?;
        let pidfd = pidfd_open(pid, PidfdFlags::empty()).attempt(|| "open init's pidfd")?;
        self.init = Some(Child { pid, pidfd });
        if let Some(first) = self.first.take() {
            clone::wait(first.pid).attempt(|| "wait for the process between")?;
        }
        Ok(())
    }

    fn welcome(&mut self, company: &mut dyn Company) -> Result<()> {
        let init = self.known()?;
        if let Some(score) = self.plan.oom_score {
            let path = format!("/proc/{}/oom_score_adj", init.pid.as_raw_nonzero());
            std::fs::write(&path, score.to_string())
                .attempt(|| format!("process.oomScoreAdj: write {score} to {path:?}"))?;
        }
        let awaits_maps = self.plan.steps.iter().any(|step| matches!(step, Step::AwaitIdMaps));
        if awaits_maps {
            self.map_ids(init.pid)?;
        }
        let namespace = self.plan.network_namespace.as_deref();
        self.moved = network_devices::hand_over(&self.plan.network_devices, namespace, init)?;
        company.born(self.known()?)
    }

    /// Of an init that has failed meanwhile there is nothing in /proc any more; why it failed is the news then.
    fn or_inits_own(&self, error: anyhow::Error) -> anyhow::Error {
        if !self.channel.wait(Instant::now()).unwrap_or(false) {
            return error;
        }
        match self.channel.receive() {
            Ok(Some(ToParent::Failed(failure))) => failure.into_error(),
            _ => error,
        }
    }

    fn map_ids(&self, pid: Pid) -> Result<()> {
        if let Some(maps) = &self.plan.entry.id_maps {
            id_maps::write(pid, maps)?;
        }
        self.channel.send(ToInit::IdsMapped)
    }

    fn known(&self) -> Result<&Child> {
        self.init.as_ref().context("init spoke before it was born")
    }

    /// prlimit(2), now that nothing needs the runtime's own limits any more.
    fn set_limits(&self) -> Result<()> {
        let pid = self.known()?.pid;
        for limit in &self.plan.limits {
            let number = |value: u64| (value != u64::MAX).then_some(value);
            let new = rustix::process::Rlimit { current: number(limit.soft), maximum: number(limit.hard) };
            prlimit(Some(pid), limit.resource, new).attempt(|| {
                format!("process.rlimits[{}]: set {} to {} (hard {})", limit.index, limit.name, limit.soft, limit.hard)
            })?;
        }
        Ok(())
    }

    /// End of file without a word.
    fn how_it_ended(&mut self) -> anyhow::Error {
        let Some(child) = self.init.take().or(self.first.take()) else { return anyhow!("init is gone") };
        match clone::wait(child.pid) {
            Ok(status) if status > 128 => {
                anyhow!("the container's process was killed by signal {} before it was ready", status - 128)
            }
            Ok(status) => anyhow!("the container's process ended with status {status} before it was ready"),
            Err(_) => anyhow!("the container's process ended before it was ready"),
        }
    }

    fn end(&mut self) {
        for child in [self.first.take(), self.init.take()].into_iter().flatten() {
            end(&child);
        }
    }
}

/// What is cloned from now on is undumpable from its first moment, as this process becomes. A child in a new user namespace has every
/// right there and is still root to the host's files; as the owner of that namespace any root process that sees it, be it in a container
/// with the host's pid namespace and next to no capabilities, could trace it (ptrace(2), "Ptrace access mode checking").
///
/// An ordinary user must do without until the ids are mapped: of an undumpable process /proc/PID belongs to root, and its maps could not
/// be written.
fn bear_undumpable() -> Result<()> {
    if !rustix::process::geteuid().is_root() {
        return Ok(());
    }
    let behavior = rustix::process::DumpableBehavior::NotDumpable;
    rustix::process::set_dumpable_behavior(behavior).attempt(|| "make the runtime undumpable")
}

/// Kills and reaps; a process that is gone already is as good.
fn end(child: &Child) {
    let _ = signal::send(child.pidfd.as_fd(), libc::SIGKILL);
    let _ = clone::wait(child.pid);
}

fn set_affinity(cpus: &[usize]) -> Result<()> {
    let mut set = rustix::thread::CpuSet::new();
    for cpu in cpus.iter().filter(|cpu| **cpu < rustix::thread::CpuSet::MAX_CPU) {
        set.set(*cpu);
    }
    rustix::thread::sched_setaffinity(None, &set)
        .attempt(|| format!("process.execCPUAffinity.initial: set CPU affinity to {cpus:?}"))
}

/// Stdio that may become the container's user's, given by who is root of the host.
fn give_stdio(uid: u32) {
    let stdio = [rustix::stdio::stdin(), rustix::stdio::stdout(), rustix::stdio::stderr()];
    for descriptor in stdio {
        if !stays_the_callers(descriptor) {
            // Whoever can't has lost nothing but that way of opening them.
            let _ = fchown(descriptor, Some(Uid::from_raw(uid)), None);
        }
    }
}

/// A new user namespace with these maps, kept alive by the descriptor alone.
pub(crate) fn user_namespace(maps: &crate::plan::namespaces::IdMaps) -> Result<OwnedFd> {
    // A process is needed for a moment, for a user namespace is made by clone and mapped through /proc/PID.
    let (channel, end_of_child) = protocol::pair()?;
    let child = clone::process(CloneFlags::NEWUSER, None, || {
        let _ = end_of_child.expect(ToInit::Go);
        crate::sys::execute::exit_now(0)
    })
    .attempt(|| "make a user namespace")?;
    let path = format!("/proc/{}/ns/user", child.pid.as_raw_nonzero());
    let result = id_maps::write(child.pid, maps).and_then(|()| {
        let file = std::fs::File::open(&path).attempt(|| format!("open {path:?}"))?;
        Ok(OwnedFd::from(file))
    });
    drop(channel);
    end(&child);
    result
}
