//! What a plan depends on, looked up.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use rustix::process::geteuid;

use crate::cgroup::Hierarchy;
use crate::error::Attempt;
use crate::plan;
use crate::plan::namespaces::Kind;
use crate::plan::step::c_path;
use crate::security::capabilities;
use crate::spec::Spec;

/// PROC_USER_INIT_INO (include/linux/proc_ns.h).
const INITIAL_USER_NAMESPACE: u64 = 0xEFFF_FFFD;

/// Whether this process is in the initial user namespace.
pub(super) fn in_initial_user_namespace() -> bool {
    use std::os::unix::fs::MetadataExt;
    std::fs::metadata("/proc/self/ns/user").is_ok_and(|file| file.ino() == INITIAL_USER_NAMESPACE)
}

/// The capabilities that this process can give: those that it has, or in a new user namespace all that the kernel knows.
fn capabilities(has_new_user_namespace: bool) -> u64 {
    if has_new_user_namespace {
        return (1 << capabilities::count()) - 1;
    }
    capabilities::permitted().unwrap_or(0)
}

/// The namespaces that the configuration joins by a path that leads to this process's own.
pub(super) fn shared_namespaces(spec: &Spec) -> Vec<Kind> {
    use std::os::unix::fs::MetadataExt;
    let identity = |path: &Path| std::fs::metadata(path).ok().map(|file| (file.dev(), file.ino()));
    let is_own = |kind: &Kind| {
        let listed = spec.linux.namespaces.iter().find(|namespace| namespace.kind == kind.name());
        let joined = listed.filter(|namespace| !namespace.path.is_empty()).map(|namespace| Path::new(&namespace.path));
        let own = Path::new("/proc/self/ns").join(kind.file());
        joined.is_some_and(|path| identity(path).is_some_and(|joined| Some(joined) == identity(&own)))
    };
    Kind::ALL.into_iter().filter(is_own).collect()
}

/// Whether a process is in another user namespace than this one.
pub(super) fn in_other_user_namespace(pid: i32) -> bool {
    use std::os::unix::fs::MetadataExt;
    let identity = |path: &str| std::fs::metadata(path).ok().map(|file| (file.dev(), file.ino()));
    identity(&format!("/proc/{pid}/ns/user")) != identity("/proc/self/ns/user")
}

/// The root file system of a bundle, its symlinks resolved.
pub(super) fn rootfs(spec: &Spec, bundle: &Path) -> Result<PathBuf> {
    let root = spec.root.as_ref().context("root: is missing")?;
    let path = bundle.join(&root.path);
    let real = path.canonicalize().attempt(|| format!("root.path: find {path:?}"))?;
    if !real.is_dir() {
        bail!("root.path: {path:?} is not a directory");
    }
    for (what, path) in [("--bundle", bundle), ("root.path", &real)] {
        if path.to_str().is_none() {
            bail!("{what}: {path:?} is not UTF-8, as the container's state must be; rename it");
        }
    }
    Ok(real)
}

/// The facts for a plan. `cgroup` is the container's directory in the hierarchy.
pub(super) fn facts(
    id: &str,
    bundle: &Path,
    rootfs: PathBuf,
    hierarchy: Option<&Hierarchy>,
    cgroup: Option<&Path>,
    has_new_user_namespace: bool,
) -> plan::Host {
    let initial_user_namespace = in_initial_user_namespace();
    plan::Host {
        id: id.to_owned(),
        bundle: bundle.to_owned(),
        rootfs,
        is_root: geteuid().is_root(),
        privileged: geteuid().is_root() && initial_user_namespace,
        initial_user_namespace,
        shared_namespaces: Vec::new(),
        capabilities: capabilities(has_new_user_namespace),
        has_kcore: Path::new("/proc/kcore").exists(),
        cgroup_mount: hierarchy.map(|hierarchy| c_path(&hierarchy.mount_point)),
        cgroup_directory: cgroup.map(c_path),
        no_pivot: false,
        opens_root: false,
        new_keyring: true,
        waits_for_start: false,
        notify_directory: None,
    }
}
