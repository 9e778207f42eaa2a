//! Namespaces: new ones, none, those of others; host and domain name; time offsets.

use serde_json::json;

use crate::harness::container::own_namespace;
use crate::harness::host::unshare;
use crate::harness::{Bundle, Container, each, host};

/// The names of the types in config.json, and of their files in /proc/PID/ns.
const TYPES: [(&str, &str); 8] = [
    ("cgroup", "cgroup"),
    ("ipc", "ipc"),
    ("mount", "mnt"),
    ("network", "net"),
    ("pid", "pid"),
    ("time", "time"),
    ("user", "user"),
    ("uts", "uts"),
];

fn file_of(kind: &str) -> &'static str {
    TYPES.iter().find(|(name, _)| *name == kind).expect("a namespace type").1
}

#[test]
fn new_namespaces() {
    for (kind, file) in TYPES {
        let mut bundle = Bundle::staying();
        if kind == "user" {
            host(&format!("chown -R 100000:100000 {}", bundle.rootfs.display()));
            bundle.config.user_namespace(100_000);
        } else {
            bundle.config.namespace(kind);
        }
        let container = bundle.start();
        assert_ne!(container.namespace(file), own_namespace(file), "{kind}");
        if ["pid", "time"].contains(&kind) {
            let children = format!("{file}_for_children");
            assert_eq!(container.namespace(&children), container.namespace(file));
        }
    }
}

#[test]
fn namespaces_that_are_not_listed_are_the_callers() {
    for (kind, file) in TYPES {
        let mut bundle = Bundle::staying();
        bundle.config.without_namespace(kind);
        match kind {
            // What needs the namespace goes with it.
            "mount" => continue,
            "uts" => bundle.config.remove("/hostname"),
            "ipc" => bundle.config.without_mount("/dev/mqueue"),
            _ => &mut bundle.config,
        };
        let container = bundle.start();
        assert_eq!(container.namespace(file), own_namespace(file), "{kind}");
    }
}

#[test]
fn without_any_namespace_but_mount() {
    let mut bundle = Bundle::script("echo fine");
    bundle.config.set("/linux/namespaces", json!([{"type": "mount"}])).remove("/hostname");
    bundle.config.without_mount("/dev/mqueue");
    assert_eq!(bundle.output(), "fine\n");
}

#[test]
fn without_a_mount_namespace_the_program_is_confined_all_the_same() {
    let mut bundle = Bundle::script("ls -d /tmp/corten-tests 2>/dev/null || echo confined");
    bundle.config.without_namespace("mount").set("/mounts", json!([]));
    bundle.config.remove("/linux/maskedPaths").remove("/linux/readonlyPaths");
    let ran = bundle.run();
    // Refused or obeyed.
    assert!(ran.code == 1 || ran.stdout == "confined\n", "{ran}");
    bundle.config.set("/linux/maskedPaths", json!(["/proc/kcore"]));
    bundle.refused(&["linux.maskedPaths"]);
}

#[test]
fn joining_the_namespaces_of_another_container() {
    for (kind, file) in TYPES {
        if ["mount", "user"].contains(&kind) {
            continue; // These two change what the root file system is, and have tests of their own.
        }
        let mut first = Bundle::staying();
        first.config.namespace(kind);
        let first_container = first.start();
        let mut second = Bundle::staying();
        second.config.join_namespace(kind, first_container.namespace_path(file));
        if kind == "uts" {
            second.config.remove("/hostname");
        }
        let container = second.start();
        assert_eq!(container.namespace(file), first_container.namespace(file), "{kind}");
        assert_ne!(container.namespace(file), own_namespace(file), "{kind}");
        for (other, other_file) in TYPES.iter().filter(|(other, _)| !["user", "time", kind].contains(other)) {
            assert_ne!(container.namespace(other_file), first_container.namespace(other_file), "{other} with {kind}");
        }
        container.stop();
        first_container.stop();
    }
}

#[test]
fn joining_all_at_once() {
    let mut first = Bundle::staying();
    first.config.namespace("time");
    let first_container = first.start();
    let mut second = Bundle::staying();
    for kind in ["network", "ipc", "uts", "pid", "cgroup", "time"] {
        second.config.join_namespace(kind, first_container.namespace_path(file_of(kind)));
    }
    second.config.remove("/hostname");
    let container = second.start();
    for kind in ["network", "ipc", "uts", "pid", "cgroup", "time"] {
        assert_eq!(container.namespace(file_of(kind)), first_container.namespace(file_of(kind)), "{kind}");
    }
    assert_ne!(container.namespace("mnt"), first_container.namespace("mnt"));
    container.stop();
}

#[test]
fn a_shared_pid_namespace_shows_the_others_processes() {
    let mut first = Bundle::new();
    first.config.args(["sleep", "987654"]);
    let first_container = first.start();
    let mut second = Bundle::new();
    second.config.join_namespace("pid", first_container.namespace_path("pid"));
    assert_eq!(second.shell("ps -o args | grep -c '^sleep 987654'; [ $$ != 1 ] && echo not first"), "1\nnot first\n");
    assert!(first_container.process.alive());
}

#[test]
fn joining_a_mount_namespace() {
    let first = Bundle::staying();
    first.write_file("rootfs/mark", "first\n");
    let first_container = first.start();
    let mut second = Bundle::staying();
    second.config.join_namespace("mount", first_container.namespace_path("mnt")).set("/mounts", json!([]));
    second.config.remove("/linux/maskedPaths").remove("/linux/readonlyPaths");
    let ran = second.create_call().arg(&second.id).run();
    if ran.code == 0 {
        let container = Container::made(&second, &second.id, ran);
        assert_eq!(container.namespace("mnt"), first_container.namespace("mnt"));
        container.stop();
    } else {
        // What can't be done must be said, with the namespace's name.
        ran.refused(&["namespace"]);
    }
    assert_eq!(first_container.shell("cat /mark"), "first\n", "the first container keeps its root");
}

#[test]
fn joining_a_namespace_that_is_bound_to_a_file() {
    // As `ip netns add` and podman do it.
    let mut bundle = Bundle::staying();
    let path = bundle.write_file("netns", "");
    host(&format!("unshare --net={} true", path.display()));
    bundle.config.join_namespace("network", bundle.text_path("netns"));
    let container = bundle.start();
    let inode = std::os::unix::fs::MetadataExt::ino(&std::fs::metadata(&path).expect("look at the namespace"));
    assert_eq!(container.namespace("net"), format!("net:[{inode}]"));
    container.stop();
    host(&format!("umount {}", path.display()));
}

#[test]
fn the_runtimes_own_namespace_can_be_named() {
    let mut bundle = Bundle::staying();
    bundle
        .config
        .join_namespace("network", "/proc/self/ns/net")
        .join_namespace("ipc", format!("/proc/{}/ns/ipc", std::process::id()));
    let container = bundle.start();
    assert_eq!(container.namespace("net"), own_namespace("net"));
    assert_eq!(container.namespace("ipc"), own_namespace("ipc"));
}

#[test]
fn namespaces_that_can_not_be_joined() {
    let mut bundle = Bundle::new();
    bundle.write_file("file", "");
    let file = bundle.text_path("file");
    each(
        [
            ("network", "/no/such/namespace", "/no/such/namespace"),
            ("network", file.as_str(), file.as_str()),
            ("network", "/proc/self/ns/uts", "/proc/self/ns/uts"),
            ("pid", "/proc/self/ns/net", "/proc/self/ns/net"),
            ("user", "/proc/self/ns/ipc", "/proc/self/ns/ipc"),
            ("ipc", "relative/path", "relative/path"),
        ],
        |(kind, path, needle)| {
            bundle.config = crate::harness::Config::usual();
            bundle.config.join_namespace(kind, path);
            bundle.refused(&["namespace", needle]);
        },
    );
}

#[test]
fn namespace_lists_that_make_no_sense() {
    let mut bundle = Bundle::new();
    bundle.config.push("/linux/namespaces", json!({"type": "pid"}));
    bundle.refused(&["linux.namespaces", "pid"]);
    bundle.config.without_namespace("pid").push("/linux/namespaces", json!({"type": "nosuch"}));
    bundle.refused(&["linux.namespaces[5].type", "nosuch"]);
    bundle.config.without_namespace("nosuch").push("/linux/namespaces", json!({"path": "/proc/self/ns/net"}));
    bundle.refused(&["linux.namespaces[5]", "type"]);
}

#[test]
fn hostname() {
    let mut bundle = Bundle::new();
    bundle.config.set("/hostname", "a-host.of-its-own");
    let before = host("hostname");
    assert_eq!(bundle.shell("hostname; cat /proc/sys/kernel/hostname"), "a-host.of-its-own\na-host.of-its-own\n");
    assert_eq!(host("hostname"), before);
    bundle.config.remove("/hostname");
    assert_eq!(bundle.shell("hostname"), before, "unset, it is copied from the caller's namespace");
}

#[test]
fn domainname() {
    let mut bundle = Bundle::new();
    bundle.config.set("/domainname", "example.org");
    assert_eq!(bundle.shell("cat /proc/sys/kernel/domainname"), "example.org\n");
    assert_ne!(host("cat /proc/sys/kernel/domainname"), "example.org\n");
}

#[test]
fn names_need_a_namespace_of_their_own() {
    let mut bundle = Bundle::new();
    bundle.config.without_namespace("uts");
    bundle.refused(&["hostname", "uts"]);
    bundle.config.remove("/hostname").set("/domainname", "example.org");
    bundle.refused(&["domainname", "uts"]);
    bundle.config.namespace("uts").set("/hostname", "x".repeat(65));
    bundle.refused(&["hostname"]);
}

/// Monotonic and boot time as a probe printed them.
fn clocks(text: &str) -> (i64, i64) {
    let value = |name: &str| {
        let line = text.lines().find_map(|line| line.strip_prefix(name));
        line.and_then(|value| value.trim().parse().ok()).unwrap_or_else(|| panic!("no {name} in {text}"))
    };
    (value("monotonic"), value("boottime"))
}

#[test]
fn time_offsets() {
    let mut bundle = Bundle::new();
    bundle.config.namespace("time").set(
        "/linux/timeOffsets",
        json!({"monotonic": {"secs": 172_800, "nanosecs": 5}, "boottime": {"secs": 604_800, "nanosecs": 0}}),
    );
    let (monotonic, boottime) = clocks(&host(&format!("{} clocks", crate::harness::probe::program().display())));
    let (inner_monotonic, inner_boottime) = clocks(&bundle.probe(&["clocks"]));
    assert!((172_800..172_860).contains(&(inner_monotonic - monotonic)), "{inner_monotonic} and {monotonic}");
    assert!((604_800..604_860).contains(&(inner_boottime - boottime)), "{inner_boottime} and {boottime}");
    let offsets = bundle.shell("awk '{print $1, $2, $3}' /proc/self/timens_offsets");
    assert_eq!(offsets, "monotonic 172800 5\nboottime 604800 0\n");
}

#[test]
fn time_offsets_into_the_past() {
    let mut bundle = Bundle::new();
    bundle.config.namespace("time").set("/linux/timeOffsets", json!({"boottime": {"secs": -5, "nanosecs": 500}}));
    let offsets = bundle.shell("awk '{print $1, $2, $3}' /proc/self/timens_offsets");
    assert_eq!(offsets, "monotonic 0 0\nboottime -5 500\n");
}

#[test]
fn time_offsets_hold_for_exec() {
    let mut bundle = Bundle::staying();
    bundle.add_probe();
    bundle.config.namespace("time").set("/linux/timeOffsets", json!({"boottime": {"secs": 604_800, "nanosecs": 0}}));
    let container = bundle.start();
    let (_, outer) = clocks(&host(&format!("{} clocks", crate::harness::probe::program().display())));
    let (_, inner) = clocks(&container.exec(["probe", "clocks"]).stdout);
    assert!((604_800..604_860).contains(&(inner - outer)), "{inner} and {outer}");
}

#[test]
fn time_offsets_that_can_not_be() {
    let mut bundle = Bundle::new();
    let offsets = json!({"monotonic": {"secs": 1, "nanosecs": 0}});
    bundle.config.set("/linux/timeOffsets", offsets.clone());
    bundle.refused(&["linux.timeOffsets", "time"]);
    bundle.config.join_namespace("time", "/proc/self/ns/time");
    bundle.refused(&["linux.timeOffsets"]);
    bundle.config.namespace("time").set("/linux/timeOffsets", json!({"realtime": {"secs": 1}}));
    bundle.refused(&["linux.timeOffsets", "realtime"]);
    bundle.config.set("/linux/timeOffsets", json!({"monotonic": {"secs": 1, "nanosecs": 1_000_000_000}}));
    bundle.refused(&["monotonic"]);
}

#[test]
fn the_loopback_device_of_a_new_network_namespace_is_up() {
    let mut bundle = Bundle::new();
    let shown = bundle.shell("ip addr show lo; ls /sys/class/net");
    assert!(shown.contains("LOOPBACK,UP") && shown.contains("127.0.0.1/8"), "{shown}");
    assert!(shown.ends_with("\nlo\n"), "nothing but lo: {shown}");
}

#[test]
fn the_network_of_a_joined_namespace_is_left_alone() {
    let mut bundle = Bundle::new();
    unshare(rustix::thread::UnshareFlags::NEWNET);
    bundle.config.without_namespace("network").without_mount("/sys");
    assert!(!bundle.shell("ip addr show lo").contains(",UP"), "the caller's namespace is not the runtime's to set up");
}

#[test]
fn the_first_process_of_a_pid_namespace() {
    let mut bundle = Bundle::new();
    assert_eq!(bundle.shell("echo $$; cut -d' ' -f4 /proc/1/stat"), "1\n0\n", "nobody is its parent");
}

#[test]
fn orphans_are_left_to_the_first_process() {
    // No process of the runtime stays in the container.
    let mut bundle = Bundle::new();
    let shown = bundle.shell("ps -o pid,args; true");
    let processes: Vec<&str> = shown.lines().skip(1).collect();
    assert_eq!(processes.len(), 2, "the shell and ps: {shown}");
}
