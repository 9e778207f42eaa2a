//! What dockerd, podman and containerd wrote for their containers: each file runs, and the container is as it says.
//!
//! Only what exists under the engine alone is replaced: bind sources, hook programs, AppArmor profiles, slices, the
//! network namespace of podman, and limits that this machine can't set.

use std::fs;
use std::path::Path;

use serde_json::{Value, json};

use crate::harness::host::write_program;
use crate::harness::mountinfo;
use crate::harness::probe::{capability_set, own_capabilities};
use crate::harness::terminal::{Receiver, Terminal};
use crate::harness::{Bundle, Config, host};

/// A bundle with an engine's config.json.
fn engines_bundle(name: &str) -> Bundle {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/configs").join(format!("{name}.json"));
    let text = fs::read_to_string(&path).unwrap_or_else(|error| panic!("read {}: {error}", path.display()));
    let mut bundle = Bundle::with(Config(serde_json::from_str(&text).expect("an engine writes JSON")));
    replace_sources(&mut bundle);
    replace_hooks(&mut bundle);
    replace_what_the_machine_lacks(&mut bundle);
    bundle.config.set("/linux/cgroupsPath", format!("/{}", bundle.id));
    let owner = bundle.config.0.pointer("/linux/uidMappings/0/hostID").and_then(Value::as_u64);
    if let Some(owner) = owner {
        host(&format!("chown -R --no-dereference {owner}:{owner} {}", bundle.rootfs.display()));
    }
    bundle
}

fn replace_sources(bundle: &mut Bundle) {
    let mounts = bundle.config.0["mounts"].as_array().expect("an engine lists mounts").clone();
    for (index, mount) in mounts.iter().enumerate().filter(|(_, mount)| mount["type"] == "bind") {
        let name = format!("sources/{index}");
        match mount["destination"].as_str().expect("a destination") {
            "/sbin/docker-init" => {
                write_program(&bundle.path(&name), "#!/bin/sh\n[ \"$1\" != -- ] || shift\nexec \"$@\"\n");
            }
            file if file.starts_with("/etc/") || file == "/run/.containerenv" => {
                bundle.write_file(&name, "of the engine\n");
            }
            _ => drop(bundle.make_directory(&name)),
        }
        bundle.config.set(&format!("/mounts/{index}/source"), bundle.text_path(&name));
    }
}

fn replace_hooks(bundle: &mut Bundle) {
    let log = bundle.text_path("hooks");
    let program = bundle.path("hook");
    write_program(&program, &format!("#!/bin/sh\necho \"$1\" >>{log}\n"));
    let hooks = bundle.config.0["hooks"].as_object_mut();
    for hook in hooks.into_iter().flat_map(|kinds| kinds.values_mut()).flat_map(|kind| kind.as_array_mut()).flatten() {
        hook["path"] = json!(program);
        // args[0] is the program's name.
        hook["args"].as_array_mut().expect("docker's hook has arguments").insert(0, json!("hook"));
    }
}

fn replace_what_the_machine_lacks(bundle: &mut Bundle) {
    let config = &mut bundle.config.0;
    if !Path::new("/sys/kernel/security/apparmor").exists() {
        config["process"].as_object_mut().expect("a process").remove("apparmorProfile");
    }
    for namespace in config["linux"]["namespaces"].as_array_mut().expect("namespaces") {
        namespace.as_object_mut().expect("a namespace").remove("path");
    }
    let controllers = controllers();
    if let Some(resources) = config["linux"]["resources"].as_object_mut() {
        let kept = |name: &str| match name {
            "devices" => true,
            "blockIO" => controllers.contains("io"),
            other => controllers.contains(other),
        };
        resources.retain(|name, _| kept(name));
    }
    for limit in config["process"]["rlimits"].as_array_mut().into_iter().flatten() {
        let most = match limit["type"].as_str() {
            Some("RLIMIT_NOFILE") => own_hard_limit("Max open files"),
            Some("RLIMIT_NPROC") => own_hard_limit("Max processes"),
            _ => None,
        };
        for key in ["soft", "hard"] {
            if let Some(most) = most.filter(|most| limit[key].as_u64() > Some(*most)) {
                limit[key] = json!(most);
            }
        }
    }
}

/// The tests' own hard limit, if there is one.
fn own_hard_limit(name: &str) -> Option<u64> {
    let limits = fs::read_to_string("/proc/self/limits").expect("read the tests' limits");
    let line = limits.lines().find_map(|line| line.strip_prefix(name)).expect("the limit is listed");
    line.split_whitespace().nth(1)?.parse().ok()
}

/// The controllers that cgroup2 has here.
fn controllers() -> String {
    host("cat /sys/fs/cgroup/cgroup.controllers /sys/fs/cgroup/unified/cgroup.controllers 2>/dev/null || true")
}

/// Runs the bundle as the engine wrote it, then with a program that looks around; checks what it sees.
fn check(name: &str) {
    let mut bundle = engines_bundle(name);
    assert_eq!(run(&bundle, "first"), said(&bundle.config.0), "{name}");
    assert_eq!(hooks_run(&bundle), hooks_of(&bundle.config.0), "{name}");

    let script = "cat /proc/self/status; echo ==; cat /proc/self/mountinfo; echo ==; env; echo ==; hostname; echo ==
        cat /proc/self/limits; echo ==; cat /proc/self/oom_score_adj";
    let init = bundle.config.0["process"]["args"][0] == "/sbin/docker-init";
    let args: &[&str] = if init { &["/sbin/docker-init", "--", "sh", "-c", script] } else { &["sh", "-c", script] };
    bundle.config.args(args.iter().copied());
    let shown = run(&bundle, "second").replace('\r', "");
    let parts: Vec<&str> = shown.split("==\n").collect();
    let config = &bundle.config.0;
    check_status(config, parts[0]);
    check_mounts(config, parts[1]);
    for variable in config["process"]["env"].as_array().expect("an environment") {
        let variable = variable.as_str().expect("text");
        assert!(variable == "HOME=" || parts[2].lines().any(|line| line == variable), "{variable}: {}", parts[2]);
    }
    assert_eq!(parts[3].trim(), config["hostname"].as_str().unwrap_or(parts[3].trim()));
    for limit in config["process"]["rlimits"].as_array().into_iter().flatten() {
        let name = if limit["type"] == "RLIMIT_NOFILE" { "Max open files" } else { "Max processes" };
        let line = parts[4].lines().find_map(|line| line.strip_prefix(name)).expect("a limit");
        let words: Vec<&str> = line.split_whitespace().collect();
        assert_eq!(
            [words[0], words[1]],
            [limit["soft"].to_string(), limit["hard"].to_string()].each_ref().map(String::as_str)
        );
    }
    if let Some(score) = config["process"]["oomScoreAdj"].as_i64() {
        assert_eq!(parts[5].trim(), score.to_string());
    }
}

/// Runs the container, on a terminal if it wants one, and returns what it printed.
fn run(bundle: &Bundle, name: &str) -> String {
    if bundle.config.0["process"]["terminal"] != true {
        return bundle.output();
    }
    let socket = bundle.path(name);
    let receiver = Receiver::listen(&socket);
    let container = bundle.create_with(|call| call.arg("--console-socket").arg(&socket));
    let terminal = Terminal(receiver.receive().1.into());
    container.start();
    let text = terminal.rest();
    assert_eq!(container.process.wait(), 0, "{text}");
    container.delete();
    text
}

/// What the engine's own program prints.
fn said(config: &Value) -> String {
    let args: Vec<&str> =
        config["process"]["args"].as_array().expect("args").iter().filter_map(Value::as_str).collect();
    if args[0] == "/bin/echo" { args[1..].join(" ") + "\n" } else { String::new() }
}

fn hooks_of(config: &Value) -> usize {
    let kinds = config["hooks"].as_object();
    kinds.into_iter().flat_map(|kinds| kinds.values()).filter_map(Value::as_array).map(Vec::len).sum()
}

fn hooks_run(bundle: &Bundle) -> usize {
    fs::read_to_string(bundle.path("hooks")).unwrap_or_default().lines().count()
}

fn check_status(config: &Value, status: &str) {
    let line = |name: &str| {
        let value = status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
        value
            .unwrap_or_else(|| panic!("no {name} in {status}"))
            .split_whitespace()
            .map(str::to_owned)
            .collect::<Vec<_>>()
    };
    let process = &config["process"];
    let (uid, gid) = (process["user"]["uid"].to_string(), process["user"]["gid"].to_string());
    assert_eq!((&line("Uid")[0], &line("Gid")[0]), (&uid, &gid));
    let own = own_capabilities();
    let set = |kind: &str| {
        let names = process["capabilities"][kind].as_array().into_iter().flatten().filter_map(Value::as_str);
        let names: Vec<&str> = names.filter(|name| own.iter().any(|known| known == name)).collect();
        capability_set(&names)
    };
    assert_eq!(line("CapBnd")[0], set("bounding"));
    assert_eq!(line("CapInh")[0], set("inheritable"));
    assert_eq!(line("CapAmb")[0], set("ambient"));
    let permitted = if uid == "0" { set("permitted") } else { set("ambient") };
    assert_eq!(line("CapPrm")[0], permitted);
    assert_eq!(line("NoNewPrivs")[0], if process["noNewPrivileges"] == true { "1" } else { "0" });
    assert_eq!(line("Seccomp")[0], if config["linux"]["seccomp"].is_object() { "2" } else { "0" });
    assert_eq!(line("Umask")[0], "0022");
}

fn check_mounts(config: &Value, table: &str) {
    for mount in config["mounts"].as_array().expect("mounts") {
        let point = mount["destination"].as_str().expect("a destination");
        let found = mountinfo::at(table, point);
        match mount["type"].as_str().expect("a type") {
            "bind" => {}
            "cgroup" => assert_eq!(found.kind, "cgroup2"),
            kind => assert_eq!(found.kind, kind),
        }
        for option in mount["options"].as_array().expect("options").iter().filter_map(Value::as_str) {
            match option {
                "ro" | "nosuid" | "nodev" | "noexec" => assert!(found.has(option), "{option} of {found:?}"),
                "rro" => assert!(found.has("ro"), "{option} of {found:?}"),
                "rprivate" => assert_eq!(found.propagation(), "private", "{found:?}"),
                "rslave" => assert!(found.propagation().contains("slave"), "{found:?}"),
                _ => {}
            }
        }
    }
    for path in config["linux"]["readonlyPaths"].as_array().into_iter().flatten().filter_map(Value::as_str) {
        if Path::new(path).exists() {
            assert!(mountinfo::at(table, path).has("ro"), "{path}");
        }
    }
    for path in config["linux"]["maskedPaths"].as_array().into_iter().flatten().filter_map(Value::as_str) {
        // /proc and /sys of the host tell which of them exist.
        if Path::new(path).exists() && !path.starts_with("/sys/devices") {
            let found = mountinfo::at(table, path);
            assert!(
                found.has("ro") && found.kind == "tmpfs" || ["tmpfs", "devtmpfs"].contains(&found.kind.as_str()),
                "{found:?}"
            );
        }
    }
    let root = mountinfo::at(table, "/");
    assert_eq!(root.has("ro"), config["root"]["readonly"] == true, "{root:?}");
}

#[test]
fn containerd() {
    check("ctr-default");
}

#[test]
fn docker() {
    check("docker-default");
}

#[test]
fn docker_hardened() {
    check("docker-hardened");
}

#[test]
fn docker_in_the_hosts_namespaces() {
    check("docker-hostns");
}

#[test]
fn docker_with_limits() {
    check("docker-limits");
}

#[test]
fn docker_privileged() {
    check("docker-privileged");
}

#[test]
fn docker_with_a_terminal() {
    check("docker-tty");
}

#[test]
fn podman() {
    check("podman-default");
}

#[test]
fn podman_with_a_user_namespace() {
    check("podman-userns");
}

#[test]
fn every_file_has_its_test() {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/configs");
    let source = include_str!("engines_bundles.rs");
    for entry in fs::read_dir(directory).expect("list the files").flatten() {
        let name = entry.file_name().into_string().expect("text").replace(".json", "");
        // The process file has its test in `exec`.
        assert!(name == "docker-exec-process" || source.contains(&format!("check(\"{name}\")")), "{name}");
    }
}
