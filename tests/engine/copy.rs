//! `cp`: looked at from the host and from inside.

use std::fs;
use std::io::Write;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::process::{Command, Stdio};

use crate::harness::{Place, succeeded, until};

/// A container that runs, or one that ran, with something of its own in it; both must look the same from outside.
fn containers(place: &Place) -> [&'static str; 2] {
    let script = "mkdir -p /own/sub; echo file >/own/file; echo deep >/own/sub/deep; ln -s file /own/link; \
                  ln -s /own/sub /own/subs; ln -s /../../../../../../etc /escape; chmod 640 /own/file; \
                  ln /own/file /own/second; mkfifo /own/pipe 2>/dev/null; echo in >/vol/in; touch /ready;";
    place.detached("up", &["-v", "vol-up:/vol"], &format!("{script} sleep 1000"));
    place.detached("down", &["-v", "vol-down:/vol"], script);
    place.until_field("down", ".State.Status", "exited");
    until("it is ready", || place.outcome(&["exec", "up", "test", "-e", "/ready"]).0 == Some(0));
    ["up", "down"]
}

#[test]
fn to_the_host() {
    let place = Place::new();
    for name in containers(&place) {
        let at = place.join(&format!("to-{name}"));
        fs::create_dir(&at).unwrap();
        let copy = |from: &str, to: &str| {
            assert_eq!(place.ctn(&["cp", &format!("{name}:{from}"), at.join(to).to_str().unwrap()]), "");
        };
        let read = |path: &str| fs::read_to_string(at.join(path)).unwrap();
        copy("/own/file", "new");
        copy("own/file", "");
        assert_eq!((read("new"), read("file")), ("file\n".into(), "file\n".into()));
        assert_eq!(fs::metadata(at.join("new")).unwrap().mode() & 0o7777, 0o640);
        copy("/own", "whole");
        copy("/own", "");
        for directory in ["whole", "own"] {
            assert_eq!(read(&format!("{directory}/sub/deep")), "deep\n");
            assert_eq!(fs::read_link(at.join(directory).join("link")).unwrap().to_str(), Some("file"));
            let [one, other] =
                ["file", "second"].map(|file| fs::metadata(at.join(directory).join(file)).unwrap().ino());
            assert_eq!(one, other, "one file of two names");
        }
        copy("/own/sub/.", "");
        assert_eq!(read("deep"), "deep\n");
        copy("/own/link", "as-link");
        assert!(at.join("as-link").is_symlink());
        place.ctn(&["cp", "-L", &format!("{name}:/own/link"), at.join("followed").to_str().unwrap()]);
        assert!(!at.join("followed").is_symlink() && read("followed") == "file\n");
        copy("/own/subs/.", "by-link");
        assert_eq!(read("by-link/deep"), "deep\n");
        copy("/vol/in", "of-volume");
        assert_eq!(read("of-volume"), "in\n");
        // A link that leads above the root ends there: the container's own passwd comes.
        copy("/escape/passwd", "passwd");
        assert!(read("passwd").contains("web:x:33"));
    }
    place.ctn(&["rm", "-f", "up", "down"]);
    place.ctn(&["volume", "rm", "vol-up", "vol-down"]);
    place.assert_nothing_left();
}

#[test]
fn a_link_says_where_it_leads_from_where_it_is() {
    let place = Place::new();
    let links = "mkdir -p /deep/down; busybox ln -s /deep/down /short; busybox ln -s ../file /deep/down/up; \
                 busybox ln -s /nonesuch/deep /hangs; echo right >/deep/file; echo wrong >/file";
    place.ctn(&["run", "--name", "first", "--network", "none", "box", "sh", "-c", links]);
    place.ctn(&["commit", "first", "linked"]);
    place.ctn(&["run", "-d", "--name", "up", "--network", "none", "linked", "sleep", "1000"]);
    let bind = format!("{}:/hangs", place.join("image").display());
    // What is to be mounted where a link leads to nothing keeps nobody from copying.
    place.ctn(&["create", "--name", "down", "--network", "none", "-v", &bind, "linked"]);
    fs::write(place.join("new"), "new\n").unwrap();
    for name in ["up", "down"] {
        let from = |path: &str| {
            place.ctn(&["cp", "-L", &format!("{name}:{path}"), "copied"]);
            fs::read_to_string(place.join("copied")).unwrap()
        };
        assert_eq!(from("/short/up"), "right\n");
        place.ctn(&["cp", "new", &format!("{name}:/short/up")]);
        assert_eq!((from("/deep/file"), from("/file")), ("new\n".into(), "wrong\n".into()));
    }
    place.ctn(&["cp", "down:/hangs/etc/passwd", "copied"]);
    assert!(fs::read_to_string(place.join("copied")).unwrap().contains("web:x:33"));
    place.ctn(&["rm", "-f", "first", "up", "down"]);
    place.assert_nothing_left();
}

#[test]
fn into_a_container() {
    let place = Place::new();
    let from = place.join("from");
    fs::create_dir_all(from.join("sub")).unwrap();
    fs::write(from.join("file"), "host\n").unwrap();
    fs::write(from.join("sub/deep"), "host deep\n").unwrap();
    std::os::unix::fs::chown(from.join("file"), Some(33), Some(34)).unwrap();
    fs::set_permissions(from.join("file"), PermissionsExt::from_mode(0o4755)).unwrap();
    for name in containers(&place) {
        let copy = |flags: &[&str], from: &str, to: &str| {
            let target = format!("{name}:{to}");
            assert_eq!(place.ctn(&[&["cp"], flags, &[from, &target]].concat()), "");
        };
        copy(&[], "from/file", "/tmp");
        copy(&["-a"], "from/file", "/tmp/kept");
        copy(&[], "from/file", "/own/link");
        copy(&[], "from", "/whole");
        copy(&[], "from/.", "/tmp");
        copy(&[], "from/file", "/vol/in");
        copy(&[], "from/file", "/own/subs/through");
        copy(&[], "from/file", "/escape/copied");
    }
    assert!(!std::path::Path::new("/etc/copied").exists());
    place.ctn(&["start", "down"]);
    place.ctn(&["wait", "down"]);
    // What the stopped one got is in its own layer and its volume.
    let look = "stat -c '%u:%g %a' /tmp/file /tmp/kept; cat /own/file /whole/sub/deep /tmp/sub/deep /own/sub/through \
                /etc/copied; stat -c %a /tmp";
    let wanted = "0:0 755\n33:34 4755\nhost\nhost deep\nhost deep\nhost\nhost\n1777\n";
    assert_eq!(place.ctn(&["exec", "up", "sh", "-c", look]), wanted);
    assert_eq!(place.ctn(&["exec", "up", "cat", "/vol/in"]), "host\n");
    place.ctn(&["commit", "down", "copied"]);
    let look = look.replace("/own/file", "/whole/file");
    assert_eq!(place.ctn(&["run", "--rm", "--network", "none", "copied", "sh", "-c", &look]), wanted);
}

#[test]
fn as_a_stream() {
    let place = Place::new();
    for name in containers(&place) {
        let output = place.command(&["cp", &format!("{name}:/own/sub"), "-"]).output().unwrap();
        assert!(output.status.success());
        fs::write(place.join("out.tar"), &output.stdout).unwrap();
        let list = Command::new("tar").arg("tf").arg(place.join("out.tar")).output().unwrap();
        assert_eq!(succeeded(&list, "tar"), "sub/\nsub/deep\n");
        let into = |directory: &str, archive: &[u8]| {
            let mut child = place
                .command(&["cp", "-", &format!("{name}:{directory}")])
                .stdin(Stdio::piped())
                .stderr(Stdio::piped())
                .spawn()
                .unwrap();
            // Who refuses doesn't read.
            let _ = child.stdin.take().unwrap().write_all(archive);
            let output = child.wait_with_output().unwrap();
            (output.status.code(), String::from_utf8(output.stderr).unwrap())
        };
        assert_eq!(into("/tmp", &output.stdout), (Some(0), String::new()));
        let back = place.command(&["cp", &format!("{name}:/tmp/sub/deep"), "back"]).status().unwrap();
        assert!(back.success());
        assert_eq!(fs::read_to_string(place.join("back")).unwrap(), "deep\n");
        let (status, errors) = into("/own/file", &output.stdout);
        assert!(status == Some(1) && errors.contains("must be a directory"), "{errors}");
        // An archive whose link leads out, with a file behind it.
        let evil = place.join("evil");
        let _ = fs::remove_dir_all(&evil);
        fs::create_dir_all(evil.join("real/out")).unwrap();
        fs::write(evil.join("real/out/file"), "evil").unwrap();
        fs::create_dir_all(evil.join("link")).unwrap();
        symlink("../../..", evil.join("link/out")).unwrap();
        let tar = |directory: &str, file: &str, more: &str| {
            let mut command = Command::new("tar");
            command.arg(more).arg(place.join("evil.tar")).arg("-C").arg(evil.join(directory)).arg(file);
            assert!(command.status().unwrap().success());
        };
        tar("link", "out", "-cf");
        tar("real", "out/file", "-rf");
        let (status, errors) = into("/own/sub", &fs::read(place.join("evil.tar")).unwrap());
        assert!(status == Some(1) && errors.contains("leads out of the directory"), "{errors}");
        assert_eq!(into("/tmp", b"this is no archive, and long enough to be one of them").0, Some(1));
    }
}

#[test]
fn refusals() {
    let place = Place::new();
    containers(&place);
    fs::create_dir_all(place.join("dir")).unwrap();
    fs::write(place.join("file"), "").unwrap();
    for (arguments, text) in [
        (["file", "dir"], "must specify at least one container source"),
        (["up:/a", "down:/b"], "copying between containers is not supported"),
        (["", "up:/b"], "source can not be empty"),
        (["up:/nothing", "dir"], "Could not find the file /nothing in container up"),
        (["down:/nothing", "dir"], "Could not find the file /nothing in container down"),
        (["nobody:/a", "dir"], "No such container: nobody"),
        (["nothing", "up:/tmp"], "no such file or directory"),
        (["file", "up:/nothing/file"], "Could not find the file /nothing in container up"),
        (["file", "up:/nothing/"], "no such directory"),
        (["file", "up:/own/file/"], "not a directory"),
        (["dir", "down:/own/file"], "cannot copy directory"),
        (["up:/own", "file"], "cannot copy directory"),
        (["up:/own/file/.", "dir"], "not a directory"),
        (["up:/own/file", "nothing/file"], "invalid output path"),
        (["up:/own", "/dev/null"], "must be a directory or a regular file"),
    ] {
        let refusal = place.refusal(1, &["cp", arguments[0], arguments[1]]);
        assert!(refusal.contains(text) && refusal.lines().count() == 1, "{arguments:?}: {refusal}");
    }
    for state in ["run", "create"] {
        let name = format!("read-only-{state}");
        let flags: &[&str] = if state == "run" { &["run", "-d"] } else { &["create"] };
        let more = [
            "--name",
            &name,
            "--network",
            "none",
            "--read-only",
            "-v",
            "aa:/a",
            "-v",
            "bb:/b:ro",
            "box",
            "sleep",
            "99",
        ];
        place.ctn(&[flags, &more].concat());
        assert!(place.refusal(1, &["cp", "file", &format!("{name}:/tmp")]).contains("rootfs is marked read-only"));
        assert!(place.refusal(1, &["cp", "file", &format!("{name}:/b")]).contains("volume is marked read-only"));
        place.ctn(&["cp", "file", &format!("{name}:/a/{state}")]);
        assert!(place.store().join("volumes/aa").join("_data").join(state).exists());
    }
}
