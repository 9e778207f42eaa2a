//! What becomes of the source of a mount: `:z`, `:Z`, `:U` and `:O`.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown, symlink};
use std::path::{Path, PathBuf};

use crate::harness::{Place, ctn, kill, prepare, user};

/// A directory with a file in another, and a link to a file that is elsewhere.
fn shared(place: &Place) -> PathBuf {
    let shared = place.join("shared");
    fs::create_dir_all(shared.join("below")).unwrap();
    fs::write(shared.join("below/file"), "of the host\n").unwrap();
    fs::write(place.join("elsewhere"), "").unwrap();
    symlink(place.join("elsewhere"), shared.join("link")).unwrap();
    shared
}

fn owner(path: &Path) -> (u32, u32) {
    let found = fs::symlink_metadata(path).unwrap();
    (found.uid(), found.gid())
}

#[test]
fn without_selinux_there_is_nothing_to_relabel() {
    if fs::exists("/sys/fs/selinux/enforce").unwrap() {
        println!("skipped: this machine has SELinux; integration/vm/containers/selinux.rs has the test");
        return;
    }
    let place = Place::new();
    let shared = shared(&place);
    for word in ["z", "Z", "ro,z", "z,cached"] {
        let bind = format!("{}:/v:{word}", shared.display());
        assert_eq!(place.inside(&["-v", &bind], "cat /v/below/file"), "of the host\n");
    }
    let mount = format!("type=bind,src={},dst=/v,relabel=shared", shared.display());
    assert_eq!(place.inside(&["--mount", &mount, "-v", "named:/w:Z"], "cat /v/below/file"), "of the host\n");
}

#[test]
fn files_become_those_of_the_user() {
    let place = Place::new();
    let shared = shared(&place);
    let mounted = shared.join("below/mounted");
    fs::create_dir(&mounted).unwrap();
    rustix::mount::mount("tmpfs", &mounted, "tmpfs", rustix::mount::MountFlags::empty(), None).unwrap();
    let bind = format!("{}:/v:U", shared.display());
    assert_eq!(
        place.inside(&["-u", "web", "-v", &bind], "touch /v/below/new && stat -c %u:%g /v/below/file"),
        "33:34\n"
    );
    for name in ["", "below", "below/file", "below/new", "link"] {
        assert_eq!(owner(&shared.join(name)), (33, 34), "{name}");
    }
    // Neither what a link leads to, nor what is mounted there.
    assert_eq!((owner(&place.join("elsewhere")), owner(&mounted)), ((0, 0), (0, 0)));
    rustix::mount::unmount(&mounted, rustix::mount::UnmountFlags::empty()).unwrap();
    assert_eq!(place.inside(&["-u", "44", "-v", "all:/data:U"], "stat -c %u /data /data/of-image"), "44\n44\n");
    place.ctn(&["create", "--name", "waits", "--network", "none", "-v", &bind, "box", "true"]);
    assert_eq!(owner(&shared), (33, 34));
    place.ctn(&["start", "waits"]);
    place.ctn(&["wait", "waits"]);
    assert_eq!(owner(&shared), (0, 0));
    place.ctn(&["rm", "waits"]);
    place.assert_nothing_left();
}

#[test]
fn files_become_those_of_ids_of_its_own() {
    let place = Place::new();
    let shared = shared(&place);
    let bind = format!("{}:/v:U", shared.display());
    let flags = ["--userns", "auto", "-u", "web", "-v", &bind, "-v", "all:/data:U"];
    let said = place.inside(&flags, "cat /proc/self/uid_map; stat -c %u /v/below/file /data/of-image");
    let (map, owners) = said.split_once('\n').unwrap();
    assert_eq!(owners, "33\n33\n");
    let first: u32 = map.split_whitespace().nth(1).unwrap().parse().unwrap();
    assert_eq!(owner(&shared.join("below/file")).0, first + 33);
    place.ctn(&["volume", "rm", "all"]);
    // An ordinary user's container, whose root is the user.
    let place = user::place();
    let shared = self::shared(&place);
    for path in [shared.clone(), shared.join("below"), shared.join("below/file"), shared.join("link")] {
        std::os::unix::fs::lchown(path, Some(user::USER), Some(user::USER)).unwrap();
    }
    let bind = format!("{}:/v:U", shared.display());
    assert_eq!(place.inside(&["-u", "web", "-v", &bind], "stat -c %u /v/below/file"), "33\n");
    assert_eq!(owner(&shared.join("below/file")), (user::FIRST + 32, user::FIRST + 33));
    user::assert_nothing_left(&place);
}

/// Nothing of this is started: whatever fails here, the machine's files stay as they are.
#[test]
fn what_the_machine_stands_on_is_not_changed() {
    let place = Place::new();
    symlink("/", place.join("to-root")).unwrap();
    let root = place.join("to-root").display().to_string();
    let above = place.path.display().to_string();
    let refused = |flags: &[&str], what: &str| {
        let refusal = place.refusal(1, &[&["create"], flags, &["box", "true"]].concat());
        assert!(refusal.contains(what) && refusal.contains("is not allowed"), "{flags:?}: {refusal}");
    };
    for source in ["/", "/usr", "/etc", "/home", "/root", "/etc/passwd", "/usr/../etc/", &root, &above] {
        for (word, what) in [("U", "changing the owners"), ("z", "SELinux relabeling"), ("Z", "SELinux relabeling")] {
            refused(&["-v", &format!("{source}:/v:{word}")], what);
        }
    }
    let options = ["-o", "type=none", "-o", "device=/usr", "-o", "o=bind,ro"];
    place.ctn(&[&["volume", "create"], &options[..], &["system"]].concat());
    refused(&["-v", "system:/v:U"], "changing the owners");
    let new = "dst=/v,volume-opt=type=none,volume-opt=device=/etc/.,volume-opt=o=bind,U";
    refused(&["--mount", new], "changing the owners");
    place.ctn(&["volume", "rm", "system"]);
    place.assert_nothing_left();
}

/// As where they are on another disk.
#[test]
fn a_home_behind_a_link_is_not_changed() {
    let place = Place::new();
    let (disk, home) = (place.join("disk"), place.join("home"));
    fs::create_dir_all(disk.join("me/project")).unwrap();
    symlink(&disk, &home).unwrap();
    let passwd = place.join("passwd");
    let line = format!("homed:x:1777:1777::{}:/bin/sh\n", home.join("me").display());
    fs::write(&passwd, fs::read_to_string("/etc/passwd").unwrap() + &line).unwrap();
    // In a mount namespace of its own, for these are the machine's users.
    let create = |source: &Path, word: &str| {
        let script = "mount --bind passwd /etc/passwd && exec \"$@\"";
        let mut command = std::process::Command::new("unshare");
        command.args(["--mount", "--propagation", "private", "sh", "-c", script, "sh"]).arg(ctn());
        prepare(&mut command, &place.path, &["create", "-v", &format!("{}:/v:{word}", source.display()), "box"]);
        let output = command.output().unwrap();
        (output.status.code(), String::from_utf8(output.stderr).unwrap())
    };
    for source in [disk.join("me"), home.join("me"), disk.join("me/project/..")] {
        for (word, what) in [("U", "changing the owners"), ("z", "SELinux relabeling")] {
            let (status, errors) = create(&source, word);
            assert_eq!(status, Some(1), "{errors}");
            assert!(errors.contains(what) && errors.contains("is not allowed"), "{errors}");
        }
    }
    assert_eq!(create(&home.join("me/project"), "U"), (Some(0), String::new()));
}

#[test]
fn what_a_source_has_become_is_looked_at_again() {
    let place = Place::new();
    let link = place.join("changing");
    symlink(shared(&place), &link).unwrap();
    let bind = format!("{}:/v:U", link.display());
    place.ctn(&["create", "--name", "later", "--network", "none", "-u", "web", "-v", &bind, "box", "true"]);
    // The store is in there.
    fs::remove_file(&link).unwrap();
    symlink(&place.path, &link).unwrap();
    let refusal = place.refusal(1, &["start", "later"]);
    assert!(refusal.contains("changing the owners") && refusal.contains("is not allowed"), "{refusal}");
    assert_eq!((owner(&place.path), owner(&place.join("image"))), ((0, 0), (0, 0)));
    place.ctn(&["rm", "later"]);
    place.assert_nothing_left();
}

#[test]
fn what_is_written_over_a_directory_is_thrown_away() {
    for place in [Place::new(), user::place()] {
        let shared = shared(&place);
        let own = place.user.unwrap_or(0);
        fs::set_permissions(&shared, PermissionsExt::from_mode(0o751)).unwrap();
        for path in [shared.clone(), shared.join("below"), shared.join("below/file")] {
            chown(path, Some(own), Some(own)).unwrap();
        }
        let over = format!("{}:/v:O", shared.display());
        let script = "cat /v/below/file; echo changed >/v/below/file; touch /v/new; rm /v/link; cat /v/below/file; stat -c %a:%u /v";
        for _ in 0..2 {
            assert_eq!(place.inside(&["-v", &over], script), "of the host\nchanged\n751:0\n");
        }
        // As long as it runs it has what it wrote, and so has who takes its mounts only what is below.
        place.detached("writes", &["-v", &over], "echo mine >/v/mine; sleep 1000");
        crate::harness::until("it wrote", || place.outcome(&["exec", "writes", "cat", "/v/mine"]).1 == "mine\n");
        assert_eq!(place.field("writes", "(index .Mounts 0).Source"), shared.display().to_string());
        assert_eq!(place.inside(&["--volumes-from", "writes"], "ls /v; touch /v/x"), "below\nlink\n");
        kill(place.monitor_of("writes"));
        place.ctn(&["start", "writes"]);
        crate::harness::until("it wrote", || place.outcome(&["exec", "writes", "cat", "/v/mine"]).1 == "mine\n");
        place.ctn(&["stop", "-t", "0", "writes"]);
        place.ctn(&["cp", "writes:/v/below/file", "copied"]);
        assert_eq!(fs::read_to_string(place.join("copied")).unwrap(), "of the host\n");
        place.ctn(&["rm", "writes"]);
        assert_eq!(fs::read_to_string(shared.join("below/file")).unwrap(), "of the host\n");
        assert_eq!(fs::read_dir(&shared).unwrap().count(), 2);
        for (bind, words) in [("/nonesuch:/v:O", "is not there"), ("named:/v:O", "invalid mode: O")] {
            let refusal = place.refusal(125, &["run", "--rm", "-v", bind, "box", "true"]);
            assert!(refusal.contains(words), "{refusal}");
        }
        if place.user.is_some() {
            user::assert_nothing_left(&place);
        }
        place.assert_nothing_left();
    }
}
