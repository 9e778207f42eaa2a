//! Which group a container gets: `linux.cgroupsPath` read as the cgroupfs manager reads it.

use std::path::{Component, Path, PathBuf};

use anyhow::{Result, bail};

/// The container's group, as an absolute path below the mount point of cgroup2.
///
/// An absolute `cgroups_path` counts from the root of the hierarchy. A relative one is put beside `own`, the group of
/// the runtime, as runc does it: `own` has processes in it, and a group with processes can't hand controllers down to
/// sub-groups (cgroups(7), "no internal processes"), while its parent can. Without a path the container's id is the
/// relative path. A `..` is refused rather than folded away, for nobody writes one who knows where it leads.
pub fn path_of(cgroups_path: Option<&str>, id: &str, own: &Path) -> Result<PathBuf> {
    let asked = match cgroups_path {
        None | Some("") => id,
        Some(path) => path,
    };
    let beside = if Path::new(asked).is_absolute() { Path::new("/") } else { own.parent().unwrap_or(Path::new("/")) };
    let mut path = PathBuf::from("/");
    for component in beside.components().chain(Path::new(asked).components()) {
        match component {
            Component::Normal(name) => path.push(name),
            Component::ParentDir => {
                bail!("linux.cgroupsPath: {asked:?} has a \"..\" in it, which could leave the hierarchy")
            }
            Component::RootDir | Component::CurDir | Component::Prefix(_) => {}
        }
    }
    if path == Path::new("/") {
        bail!("linux.cgroupsPath: {asked:?} is the root of the hierarchy; a container needs a group of its own");
    }
    if asked.contains('\0') || asked.contains('\n') {
        // cgroup names may not contain a newline (kernel/cgroup/cgroup.c, cgroup_mkdir): /proc/PID/cgroup has lines.
        bail!("linux.cgroupsPath: {asked:?} has a line break or a zero byte in it");
    }
    Ok(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(cgroups_path: Option<&str>, own: &str) -> String {
        path_of(cgroups_path, "web", Path::new(own)).unwrap().to_str().unwrap().to_owned()
    }

    #[test]
    fn absolute_paths_count_from_the_root() {
        assert_eq!(path(Some("/docker/web"), "/user.slice/session-1.scope"), "/docker/web");
        assert_eq!(path(Some("/docker//./web/"), "/"), "/docker/web");
    }

    #[test]
    fn relative_paths_stand_beside_the_runtime() {
        assert_eq!(path(Some("pods/web"), "/user.slice/session-1.scope"), "/user.slice/pods/web");
        assert_eq!(path(Some("web"), "/"), "/web");
        assert_eq!(path(Some("./web"), "/init.scope"), "/web");
    }

    #[test]
    fn the_id_stands_in_for_an_empty_path() {
        assert_eq!(path(None, "/"), "/web");
        assert_eq!(path(Some(""), "/a/b"), "/a/web");
    }

    #[test]
    fn escapes_and_the_root_are_refused() {
        for bad in ["../x", "/a/../../x", "a/..", "..", "/", "//", "/./", "a\nb"] {
            let error = path_of(Some(bad), "web", Path::new("/own")).unwrap_err().to_string();
            assert!(error.starts_with("linux.cgroupsPath: "), "{error}");
        }
    }
}
