//! `linux.cgroupsPath` as the systemd driver reads it: `slice:prefix:name`.

use std::path::PathBuf;

use anyhow::{Result, bail};

/// The unit that a container is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unit {
    /// The unit's name: `PREFIX-NAME.scope`, or the name itself if that is one of a slice.
    pub name: String,
    /// The slice it is in.
    pub slice: String,
}

/// The longest name of a unit (systemd.unit(5)).
const LONGEST: usize = 255;

impl Unit {
    /// Reads a `cgroups_path` of the form `slice:prefix:name`. Without one the container's id is the name, `corten` the
    /// prefix; an empty slice is the one where the manager puts such things: `system.slice`, or `user.slice` with a user's.
    pub fn new(cgroups_path: Option<&str>, id: &str, is_user: bool) -> Result<Unit> {
        let (slice, prefix, name) = match cgroups_path {
            None | Some("") => ("", "corten", id),
            Some(path) => match path.split(':').collect::<Vec<_>>()[..] {
                [slice, prefix, name] => (slice, prefix, name),
                _ => bail!("linux.cgroupsPath: expected \"slice:prefix:name\" for the systemd driver, got {path:?}"),
            },
        };
        let slice = match slice {
            "" if is_user => "user.slice",
            "" => "system.slice",
            given => given,
        };
        let name = match (name.ends_with(".slice"), prefix) {
            (true, _) => name.to_owned(),
            (false, "") => format!("{name}.scope"),
            (false, prefix) => format!("{prefix}-{name}.scope"),
        };
        let unit = Unit { name, slice: slice.to_owned() };
        unit.check()?;
        Ok(unit)
    }

    /// Whether it is a slice, which has no processes of its own.
    pub fn is_slice(&self) -> bool {
        self.name.ends_with(".slice")
    }

    /// The group's path below that of the manager: each slice stands in those that its name begins with.
    pub fn path(&self) -> Result<PathBuf> {
        if self.is_slice() { slice_path(&self.name) } else { Ok(slice_path(&self.slice)?.join(&self.name)) }
    }

    fn check(&self) -> Result<()> {
        slice_path(&self.slice)?;
        if self.is_slice() {
            slice_path(&self.name)?;
        }
        let is_allowed = |byte: u8| byte.is_ascii_alphanumeric() || b":-_.\\@".contains(&byte);
        if self.name.len() > LONGEST || !self.name.bytes().all(is_allowed) {
            bail!(
                "linux.cgroupsPath: {:?} is not the name of a systemd unit (up to {LONGEST} letters, digits and :-_.\\@)",
                self.name
            );
        }
        Ok(())
    }
}

/// Where a slice is: `a-b.slice` is `/a.slice/a-b.slice`, and `-.slice` is the top (systemd.slice(5)).
pub fn slice_path(slice: &str) -> Result<PathBuf> {
    let invalid = || format!("linux.cgroupsPath: {slice:?} is not the name of a slice");
    let Some(name) = slice.strip_suffix(".slice") else { bail!("{}, which ends in \".slice\"", invalid()) };
    if name == "-" {
        return Ok(PathBuf::from("/"));
    }
    let parts: Vec<&str> = name.split('-').collect();
    if parts.contains(&"") || slice.contains('/') {
        bail!("{}, which has names between its dashes and no slash", invalid());
    }
    let ends = name.match_indices('-').map(|(end, _)| end).chain([name.len()]);
    Ok(ends.fold(PathBuf::from("/"), |path, end| path.join(format!("{}.slice", &name[..end]))))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(cgroups_path: Option<&str>, is_user: bool) -> (String, String) {
        let unit = Unit::new(cgroups_path, "web", is_user).unwrap();
        (unit.path().unwrap().to_str().unwrap().to_owned(), unit.name)
    }

    fn pair(path: &str, name: &str) -> (String, String) {
        (path.to_owned(), name.to_owned())
    }

    #[test]
    fn engines_paths() {
        let docker = Some("system.slice:docker:c0ffee");
        assert_eq!(of(docker, false), pair("/system.slice/docker-c0ffee.scope", "docker-c0ffee.scope"));
        let kubernetes = Some("kubepods-burstable-pod1_2.slice:cri-containerd:c0ffee");
        assert_eq!(
            of(kubernetes, false),
            pair(
                "/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod1_2.slice/cri-containerd-c0ffee.scope",
                "cri-containerd-c0ffee.scope"
            )
        );
    }

    #[test]
    fn what_is_left_out_has_a_default() {
        assert_eq!(of(None, false), pair("/system.slice/corten-web.scope", "corten-web.scope"));
        assert_eq!(of(Some(""), true), pair("/user.slice/corten-web.scope", "corten-web.scope"));
        assert_eq!(of(Some(":libpod:x"), true), pair("/user.slice/libpod-x.scope", "libpod-x.scope"));
        assert_eq!(of(Some("a.slice::x"), false), pair("/a.slice/x.scope", "x.scope"));
        assert_eq!(of(Some("-.slice:p:x"), false), pair("/p-x.scope", "p-x.scope"));
    }

    #[test]
    fn a_slice_can_be_the_container() {
        assert_eq!(of(Some("a.slice:ignored:a-b.slice"), false), pair("/a.slice/a-b.slice", "a-b.slice"));
        assert!(Unit::new(Some("a.slice::a-b.slice"), "x", false).unwrap().is_slice());
    }

    #[test]
    fn what_is_no_name_is_refused() {
        for path in [
            "/docker/web",
            "a:b",
            "a:b:c:d",
            "a.scope:p:n",
            "a/b.slice:p:n",
            "../a.slice:p:n",
            ".slice:p:n",
            "a--b.slice:p:n",
            "-a.slice:p:n",
            "a-.slice:p:n",
            "a.slice:p:../n",
            "a.slice:p/q:n",
            "a.slice:p:b c",
            "a.slice:p:--.slice",
        ] {
            let error = Unit::new(Some(path), "web", false).unwrap_err().to_string();
            assert!(error.starts_with("linux.cgroupsPath: "), "{path}: {error}");
        }
        assert!(Unit::new(Some(&format!("a.slice:p:{}", "n".repeat(250))), "web", false).is_err());
    }
}
