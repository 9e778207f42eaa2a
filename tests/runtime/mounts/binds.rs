//! What is bound, and onto what.

use std::fs;
use std::os::unix::fs::{MetadataExt, symlink};

use serde_json::json;

use super::bundle_with_tree;
use crate::harness::{Bundle, Config, each, host};

#[test]
fn bind_of_a_file_and_a_directory_to_targets_that_are_missing() {
    let mut bundle = Bundle::new();
    bundle.write_file("source/file", "content\n");
    bundle.bind("source", "/new/directory", &["bind"]);
    bundle.bind("source/file", "/also/new/file", &["bind"]);
    assert_eq!(
        bundle.shell("cat /new/directory/file /also/new/file; ls -d /new/directory"),
        "content\ncontent\n/new/directory\n"
    );
    let made = |path: &str| fs::metadata(bundle.rootfs.join(path)).expect("the target is left in the root");
    assert!(made("new/directory").is_dir() && made("also/new/file").is_file());
    assert_eq!(made("new").mode() & 0o7777, 0o755);
    assert_eq!((made("also/new/file").len(), made("also/new/file").uid()), (0, 0));
}

#[test]
fn bind_to_targets_that_exist() {
    let mut bundle = Bundle::new();
    bundle.write_file("source", "new\n");
    bundle.write_file("rootfs/etc/given", "old\n");
    bundle.bind("source", "/etc/given", &["bind"]);
    assert_eq!(bundle.shell("cat /etc/given; echo more >>/etc/given"), "new\n");
    assert_eq!(bundle.read_file("source"), "new\nmore\n");
    assert_eq!(bundle.read_file("rootfs/etc/given"), "old\n");
}

#[test]
fn bind_of_sockets_and_pipes() {
    let mut bundle = Bundle::new();
    let listener = std::os::unix::net::UnixListener::bind(bundle.path("socket")).expect("listen");
    host(&format!("mkfifo {}", bundle.path("pipe").display()));
    bundle.bind("socket", "/run/socket", &["bind"]).bind("pipe", "/run/pipe", &["bind"]);
    assert_eq!(bundle.shell("[ -S /run/socket ] && [ -p /run/pipe ] && echo both"), "both\n");
    drop(listener);
}

#[test]
fn a_relative_source_is_the_bundles() {
    let mut bundle = Bundle::new();
    bundle.write_file("source/file", "content\n");
    bundle.config.bind("source", "/data", &["rbind"]).bind("./source/file", "/file", &["bind"]);
    assert_eq!(
        bundle.write().call("run").arg("--bundle").arg(&bundle.directory).arg(&bundle.id).directory("/").run().code,
        0
    );
    assert_eq!(bundle.shell("cat /data/file /file"), "content\ncontent\n");
}

#[test]
fn a_source_that_is_a_link_is_followed() {
    let mut bundle = Bundle::new();
    bundle.write_file("real/file", "content\n");
    symlink(bundle.path("real"), bundle.path("link")).expect("make a link");
    bundle.bind("link", "/data", &["bind"]);
    assert_eq!(bundle.shell("cat /data/file"), "content\n");
}

#[test]
fn a_relative_destination_is_below_the_root() {
    let mut bundle = Bundle::new();
    bundle.config.mount("data", "tmpfs", "tmpfs", &[]);
    assert_eq!(bundle.shell("grep -q ' /data ' /proc/self/mountinfo && echo mounted"), "mounted\n");
}

#[test]
fn targets_behind_links_stay_in_the_root() {
    let mut bundle = Bundle::new();
    bundle.make_directory("outside");
    bundle.write_file("source/file", "content\n");
    symlink(bundle.path("outside"), bundle.rootfs.join("absolute")).expect("make a link");
    symlink("../../../../../outside", bundle.rootfs.join("relative")).expect("make a link");
    symlink("/etc", bundle.rootfs.join("inside")).expect("make a link");
    symlink("/loop", bundle.rootfs.join("loop")).expect("make a link");
    for target in ["/absolute/x", "/relative/x", "/inside/x", "/../../x", "/absolute"] {
        bundle.config = Config::usual();
        bundle.bind("source", target, &["bind"]);
        assert_eq!(bundle.shell(&format!("cat {target}/file")), "content\n", "{target}");
    }
    assert_eq!(
        fs::read_dir(bundle.path("outside")).expect("list").count(),
        0,
        "something was made outside of the root"
    );
    assert!(bundle.rootfs.join("etc/x").is_dir(), "the link in the root has been followed");
    bundle.config = Config::usual();
    bundle.bind("source", "/loop", &["bind"]);
    bundle.refused(&["/loop"]);
}

#[test]
fn mounting_on_the_root_or_a_strange_proc_is_refused() {
    let mut bundle = Bundle::new();
    bundle.make_directory("source");
    let source = bundle.text_path("source");
    each(
        [
            ("tmpfs", "/", &[][..]),
            ("tmpfs", "/..", &[]),
            ("tmpfs", "/proc", &[]),
            ("bind", "/proc", &["bind"]),
            ("bind", "/proc/sys", &["bind"]),
            ("bind", "/proc/self", &["bind"]),
            ("bind", "/proc/1/attr", &["bind"]),
        ],
        |(kind, target, options)| {
            bundle.config = Config::usual();
            bundle.config.mount(target, kind, &source, options);
            bundle.refused(&[target]);
        },
    );
}

#[test]
fn a_proc_that_is_a_link_is_refused() {
    let mut bundle = Bundle::new();
    bundle.make_directory("rootfs/strange");
    fs::remove_dir(bundle.rootfs.join("proc")).expect("remove /proc");
    symlink("/strange", bundle.rootfs.join("proc")).expect("make a link");
    bundle.refused(&["/proc"]);
    fs::remove_file(bundle.rootfs.join("proc")).expect("remove the link");
    fs::remove_dir(bundle.rootfs.join("sys")).expect("remove /sys");
    symlink("/strange", bundle.rootfs.join("sys")).expect("make a link");
    bundle.config.without_mount("/sys/fs/cgroup");
    bundle.refused(&["/sys"]);
}

#[test]
fn binds_below_proc_that_system_containers_use() {
    let mut bundle = Bundle::new();
    bundle.write_file("uptime", "faked\n");
    bundle.bind("uptime", "/proc/uptime", &["bind"]);
    bundle.bind("uptime", "/proc/meminfo", &["bind"]);
    assert_eq!(bundle.shell("cat /proc/uptime /proc/meminfo"), "faked\nfaked\n");
}

#[test]
fn bind_of_the_hosts_proc() {
    let mut bundle = Bundle::new();
    bundle.config.without_namespace("pid").without_mount("/proc").bind("/proc", "/proc", &["rbind"]);
    let pid = bundle.shell("cat /proc/self/stat | cut -d' ' -f1");
    assert_ne!(pid, "1\n");
}

#[test]
fn bind_takes_one_mount_and_rbind_the_tree() {
    let mut bundle = bundle_with_tree();
    bundle.bind("source", "/one", &["bind"]).bind("source", "/tree", &["rbind"]);
    assert_eq!(bundle.shell("cat /one/file /tree/file /tree/below/file; ls /one/below"), "outer\nouter\ninner\n");
    assert_eq!(
        host(&format!("cat {}/source/below/file; umount {0}/source/below", bundle.directory.display())),
        "inner\n"
    );
}

#[test]
fn the_type_of_a_bind_does_not_matter() {
    let mut bundle = Bundle::new();
    bundle.write_file("source/file", "content\n");
    let source = bundle.text_path("source");
    for kind in ["bind", "none", "tmpfs", ""] {
        bundle.config = Config::usual();
        bundle.config.mount("/data", kind, &source, &["rbind"]);
        assert_eq!(bundle.shell("cat /data/file"), "content\n", "{kind}");
    }
    bundle.config = Config::usual();
    bundle.config.push("/mounts", json!({"destination": "/data", "source": source, "options": ["bind"]}));
    assert_eq!(bundle.shell("cat /data/file"), "content\n");
}
