//! The standard streams that the caller passes on: what they lead to is the host's.

use std::fs::{self, File, OpenOptions};
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::PathBuf;

use rustix::fs::{CWD, FileType, Mode, makedev, mknodat};

use crate::harness::{Bundle, Call, host};

/// A null device of the host that is not everybody's.
fn null_of_the_host(bundle: &Bundle) -> PathBuf {
    let path = bundle.path("null");
    mknodat(CWD, &path, FileType::CharacterDevice, Mode::from_raw_mode(0o666), makedev(1, 3)).expect("make a device");
    host(&format!("chmod 666 {}", path.display()));
    path
}

fn on_null(call: Call, null: &PathBuf) -> Call {
    let open = || OpenOptions::new().read(true).write(true).open(null).expect("open the null device");
    call.stdin(open()).stderr(open())
}

/// What root of a container can do to a device that it has open.
const SPOIL: &str = "chmod 600 /proc/self/fd/0; chown 1000 /proc/self/fd/2; echo spoilt";

#[test]
fn the_hosts_null_device_can_not_be_spoilt() {
    let mut bundle = Bundle::new();
    bundle.config.capabilities(&["bounding", "effective", "permitted"], &["CAP_CHOWN", "CAP_FOWNER"]);
    let null = null_of_the_host(&bundle);
    let look = || fs::metadata(&null).map(|file| (file.mode(), file.uid())).expect("look at the null device");
    let before = look();
    bundle.config.script(SPOIL);
    assert_eq!(on_null(bundle.run_call().arg(&bundle.id), &null).ok().stdout, "spoilt\n");
    assert_eq!(look(), before, "by the container's program");
    bundle.config.stay();
    let container = bundle.start();
    let exec = container.call("exec").args([&container.id, "sh", "-euc", SPOIL]);
    assert_eq!(on_null(exec, &null).ok().stdout, "spoilt\n");
    assert_eq!(look(), before, "by a program of exec");
}

#[test]
fn a_null_device_that_is_none_is_not_used() {
    // The container's /dev/null is a file of the image; what is written to the null device must not go there.
    let mut bundle = Bundle::new();
    bundle
        .config
        .without_mount("/dev")
        .without_mount("/dev/pts")
        .without_mount("/dev/shm")
        .without_mount("/dev/mqueue");
    bundle.config.set("/linux/maskedPaths", serde_json::json!([]));
    bundle.write_file("rootfs/dev/null", "the image's\n");
    let null = null_of_the_host(&bundle);
    bundle.config.script("cat; echo output >&2; stat -L -c %F /proc/self/fd/2");
    assert_eq!(on_null(bundle.run_call().arg(&bundle.id), &null).ok().stdout, "character special file\n");
    assert_eq!(bundle.read_file("rootfs/dev/null"), "the image's\n");
    assert!(fs::metadata(&null).expect("look at the null device").file_type().is_char_device());
}

#[test]
fn devices_of_the_host_are_not_given_away() {
    let mut bundle = Bundle::new();
    let path = bundle.path("disk");
    mknodat(CWD, &path, FileType::CharacterDevice, Mode::from_raw_mode(0o600), makedev(1, 5)).expect("make a device");
    bundle.config.set("/process/user", serde_json::json!({"uid": 1000, "gid": 1000})).args(["true"]);
    let stdin = File::open(&path).expect("open the device");
    bundle.run_call().arg(&bundle.id).stdin(stdin).ok();
    assert_eq!(fs::metadata(&path).expect("look at the device").uid(), 0);
}
