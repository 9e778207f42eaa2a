//! The root file system, mounts and their options, masked and read-only paths.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};

use serde_json::json;

use crate::harness::mountinfo::{self, Mount};
use crate::harness::{Bundle, Config, each, host};

/// The mounts that the container sees.
#[track_caller]
fn table(bundle: &mut Bundle) -> String {
    bundle.config.args(["cat", "/proc/self/mountinfo"]);
    bundle.output()
}

/// The mount that the container sees at a path.
#[track_caller]
fn mount_at(bundle: &mut Bundle, point: &str) -> Mount {
    mountinfo::at(&table(bundle), point)
}

/// A bundle with a directory `source` that has a file, and a mount below it with another one.
fn bundle_with_tree() -> Bundle {
    let bundle = Bundle::new();
    bundle.write_file("source/file", "outer\n");
    let below = bundle.make_directory("source/below");
    host(&format!("mount -t tmpfs below {}", below.display()));
    bundle.write_file("source/below/file", "inner\n");
    bundle
}

#[test]
fn the_usual_file_systems() {
    let mut bundle = Bundle::new();
    let table = table(&mut bundle);
    for (point, kind, options) in [
        ("/proc", "proc", &["rw"][..]),
        ("/dev", "tmpfs", &["rw", "nosuid"]),
        ("/dev/pts", "devpts", &["rw", "nosuid", "noexec"]),
        ("/dev/shm", "tmpfs", &["rw", "nosuid", "nodev", "noexec"]),
        ("/dev/mqueue", "mqueue", &["rw", "nosuid", "nodev", "noexec"]),
        ("/sys", "sysfs", &["ro", "nosuid", "nodev", "noexec"]),
        ("/sys/fs/cgroup", "cgroup2", &["ro", "nosuid", "nodev", "noexec", "relatime"]),
    ] {
        let mount = mountinfo::at(&table, point);
        assert_eq!(mount.kind, kind, "{point}");
        for option in options {
            assert!(mount.has(option), "no {option} in {mount:?}");
        }
    }
    let devices = mountinfo::at(&table, "/dev");
    assert!(devices.data.contains(&"size=65536k".to_owned()) && devices.data.contains(&"mode=755".to_owned()));
    assert!(!devices.has("relatime"), "strictatime: {devices:?}");
    let terminals = mountinfo::at(&table, "/dev/pts");
    for option in ["gid=5", "mode=620", "ptmxmode=666"] {
        assert!(terminals.data.contains(&option.to_owned()), "{terminals:?}");
    }
}

#[test]
fn nothing_of_the_host_is_mounted() {
    let mut bundle = Bundle::new();
    let usual = ["/", "/proc", "/dev", "/dev/pts", "/dev/shm", "/dev/mqueue", "/sys", "/sys/fs/cgroup"];
    bundle.config.remove("/linux/maskedPaths").remove("/linux/readonlyPaths");
    let table = table(&mut bundle);
    let mut points: Vec<String> = mountinfo::parse(&table).into_iter().map(|mount| mount.point).collect();
    points.sort();
    let mut usual = usual.map(str::to_owned).to_vec();
    usual.sort();
    assert_eq!(points, usual);
}

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

#[test]
fn mounts_are_made_in_the_listed_order() {
    let mut bundle = Bundle::new();
    bundle.write_file("one/name", "one\n");
    bundle.write_file("two/name", "two\n");
    bundle.make_directory("two/inner");
    bundle.bind("one", "/data", &["bind"]).bind("two", "/data", &["bind"]);
    bundle.config.mount("/data/inner", "tmpfs", "tmpfs", &[]);
    bundle.bind("one", "/data/inner/deep", &["bind"]);
    assert_eq!(bundle.shell("cat /data/name /data/inner/deep/name"), "two\none\n");
}

#[test]
fn bind_of_a_file_and_a_directory_to_targets_that_are_missing() {
    let mut bundle = Bundle::new();
    bundle.write_file("source/file", "content\n");
    bundle.bind("source", "/new/directory", &["bind"]);
    bundle.bind("source/file", "/also/new/file", &["bind"]);
    assert_eq!(
        bundle.shell("cat /new/directory/file /also/new/file; ls -d /new/directory"),
        "content\ncontent\n/new/directory\n"
    );
    let made = |path: &str| fs::metadata(bundle.rootfs.join(path)).expect("the target is left in the root");
    assert!(made("new/directory").is_dir() && made("also/new/file").is_file());
    assert_eq!(made("new").mode() & 0o7777, 0o755);
    assert_eq!((made("also/new/file").len(), made("also/new/file").uid()), (0, 0));
}

#[test]
fn bind_to_targets_that_exist() {
    let mut bundle = Bundle::new();
    bundle.write_file("source", "new\n");
    bundle.write_file("rootfs/etc/given", "old\n");
    bundle.bind("source", "/etc/given", &["bind"]);
    assert_eq!(bundle.shell("cat /etc/given; echo more >>/etc/given"), "new\n");
    assert_eq!(bundle.read_file("source"), "new\nmore\n");
    assert_eq!(bundle.read_file("rootfs/etc/given"), "old\n");
}

#[test]
fn bind_of_sockets_and_pipes() {
    let mut bundle = Bundle::new();
    let listener = std::os::unix::net::UnixListener::bind(bundle.path("socket")).expect("listen");
    host(&format!("mkfifo {}", bundle.path("pipe").display()));
    bundle.bind("socket", "/run/socket", &["bind"]).bind("pipe", "/run/pipe", &["bind"]);
    assert_eq!(bundle.shell("[ -S /run/socket ] && [ -p /run/pipe ] && echo both"), "both\n");
    drop(listener);
}

#[test]
fn a_relative_source_is_the_bundles() {
    let mut bundle = Bundle::new();
    bundle.write_file("source/file", "content\n");
    bundle.config.bind("source", "/data", &["rbind"]).bind("./source/file", "/file", &["bind"]);
    assert_eq!(
        bundle.write().call("run").arg("--bundle").arg(&bundle.directory).arg(&bundle.id).directory("/").run().code,
        0
    );
    assert_eq!(bundle.shell("cat /data/file /file"), "content\ncontent\n");
}

#[test]
fn a_source_that_is_a_link_is_followed() {
    let mut bundle = Bundle::new();
    bundle.write_file("real/file", "content\n");
    symlink(bundle.path("real"), bundle.path("link")).expect("make a link");
    bundle.bind("link", "/data", &["bind"]);
    assert_eq!(bundle.shell("cat /data/file"), "content\n");
}

#[test]
fn a_relative_destination_is_below_the_root() {
    let mut bundle = Bundle::new();
    bundle.config.mount("data", "tmpfs", "tmpfs", &[]);
    assert_eq!(bundle.shell("grep -q ' /data ' /proc/self/mountinfo && echo mounted"), "mounted\n");
}

#[test]
fn targets_behind_links_stay_in_the_root() {
    let mut bundle = Bundle::new();
    bundle.make_directory("outside");
    bundle.write_file("source/file", "content\n");
    symlink(bundle.path("outside"), bundle.rootfs.join("absolute")).expect("make a link");
    symlink("../../../../../outside", bundle.rootfs.join("relative")).expect("make a link");
    symlink("/etc", bundle.rootfs.join("inside")).expect("make a link");
    symlink("/loop", bundle.rootfs.join("loop")).expect("make a link");
    for target in ["/absolute/x", "/relative/x", "/inside/x", "/../../x", "/absolute"] {
        bundle.config = Config::usual();
        bundle.bind("source", target, &["bind"]);
        assert_eq!(bundle.shell(&format!("cat {target}/file")), "content\n", "{target}");
    }
    assert_eq!(
        fs::read_dir(bundle.path("outside")).expect("list").count(),
        0,
        "something was made outside of the root"
    );
    assert!(bundle.rootfs.join("etc/x").is_dir(), "the link in the root has been followed");
    bundle.config = Config::usual();
    bundle.bind("source", "/loop", &["bind"]);
    bundle.refused(&["/loop"]);
}

#[test]
fn mounting_on_the_root_or_a_strange_proc_is_refused() {
    let mut bundle = Bundle::new();
    bundle.make_directory("source");
    let source = bundle.text_path("source");
    each(
        [
            ("tmpfs", "/", &[][..]),
            ("tmpfs", "/..", &[]),
            ("tmpfs", "/proc", &[]),
            ("bind", "/proc", &["bind"]),
            ("bind", "/proc/sys", &["bind"]),
            ("bind", "/proc/self", &["bind"]),
            ("bind", "/proc/1/attr", &["bind"]),
        ],
        |(kind, target, options)| {
            bundle.config = Config::usual();
            bundle.config.mount(target, kind, &source, options);
            bundle.refused(&[target]);
        },
    );
}

#[test]
fn a_proc_that_is_a_link_is_refused() {
    let mut bundle = Bundle::new();
    bundle.make_directory("rootfs/strange");
    fs::remove_dir(bundle.rootfs.join("proc")).expect("remove /proc");
    symlink("/strange", bundle.rootfs.join("proc")).expect("make a link");
    bundle.refused(&["/proc"]);
    fs::remove_file(bundle.rootfs.join("proc")).expect("remove the link");
    fs::remove_dir(bundle.rootfs.join("sys")).expect("remove /sys");
    symlink("/strange", bundle.rootfs.join("sys")).expect("make a link");
    bundle.config.without_mount("/sys/fs/cgroup");
    bundle.refused(&["/sys"]);
}

#[test]
fn binds_below_proc_that_system_containers_use() {
    let mut bundle = Bundle::new();
    bundle.write_file("uptime", "faked\n");
    bundle.bind("uptime", "/proc/uptime", &["bind"]);
    bundle.bind("uptime", "/proc/meminfo", &["bind"]);
    assert_eq!(bundle.shell("cat /proc/uptime /proc/meminfo"), "faked\nfaked\n");
}

#[test]
fn bind_of_the_hosts_proc() {
    let mut bundle = Bundle::new();
    bundle.config.without_namespace("pid").without_mount("/proc").bind("/proc", "/proc", &["rbind"]);
    let pid = bundle.shell("cat /proc/self/stat | cut -d' ' -f1");
    assert_ne!(pid, "1\n");
}

#[test]
fn bind_takes_one_mount_and_rbind_the_tree() {
    let mut bundle = bundle_with_tree();
    bundle.bind("source", "/one", &["bind"]).bind("source", "/tree", &["rbind"]);
    assert_eq!(bundle.shell("cat /one/file /tree/file /tree/below/file; ls /one/below"), "outer\nouter\ninner\n");
    assert_eq!(
        host(&format!("cat {}/source/below/file; umount {0}/source/below", bundle.directory.display())),
        "inner\n"
    );
}

#[test]
fn the_type_of_a_bind_does_not_matter() {
    let mut bundle = Bundle::new();
    bundle.write_file("source/file", "content\n");
    let source = bundle.text_path("source");
    for kind in ["bind", "none", "tmpfs", ""] {
        bundle.config = Config::usual();
        bundle.config.mount("/data", kind, &source, &["rbind"]);
        assert_eq!(bundle.shell("cat /data/file"), "content\n", "{kind}");
    }
    bundle.config = Config::usual();
    bundle.config.push("/mounts", json!({"destination": "/data", "source": source, "options": ["bind"]}));
    assert_eq!(bundle.shell("cat /data/file"), "content\n");
}

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

#[test]
fn tmpfs_options() {
    let mut bundle = Bundle::new();
    bundle.config.mount(
        "/scratch",
        "tmpfs",
        "name",
        &["nosuid", "mode=1770", "size=4m", "uid=7", "gid=8", "nr_inodes=50"],
    );
    let mount = mount_at(&mut bundle, "/scratch");
    assert_eq!((mount.kind.as_str(), mount.source.as_str()), ("tmpfs", "name"));
    assert!(
        mount.data.contains(&"size=4096k".to_owned()) && mount.data.contains(&"nr_inodes=50".to_owned()),
        "{mount:?}"
    );
    assert_eq!(
        bundle.shell("stat -c '%a %u %g' /scratch; df -k /scratch | tail -1 | awk '{print $2}'"),
        "1770 7 8\n4096\n"
    );
}

#[test]
fn tmpfs_takes_the_mode_of_its_target() {
    let mut bundle = Bundle::new();
    let target = bundle.make_directory("rootfs/target");
    fs::set_permissions(&target, fs::Permissions::from_mode(0o1707)).expect("set a mode");
    bundle.config.mount("/target", "tmpfs", "tmpfs", &[]).mount("/new", "tmpfs", "tmpfs", &[]);
    assert_eq!(bundle.shell("stat -c %a /target"), "1707\n");
    bundle.config.mount("/target", "tmpfs", "tmpfs", &["mode=0711"]);
    assert_eq!(bundle.shell("stat -c %a /target"), "711\n");
}

#[test]
fn tmpfs_read_only_can_hold_targets_of_later_mounts() {
    let mut bundle = Bundle::new();
    bundle.write_file("source", "content\n");
    bundle.config.mount("/ro", "tmpfs", "tmpfs", &["ro"]);
    bundle.bind("source", "/ro/file", &["bind"]);
    assert_eq!(
        bundle.shell("cat /ro/file; touch /ro/x 2>&1 || true"),
        "content\ntouch: /ro/x: Read-only file system\n"
    );
}

#[test]
fn dev_may_be_read_only() {
    let mut bundle = Bundle::new();
    bundle.config.set("/mounts/1/options", json!(["nosuid", "strictatime", "mode=755", "size=65536k", "ro"]));
    assert_eq!(
        bundle.shell("echo x >/dev/null; ls /dev/shm; touch /dev/x 2>&1 || true"),
        "touch: /dev/x: Read-only file system\n"
    );
}

#[test]
fn tmpcopyup() {
    let mut bundle = Bundle::new();
    bundle.write_file("rootfs/seed/deep/file", "content\n");
    symlink("deep/file", bundle.rootfs.join("seed/link")).expect("make a link");
    host(&format!(
        "cd {}/seed; chown 7:8 deep; chmod 750 deep; chmod 4711 deep/file; chmod 1733 .",
        bundle.rootfs.display()
    ));
    bundle.config.mount("/seed", "tmpfs", "tmpfs", &["tmpcopyup"]);
    bundle.config.capabilities(&["bounding", "permitted", "effective"], &["CAP_DAC_OVERRIDE"]);
    assert_eq!(mount_at(&mut bundle, "/seed").kind, "tmpfs");
    let script = "cd /seed; cat link; stat -c '%a %u %g' . deep; readlink link; echo new >deep/file; touch added";
    assert_eq!(bundle.shell(script), "content\n1733 0 0\n750 7 8\ndeep/file\n");
    assert_eq!(bundle.read_file("rootfs/seed/deep/file"), "content\n", "the root is not written to");
    assert!(!bundle.rootfs.join("seed/added").exists());
}

#[test]
fn tmpcopyup_of_special_files() {
    let mut bundle = Bundle::new();
    host(&format!("mkdir {0}/seed; cd {0}/seed; mkfifo pipe; mknod null c 1 3", bundle.rootfs.display()));
    bundle.config.mount("/seed", "tmpfs", "tmpfs", &["tmpcopyup"]);
    assert_eq!(bundle.shell("[ -p /seed/pipe ]; stat -c '%t %T' /seed/null"), "1 3\n");
}

#[test]
fn tmpcopyup_of_a_missing_or_empty_directory() {
    let mut bundle = Bundle::new();
    bundle.make_directory("rootfs/empty");
    bundle.config.mount("/empty", "tmpfs", "tmpfs", &["tmpcopyup"]).mount("/new", "tmpfs", "tmpfs", &["tmpcopyup"]);
    assert_eq!(
        bundle.shell("ls -A /empty /new | wc -w; grep -q ' /new ' /proc/self/mountinfo && echo mounted"),
        "2\nmounted\n"
    );
}

#[test]
fn a_file_system_with_data() {
    let mut bundle = Bundle::new();
    for name in ["lower", "upper", "work"] {
        bundle.make_directory(name);
    }
    bundle.write_file("lower/file", "content\n");
    let options = ["lower", "upper", "work"].map(|name| format!("{name}dir={}", bundle.text_path(name)));
    let options: Vec<&str> = options.iter().map(String::as_str).chain(["nosuid"]).collect();
    bundle.config.mount("/merged", "overlay", "overlay", &options);
    assert_eq!(bundle.shell("cat /merged/file; echo new >/merged/made"), "content\n");
    assert_eq!(bundle.read_file("upper/made"), "new\n");
    assert!(mount_at(&mut bundle, "/merged").has("nosuid"));
}

#[test]
fn proc_with_data() {
    let mut bundle = Bundle::new();
    bundle.config.set("/mounts/0/options", json!(["nosuid", "noexec", "nodev", "hidepid=2"]));
    let mount = mount_at(&mut bundle, "/proc");
    assert!(mount.has("nosuid") && mount.has("noexec") && mount.has("nodev"), "{mount:?}");
    assert!(mount.data.iter().any(|option| option == "hidepid=invisible" || option == "hidepid=2"), "{mount:?}");
}

#[test]
fn mounts_that_can_not_be_made() {
    let mut bundle = Bundle::new();
    bundle.write_file("file", "");
    let file = bundle.text_path("file");
    let directory = bundle.text_path("rootfs");
    each(
        [
            (
                json!({"destination": "/x", "type": "bind", "source": "/no/such/source", "options": ["bind"]}),
                &["/no/such/source", "no such file or directory"][..],
            ),
            (json!({"destination": "/x", "type": "nosuchfs", "source": "x"}), &["nosuchfs"]),
            (
                json!({"destination": "/x", "type": "tmpfs", "source": "x", "options": ["nosuchoption=1"]}),
                &["/x", "nosuchoption"],
            ),
            (
                json!({"destination": "/etc", "type": "bind", "source": file, "options": ["bind"]}),
                &["/etc", "directory"],
            ),
            (
                json!({"destination": "/etc/passwd", "type": "bind", "source": directory, "options": ["bind"]}),
                &["/etc/passwd"],
            ),
            (json!({"destination": "/etc/passwd/x", "type": "tmpfs", "source": "x"}), &["/etc/passwd/x"]),
            (
                json!({"destination": "/x", "type": "bind", "source": directory, "options": ["bind", "nosuchoption"]}),
                &["nosuchoption"],
            ),
            (json!({"type": "tmpfs", "source": "x"}), &["mounts[7]", "destination"]),
            (json!({"destination": "", "type": "tmpfs", "source": "x"}), &["mounts[7].destination"]),
        ],
        |(mount, needles)| {
            bundle.config = Config::usual();
            bundle.config.push("/mounts", mount);
            bundle.refused(needles);
        },
    );
}

#[test]
fn masked_paths() {
    let mut bundle = Bundle::new();
    bundle.write_file("rootfs/secret/file", "secret\n");
    bundle.write_file("rootfs/secret-file", "secret\n");
    bundle.write_file("rootfs/other/file", "secret\n");
    let paths = json!(["/secret", "/secret-file", "/missing", "/other", "/secret", "/proc/kcore", "/sys/firmware"]);
    bundle.config.set("/linux/maskedPaths", paths);
    let script = "! ls -A /secret /other | grep file; cat /secret-file; [ -c /secret-file ] && echo device
        touch /secret/x 2>&1 || true; ls -A /sys/firmware | wc -l; cat /proc/kcore | wc -c; [ -e /missing ] || echo missing";
    assert_eq!(bundle.shell(script), "device\ntouch: /secret/x: Read-only file system\n0\n0\nmissing\n");
    assert_eq!(bundle.read_file("rootfs/secret/file"), "secret\n");
    let table = table(&mut bundle);
    assert_eq!(mountinfo::at(&table, "/secret").kind, "tmpfs");
}

#[test]
fn masked_paths_behind_links_stay_in_the_root() {
    let mut bundle = Bundle::new();
    bundle.write_file("outside/file", "content\n");
    symlink(bundle.path("outside"), bundle.rootfs.join("link")).expect("make a link");
    bundle.config.push("/linux/maskedPaths", "/link/file").push("/linux/readonlyPaths", "/link");
    assert_eq!(bundle.run().code, 0);
    assert_eq!(bundle.read_file("outside/file"), "content\n");
    bundle.write_file("outside/file", "still writable\n");
}

#[test]
fn a_null_device_that_is_none_masks_nothing() {
    // CVE-2025-31133: the image brings something else as /dev/null, and the mask would show that.
    let mut bundle = Bundle::new();
    bundle
        .config
        .without_mount("/dev")
        .without_mount("/dev/pts")
        .without_mount("/dev/shm")
        .without_mount("/dev/mqueue");
    bundle.write_file("rootfs/target", "shown through the mask\n");
    symlink("/target", bundle.rootfs.join("dev/null")).expect("make a link");
    bundle.write_file("rootfs/secret", "secret\n");
    bundle.config.set("/linux/maskedPaths", json!(["/secret"]));
    let ran = bundle.run_call().arg(&bundle.id).run();
    bundle.config.args(["cat", "/secret"]);
    let shown = bundle.run();
    assert!(ran.code != 0 || shown.stdout.is_empty(), "{shown}");
}

#[test]
fn readonly_paths() {
    let mut bundle = Bundle::new();
    bundle.write_file("rootfs/fixed/file", "content\n");
    bundle.write_file("rootfs/fixed-file", "content\n");
    bundle.config.mount("/fixed/mount", "tmpfs", "tmpfs", &["nosuid"]);
    bundle.config.set("/linux/readonlyPaths", json!(["/fixed", "/fixed-file", "/missing", "/proc/sys", "/dev/shm"]));
    let script =
        "cat /fixed/file; for path in /fixed/x /fixed/file /fixed-file /proc/sys/kernel/hostname /dev/shm/x; do
        (echo x >$path) 2>&1 || true; done";
    assert_eq!(
        bundle.shell(script),
        "content\nsh: can't create /fixed/x: Read-only file system\nsh: can't create /fixed/file: Read-only file system\n\
         sh: can't create /fixed-file: Read-only file system\n\
         sh: can't create /proc/sys/kernel/hostname: Read-only file system\n\
         sh: can't create /dev/shm/x: Read-only file system\n"
    );
    let shm = mount_at(&mut bundle, "/dev/shm");
    for option in ["ro", "nosuid", "nodev", "noexec"] {
        assert!(shm.has(option), "the flags of the mount stay: {shm:?}");
    }
}

#[test]
fn idmapped_mounts() {
    let mut bundle = Bundle::new();
    bundle.write_file("source/file", "content\n");
    host(&format!("chown 5:6 {}", bundle.path("source/file").display()));
    let mount = json!({
        "destination": "/data", "type": "bind", "source": bundle.text_path("source"), "options": ["bind", "idmap"],
        "uidMappings": [{"containerID": 0, "hostID": 3000, "size": 100}],
        "gidMappings": [{"containerID": 0, "hostID": 4000, "size": 100}]
    });
    bundle.config.push("/mounts", mount);
    bundle
        .config
        .capabilities(&["bounding", "permitted", "effective"], &["CAP_DAC_OVERRIDE", "CAP_SETUID", "CAP_SETGID"]);
    assert_eq!(bundle.shell("stat -c '%u %g' /data/file"), "3005 4006\n");
}

#[test]
fn idmapped_mounts_of_a_user_namespace() {
    let mut bundle = Bundle::new();
    host(&format!("chown -R 200000:200000 {}", bundle.rootfs.display()));
    bundle.write_file("source/file", "content\n");
    host(&format!("chown 5:6 {}", bundle.path("source/file").display()));
    bundle.config.user_namespace(200_000);
    let source = bundle.path("source");
    bundle.config.bind(&source, "/plain", &["bind"]);
    // Without mappings of its own, the mount has the container's.
    bundle.config.bind(&source, "/mapped", &["bind", "idmap"]);
    let mappings = json!([{"containerID": 0, "hostID": 200_000, "size": 65536}]);
    let mount = json!({
        "destination": "/given", "type": "bind", "source": bundle.text_path("source"), "options": ["bind"],
        "uidMappings": mappings, "gidMappings": mappings
    });
    bundle.config.push("/mounts", mount);
    assert_eq!(
        bundle.shell(
            "stat -c '%u %g' /plain/file /mapped/file /given/file; touch /mapped/new; stat -c '%u %g' /mapped/new"
        ),
        "65534 65534\n5 6\n5 6\n0 0\n"
    );
    let made = fs::metadata(bundle.path("source/new")).expect("the file is in the source");
    assert_eq!((made.uid(), made.gid()), (0, 0));
}

#[test]
fn idmapped_mounts_of_a_joined_user_namespace() {
    // What a pod's second container gets of a device's description: `idmap`, and no mappings.
    let mut bundle = Bundle::new();
    host(&format!("chown -R 200000:200000 {}", bundle.rootfs.display()));
    bundle.write_file("source/file", "content\n");
    host(&format!("chown 5:6 {}", bundle.path("source/file").display()));
    bundle.config.user_namespace(200_000).stay();
    let first = bundle.start();
    bundle.config.join_namespace("user", first.namespace_path("user"));
    bundle.bind("source", "/mapped", &["bind", "idmap"]);
    bundle.config.args(["stat", "-c", "%u %g", "/mapped/file"]);
    let another = bundle.another_id("second");
    // With the mappings of the namespace said again, and without.
    assert_eq!(bundle.run_call().arg(&another).ok().stdout, "5 6\n");
    bundle.config.remove("/linux/uidMappings").remove("/linux/gidMappings");
    assert_eq!(bundle.run_call().arg(&another).ok().stdout, "5 6\n");
    first.stop();
}

#[test]
fn ridmap_reaches_the_mounts_below() {
    let mut bundle = bundle_with_tree();
    host(&format!(
        "cd {0}; chown -R 200000:200000 rootfs; chown 5:6 source/file source/below/file",
        bundle.directory.display()
    ));
    bundle.config.user_namespace(200_000);
    bundle.bind("source", "/top", &["rbind", "idmap"]);
    bundle.bind("source", "/tree", &["rbind", "ridmap"]);
    assert_eq!(
        bundle.shell("stat -c '%u %g' /top/file /top/below/file /tree/file /tree/below/file"),
        "5 6\n65534 65534\n5 6\n5 6\n"
    );
    host(&format!("umount {}/source/below", bundle.directory.display()));
}

#[test]
fn idmapped_mounts_that_make_no_sense() {
    let mut bundle = Bundle::new();
    bundle.make_directory("source");
    let source = bundle.text_path("source");
    let mappings = json!([{"containerID": 0, "hostID": 1000, "size": 10}]);
    each(
        [
            json!({"destination": "/x", "type": "bind", "source": source, "options": ["bind"], "uidMappings": mappings}),
            json!({"destination": "/x", "type": "bind", "source": source, "options": ["bind", "idmap"]}),
            json!({"destination": "/x", "type": "tmpfs", "source": "x", "uidMappings": mappings, "gidMappings": mappings}),
        ],
        |mount| {
            bundle.config = Config::usual();
            bundle.config.push("/mounts", mount);
            bundle.refused(&["mounts[7]"]);
        },
    );
}

#[test]
fn cgroup_with_a_namespace_shows_the_containers_own_group() {
    let mut bundle = Bundle::new();
    let shown = bundle.shell(
        "cat /proc/self/cgroup; cat /sys/fs/cgroup/cgroup.procs | head -1; ls -d /sys/fs/cgroup/*/ 2>/dev/null || true",
    );
    assert!(shown.contains("0::/\n"), "{shown}");
    let procs = shown.lines().filter(|line| *line == "1").count();
    assert_eq!(procs, 1, "only the container's processes: {shown}");
    assert!(bundle.shell("mkdir /sys/fs/cgroup/x 2>&1 || true").contains("Read-only file system"));
}

#[test]
fn cgroup_without_a_namespace_shows_the_containers_own_group_or_the_tree() {
    let mut bundle = Bundle::new();
    bundle.config.without_namespace("cgroup");
    let shown = bundle.shell("cat /proc/self/cgroup; ls /sys/fs/cgroup");
    assert!(shown.contains(&bundle.id), "{shown}");
    assert!(shown.contains("cgroup.procs"), "{shown}");
}

#[test]
fn cgroup_can_be_writable() {
    let mut bundle = Bundle::new();
    bundle.config.without_mount("/sys/fs/cgroup");
    bundle.config.mount("/sys/fs/cgroup", "cgroup", "cgroup", &["nosuid", "noexec", "nodev", "rw"]);
    assert_eq!(bundle.shell("mkdir /sys/fs/cgroup/x && rmdir /sys/fs/cgroup/x && echo done"), "done\n");
}

#[test]
fn without_a_single_mount() {
    let mut bundle = Bundle::script("echo fine");
    bundle.config.remove("/mounts").remove("/linux/maskedPaths").remove("/linux/readonlyPaths");
    assert_eq!(bundle.output(), "fine\n");
}
