//! /proc and /sys, which the runtime and the programs in a container must be able to trust (CVE-2019-16884,
//! CVE-2019-19921, CVE-2023-27561, CVE-2023-28642).

use std::fs;
use std::os::unix::fs::symlink;

use crate::harness::call::Ran;
use crate::harness::{Bundle, Config};

/// Makes a place of the image a link.
fn link(bundle: &Bundle, from: &str, to: &str) {
    let place = bundle.rootfs.join(from);
    let _ = fs::remove_dir(&place);
    symlink(to, place).expect("make a link in the root");
}

/// A directory of a volume that looks like a procfs.
fn false_proc(bundle: &Bundle) {
    bundle.write_file("volume/proc/self/attr/exec", "");
    bundle.write_file("volume/proc/sys/kernel/core_pattern", "");
}

#[test]
fn a_proc_that_leads_into_a_volume() {
    // Whoever has the volume could exchange it, and with it all that is masked, once the mount is made.
    let mut bundle = Bundle::new();
    false_proc(&bundle);
    for to in ["/vol/proc", "vol/proc", "/vol/../vol/proc", "../../../vol/proc"] {
        bundle.config = Config::usual();
        bundle.bind("volume", "/vol", &["bind"]);
        // The volume comes first, so that the link leads somewhere by then.
        let mounts = bundle.config.0["mounts"].as_array_mut().expect("mounts are an array");
        mounts.rotate_right(1);
        link(&bundle, "proc", to);
        bundle.refused(&["/proc", "ordinary directory"]);
        fs::remove_file(bundle.rootfs.join("proc")).expect("remove the link");
    }
}

#[test]
fn a_sys_that_is_a_link() {
    let mut bundle = Bundle::new();
    bundle.make_directory("rootfs/elsewhere");
    link(&bundle, "sys", "/elsewhere");
    bundle.refused(&["/sys", "ordinary directory"]);
    link(&bundle, "chroot", "/elsewhere");
    bundle.config.without_mount("/sys").without_mount("/sys/fs/cgroup").mount("/chroot/proc", "proc", "proc", &[]);
    bundle.refused(&["/chroot/proc", "ordinary directory"]);
}

#[test]
fn a_volume_over_proc() {
    let mut bundle = Bundle::new();
    false_proc(&bundle);
    for destination in ["/proc", "/proc/", "//proc/.", "/x/../proc"] {
        for kind in ["bind", "tmpfs", "overlay"] {
            bundle.config = Config::usual();
            match kind {
                "bind" => drop(bundle.bind("volume/proc", destination, &["bind"])),
                other => drop(bundle.config.mount(destination, other, other, &[])),
            }
            bundle.refused(&["/proc"]);
        }
    }
}

#[test]
fn a_volume_within_proc() {
    // By a false file there a label for the program would be written to nowhere, or a parameter to another file.
    let mut bundle = Bundle::new();
    false_proc(&bundle);
    for (index, place) in
        ["self", "self/attr", "thread-self/attr", "1", "sys", "sys/kernel", "fs", "tty", "../proc/self/attr"]
            .iter()
            .enumerate()
    {
        bundle.config = Config::usual();
        bundle.bind("volume/proc", &format!("/proc/{place}"), &["bind"]);
        bundle.refused(&["inside proc"]);
        bundle.config = Config::usual();
        bundle.config.mount(&format!("/proc/{place}"), "tmpfs", "tmpfs", &[]);
        bundle.refused(&["inside proc"]);
        // The same through a link of the image.
        let name = format!("link-{index}");
        link(&bundle, &name, &format!("/proc/{place}"));
        for kind in ["bind", "tmpfs"] {
            bundle.config = Config::usual();
            match kind {
                "bind" => drop(bundle.bind("volume/proc", &format!("/{name}"), &["bind"])),
                other => drop(bundle.config.mount(&format!("/{name}"), other, other, &[])),
            }
            bundle.refused(&["inside proc"]);
        }
    }
}

#[test]
fn a_file_over_a_file_of_proc() {
    let mut bundle = Bundle::new();
    bundle.write_file("file", "");
    for place in ["self/status", "thread-self/comm", "version", "sys/kernel/core_pattern", "1/oom_score_adj", "mounts"]
    {
        for destination in [format!("/proc/{place}"), "/link".to_owned()] {
            let _ = fs::remove_file(bundle.rootfs.join("link"));
            link(&bundle, "link", &format!("/proc/{place}"));
            bundle.config = Config::usual();
            bundle.bind("file", &destination, &["bind"]);
            bundle.refused(&["inside proc"]);
        }
    }
}

/// Tries to mount a new procfs and a new sysfs, on which nothing is masked, in a user namespace within the container.
const UNMASK: &str = "unshare -Urmpf sh -c 'echo tried; mount -t proc proc /mnt && echo mounted' 2>&1 || true
    unshare -Urmn sh -c 'echo tried; mount -t sysfs sysfs /mnt && echo mounted' 2>&1 || true";

/// As a user: root of a container may not even map itself without CAP_SETFCAP.
fn unmasking() -> Bundle {
    let mut bundle = Bundle::new();
    bundle.config.set("/process/user", serde_json::json!({"uid": 1000, "gid": 1000})).script(UNMASK);
    bundle
}

#[track_caller]
fn assert_masked(ran: &Ran) {
    assert_eq!(ran.stdout.matches("tried").count(), 2, "no user namespace could be made: {ran}");
    assert!(!ran.stdout.contains("mounted"), "{ran}");
}

#[test]
fn masks_can_not_be_left_behind_in_a_user_namespace() {
    assert_masked(&unmasking().run());
}

#[test]
fn masks_can_not_be_left_behind_without_a_pivot() {
    let bundle = unmasking();
    assert_masked(&bundle.run_call().args(["--no-pivot", &bundle.id]).run());
}
