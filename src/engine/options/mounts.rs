//! `--volume`, `--mount`, `--tmpfs`.

use anyhow::{Context, Result, bail, ensure};

use crate::engine::record::Mounted;

/// A clean absolute path of the container.
fn destination(text: &str) -> Result<String> {
    ensure!(text.starts_with('/'), "invalid mount path: '{text}' mount path must be absolute");
    let clean = clean(text);
    ensure!(clean != "/", "invalid specification: destination can't be '/'");
    Ok(clean)
}

/// An absolute path as docker keeps it, for a source, too: `..` takes the name before it away, whatever that is, and a slash at the end is
/// none.
fn clean(text: &str) -> String {
    let names = text.split('/').filter(|name| !name.is_empty() && *name != ".");
    let mut clean: Vec<&str> = Vec::new();
    for name in names {
        if name == ".." {
            clean.pop();
        } else {
            clean.push(name);
        }
    }
    format!("/{}", clean.join("/"))
}

const PROPAGATIONS: [&str; 6] = ["private", "rprivate", "shared", "rshared", "slave", "rslave"];

/// `[SOURCE:]DESTINATION[:OPTIONS]`; a source that is no path is a volume's name.
pub fn volume(text: &str) -> Result<Mounted> {
    let parts: Vec<&str> = text.split(':').collect();
    let (source, target, options) = match parts[..] {
        [target] => ("", target, ""),
        [source, target] => (source, target, ""),
        [source, target, options] => (source, target, options),
        _ => bail!("invalid volume specification: '{text}'"),
    };
    ensure!(!target.is_empty() && (parts.len() == 1 || !source.is_empty()), "invalid volume specification: '{text}'");
    let is_bind = source.starts_with('/') || source.starts_with('.');
    let mut mounted = Mounted {
        kind: if is_bind { "bind" } else { "volume" }.into(),
        destination: destination(target)?,
        mode: options.into(),
        writable: true,
        copies: !is_bind,
        ..Mounted::default()
    };
    for option in options.split(',').filter(|option| !option.is_empty()) {
        match option {
            "ro" => mounted.writable = false,
            "rw" => mounted.writable = true,
            "nocopy" if !is_bind => mounted.copies = false,
            option if is_bind && PROPAGATIONS.contains(&option) => mounted.propagation = option.into(),
            // How late a virtual machine may see what its host writes. Here it is the same file.
            "consistent" | "cached" | "delegated" if is_bind => {}
            // Labels for SELinux, of which there is nothing to be done on a host without it.
            "z" if is_untouched(&mounted) => mounted.relabel = "shared".into(),
            "Z" if is_untouched(&mounted) => mounted.relabel = "private".into(),
            // podman's.
            "O" if is_bind && is_untouched(&mounted) => mounted.covered = source.into(),
            "U" => mounted.owned = true,
            _ => bail!("invalid volume specification: '{text}': invalid mode: {option}"),
        }
    }
    if is_bind {
        let absolute = std::path::absolute(source).with_context(|| format!("make {source:?} absolute"))?;
        // A record is JSON, which has no other paths.
        let absolute =
            absolute.to_str().with_context(|| format!("the working directory of {absolute:?} is no UTF-8"))?;
        mounted.source = clean(absolute);
        if !mounted.covered.is_empty() {
            ensure!(
                !mounted.owned,
                "invalid volume specification: '{text}': O leaves the source as it is, and U does not"
            );
            mounted.covered.clone_from(&mounted.source);
        }
        if mounted.propagation.is_empty() {
            mounted.propagation = "rprivate".into();
        }
    } else {
        mounted.driver = "local".into();
        mounted.anonymous = source.is_empty();
        if !mounted.anonymous {
            crate::engine::volume::check(source)?;
            mounted.name = source.into();
        }
    }
    Ok(mounted)
}

/// Whether nothing is said yet of what becomes of the source: podman, too, takes one word of `z`, `Z` and `O`.
fn is_untouched(mounted: &Mounted) -> bool {
    mounted.relabel.is_empty() && mounted.covered.is_empty()
}

/// `--volumes-from CONTAINER[:MODE]`: whose, and whether it may be written.
pub fn volumes_from(text: &str) -> Result<(&str, bool)> {
    let (name, mode) = text.split_once(':').unwrap_or((text, "rw"));
    ensure!(!name.is_empty(), "invalid volumes-from specification: '{text}'");
    ensure!(matches!(mode, "ro" | "rw"), "invalid volumes-from specification: '{text}': invalid mode: {mode}");
    Ok((name, mode == "rw"))
}

/// `--tmpfs PATH[:OPTIONS]`.
pub fn tmpfs(text: &str) -> Result<(String, String)> {
    let (path, options) = text.split_once(':').unwrap_or((text, ""));
    Ok((destination(path)?, options.into()))
}

/// docker 25's words: what is mounted below the source comes along, and is read-only if that is; not at all; may be written; read-only
/// or nothing.
fn recursion(text: &str) -> Result<String> {
    match text {
        "enabled" => Ok(String::new()),
        "disabled" | "writable" | "readonly" => Ok(text.into()),
        _ => bail!(
            "invalid value for bind-recursive: {text} (must be \"enabled\", \"disabled\", \"writable\", or \"readonly\")"
        ),
    }
}

/// A path below a volume.
fn subpath(text: &str) -> Result<String> {
    let is_below = !text.is_empty() && !text.starts_with('/') && text.split('/').all(|name| name != "..");
    ensure!(is_below, "invalid volume subpath: {text:?}: it is a path below the volume");
    Ok(text.into())
}

/// What `--mount` says, as far as it has been read.
#[derive(Default)]
struct Fields {
    mounted: Mounted,
    source: String,
    tmpfs: Vec<String>,
}

/// `--mount type=…,source=…,target=…`. Says whether a bind mount's source may be made; it may not, as with docker.
pub fn mount(text: &str) -> Result<Mounted> {
    let mounted = Mounted { kind: "volume".into(), writable: true, copies: true, ..Mounted::default() };
    let mut fields = Fields { mounted, ..Fields::default() };
    for field in super::devices::fields(text).with_context(|| format!("invalid mount: {text:?}"))? {
        let (key, value) = field.split_once('=').unwrap_or((&field, ""));
        fields.set(key, value)?;
    }
    fields.check()?;
    fields.finish()
}

impl Fields {
    fn set(&mut self, key: &str, value: &str) -> Result<()> {
        let Fields { mounted, source, tmpfs } = self;
        let truth = || match value {
            "" | "true" | "1" => Ok(true),
            "false" | "0" => Ok(false),
            other => bail!("invalid value for {key}: {other}"),
        };
        match key {
            "type" => {
                ensure!(matches!(value, "bind" | "volume" | "tmpfs"), "type {value:?} is not supported");
                mounted.kind = value.into();
            }
            "source" | "src" => *source = value.to_owned(),
            "target" | "dst" | "destination" => mounted.destination = destination(value)?,
            "readonly" | "ro" => mounted.writable = !truth()?,
            "bind-propagation" => {
                ensure!(PROPAGATIONS.contains(&value), "invalid propagation: {value}");
                mounted.propagation = value.into();
            }
            "bind-nonrecursive" => mounted.recursion = if truth()? { "disabled".into() } else { String::new() },
            "bind-recursive" => mounted.recursion = recursion(value)?,
            "relabel" => {
                ensure!(matches!(value, "shared" | "private"), "invalid value for relabel: {value}");
                mounted.relabel = value.into();
            }
            "U" | "chown" => mounted.owned = truth()?,
            "consistency" => {
                let known = matches!(value, "consistent" | "cached" | "delegated" | "default");
                ensure!(known, "invalid value for consistency: {value}");
            }
            "volume-driver" => super::volume_driver(value)?,
            "volume-opt" => mounted.options.extend([super::pair(value)]),
            "volume-subpath" => mounted.subpath = subpath(value)?,
            "volume-nocopy" => mounted.copies = !truth()?,
            "tmpfs-size" => tmpfs.push(format!("size={}", super::bytes(value)?)),
            "tmpfs-mode" => {
                ensure!(u32::from_str_radix(value, 8).is_ok(), "invalid mode {value}");
                tmpfs.push(format!("mode={value}"));
            }
            _ => bail!("unexpected key '{key}'"),
        }
        Ok(())
    }

    /// Refuses what doesn't go together.
    fn check(&self) -> Result<()> {
        let Fields { mounted, tmpfs, .. } = self;
        ensure!(!mounted.destination.is_empty(), "target is required");
        let is = |kind: &str| mounted.kind == kind;
        let is_plain = mounted.propagation.is_empty() && mounted.recursion.is_empty();
        ensure!(is("bind") || is_plain, "bind-propagation and bind-recursive are for binds");
        let is_left = mounted.relabel.is_empty() && !mounted.owned;
        ensure!(!is("tmpfs") || is_left, "relabel and chown are for binds and volumes");
        let is_private = matches!(mounted.propagation.as_str(), "" | "rprivate");
        ensure!(
            mounted.recursion != "readonly" || (!mounted.writable && is_private),
            "option 'bind-recursive=readonly' requires 'readonly' and 'bind-propagation=rprivate' to be specified"
        );
        let has_own = !(mounted.options.is_empty() && mounted.subpath.is_empty());
        ensure!(is("volume") || !has_own, "volume-opt and volume-subpath are for volumes");
        crate::engine::volume::options::check(&mounted.options)?;
        ensure!(is("tmpfs") || tmpfs.is_empty(), "tmpfs-size and tmpfs-mode are for tmpfs");
        Ok(())
    }

    /// The source means something else for each kind.
    fn finish(self) -> Result<Mounted> {
        let Fields { mut mounted, source, tmpfs } = self;
        match mounted.kind.as_str() {
            "bind" => {
                ensure!(source.starts_with('/'), "the source of a bind must be an absolute path");
                mounted.source = clean(&source);
                mounted.copies = false;
                // What is not there is an error, where `--volume` makes a directory.
                mounted.mode = "must-exist".into();
                if mounted.propagation.is_empty() {
                    mounted.propagation = "rprivate".into();
                }
            }
            "tmpfs" => {
                ensure!(source.is_empty(), "a tmpfs has no source");
                mounted.copies = false;
                mounted.mode = tmpfs.join(",");
            }
            _ => {
                mounted.driver = "local".into();
                mounted.anonymous = source.is_empty();
                if !source.is_empty() {
                    crate::engine::volume::check(&source)?;
                    mounted.name = source;
                }
            }
        }
        Ok(mounted)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn volumes_are_read() {
        let show = |text| {
            volume(text)
                .map(|one| format!("{} {}{} {} {}", one.kind, one.name, one.source, one.destination, one.writable))
        };
        assert_eq!(show("/a:/b").unwrap(), "bind /a /b true");
        assert_eq!(show("/a:/b/../c/:ro").unwrap(), "bind /a /c false");
        assert_eq!(show("/a/./x/..//b/:/c").unwrap(), "bind /a/b /c true");
        assert_eq!(show("/..:/c").unwrap(), "bind / /c true");
        assert_eq!(show("data:/b").unwrap(), "volume data /b true");
        assert!(show("/b").unwrap().starts_with("volume  /b true"));
        assert_eq!(show("/a:/b:z,cached,ro").unwrap(), "bind /a /b false");
        let own = |text| volume(text).map(|one| (one.relabel, one.owned, one.covered)).unwrap();
        assert_eq!(own("/a:/b:z,U"), ("shared".into(), true, String::new()));
        assert_eq!(own("data:/b:Z,nocopy"), ("private".into(), false, String::new()));
        assert_eq!(own("/a:/b:O"), (String::new(), false, "/a".into()));
        for text in ["/a:/b:z,Z", "/a:/b:O,z", "/a:/b:O,U", "data:/b:O"] {
            assert!(volume(text).is_err(), "{text}");
        }
        for text in ["", ":/b", "a:b", "/a:/b:xx", "/a:/", "a b:/c", "/a:/b:ro:rw", "data:/b:rshared", "data:/b:cached"]
        {
            assert!(volume(text).is_err(), "{text}");
        }
    }

    #[test]
    fn mounts_are_read() {
        assert_eq!(mount("type=bind,src=/x/../a/,dst=/b").unwrap().source, "/a");
        let one = mount("type=bind,src=/a,dst=/b,readonly").unwrap();
        assert_eq!((one.kind.as_str(), one.writable, one.mode.as_str()), ("bind", false, "must-exist"));
        assert_eq!(mount("type=tmpfs,dst=/t,tmpfs-size=1m,tmpfs-mode=700").unwrap().mode, "size=1048576,mode=700");
        assert!(mount("target=/v").unwrap().anonymous);
        let own = mount("type=bind,src=/a,dst=/b,relabel=private,U").unwrap();
        assert_eq!((own.relabel.as_str(), own.owned), ("private", true));
        let recursion = |value: &str| {
            mount(&format!("type=bind,src=/a,dst=/b,ro,bind-recursive={value},consistency=cached")).unwrap().recursion
        };
        assert_eq!(["enabled", "writable", "readonly"].map(recursion), ["", "writable", "readonly"]);
        let own = r#"type=volume,src=data,dst=/v,volume-driver=local,volume-subpath=a/b,volume-opt=type=tmpfs,volume-opt=device=x,"volume-opt=o=size=1m,uid=5""#;
        let own = mount(own).unwrap();
        let options = [("type", "tmpfs"), ("device", "x"), ("o", "size=1m,uid=5")];
        assert_eq!((own.name.as_str(), own.subpath.as_str()), ("data", "a/b"));
        assert_eq!(own.options, options.map(|(key, value)| (key.to_owned(), value.to_owned())).into());
        for text in [
            "type=bind,dst=/b",
            "type=x,dst=/b",
            "src=a",
            "type=bind,src=/a,dst=/b,nonsense",
            "type=tmpfs,src=/a,dst=/b",
            "dst=/b,bind-nonrecursive",
            "type=bind,src=/a,dst=/b,relabel=x",
            "type=tmpfs,dst=/b,relabel=shared",
            "type=bind,src=/a,dst=/b,bind-recursive=x",
            "type=bind,src=/a,dst=/b,bind-recursive=readonly",
            "type=bind,src=/a,dst=/b,consistency=x",
            "type=tmpfs,dst=/b,volume-subpath=x",
            "dst=/b,volume-subpath=/x",
            "dst=/b,volume-subpath=a/../../x",
            "dst=/b,volume-driver=nonsense",
            "dst=/b,volume-opt=nonsense=1",
            "dst=/b,volume-opt=type=tmpfs",
        ] {
            assert!(mount(text).is_err(), "{text}");
        }
    }
}
