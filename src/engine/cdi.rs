//! Devices by the Container Device Interface (version 1.1 and before): a vendor's file says what a container needs for a device beside its
//! node, and `--device VENDOR/CLASS=NAME` and `--gpus` ask for it.
//!
//! Files are read when a container starts, for the driver may have written others since it was made.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};
use serde::Deserialize;

use super::record::DeviceRequest;
use crate::error::{Attempt, sentence};
use crate::spec::Hook;

/// Where files are; those in a later directory are preferred.
const DIRECTORIES: [&str; 2] = ["/etc/cdi", "/var/run/cdi"];

/// The kinds that `--gpus` is for, the first that the machine has a file for.
const GPUS: [&str; 2] = ["nvidia.com/gpu", "amd.com/gpu"];

/// A file.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct File {
    cdi_version: String,
    kind: String,
    #[serde(default)]
    #[allow(dead_code, reason = "for others")]
    annotations: BTreeMap<String, String>,
    devices: Vec<Device>,
    #[serde(default)]
    container_edits: Edits,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Device {
    name: String,
    #[serde(default)]
    #[allow(dead_code, reason = "for others")]
    annotations: BTreeMap<String, String>,
    #[serde(default)]
    container_edits: Edits,
}

/// What a container gets.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Edits {
    /// Variables.
    pub env: Vec<String>,
    /// Nodes below /dev.
    pub device_nodes: Vec<Node>,
    /// Network devices of the host that become the container's.
    pub net_devices: Vec<NetDevice>,
    /// Mounts.
    pub mounts: Vec<Mount>,
    /// Programs that the runtime runs.
    pub hooks: Vec<NamedHook>,
    /// Further groups of the first process.
    #[serde(alias = "additionalGIDs")]
    pub additional_gids: Vec<u32>,
    /// Its part of caches and memory bandwidth.
    pub intel_rdt: Option<IntelRdt>,
}

/// A device node; what is not said is as on the host.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
#[allow(missing_docs, reason = "the names of the interface are the documentation")]
pub struct Node {
    pub path: String,
    pub host_path: String,
    #[serde(rename = "type")]
    pub kind: String,
    pub major: u32,
    pub minor: u32,
    pub file_mode: Option<u32>,
    pub permissions: String,
    pub uid: Option<u32>,
    pub gid: Option<u32>,
}

/// A network device.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[allow(missing_docs, reason = "the names of the interface are the documentation")]
pub struct NetDevice {
    pub host_interface_name: String,
    pub name: String,
}

/// A mount.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[allow(missing_docs, reason = "the names of the interface are the documentation")]
pub struct Mount {
    pub host_path: String,
    pub container_path: String,
    #[serde(rename = "type", default)]
    pub kind: String,
    #[serde(default)]
    pub options: Vec<String>,
}

/// A hook, and when it runs.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[allow(missing_docs, reason = "the names of the interface are the documentation")]
pub struct NamedHook {
    pub hook_name: String,
    pub path: String,
    #[serde(default)]
    pub args: Vec<String>,
    #[serde(default)]
    pub env: Vec<String>,
    pub timeout: Option<i64>,
}

/// resctrl's part.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
#[allow(missing_docs, reason = "the names of the interface are the documentation")]
pub struct IntelRdt {
    #[serde(rename = "closID")]
    pub clos_id: String,
    pub l3_cache_schema: String,
    pub mem_bw_schema: String,
    pub schemata: Vec<String>,
    pub enable_monitoring: bool,
    #[serde(rename = "enableCMT")]
    pub enable_cmt: bool,
    #[serde(rename = "enableMBM")]
    pub enable_mbm: bool,
}

/// Whether a text is `VENDOR/CLASS=NAME`, and no path of a device.
pub fn is_qualified(text: &str) -> bool {
    split(text).is_some()
}

/// Kind and name.
fn split(text: &str) -> Option<(&str, &str)> {
    let (kind, name) = text.split_once('=')?;
    let (vendor, class) = kind.split_once('/')?;
    let begins = |text: &str, first: fn(&char) -> bool| text.chars().next().is_some_and(|letter| first(&letter));
    let is_word = |text: &str, more: &str| {
        text.ends_with(|last: char| last.is_ascii_alphanumeric())
            && text.chars().all(|letter| letter.is_ascii_alphanumeric() || more.contains(letter))
    };
    let fits = begins(vendor, char::is_ascii_alphabetic)
        && is_word(vendor, "-_.")
        && begins(class, char::is_ascii_alphabetic)
        && is_word(class, "-_.")
        && begins(name, char::is_ascii_alphanumeric)
        && is_word(name, "-_.:");
    fits.then_some((kind, name))
}

/// All that requests come to, in their order; the edits of a file once, before those of its devices.
pub fn resolve(requests: &[DeviceRequest]) -> Result<Vec<Edits>> {
    if requests.is_empty() {
        return Ok(Vec::new());
    }
    Files::read(&DIRECTORIES.map(PathBuf::from)).resolve(requests)
}

/// All files that can be read.
#[derive(Debug, Default)]
struct Files {
    /// With the directory's number.
    all: Vec<(usize, PathBuf, File)>,
    /// Why the others can't.
    unreadable: Vec<String>,
}

impl Files {
    /// A file that can't be read is none, unless something is missing in the end.
    fn read(directories: &[PathBuf]) -> Files {
        let mut files = Files::default();
        for (number, directory) in directories.iter().enumerate() {
            let entries = fs::read_dir(directory).into_iter().flatten().flatten();
            let mut paths: Vec<PathBuf> = entries.map(|entry| entry.path()).collect();
            paths.sort();
            for path in paths {
                match read(&path) {
                    Ok(Some(file)) => files.all.push((number, path, file)),
                    Ok(None) => {}
                    Err(error) => files.unreadable.push(sentence(&error)),
                }
            }
        }
        files
    }

    fn resolve(&self, requests: &[DeviceRequest]) -> Result<Vec<Edits>> {
        let (mut edits, mut used) = (Vec::new(), Vec::new());
        for name in requests.iter().map(|request| self.names(request)).collect::<Result<Vec<_>>>()?.concat() {
            let (path, file, device) = self.find(&name)?;
            if !used.contains(&path) {
                used.push(path);
                edits.push(file.container_edits.clone());
            }
            edits.push(device.container_edits.clone());
        }
        edits.iter().try_for_each(check)?;
        Ok(edits)
    }

    /// The full names of what is requested.
    fn names(&self, request: &DeviceRequest) -> Result<Vec<String>> {
        if request.driver == "cdi" {
            return Ok(request.device_ids.clone());
        }
        let kinds = GPUS.iter().filter(|kind| request.driver.is_empty() || kind.starts_with(&request.driver));
        let has = |kind: &&&str| self.all.iter().any(|(_, _, file)| file.kind == **kind);
        let kind = kinds.clone().find(has).with_context(|| {
            let kinds: Vec<&str> = kinds.copied().collect();
            format!(
                "could not select device driver {:?} with capabilities: [[gpu]]: {} says what a GPU is{}",
                request.driver,
                if kinds.is_empty() {
                    "nothing".into()
                } else {
                    format!("no file for {} in {}", kinds.join(" or "), DIRECTORIES.join(" or "))
                },
                self.unreadable()
            )
        })?;
        let name = |device: &str| format!("{kind}={device}");
        Ok(match (&request.device_ids[..], request.count) {
            ([], -1) if self.find(&name("all")).is_err() => {
                let files = self.all.iter().filter(|(_, _, file)| file.kind == **kind);
                let mut names: Vec<String> =
                    files.flat_map(|(_, _, file)| &file.devices).map(|device| name(&device.name)).collect();
                names.sort();
                names.dedup();
                names
            }
            ([], -1) => vec![name("all")],
            ([], count) => {
                // Among so many names there is one that is missing already, if there are too few.
                let devices = self.all.iter().map(|(_, _, file)| file.devices.len()).sum::<usize>();
                (0..count).take(devices + 1).map(|number| name(&number.to_string())).collect()
            }
            (devices, _) => devices.iter().map(|device| name(device)).collect(),
        })
    }

    fn find(&self, qualified: &str) -> Result<(&Path, &File, &Device)> {
        let (kind, name) = split(qualified).with_context(|| format!("{qualified:?} is not VENDOR/CLASS=NAME"))?;
        let mut found: Vec<(usize, &Path, &File, &Device)> = Vec::new();
        for (number, path, file) in self.all.iter().filter(|(_, _, file)| file.kind == kind) {
            found.extend(file.devices.iter().filter(|one| one.name == name).map(|one| (*number, &**path, file, one)));
        }
        let preferred = found.iter().map(|(number, ..)| *number).max();
        found.retain(|(number, ..)| Some(*number) == preferred);
        match found[..] {
            [(_, path, file, device)] => Ok((path, file, device)),
            [(_, one, ..), (_, other, ..), ..] => {
                bail!("the CDI device {qualified} is in {one:?} and in {other:?}")
            }
            [] => {
                bail!(
                    "unresolvable CDI device {qualified}: it is in no file in {}{}",
                    DIRECTORIES.join(" or "),
                    self.unreadable()
                )
            }
        }
    }

    fn unreadable(&self) -> String {
        if self.unreadable.is_empty() { String::new() } else { format!(" ({})", self.unreadable.join("; ")) }
    }
}

/// Reads a file; none if it is none of this kind.
fn read(path: &Path) -> Result<Option<File>> {
    let what = || format!("read the CDI file {path:?}");
    let file: File = match path.extension().and_then(|extension| extension.to_str()) {
        Some("json") => serde_json::from_slice(&fs::read(path).attempt(what)?).with_context(what)?,
        Some("yaml" | "yml") => {
            let text = fs::read_to_string(path).attempt(what)?;
            // Its message shows the line as well, over several lines.
            serde_saphyr::from_str(&text)
                .map_err(|error| anyhow::anyhow!("{}", error.to_string().lines().next().unwrap_or_default().to_owned()))
                .with_context(what)?
        }
        _ => return Ok(None),
    };
    let major = file.cdi_version.split('.').next().unwrap_or_default();
    ensure!(matches!(major, "0" | "1"), "{}: the version {:?} is not known", what(), file.cdi_version);
    ensure!(is_qualified(&format!("{}=0", file.kind)), "{}: the kind {:?} is not VENDOR/CLASS", what(), file.kind);
    ensure!(!file.devices.is_empty(), "{}: it has no devices", what());
    Ok(Some(file))
}

/// What the runtime would not refuse by itself.
fn check(edits: &Edits) -> Result<()> {
    const HOOKS: [&str; 6] =
        ["prestart", "createRuntime", "createContainer", "startContainer", "poststart", "poststop"];
    for variable in &edits.env {
        ensure!(
            variable.find('=').is_some_and(|at| at > 0),
            "invalid environment variable of a CDI device: {variable:?}"
        );
    }
    for node in &edits.device_nodes {
        let (path, kind) = (&node.path, &node.kind);
        ensure!(path.starts_with('/'), "invalid path of a CDI device: {path:?}");
        ensure!(matches!(&**kind, "" | "b" | "c" | "u"), "CDI device {path:?}: invalid type {kind:?}");
        ensure!(
            node.permissions == "none" || node.permissions.chars().all(|letter| "rwm".contains(letter)),
            "CDI device {path:?}: invalid permissions {:?}",
            node.permissions
        );
    }
    for hook in &edits.hooks {
        ensure!(HOOKS.contains(&&*hook.hook_name), "invalid name of a CDI device's hook: {:?}", hook.hook_name);
    }
    Ok(())
}

impl From<&NamedHook> for Hook {
    fn from(named: &NamedHook) -> Hook {
        let NamedHook { path, args, env, timeout, .. } = named.clone();
        Hook { path, args, env, timeout }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(kind: &str, devices: &[&str], edits: &str) -> File {
        let devices: Vec<String> = devices
            .iter()
            .map(|name| format!(r#"{{"name":"{name}","containerEdits":{{"env":["DEVICE={name}"]}}}}"#))
            .collect();
        let text = format!(
            r#"{{"cdiVersion":"0.6.0","kind":"{kind}","devices":[{}],"containerEdits":{edits}}}"#,
            devices.join(",")
        );
        serde_json::from_str(&text).unwrap()
    }

    fn env(files: &Files, requests: &[DeviceRequest]) -> Vec<String> {
        files.resolve(requests).unwrap().into_iter().flat_map(|edits| edits.env).collect()
    }

    fn gpus(count: i64, ids: &[&str]) -> DeviceRequest {
        let device_ids = ids.iter().map(|id| (*id).to_owned()).collect();
        DeviceRequest { count, device_ids, ..DeviceRequest::default() }
    }

    #[test]
    fn names_are_told_from_paths() {
        for name in ["vendor.com/class=name", "a/b=0", "v-w.x/c_d.e=all", "v/c=0:1"] {
            assert!(is_qualified(name), "{name}");
        }
        for path in ["/dev/null", "/dev/a=b", "a=b", "a/b", "a/b=", "a/b=c/d", "1a/b=c", "a/=c", "a/b=-", "a b/c=d"] {
            assert!(!is_qualified(path), "{path}");
        }
    }

    #[test]
    fn a_files_own_edits_are_made_once_and_devices_in_order() {
        let all = vec![
            (0, "/etc/cdi/a.json".into(), file("a.com/x", &["1", "2"], r#"{"env":["OF=a"]}"#)),
            (0, "/etc/cdi/b.json".into(), file("b.com/x", &["1"], r#"{"env":["OF=b"]}"#)),
            (1, "/var/run/cdi/b.json".into(), file("b.com/x", &["1"], r#"{"env":["OF=later"]}"#)),
        ];
        let mut files = Files { all, unreadable: vec!["broken".into()] };
        let request = |names: &[&str]| DeviceRequest { driver: "cdi".into(), ..gpus(0, names) };
        assert_eq!(
            env(&files, &[request(&["a.com/x=2", "b.com/x=1"]), request(&["a.com/x=1"])]),
            ["OF=a", "DEVICE=2", "OF=later", "DEVICE=1", "DEVICE=1"]
        );
        let error = files.resolve(&[request(&["a.com/x=3"])]).unwrap_err().to_string();
        assert!(error.contains("unresolvable CDI device a.com/x=3") && error.contains("broken"), "{error}");
        files.all.push((1, "/var/run/cdi/c.json".into(), file("b.com/x", &["1"], "{}")));
        let error = files.resolve(&[request(&["b.com/x=1"])]).unwrap_err().to_string();
        assert!(error.contains("is in"), "{error}");
    }

    #[test]
    fn gpus_are_whosever_there_are() {
        let mut files = Files::default();
        assert!(files.resolve(&[gpus(-1, &[])]).unwrap_err().to_string().contains("nvidia.com/gpu or amd.com/gpu"));
        files.all.push((0, "amd".into(), file("amd.com/gpu", &["0", "1"], "{}")));
        assert_eq!(env(&files, &[gpus(-1, &[])]), ["DEVICE=0", "DEVICE=1"]);
        assert_eq!(env(&files, &[gpus(1, &[])]), ["DEVICE=0"]);
        files.all.push((0, "nvidia".into(), file("nvidia.com/gpu", &["0", "GPU-1", "all"], "{}")));
        assert_eq!(env(&files, &[gpus(-1, &[])]), ["DEVICE=all"]);
        assert_eq!(env(&files, &[gpus(0, &["GPU-1"])]), ["DEVICE=GPU-1"]);
        let of_amd = DeviceRequest { driver: "amd".into(), ..gpus(0, &["1"]) };
        assert_eq!(env(&files, &[of_amd]), ["DEVICE=1"]);
        for count in [3, i64::MAX] {
            let error = files.resolve(&[gpus(count, &[])]).unwrap_err().to_string();
            assert!(error.contains("nvidia.com/gpu=1"), "{error}");
        }
    }
}
