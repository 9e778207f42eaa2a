//! `create`: from a bundle to an init that waits for `start`.

use std::fs::File;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use anyhow::{Context, Result, bail, ensure};

use super::directory::{Directory, Lock, write_atomically};
use super::group::{self, Place};
use super::options::{CreateOptions, Host};
use super::record::{Init, Record, stat};
use super::{console, host, notify_socket, out_of_memory, resctrl};
use crate::cgroup::Group;
use crate::error::Attempt;
use crate::launch::{Company, Launch, Prepared, hooks};
use crate::plan::namespaces::{Kind, Wanted};
use crate::plan::step::c_string;
use crate::plan::{Given, Plan};
use crate::spec::load::{self, Loaded};
use crate::spec::{Spec, VERSION};
use crate::sys::clone::Child;

/// A container on its way: what has been made so far, and must be undone if the rest fails.
pub(super) struct Making {
    pub(super) spec: Spec,
    pub(super) directory: Directory,
    /// Not written before init is known.
    pub(super) record: Record,
    pub(super) plan: Plan,
    /// None where the container has no cgroup of its own.
    place: Option<Box<dyn Place>>,
    /// How often the kernel had killed in the group before: a group that was there, and empty, is used again.
    kills_before: u64,
    lock: Option<Lock>,
}

/// Whom the container's process obeys once it is prepared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Start {
    /// A later `start`.
    Gate,
    /// This process.
    AtOnce,
}

/// Makes a container that waits for `start`.
pub fn create(host: &Host, id: &str, options: &CreateOptions) -> Result<()> {
    let config = configuration(id, options)?;
    let console = console::for_detached(options, &config.spec)?;
    let mut making = Making::begin(host, id, options, config, Start::Gate)?;
    making.finish(console, |making, prepared| {
        making.write_down(options, &prepared)?;
        prepared.let_go().map(drop)
    })
}

/// What a container of this id is made from. It is read once, here: what was checked is what is run.
pub(super) fn configuration(id: &str, options: &CreateOptions) -> Result<Loaded> {
    let config = load::config(options.config.as_ref().unwrap_or(&options.bundle.join("config.json")))?;
    super::directory::check_id(id)?;
    Ok(config)
}

impl Making {
    /// Everything that needs no process of the container: plan, state directory, cgroup.
    pub(super) fn begin(
        host: &Host,
        id: &str,
        options: &CreateOptions,
        config: Loaded,
        start: Start,
    ) -> Result<Making> {
        let Loaded { bytes, spec } = config;
        let rootfs = host::rootfs(&spec, &options.bundle)?;
        let place = group::place(host, &spec, id)?;
        let at = host.root.join(id);
        let wanted = Wanted::new(&spec.linux)?;
        let mut facts = host::facts(
            id,
            &options.bundle,
            rootfs.clone(),
            place.as_ref().map(|place| place.hierarchy()),
            place.as_ref().map(|place| place.group().path()),
            wanted.has(Kind::User),
        );
        facts.shared_namespaces = host::shared_namespaces(&spec);
        facts.no_pivot = options.no_pivot;
        facts.opens_root = options.opens_root;
        facts.new_keyring = !options.no_new_keyring;
        facts.waits_for_start = start == Start::Gate;
        facts.notify_directory = notify_socket::asked().map(|_| at.join("notify"));
        let mut plan = crate::plan::container(&spec, &facts)?;
        for variable in &options.passed.environment {
            plan.program.set(c_string(variable));
        }
        plan.passed = options.passed.count;
        plan.hook_output = hook_output(&spec)?;
        if place.as_ref().is_some_and(|place| place.birthplace().is_none()) {
            plan.await_cgroup();
        }
        host.warn.all(&plan.warnings);

        let directory = Directory::create(&host.root, id)?;
        let lock = directory.lock()?;
        let record = Record {
            init: Init::default(),
            id: id.to_owned(),
            oci_version: spec.oci_version.clone(),
            bundle: options.bundle.clone(),
            rootfs,
            created: humantime::format_rfc3339_nanos(SystemTime::now()).to_string(),
            annotations: spec.annotations.clone(),
            resources: spec.linux.resources.clone(),
            resctrl: resctrl::directory(&spec.linux, id),
            own_pids: wanted.is_new(Kind::Pid),
            new_keyring: !options.no_new_keyring,
        };
        let mut making = Making { spec, directory, record, plan, place, kills_before: 0, lock: Some(lock) };
        let kept = making.keep(&bytes);
        making.or_undo(kept)?;
        Ok(making)
    }

    /// Passes a result on; of an error nothing stays behind.
    pub(super) fn or_undo<T>(&mut self, result: Result<T>) -> Result<T> {
        result.inspect_err(|_| self.undo())
    }

    /// Writes down what will exist before it does, then makes the cgroup.
    fn keep(&mut self, config: &[u8]) -> Result<()> {
        self.directory.write_config(config)?;
        if let Some(mut place) = self.place.take() {
            let made = place.write_down(&self.directory).and_then(|()| place.make());
            if matches!(made, Ok(true)) {
                self.place = Some(place);
            } else {
                // A group that was there before, with processes in it, is not this container's to remove.
                self.directory.unlink_cgroup();
            }
            made?;
            if out_of_memory::is_limited(&self.record) {
                self.kills_before = out_of_memory::kills(self.group());
            }
        }
        if notify_socket::asked().is_some() {
            notify_socket::make_directory(self.directory.path())?;
        }
        Ok(())
    }

    /// Clones init, keeps it company, and hands it to `last` once it is prepared. Whatever fails, nothing stays behind.
    pub(super) fn finish<T>(
        &mut self,
        console: Option<OwnedFd>,
        last: impl FnOnce(&mut Making, Prepared) -> Result<T>,
    ) -> Result<T> {
        let result = self.launch(console).and_then(|prepared| {
            self.check_memory_kept()?;
            last(self, prepared)
        });
        let result = result.map_err(|error| self.with_reason(error));
        self.or_undo(result)
    }

    /// A limit that init does not fit in kills it when it is written, which may be while init says that it is ready.
    fn check_memory_kept(&self) -> Result<()> {
        let was_killed = out_of_memory::is_limited(&self.record) && self.has_killed();
        ensure!(!was_killed, "the container's process was killed when it was ready");
        Ok(())
    }

    fn has_killed(&self) -> bool {
        out_of_memory::kills(self.group()) > self.kills_before
    }

    /// An init that was killed for want of memory can't say so itself.
    fn with_reason(&self, error: anyhow::Error) -> anyhow::Error {
        if self.has_killed() { error.context(out_of_memory::REASON) } else { error }
    }

    fn launch(&mut self, console: Option<OwnedFd>) -> Result<Prepared> {
        let mut given: Vec<(Given, OwnedFd)> = console.map(|socket| (Given::Console, socket)).into_iter().collect();
        if self.plan.waits_for_start() {
            given.push((Given::StartGate, self.directory.make_fifo("start")?.into()));
            given.push((Given::StartReport, self.directory.make_fifo("started")?.into()));
        }
        let born_in = self.place.as_ref().and_then(|place| place.birthplace()).map(Group::open).transpose()?;
        let cgroup = born_in.as_ref().map(AsFd::as_fd);
        let launch = Launch { plan: &self.plan, given, cgroup };
        let mut company = Outside {
            spec: &self.spec,
            plan: &self.plan,
            place: self.place.as_deref_mut(),
            bundle: &self.record.bundle,
            resctrl: self.record.resctrl.as_deref(),
        };
        launch.start(&mut company)
    }

    /// The container's own cgroup.
    pub(super) fn group(&self) -> Option<&Group> {
        self.place.as_ref().map(|place| place.group())
    }

    /// Everything that a caller may look for once `create` has returned.
    pub(super) fn write_down(&mut self, options: &CreateOptions, prepared: &Prepared) -> Result<()> {
        let pid = prepared.init().pid.as_raw_nonzero().get();
        let start_time = stat(pid)?.context("init is gone")?.start_time;
        self.record.init = Init { pid, start_time };
        self.directory.write_record(&self.record)?;
        if let Some(path) = &options.pidfd_socket {
            console::send(path, c"standard", prepared.init().pidfd.as_fd())?;
        }
        if let Some(path) = &options.pid_file {
            write_pid_file(path, pid)?;
        }
        Ok(())
    }

    /// Others may look after the container now.
    pub(super) fn unlock(&mut self) {
        self.lock = None;
    }

    /// Takes back what was made. The first error is the one that is told, so what fails here is passed over; `delete --force`
    /// finds what is left.
    fn undo(&mut self) {
        if let Some(place) = &mut self.place {
            place.undo();
        }
        if let Some(path) = &self.record.resctrl {
            let _ = std::fs::remove_dir(path);
        }
        let _ = self.directory.remove();
        let state = self.plan.state.at("stopped", None);
        drop(hooks::run_each("poststop", &self.spec.hooks.poststop, &state, &self.plan.hook_output));
    }
}

/// What the parent does for a container while init is on its way.
struct Outside<'a> {
    spec: &'a Spec,
    plan: &'a Plan,
    place: Option<&'a mut (dyn Place + 'static)>,
    bundle: &'a Path,
    resctrl: Option<&'a Path>,
}

impl Company for Outside<'_> {
    fn cloned(&mut self, first: &Child) -> Result<()> {
        self.place.as_mut().map_or(Ok(()), |place| place.adopt(first.pid))
    }

    fn born(&mut self, init: &Child) -> Result<()> {
        if let Some(place) = &self.place {
            place.limit()?;
            group::delegate(place.group(), self.spec, &Wanted::new(&self.spec.linux)?)?;
        }
        resctrl::apply(&self.spec.linux, self.resctrl, init)
    }

    fn hooks_now(&mut self, init: &Child) -> Result<()> {
        let state = self.plan.state.at("creating", init.pid.as_raw_nonzero().get());
        let turns = [("prestart", &self.spec.hooks.prestart), ("createRuntime", &self.spec.hooks.create_runtime)];
        turns
            .into_iter()
            .try_for_each(|(turn, list)| hooks::run_in(self.bundle, turn, list, &state, &self.plan.hook_output))
    }

    fn listener(&mut self, init: &Child, listener: OwnedFd) -> Result<()> {
        let Some(to) = self.plan.filter.as_ref().and_then(|filter| filter.listener.as_ref()) else {
            bail!("a listener came from a filter that has none");
        };
        let pid = init.pid.as_raw_nonzero().get();
        let state = self.plan.state.at(self.plan.status_for_listener, pid);
        to.announce(VERSION, pid, &state, listener.as_fd())
    }
}

/// No line break at the end: engines read the whole file as a number.
pub(super) fn write_pid_file(path: &Path, pid: i32) -> Result<()> {
    write_atomically(path, pid.to_string().as_bytes(), 0o644).context("write the pid file")
}

/// crun's annotations, opened once and for every hook.
pub(super) fn hook_output(spec: &Spec) -> Result<hooks::Output> {
    let open = |name: &str| -> Result<Option<Arc<OwnedFd>>> {
        let Some(path) = spec.annotations.get(name) else { return Ok(None) };
        let file = File::options().create(true).append(true).open(path);
        let file = file.attempt(|| format!("annotations[{name:?}]: open {path:?}"))?;
        Ok(Some(Arc::new(file.into())))
    };
    Ok(hooks::Output { stdout: open("run.oci.hooks.stdout")?, stderr: open("run.oci.hooks.stderr")? })
}

/// Connects to a socket of the caller's.
pub(super) fn connect(path: &PathBuf, what: &str) -> Result<OwnedFd> {
    let stream = UnixStream::connect(path).attempt(|| format!("connect to {what} {path:?}"))?;
    Ok(stream.into())
}
