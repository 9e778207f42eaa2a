//! A configuration against what was seen: one sentence for each thing that is not as it says.

use std::fs;
use std::path::Path;

use anyhow::Result;
use serde_json::Value;

use super::observe::{Seen, capability};

/// The `process` part.
pub(super) fn process(process: &Value, seen: &Seen) -> Vec<String> {
    let mut wrong = Vec::new();
    user(process, seen, &mut wrong);
    capabilities(process, seen, &mut wrong);
    limits(process, seen, &mut wrong);
    let privileges = if process["noNewPrivileges"] == true { "1" } else { "0" };
    expect(&mut wrong, "NoNewPrivs", seen.line("status", "NoNewPrivs:").unwrap_or_default().join(" "), privileges);
    expect(&mut wrong, "directory", seen.section("directory"), text(&process["cwd"]));
    for variable in process["env"].as_array().into_iter().flatten().map(text) {
        // An empty home is looked up in the container's passwd file.
        let variable = if variable == "HOME=" { "HOME=/root" } else { variable };
        if !seen.section("environment").lines().any(|line| line == variable) {
            wrong.push(format!("the environment has no {variable:?}"));
        }
    }
    if let Some(score) = process["oomScoreAdj"].as_i64() {
        expect(&mut wrong, "oomScoreAdj", seen.section("oom"), &score.to_string());
    }
    if let Some(mask) = process["user"]["umask"].as_u64() {
        expect(&mut wrong, "umask", seen.section("umask"), &format!("{mask:04o}"));
    }
    // 10 is dash's own.
    let descriptors = seen.section("descriptors").split_whitespace().filter(|number| *number != "10");
    expect(&mut wrong, "descriptors", descriptors.collect::<Vec<_>>().join(" "), "0 1 2");
    let has_terminal = seen.section("terminal").starts_with("/dev/pts/");
    if has_terminal != (process["terminal"] == true) {
        wrong.push(format!("terminal: {}", seen.section("terminal")));
    }
    wrong
}

fn user(process: &Value, seen: &Seen, wrong: &mut Vec<String>) {
    let number = |key: &str| process["user"][key].as_u64().unwrap_or(0).to_string();
    let four = |number: String| [number.as_str(); 4].join(" ");
    expect(wrong, "uid", seen.line("status", "Uid:").unwrap_or_default().join(" "), &four(number("uid")));
    expect(wrong, "gid", seen.line("status", "Gid:").unwrap_or_default().join(" "), &four(number("gid")));
    let groups: Vec<_> =
        process["user"]["additionalGids"].as_array().into_iter().flatten().map(|group| group.to_string()).collect();
    expect(wrong, "additionalGids", seen.line("status", "Groups:").unwrap_or_default().join(" "), &groups.join(" "));
}

fn capabilities(process: &Value, seen: &Seen, wrong: &mut Vec<String>) {
    let configured = |set: &str| {
        let names = process["capabilities"][set].as_array().into_iter().flatten();
        names.map(|name| capability(text(name))).sum::<u64>()
    };
    let root = process["user"]["uid"].as_u64() == Some(0);
    // execve(2) leaves to an ordinary user what is ambient, and to root what is bounding.
    let after = |set: &str| if root { configured(set) } else { configured("ambient") };
    let sets = [("CapBnd:", configured("bounding")), ("CapPrm:", after("permitted")), ("CapEff:", after("effective"))];
    for (line, set) in sets {
        expect(wrong, line, seen.line("status", line).unwrap_or_default().join(" "), &format!("{set:016x}"));
    }
}

fn limits(process: &Value, seen: &Seen, wrong: &mut Vec<String>) {
    for limit in process["rlimits"].as_array().into_iter().flatten() {
        let name = match text(&limit["type"]) {
            "RLIMIT_NOFILE" => "Max open files",
            "RLIMIT_NPROC" => "Max processes",
            other => {
                wrong.push(format!("{other} is in the configuration, and not in this test"));
                continue;
            }
        };
        let numbers = seen.line("limits", name).unwrap_or_default();
        let expected = format!("{} {}", limit["soft"], limit["hard"]);
        expect(wrong, name, numbers.get(..2).unwrap_or_default().join(" "), &expected);
    }
}

/// Everything but `process` and hooks.
pub(super) fn container(config: &Value, seen: &Seen) -> Vec<String> {
    let mut wrong = Vec::new();
    mounts(config, seen, &mut wrong);
    hidden(config, seen, &mut wrong);
    namespaces(config, seen, &mut wrong);
    if let Some(name) = config["hostname"].as_str() {
        expect(&mut wrong, "hostname", seen.section("hostname"), name);
    }
    for (name, value) in config["linux"]["sysctl"].as_object().into_iter().flatten() {
        let found = seen.line("settings", name).unwrap_or_default().join(" ");
        expect(&mut wrong, name, found, text(value));
    }
    for device in config["linux"]["devices"].as_array().into_iter().flatten() {
        let path = text(&device["path"]);
        let numbers =
            format!("{:x}:{:x}", device["major"].as_u64().unwrap_or(0), device["minor"].as_u64().unwrap_or(0));
        match seen.file(path) {
            Some((_, found)) => expect(&mut wrong, path, found, &numbers),
            // Deeper than the probe looks.
            None if path.matches('/').count() > 3 => {}
            None => wrong.push(format!("{path} is missing")),
        }
    }
    let filter = if config["linux"]["seccomp"].is_object() { "2" } else { "0" };
    expect(&mut wrong, "Seccomp", seen.line("status", "Seccomp:").unwrap_or_default().join(" "), filter);
    wrong
}

fn mounts(config: &Value, seen: &Seen, wrong: &mut Vec<String>) {
    for mount in config["mounts"].as_array().into_iter().flatten() {
        let place = text(&mount["destination"]);
        let Some(found) = seen.mount(place) else {
            wrong.push(format!("nothing is mounted at {place}"));
            continue;
        };
        match text(&mount["type"]) {
            "bind" => {}
            "cgroup" => expect(wrong, place, found.kind, "cgroup2"),
            kind => expect(wrong, place, found.kind, kind),
        }
        for option in mount["options"].as_array().into_iter().flatten().map(text) {
            let option = if option == "rro" { "ro" } else { option };
            let visible = ["ro", "nosuid", "nodev", "noexec"].contains(&option) || option.starts_with("size=");
            let shown = option.strip_prefix("size=").map(size).unwrap_or(option.to_string());
            if visible && !found.has(&shown) {
                wrong.push(format!("{place} is not mounted {shown}: {found:?}"));
            }
        }
    }
    let read_only = config["root"]["readonly"] == true;
    if seen.mount("/").is_none_or(|root| root.options.contains(&"ro") != read_only) {
        wrong.push(format!("root.readonly is {read_only}: {:?}", seen.mount("/")));
    }
}

/// The kernel shows the size of a tmpfs in KiB.
fn size(text: &str) -> String {
    let bytes = match text.strip_suffix('k') {
        Some(kilobytes) => kilobytes.parse::<u64>().unwrap_or(0) * 1024,
        None => text.parse().unwrap_or(0),
    };
    format!("size={}k", bytes / 1024)
}

fn hidden(config: &Value, seen: &Seen, wrong: &mut Vec<String>) {
    for path in config["linux"]["maskedPaths"].as_array().into_iter().flatten().map(text) {
        let Ok(outside) = fs::metadata(path) else { continue };
        if outside.is_dir() {
            if seen.mount(path).is_none_or(|mount| mount.kind != "tmpfs" || !mount.has("ro")) {
                wrong.push(format!("{path} is not masked: {:?}", seen.mount(path)));
            }
        } else if seen.file(path).is_none_or(|(_, numbers)| numbers != "1:3") {
            wrong.push(format!("{path} is not masked: {:?}", seen.file(path)));
        }
    }
    for path in config["linux"]["readonlyPaths"].as_array().into_iter().flatten().map(text) {
        if Path::new(path).exists() && seen.mount(path).is_none_or(|mount| !mount.options.contains(&"ro")) {
            wrong.push(format!("{path} is not read-only: {:?}", seen.mount(path)));
        }
    }
}

fn namespaces(config: &Value, seen: &Seen, wrong: &mut Vec<String>) {
    let listed = |kind: &str| {
        config["linux"]["namespaces"].as_array().into_iter().flatten().find(|namespace| namespace["type"] == kind)
    };
    let kinds = [
        ("cgroup", "cgroup"),
        ("ipc", "ipc"),
        ("mnt", "mount"),
        ("net", "network"),
        ("pid", "pid"),
        ("time", "time"),
        ("user", "user"),
        ("uts", "uts"),
    ];
    for (file, kind) in kinds {
        let inside = seen.line("namespaces", &format!("{file} ")).unwrap_or_default().join(" ");
        let outside = fs::read_link(format!("/proc/self/ns/{file}")).unwrap_or_default();
        let own = inside != outside.to_string_lossy();
        match listed(kind) {
            None if own => wrong.push(format!("the {kind} namespace is a new one")),
            Some(namespace) if namespace["path"].is_string() => {
                use std::os::unix::fs::MetadataExt;
                let number = fs::metadata(text(&namespace["path"])).map_or(0, |file| file.ino());
                expect(wrong, kind, inside, &format!("{file}:[{number}]"));
            }
            Some(_) if !own => wrong.push(format!("the {kind} namespace is the host's")),
            _ => {}
        }
    }
}

/// Each hook was given the container's state.
pub(super) fn hooks(config: &Value, directory: &Path) -> Result<Vec<String>> {
    let mut wrong = Vec::new();
    for kind in config["hooks"].as_object().into_iter().flatten().map(|(kind, _)| kind) {
        let state: Value = serde_json::from_slice(&fs::read(directory.join(format!("hook-{kind}")))?)?;
        expect(&mut wrong, kind, text(&state["id"]), "container");
        expect(&mut wrong, kind, text(&state["bundle"]), &directory.to_string_lossy());
        let status =
            if ["prestart", "createRuntime", "createContainer"].contains(&kind.as_str()) { "creating" } else { "" };
        if !status.is_empty() {
            expect(&mut wrong, kind, text(&state["status"]), status);
        }
        if state["pid"].as_i64().is_none_or(|pid| pid < 2) {
            wrong.push(format!("{kind} was told pid {}", state["pid"]));
        }
    }
    Ok(wrong)
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

fn expect(wrong: &mut Vec<String>, what: &str, found: impl AsRef<str>, expected: &str) {
    if found.as_ref() != expected {
        wrong.push(format!("{what} is {:?} and not {expected:?}", found.as_ref()));
    }
}
