//! What is masked is covered by the null device, and by nothing that an image puts in its place (CVE-2025-31133).

use std::fs;
use std::os::unix::fs::symlink;

use rustix::fs::{CWD, FileType, Mode, makedev, mknodat};

use crate::harness::Bundle;
use crate::races::{self, Exchange, Lasting};

/// A bundle whose /dev is the image's, with one file that is masked.
fn bundle_with_own_dev() -> Bundle {
    let mut bundle = Bundle::new();
    races::small(&mut bundle.config);
    bundle.config.without_mount("/dev").without_mount("/dev/pts").push("/linux/maskedPaths", "/masked");
    bundle.write_file("rootfs/masked", "to be hidden\n");
    bundle.write_file("rootfs/evil", "the image's\n");
    // What covers the file is bound writable: this would be the way to write to whatever the link leads to.
    bundle.config.script("stat -L -c %t:%T /masked; echo written >/masked");
    bundle
}

#[test]
fn a_null_device_that_is_a_link() {
    let bundle = bundle_with_own_dev();
    for to in ["/evil", "../evil", "/proc/sys/kernel/domainname", "/dev/zero"] {
        let null = bundle.rootfs.join("dev/null");
        let _ = fs::remove_file(&null);
        symlink(to, &null).expect("link");
        bundle.refused(&["null"]);
    }
    assert_eq!(bundle.read_file("rootfs/evil"), "the image's\n");
}

#[test]
fn a_null_device_that_is_another_one() {
    let bundle = bundle_with_own_dev();
    let null = bundle.rootfs.join("dev/null");
    mknodat(CWD, &null, FileType::CharacterDevice, Mode::from_raw_mode(0o666), makedev(1, 5)).expect("make a device");
    bundle.refused(&["null"]);
    fs::remove_file(&null).expect("remove the device");
    fs::write(&null, "a file").expect("write a file");
    bundle.refused(&["null"]);
}

#[test]
fn a_null_device_that_becomes_a_link() {
    let bundle = bundle_with_own_dev();
    let exchange = Exchange { one: bundle.rootfs.join("dev/null"), other: bundle.rootfs.join("link") };
    let prepare = || {
        fs::write(bundle.rootfs.join("evil"), "the image's\n").expect("write a file of the image");
        for place in [&exchange.one, &exchange.other] {
            let _ = fs::remove_file(place);
        }
        let mode = Mode::from_raw_mode(0o666);
        mknodat(CWD, &exchange.one, FileType::CharacterDevice, mode, makedev(1, 3)).expect("make the null device");
        symlink("/evil", &exchange.other).expect("link");
    };
    exchange.at_every_moment(&bundle, Lasting::Ever, prepare, |when, ran| {
        assert_eq!(bundle.read_file("rootfs/evil"), "the image's\n", "{when}: {ran}");
        assert!(ran.code == 1 || ran.stdout == "1:3\n", "{when}: {ran}");
    });
}
