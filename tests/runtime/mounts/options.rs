//! Options of a mount: flags, also for all below it.

use std::os::unix::fs::symlink;

use super::{bundle_with_tree, mount_at, table};
use crate::harness::mountinfo;
use crate::harness::{Bundle, Config, host};

#[test]
fn options_of_a_bind() {
    let mut bundle = Bundle::new();
    bundle.make_directory("source");
    for (options, shown, absent) in [
        (&["ro"][..], &["ro"][..], &["rw"][..]),
        (&["rw"], &["rw"], &["ro"]),
        (&["nosuid"], &["nosuid", "rw"], &["nodev", "noexec"]),
        (&["nodev"], &["nodev"], &["nosuid", "noexec"]),
        (&["noexec"], &["noexec"], &["nosuid", "nodev"]),
        (&["nosuid", "nodev", "noexec", "ro"], &["nosuid", "nodev", "noexec", "ro"], &[]),
        (&["noatime"], &["noatime"], &["relatime", "nodiratime"]),
        (&["nodiratime"], &["nodiratime"], &["noatime"]),
        (&["relatime"], &["relatime"], &["noatime"]),
        (&["strictatime"], &[], &["relatime", "noatime"]),
        (&["noatime", "nodiratime"], &["noatime", "nodiratime"], &["relatime"]),
        // The later one counts.
        (&["ro", "rw"], &["rw"], &["ro"]),
        (&["nosuid", "suid"], &["rw"], &["nosuid"]),
        (&["suid", "nosuid"], &["nosuid"], &[]),
    ] {
        bundle.config = Config::usual();
        bundle.bind("source", "/data", &[&["bind"], options].concat());
        let mount = mount_at(&mut bundle, "/data");
        for option in shown {
            assert!(mount.has(option), "{options:?}: no {option} in {mount:?}");
        }
        for option in absent {
            assert!(!mount.has(option), "{options:?}: {option} in {mount:?}");
        }
    }
}

#[test]
fn every_option_of_the_specification_is_known() {
    // runtime-spec, config.md, "Linux mount options"; those of binds and propagation have tests of their own.
    let mut bundle = Bundle::new();
    let options = "async atime defaults dev diratime dirsync exec iversion lazytime loud mand noatime nodev nodiratime noexec \
        noiversion nolazytime nomand norelatime nostrictatime nosuid nosymfollow relatime ro rw silent strictatime suid \
        symfollow sync";
    for option in options.split_whitespace() {
        bundle.config.mount(&format!("/{option}"), "tmpfs", "tmpfs", &[option]);
    }
    let table = table(&mut bundle);
    for option in ["noatime", "nodev", "nodiratime", "noexec", "nosuid", "nosymfollow", "ro"] {
        let mount = mountinfo::at(&table, &format!("/{option}"));
        assert!(mount.has(option), "{mount:?}");
    }
    for option in ["sync", "dirsync", "lazytime"] {
        let mount = mountinfo::at(&table, &format!("/{option}"));
        assert!(mount.data.iter().any(|shown| shown == option), "{mount:?}");
    }
}

#[test]
fn a_mount_can_be_changed_by_a_later_entry() {
    let mut bundle = Bundle::new();
    bundle.config.mount("/dev/shm", "tmpfs", "shm", &["remount", "ro", "nosuid"]);
    let mount = mount_at(&mut bundle, "/dev/shm");
    assert!(mount.has("ro") || mount.data.contains(&"ro".to_owned()), "{mount:?}");
    assert!(bundle.shell("touch /dev/shm/x 2>&1 || true").contains("Read-only file system"));
}

#[test]
fn nosymfollow() {
    let mut bundle = Bundle::new();
    bundle.write_file("source/file", "content\n");
    symlink("file", bundle.path("source/link")).expect("make a link");
    bundle.bind("source", "/free", &["bind", "symfollow"]);
    bundle.bind("source", "/bound", &["bind", "nosymfollow"]);
    bundle.config.mount("/scratch", "tmpfs", "tmpfs", &["nosymfollow"]);
    let script = "cat /free/link; cat /bound/link 2>&1 || true; echo x >/scratch/f; ln -s f /scratch/l; cat /scratch/l 2>&1 || true";
    assert_eq!(
        bundle.shell(script),
        "content\ncat: can't open '/bound/link': Too many levels of symbolic links\ncat: can't open '/scratch/l': Too many levels of symbolic links\n"
    );
}

#[test]
fn flags_of_the_source_can_be_taken_away() {
    let mut bundle = Bundle::new();
    let source = bundle.make_directory("source");
    host(&format!("mount -t tmpfs -o nosuid,nodev,noexec,noatime source {}", source.display()));
    let all = ["nosuid", "nodev", "noexec", "noatime"];
    bundle.config.bind(&source, "/same", &["bind"]);
    bundle.config.bind(&source, "/freed", &["bind", "suid", "dev", "exec", "rw", "atime"]);
    let table = table(&mut bundle);
    let (same, freed) = (mountinfo::at(&table, "/same"), mountinfo::at(&table, "/freed"));
    for option in all {
        assert!(same.has(option), "a plain bind keeps {option}: {same:?}");
        assert!(!freed.has(option), "{option} is taken away: {freed:?}");
    }
    host(&format!("umount {}", source.display()));
}

#[test]
fn the_flags_do_what_they_say() {
    let mut bundle = Bundle::new();
    bundle.add_probe();
    bundle.make_directory("source");
    let source = bundle.path("source");
    host(&format!(
        "cp {0}/bin/probe {1}/probe; chmod 4755 {1}/probe; mknod {1}/null c 1 3; chmod 666 {1}/null",
        bundle.rootfs.display(),
        source.display()
    ));
    bundle.config.set("/process/noNewPrivileges", false).set("/process/user/uid", 1000);
    bundle.config.remove("/linux/resources");
    bundle.config.bind(&source, "/free", &["bind"]).bind(&source, "/nosuid", &["bind", "nosuid"]);
    bundle.config.bind(&source, "/nodev", &["bind", "nodev"]).bind(&source, "/noexec", &["bind", "noexec"]);
    bundle.config.bind(&source, "/ro", &["bind", "ro"]);
    let user = |text: &str| text.lines().find(|line| line.starts_with("effective_user")).map(str::to_owned);
    assert_eq!(user(&bundle.shell("/free/probe process")).as_deref(), Some("effective_user 0"));
    assert_eq!(user(&bundle.shell("/nosuid/probe process")).as_deref(), Some("effective_user 1000"));
    assert_eq!(bundle.shell("echo x >/free/null; (echo x >/nodev/null) 2>&1 || true").trim_end(), {
        "sh: can't create /nodev/null: Permission denied"
    });
    assert!(bundle.shell("/noexec/probe process 2>&1 || true").contains("Permission denied"));
    assert!(bundle.shell("touch /ro/x 2>&1 || true").contains("Read-only file system"));
}

#[test]
fn plain_options_leave_the_mounts_below_alone() {
    let mut bundle = bundle_with_tree();
    bundle.bind("source", "/tree", &["rbind", "ro", "nosuid", "noexec"]);
    let table = table(&mut bundle);
    let (top, below) = (mountinfo::at(&table, "/tree"), mountinfo::at(&table, "/tree/below"));
    for option in ["ro", "nosuid", "noexec"] {
        assert!(top.has(option) && !below.has(option), "{option}: {top:?} {below:?}");
    }
    host(&format!("umount {}/source/below", bundle.directory.display()));
}

#[test]
fn recursive_options_reach_the_mounts_below() {
    let mut bundle = bundle_with_tree();
    let source = bundle.path("source");
    bundle.config.remove("/linux/resources");
    let all = [
        ("rro", "ro"),
        ("rnosuid", "nosuid"),
        ("rnodev", "nodev"),
        ("rnoexec", "noexec"),
        ("rnodiratime", "nodiratime"),
        ("rnoatime", "noatime"),
        ("rrelatime", "relatime"),
        ("rnosymfollow", "nosymfollow"),
    ];
    for (option, _) in all {
        bundle.config.bind(&source, &format!("/{option}"), &["rbind", option]);
    }
    bundle.config.bind(&source, "/rstrictatime", &["rbind", "rstrictatime"]);
    bundle.config.bind(&source, "/several", &["rbind", "rro", "rnosuid", "rnoexec", "rnoatime"]);
    let table = table(&mut bundle);
    for (option, shown) in all {
        for point in [format!("/{option}"), format!("/{option}/below")] {
            let mount = mountinfo::at(&table, &point);
            assert!(mount.has(shown), "{mount:?}");
        }
    }
    for point in ["/rstrictatime", "/rstrictatime/below"] {
        let mount = mountinfo::at(&table, point);
        assert!(!mount.has("relatime") && !mount.has("noatime"), "{mount:?}");
    }
    for point in ["/several", "/several/below"] {
        let mount = mountinfo::at(&table, point);
        assert!(["ro", "nosuid", "noexec", "noatime"].iter().all(|option| mount.has(option)), "{mount:?}");
    }
    host(&format!("umount {}/source/below", bundle.directory.display()));
}

#[test]
fn recursive_options_can_take_flags_away() {
    let mut bundle = Bundle::new();
    let source = bundle.make_directory("source");
    host(&format!(
        "mount -t tmpfs -o nosuid,nodev,noexec,noatime top {0}; mkdir {0}/below
         mount -t tmpfs -o nosuid,nodev,noexec,noatime,nodiratime,nosymfollow below {0}/below
         mount -o remount,bind,ro {0}/below",
        source.display()
    ));
    let options = ["rbind", "rsuid", "rdev", "rexec", "rrw", "rrelatime", "rdiratime", "rsymfollow"];
    bundle.config.bind(&source, "/tree", &options);
    let table = table(&mut bundle);
    for point in ["/tree", "/tree/below"] {
        let mount = mountinfo::at(&table, point);
        for option in ["nosuid", "nodev", "noexec", "noatime", "nodiratime", "nosymfollow", "ro"] {
            assert!(!mount.has(option), "{option} at {point}: {mount:?}");
        }
        assert!(mount.has("relatime") && mount.has("rw"), "{mount:?}");
    }
    host(&format!("umount {0}/below {0}", source.display()));
}

#[test]
fn recursive_options_are_for_binds() {
    let mut bundle = Bundle::new();
    bundle.config.mount("/data", "tmpfs", "tmpfs", &["rro"]);
    let ran = bundle.run();
    // Either refused or obeyed, never passed over.
    if ran.code == 0 {
        assert!(mount_at(&mut bundle, "/data").has("ro"));
    }
}
