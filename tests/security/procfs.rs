//! What the runtime writes to /proc (CVE-2025-52881): parameters and labels reach the kernel, or it is an error. No file
//! that an image or a container has under the same name takes them, and none that a link leads to.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

use crate::harness::{Bundle, host};

/// Files of the image under the names of /proc to which labels and parameters are written.
const NAMES: [&str; 7] = [
    "self/attr/exec",
    "self/attr/keycreate",
    "self/attr/apparmor/exec",
    "thread-self/attr/exec",
    "thread-self/attr/keycreate",
    "thread-self/attr/apparmor/exec",
    "sys/net/ipv4/ip_forward",
];

/// An image with a /proc of its own, and a configuration that mounts none over it.
fn bundle_with_false_proc() -> Bundle {
    let mut bundle = Bundle::new();
    bundle.config.without_mount("/proc").set("/linux/maskedPaths", serde_json::json!([]));
    bundle.config.set("/linux/readonlyPaths", serde_json::json!([]));
    for name in NAMES {
        bundle.write_file(&format!("rootfs/proc/{name}"), "");
    }
    bundle
}

#[track_caller]
fn assert_nothing_taken(bundle: &Bundle) {
    for name in NAMES {
        let text = bundle.read_file(&format!("rootfs/proc/{name}"));
        assert_eq!(text, "", "written to the image's {name}");
    }
}

#[test]
fn parameters_with_a_false_proc() {
    let mut bundle = bundle_with_false_proc();
    bundle.config.set("/linux/sysctl", serde_json::json!({"net.ipv4.ip_forward": "1"})).stay();
    let container = bundle.start();
    assert_nothing_taken(&bundle);
    let network = container.namespace_path("net");
    assert_eq!(host(&format!("nsenter --net={network} cat /proc/sys/net/ipv4/ip_forward")), "1\n");
}

#[test]
fn parameters_with_a_proc_that_leads_elsewhere() {
    let mut bundle = bundle_with_false_proc();
    let forward = bundle.rootfs.join("proc/sys/net/ipv4/ip_forward");
    fs::remove_file(&forward).expect("remove a file of the image");
    bundle.write_file("rootfs/target", "");
    symlink("/target", &forward).expect("link");
    bundle.config.set("/linux/sysctl", serde_json::json!({"net.ipv4.ip_forward": "1"}));
    bundle.run();
    assert_eq!(bundle.read_file("rootfs/target"), "");
}

#[test]
fn labels_with_a_false_proc() {
    // There is no security module here that would take the label, so the kernel refuses it, if it is the kernel that is asked.
    let mut bundle = bundle_with_false_proc();
    for property in ["apparmorProfile", "selinuxLabel"] {
        bundle.config.set("/process/apparmorProfile", "").set("/process/selinuxLabel", "");
        bundle.config.set(&format!("/process/{property}"), "confined");
        bundle.refused(&[property]);
        assert_nothing_taken(&bundle);
    }
}

#[test]
fn labels_of_exec_with_a_proc_that_was_covered() {
    let mut bundle = Bundle::new();
    bundle.config.all_capabilities().stay();
    let container = bundle.start();
    container.shell(
        "mount -t tmpfs none /proc; mkdir -p /proc/self /proc/thread-self/attr/apparmor
        touch /proc/thread-self/attr/exec /proc/thread-self/attr/keycreate /proc/thread-self/attr/apparmor/exec
        ln -s ../thread-self/attr /proc/self/attr",
    );
    let exec = |arguments: &[&str]| container.call("exec").args(arguments).args([&container.id, "true"]).run();
    exec(&["--apparmor", "confined"]).failed(255, &["apparmorProfile"]);
    exec(&["--process-label", "confined"]).failed(255, &["selinuxLabel"]);
    assert_eq!(container.shell("cat /proc/thread-self/attr/exec /proc/thread-self/attr/*/exec"), "");
}

#[test]
fn labels_with_a_file_over_the_kernels() {
    // What covers a file of the very procfs through which the runtime writes must not be written to either.
    let mut bundle = Bundle::new();
    let cover = bundle.write_file("cover", "");
    cover_attributes(&mut bundle, &cover);
    bundle.config.set("/process/apparmorProfile", "confined");
    bundle.refused(&["apparmorProfile"]);
    assert_eq!(fs::read_to_string(&cover).expect("read the cover"), "");
}

/// A createContainer hook, which is the container's author's, covers the files of labels from within.
fn cover_attributes(bundle: &mut Bundle, cover: &Path) {
    let attributes = bundle.rootfs.join("proc/1/task/1/attr");
    let script = format!(
        "for file in {0}/exec {0}/keycreate; do mount --bind {1} $file; done",
        attributes.display(),
        cover.display()
    );
    bundle.config.hook("createContainer", serde_json::json!({"path": "/bin/sh", "args": ["sh", "-ec", script]}));
}
