//! Device nodes: those that every container has, and `linux.devices`.

use std::fs;
use std::os::unix::fs::{FileTypeExt, MetadataExt, symlink};

use serde_json::json;

use crate::harness::{Bundle, Config, each, host};

#[test]
fn default_devices() {
    let mut bundle = Bundle::new();
    let listing = bundle.shell("cd /dev; stat -c '%n %F %t:%T %a %u %g' null zero full random urandom tty");
    let expected =
        [("null", "1:3"), ("zero", "1:5"), ("full", "1:7"), ("random", "1:8"), ("urandom", "1:9"), ("tty", "5:0")];
    let expected: String =
        expected.iter().map(|(name, numbers)| format!("{name} character special file {numbers} 666 0 0\n")).collect();
    assert_eq!(listing, expected);
    let script = "echo x >/dev/null; head -c 3 /dev/zero | od -An -tx1; (echo x >/dev/full) 2>&1 || true; head -c 9 /dev/urandom | wc -c";
    assert_eq!(bundle.shell(script), " 00 00 00\nsh: write error: No space left on device\n9\n");
}

#[test]
fn default_devices_are_for_every_user() {
    let mut bundle = Bundle::new();
    bundle.config.set("/process/user", json!({"uid": 1000, "gid": 1000}));
    assert_eq!(bundle.shell("echo x >/dev/null; head -c 9 /dev/zero | wc -c; echo y >/dev/zero"), "9\n");
}

#[test]
fn default_links() {
    let mut bundle = Bundle::new();
    let script = "cd /dev; for link in fd stdin stdout stderr ptmx; do echo $link $(readlink $link); done; readlink core || true";
    let shown = bundle.shell(script);
    assert!(
        shown.starts_with(
            "fd /proc/self/fd\nstdin /proc/self/fd/0\nstdout /proc/self/fd/1\nstderr /proc/self/fd/2\nptmx pts/ptmx\n"
        ),
        "{shown}"
    );
    assert_eq!(
        bundle.shell("echo through >/dev/stdout; [ -c /dev/pts/ptmx ] && exec 5<>/dev/ptmx; ls /dev/pts"),
        "through\n0\nptmx\n"
    );
}

#[test]
fn no_console_without_a_terminal() {
    let mut bundle = Bundle::new();
    assert_eq!(bundle.shell("[ -e /dev/console ] || echo none"), "none\n");
}

#[test]
fn devices_of_each_type() {
    let mut bundle = Bundle::new();
    bundle.config.set(
        "/linux/devices",
        json!([
            {"path": "/dev/character", "type": "c", "major": 10, "minor": 229, "fileMode": 0o640, "uid": 7, "gid": 8},
            {"path": "/dev/unbuffered", "type": "u", "major": 1, "minor": 3, "fileMode": 0o600, "uid": 0, "gid": 0},
            {"path": "/dev/block", "type": "b", "major": 7, "minor": 300, "fileMode": 0o2660, "uid": 0, "gid": 9},
            {"path": "/dev/pipe", "type": "p", "fileMode": 0o622, "uid": 1000, "gid": 1000},
            {"path": "/dev/deep/er/node", "type": "c", "major": 1, "minor": 5, "fileMode": 0o666},
            {"path": "/opt/node", "type": "c", "major": 1, "minor": 5, "fileMode": 0o444}
        ]),
    );
    let script = "stat -c '%n %F %t:%T %a %u %g' /dev/character /dev/unbuffered /dev/block /dev/pipe /dev/deep/er/node /opt/node";
    let expected = "/dev/character character special file a:e5 640 7 8\n\
        /dev/unbuffered character special file 1:3 600 0 0\n\
        /dev/block block special file 7:12c 2660 0 9\n\
        /dev/pipe fifo 0:0 622 1000 1000\n\
        /dev/deep/er/node character special file 1:5 666 0 0\n\
        /opt/node character special file 1:5 444 0 0\n";
    assert_eq!(bundle.run_call().arg(&bundle.id).after("umask 077").run().code, 0);
    assert_eq!(bundle.shell(script), expected);
    bundle.config.set("/process/user/umask", 0o77);
    assert_eq!(bundle.shell(script), expected, "no umask takes from the mode");
}

#[test]
fn a_device_without_a_mode_and_an_owner() {
    let mut bundle = Bundle::new();
    bundle.config.push("/linux/devices", json!({"path": "/dev/plain", "type": "c", "major": 1, "minor": 3}));
    assert_eq!(bundle.shell("stat -c '%a %u %g' /dev/plain"), "666 0 0\n");
}

#[test]
fn a_pipe_with_numbers() {
    // A fifo has none, and what is written there does no harm: runtime-tools does it.
    let mut bundle = Bundle::new();
    bundle
        .config
        .push("/linux/devices", json!({"path": "/dev/pipe", "type": "p", "major": 1, "minor": 3, "fileMode": 0o600}));
    assert_eq!(bundle.shell("stat -c '%F %a' /dev/pipe"), "fifo 600\n");
}

#[test]
fn a_device_that_is_there_already() {
    let mut bundle = Bundle::new();
    let null = json!({"path": "/dev/null", "type": "c", "major": 1, "minor": 3, "fileMode": 0o666, "uid": 0, "gid": 0});
    let pseudo_terminals = json!({"path": "/dev/ptmx", "type": "c", "major": 5, "minor": 2, "fileMode": 0o666});
    bundle.config.push("/linux/devices", null).push("/linux/devices", pseudo_terminals).remove("/linux/resources");
    assert_eq!(
        bundle.shell("echo x >/dev/null; stat -c %t:%T /dev/null; exec 5<>/dev/ptmx; ls /dev/pts"),
        "1:3\n0\nptmx\n"
    );
}

#[test]
fn something_else_is_where_a_device_belongs() {
    // runtime-spec, config-linux.md: what does not match the device MUST be an error.
    let mut bundle = Bundle::new();
    bundle.write_file("rootfs/opt/taken", "something else\n");
    host(&format!("mknod {}/opt/other c 1 5", bundle.rootfs.display()));
    for path in ["/opt/taken", "/opt/other"] {
        bundle.config.set("/linux/devices", json!([{"path": path, "type": "c", "major": 1, "minor": 3}]));
        bundle.refused(&["device", path]);
    }
    assert_eq!(bundle.read_file("rootfs/opt/taken"), "something else\n");
    bundle.config.set("/linux/devices", json!([{"path": "/opt/other", "type": "c", "major": 1, "minor": 5}]));
    assert_eq!(bundle.run().code, 0);
}

#[test]
fn devices_behind_links_stay_in_the_root() {
    let mut bundle = Bundle::new();
    bundle.make_directory("outside");
    symlink(bundle.path("outside"), bundle.rootfs.join("link")).expect("make a link");
    bundle.config.push("/linux/devices", json!({"path": "/link/node", "type": "c", "major": 1, "minor": 3}));
    bundle.run();
    assert_eq!(fs::read_dir(bundle.path("outside")).expect("list").count(), 0, "a device was made outside of the root");
}

#[test]
fn a_dev_that_is_a_link_stays_in_the_root() {
    // CVE-2026-41579: the set-up of /dev followed a link of the image.
    let mut bundle = Bundle::new();
    let outside = bundle.make_directory("outside");
    fs::remove_dir(bundle.rootfs.join("dev")).expect("remove /dev");
    symlink(&outside, bundle.rootfs.join("dev")).expect("make a link");
    for point in ["/dev", "/dev/pts", "/dev/shm", "/dev/mqueue"] {
        bundle.config.without_mount(point);
    }
    bundle.run();
    assert_eq!(fs::read_dir(&outside).expect("list").count(), 0, "something was made outside of the root");
}

#[test]
fn a_dev_that_is_bound_is_left_alone() {
    let mut bundle = Bundle::new();
    for point in ["/dev", "/dev/pts", "/dev/shm", "/dev/mqueue"] {
        bundle.config.without_mount(point);
    }
    bundle.write_file("source/file", "");
    host(&format!("mknod -m 666 {}/null c 1 3", bundle.path("source").display()));
    bundle.bind("source", "/dev", &["rbind"]);
    assert_eq!(bundle.shell("ls /dev"), "file\nnull\n");
    assert_eq!(fs::read_dir(bundle.path("source")).expect("list").count(), 2);
}

#[test]
fn a_dev_of_the_image() {
    let mut bundle = Bundle::new();
    for point in ["/dev", "/dev/pts", "/dev/shm", "/dev/mqueue"] {
        bundle.config.without_mount(point);
    }
    assert_eq!(bundle.shell("echo x >/dev/null; readlink /dev/fd"), "/proc/self/fd\n");
    let null = fs::metadata(bundle.rootfs.join("dev/null")).expect("the device is left in the root");
    assert!(null.file_type().is_char_device() && null.rdev() == rustix::fs::makedev(1, 3));
}

#[test]
fn devices_in_a_user_namespace() {
    let mut bundle = Bundle::new();
    host(&format!("chown -R 100000:100000 {}", bundle.rootfs.display()));
    bundle.config.user_namespace(100_000);
    bundle.config.push("/linux/devices", json!({"path": "/dev/net/tun", "type": "c", "major": 10, "minor": 200}));
    let script = "echo x >/dev/null; head -c 9 /dev/zero | wc -c; stat -c %t:%T /dev/urandom";
    if std::path::Path::new("/dev/net/tun").exists() {
        assert_eq!(bundle.shell(&format!("{script} /dev/net/tun")), "9\n1:9\na:c8\n");
    } else {
        bundle.config.remove("/linux/devices");
        assert_eq!(bundle.shell(script), "9\n1:9\n");
    }
}

#[test]
fn devices_that_make_no_sense() {
    let mut bundle = Bundle::new();
    each(
        [
            (json!({"path": "/dev/x", "type": "z", "major": 1, "minor": 3}), "linux.devices[0].type"),
            (json!({"path": "/dev/x", "type": "", "major": 1, "minor": 3}), "linux.devices[0].type"),
            (json!({"path": "/dev/x", "major": 1, "minor": 3}), "linux.devices[0]"),
            (json!({"type": "c", "major": 1, "minor": 3}), "linux.devices[0]"),
            (json!({"path": "dev/x", "type": "c", "major": 1, "minor": 3}), "linux.devices[0].path"),
            (json!({"path": "/", "type": "c", "major": 1, "minor": 3}), "/"),
            (json!({"path": "/dev/x", "type": "c", "major": -1, "minor": 3}), "linux.devices[0].major"),
            (json!({"path": "/dev/x", "type": "c"}), "linux.devices[0]"),
        ],
        |(device, needle)| {
            bundle.config = Config::usual();
            bundle.config.push("/linux/devices", device);
            bundle.refused(&[needle]);
        },
    );
}
