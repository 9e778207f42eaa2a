//! `exec`: a further process in a running container.

use std::os::fd::{AsFd, OwnedFd};

use anyhow::{Context, Result, bail};
use rustix::io::Errno;
use rustix::process::Pid;

use super::create::write_pid_file;
use super::detach::Leaving;
use super::foreground::{self, Foreground};
use super::group::Kept;
use super::options::{ExecOptions, Host, ProcessArguments, ProcessSource, Status};
use super::status::{Found, find};
use super::{console, detach, host};
use crate::cgroup::Group;
use crate::error::{Attempt, errno};
use crate::launch::{Company, Launch, Prepared};
use crate::plan::namespaces::Kind;
use crate::plan::{self, Given, Plan};
use crate::spec::process::{Capabilities, Process};
use crate::spec::{Spec, VERSION, check, load};
use crate::sys::clone::Child;

/// Runs a further process in a container, and unless detached waits for its end: 0 to 255, or 128 + the signal that ended it; 0 if the keys that detach were pressed.
pub fn exec(host: &Host, id: &str, options: &ExecOptions) -> Result<u8> {
    let foreground = (!options.detach).then(Foreground::prepare).transpose()?;
    let (init, relay) = enter(host, id, options, foreground.is_some() || options.leaves_holder)?;
    // After the program was executed: engines take a pid file for the sign that the status is the program's own.
    if let Some(path) = &options.pid_file {
        write_pid_file(path, init.pid.as_raw_nonzero().get())?;
    }
    let master = relay.as_ref().map(console::receive).transpose()?;
    let Some(foreground) = foreground else {
        let leave = |master| detach::leave(master, options.holders_group.as_ref());
        return master.as_ref().map_or(Ok(()), leave).map(|()| 0);
    };
    let leaving = Leaving { keys: &options.detach_keys, group: options.holders_group.as_ref() };
    foreground.attend(&init, master, None, leaving)
}

/// Starts the process, and gives it with the socket over which its terminal comes, if it has one and this process relays it.
pub(super) fn enter(host: &Host, id: &str, options: &ExecOptions, attended: bool) -> Result<(Child, Option<OwnedFd>)> {
    let found = find(&host.root, id)?;
    match found.status()? {
        Status::Stopped => bail!("cannot exec in a stopped container"),
        Status::Paused if !options.ignore_paused => {
            bail!("cannot exec in a paused container (use --ignore-paused to override)")
        }
        _ => {}
    }
    let Some((_, container)) = found.init()? else { bail!("cannot exec in a stopped container") };
    let spec = load::config(&found.directory.config_path())?.spec;
    let process = process(&options.process, &spec)?;
    let relays = process.terminal && options.console_socket.is_none();
    if !attended || options.console_socket.is_some() {
        console::check_detached(Some(&process), options.console_socket.is_some())?;
    }
    let (socket, relay) = if let Some(path) = &options.console_socket {
        (Some(super::create::connect(path, "the console socket")?), None)
    } else {
        relays.then(console::own).transpose()?.unzip()
    };
    let mut plan = plan(&found, &process, &spec, options)?;
    if relays {
        plan.size_terminal(foreground::terminal_size());
    }
    host.warn.all(&plan.warnings);
    let mut given = vec![(Given::Container, container)];
    given.extend(socket.map(|socket| (Given::Console, socket)));
    let prepared = launch(&found, &mut plan, given, options)?;
    if let Some(path) = &options.pidfd_socket {
        console::send(path, c"setns", prepared.init().pidfd.as_fd())?;
    }
    Ok((prepared.execute()?, relay))
}

fn plan(found: &Found, process: &Process, spec: &Spec, options: &ExecOptions) -> Result<Plan> {
    let record = &found.record;
    let in_user_namespace = host::in_other_user_namespace(record.init.pid);
    let mut facts = host::facts(&record.id, &record.bundle, record.rootfs.clone(), None, None, in_user_namespace);
    facts.new_keyring = record.new_keyring;
    if !in_user_namespace {
        facts.shared_namespaces.push(Kind::User);
    }
    let mut plan = plan::exec(process, spec, &facts)?;
    for variable in &options.passed.environment {
        plan.program.set(plan::step::c_string(variable));
    }
    plan.passed = options.passed.count;
    plan.status_for_listener = "running";
    Ok(plan)
}

/// The process is born in the container's cgroup.
///
/// Where that has sub-groups the kernel refuses it (cgroups(7), "no internal processes": EBUSY), and it is born beside the
/// container's init. A user who is outside of the user's own groups may not either (EACCES), and has systemd move it.
fn launch(found: &Found, plan: &mut Plan, given: Vec<(Given, OwnedFd)>, options: &ExecOptions) -> Result<Prepared> {
    let start = |plan: &Plan, born_in: Option<&Group>, adopted: Adopted<'_>, given: Vec<(Given, OwnedFd)>| {
        let directory = born_in.map(Group::open).transpose()?;
        let launch = Launch { plan, given, cgroup: directory.as_ref().map(AsFd::as_fd) };
        launch.start(&mut InContainer { found, plan, adopted })
    };
    let Some(kept) = found.kept_group() else { return start(plan, None, None, given) };
    let group = match &options.cgroup {
        Some(sub) => kept.group().below(sub).context("--cgroup")?,
        None => kept.group().clone(),
    };
    let mut again = Vec::new();
    for (kind, descriptor) in &given {
        again.push((*kind, descriptor.try_clone().attempt(|| "duplicate a descriptor")?));
    }
    let first = start(plan, Some(&group), None, given);
    match first.as_ref().err().and_then(errno) {
        Some(Errno::BUSY | Errno::OPNOTSUPP) if options.cgroup.is_none() => {
            start(plan, Some(&group_of_init(found)?), None, again)
        }
        Some(Errno::ACCESS) if kept.adopts() => {
            plan.await_cgroup();
            start(plan, None, Some((kept.as_ref(), &group)), again)
        }
        _ => first,
    }
}

/// Who moves the process into the container's cgroup, and into which group, where it can't be born there.
type Adopted<'a> = Option<(&'a dyn Kept, &'a Group)>;

fn group_of_init(found: &Found) -> Result<Group> {
    let pid = Pid::from_raw(found.record.init.pid).context("the container has no process")?;
    crate::cgroup::Hierarchy::find()?.group_of(pid)
}

/// What is run: a file's process, or the configuration's with changes.
fn process(source: &ProcessSource, spec: &Spec) -> Result<Process> {
    let process = match source {
        ProcessSource::File { path, tty } => {
            let mut process: Process = load::parse(&load::read(path)?).with_context(|| format!("parse {path:?}"))?;
            check::process(&process, "").with_context(|| format!("{path:?}"))?;
            process.terminal |= tty;
            return Ok(process);
        }
        ProcessSource::Process(process) => Process::clone(process),
        ProcessSource::Arguments(arguments) => {
            let own = spec.process.clone().context("the container's configuration has no process")?;
            with_arguments(own, arguments)
        }
    };
    check::process(&process, "process")?;
    Ok(process)
}

fn with_arguments(mut process: Process, arguments: &ProcessArguments) -> Process {
    process.args.clone_from(&arguments.args);
    process.terminal = arguments.tty;
    process.console_size = None;
    process.cwd = arguments.cwd.clone().unwrap_or(process.cwd);
    process.env.extend(arguments.env.iter().cloned());
    if let Some((uid, gid)) = arguments.user {
        process.user.uid = uid;
        process.user.gid = gid.unwrap_or(process.user.gid);
    }
    process.user.additional_gids.extend(&arguments.additional_gids);
    process.no_new_privileges = arguments.no_new_privs.unwrap_or(process.no_new_privileges);
    process.selinux_label = arguments.process_label.clone().unwrap_or(process.selinux_label);
    process.apparmor_profile = arguments.apparmor.clone().unwrap_or(process.apparmor_profile);
    if !arguments.caps.is_empty() {
        let capabilities = process.capabilities.get_or_insert_with(Capabilities::default);
        // Not the inheritable set: a program with file capabilities would get more than was asked for (CVE-2022-29162).
        capabilities.bounding.extend(arguments.caps.iter().cloned());
        capabilities.effective.extend(arguments.caps.iter().cloned());
        capabilities.permitted.extend(arguments.caps.iter().cloned());
        if !capabilities.inheritable.is_empty() {
            capabilities.ambient.extend(arguments.caps.iter().cloned());
        }
    }
    process
}

struct InContainer<'a> {
    found: &'a Found,
    plan: &'a Plan,
    adopted: Adopted<'a>,
}

impl Company for InContainer<'_> {
    fn cloned(&mut self, first: &Child) -> Result<()> {
        self.adopted.map_or(Ok(()), |(kept, group)| kept.adopt(first.pid, group))
    }

    fn born(&mut self, _: &Child) -> Result<()> {
        Ok(())
    }

    fn hooks_now(&mut self, _: &Child) -> Result<()> {
        bail!("a process of exec has no hooks")
    }

    fn listener(&mut self, init: &Child, listener: OwnedFd) -> Result<()> {
        let Some(to) = self.plan.filter.as_ref().and_then(|filter| filter.listener.as_ref()) else {
            bail!("a listener came from a filter that has none");
        };
        let identity = super::start::identity(&self.found.record);
        let container = self.found.record.init.pid;
        let state = identity.at("running", container);
        to.announce(VERSION, init.pid.as_raw_nonzero().get(), &state, listener.as_fd())
    }
}
