//! A /dev that is a link in the image (CVE-2026-41579): devices and links are made in the root, wherever it leads.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;

use crate::harness::Bundle;
use crate::races::{self, Exchange, Lasting};

/// A directory of the host that looks like a /dev in which something has to be made.
fn outside(bundle: &Bundle) -> std::path::PathBuf {
    let outside = races::outside(bundle);
    fs::create_dir(outside.join("pts")).expect("make a directory of the host");
    bundle.write_file("outside/console", "secret\n");
    outside
}

/// Every text by which a link could lead to a directory of the host.
fn ways(to: &Path) -> [String; 4] {
    let plain = to.display();
    [
        plain.to_string(),
        format!("/../../../../../../../..{plain}"),
        format!("../../../../../../../..{plain}"),
        format!("/proc/1/root{plain}"),
    ]
}

#[test]
fn dev_is_a_link() {
    let mut bundle = Bundle::new();
    let outside = outside(&bundle);
    let before = races::look(&outside);
    let dev = bundle.rootfs.join("dev");
    for way in ways(&outside) {
        for terminal in [false, true] {
            let _ = fs::remove_dir_all(&dev);
            let _ = fs::remove_file(&dev);
            symlink(&way, &dev).expect("link");
            bundle.config = crate::harness::Config::usual();
            bundle.config.set("/process/terminal", terminal).args(["true"]);
            // With a tmpfs there, and with the image's own.
            bundle.run();
            assert_eq!(races::look(&outside), before, "{way}");
            bundle.config.without_mount("/dev");
            bundle.run();
            assert_eq!(races::look(&outside), before, "{way}");
        }
    }
}

#[test]
fn links_and_devices_in_dev_are_links() {
    let mut bundle = Bundle::new();
    races::small(&mut bundle.config);
    bundle.config.without_mount("/dev").without_mount("/dev/pts");
    let outside = outside(&bundle);
    let names = ["null", "zero", "tty", "fd", "stdin", "core", "ptmx", "console"];
    for name in names {
        let file = bundle.write_file(&format!("outside/{name}"), "secret\n");
        fs::set_permissions(file, fs::Permissions::from_mode(0o600)).expect("close a file of the host");
    }
    let before = races::look(&outside);
    for name in names {
        symlink(outside.join(name), bundle.rootfs.join("dev").join(name)).expect("link");
    }
    bundle.run();
    assert_eq!(races::look(&outside), before);
}

#[test]
fn dev_becomes_a_link() {
    let mut bundle = Bundle::new();
    races::small(&mut bundle.config);
    bundle.config.without_mount("/dev").without_mount("/dev/pts");
    let outside = outside(&bundle);
    let before = races::look(&outside);
    let exchange = Exchange { one: bundle.rootfs.join("dev"), other: bundle.rootfs.join("link") };
    let prepare = || {
        for place in [&exchange.one, &exchange.other] {
            let _ = fs::remove_dir_all(place);
            let _ = fs::remove_file(place);
        }
        fs::create_dir(&exchange.one).expect("make /dev");
        symlink(&outside, &exchange.other).expect("link");
    };
    exchange.at_every_moment(&bundle, Lasting::Ever, prepare, |when, _| {
        assert_eq!(races::look(&outside), before, "{when}: the host's files were changed");
    });
}
