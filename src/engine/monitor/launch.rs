//! The start of a container: its root, its files, its streams, the runtime, its network.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::{Context, Result, bail};

use super::streams::Stdio;
use super::{Monitor, probe};
use crate::cgroup::Group;
use crate::container::{self, CreateOptions, Embedded, Warn};
use crate::engine::group::Place;
use crate::engine::log::Log;
use crate::engine::protocol::Notice;
use crate::engine::record::Record;
use crate::engine::specification::{self, Facts, Node};
use crate::engine::state::Status;
use crate::engine::user_namespace::{ensure_mapped, mapped_from_0};
use crate::engine::{Engine, account, apparmor, cdi, init, links, network, now, root, start, volume};
use crate::error::{Attempt, sentence};
use crate::image::bundle;
use crate::image::layer::Stack;

impl Monitor {
    /// The start that somebody waits for.
    pub(super) fn first_start(&mut self) {
        self.state.restart_count = 0;
        let listening = self.clients.listen(&self.engine.running(&self.record.id));
        let started =
            listening.and_then(|()| self.open_log()).and_then(|()| self.enter_group()).and_then(|()| self.start());
        match started {
            Ok(()) => {
                self.unlock();
                self.clients.tell_all(&Notice::Started);
            }
            Err(error) => {
                let status = start::exit_status(&error).unwrap_or(125);
                let text = sentence(&error);
                self.failed(status, &text);
                self.clients.tell_all(&Notice::Failed(status, text));
                self.over = true;
            }
        }
    }

    fn open_log(&mut self) -> Result<()> {
        self.log = Log::open(&self.record, &self.directory())?;
        Ok(())
    }

    fn enter_group(&mut self) -> Result<()> {
        let mut place = Place::of(&self.engine, &self.record)?;
        let mut entered = place.enter(&self.record);
        if let (Err(error), Some(other)) = (&entered, place.otherwise(&self.record)) {
            let text = format!("the container may end with this session, and can't be limited: {}", sentence(error));
            self.clients.tell_all(&Notice::Warning(text));
            place = other;
            entered = place.enter(&self.record);
        }
        self.entered = entered?;
        Ok(())
    }

    pub(super) fn unlock(&mut self) {
        if let Some(lock) = self.lock.take() {
            // Whoever started the container may be gone, and the lock with it.
            let _ = start::unlock(&lock);
        }
    }

    /// From nothing to a program that runs.
    pub(super) fn start(&mut self) -> Result<()> {
        let result = self.launch();
        if result.is_err() {
            self.give_back();
        }
        let embedded = result?;
        self.state.pid = embedded.child.pid.as_raw_nonzero().get();
        self.state.status = Status::Running;
        self.state.started_at = now();
        self.state.finished_at = String::new();
        self.state.error = String::new();
        self.state.exit_code = 0;
        self.state.oom_killed = false;
        self.state.stopped = false;
        self.started = Instant::now();
        self.init = Some(embedded.child);
        let watch = self.group_of_container().and_then(|group| group.watch_from_its_beginning().ok());
        self.memory = watch.filter(|watch| watch.of_memory().is_some());
        self.probing = probe::begin(&self.record, &mut self.state);
        self.write_state();
        self.engine.happened(&self.record, "start", &[]);
        Ok(())
    }

    fn group_of_container(&self) -> Option<Group> {
        fs::read_link(self.engine.host().root.join(&self.record.id).join("cgroup")).ok().map(Group::at)
    }

    fn launch(&mut self) -> Result<Embedded> {
        let (engine, record) = (&self.engine, &self.record);
        links::ensure_running(engine, record)?;
        let rootfs = root::mount(engine, record)?;
        account::write(engine, record, &rootfs)?;
        let mut files = Stack::new(engine.store.form());
        files.push(fs::File::open(&rootfs).attempt(|| format!("open {rootfs:?}"))?.into());
        let (joined, shared_memory) = (joined(engine, record)?, shared_memory(engine, record)?);
        let cgroups_path = self.entered.group.clone();
        let mut facts = Facts { joined, shared_memory, cgroups_path, ..facts(engine, record, &files, rootfs)? };
        inject(record, &mut facts).context("CDI device injection failed")?;
        if specification::apparmor_profile(record, facts.apparmor)? == apparmor::DEFAULT {
            apparmor::load()?;
        }
        if record.host_config.ipc_mode == "shareable" {
            root::mount_shared_memory(engine, record)?;
        }
        volume::prepare(engine, record, &files, volume::Until::End)?;
        let hostname = specification::hostname(record, &facts);
        network::write_files(engine, record, &hostname, &[])?;
        let config = specification::config(record, &facts)?;
        root::make_points(record, &config)?;
        let config = serde_json::to_vec(&config).context("write the configuration")?;
        let (mut stdio, theirs) = Stdio::make(record.config.tty, record.config.open_stdin)?;
        let mut host = engine.host();
        let discarded = specification::discarded_label(record, &facts)?;
        let warnings = std::rc::Rc::new(std::cell::RefCell::new(Vec::from_iter(discarded)));
        let heard = std::rc::Rc::clone(&warnings);
        host.warn = Warn(std::rc::Rc::new(move |text| heard.borrow_mut().push(text.to_owned())));
        let opens_root = record.ids.is_some();
        let options = CreateOptions { bundle: self.directory(), opens_root, ..CreateOptions::default() };
        let mut attached = network::Attached::default();
        let mut embedded = theirs.during(|| {
            container::embed(&host, &record.id, &options, config, |pid| {
                attached = network::attach(engine, record, &hostname, pid)?;
                Ok(())
            })
        })?;
        if let Some(master) = embedded.terminal.take() {
            stdio.terminal(master)?;
        }
        self.stdio = stdio;
        self.network = attached;
        for warning in warnings.take().into_iter().chain(std::mem::take(&mut self.network.warnings)) {
            self.clients.tell_all(&Notice::Warning(warning));
        }
        Ok(embedded)
    }

    /// A container that could not be started.
    fn failed(&mut self, status: u8, text: &str) {
        self.state.status = if self.state.started_at.is_empty() { Status::Created } else { Status::Exited };
        self.state.exit_code = status;
        self.state.error = text.into();
        self.state.pid = 0;
        self.write_state();
        self.clients.close();
        self.remove_running();
        if self.record.host_config.auto_remove && self.lock.is_some() {
            let _ = self.engine.erase(&self.record, true);
        }
        self.unlock();
    }

    /// What the container had of the host.
    pub(super) fn give_back(&mut self) {
        self.network = network::Attached::default();
        let host = self.engine.host();
        // What fails is found again: it is all below the container's name.
        let _ = container::delete(&host, &self.record.id, true);
        self.released = network::release(&self.engine, &self.record).is_ok();
        let _ = root::unmount(&self.directory().join("rootfs"));
        let _ = root::unmount(&root::shared_memory(&self.engine, &self.record));
        let _ = volume::unmount(&self.engine, &self.record.id);
    }

    /// Removes what is below `/run`, by which the next command finds one that is still in its networks.
    pub(super) fn remove_running(&self) {
        if self.released {
            let _ = fs::remove_dir_all(self.engine.running(&self.record.id));
        }
    }
}

/// Looks up what the configuration depends on, but for what is of other containers, and the group.
pub(in crate::engine) fn facts(engine: &Engine, record: &Record, files: &Stack, rootfs: PathBuf) -> Result<Facts> {
    let host = &record.host_config;
    let program = bundle::User::of(&record.config.user, files)?;
    ensure_mapped(engine, record, &program)?;
    let group = |name: &String| -> Result<u32> {
        Ok(bundle::User::of(&format!("0:{name}"), files).with_context(|| format!("--group-add {name}"))?.gid)
    };
    let mut numbers = BTreeMap::new();
    let throttles = [
        &host.blkio_device_read_bps,
        &host.blkio_device_write_bps,
        &host.blkio_device_read_iops,
        &host.blkio_device_write_iops,
    ];
    let weighed = host.blkio_weight_device.iter().map(|weight| &weight.path);
    for path in throttles.into_iter().flatten().map(|throttle| &throttle.path).chain(weighed) {
        let node = node(path, path, "rwm")?;
        numbers.insert(path.clone(), (node.major, node.minor));
    }
    Ok(Facts {
        groups: host.group_add.iter().map(group).collect::<Result<_>>()?,
        shared_memory: None,
        cgroups_path: String::new(),
        apparmor: engine.user.is_none() && apparmor::is_available(),
        selinux: volume::has_labels(),
        devices: devices(record)?,
        edits: Vec::new(),
        directory: network::owner_of_files(engine, record),
        capabilities: crate::security::capabilities::permitted().attempt(|| "ask for the engine's capabilities")?,
        host_name: others_name(engine, record)?,
        init: init::program(engine, record)?,
        links: links::variables(engine, record)?,
        is_rootless: engine.user.is_some(),
        groups_mapped: match (&record.ids, &engine.user) {
            (Some(ids), _) => Some(mapped_from_0(&ids.groups)),
            (None, user) => user.as_ref().map(|user| mapped_from_0(&user.ids.groups)),
        },
        has_quota: volume::has_quota(engine, record),
        user: program,
        rootfs,
        joined: BTreeMap::new(),
        numbers,
    })
}

/// The namespaces of others that a container starts in. Once it runs, they may end and be removed.
fn joined(engine: &Engine, record: &Record) -> Result<BTreeMap<&'static str, String>> {
    let host = &record.host_config;
    let mut joined = BTreeMap::new();
    for (kind, file, mode) in [
        ("network", "net", &host.network_mode),
        ("pid", "pid", &host.pid_mode),
        ("ipc", "ipc", &host.ipc_mode),
        ("user", "user", &host.userns_mode),
    ] {
        if kind == "user" && record.ids.is_none() {
            // The other one had the engine's when this one was made.
            continue;
        }
        if let Some(id) = mode.strip_prefix("container:") {
            joined.insert(kind, network::namespace_of(engine, id, file)?);
        }
    }
    Ok(joined)
}

/// Where shared memory is that several containers have.
fn shared_memory(engine: &Engine, record: &Record) -> Result<Option<PathBuf>> {
    let mode = record.host_config.ipc_mode.as_str();
    if let Some(id) = mode.strip_prefix("container:") {
        let other = engine.find(id)?;
        return Ok(match other.record.host_config.ipc_mode.as_str() {
            "shareable" => Some(root::shared_memory(engine, &other.record)),
            "host" => Some("/dev/shm".into()),
            _ => bail!("cannot join IPC of a container that keeps it to itself: {id} (run it with --ipc shareable)"),
        });
    }
    Ok((mode == "shareable").then(|| root::shared_memory(engine, record)))
}

/// The name that a container has for itself where it has none of its own: that of whoever's network it is in.
fn others_name(engine: &Engine, record: &Record) -> Result<String> {
    if matches!(network::Mode::of(&record.host_config.network_mode), network::Mode::Container(_)) {
        let path = network::owner_of_files(engine, record).join("hostname");
        // It may be gone by now.
        if let Ok(name) = fs::read_to_string(&path) {
            return Ok(name.trim_end().to_owned());
        }
    }
    Ok(rustix::system::uname().nodename().to_string_lossy().into_owned())
}

fn node(path: &str, inside: &str, access: &str) -> Result<Node> {
    let data = fs::metadata(path)
        .attempt(|| format!("error gathering device information while adding custom device {path:?}"))?;
    let kind = if data.file_type().is_block_device() { 'b' } else { 'c' };
    anyhow::ensure!(
        kind == 'b' || data.file_type().is_char_device(),
        "error gathering device information while adding custom device {path:?}: not a device node"
    );
    Ok(Node {
        source: path.into(),
        path: inside.into(),
        kind,
        major: rustix::fs::major(data.rdev()),
        minor: rustix::fs::minor(data.rdev()),
        mode: data.mode() & 0o777,
        uid: data.uid(),
        gid: data.gid(),
        access: access.into(),
    })
}

/// Adds what was asked for by name.
fn inject(record: &Record, facts: &mut Facts) -> Result<()> {
    facts.edits = cdi::resolve(&record.host_config.device_requests)?;
    for wanted in facts.edits.iter().flat_map(|edits| &edits.device_nodes) {
        let made = of_cdi(wanted, &facts.user)?;
        facts.devices.retain(|node| node.path != made.path);
        facts.devices.push(made);
    }
    Ok(())
}

/// A node of a device that was asked for by name. Without an owner it is the one's who runs.
fn of_cdi(wanted: &cdi::Node, user: &bundle::User) -> Result<Node> {
    let access = match wanted.permissions.as_str() {
        "" => "rwm",
        "none" => "",
        access => access,
    };
    let on_host = if wanted.host_path.is_empty() { &wanted.path } else { &wanted.host_path };
    let kind = if wanted.kind == "u" { "c" } else { &wanted.kind };
    let mut node = if kind.is_empty() || wanted.major == 0 {
        let node = node(on_host, &wanted.path, access)?;
        anyhow::ensure!(
            kind.is_empty() || kind == node.kind.to_string(),
            "{on_host:?} is a device of the type {}, not {kind}",
            node.kind
        );
        node
    } else {
        let (path, access, kind) = (wanted.path.clone(), access.to_owned(), kind.chars().next().unwrap_or('c'));
        let source = on_host.clone();
        Node { source, path, kind, major: wanted.major, minor: wanted.minor, mode: 0, uid: 0, gid: 0, access }
    };
    node.mode = wanted.file_mode.unwrap_or(0o666);
    node.uid = wanted.uid.unwrap_or(user.uid);
    node.gid = wanted.gid.unwrap_or(user.gid);
    Ok(node)
}

/// Those that were asked for; of a directory all below it. A privileged container has all of the host's.
fn devices(record: &Record) -> Result<Vec<Node>> {
    let mut all = Vec::new();
    for device in &record.host_config.devices {
        let (path, inside) = (device.path_on_host.as_str(), device.path_in_container.as_str());
        if Path::new(path).is_dir() {
            below(Path::new(path), Path::new(inside), &device.cgroup_permissions, &mut all);
        } else {
            all.push(node(path, inside, &device.cgroup_permissions)?);
        }
    }
    if record.host_config.privileged {
        below(Path::new("/dev"), Path::new("/dev"), "rwm", &mut all);
    }
    Ok(all)
}

fn below(path: &Path, inside: &Path, access: &str, to: &mut Vec<Node>) {
    const LEFT_OUT: [&str; 12] = [
        "/dev/pts",
        "/dev/shm",
        "/dev/fd",
        "/dev/mqueue",
        "/dev/console",
        "/dev/null",
        "/dev/zero",
        "/dev/full",
        "/dev/random",
        "/dev/urandom",
        "/dev/tty",
        "/dev/ptmx",
    ];
    for entry in fs::read_dir(path).into_iter().flatten().flatten() {
        let (path, inside) = (entry.path(), inside.join(entry.file_name()));
        if LEFT_OUT.iter().any(|left_out| inside == Path::new(left_out)) {
            continue;
        }
        let Ok(kind) = entry.file_type() else { continue };
        if kind.is_dir() {
            below(&path, &inside, access, to);
        } else if kind.is_char_device() || kind.is_block_device() {
            to.extend(node(&path.to_string_lossy(), &inside.to_string_lossy(), access));
        }
    }
}
