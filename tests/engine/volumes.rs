use std::fs;
use std::os::unix::fs::MetadataExt;

use crate::harness::{Place, kill, user};

#[test]
fn volumes_outlive_containers() {
    let place = Place::new();
    // The image's files come into a new volume, and what is written stays.
    assert_eq!(place.inside(&["-v", "keep:/data"], "cat /data/of-image; echo more >/data/more"), "from the image\n");
    assert_eq!(
        place.inside(&["-v", "keep:/other:ro"], "ls /other; touch /other/x 2>/dev/null || echo refused"),
        "below\nmore\nof-image\nrefused\n"
    );
    assert_eq!(place.inside(&["--mount", "source=plain,target=/data,volume-nocopy"], "ls /data"), "");
    place.ctn(&["create", "--name", "user", "--network", "none", "-v", "keep:/data", "box"]);
    let refusal = place.refusal(1, &["volume", "rm", "keep"]);
    assert!(refusal.contains("volume is in use"), "{refusal}");
    assert_eq!(place.ctn(&["volume", "ls", "-q"]), "keep\nplain\n");
    assert_eq!(place.ctn(&["volume", "ls", "-q", "-f", "dangling=true"]), "plain\n");
    place.ctn(&["rm", "user"]);
    place.ctn(&["volume", "rm", "keep", "plain"]);
    assert!(place.refusal(1, &["volume", "inspect", "keep"]).contains("no such volume"));
    place.assert_nothing_left();
}

#[test]
fn volumes_without_a_name_go_with_their_container() {
    let place = Place::new();
    place.inside(&["-v", "/data"], "true");
    assert_eq!(place.ctn(&["volume", "ls", "-q"]), "");
    place.ctn(&["run", "--name", "one", "--network", "none", "-v", "/data", "box", "true"]);
    assert_eq!(place.ctn(&["volume", "ls", "-q"]).lines().count(), 1);
    place.ctn(&["rm", "one"]);
    assert_eq!(place.ctn(&["volume", "ls", "-q"]).lines().count(), 1);
    place.ctn(&["volume", "prune", "-f"]);
    assert_eq!(place.ctn(&["volume", "ls", "-q"]), "");
    place.ctn(&["volume", "create", "--label", "a=b", "named"]);
    assert_eq!(place.ctn(&["volume", "inspect", "-f", "{{json .Labels}}", "named"]), "{\"a\":\"b\"}\n");
}

#[test]
fn directories_of_the_host() {
    let place = Place::new();
    let shared = place.join("shared");
    fs::create_dir(&shared).unwrap();
    fs::write(shared.join("file"), "of the host\n").unwrap();
    let bind = format!("{}:/in", shared.display());
    assert_eq!(place.inside(&["-v", &bind], "cat /in/file; echo new >/in/new"), "of the host\n");
    assert_eq!(fs::read_to_string(shared.join("new")).unwrap(), "new\n");
    let read_only = format!("type=bind,src={},dst=/in,readonly", shared.display());
    assert_eq!(place.inside(&["--mount", &read_only], "touch /in/x 2>/dev/null || echo refused"), "refused\n");
    // A slash at the end of a file's path is none.
    let file = format!("{}:/of-host", shared.join("../shared/file/").display());
    assert_eq!(place.inside(&["-v", &file], "cat /of-host"), "of the host\n");
    // As docker does it: what isn't there is made.
    let missing = format!("{}:/in", place.join("made").display());
    place.inside(&["-v", &missing], "touch /in/x");
    assert!(place.join("made/x").exists());
    let size = place.inside(&["--tmpfs", "/t:size=1m,exec", "--shm-size", "2m"], "df -k /t /dev/shm");
    let size: Vec<&str> = size.lines().skip(1).filter_map(|line| line.split_whitespace().nth(1)).collect();
    assert_eq!(size, ["1024", "2048"]);
}

#[test]
fn a_directory_of_another_name_is_not_taken_for_one_that_cannot_be_said() {
    use std::os::unix::ffi::OsStrExt;
    let place = Place::new();
    let odd = place.path.join(std::ffi::OsStr::from_bytes(b"odd-\xff"));
    fs::create_dir_all(odd.join("below")).unwrap();
    let mut create = place.command(&["create", "-v", "./below:/v", "box"]);
    let output = create.current_dir(&odd).output().unwrap();
    let errors = String::from_utf8(output.stderr).unwrap();
    assert!(!output.status.success() && errors.contains("is no UTF-8"), "{errors}");
}

/// docker's: with `rshared` what is mounted inside is mounted outside, too, and with `rslave` the other way round alone.
#[test]
fn mounts_go_both_ways_where_they_are_shared() {
    let place = Place::new();
    let shared = place.join("shared");
    fs::create_dir_all(shared.join("below")).unwrap();
    let before = place.mounts();
    for (propagation, is_seen) in [("rshared", true), ("shared", true), ("rslave", false), ("rprivate", false)] {
        let bind = format!("{}:/in:{propagation}", shared.display());
        place.inside(&["--privileged", "-v", &bind], "mount -t tmpfs x /in/below && touch /in/below/mark");
        assert_eq!(shared.join("below/mark").exists(), is_seen, "{propagation}");
        assert_eq!(
            place.mounts(),
            before + usize::from(is_seen),
            "{propagation}: of the container's own mounts none is seen"
        );
        if is_seen {
            rustix::mount::unmount(shared.join("below"), rustix::mount::UnmountFlags::empty()).unwrap();
        }
    }
    // In a user namespace of its own nothing leads out, whatever is asked for.
    let bind = format!("{}:/in:rshared", shared.display());
    place.inside(&["--userns", "auto", "-v", &bind], "test -d /in/below");
    assert_eq!(place.mounts(), before);
    place.assert_nothing_left();
}

/// As docker's: everybody may write, whether the image has the directory or not, and at every start.
#[test]
fn a_tmpfs_is_open_to_all() {
    let place = Place::new();
    let flags = ["--name", "one", "--network", "none", "-u", "web", "--tmpfs", "/new", "--tmpfs", "/tmp", "--mount"];
    let run = [&["run"], &flags[..], &["type=tmpfs,dst=/a/b", "box", "sh", "-c"]].concat();
    place.ctn(&[&run[..], &["touch /new/x /tmp/x /a/b/x"]].concat());
    assert_eq!(place.ctn(&["start", "-a", "one"]), "");
    assert_eq!(place.field("one", ".State.ExitCode"), "0");
}

#[test]
fn volumes_of_another_container() {
    let place = Place::new();
    let bind = format!("{}:/bind", place.join("image").display());
    let flags = ["-v", "/data", "-v", &bind, "-v", "named:/own", "--tmpfs", "/t"];
    place.detached("first", &flags, "echo first >/data/x; echo first >/own/x; sleep 1000");
    crate::harness::until("it wrote", || place.outcome(&["exec", "first", "cat", "/own/x"]).1 == "first\n");
    let look = "cat /data/x /own/x; ls /bind/bin | grep busybox; echo second >/data/x && echo written; ls -d /t";
    let (_, output, _) =
        place.outcome(&["run", "--rm", "--network", "none", "--volumes-from", "first", "box", "sh", "-c", look]);
    assert_eq!(output, "first\nfirst\nbusybox\nwritten\n");
    // It is the other's volume that was written to, and it is not removed with who borrowed it.
    assert_eq!(place.ctn(&["exec", "first", "cat", "/data/x"]), "second\n");
    let script = "cat /data/x; echo no 2>/dev/null >/data/x || echo refused; ls /own";
    let own = ["--volumes-from", "first:ro", "-v", "else:/own:nocopy"];
    assert_eq!(place.inside(&own, script), "second\nrefused\n");
    for (wrong, text) in [("nobody", "No such container"), ("first:x", "invalid mode: x"), (":ro", "invalid")] {
        let refusal = place.refusal(125, &["run", "--rm", "--volumes-from", wrong, "box", "true"]);
        assert!(refusal.contains(text), "{refusal}");
    }
    // Who borrowed a volume keeps it.
    place.ctn(&["create", "--name", "second", "--network", "none", "--volumes-from", "first", "box", "cat", "/data/x"]);
    place.ctn(&["rm", "-fv", "first"]);
    assert_eq!(place.ctn(&["start", "-a", "second"]), "second\n");
    place.ctn(&["rm", "-v", "second"]);
    assert_eq!(place.ctn(&["volume", "ls", "-q"]), "else\nnamed\n");
    place.assert_nothing_left();
}

#[test]
fn what_somebody_puts_among_volumes_stays() {
    let place = Place::new();
    let data = place.store().join("volumes/brought/_data");
    std::fs::create_dir_all(&data).unwrap();
    std::fs::write(data.join("file"), "kept").unwrap();
    let half_made = place.store().join("volumes/.stray-1");
    std::fs::create_dir_all(half_made.join("_data/deep")).unwrap();
    place.ctn(&["ps"]);
    assert!(!half_made.exists());
    assert_eq!(place.inside(&["-v", "brought:/data"], "cat /data/file"), "kept");
    place.ctn(&["volume", "rm", "brought"]);
    assert!(!data.exists());
}

/// What is mounted at a volume.
fn mounted(place: &Place, name: &str) -> usize {
    let point = format!(" {} ", place.store().join("volumes").join(name).join("_data").display());
    fs::read_to_string("/proc/self/mountinfo").unwrap().lines().filter(|line| line.contains(&point)).count()
}

#[test]
fn a_volume_may_be_a_file_system() {
    let place = Place::new();
    let options = ["-o", "type=tmpfs", "-o", "device=tmpfs", "-o", "o=size=1m,uid=33,noexec"];
    place.ctn(&[&["volume", "create"], &options[..], &["memory"]].concat());
    let described = place.ctn(&["volume", "inspect", "-f", "{{json .Options}}", "memory"]);
    assert_eq!(described, "{\"device\":\"tmpfs\",\"o\":\"size=1m,uid=33,noexec\",\"type\":\"tmpfs\"}\n");
    assert_eq!(mounted(&place, "memory"), 0);
    place.detached(
        "one",
        &["-v", "memory:/v:nocopy"],
        "grep ' /v ' /proc/mounts; stat -c %u /v; echo x >/v/x; sleep 1000",
    );
    crate::harness::until("it wrote", || place.ctn(&["logs", "one"]).lines().count() == 2);
    let said = place.ctn(&["logs", "one"]);
    assert!(said.contains("size=1024k") && said.contains("noexec") && said.ends_with("\n33\n"), "{said}");
    // Once for all that have it, and as long as one of them runs.
    place.detached("two", &["-v", "memory:/w"], "cat /w/x; sleep 1000");
    crate::harness::until("it read", || place.ctn(&["logs", "two"]) == "x\n");
    assert_eq!(mounted(&place, "memory"), 1);
    place.ctn(&["stop", "-t", "0", "one"]);
    assert_eq!(mounted(&place, "memory"), 1);
    // Who takes over from a monitor that was killed unmounts it.
    kill(place.monitor_of("two"));
    place.ctn(&["ps"]);
    assert_eq!(mounted(&place, "memory"), 0);
    place.ctn(&["start", "two"]);
    assert_eq!(mounted(&place, "memory"), 1);
    place.ctn(&["rm", "-f", "one", "two"]);
    assert_eq!(mounted(&place, "memory"), 0);
    let refusal = place.refusal(1, &["volume", "create", "-o", "type=x", "-o", "device=y", "memory"]);
    assert!(refusal.contains("with other options"), "{refusal}");
    place.ctn(&["volume", "rm", "memory"]);
    place.assert_nothing_left();
}

#[test]
fn a_volume_may_be_a_directory_of_the_host() {
    let place = Place::new();
    let shared = place.join("shared");
    fs::create_dir(&shared).unwrap();
    fs::write(shared.join("file"), "of the host\n").unwrap();
    let device = format!("device={}", shared.display());
    place.ctn(&["volume", "create", "-o", "type=none", "-o", &device, "-o", "o=bind,ro", "bound"]);
    assert_eq!(
        place.inside(&["-v", "bound:/v"], "cat /v/file; touch /v/x 2>/dev/null || echo refused"),
        "of the host\nrefused\n"
    );
    let fields = format!("type=volume,src=made,dst=/v,volume-opt=type=none,volume-opt={device},volume-opt=o=bind");
    place.ctn(&["create", "--name", "waits", "--network", "none", "--mount", &fields, "box", "true"]);
    // `cp` sees what the container would see, and leaves nothing mounted.
    place.ctn(&["cp", "waits:/v/file", "copied"]);
    assert_eq!(fs::read_to_string(place.join("copied")).unwrap(), "of the host\n");
    assert_eq!(mounted(&place, "made"), 0);
    place.ctn(&["rm", "waits"]);
    // Left mounted by hand, or by whoever was killed: what is removed is the volume, and not what is mounted there.
    let data = place.store().join("volumes/made/_data");
    let mount = std::process::Command::new("mount").arg("--bind").arg(&shared).arg(&data).status().unwrap();
    assert!(mount.success());
    place.ctn(&["volume", "rm", "made", "bound"]);
    assert!(shared.join("file").exists());
    let refusal = place.refusal(
        125,
        &["run", "--rm", "--mount", "dst=/v,volume-opt=type=nonsense,volume-opt=device=x", "box", "true"],
    );
    assert!(refusal.contains("failed to mount local volume") && refusal.contains("nonsense"), "{refusal}");
    for (options, words) in [
        (&["-o", "x=y"][..], "invalid option: \"x\""),
        (&["-o", "type=tmpfs"], "missing required option: \"device\""),
        (&["-d", "x"], "volume driver \"x\""),
    ] {
        let refusal = place.refusal(1, &[&["volume", "create"], options, &["bad"]].concat());
        assert!(refusal.contains(words), "{refusal}");
    }
    assert_eq!(place.ctn(&["volume", "ls", "-q"]), "");
    place.assert_nothing_left();
}

#[test]
fn a_part_of_a_volume() {
    let place = Place::new();
    place.inside(
        &["-v", "all:/v"],
        "mkdir -p /v/a/b; echo deep >/v/a/b/file; busybox ln -s /etc /v/out; busybox ln -s a /v/in",
    );
    let part = |path: &str| format!("type=volume,src=all,dst=/part,volume-subpath={path}");
    assert_eq!(place.inside(&["--mount", &part("a/b")], "cat /part/file; ls /part"), "deep\nfile\n");
    assert_eq!(place.inside(&["--mount", &part("in/b/file")], "cat /part"), "deep\n");
    for bad in ["nonesuch", "out"] {
        let refusal = place.refusal(125, &["run", "--rm", "--network", "none", "--mount", &part(bad), "box", "true"]);
        assert!(refusal.contains(&format!("cannot access path {bad} of the volume all")), "{refusal}");
    }
    place.detached("stays", &["--mount", &part("a")], "sleep 1000");
    assert!(place.field("stays", "(index .Mounts 0).Source").ends_with("/volumes/all/_data"));
    kill(place.monitor_of("stays"));
    place.ctn(&["rm", "-f", "stays"]);
    assert_eq!(place.inside(&["-v", "all:/v"], "cat /v/a/b/file"), "deep\n");
    place.assert_nothing_left();
    assert!(place.run().is_none_or(|run| fs::read_dir(run.join("subpaths")).unwrap().next().is_none()));
}

/// What a volume is would be removed with it, if it were mounted at the wrong moment.
#[test]
fn a_volume_that_somebody_comes_to_have_is_not_removed() {
    let place = Place::new();
    place.ctn(&["volume", "create", "kept"]);
    let directory = fs::File::open(place.store().join("volumes/kept")).unwrap();
    rustix::fs::flock(&directory, rustix::fs::FlockOperation::LockExclusive).unwrap();
    let mut removal = place.command(&["volume", "rm", "kept"]);
    let mut removal = removal.stderr(std::process::Stdio::piped()).spawn().unwrap();
    let waiter = format!(" {} ", removal.id());
    let waits = || {
        let locks = fs::read_to_string("/proc/locks").unwrap();
        locks.lines().any(|line| line.contains("-> FLOCK") && line.contains(&waiter))
    };
    crate::harness::until("it waits, or is over", || waits() || removal.try_wait().unwrap().is_some());
    place.ctn(&["create", "--network", "none", "--name", "has", "-v", "kept:/v", "box"]);
    drop(directory);
    let output = removal.wait_with_output().unwrap();
    let text = String::from_utf8(output.stderr).unwrap();
    assert!(!output.status.success() && text.contains("volume is in use"), "{text}");
    place.ctn(&["rm", "has"]);
    place.ctn(&["volume", "rm", "kept"]);
    place.assert_nothing_left();
}

/// As docker's has them: what tells it of others is mounted on what it has for itself.
#[test]
fn an_etc_of_its_own_has_the_files_of_the_engine() {
    let place = Place::new();
    let look = "grep -c localhost /etc/hosts; cat /etc/hostname; test -s /etc/resolv.conf; grep -c web /etc/passwd";
    for flag in ["own:/etc", &format!("{}:/etc", place.join("image/etc").display())] {
        let said = place.inside(&["-v", flag, "--hostname", "named"], look);
        assert!(said.ends_with("\nnamed\n1\n") && !said.starts_with('0'), "{said}");
    }
    fs::write(place.join("hosts"), "mine\n").unwrap();
    let hosts = format!("{}:/etc/hosts", place.join("hosts").display());
    assert_eq!(place.inside(&["-v", "own:/etc", "-v", &hosts], "cat /etc/hosts"), "mine\n");
    place.ctn(&["volume", "rm", "own"]);
    place.assert_nothing_left();
}

#[test]
fn a_volume_is_filled_by_one_at_a_time() {
    let place = Place::new();
    place.ctn(&["volume", "create", "new"]);
    let directory = fs::File::open(place.store().join("volumes/new")).unwrap();
    rustix::fs::flock(&directory, rustix::fs::FlockOperation::LockExclusive).unwrap();
    let inode = format!(":{} ", directory.metadata().unwrap().ino());
    let mut second =
        place.spawn(&["run", "--rm", "--network", "none", "-v", "new:/data", "box", "cat", "/data/of-image"]);
    let mut waits = false;
    crate::harness::until("the second waits, or is over", || {
        let locks = fs::read_to_string("/proc/locks").unwrap();
        waits = locks.lines().any(|line| line.contains("-> FLOCK") && line.contains(&inode));
        waits || second.try_wait().unwrap().is_some()
    });
    assert!(waits, "it began with what another had only begun to make");
    drop(directory);
    assert_eq!(second.wait_with_output().unwrap().stdout, b"from the image\n");
    place.ctn(&["volume", "rm", "new"]);
    place.assert_nothing_left();
}

#[test]
fn drivers_and_runtimes_have_one_name() {
    let place = Place::new();
    assert_eq!(place.inside(&["--volume-driver", "local", "--runtime", "corten", "-v", "/v"], "echo ran"), "ran\n");
    for (flag, words) in [("--volume-driver", "volume driver \"other\""), ("--runtime", "invalid runtime name: other")]
    {
        let refusal = place.refusal(125, &["run", "--rm", flag, "other", "box", "true"]);
        assert!(refusal.contains(words), "{refusal}");
    }
}

/// In a file system that has quotas they are tested by integration/vm/containers/quota.rs.
#[test]
fn without_quotas_of_projects_nothing_is_limited() {
    let place = Place::with_disk(50);
    let refusal = place.refusal(125, &["run", "--storage-opt", "size=1m", "box", "true"]);
    assert!(
        refusal.contains("--storage-opt is supported only for overlay over xfs with 'pquota' mount option"),
        "{refusal}"
    );
    assert!(place.refusal(125, &["run", "--storage-opt", "x=1", "box", "true"]).contains("Unknown option x"));
    let refusal = place.refusal(125, &["run", "--rootfs", "--storage-opt", "size=1m", "image", "true"]);
    assert!(refusal.contains("conflicting options"), "{refusal}");
    assert!(place.refusal(1, &["volume", "create", "-o", "size=1m", "small"]).contains("'pquota' mount option"));
    assert_eq!(place.ctn(&["volume", "ls", "-q"]), "");
    place.assert_nothing_left();
}

#[test]
fn what_is_mounted_below_a_bind_comes_along() {
    let place = Place::new();
    let (outer, inner) = (place.join("outer"), place.join("outer/inner"));
    fs::create_dir_all(&inner).unwrap();
    let mount = |arguments: &[&str]| {
        assert!(std::process::Command::new("mount").args(arguments).arg(&inner).status().unwrap().success());
    };
    mount(&["-t", "tmpfs", "below"]);
    fs::write(inner.join("file"), "below\n").unwrap();
    let seen = |options: &str, script: &str| {
        let bind = format!("type=bind,src={},dst=/b{options}", outer.display());
        place.inside(&["--mount", &bind], script)
    };
    let write = "cat /b/inner/file; touch /b/inner/x 2>/dev/null && echo written || echo refused";
    assert_eq!(seen("", write), "below\nwritten\n");
    // Read-only is all that is there, as docker 25 has it, unless something else is said.
    assert_eq!(seen(",readonly", write), "below\nrefused\n");
    assert_eq!(seen(",readonly,bind-recursive=writable", write), "below\nwritten\n");
    assert_eq!(seen(",bind-recursive=disabled", "ls /b/inner"), "");
    // `cp` finds in a container that doesn't run what it sees when it does.
    for (name, options) in [("all", ""), ("top", ",bind-recursive=disabled"), ("open", ",bind-recursive=writable")] {
        let bind = format!("type=bind,src={},dst=/b,readonly{options}", outer.display());
        place.ctn(&["create", "--network", "none", "--name", name, "--mount", &bind, "box"]);
    }
    place.ctn(&["cp", "all:/b/inner/file", "copied"]);
    let refusal = place.refusal(1, &["cp", "top:/b/inner/file", "copied"]);
    assert!(refusal.contains("/b/inner/file"), "{refusal}");
    place.refusal(1, &["cp", "copied", "all:/b/inner/new"]);
    place.ctn(&["cp", "copied", "open:/b/inner/new"]);
    assert_eq!(fs::read_to_string(inner.join("new")).unwrap(), "below\n");
    place.ctn(&["rm", "all", "top", "open"]);
    // What the host has read-only stays so, whoever asks for more.
    mount(&["-o", "remount,bind,ro"]);
    let rw = format!("{}:/b:rw", outer.display());
    assert_eq!(place.inside(&["-v", &rw], write), "below\nrefused\n");
    assert!(std::process::Command::new("umount").arg(&inner).status().unwrap().success());
}

#[test]
fn an_ordinary_user_has_volumes_that_are_mounted() {
    let place = user::place();
    place.ctn(&["volume", "create", "-o", "type=tmpfs", "-o", "device=tmpfs", "-o", "o=size=1m", "memory"]);
    let mounts = place.inside(&["-v", "memory:/v:nocopy"], "grep ' /v ' /proc/mounts");
    assert!(mounts.starts_with("tmpfs /v ") && mounts.contains("size=1024k"), "{mounts}");
    let refusal = place.refusal(125, &["run", "--rm", "--storage-opt", "size=1m", "box", "true"]);
    assert!(refusal.contains("--storage-opt"), "{refusal}");
    place.inside(&["-v", "all:/v"], "mkdir /v/part; echo deep >/v/part/file");
    assert_eq!(place.inside(&["--mount", "src=all,dst=/v,volume-subpath=part"], "cat /v/file"), "deep\n");
    place.ctn(&["volume", "rm", "memory", "all"]);
    user::assert_nothing_left(&place);
}

#[test]
fn a_mounted_volume_keeps_the_flags_that_its_source_has() {
    let look = "grep ' /v ' /proc/mounts; cat /v/file; touch /v/x 2>/dev/null || echo refused";
    for place in [user::place(), Place::new()] {
        // On every host that has been put together by scripts/unified-host, as on machines with systemd.
        let shared = std::path::PathBuf::from("/dev/shm").join(place.path.file_name().unwrap());
        fs::create_dir(&shared).unwrap();
        fs::write(shared.join("file"), "of the host\n").unwrap();
        let device = format!("device={}", shared.display());
        for (name, options) in [("ro", "o=bind,ro"), ("rw", "o=rbind,rw,noexec"), ("private", "o=bind,ro,private")] {
            place.ctn(&["volume", "create", "-o", "type=none", "-o", &device, "-o", options, name]);
            let seen = place.inside(&["-v", &format!("{name}:/v")], look);
            let has = |flag: &str| seen.lines().next().unwrap().split([' ', ',']).any(|word| word == flag);
            assert!(has("nosuid") && has("nodev") && seen.contains("of the host\n"), "{options}: {seen}");
            assert_eq!(has("ro"), name != "rw", "{options}: {seen}");
            assert_eq!(has("noexec"), name == "rw", "{options}: {seen}");
        }
        let refusal =
            place.refusal(1, &["volume", "create", "-o", "type=none", "-o", &device, "-o", "o=bind,x=y", "bad"]);
        assert!(refusal.contains("\"x=y\" has no meaning for a bind mount"), "{refusal}");
        place.ctn(&["volume", "rm", "ro", "rw", "private"]);
        fs::remove_dir_all(&shared).unwrap();
    }
}

#[test]
fn a_file_system_with_a_propagation_is_mounted_with_it() {
    let place = Place::new();
    let options = ["-o", "type=tmpfs", "-o", "device=tmpfs", "-o", "o=size=1m,nodev,private"];
    place.ctn(&[&["volume", "create"], &options[..], &["memory"]].concat());
    place.detached("one", &["-v", "memory:/v:nocopy"], "sleep 1000");
    let point = format!(" {} ", place.store().join("volumes/memory/_data").display());
    let table = fs::read_to_string("/proc/self/mountinfo").unwrap();
    let line = table.lines().find(|line| line.contains(&point)).unwrap();
    let (before, after) = line.split_once(" - ").unwrap();
    assert!(before.contains("nodev") && !before.contains("shared:") && after.contains("size=1024k"), "{line}");
    place.ctn(&["rm", "-f", "one"]);
    place.ctn(&["volume", "rm", "memory"]);
    place.assert_nothing_left();
}
