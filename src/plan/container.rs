//! Plans for `create` and `run`: from the runtime's namespaces to a container's program.

use std::borrow::Cow;
use std::collections::HashSet;

use anyhow::{Result, bail};

use super::namespaces::{self, Kind, Wanted};
use super::process::{self, Asked};
use super::step::{self, Destination, Step, c_path, c_string};
use super::{
    Given, Host, Plan, Preparation, Preparations, Program, Start, TreeCopy, devices, filter, keeps_groups, keyring,
    landlock, mount_options, mounts, open_proc_before_use, sysctl, when,
};
use crate::cgroup;
use crate::spec::{Process, Spec};

/// Plans `create` and `run`.
pub fn container(spec: &Spec, host: &Host) -> Result<Plan> {
    let process = &*process_of(spec, host)?;
    let wanted = Wanted::new(&spec.linux)?.sharing(&host.shared_namespaces);
    if !host.is_root && !wanted.has(Kind::User) {
        bail!("linux.namespaces: an ordinary user needs a user namespace; add one, with uidMappings and gidMappings");
    }
    let filter = filter(spec)?;
    let mut preparations = Preparations::default();
    let mut warnings = without_effect(spec);
    let entry = namespaces::entry(&spec.linux, &wanted, host, &mut preparations);

    let mut steps = Vec::new();
    let own_score = process.oom_score_adj.filter(|_| !host.privileged);
    steps.extend(own_score.map(Step::OomScore));
    steps.extend(entry.first.iter().cloned());
    steps.push(Step::Affinity(Vec::new()));
    if host.new_keyring {
        steps.extend(process::keyring_label(process));
        steps.push(keyring(host));
    }
    if wanted.is_new(Kind::Network) {
        steps.push(Step::LoopbackUp);
    }
    if wanted.has(Kind::Mount) {
        steps.extend(file_tree(spec, process, &wanted, host, &mut preparations)?);
    } else {
        steps.extend(without_mount_namespace(spec, &wanted, host)?);
    }
    steps.push(Step::Umask(process.user.umask.unwrap_or(0o022)));

    let start = start(host, &mut preparations);
    let asked = Asked {
        process,
        linux: &spec.linux,
        hooks: &spec.hooks.start_container,
        keep_groups: keeps_groups(spec),
        landlock: landlock::landlock(&spec.annotations)?,
        filter: filter.as_ref().map(when),
        start,
        limited_by_parent: wanted.has(Kind::User),
    };
    steps.extend(process::attributes(&asked)?);
    steps.extend(process::finish(&asked, host, &mut warnings)?);
    open_proc_before_use(&mut steps);
    Ok(Plan {
        program: program(spec, process, host),
        network_devices: network_devices(spec, &wanted, host)?,
        network_namespace: wanted.path(Kind::Network).map(c_string),
        preparations: preparations.0,
        filter,
        warnings,
        ..Plan::of(spec, process, &wanted, host, entry, steps)?
    })
}

fn process_of<'s>(spec: &'s Spec, host: &Host) -> Result<Cow<'s, Process>> {
    match &spec.process {
        Some(process) => Ok(Cow::Borrowed(process)),
        // config.md, "Process": needed by `start`, not by `create`.
        None if host.waits_for_start => Ok(Cow::Owned(Process { cwd: "/".to_owned(), ..Process::default() })),
        None => bail!("process: is missing; name the program to run in process.args"),
    }
}

/// Whose word the program waits for.
fn start(host: &Host, preparations: &mut Preparations) -> Start {
    if !host.waits_for_start {
        return Start::Parent;
    }
    let gate = preparations.add(Preparation::Given(Given::StartGate));
    Start::Gate { gate, report: preparations.add(Preparation::Given(Given::StartReport)) }
}

/// The limits that cgroup v2 has nothing for.
fn without_effect(spec: &Spec) -> Vec<String> {
    let unheeded = spec.linux.resources.as_ref().map(cgroup::plan::without_effect).unwrap_or_default();
    unheeded.into_iter().map(|(field, reason)| format!("{field} has no effect: {reason}")).collect()
}

/// Everything between a new mount namespace and a finished `/`.
fn file_tree(
    spec: &Spec,
    process: &Process,
    wanted: &Wanted,
    host: &Host,
    preparations: &mut Preparations,
) -> Result<Vec<Step>> {
    let base = mounts::base_propagation(&spec.linux)?;
    if host.no_pivot && base.kind == libc::MS_PRIVATE {
        bail!("linux.rootfsPropagation: {:?} can't be combined with --no-pivot", spec.linux.rootfs_propagation);
    }
    let slot = host.opens_root.then(|| {
        preparations.add(Preparation::CopyTree(TreeCopy {
            path: c_path(&host.rootfs),
            recursive: true,
            propagation: base,
            follow: true,
            id_map: None,
        }))
    });
    let mut steps = vec![
        Step::Propagation { path: c"/".into(), propagation: base },
        Step::Root { path: c_path(&host.rootfs), joined: wanted.path(Kind::Mount).is_some(), slot },
    ];
    let planned = mounts::mounts(spec, wanted, host, preparations)?;
    steps.extend(planned.steps);
    steps.extend(host.notify_directory.as_ref().map(|directory| notify_mount(directory)));
    if !planned.dev_is_bound {
        steps.extend(devices::devices(spec, wanted, host, preparations)?);
    }
    if !spec.hooks.prestart.is_empty() || !spec.hooks.create_runtime.is_empty() {
        steps.push(Step::RuntimeHooks);
    }
    if !spec.hooks.create_container.is_empty() {
        steps.push(Step::CreateContainerHooks(spec.hooks.create_container.clone()));
    }
    steps.push(if host.no_pivot { Step::MoveRoot } else { Step::PivotRoot });
    if let Some(propagation) = mount_options::propagation(&spec.linux.rootfs_propagation) {
        steps.push(Step::Propagation { path: c"/".into(), propagation });
    }
    steps.extend(process::working_directory(process));
    if process.terminal {
        let slot = preparations.add(Preparation::Given(Given::Console));
        steps.push(Step::Terminal { slot, size: process.console_size, bind_console: true });
    }
    steps.extend(planned.late);
    if spec.root.as_ref().is_some_and(|root| root.readonly) {
        steps.push(Step::SetMountAttributes { path: Destination::new("/"), set: libc::MOUNT_ATTR_RDONLY });
    }
    steps.extend(names(spec, wanted)?);
    steps.extend(spec.linux.readonly_paths.iter().map(|path| Step::ReadonlyPath(Destination::new(path))));
    let mut masked = HashSet::new();
    let paths = spec.linux.masked_paths.iter().map(|path| Destination::new(path));
    steps.extend(paths.filter(|path| masked.insert(path.clone())).map(Step::MaskPath));
    Ok(steps)
}

/// The directory of the socket through which a program tells that it is ready (sd_notify(3)).
fn notify_mount(directory: &std::path::Path) -> Step {
    let set = libc::MOUNT_ATTR_NOSUID | libc::MOUNT_ATTR_NODEV | libc::MOUNT_ATTR_NOEXEC | libc::MOUNT_ATTR_RDONLY;
    Step::BindMount(step::Bind {
        field: String::new(),
        source: step::Source { path: c_path(directory), slot: None },
        destination: Destination::new("/run/notify"),
        recursive: false,
        change: step::AttributeChange { set, clear: 0 },
        change_all: step::AttributeChange::default(),
        propagation: Vec::new(),
        on_proc: step::OnProc::Refused,
        follow: step::Follow { source: true, destination: true },
    })
}

/// A container that shares the runtime's mounts gets a root by chroot(2) and nothing that would have to be mounted.
fn without_mount_namespace(spec: &Spec, wanted: &Wanted, host: &Host) -> Result<Vec<Step>> {
    let refused = [
        ("mounts", !spec.mounts.is_empty()),
        ("linux.maskedPaths", !spec.linux.masked_paths.is_empty()),
        ("linux.readonlyPaths", !spec.linux.readonly_paths.is_empty()),
        ("linux.rootfsPropagation", !spec.linux.rootfs_propagation.is_empty()),
        ("root.readonly", spec.root.as_ref().is_some_and(|root| root.readonly)),
        ("process.terminal", spec.process.as_ref().is_some_and(|process| process.terminal)),
    ];
    if let Some((field, _)) = refused.iter().find(|(_, used)| *used) {
        bail!("{field}: needs a mount namespace; add one to linux.namespaces");
    }
    let mut steps = vec![Step::Root { path: c_path(&host.rootfs), joined: false, slot: None }];
    if !spec.hooks.prestart.is_empty() || !spec.hooks.create_runtime.is_empty() {
        steps.push(Step::RuntimeHooks);
    }
    if !spec.hooks.create_container.is_empty() {
        steps.push(Step::CreateContainerHooks(spec.hooks.create_container.clone()));
    }
    steps.push(Step::ChangeRoot);
    steps.extend(names(spec, wanted)?);
    Ok(steps)
}

/// The host and domain name, and then the kernel's parameters: `kernel.domainname` among them wins, as with runc.
fn names(spec: &Spec, wanted: &Wanted) -> Result<Vec<Step>> {
    let mut steps = Vec::new();
    for (field, name) in [("hostname", &spec.hostname), ("domainname", &spec.domainname)] {
        if name.is_empty() {
            continue;
        }
        if !wanted.is_apart(Kind::Uts) {
            bail!("{field}: {name:?} would change the host's; add a uts namespace to linux.namespaces");
        }
        if name.len() > 64 || name.contains('\0') {
            bail!("{field}: {name:?} is not a name of at most 64 bytes");
        }
        let name = c_string(name);
        steps.push(if field == "hostname" { Step::Hostname(name) } else { Step::Domainname(name) });
    }
    steps.extend(sysctl::sysctl(&spec.linux, wanted)?);
    Ok(steps)
}

fn network_devices(spec: &Spec, wanted: &Wanted, host: &Host) -> Result<Vec<(String, String)>> {
    let devices = &spec.linux.net_devices;
    if devices.is_empty() {
        return Ok(Vec::new());
    }
    if !wanted.has(Kind::Network) {
        bail!("linux.netDevices: needs a network namespace in linux.namespaces");
    }
    if !host.privileged {
        bail!("linux.netDevices: only root can move the host's network devices");
    }
    let valid = |name: &str| {
        !name.is_empty() && name.len() < 16 && !name.contains(['/', '\0', ' ']) && name != "." && name != ".."
    };
    let mut moves: Vec<(String, String)> = Vec::new();
    let mut taken = HashSet::new();
    for (name, device) in devices {
        let inside = if device.name.is_empty() { name } else { &device.name };
        if !valid(name) || !valid(inside) {
            bail!("linux.netDevices[{name:?}]: {inside:?} is not a name of a network device");
        }
        if !taken.insert(inside) {
            bail!("linux.netDevices[{name:?}].name: {inside:?} is used twice");
        }
        moves.push((name.clone(), inside.clone()));
    }
    Ok(moves)
}

fn program(_spec: &Spec, process: &Process, host: &Host) -> Program {
    let mut program = process::program(process);
    if host.notify_directory.is_some() {
        program.set(c"NOTIFY_SOCKET=/run/notify/notify.sock".into());
    }
    program
}
