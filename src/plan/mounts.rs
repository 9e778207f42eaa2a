//! `root` and `mounts`: what the container's file tree is made of.

use std::ffi::CStr;

use anyhow::{Result, bail};

use super::mount_options::{self, Options};
use super::namespaces::{IdMaps, Kind, Wanted};
use super::step::{
    Bind, Destination, FileSystem, OnProc, Parameter, Propagation, Remount, Source, Step, c_path, c_string,
};
use super::{Host, IdMapSource, MountIdMaps, Preparation, Preparations, TreeCopy};
use crate::spec::check::MOST_MAPPINGS;
use crate::spec::{IdMapping, Linux, Mount, Spec};

/// Files below /proc that may be covered by a mount (lxcfs and others do); anything else there would let a volume fake what the
/// runtime and the programs in the container trust.
const COVERABLE_ON_PROC: [&str; 11] = [
    "proc/cpuinfo",
    "proc/diskstats",
    "proc/meminfo",
    "proc/stat",
    "proc/swaps",
    "proc/uptime",
    "proc/loadavg",
    "proc/slabinfo",
    "proc/sys/kernel/ns_last_pid",
    "proc/sys/crypto/fips_enabled",
    "proc/net/dev",
];

/// The propagation of all mounts in the new namespace, before anything is mounted: nothing that the container mounts may reach the
/// host unless `rootfsPropagation` says so.
pub fn base_propagation(linux: &Linux) -> Result<Propagation> {
    if linux.rootfs_propagation.is_empty() {
        return Ok(Propagation { kind: libc::MS_SLAVE, recursive: true });
    }
    let Some(asked) = mount_options::propagation(&linux.rootfs_propagation) else {
        bail!("linux.rootfsPropagation: {:?} is not shared, slave, private or unbindable", linux.rootfs_propagation);
    };
    // An unbindable tree could not be bound from; the root itself becomes unbindable after the pivot.
    let kind = if asked.kind == libc::MS_UNBINDABLE { libc::MS_PRIVATE } else { asked.kind };
    Ok(Propagation { kind, recursive: true })
}

/// The late part of a mount list: what must wait until nothing is created in the tree any more.
#[derive(Debug, Default)]
pub struct Planned {
    /// In the order of the configuration.
    pub steps: Vec<Step>,
    /// Made read-only after the hooks.
    pub late: Vec<Step>,
    /// Whether one of the steps leaves a private procfs.
    pub has_private_proc: bool,
    /// Whether `/dev` is a bind mount, whose nodes are not ours to make.
    pub dev_is_bound: bool,
}

/// Turns `mounts` into steps.
pub fn mounts(spec: &Spec, wanted: &Wanted, host: &Host, preparations: &mut Preparations) -> Result<Planned> {
    let mut planned = Planned::default();
    let base = base_propagation(&spec.linux)?;
    for (index, mount) in spec.mounts.iter().enumerate() {
        let at = format!("mounts[{index}]");
        let options = mount_options::parse(&mount.options, &format!("{at}.options"))?;
        let destination = Destination::new(&mount.destination);
        if destination.is_root() {
            bail!("{at}.destination: {:?} is the root itself; use root.path", mount.destination);
        }
        let is_bind = options.bind || mount.kind == "bind";
        if options.remount {
            planned.steps.push(remount(at, destination, options, is_bind));
        } else if is_bind {
            planned.dev_is_bound |= destination.absolute() == "/dev";
            let context = BindContext { spec, wanted, host, base, at: &at };
            planned.steps.push(Step::BindMount(bind(mount, options, destination, &context, preparations)?));
        } else {
            file_system(mount, options, destination, &Context { spec, wanted, host, at: &at }, &mut planned)?;
        }
    }
    Ok(planned)
}

fn remount(field: String, destination: Destination, options: Options, is_bind: bool) -> Step {
    let parameters = if is_bind { Vec::new() } else { options.parameters };
    Step::Remount(Remount { field, destination, parameters, change: options.change })
}

struct Context<'a> {
    spec: &'a Spec,
    wanted: &'a Wanted,
    host: &'a Host,
    at: &'a str,
}

fn file_system(
    mount: &Mount,
    options: Options,
    destination: Destination,
    context: &Context<'_>,
    planned: &mut Planned,
) -> Result<()> {
    let at = context.at;
    if mount.kind.is_empty() {
        bail!("{at}.type: is missing; only bind mounts need none");
    }
    if options.id_map.is_some() || !mount.uid_mappings.is_empty() {
        bail!("{at}: ids can be mapped on bind mounts only");
    }
    if !options.change_all.is_empty() {
        bail!("{at}.options: recursive attributes are for bind mounts only");
    }
    if destination.absolute() == "/proc" && mount.kind != "proc" {
        bail!("{at}.type: {:?} can't be mounted at \"/proc\", only proc", mount.kind);
    }
    if mount.kind == "cgroup" && !context.wanted.has(Kind::Cgroup) {
        return cgroup_without_namespace(mount, &options, destination, context, planned);
    }
    let mut attributes = options.change.set;
    let late_read_only = mount.kind == "tmpfs" && attributes & libc::MOUNT_ATTR_RDONLY != 0;
    if late_read_only {
        attributes &= !libc::MOUNT_ATTR_RDONLY;
        let path = destination.clone();
        planned.late.push(Step::SetMountAttributes { path, set: libc::MOUNT_ATTR_RDONLY });
    }
    let kind = if mount.kind == "cgroup" { "cgroup2" } else { mount.kind.as_str() };
    let mut parameters = options.parameters;
    let labelled = !matches!(kind, "proc" | "sysfs" | "mqueue" | "cgroup2");
    if labelled && !context.spec.linux.mount_label.is_empty() {
        let value = Some(c_string(&context.spec.linux.mount_label));
        parameters.push(Parameter { key: c"context".into(), value, optional: false });
    }
    let is_full_proc = kind == "proc" && parameters.is_empty();
    let private_proc = is_full_proc && !planned.has_private_proc;
    planned.has_private_proc |= private_proc;
    let has_mode = parameters.iter().any(|parameter| parameter.key.as_c_str() == c"mode");
    planned.steps.push(Step::MountFileSystem(FileSystem {
        field: at.to_owned(),
        kind: c_string(kind),
        source: c_string(if mount.source.is_empty() { kind } else { &mount.source }),
        destination,
        attributes,
        propagation: options.propagation,
        copy_up: options.copy_up && kind == "tmpfs",
        inherit_mode: kind == "tmpfs" && !has_mode,
        ordinary_directory: matches!(kind, "proc" | "sysfs"),
        private_proc,
        fallback: (kind == "cgroup2").then(|| context.host.cgroup_directory.clone()).flatten(),
        parameters,
    }));
    Ok(())
}

/// A cgroup mount of a container that shares the host's cgroup namespace shows the host's tree. It is bound: a new instance of
/// cgroup2 mounted from the initial namespace would reset the hierarchy's own options (nsdelegate, memory_recursiveprot) for
/// the whole host.
fn cgroup_without_namespace(
    _mount: &Mount,
    options: &Options,
    destination: Destination,
    context: &Context<'_>,
    planned: &mut Planned,
) -> Result<()> {
    let Some(hierarchy) = &context.host.cgroup_mount else {
        bail!("{}: the host has no cgroup2 mount", context.at);
    };
    planned.steps.push(Step::BindMount(Bind {
        field: context.at.to_owned(),
        source: Source { path: hierarchy.clone(), slot: None },
        destination,
        recursive: false,
        change: options.change,
        change_all: options.change_all,
        propagation: options.propagation.clone(),
        on_proc: OnProc::Refused,
        follow: options.follow,
    }));
    Ok(())
}

struct BindContext<'a> {
    spec: &'a Spec,
    wanted: &'a Wanted,
    host: &'a Host,
    base: Propagation,
    at: &'a str,
}

fn bind(
    mount: &Mount,
    options: Options,
    destination: Destination,
    context: &BindContext<'_>,
    preparations: &mut Preparations,
) -> Result<Bind> {
    let at = context.at;
    if mount.source.is_empty() {
        bail!("{at}.source: is empty; name what is bound at {destination}");
    }
    let invalid = options.parameters.iter().find(|parameter| parameter.value.is_some() || !parameter.optional);
    if let Some(parameter) = invalid {
        // These are known to mount(8) as flags of any mount and mean nothing for a bind mount.
        let harmless = ["sync", "async", "dirsync", "lazytime", "nolazytime"];
        if !harmless.contains(&parameter.key.to_str().unwrap_or_default()) {
            bail!("{at}.options: {:?} has no meaning for a bind mount", parameter.key.to_string_lossy());
        }
    }
    let path = c_path(&context.host.bundle.join(&mount.source));
    let id_map = id_map(mount, &options, context)?;
    let mut change_all = options.change_all;
    if shows_cgroups(&path, options.recursive) && !context.host.privileged {
        change_all.set |= options.change.set & libc::MOUNT_ATTR_RDONLY;
    }
    // Root of a user namespace may have no right to the path; the runtime has.
    let by_parent = id_map.is_some() || (context.wanted.has(Kind::User) && context.host.is_root);
    let slot = by_parent.then(|| {
        preparations.add(Preparation::CopyTree(TreeCopy {
            path: path.clone(),
            recursive: options.recursive,
            propagation: context.base,
            follow: options.follow.source,
            id_map,
        }))
    });
    let on_proc = if destination.absolute() == "/proc" {
        OnProc::MustBeProc
    } else if COVERABLE_ON_PROC.contains(&destination.relative().to_str().unwrap_or_default()) {
        OnProc::Allowed
    } else {
        OnProc::Refused
    };
    Ok(Bind {
        field: at.to_owned(),
        source: Source { path, slot },
        destination,
        recursive: options.recursive,
        change: options.change,
        change_all,
        propagation: options.propagation,
        on_proc,
        follow: options.follow,
    })
}

/// Whether a bind mount shows the host's cgroup tree. What is delegated in it to an ordinary user belongs to root of the user's
/// container, too, so `ro` on such a mount holds for all below (CVE-2023-25809).
fn shows_cgroups(source: &CStr, recursive: bool) -> bool {
    recursive && matches!(Destination::new(&source.to_string_lossy()).absolute().as_str(), "/sys" | "/sys/fs")
}

/// Whose user namespace an idmapped mount uses: of its own mappings, or the container's.
fn id_map(mount: &Mount, options: &Options, context: &BindContext<'_>) -> Result<Option<IdMapSource>> {
    let at = context.at;
    let Some(asked) = &options.id_map else {
        if mount.uid_mappings.is_empty() {
            return Ok(None);
        }
        return Ok(Some(IdMapSource { maps: given(&mount.uid_mappings, &mount.gid_mappings), recursive: false }));
    };
    let joined = context.wanted.path(Kind::User).filter(|_| context.wanted.is_apart(Kind::User));
    let maps = if let Some(custom) = &asked.custom {
        let (uids, gids) = custom_maps(custom, context.spec, &format!("{at}.options"))?;
        MountIdMaps::Given(IdMaps { uids, gids })
    } else if !mount.uid_mappings.is_empty() {
        given(&mount.uid_mappings, &mount.gid_mappings)
    } else if context.wanted.is_new(Kind::User) {
        given(&context.spec.linux.uid_mappings, &context.spec.linux.gid_mappings)
    } else if let Some(path) = joined {
        MountIdMaps::Joined(c_string(path))
    } else {
        bail!(
            "{at}.options: idmap needs uidMappings and gidMappings of the mount, or a user namespace of the container"
        );
    };
    Ok(Some(IdMapSource { maps, recursive: asked.recursive }))
}

fn given(uids: &[IdMapping], gids: &[IdMapping]) -> MountIdMaps {
    MountIdMaps::Given(IdMaps { uids: uids.to_vec(), gids: gids.to_vec() })
}

/// crun's `uids=C-H-S#C-H-S;gids=…`, where `@` before a line makes its first id one of the container's own.
fn custom_maps(text: &str, spec: &Spec, at: &str) -> Result<(Vec<IdMapping>, Vec<IdMapping>)> {
    let (mut uids, mut gids) = (Vec::new(), Vec::new());
    for part in text.split(';').filter(|part| !part.is_empty()) {
        let (lines, into, own) = if let Some(lines) = part.strip_prefix("uids=") {
            (lines, &mut uids, &spec.linux.uid_mappings)
        } else if let Some(lines) = part.strip_prefix("gids=") {
            (lines, &mut gids, &spec.linux.gid_mappings)
        } else {
            bail!("{at}: {part:?} is not uids=… or gids=…");
        };
        for line in lines.split('#') {
            if into.len() == MOST_MAPPINGS {
                bail!("{at}: more than {MOST_MAPPINGS} maps; the kernel takes no more");
            }
            into.push(custom_line(line, own).ok_or_else(|| anyhow::anyhow!("{at}: {line:?} is not FROM-TO-SIZE"))?);
        }
    }
    if uids.is_empty() || gids.is_empty() {
        bail!("{at}: {text:?} needs both uids= and gids=");
    }
    Ok((uids, gids))
}

fn custom_line(line: &str, own: &[IdMapping]) -> Option<IdMapping> {
    let (relative, line) = match line.strip_prefix('@') {
        Some(rest) => (true, rest),
        None => (false, line),
    };
    let mut numbers = line.split('-').map(str::parse::<u32>);
    let (container_id, mut host_id, size) = (numbers.next()?.ok()?, numbers.next()?.ok()?, numbers.next()?.ok()?);
    if numbers.next().is_some() || size == 0 {
        return None;
    }
    if relative {
        let within =
            |mapping: &&IdMapping| host_id.checked_sub(mapping.container_id).is_some_and(|off| off < mapping.size);
        let mapping = own.iter().find(within)?;
        host_id = mapping.host_id.checked_add(host_id - mapping.container_id)?;
    }
    Some(IdMapping { container_id, host_id, size })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_mount_label_is_an_option_of_what_can_have_one() {
        const LABEL: &str = "system_u:object_r:container_file_t:s0:c1,c2";
        let kinds = ["tmpfs", "devpts", "overlay", "ext4", "proc", "sysfs", "mqueue", "cgroup2"];
        let mount =
            |kind: &&str| Mount { destination: format!("/{kind}"), kind: (*kind).to_owned(), ..Mount::default() };
        let mut spec = Spec { mounts: kinds.iter().map(mount).collect(), ..Spec::default() };
        let contexts = |spec: &Spec| -> Vec<(String, String)> {
            let wanted = Wanted::new(&spec.linux).unwrap();
            let planned = mounts(spec, &wanted, &crate::fuzzing::plan::host(), &mut Preparations::default()).unwrap();
            let labelled = planned.steps.iter().filter_map(|step| match step {
                Step::MountFileSystem(mount) => {
                    let context = mount.parameters.iter().find(|parameter| parameter.key.as_c_str() == c"context")?;
                    let value = context.value.clone()?.into_string().ok()?;
                    Some((mount.kind.to_str().ok()?.to_owned(), value))
                }
                _ => None,
            });
            labelled.collect()
        };
        assert_eq!(contexts(&spec), []);
        spec.linux.mount_label = LABEL.into();
        let expected = ["tmpfs", "devpts", "overlay", "ext4"].map(|kind| (kind.to_owned(), LABEL.to_owned()));
        assert_eq!(contexts(&spec), expected);
    }

    #[test]
    fn custom_maps_are_no_more_than_the_kernel_takes() {
        let text = format!("uids={};gids=0-0-1", ["0-0-1"; MOST_MAPPINGS].join("#"));
        assert_eq!(custom_maps(&text, &Spec::default(), "at").unwrap().0.len(), MOST_MAPPINGS);
        let error = custom_maps(&text.replace(';', "#0-0-1;"), &Spec::default(), "at").unwrap_err();
        assert_eq!(error.to_string(), "at: more than 340 maps; the kernel takes no more");
    }

    #[test]
    fn custom_maps_are_absolute_or_of_the_container() {
        let own = [IdMapping { container_id: 0, host_id: 100_000, size: 65_536 }];
        let absolute = IdMapping { container_id: 0, host_id: 1000, size: 1 };
        assert_eq!(custom_line("0-1000-1", &own), Some(absolute));
        let relative = IdMapping { container_id: 5, host_id: 100_010, size: 3 };
        assert_eq!(custom_line("@5-10-3", &own), Some(relative));
        for wrong in ["", "1-2", "1-2-0", "1-2-3-4", "a-b-c", "@0-70000-1"] {
            assert_eq!(custom_line(wrong, &own), None, "{wrong}");
        }
    }
}
