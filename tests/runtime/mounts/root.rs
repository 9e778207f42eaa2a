//! The root file system: where it is, and what it may be mounted on.

use std::fs;

use super::mount_at;
use crate::harness::{Bundle, host};

#[test]
fn the_root_is_the_bundles() {
    let mut bundle = Bundle::new();
    bundle.write_file("rootfs/only-here", "");
    let listing =
        bundle.shell("ls /; touch /made; grep -q ' / / ' /proc/self/mountinfo || echo mounted; ls -d /../only-here");
    assert!(listing.contains("only-here\n") && listing.contains("mounted\n") && listing.ends_with("/../only-here\n"));
    assert!(bundle.rootfs.join("made").exists());
}

#[test]
fn root_path_may_be_absolute_or_relative() {
    let mut bundle = Bundle::new();
    fs::rename(&bundle.rootfs, bundle.path("elsewhere")).expect("move the root");
    for path in [bundle.text_path("elsewhere"), "elsewhere".to_owned(), "./elsewhere".to_owned()] {
        bundle.config.set("/root/path", path);
        assert_eq!(bundle.shell("echo here"), "here\n");
    }
    fs::rename(bundle.path("elsewhere"), &bundle.rootfs).expect("move the root back");
}

#[test]
fn root_readonly() {
    let mut bundle = Bundle::new();
    bundle.config.set("/root/readonly", true).mount("/scratch", "tmpfs", "tmpfs", &[]);
    let script =
        "touch /x 2>&1 || true; touch /tmp/x 2>&1 || true; touch /scratch/x /dev/x && echo mounts are writable";
    assert_eq!(
        bundle.shell(script),
        "touch: /x: Read-only file system\ntouch: /tmp/x: Read-only file system\nmounts are writable\n"
    );
    assert!(mount_at(&mut bundle, "/").has("ro"));
    bundle.config.set("/root/readonly", false);
    assert!(mount_at(&mut bundle, "/").has("rw"));
    // The host's own view stays writable.
    fs::write(bundle.rootfs.join("y"), "").expect("write into the root from outside");
}

#[test]
fn root_on_a_file_system_of_its_own() {
    // What containerd and podman prepare: the root is a mount point, with flags of its own.
    let mut bundle = Bundle::new();
    let merged = bundle.make_directory("merged");
    for name in ["upper", "work"] {
        bundle.make_directory(&format!("layers/{name}"));
    }
    let layers = bundle.path("layers");
    host(&format!("mount -t tmpfs layers {}", layers.display()));
    bundle.make_directory("layers/upper");
    bundle.make_directory("layers/work");
    host(&format!(
        "mount -t overlay -o nodev,lowerdir={},upperdir={1}/upper,workdir={1}/work overlay {2}",
        bundle.rootfs.display(),
        layers.display(),
        merged.display()
    ));
    bundle.config.set("/root/path", "merged");
    assert_eq!(bundle.shell("echo text >/new; cat /new"), "text\n");
    assert_eq!(bundle.read_file("layers/upper/new"), "text\n");
    assert!(!bundle.rootfs.join("new").exists());
    let root = mount_at(&mut bundle, "/");
    assert_eq!(root.kind, "overlay");
    assert!(root.has("nodev"), "the root's own flags stay: {root:?}");
    bundle.config.set("/root/readonly", true);
    let root = mount_at(&mut bundle, "/");
    assert!(root.has("nodev") && root.has("ro"), "{root:?}");
    host(&format!("umount {} {}", merged.display(), layers.display()));
}

#[test]
fn an_overlay_of_many_layers() {
    // Longer than what fsconfig(2) takes as one string.
    let mut bundle = Bundle::new();
    let layers: Vec<String> =
        (0..20).map(|number| bundle.text_path(&format!("a-layer-of-some-length/{number}"))).collect();
    for (number, layer) in layers.iter().enumerate() {
        bundle.make_directory(&format!("{layer}/{number}"));
    }
    let lower = format!("lowerdir={}", layers.join(":"));
    let options = [lower.as_str(), "nosuid", "nodev", "noexec", "noatime", "nosymfollow", "ro", "rslave"];
    bundle.config.mount("/mnt", "overlay", "overlay", &options);
    let mount = mount_at(&mut bundle, "/mnt");
    assert_eq!(mount.kind, "overlay");
    for option in ["nosuid", "nodev", "noexec", "noatime", "nosymfollow", "ro"] {
        assert!(mount.has(option), "{option}: {mount:?}");
    }
    assert_eq!(bundle.shell("ls /mnt | wc -l"), "20\n");
}
