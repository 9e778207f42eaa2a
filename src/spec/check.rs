//! What is wrong with a configuration that could be read. Every error begins with the JSON path of what is refused.

use std::collections::BTreeSet;
use std::path::Path;

use anyhow::{Result, bail};

use super::{Hook, Hooks, IdMapping, Linux, Mount, Process, Spec};

/// How many lines a map of ids may have: user_namespaces(7), since Linux 4.15.
pub const MOST_MAPPINGS: usize = 340;

/// Checks what needs no knowledge of the host. `plan` refuses the rest where it is turned into steps.
pub fn spec(spec: &Spec) -> Result<()> {
    version(&spec.oci_version)?;
    match &spec.root {
        Some(root) if root.path.is_empty() => bail!("root.path: is empty; name the container's root directory"),
        Some(root) => no_nul(&root.path, "root.path")?,
        None => bail!("root: is missing; name the container's root directory in root.path"),
    }
    if let Some(process) = &spec.process {
        self::process(process, "process")?;
    }
    no_nul(&spec.hostname, "hostname")?;
    no_nul(&spec.domainname, "domainname")?;
    for (index, mount) in spec.mounts.iter().enumerate() {
        self::mount(mount, &format!("mounts[{index}]"))?;
    }
    hooks(&spec.hooks)?;
    linux(&spec.linux)
}

/// `MAJOR.MINOR.PATCH[-…]` with major version 1 (config.md, "Specification version"). A newer minor version is compatible.
fn version(text: &str) -> Result<()> {
    if text.is_empty() {
        bail!("ociVersion: is missing");
    }
    let core = text.split(['-', '+']).next().unwrap_or_default();
    let numbers: Vec<_> = core.split('.').map(str::parse::<u32>).collect();
    match numbers.as_slice() {
        [Ok(1), Ok(_), Ok(_)] => Ok(()),
        [Ok(_), Ok(_), Ok(_)] => {
            bail!("ociVersion: {text:?} is not supported; versions 1.0.0 to {} are", super::VERSION)
        }
        _ => bail!("ociVersion: {text:?} is not a version (SemVer 2.0.0)"),
    }
}

/// Checks `process`, of a configuration or of `exec --process`; `at` is its JSON path.
pub fn process(process: &Process, at: &str) -> Result<()> {
    let at = |field: &str| if at.is_empty() { field.to_owned() } else { format!("{at}.{field}") };
    if process.args.is_empty() {
        bail!("{}: is empty; name the program to run", at("args"));
    }
    if !process.cwd.starts_with('/') {
        bail!("{}: {:?} is not an absolute path", at("cwd"), process.cwd);
    }
    no_nul(&process.cwd, &at("cwd"))?;
    for (index, variable) in process.env.iter().enumerate() {
        if variable.starts_with('=') || variable.is_empty() {
            bail!("{}: {variable:?} is not NAME=value", at(&format!("env[{index}]")));
        }
        no_nul(variable, &at(&format!("env[{index}]")))?;
    }
    for (index, argument) in process.args.iter().enumerate() {
        no_nul(argument, &at(&format!("args[{index}]")))?;
    }
    no_nul(&process.apparmor_profile, &at("apparmorProfile"))?;
    no_nul(&process.selinux_label, &at("selinuxLabel"))?;
    let mut seen = BTreeSet::new();
    for (index, limit) in process.rlimits.iter().enumerate() {
        if !seen.insert(limit.kind.as_str()) {
            bail!("{}: {} is listed twice", at(&format!("rlimits[{index}].type")), limit.kind);
        }
        if limit.soft > limit.hard {
            let at = at(&format!("rlimits[{index}].soft"));
            bail!("{at}: {} of {} is above the hard limit {}", limit.soft, limit.kind, limit.hard);
        }
    }
    if let Some(priority) = process.io_priority.as_ref().map(|io| io.priority).filter(|p| !(0..=7).contains(p)) {
        bail!("{}: {priority} is not within 0 to 7", at("ioPriority.priority"));
    }
    Ok(())
}

fn mount(mount: &Mount, at: &str) -> Result<()> {
    if mount.destination.is_empty() {
        bail!("{at}.destination: is empty");
    }
    no_nul(&mount.destination, &format!("{at}.destination"))?;
    no_nul(&mount.source, &format!("{at}.source"))?;
    no_nul(&mount.kind, &format!("{at}.type"))?;
    for (index, option) in mount.options.iter().enumerate() {
        no_nul(option, &format!("{at}.options[{index}]"))?;
    }
    if mount.uid_mappings.is_empty() != mount.gid_mappings.is_empty() {
        bail!("{at}: uidMappings and gidMappings go together; one of them is missing");
    }
    mappings(&mount.uid_mappings, &format!("{at}.uidMappings"))?;
    mappings(&mount.gid_mappings, &format!("{at}.gidMappings"))
}

fn hooks(hooks: &Hooks) -> Result<()> {
    let all: [(&str, &[Hook]); 6] = [
        ("prestart", &hooks.prestart),
        ("createRuntime", &hooks.create_runtime),
        ("createContainer", &hooks.create_container),
        ("startContainer", &hooks.start_container),
        ("poststart", &hooks.poststart),
        ("poststop", &hooks.poststop),
    ];
    for (turn, list) in all {
        for (index, hook) in list.iter().enumerate() {
            let at = format!("hooks.{turn}[{index}]");
            if !hook.path.starts_with('/') {
                bail!("{at}.path: {:?} is not an absolute path", hook.path);
            }
            if hook.timeout.is_some_and(|seconds| seconds <= 0) {
                bail!("{at}.timeout: {} is not above 0", hook.timeout.unwrap_or_default());
            }
            no_nul(&hook.path, &format!("{at}.path"))?;
            for text in hook.args.iter().chain(&hook.env) {
                no_nul(text, &at)?;
            }
        }
    }
    Ok(())
}

fn linux(linux: &Linux) -> Result<()> {
    let mut seen = BTreeSet::new();
    for (index, namespace) in linux.namespaces.iter().enumerate() {
        if !seen.insert(namespace.kind.as_str()) {
            bail!("linux.namespaces[{index}].type: {:?} is listed twice", namespace.kind);
        }
        no_nul(&namespace.path, &format!("linux.namespaces[{index}].path"))?;
    }
    mappings(&linux.uid_mappings, "linux.uidMappings")?;
    mappings(&linux.gid_mappings, "linux.gidMappings")?;
    for (field, paths) in [("maskedPaths", &linux.masked_paths), ("readonlyPaths", &linux.readonly_paths)] {
        for (index, path) in paths.iter().enumerate() {
            if !path.starts_with('/') {
                bail!("linux.{field}[{index}]: {path:?} is not an absolute path");
            }
            no_nul(path, &format!("linux.{field}[{index}]"))?;
        }
    }
    for (index, device) in linux.devices.iter().enumerate() {
        if !Path::new(&device.path).is_absolute() {
            bail!("linux.devices[{index}].path: {:?} is not an absolute path", device.path);
        }
        no_nul(&device.path, &format!("linux.devices[{index}].path"))?;
    }
    no_nul(&linux.mount_label, "linux.mountLabel")?;
    no_nul(&linux.cgroups_path, "linux.cgroupsPath")?;
    linux.intel_rdt.as_ref().map_or(Ok(()), |rdt| class_of_service(&rdt.clos_id))
}

/// A directory's name in resctrl, or `/` for the group of all that are in none.
fn class_of_service(name: &str) -> Result<()> {
    if name != "/" && (name.contains(['/', '\0']) || matches!(name, "." | "..")) {
        bail!("linux.intelRdt.closID: {name:?} is not the name of a group");
    }
    Ok(())
}

fn mappings(mappings: &[IdMapping], at: &str) -> Result<()> {
    if mappings.len() > MOST_MAPPINGS {
        bail!("{at}: {} lines; the kernel takes at most {MOST_MAPPINGS}", mappings.len());
    }
    for (index, mapping) in mappings.iter().enumerate() {
        let fits = |first: u32| first.checked_add(mapping.size).is_some();
        if mapping.size == 0 || !fits(mapping.container_id) || !fits(mapping.host_id) {
            bail!("{at}[{index}].size: {} is no range of ids from there", mapping.size);
        }
    }
    Ok(())
}

/// JSON can hold a NUL, no system call takes one.
fn no_nul(text: &str, at: &str) -> Result<()> {
    if text.contains('\0') {
        bail!("{at}: {text:?} contains a NUL character");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::sentence;
    use serde_json::json;

    fn refusal(change: serde_json::Value) -> Option<String> {
        let mut config = json!({
            "ociVersion": "1.0.2",
            "root": {"path": "rootfs"},
            "process": {"args": ["sh"], "cwd": "/"},
            "linux": {},
        });
        for (key, value) in change.as_object().unwrap() {
            config[key] = value.clone();
        }
        let parsed: Spec = super::super::load::parse(config.to_string().as_bytes()).unwrap();
        spec(&parsed).err().map(|error| sentence(&error))
    }

    #[test]
    fn an_ordinary_configuration_passes() {
        assert_eq!(refusal(json!({})), None);
        assert_eq!(refusal(json!({"ociVersion": "1.9.0-dev+x"})), None);
        assert_eq!(refusal(json!({"process": null})), None);
    }

    #[test]
    fn each_refusal_names_its_path() {
        let cases = [
            (json!({"ociVersion": ""}), "ociVersion: "),
            (json!({"hostname": "a\u{0}"}), "hostname: "),
            (json!({"domainname": "a\u{0}"}), "domainname: "),
            (json!({"ociVersion": "one"}), "ociVersion: \"one\" is not a version"),
            (json!({"ociVersion": "2.0.0"}), "ociVersion: \"2.0.0\" is not supported"),
            (json!({"root": null}), "root: is missing"),
            (json!({"process": {"args": [], "cwd": "/"}}), "process.args: is empty"),
            (json!({"process": {"args": ["a"], "cwd": "x"}}), "process.cwd: \"x\""),
            (json!({"process": {"args": ["a"], "cwd": "/\u{0}"}}), "process.cwd: "),
            (json!({"process": {"args": ["a\u{0}"], "cwd": "/"}}), "process.args[0]: "),
            (json!({"process": {"args": ["a"], "cwd": "/", "env": ["=x"]}}), "process.env[0]: "),
            (json!({"process": {"args": ["a"], "cwd": "/", "selinuxLabel": "a\u{0}"}}), "process.selinuxLabel: "),
            (json!({"process": {"args": ["a"], "cwd": "/", "apparmorProfile": "\u{0}"}}), "process.apparmorProfile: "),
            (json!({"root": {"path": "r\u{0}"}}), "root.path: \"r\\0\" contains a NUL"),
            (json!({"linux": {"mountLabel": "a\u{0}b"}}), "linux.mountLabel: "),
            (json!({"linux": {"cgroupsPath": "/a\u{0}b"}}), "linux.cgroupsPath: "),
            (json!({"linux": {"intelRdt": {"closID": "../tmp"}}}), "linux.intelRdt.closID: \"../tmp\" is not the name"),
            (
                json!({"process": {"args": ["a"], "cwd": "/", "rlimits": [
                    {"type": "RLIMIT_CORE", "hard": 1, "soft": 1}, {"type": "RLIMIT_CORE", "hard": 1, "soft": 1}]}}),
                "process.rlimits[1].type: RLIMIT_CORE is listed twice",
            ),
            (json!({"mounts": [{"destination": ""}]}), "mounts[0].destination: "),
            (
                json!({"mounts": [{"destination": "/a", "uidMappings": [{"containerID": 0, "hostID": 1, "size": 1}]}]}),
                "mounts[0]: uidMappings and gidMappings",
            ),
            (json!({"hooks": {"poststop": [{"path": "true"}]}}), "hooks.poststop[0].path: "),
            (json!({"hooks": {"prestart": [{"path": "/x", "timeout": 0}]}}), "hooks.prestart[0].timeout: "),
            (
                json!({"linux": {"namespaces": [{"type": "pid"}, {"type": "pid"}]}}),
                "linux.namespaces[1].type: \"pid\" is listed twice",
            ),
            (
                json!({"linux": {"uidMappings": [{"containerID": 0, "hostID": 4294967295u32, "size": 2}]}}),
                "linux.uidMappings[0].size: ",
            ),
            (json!({"linux": {"maskedPaths": ["proc"]}}), "linux.maskedPaths[0]: "),
            (json!({"linux": {"devices": [{"path": "dev/x", "type": "c"}]}}), "linux.devices[0].path: "),
        ];
        for (change, expected) in cases {
            let text = refusal(change.clone()).unwrap_or_else(|| panic!("accepted: {change}"));
            assert!(text.starts_with(expected), "{change}: {text}");
        }
    }
}
