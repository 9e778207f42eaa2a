//! `--userns`: the owners of files that are copied into a container and out of it, or kept of it.

use std::fs;
use std::io::Write;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::path::PathBuf;
use std::process::{Command, Stdio};

use crate::harness::user;
use crate::harness::*;

const OWNERS: &str = "stat -c '%n %u:%g %a'";

/// A container that runs and one that ran, with files of two owners in their root, in a volume, and in a directory of the machine.
fn containers(place: &Place, userns: &str, bind: &str) -> [&'static str; 2] {
    let script = "cd /own; echo said >mine; echo of web >webs; chown 33:34 webs; chmod 4755 mine; cp -a mine webs /vol; touch /ready;";
    let flags = |volume: &'static str| ["--userns", userns, "-u", "0", "-v", volume, "-v", bind];
    let script = format!("mkdir /own; {script}");
    place.detached("up", &flags("vol-up:/vol"), &format!("{script} sleep 1000"));
    place.detached("down", &flags("vol-down:/vol"), &script);
    place.until_field("down", ".State.Status", "exited");
    assert_eq!(place.field("down", ".State.ExitCode"), "0", "{}", place.ctn(&["logs", "down"]));
    until("it is ready", || place.outcome(&["exec", "up", "test", "-e", "/ready"]).0 == Some(0));
    ["up", "down"]
}

/// The names and owners in an archive, sorted.
fn listed(archive: &[u8]) -> Vec<String> {
    let mut tar = Command::new("tar")
        .args(["-tv", "--numeric-owner"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    tar.stdin.take().unwrap().write_all(archive).unwrap();
    let text = succeeded(&tar.wait_with_output().unwrap(), "tar");
    let mut lines: Vec<String> = text
        .lines()
        .map(|line| {
            let words: Vec<&str> = line.split_whitespace().collect();
            format!("{} {} {}", words[5], words[1], words[0])
        })
        .collect();
    lines.sort();
    lines
}

fn stream(place: &Place, from: &str) -> (bool, Vec<u8>, String) {
    let output = place.command(&["cp", from, "-"]).output().unwrap();
    (output.status.success(), output.stdout, String::from_utf8(output.stderr).unwrap())
}

fn copied_out_and_in(place: &Place, userns: &str, bind: &str) {
    let caller = place.user.unwrap_or(0);
    for name in containers(place, userns, bind) {
        for directory in ["own", "vol"] {
            let (good, archive, errors) = stream(place, &format!("{name}:/{directory}/."));
            assert!(good, "{errors}");
            let list = listed(&archive);
            assert_eq!(
                list[1..],
                ["mine 0/0 -rwsr-xr-x".to_owned(), "webs 33/34 -rw-r--r--".to_owned()],
                "{name} {directory}"
            );
            // The caller's on the host, without what root of the container gave to whom it runs as.
            for file in ["mine", "webs"] {
                let to = place.join("out").display().to_string();
                place.ctn(&["cp", &format!("{name}:/{directory}/{file}"), &to]);
                let found = fs::metadata(&to).unwrap();
                let kept = if file == "mine" && place.user.is_some() && userns == "private" { 0o4755 } else { 0o755 };
                let mode = if file == "mine" { kept } else { 0o644 };
                assert_eq!((found.uid(), found.mode() & 0o7777), (caller, mode), "{name} {directory} {file}");
                fs::remove_file(&to).unwrap();
            }
            // And back again, where it was.
            let mut child = place
                .command(&["cp", "-q", "-", &format!("{name}:/{directory}")])
                .stdin(Stdio::piped())
                .spawn()
                .unwrap();
            child.stdin.take().unwrap().write_all(&archive).unwrap();
            assert!(child.wait().unwrap().success());
            let (_, again, _) = stream(place, &format!("{name}:/{directory}/."));
            assert_eq!(listed(&again), list, "{name} {directory}");
            let into = |flags: &[&str], to: &str| {
                place.ctn(&[&["cp"], flags, &["from/.", &format!("{name}:/{directory}/{to}")]].concat());
            };
            into(&[], "given");
            into(&["-a"], "kept");
        }
    }
    let look = format!("cd /; {OWNERS} own/given own/given/* own/kept own/kept/* vol/given/* vol/kept/*");
    let wanted = "own/given 0:0 750\nown/given/five 0:0 711\nown/kept 33:34 750\nown/kept/five 5:6 4711\n\
                  vol/given/five 0:0 711\nvol/kept/five 5:6 4711\n";
    assert_eq!(place.ctn(&["exec", "up", "sh", "-c", &look]), wanted);
    place.ctn(&["commit", "down", "kept"]);
    let flags = ["run", "--rm", "--network", "none", "--userns", userns, "-u", "0", "-v", "vol-down:/vol", "kept"];
    assert_eq!(place.ctn(&[&flags[..], &["sh", "-c", &look]].concat()), wanted);
}

fn directory_to_copy(place: &Place) {
    let from = place.join("from");
    fs::create_dir(&from).unwrap();
    fs::set_permissions(&from, PermissionsExt::from_mode(0o750)).unwrap();
    fs::write(from.join("five"), "host").unwrap();
    chown(from.join("five"), Some(5), Some(6)).unwrap();
    fs::set_permissions(from.join("five"), PermissionsExt::from_mode(0o4711)).unwrap();
    chown(from, Some(33), Some(34)).unwrap();
}

#[test]
fn root_copies_into_and_out_of_a_container_with_ids_of_its_own() {
    let place = Place::new();
    directory_to_copy(&place);
    fs::create_dir(place.join("mine")).unwrap();
    fs::set_permissions(place.join("mine"), PermissionsExt::from_mode(0o777)).unwrap();
    let bind = format!("{}:/mine", place.join("mine").display());
    copied_out_and_in(&place, "auto", &bind);
    let first: u32 =
        place.ctn(&["exec", "up", "cat", "/proc/self/uid_map"]).split_whitespace().nth(1).unwrap().parse().unwrap();
    fs::write(place.join("mine/machines"), "machine").unwrap();
    fs::write(place.join("from/far"), "").unwrap();
    chown(place.join("from/far"), Some(70_000), Some(0)).unwrap();
    for name in ["up", "down"] {
        // In a directory of the machine ids are the machine's.
        place.ctn(&["cp", "from/five", &format!("{name}:/mine/{name}")]);
        let first = if name == "up" { first } else { u32::MAX };
        let found = fs::metadata(place.join("mine").join(name)).unwrap().uid();
        assert!(found == first || (first == u32::MAX && found >= 1 << 19), "{found}");
        // Who has no id on the other side is named, in one sentence; where no id is needed, none is asked for.
        let (good, _, errors) = stream(&place, &format!("{name}:/mine/machines"));
        assert!(
            !good && errors.contains("copy \"machines\": the user 0 of the machine has no id in the container"),
            "{errors}"
        );
        assert!(is_one_sentence(&errors), "{errors}");
        place.ctn(&["cp", &format!("{name}:/mine/machines"), "out"]);
        let refusal = place.refusal(1, &["cp", "-a", "from/far", &format!("{name}:/tmp")]);
        assert!(
            refusal.contains("copy \"far\": the user 70000 of the container has no id on the machine"),
            "{refusal}"
        );
        place.ctn(&["cp", "from/far", &format!("{name}:/tmp")]);
    }
    place.ctn(&["rm", "-f", "up", "down"]);
    place.ctn(&["volume", "rm", "vol-up", "vol-down"]);
    place.assert_nothing_left();
}

/// capabilities(7): what the program of a file may do is said by its root, who is another one on the other side.
#[test]
fn what_programs_may_do_and_others_may_read_goes_along() {
    let place = Place::new();
    let capability = [&[1, 0, 0, 2][..], &[0, 4, 0, 0], &[0; 12]].concat();
    let acl = |user: u32| {
        let entry = |tag: u16, id: u32| [&tag.to_le_bytes()[..], &6u16.to_le_bytes(), &id.to_le_bytes()].concat();
        let entries =
            [(1, u32::MAX), (2, user), (4, u32::MAX), (16, u32::MAX), (32, u32::MAX)].map(|(tag, id)| entry(tag, id));
        [&2u32.to_le_bytes()[..], &entries.concat()].concat()
    };
    let attributes = [("security.capability", capability.clone()), ("system.posix_acl_access", acl(33))];
    let file = place.join("program");
    fs::write(&file, "").unwrap();
    for (name, value) in &attributes {
        rustix::fs::setxattr(&file, *name, value, rustix::fs::XattrFlags::empty()).unwrap();
    }
    let of = |path: &std::path::Path, name: &str| {
        let mut value = [0; 100];
        let length = rustix::fs::getxattr(path, name, &mut value).unwrap();
        value[..length].to_vec()
    };
    for (name, flags) in [("up", &["run", "-d"][..]), ("down", &["create"])] {
        let more = ["--name", name, "--network", "none", "--userns", "auto", "-v", "data:/vol", "box", "sleep", "1000"];
        place.ctn(&[flags, &more].concat());
        for directory in ["tmp", "vol"] {
            let inside = format!("{name}:/{directory}/program");
            place.ctn(&["cp", "-a", "program", &inside]);
            place.ctn(&["cp", "-a", &inside, "back"]);
            for (attribute, value) in &attributes {
                assert_eq!(of(&place.join("back"), attribute), *value, "{inside} {attribute}");
            }
            // Without owners not what they may do.
            place.ctn(&["cp", &inside, "back"]);
            let found = rustix::fs::getxattr(place.join("back"), "security.capability", &mut [0; 100][..]);
            assert_eq!(found.unwrap_err(), rustix::io::Errno::NODATA);
        }
    }
    // On the disk it is as in an image.
    assert_eq!(of(&place.store().join("volumes/data/_data/program"), "security.capability"), capability);
    let outside = PathBuf::from(format!("/proc/{}/root/tmp/program", place.field("up", ".State.Pid")));
    let first: u32 =
        place.ctn(&["exec", "up", "cat", "/proc/self/uid_map"]).split_whitespace().nth(1).unwrap().parse().unwrap();
    assert_eq!(of(&outside, "security.capability")[20..], first.to_le_bytes());
    assert_eq!(of(&outside, "system.posix_acl_access"), acl(first + 33));
    place.ctn(&["rm", "-f", "up", "down"]);
    place.ctn(&["volume", "rm", "data"]);
    place.assert_nothing_left();
}

#[test]
fn what_a_container_with_ids_of_its_own_gets_leads_nowhere_else() {
    let place = Place::new();
    fs::write(place.join("file"), "host").unwrap();
    for (name, flags) in [("up", &["run", "-d"][..]), ("down", &["create"])] {
        let more =
            ["--name", name, "--network", "none", "--userns", "auto", "-v", "data:/new/deep", "box", "sleep", "1000"];
        place.ctn(&[flags, &more].concat());
        // The volume's place is made for it, as the container's start would make it.
        place.ctn(&["cp", "file", &format!("{name}:/new/deep/{name}")]);
        assert_eq!(fs::metadata(place.store().join("volumes/data/_data").join(name)).unwrap().uid(), 0);
    }
    place.ctn(&["start", "down"]);
    assert_eq!(place.ctn(&["exec", "down", "stat", "-c", "%u", "/new", "/new/deep", "/new/deep/up"]), "0\n0\n0\n");
    place.ctn(&["exec", "up", "sh", "-c", "ln -s /../../../../../etc /escape"]);
    place.ctn(&["cp", "file", "up:/escape/copied-by-a-test"]);
    assert!(!fs::exists("/etc/copied-by-a-test").unwrap());
    assert_eq!(place.ctn(&["exec", "up", "cat", "/etc/copied-by-a-test"]), "host");
    place.ctn(&["rm", "-f", "up", "down"]);
    place.ctn(&["volume", "rm", "data"]);
    place.assert_nothing_left();
}

/// What is different, kept and exported of a container is the same whatever its ids are.
#[test]
fn what_is_kept_of_a_users_container() {
    let place = user::place();
    for (name, userns) in [("one", "keep-id"), ("two", "nomap"), ("three", "keep-id:uid=33,gid=34"), ("four", "host")] {
        let script =
            "touch /made; mkdir /webs; touch /webs/x; chown -R 33:34 /webs; rm /data/of-image; chown 5 /tmp; echo done";
        place.ctn(&[
            "run",
            "--name",
            name,
            "--network",
            "none",
            "--userns",
            userns,
            "-u",
            "0",
            "box",
            "sh",
            "-c",
            script,
        ]);
        let changes = place.ctn(&["diff", name]);
        let changes: Vec<&str> = changes.lines().filter(|line| !line.contains("/etc")).collect();
        assert_eq!(changes.join("\n"), "C /data\nD /data/of-image\nA /made\nC /tmp\nA /webs\nA /webs/x", "{userns}");
        let image = format!("kept-{name}");
        place.ctn(&["commit", name, &image]);
        let look = format!("cd /; {OWNERS} made webs webs/x tmp bin; ls data");
        let said = place.ctn(&["run", "--rm", "--network", "none", &image, "sh", "-c", &look]);
        assert_eq!(
            said, "made 0:0 644\nwebs 33:34 755\nwebs/x 33:34 644\ntmp 5:0 1777\nbin 0:0 755\nbelow\n",
            "{userns}"
        );
        let output = place.command(&["export", name]).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let list = listed(&output.stdout);
        for line in ["made 0/0 -rw-r--r--", "webs/ 33/34 drwxr-xr-x", "bin/ 0/0 drwxr-xr-x", "tmp/ 5/0 drwxrwxrwt"] {
            assert!(list.iter().any(|found| found == line), "{line}: {list:?}");
        }
        place.ctn(&["rm", name]);
    }
    user::assert_nothing_left(&place);
}

#[test]
fn a_user_copies_into_and_out_of_a_container_with_other_ids() {
    for userns in ["keep-id", "nomap", "private"] {
        let place = user::place();
        // Owners that the user could not give away are an image's.
        let add = "mkdir /from && cd /from && echo host >five && chown 5:6 five && chmod 4711 five && chmod 750 . && chown 33:34 .";
        place.ctn(&["run", "--name", "maker", "--network", "none", "box", "sh", "-c", add]);
        fs::create_dir(place.join("mine")).unwrap();
        chown(place.join("mine"), Some(user::USER), Some(user::USER)).unwrap();
        place.ctn(&["cp", "-a", "maker:/from", "from"]);
        place.ctn(&["rm", "maker"]);
        assert_eq!(fs::metadata(place.join("from/five")).unwrap().uid(), user::FIRST + 4);
        let bind = format!("{}:/mine", place.join("mine").display());
        copied_out_and_in(&place, userns, &bind);
        place.ctn(&["rm", "-f", "up", "down"]);
        place.ctn(&["volume", "rm", "vol-up", "vol-down"]);
        user::assert_nothing_left(&place);
    }
}
