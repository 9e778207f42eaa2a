//! The root file system, and what is mounted in it.

mod binds;
mod cgroup;
mod id_maps;
mod masks;
mod options;
mod propagation;
mod root;
mod tmpfs;

use serde_json::json;

use crate::harness::mountinfo::{self, Mount};
use crate::harness::{Bundle, Config, each, host};

/// The mounts that the container sees.
#[track_caller]
fn table(bundle: &mut Bundle) -> String {
    bundle.config.args(["cat", "/proc/self/mountinfo"]);
    bundle.output()
}

/// The mount that the container sees at a path.
#[track_caller]
fn mount_at(bundle: &mut Bundle, point: &str) -> Mount {
    mountinfo::at(&table(bundle), point)
}

/// A bundle with a directory `source` that has a file, and a mount below it with another one.
fn bundle_with_tree() -> Bundle {
    let bundle = Bundle::new();
    bundle.write_file("source/file", "outer\n");
    let below = bundle.make_directory("source/below");
    host(&format!("mount -t tmpfs below {}", below.display()));
    bundle.write_file("source/below/file", "inner\n");
    bundle
}

#[test]
fn the_usual_file_systems() {
    let mut bundle = Bundle::new();
    let table = table(&mut bundle);
    for (point, kind, options) in [
        ("/proc", "proc", &["rw"][..]),
        ("/dev", "tmpfs", &["rw", "nosuid"]),
        ("/dev/pts", "devpts", &["rw", "nosuid", "noexec"]),
        ("/dev/shm", "tmpfs", &["rw", "nosuid", "nodev", "noexec"]),
        ("/dev/mqueue", "mqueue", &["rw", "nosuid", "nodev", "noexec"]),
        ("/sys", "sysfs", &["ro", "nosuid", "nodev", "noexec"]),
        ("/sys/fs/cgroup", "cgroup2", &["ro", "nosuid", "nodev", "noexec", "relatime"]),
    ] {
        let mount = mountinfo::at(&table, point);
        assert_eq!(mount.kind, kind, "{point}");
        for option in options {
            assert!(mount.has(option), "no {option} in {mount:?}");
        }
    }
    let devices = mountinfo::at(&table, "/dev");
    assert!(devices.data.contains(&"size=65536k".to_owned()) && devices.data.contains(&"mode=755".to_owned()));
    assert!(!devices.has("relatime"), "strictatime: {devices:?}");
    let terminals = mountinfo::at(&table, "/dev/pts");
    for option in ["gid=5", "mode=620", "ptmxmode=666"] {
        assert!(terminals.data.contains(&option.to_owned()), "{terminals:?}");
    }
}

#[test]
fn nothing_of_the_host_is_mounted() {
    let mut bundle = Bundle::new();
    let usual = ["/", "/proc", "/dev", "/dev/pts", "/dev/shm", "/dev/mqueue", "/sys", "/sys/fs/cgroup"];
    bundle.config.remove("/linux/maskedPaths").remove("/linux/readonlyPaths");
    let table = table(&mut bundle);
    let mut points: Vec<String> = mountinfo::parse(&table).into_iter().map(|mount| mount.point).collect();
    points.sort();
    let mut usual = usual.map(str::to_owned).to_vec();
    usual.sort();
    assert_eq!(points, usual);
}

#[test]
fn mounts_are_made_in_the_listed_order() {
    let mut bundle = Bundle::new();
    bundle.write_file("one/name", "one\n");
    bundle.write_file("two/name", "two\n");
    bundle.make_directory("two/inner");
    bundle.bind("one", "/data", &["bind"]).bind("two", "/data", &["bind"]);
    bundle.config.mount("/data/inner", "tmpfs", "tmpfs", &[]);
    bundle.bind("one", "/data/inner/deep", &["bind"]);
    assert_eq!(bundle.shell("cat /data/name /data/inner/deep/name"), "two\none\n");
}

#[test]
fn a_file_system_with_data() {
    let mut bundle = Bundle::new();
    for name in ["lower", "upper", "work"] {
        bundle.make_directory(name);
    }
    bundle.write_file("lower/file", "content\n");
    let options = ["lower", "upper", "work"].map(|name| format!("{name}dir={}", bundle.text_path(name)));
    let options: Vec<&str> = options.iter().map(String::as_str).chain(["nosuid"]).collect();
    bundle.config.mount("/merged", "overlay", "overlay", &options);
    assert_eq!(bundle.shell("cat /merged/file; echo new >/merged/made"), "content\n");
    assert_eq!(bundle.read_file("upper/made"), "new\n");
    assert!(mount_at(&mut bundle, "/merged").has("nosuid"));
}

#[test]
fn proc_with_data() {
    let mut bundle = Bundle::new();
    bundle.config.set("/mounts/0/options", json!(["nosuid", "noexec", "nodev", "hidepid=2"]));
    let mount = mount_at(&mut bundle, "/proc");
    assert!(mount.has("nosuid") && mount.has("noexec") && mount.has("nodev"), "{mount:?}");
    assert!(mount.data.iter().any(|option| option == "hidepid=invisible" || option == "hidepid=2"), "{mount:?}");
}

#[test]
fn mounts_that_can_not_be_made() {
    let mut bundle = Bundle::new();
    bundle.write_file("file", "");
    let file = bundle.text_path("file");
    let directory = bundle.text_path("rootfs");
    each(
        [
            (
                json!({"destination": "/x", "type": "bind", "source": "/no/such/source", "options": ["bind"]}),
                &["/no/such/source", "no such file or directory"][..],
            ),
            (json!({"destination": "/x", "type": "nosuchfs", "source": "x"}), &["nosuchfs"]),
            (
                json!({"destination": "/x", "type": "tmpfs", "source": "x", "options": ["nosuchoption=1"]}),
                &["/x", "nosuchoption"],
            ),
            (
                json!({"destination": "/etc", "type": "bind", "source": file, "options": ["bind"]}),
                &["/etc", "directory"],
            ),
            (
                json!({"destination": "/etc/passwd", "type": "bind", "source": directory, "options": ["bind"]}),
                &["/etc/passwd"],
            ),
            (json!({"destination": "/etc/passwd/x", "type": "tmpfs", "source": "x"}), &["/etc/passwd/x"]),
            (
                json!({"destination": "/x", "type": "bind", "source": directory, "options": ["bind", "nosuchoption"]}),
                &["nosuchoption"],
            ),
            (json!({"type": "tmpfs", "source": "x"}), &["mounts[7]", "destination"]),
            (json!({"destination": "", "type": "tmpfs", "source": "x"}), &["mounts[7].destination"]),
        ],
        |(mount, needles)| {
            bundle.config = Config::usual();
            bundle.config.push("/mounts", mount);
            bundle.refused(needles);
        },
    );
}

#[test]
fn without_a_single_mount() {
    let mut bundle = Bundle::script("echo fine");
    bundle.config.remove("/mounts").remove("/linux/maskedPaths").remove("/linux/readonlyPaths");
    assert_eq!(bundle.output(), "fine\n");
}
