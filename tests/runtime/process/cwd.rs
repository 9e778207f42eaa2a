//! `cwd`.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};

use crate::harness::{Bundle, host};

#[test]
fn is_where_the_program_begins() {
    let mut bundle = Bundle::new();
    bundle.config.set("/process/cwd", "/tmp");
    assert_eq!(bundle.probe(&["working-directory"]), "/tmp\n");
}

#[test]
fn is_made_if_it_is_missing() {
    let mut bundle = Bundle::new();
    bundle.config.set("/process/cwd", "/srv/deep/er");
    assert_eq!(bundle.probe(&["working-directory"]), "/srv/deep/er\n");
    let made = fs::metadata(bundle.rootfs.join("srv/deep/er")).expect("the directory is in the root");
    assert_eq!((made.mode() & 0o7777, made.uid()), (0o755, 0));
}

#[test]
fn may_be_in_a_mount_or_behind_a_link() {
    let mut bundle = Bundle::new();
    bundle.config.mount("/data", "tmpfs", "tmpfs", &[]).set("/process/cwd", "/data/inside");
    assert_eq!(bundle.probe(&["working-directory"]), "/data/inside\n");
    std::os::unix::fs::symlink("/home/tester", bundle.rootfs.join("link")).expect("make a link");
    bundle.config.set("/process/cwd", "/link");
    assert_eq!(bundle.probe(&["working-directory"]), "/home/tester\n");
}

#[test]
fn of_a_user_who_alone_may_enter_it() {
    let mut bundle = Bundle::new();
    let directory = bundle.make_directory("rootfs/home/tester");
    host(&format!("chown 1000 {0}; chmod 700 {0}", directory.display()));
    bundle.config.set("/process/cwd", "/home/tester").set("/process/user/uid", 1000);
    // Without CAP_DAC_OVERRIDE root can't, so the user's identity must be taken first or tried after.
    bundle.config.capabilities(&["bounding", "effective", "permitted"], &["CAP_SETUID", "CAP_SETGID"]);
    assert_eq!(bundle.probe(&["working-directory"]), "/home/tester\n");
}

#[test]
fn that_the_user_may_not_enter() {
    let mut bundle = Bundle::new();
    let directory = bundle.make_directory("rootfs/private");
    fs::set_permissions(directory, fs::Permissions::from_mode(0o700)).expect("close the directory");
    bundle.config.set("/process/cwd", "/private").set("/process/user/uid", 1000);
    // runc enters as root; a container that starts in a directory is not allowed to more than that.
    let ran = bundle.run();
    assert!(ran.code == 0 || ran.stderr.contains("/private"), "{ran}");
}

#[test]
fn must_be_absolute_and_a_directory() {
    let mut bundle = Bundle::new();
    bundle.config.set("/process/cwd", "tmp");
    bundle.refused(&["process.cwd"]);
    bundle.config.set("/process/cwd", "");
    bundle.refused(&["process.cwd"]);
    bundle.config.set("/process/cwd", "/etc/passwd");
    bundle.refused(&["/etc/passwd", "not a directory"]);
}

#[test]
fn can_not_be_outside_of_the_root() {
    // The descriptors of the runtime that lead out: a working directory there would give the host away.
    let mut bundle = Bundle::new();
    bundle.add_probe();
    bundle.config.args(["probe", "working-directory"]);
    for number in 3..20 {
        for path in [format!("/proc/self/fd/{number}"), format!("/proc/self/fd/{number}/../..")] {
            bundle.config.set("/process/cwd", path.as_str());
            let ran = bundle.run();
            assert!(ran.code != 0 || ran.stdout == "/\n", "{path}: {ran}");
        }
    }
}
