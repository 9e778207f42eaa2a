//! Who sees the mounts that are made later.

use super::{bundle_with_tree, mount_at, table};
use crate::harness::mountinfo;
use crate::harness::{Bundle, Config, host};

#[test]
fn propagation_of_a_mount() {
    let mut bundle = bundle_with_tree();
    let source = bundle.path("source");
    for (option, top, below) in [
        ("private", "private", None),
        ("rprivate", "private", Some("private")),
        ("slave", "slave", None),
        ("rslave", "slave", Some("slave")),
        ("shared", "shared", None),
        ("rshared", "shared", Some("shared")),
        ("unbindable", "unbindable", None),
        ("runbindable", "unbindable", Some("unbindable")),
    ] {
        bundle.config = Config::usual();
        bundle.config.bind(&source, "/tree", &["rbind", option]);
        let table = table(&mut bundle);
        let shown = |point: &str| mountinfo::at(&table, point).propagation();
        assert!(shown("/tree").split(' ').any(|word| word == top), "{option}: {}", shown("/tree"));
        if let Some(below) = below {
            assert!(shown("/tree/below").split(' ').any(|word| word == below), "{option}: {}", shown("/tree/below"));
        }
    }
    host(&format!("umount {}/source/below", bundle.directory.display()));
}

#[test]
fn propagation_works() {
    let mut bundle = Bundle::staying();
    let source = bundle.make_directory("source");
    host(&format!("mount --bind {0} {0}; mount --make-shared {0}; mkdir {0}/host {0}/container", source.display()));
    bundle.config.bind(&source, "/slave", &["rbind", "rslave"]).bind(&source, "/private", &["rbind", "rprivate"]);
    bundle.config.bind(&source, "/shared", &["rbind", "rshared"]).all_capabilities();
    bundle.config.set("/linux/rootfsPropagation", "shared");
    let container = bundle.start();
    host(&format!("mount -t tmpfs host {}/host; touch {0}/host/mark", source.display()));
    assert_eq!(container.shell("ls /slave/host /private/host"), "/private/host:\n\n/slave/host:\nmark\n");
    assert_eq!(
        container.shell("mount -t tmpfs c /shared/container; touch /shared/container/mark; echo done"),
        "done\n"
    );
    assert_eq!(host(&format!("ls {}/container", source.display())), "mark\n");
    container.stop();
    container.delete();
    host(&format!("umount {0}/host {0}/container {0}", source.display()));
}

#[test]
fn rootfs_propagation() {
    let mut bundle = Bundle::new();
    for (given, shown) in [
        (None, &["private", "slave"][..]),
        (Some("private"), &["private"]),
        (Some("slave"), &["slave", "private"]),
        (Some("shared"), &["shared"]),
        (Some("unbindable"), &["unbindable"]),
    ] {
        match given {
            Some(word) => bundle.config.set("/linux/rootfsPropagation", word),
            None => &mut bundle.config,
        };
        let root = mount_at(&mut bundle, "/");
        assert!(root.propagation().split(' ').any(|word| shown.contains(&word)), "{given:?}: {root:?}");
    }
    bundle.config.set("/linux/rootfsPropagation", "sideways");
    bundle.refused(&["linux.rootfsPropagation", "sideways"]);
}

#[test]
fn rootfs_propagation_as_slave_receives_the_hosts_mounts() {
    let mut bundle = Bundle::staying();
    bundle.config.set("/linux/rootfsPropagation", "rslave");
    let container = bundle.start();
    let point = bundle.rootfs.join("mnt");
    host(&format!("mount -t tmpfs late {0}; touch {0}/mark", point.display()));
    let seen = container.shell("ls /mnt");
    host(&format!("umount {}", point.display()));
    assert_eq!(seen, "mark\n");
    container.stop();
    container.delete();
}

#[test]
fn rootfs_propagation_as_private_does_not() {
    let mut bundle = Bundle::staying();
    bundle.config.set("/linux/rootfsPropagation", "rprivate");
    let container = bundle.start();
    let point = bundle.rootfs.join("mnt");
    host(&format!("mount -t tmpfs late {0}; touch {0}/mark", point.display()));
    let seen = container.shell("ls /mnt");
    host(&format!("umount {}", point.display()));
    assert_eq!(seen, "");
}
