//! What comes in wrong: a clear error that names the place and the file, exit code 1, and nothing left behind.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};

use serde_json::{Value, json};

use crate::harness::{Bundle, Call, Config, each, host};

/// Writes config.json as it is given, and returns the call of `create` on it.
fn create_with_text(bundle: &Bundle, text: impl AsRef<[u8]>) -> Call {
    fs::write(bundle.path("config.json"), text).expect("write config.json");
    bundle.call("create").arg("--bundle").arg(&bundle.directory).arg(&bundle.id)
}

#[test]
fn malformed_json() {
    let bundle = Bundle::new();
    let deep = "[".repeat(100_000);
    each(
        [
            "",
            " ",
            "{",
            "}",
            "null",
            "[]",
            "true",
            "\"config\"",
            "{\"ociVersion\": }",
            "{\"ociVersion\": \"1.0.2\",}",
            "{'ociVersion': '1.0.2'}",
            "{\"ociVersion\": \"1.0.2\"} trailing",
            "\u{feff}{}",
            deep.as_str(),
        ],
        |text| {
            create_with_text(&bundle, text).run().refused(&["config.json"]);
            bundle.assert_nothing_left();
        },
    );
    for bytes in [&b"\xff\xfe{}"[..], b"{\"ociVersion\": \"\xff\"}", b"\0\0\0\0"] {
        create_with_text(&bundle, bytes).run().refused(&["config.json"]);
    }
    // Where in the file.
    create_with_text(&bundle, "{\n  \"ociVersion\": \"1.0.2\",\n  oops\n}").run().refused(&["line 3"]);
}

#[test]
fn a_file_that_ends_anywhere() {
    let mut bundle = Bundle::new();
    bundle.config.hook("poststop", json!({"path": "/bin/true"}));
    let text = serde_json::to_string_pretty(&bundle.config.0).expect("JSON");
    for end in (1..text.len() - 2).step_by(67) {
        create_with_text(&bundle, &text[..end]).run().refused(&["config.json"]);
    }
    bundle.assert_nothing_left();
}

#[test]
fn wrong_types() {
    let mut bundle = Bundle::new();
    each(
        [
            ("/ociVersion", json!(1), "ociVersion"),
            ("/process", json!([]), "process"),
            ("/process/args", json!("true"), "process.args"),
            ("/process/args", json!(["true", 1]), "process.args[1]"),
            ("/process/env", json!({"PATH": "/bin"}), "process.env"),
            ("/process/cwd", json!(7), "process.cwd"),
            ("/process/terminal", json!("yes"), "process.terminal"),
            ("/process/user", json!("root"), "process.user"),
            ("/process/user/uid", json!("0"), "process.user.uid"),
            ("/process/user/uid", json!(-1), "process.user.uid"),
            ("/process/user/uid", json!(4_294_967_296_u64), "process.user.uid"),
            ("/process/user/gid", json!(1.5), "process.user.gid"),
            ("/process/user/additionalGids", json!([0, "1"]), "process.user.additionalGids[1]"),
            ("/process/user/umask", json!("022"), "process.user.umask"),
            ("/process/rlimits", json!({}), "process.rlimits"),
            ("/process/capabilities", json!(["CAP_KILL"]), "process.capabilities"),
            ("/process/capabilities/bounding", json!("CAP_KILL"), "process.capabilities.bounding"),
            ("/process/noNewPrivileges", json!(1), "process.noNewPrivileges"),
            ("/process/oomScoreAdj", json!("low"), "process.oomScoreAdj"),
            ("/root", json!("rootfs"), "root"),
            ("/root/path", json!(["rootfs"]), "root.path"),
            ("/root/readonly", json!("true"), "root.readonly"),
            ("/hostname", json!(["a"]), "hostname"),
            ("/mounts", json!({}), "mounts"),
            ("/mounts/3", json!("/dev/shm"), "mounts[3]"),
            ("/mounts/3/options", json!("nosuid,nodev"), "mounts[3].options"),
            ("/mounts/3/options/1", json!(1), "mounts[3].options[1]"),
            ("/hooks", json!([]), "hooks"),
            ("/hooks/prestart", json!({"path": "/bin/true"}), "hooks.prestart"),
            ("/annotations", json!(["a=b"]), "annotations"),
            ("/annotations/key", json!(1), "annotations.key"),
            ("/linux", json!([]), "linux"),
            ("/linux/namespaces", json!({"pid": null}), "linux.namespaces"),
            ("/linux/namespaces/0", json!("pid"), "linux.namespaces[0]"),
            ("/linux/uidMappings", json!("0 1000 1"), "linux.uidMappings"),
            ("/linux/sysctl", json!([]), "linux.sysctl"),
            ("/linux/sysctl/net.ipv4.ip_forward", json!(1), "linux.sysctl.net.ipv4.ip_forward"),
            ("/linux/devices", json!({}), "linux.devices"),
            ("/linux/maskedPaths", json!("/proc/kcore"), "linux.maskedPaths"),
            ("/linux/readonlyPaths", json!([1]), "linux.readonlyPaths[0]"),
            ("/linux/resources", json!([]), "linux.resources"),
            ("/linux/resources/memory", json!({"limit": "64M"}), "linux.resources.memory.limit"),
            ("/linux/cgroupsPath", json!(5), "linux.cgroupsPath"),
            ("/linux/seccomp", json!("default"), "linux.seccomp"),
        ],
        |(pointer, value, needle)| {
            bundle.config = Config::usual();
            bundle.config.set(pointer, value);
            bundle.refused(&["config.json", needle]);
        },
    );
}

#[test]
fn what_must_be_there() {
    let mut bundle = Bundle::new();
    for (pointer, needle) in
        [("/ociVersion", "ociVersion"), ("/root", "root"), ("/root/path", "root"), ("/process/cwd", "process.cwd")]
    {
        bundle.config = Config::usual();
        bundle.config.remove(pointer);
        bundle.refused(&["config.json", needle]);
    }
}

#[test]
fn versions() {
    let mut bundle = Bundle::script("echo fine");
    for version in ["", "x", "1", "1.0", "0.9.0", "2.0.0", "1.0.0.0", "v1.0.0", "1.a.0", "-1.0.0"] {
        bundle.config.set("/ociVersion", version);
        bundle.refused(&["ociVersion"]);
    }
    for version in ["1.0.0", "1.0.2-dev", "1.1.0", "1.2.1+dev", "1.3.0", "1.0.0-rc5"] {
        bundle.config.set("/ociVersion", version);
        assert_eq!(bundle.output(), "fine\n", "{version}");
    }
}

#[test]
fn strings_that_the_kernel_can_not_take() {
    let mut bundle = Bundle::new();
    each(
        [
            ("/process/args", json!(["true", "a\u{0}b"]), "process.args[1]"),
            ("/process/env", json!(["A=a\u{0}b"]), "process.env[0]"),
            ("/process/cwd", json!("/a\u{0}b"), "process.cwd"),
            ("/hostname", json!("a\u{0}b"), "hostname"),
            ("/root/path", json!("root\u{0}fs"), "root.path"),
            ("/mounts/3/destination", json!("/a\u{0}b"), "mounts[3].destination"),
            ("/mounts/3/source", json!("a\u{0}b"), "mounts[3].source"),
            ("/mounts/3/options", json!(["a\u{0}b"]), "mounts[3].options"),
            ("/linux/maskedPaths", json!(["/a\u{0}b"]), "linux.maskedPaths[0]"),
            ("/linux/cgroupsPath", json!("/a\u{0}b"), "linux.cgroupsPath"),
        ],
        |(pointer, value, needle)| {
            bundle.config = Config::usual();
            bundle.config.set(pointer, value);
            bundle.refused(&[needle]);
        },
    );
}

#[test]
fn environment_entries_that_are_none() {
    let mut bundle = Bundle::new();
    for entry in ["", "=value", "NOVALUE"] {
        bundle.config.set("/process/env", json!(["PATH=/bin", entry])).args(["env"]);
        let ran = bundle.run();
        assert!(ran.code == 1 && ran.stderr.contains("process.env[1]") || ran.code == 0, "{ran}");
    }
}

#[test]
fn strings_that_are_too_long() {
    let mut bundle = Bundle::new();
    let long = "x".repeat(5000);
    each(
        [
            ("/process/cwd", json!(format!("/{long}"))),
            ("/hostname", json!(long)),
            ("/mounts/3/destination", json!(format!("/{long}"))),
            ("/linux/cgroupsPath", json!(format!("/{long}"))),
        ],
        |(pointer, value)| {
            bundle.config = Config::usual();
            bundle.config.set(pointer, value);
            let ran = bundle.refused(&[]);
            assert!(!ran.stderr.trim().is_empty(), "{ran}");
        },
    );
    // More than execve(2) takes.
    bundle.config = Config::usual();
    bundle.config.args(["true".to_owned(), "x".repeat(200_000)]);
    bundle.run().refused(&["argument list too long"]);
    bundle.assert_nothing_left();
    // And what it does take.
    bundle.config.args([
        "sh".to_owned(),
        "-c".to_owned(),
        "echo ${#1}".to_owned(),
        "sh".to_owned(),
        "x".repeat(100_000),
    ]);
    assert_eq!(bundle.output(), "100000\n");
}

#[test]
fn missing_files() {
    let bundle = Bundle::new();
    let create = |directory: &str| bundle.call("create").args(["--bundle", directory, &bundle.id]).run();
    create("/no/such/bundle").refused(&["/no/such/bundle", "no such file or directory"]);
    create("/etc/passwd").refused(&["/etc/passwd", "not a directory"]);
    let empty = bundle.make_directory("empty");
    create(empty.to_str().expect("text")).refused(&["config.json", "no such file or directory"]);
    bundle.make_directory("odd/config.json");
    create(&bundle.text_path("odd")).refused(&["config.json", "directory"]);
    create("").refused(&[]);
    bundle.assert_nothing_left();
}

#[test]
fn roots_that_are_none() {
    let mut bundle = Bundle::new();
    bundle.write_file("file", "");
    symlink("/no/such/target", bundle.path("dangling")).expect("make a link");
    each(
        [
            ("no-such-root", &["no-such-root", "no such file or directory"][..]),
            ("file", &["file", "not a directory"]),
            ("dangling", &["dangling"]),
            ("", &["root.path"]),
        ],
        |(path, needles)| {
            bundle.config.set("/root/path", path);
            bundle.refused(needles);
        },
    );
}

#[test]
fn state_directories_that_are_none() {
    let bundle = Bundle::staying();
    let file = bundle.write_file("file", "");
    let with = |root: &std::path::Path| {
        let call =
            Call::new(&bundle.directory).arg("--root").arg(root).arg("create").arg("--bundle").arg(&bundle.directory);
        bundle.write();
        call.arg(&bundle.id).run()
    };
    with(&file).refused(&["file"]);
    with(&file.join("below")).refused(&["file"]);
    // Something that is not a state directory stands where it belongs.
    fs::write(bundle.state.join(&bundle.id), "a file").expect("write a file");
    bundle.create_call().arg(&bundle.id).run().refused(&[&bundle.id]);
    bundle.call("state").arg(&bundle.id).run().refused(&[]);
    assert_eq!(fs::read_to_string(bundle.state.join(&bundle.id)).expect("read the file"), "a file");
    fs::remove_file(bundle.state.join(&bundle.id)).expect("remove the file");
    // A directory that somebody else made.
    fs::create_dir(bundle.state.join(&bundle.id)).expect("make a directory");
    bundle.create_call().arg(&bundle.id).run().refused(&["already exists"]);
    for command in ["state", "start", "pause", "resume", "kill", "delete"] {
        let said = ["container does not exist", &bundle.id, "delete --force"];
        bundle.call(command).arg(&bundle.id).run().refused(&said);
    }
    bundle.call("delete").args(["--force", &bundle.id]).ok();
    bundle.assert_nothing_left();
}

#[test]
fn a_container_that_dies_between_two_commands() {
    let bundle = Bundle::staying();
    let die = |container: &crate::harness::Container| {
        rustix::process::kill_process(container.process.pid, rustix::process::Signal::KILL)
            .expect("kill the container");
        container.process.wait();
    };
    let container = bundle.create();
    die(&container);
    container.run("start").refused(&["cannot start a container that has stopped"]);
    container.delete();
    let container = bundle.start();
    die(&container);
    container.exec(["true"]).failed(255, &["cannot exec in a stopped container"]);
    container.run("pause").refused(&[]);
    container.run("resume").refused(&[]);
    container.call("kill").args([&container.id, "TERM"]).run().refused(&["container not running"]);
    let pids = container.call("ps").args(["--format", "json", &container.id]).run();
    assert!(pids.code == 1 || [json!(null), json!([])].contains(&pids.json()), "{pids}");
    container.delete();
    bundle.assert_nothing_left();
}

#[test]
fn another_process_with_the_pid_of_a_container_is_not_the_container() {
    // The state tells pid and start time; with another start time it is a stopped container.
    let bundle = Bundle::staying();
    let container = bundle.start();
    let directory = bundle.state.join(&container.id);
    let mut changed = false;
    for entry in fs::read_dir(&directory).expect("read the state directory").flatten() {
        let Ok(text) = fs::read_to_string(entry.path()) else { continue };
        let Ok(mut state) = serde_json::from_str::<Value>(&text) else { continue };
        let start = host(&format!("sed 's/.*) //' /proc/{}/stat | cut -d' ' -f20", container.process.pid));
        let start: u64 = start.trim().parse().expect("a start time");
        changed |= replace(&mut state, start, start + 1);
        fs::write(entry.path(), state.to_string()).expect("write a state file");
    }
    if !changed {
        crate::skip!("this runtime keeps its start time in another way");
    }
    assert_eq!(container.status(), "stopped");
    container.call("kill").args([&container.id, "KILL"]).run().refused(&["container not running"]);
    assert!(container.process.alive(), "it is somebody else's process now");
    container.process.kill();
}

/// Replaces a number wherever it stands.
fn replace(value: &mut Value, from: u64, to: u64) -> bool {
    match value {
        Value::Number(number) if number.as_u64() == Some(from) => {
            *value = json!(to);
            true
        }
        Value::Array(items) => items.iter_mut().fold(false, |found, item| replace(item, from, to) | found),
        Value::Object(object) => object.values_mut().fold(false, |found, item| replace(item, from, to) | found),
        _ => false,
    }
}

#[test]
fn cache_allocation_without_resctrl() {
    if host("grep -c resctrl /proc/mounts || true") != "0\n" {
        crate::skip!("resctrl is mounted here");
    }
    let mut bundle = Bundle::new();
    bundle.config.set("/linux/intelRdt", json!({"closID": "group", "l3CacheSchema": "L3:0=ff"}));
    bundle.refused(&["linux.intelRdt", "resctrl"]);
    for id in ["..", ".", "a/b", "../../etc"] {
        bundle.config.set("/linux/intelRdt", json!({"closID": id}));
        bundle.refused(&["linux.intelRdt"]);
    }
}

#[test]
fn limits_without_their_controller() {
    let controllers =
        host("cat /sys/fs/cgroup/cgroup.controllers /sys/fs/cgroup/unified/cgroup.controllers 2>/dev/null || true");
    let mut bundle = Bundle::new();
    let mut shown = false;
    each(
        [
            ("memory", json!({"memory": {"limit": 67_108_864}})),
            ("cpu", json!({"cpu": {"shares": 512}})),
            ("pids", json!({"pids": {"limit": 10}})),
            ("cpuset", json!({"cpu": {"cpus": "0"}})),
        ],
        |(controller, resources)| {
            if !controllers.split_whitespace().any(|known| known == controller) {
                bundle.config = Config::usual();
                bundle.config.set("/linux/resources", resources);
                bundle.refused(&[controller]);
                shown = true;
            }
        },
    );
    if !shown {
        crate::skip!("every controller is there");
    }
}

#[test]
fn security_modules_that_are_not_there() {
    let mut bundle = Bundle::new();
    if !std::path::Path::new("/sys/kernel/security/apparmor").exists() {
        bundle.config.set("/process/apparmorProfile", "some-profile");
        bundle.refused(&["apparmor"]);
        bundle.config.remove("/process/apparmorProfile");
    }
    if !std::path::Path::new("/sys/fs/selinux").exists() {
        bundle.config.set("/process/selinuxLabel", "system_u:system_r:container_t:s0");
        bundle.refused(&["selinux"]);
    }
}

#[test]
fn a_bundle_that_the_user_may_not_read() {
    let bundle = Bundle::new();
    bundle.write();
    fs::set_permissions(bundle.path("config.json"), fs::Permissions::from_mode(0o600)).expect("close the file");
    let state = bundle.make_directory("users-state");
    host(&format!(
        "chown 4711 {0}; cp {1} {2}/corten",
        state.display(),
        crate::harness::call::program().display(),
        bundle.directory.display()
    ));
    let out = bundle.make_directory("out");
    host(&format!("chmod 777 {}", out.display()));
    let call = Call::of(bundle.path("corten"), &out).user(4711, 4711).arg("--root").arg(&state);
    let ran = call.arg("create").arg("--bundle").arg(&bundle.directory).arg(&bundle.id).run();
    ran.refused(&["config.json", "permission denied"]);
}

#[test]
fn no_value_anywhere_makes_it_panic_or_leave_something() {
    // Each property of a configuration that has nearly all of them, replaced by a value of every other kind.
    let mut bundle = Bundle::new();
    bundle.config.namespace("time");
    let config = bundle.config.0.as_object_mut().expect("an object");
    config.insert("annotations".into(), json!({"key": "value"}));
    config.insert("domainname".into(), json!("example.org"));
    config.insert(
        "hooks".into(),
        json!({"createRuntime": [{"path": "/bin/true", "args": ["true"], "env": ["A=b"], "timeout": 9}]}),
    );
    bundle.config.set("/linux/sysctl", json!({"net.ipv4.ip_forward": "1"}));
    bundle.config.set(
        "/linux/devices",
        json!([{"path": "/dev/x", "type": "c", "major": 1, "minor": 3, "fileMode": 438, "uid": 0, "gid": 0}]),
    );
    bundle.config.set("/linux/timeOffsets", json!({"boottime": {"secs": 1, "nanosecs": 1}}));
    bundle.config.set("/linux/seccomp", json!({"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [
        {"names": ["mkdir"], "action": "SCMP_ACT_ERRNO", "errnoRet": 1, "args": [{"index": 0, "value": 1, "op": "SCMP_CMP_EQ"}]}]}));
    bundle.config.set("/process/scheduler", json!({"policy": "SCHED_OTHER", "nice": 1}));
    bundle.config.set("/process/ioPriority", json!({"class": "IOPRIO_CLASS_BE", "priority": 1}));
    bundle.config.set("/linux/personality", json!({"domain": "LINUX"})).set("/linux/rootfsPropagation", "slave");
    bundle.output();

    let whole = bundle.config.0.clone();
    let mut pointers = Vec::new();
    collect_pointers(&whole, String::new(), &mut pointers);
    let values = [
        json!(null),
        json!(-1),
        json!(18_446_744_073_709_551_615_u64),
        json!("\u{1F980}"),
        json!([[]]),
        json!({"": {}}),
    ];
    for pointer in pointers {
        for value in &values {
            let mut config = whole.clone();
            *config.pointer_mut(&pointer).expect("a pointer of this value") = value.clone();
            fs::write(bundle.path("config.json"), config.to_string()).expect("write config.json");
            let call = bundle.call("run").arg("--bundle").arg(&bundle.directory).arg(&bundle.id);
            let ran = call.run();
            assert!(ran.signal.is_none(), "{pointer} = {value}: {ran}");
            assert!(ran.code == 0 || !ran.stderr.trim().is_empty(), "{pointer} = {value}: {ran}");
        }
    }
    bundle.assert_nothing_left();
}

fn collect_pointers(value: &Value, at: String, pointers: &mut Vec<String>) {
    match value {
        Value::Object(object) => {
            for (key, item) in object {
                let place = format!("{at}/{}", key.replace('~', "~0").replace('/', "~1"));
                pointers.push(place.clone());
                collect_pointers(item, place, pointers);
            }
        }
        // The first of each list stands for the others.
        Value::Array(items) => {
            if let Some(item) = items.first() {
                pointers.push(format!("{at}/0"));
                collect_pointers(item, format!("{at}/0"), pointers);
            }
        }
        _ => {}
    }
}

#[test]
fn what_is_odd_and_runs_with_runc() {
    // Names that stand twice, of which the last counts, objects joined; null among texts, which is an empty one.
    let bundle = Bundle::new();
    let text = bundle.config.0.to_string();
    let odd = r#","hostname":"second","annotations":{"a":null,"b":"1","b":"2"},"process":{"args":["sh","-c","hostname; echo $#","0",null]}}"#;
    let text = format!("{}{odd}", text.strip_suffix('}').expect("an object"));
    create_with_text(&bundle, text).ok();
    let state = bundle.call("state").arg(&bundle.id).ok().json();
    assert_eq!(state["annotations"], json!({"a": "", "b": "2"}));
    bundle.call("delete").args(["--force", &bundle.id]).ok();
    assert_eq!(bundle.call("run").arg("--bundle").arg(&bundle.directory).arg(&bundle.id).ok().stdout, "second\n1\n");
    // And where it matters what is missing.
    create_with_text(&bundle, r#"{"ociVersion":"1.0.2","root":{"path":"rootfs"},"mounts":[null]}"#)
        .run()
        .refused(&["mounts[0]", "destination"]);
}
