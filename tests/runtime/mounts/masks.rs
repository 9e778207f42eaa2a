//! Masked and read-only paths.

use std::os::unix::fs::symlink;

use serde_json::json;

use super::{mount_at, table};
use crate::harness::Bundle;
use crate::harness::mountinfo;

#[test]
fn masked_paths() {
    let mut bundle = Bundle::new();
    bundle.write_file("rootfs/secret/file", "secret\n");
    bundle.write_file("rootfs/secret-file", "secret\n");
    bundle.write_file("rootfs/other/file", "secret\n");
    let paths = json!(["/secret", "/secret-file", "/missing", "/other", "/secret", "/proc/kcore", "/sys/firmware"]);
    bundle.config.set("/linux/maskedPaths", paths);
    let script = "! ls -A /secret /other | grep file; cat /secret-file; [ -c /secret-file ] && echo device
        touch /secret/x 2>&1 || true; ls -A /sys/firmware | wc -l; cat /proc/kcore | wc -c; [ -e /missing ] || echo missing";
    assert_eq!(bundle.shell(script), "device\ntouch: /secret/x: Read-only file system\n0\n0\nmissing\n");
    assert_eq!(bundle.read_file("rootfs/secret/file"), "secret\n");
    let table = table(&mut bundle);
    assert_eq!(mountinfo::at(&table, "/secret").kind, "tmpfs");
}

#[test]
fn masked_paths_behind_links_stay_in_the_root() {
    let mut bundle = Bundle::new();
    bundle.write_file("outside/file", "content\n");
    symlink(bundle.path("outside"), bundle.rootfs.join("link")).expect("make a link");
    bundle.config.push("/linux/maskedPaths", "/link/file").push("/linux/readonlyPaths", "/link");
    assert_eq!(bundle.run().code, 0);
    assert_eq!(bundle.read_file("outside/file"), "content\n");
    bundle.write_file("outside/file", "still writable\n");
}

#[test]
fn a_null_device_that_is_none_masks_nothing() {
    // CVE-2025-31133: the image brings something else as /dev/null, and the mask would show that.
    let mut bundle = Bundle::new();
    bundle
        .config
        .without_mount("/dev")
        .without_mount("/dev/pts")
        .without_mount("/dev/shm")
        .without_mount("/dev/mqueue");
    bundle.write_file("rootfs/target", "shown through the mask\n");
    symlink("/target", bundle.rootfs.join("dev/null")).expect("make a link");
    bundle.write_file("rootfs/secret", "secret\n");
    bundle.config.set("/linux/maskedPaths", json!(["/secret"]));
    let ran = bundle.run_call().arg(&bundle.id).run();
    bundle.config.args(["cat", "/secret"]);
    let shown = bundle.run();
    assert!(ran.code != 0 || shown.stdout.is_empty(), "{shown}");
}

#[test]
fn readonly_paths() {
    let mut bundle = Bundle::new();
    bundle.write_file("rootfs/fixed/file", "content\n");
    bundle.write_file("rootfs/fixed-file", "content\n");
    bundle.config.mount("/fixed/mount", "tmpfs", "tmpfs", &["nosuid"]);
    bundle.config.set("/linux/readonlyPaths", json!(["/fixed", "/fixed-file", "/missing", "/proc/sys", "/dev/shm"]));
    let script =
        "cat /fixed/file; for path in /fixed/x /fixed/file /fixed-file /proc/sys/kernel/hostname /dev/shm/x; do
        (echo x >$path) 2>&1 || true; done";
    assert_eq!(
        bundle.shell(script),
        "content\nsh: can't create /fixed/x: Read-only file system\nsh: can't create /fixed/file: Read-only file system\n\
         sh: can't create /fixed-file: Read-only file system\n\
         sh: can't create /proc/sys/kernel/hostname: Read-only file system\n\
         sh: can't create /dev/shm/x: Read-only file system\n"
    );
    let shm = mount_at(&mut bundle, "/dev/shm");
    for option in ["ro", "nosuid", "nodev", "noexec"] {
        assert!(shm.has(option), "the flags of the mount stay: {shm:?}");
    }
}
