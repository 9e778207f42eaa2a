//! What an image, a program or the host's own names may do to the runtime: an error at the most, never its end.

use std::ffi::OsStr;
use std::fs;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::symlink;
use std::path::Path;

use rustix::fs::{CWD, Mode, OFlags, mkdirat, openat};

use crate::harness::{Bundle, Container, host};

/// A program that has given itself a name.
fn named(name: &str) -> (Bundle, Container) {
    let bundle =
        Bundle::script(&format!("printf '{name}' > /proc/self/comm; echo >&2 named; while sleep 1000; do :; done"));
    let (container, _) = bundle.start_until("named");
    (bundle, container)
}

#[test]
fn a_program_may_name_itself_anything() {
    for name in ["\\377\\376", "a) Z (b", "\\n) Z 1"] {
        let (bundle, container) = named(name);
        assert_eq!(container.status(), "running", "{name}");
        assert_eq!(container.shell("echo inside"), "inside\n", "{name}");
        container.kill("KILL");
        container.process.wait();
        assert_eq!(container.status(), "stopped", "{name}");
        container.delete();
        bundle.assert_nothing_left();
    }
}

#[test]
fn links_to_links_by_long_ways_are_followed_or_refused() {
    // Each link leads through as many directories as a path can have to the next one, and none of them is there.
    let mut bundle = Bundle::new();
    let way = "/d".repeat(2030);
    for number in 0..45 {
        symlink(format!("l{}{way}", number + 1), bundle.rootfs.join(format!("l{number}"))).expect("make a link");
    }
    bundle.config.mount("/l0/x", "tmpfs", "tmpfs", &[]);
    bundle.refused(&["mounts[7]", "/l0/x", "too many levels of symbolic links"]);
    bundle.config.mount("/l40/x", "tmpfs", "tmpfs", &[]);
    bundle.config.0["mounts"].as_array_mut().expect("mounts are an array").remove(7);
    bundle.refused(&["mounts[7]", "/l40/x", "file name too long"]);
}

/// Directories in directories, with a file at the end; a path could not name them all.
fn nest(top: &Path, depth: usize) {
    fs::create_dir(top).expect("make a directory");
    let open =
        |at: BorrowedFd<'_>, name: &str| openat(at, name, OFlags::DIRECTORY, Mode::empty()).expect("open a directory");
    let mut directory = open(CWD, top.to_str().expect("a path of the tests is text"));
    for _ in 0..depth {
        mkdirat(&directory, "d", Mode::RWXU).expect("make a directory");
        directory = open(directory.as_fd(), "d");
    }
    openat(&directory, "file", OFlags::CREATE | OFlags::WRONLY, Mode::RWXU).expect("make a file");
}

#[test]
fn tmpcopyup_of_directories_without_end() {
    let mut bundle = Bundle::new();
    for (name, depth) in [("some", 300), ("many", 3000)] {
        nest(&bundle.rootfs.join(name), depth);
    }
    bundle.config.mount("/some", "tmpfs", "tmpfs", &["tmpcopyup"]).script("find /some -name file | wc -l");
    let ran = bundle.run_call().arg(&bundle.id).after("ulimit -n 1024").run();
    assert_eq!((ran.code, ran.stdout.as_str()), (0, "1\n"), "{ran}");
    bundle.config.mount("/many", "tmpfs", "tmpfs", &["tmpcopyup"]);
    let call = bundle.create_call().arg(&bundle.id).after("ulimit -n 1024");
    call.run().refused(&["mounts[8]", "/many", "too many open files"]);
    bundle.assert_nothing_left();
}

#[test]
fn the_host_may_have_mounts_of_any_name() {
    let mut bundle = Bundle::new();
    let odd = bundle.directory.join(OsStr::from_bytes(b"\xff a\nb\\"));
    fs::create_dir(&odd).expect("make a directory");
    host(&format!("mount -t tmpfs odd {}/*b\\\\", bundle.directory.display()));
    bundle.config.set("/linux/rootfsPropagation", "shared");
    let shown = bundle.run_call().arg(&bundle.id).run();
    host(&format!("umount {}/*b\\\\", bundle.directory.display()));
    assert_eq!(shown.code, 0, "{shown}");
}

#[test]
fn a_bundle_below_a_mount_with_a_blank_in_its_name() {
    let mut bundle = Bundle::new();
    let place = bundle.make_directory("with a blank");
    host(&format!(
        "mount -t tmpfs place '{0}'; mount --make-shared '{0}'; cp -a {1} '{0}'",
        place.display(),
        bundle.rootfs.display()
    ));
    bundle.config.set("/root/path", "with a blank/rootfs").set("/linux/rootfsPropagation", "shared");
    let shown = bundle.run_call().arg(&bundle.id).run();
    host(&format!("umount --recursive '{}'", place.display()));
    assert_eq!(shown.code, 0, "{shown}");
    bundle.assert_nothing_left();
}

#[test]
fn a_bundle_whose_name_is_no_text_is_refused() {
    let bundle = Bundle::new();
    bundle.write();
    let odd = bundle.directory.join(OsStr::from_bytes(b"odd\xff"));
    fs::create_dir(&odd).expect("make a directory");
    fs::rename(&bundle.rootfs, odd.join("rootfs")).expect("move the root file system");
    fs::rename(bundle.path("config.json"), odd.join("config.json")).expect("move the configuration");
    bundle.call("create").arg("--bundle").arg(&odd).arg(&bundle.id).run().refused(&["--bundle", "odd", "is not UTF-8"]);
    bundle.assert_nothing_left();
}

#[test]
fn an_interval_beyond_the_clock_is_forever() {
    let bundle = Bundle::staying();
    let container = bundle.start();
    let events = container.call("events").args(["--interval", "500000000000years", &container.id]).spawn();
    container.kill("KILL");
    let ran = events.wait();
    // It may have come too late to see the container alive.
    assert!(ran.code == 0 || ran.stderr.contains("is not running"), "{ran}");
    container.delete();
}
