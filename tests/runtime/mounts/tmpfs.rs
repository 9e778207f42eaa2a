//! File systems in memory, and what is copied up into them.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};

use serde_json::json;

use super::mount_at;
use crate::harness::{Bundle, host};

#[test]
fn tmpfs_options() {
    let mut bundle = Bundle::new();
    bundle.config.mount(
        "/scratch",
        "tmpfs",
        "name",
        &["nosuid", "mode=1770", "size=4m", "uid=7", "gid=8", "nr_inodes=50"],
    );
    let mount = mount_at(&mut bundle, "/scratch");
    assert_eq!((mount.kind.as_str(), mount.source.as_str()), ("tmpfs", "name"));
    assert!(
        mount.data.contains(&"size=4096k".to_owned()) && mount.data.contains(&"nr_inodes=50".to_owned()),
        "{mount:?}"
    );
    assert_eq!(
        bundle.shell("stat -c '%a %u %g' /scratch; df -k /scratch | tail -1 | awk '{print $2}'"),
        "1770 7 8\n4096\n"
    );
}

#[test]
fn tmpfs_takes_the_mode_of_its_target() {
    let mut bundle = Bundle::new();
    let target = bundle.make_directory("rootfs/target");
    fs::set_permissions(&target, fs::Permissions::from_mode(0o1707)).expect("set a mode");
    bundle.config.mount("/target", "tmpfs", "tmpfs", &[]).mount("/new", "tmpfs", "tmpfs", &[]);
    assert_eq!(bundle.shell("stat -c %a /target"), "1707\n");
    // As it is without a directory to take it from, and the next time, when there is one.
    for _ in 0..2 {
        assert_eq!(bundle.shell("stat -c %a /new"), "1777\n");
    }
    bundle.config.mount("/target", "tmpfs", "tmpfs", &["mode=0711"]);
    assert_eq!(bundle.shell("stat -c %a /target"), "711\n");
}

#[test]
fn tmpfs_read_only_can_hold_targets_of_later_mounts() {
    let mut bundle = Bundle::new();
    bundle.write_file("source", "content\n");
    bundle.config.mount("/ro", "tmpfs", "tmpfs", &["ro"]);
    bundle.bind("source", "/ro/file", &["bind"]);
    assert_eq!(
        bundle.shell("cat /ro/file; touch /ro/x 2>&1 || true"),
        "content\ntouch: /ro/x: Read-only file system\n"
    );
}

#[test]
fn dev_may_be_read_only() {
    let mut bundle = Bundle::new();
    bundle.config.set("/mounts/1/options", json!(["nosuid", "strictatime", "mode=755", "size=65536k", "ro"]));
    assert_eq!(
        bundle.shell("echo x >/dev/null; ls /dev/shm; touch /dev/x 2>&1 || true"),
        "touch: /dev/x: Read-only file system\n"
    );
}

#[test]
fn tmpcopyup() {
    let mut bundle = Bundle::new();
    bundle.write_file("rootfs/seed/deep/file", "content\n");
    symlink("deep/file", bundle.rootfs.join("seed/link")).expect("make a link");
    host(&format!(
        "cd {}/seed; chown 7:8 deep; chmod 750 deep; chmod 4711 deep/file; chmod 1733 .",
        bundle.rootfs.display()
    ));
    bundle.config.mount("/seed", "tmpfs", "tmpfs", &["tmpcopyup"]);
    bundle.config.capabilities(&["bounding", "permitted", "effective"], &["CAP_DAC_OVERRIDE"]);
    assert_eq!(mount_at(&mut bundle, "/seed").kind, "tmpfs");
    let script = "cd /seed; cat link; stat -c '%a %u %g' . deep; readlink link; echo new >deep/file; touch added";
    assert_eq!(bundle.shell(script), "content\n1733 0 0\n750 7 8\ndeep/file\n");
    assert_eq!(bundle.read_file("rootfs/seed/deep/file"), "content\n", "the root is not written to");
    assert!(!bundle.rootfs.join("seed/added").exists());
}

#[test]
fn tmpcopyup_of_special_files() {
    let mut bundle = Bundle::new();
    host(&format!("mkdir {0}/seed; cd {0}/seed; mkfifo pipe; mknod null c 1 3", bundle.rootfs.display()));
    bundle.config.mount("/seed", "tmpfs", "tmpfs", &["tmpcopyup"]);
    assert_eq!(bundle.shell("[ -p /seed/pipe ]; stat -c '%t %T' /seed/null"), "1 3\n");
}

#[test]
fn tmpcopyup_of_a_missing_or_empty_directory() {
    let mut bundle = Bundle::new();
    bundle.make_directory("rootfs/empty");
    bundle.config.mount("/empty", "tmpfs", "tmpfs", &["tmpcopyup"]).mount("/new", "tmpfs", "tmpfs", &["tmpcopyup"]);
    assert_eq!(
        bundle.shell("ls -A /empty /new | wc -w; grep -q ' /new ' /proc/self/mountinfo && echo mounted"),
        "2\nmounted\n"
    );
}
