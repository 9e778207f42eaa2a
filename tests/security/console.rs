//! The terminal's place at /dev/console (CVE-2025-52565): what is bound there is the terminal and nothing else. Where it
//! is bound is looked up after the host's tree is gone.

use std::fs;
use std::os::unix::fs::symlink;

use crate::harness::Bundle;
use crate::races::{self, Exchange, Lasting};

/// A bundle with a terminal, whose /dev is a volume that others have, too.
fn bundle_with_shared_dev() -> Bundle {
    let mut bundle = Bundle::new();
    races::small(&mut bundle.config);
    bundle.config.without_mount("/dev").without_mount("/dev/pts").set("/process/terminal", true);
    bundle.make_directory("dev/pts");
    bundle.make_directory("rootfs/evil");
    for number in 0..4 {
        bundle.write_file(&format!("rootfs/evil/{number}"), "the image's\n");
    }
    bundle.write_file("rootfs/evil/ptmx", "the image's\n");
    bundle.bind("dev", "/dev", &["bind"]);
    let options = ["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620"];
    bundle.config.mount("/dev/pts", "devpts", "devpts", &options);
    bundle.config.script("echo \"$(stat -L -c %t /dev/console) $(stat -L -c %t /proc/self/fd/0)\"");
    bundle
}

/// 136, the major number of pseudoterminals, for the console and for stdin.
const TERMINALS: &str = "88 88";

#[test]
fn pts_that_become_a_link() {
    let bundle = bundle_with_shared_dev();
    let exchange = Exchange { one: bundle.path("dev/pts"), other: bundle.path("dev/link") };
    let prepare = || {
        for place in [&exchange.one, &exchange.other] {
            let _ = fs::remove_dir(place);
            let _ = fs::remove_file(place);
        }
        fs::create_dir(&exchange.one).expect("make the place of devpts");
        symlink("/evil", &exchange.other).expect("link");
    };
    exchange.at_every_moment(&bundle, Lasting::Ever, prepare, |when, ran| {
        assert!(ran.code == 1 || ran.stdout.trim() == TERMINALS, "{when}: {ran}");
    });
}

#[test]
fn pts_that_are_none() {
    // Whoever can make the runtime open a master of another's choice gets the container's input and output.
    let mut bundle = bundle_with_shared_dev();
    bundle.config.without_mount("/dev/pts");
    bundle.make_directory("dev/pts");
    let ptmx = bundle.path("dev/pts/ptmx");
    for prepare in ["mkfifo", "touch", "mknod -m 666", "ln -s /dev/ptmx"] {
        let _ = fs::remove_file(&ptmx);
        let numbers = if prepare.starts_with("mknod") { "c 5 2" } else { "" };
        crate::harness::host(&format!("{prepare} {} {numbers}", ptmx.display()));
        let ran = bundle.run().refused(&["terminal"]);
        assert!(ran.stderr.contains("devpts") || ran.stderr.contains("too many levels"), "{prepare}: {ran}");
    }
}

#[test]
fn pts_that_are_none_any_more() {
    // Root of a container covers its devpts before somebody asks for a terminal in it.
    let mut bundle = Bundle::new();
    bundle.config.all_capabilities().stay();
    let container = bundle.start();
    for ptmx in ["mkfifo /dev/pts/ptmx", "ln -s /dev/tty /dev/pts/ptmx", "mknod /dev/pts/ptmx c 1 5"] {
        container.shell(&format!("mount -t tmpfs none /dev/pts; {ptmx}"));
        let ran = container.call("exec").args(["--tty", &container.id, "true"]).run().failed(255, &["terminal"]);
        assert!(ran.stderr.contains("devpts"), "{ptmx}: {ran}");
    }
}
