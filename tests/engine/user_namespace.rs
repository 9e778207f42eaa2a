//! `--userns`: whose ids a container has, inside and outside.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::process::Command;

use crate::harness::user::{self, FIRST, USER};
use crate::harness::*;
use crate::wait::Process;

fn map(place: &Place, name: &str) -> Vec<u32> {
    let text = place.ctn(&["exec", name, "cat", "/proc/self/uid_map"]);
    text.split_whitespace().map(|number| number.parse().unwrap()).collect()
}

fn owner_of_process(place: &Place, name: &str) -> u32 {
    fs::metadata(format!("/proc/{}", place.field(name, ".State.Pid"))).unwrap().uid()
}

#[test]
fn containers_of_root_have_ids_of_their_own() {
    let place = Place::new();
    place.detached("one", &["--userns", "auto"], "touch /made; sleep 1000");
    place.detached("two", &["--userns", "auto:size=2000"], "sleep 1000");
    let (one, two) = (map(&place, "one"), map(&place, "two"));
    assert_eq!((one[0], one[2], two[0], two[2]), (0, 65536, 0, 2000));
    assert!(one[1] >= 1 << 19 && are_apart(&one, &two), "{one:?} {two:?}");
    assert_eq!(owner_of_process(&place, "one"), one[1]);
    // The image's owners are those inside, though its layers are on the disk once.
    assert_eq!(place.ctn(&["exec", "one", "stat", "-c", "%u:%g", "/bin", "/data", "/etc/hosts"]), "0:0\n0:0\n0:0\n");
    until("it has made the file", || place.ctn(&["diff", "one"]).contains("A /made"));
    let made = place.store().join("containers").join(place.field("one", ".Id")).join("upper/made");
    assert_eq!(fs::metadata(made).unwrap().uid(), 0, "on the disk ids are the image's");
    assert_eq!(place.ctn(&["exec", "-u", "web", "one", "id", "-u"]), "33\n");
    // What is kept of it is an image like any other.
    place.ctn(&["commit", "one", "kept"]);
    assert_eq!(place.ctn(&["run", "--rm", "--network", "none", "kept", "stat", "-c", "%u", "/made"]), "0\n");
    place.ctn(&["restart", "-t", "0", "one"]);
    assert_eq!(map(&place, "one"), one, "they stay over a restart");
    place.detached("three", &["--userns", "private"], "sleep 1000");
    assert_eq!(map(&place, "three")[2], 65536);
    let id = place.field("three", ".Id");
    assert_eq!(claims_of(&id).len(), 1);
    place.ctn(&["rm", "-f", "one", "two", "three"]);
    assert_eq!(claims_of(&id), [""; 0], "its ids may be given again");
    place.assert_nothing_left();
}

fn are_apart(one: &[u32], other: &[u32]) -> bool {
    one[1] + one[2] <= other[1] || other[1] + other[2] <= one[1]
}

#[test]
fn no_two_stores_have_the_same_ids() {
    let places = [Place::new(), Place::new()];
    let names: Vec<String> = (0..3).map(|number| format!("c{number}")).collect();
    let all: Vec<(&Place, &str)> =
        places.iter().flat_map(|place| names.iter().map(move |name| (place, &name[..]))).collect();
    let create = ["create", "--userns", "auto:size=5000", "--network", "none", "--name"];
    let calls: Vec<_> =
        all.iter().map(|(place, name)| place.spawn(&[&create[..], &[name, "box", "sleep", "1000"]].concat())).collect();
    for call in calls {
        succeeded(&call.wait_with_output().unwrap(), "create");
    }
    let maps: Vec<Vec<u32>> = all
        .iter()
        .map(|(place, name)| {
            place.ctn(&["start", name]);
            map(place, name)
        })
        .collect();
    for (at, one) in maps.iter().enumerate() {
        assert!(maps[at + 1..].iter().all(|other| are_apart(one, other)), "{maps:?}");
    }
    // Who joins has the same, also when the first is gone.
    places[0].detached("guest", &["--userns", "container:c0"], "sleep 1000");
    assert_eq!(map(&places[0], "guest"), maps[0]);
    places[0].ctn(&["rm", "-f", "c0"]);
    places[1].detached("later", &["--userns", "auto:size=5000"], "sleep 1000");
    assert!(are_apart(&map(&places[1], "later"), &maps[0]));
    for place in &places {
        place.ctn(&[&["rm", "-f"], &place.ctn(&["ps", "-aq"]).lines().collect::<Vec<_>>()[..]].concat());
        place.assert_nothing_left();
    }
}

#[test]
fn ids_of_what_was_left_and_of_what_can_not_be_read() {
    let _alone = alone_with_prunes();
    let place = Place::new();
    let ids = |name: &str| {
        let claim = claims_of(&place.field(name, ".Id")).remove(0);
        let numbers: Vec<u32> = claim.split('-').take(3).map(|number| number.parse().unwrap()).collect();
        vec![0, numbers[0], numbers[2]]
    };
    let create =
        |name: &str| place.ctn(&["create", "--userns", "auto:size=3000", "--network", "none", "--name", name, "box"]);
    let id = create("one").trim().to_owned();
    let one = ids("one");
    // A claim whose maker was killed; one of a store that is not there now; and what is no claim.
    let (killed, gone) = ("a".repeat(64), "b".repeat(64));
    let link = |name: &str, to: std::path::PathBuf| {
        std::os::unix::fs::symlink(to, std::path::Path::new(CLAIMS).join(name)).unwrap()
    };
    link(&format!("1-1-10-{killed}"), place.store().join("containers").join(&killed));
    let far = one[1] + 30_000_000;
    link(&format!("{far}-{far}-20000-{gone}"), place.join("nowhere/containers").join(&gone));
    fs::write(std::path::Path::new(CLAIMS).join("anything"), "").unwrap();
    // A record that can't be read.
    let record = place.store().join("containers").join(&id).join("container.json");
    let whole = fs::read(&record).unwrap();
    fs::write(&record, "{").unwrap();
    create("two");
    assert!(are_apart(&one, &ids("two")), "{one:?} {:?}", ids("two"));
    assert!(claims_of(&killed).is_empty() && claims_of(&gone).len() == 1);
    // Without a claim nobody knows which ids it has.
    let claim = std::path::Path::new(CLAIMS).join(claims_of(&id).remove(0));
    fs::remove_file(&claim).unwrap();
    let refusal = place.refusal(1, &["create", "--userns", "auto", "--network", "none", "box"]);
    assert!(refusal.contains("--userns: a container's ids are not known:") && refusal.contains(&id), "{refusal}");
    place.ctn(&["create", "--network", "none", "--name", "without", "box"]);
    fs::write(&record, whole).unwrap();
    create("three");
    assert!(are_apart(&one, &ids("three")), "it was made before there were claims");
    for name in [format!("{far}-{far}-20000-{gone}"), "anything".into()] {
        fs::remove_file(std::path::Path::new(CLAIMS).join(name)).unwrap();
    }
    place.ctn(&["rm", "-f", "one", "two", "three", "without"]);
    place.assert_nothing_left();
}

/// Only that which can't come back, and which nobody is using, is given to others.
#[test]
fn ids_of_stores_that_are_gone_are_free_after_a_prune() {
    let _alone = alone_with_prunes();
    let pruner = Place::new();
    let prune = || pruner.ctn(&["system", "prune", "-f"]);
    let store_of = |id: &str| std::path::Path::new(CLAIMS).join(format!("{id}.store")).exists();
    let makes = |place: &Place| {
        let id = place.ctn(&["create", "--userns", "auto:size=3000", "--network", "none", "--name", "one", "box"]);
        let id = id.trim().to_owned();
        assert!(claims_of(&id).len() == 1 && store_of(&id));
        id
    };
    // Renamed, and back; then removed.
    let place = Place::new();
    let id = makes(&place);
    let elsewhere = place.join("elsewhere");
    fs::rename(place.store(), &elsewhere).unwrap();
    prune();
    assert_eq!(claims_of(&id).len(), 1, "the store has another name");
    fs::rename(&elsewhere, place.store()).unwrap();
    prune();
    assert_eq!(claims_of(&id).len(), 1, "it is there");
    // At once: a store that is there without a container's record has lost that one.
    fs::rename(place.store(), &elsewhere).unwrap();
    fs::remove_dir_all(&elsewhere).unwrap();
    pruner.ctn(&["create", "--userns", "auto:size=3000", "--network", "none", "box"]);
    assert_eq!(claims_of(&id).len(), 1, "only who prunes looks for what is gone");
    prune();
    assert!(claims_of(&id).is_empty() && !store_of(&id));

    // On a disk that is taken away.
    let place = Place::with_disk(64);
    let id = makes(&place);
    let run = |line: &str| assert!(Command::new("sh").args(["-c", line]).status().unwrap().success());
    let (store, aside) = (place.store(), place.join("aside"));
    run(&format!("mkdir {1} && mount --bind {0} {1} && umount {0}", store.display(), aside.display()));
    prune();
    assert_eq!(claims_of(&id).len(), 1, "its disk is not there");
    run(&format!("mount --bind {1} {0} && umount {1}", store.display(), aside.display()));
    place.ctn(&["rm", "one"]);
    assert!(claims_of(&id).is_empty() && !store_of(&id));
}

#[test]
fn ids_of_a_container_that_runs_are_its_own_whatever_its_store() {
    let _alone = alone_with_prunes();
    let (pruner, place) = (Place::new(), Place::new());
    let id = place.detached("one", &["--userns", "auto:size=3000"], "exec sleep 1000");
    let pid: i32 = place.field("one", ".State.Pid").parse().unwrap();
    let monitor = Process::watch(place.monitor_of("one"));
    let root = place.store().join("containers").join(&id).join("rootfs");
    assert!(Command::new("umount").arg("-l").arg(root).status().unwrap().success());
    fs::remove_file(place.store().join("containers").join(&id).join("container.json")).unwrap();
    pruner.ctn(&["create", "--userns", "auto:size=3000", "--network", "none", "box"]);
    assert_eq!(claims_of(&id).len(), 1, "its store is half gone");
    fs::remove_dir_all(place.store()).unwrap();
    pruner.ctn(&["system", "prune", "-f"]);
    assert_eq!(claims_of(&id).len(), 1);
    kill(pid);
    monitor.wait_gone();
    pruner.ctn(&["system", "prune", "-f"]);
    assert!(claims_of(&id).is_empty());
}

/// It is the machine's root's, whom the container's has no id of: nothing can be made there from inside.
#[test]
fn a_root_directory_of_the_machines() {
    let place = Place::new();
    let bind = format!("{}:/new/file", place.join("image/data/of-image").display());
    let flags = ["run", "--rm", "--network", "none", "--userns", "auto", "-v", &bind, "--rootfs", "image"];
    let look = "cat /data/of-image /new/file; stat -c %u /; touch /made 2>/dev/null || echo refused";
    let output = place.ctn(&[&flags[..], &["sh", "-c", look]].concat());
    assert_eq!(output, "from the image\nfrom the image\n65534\nrefused\n");
    assert!(place.join("image/proc").is_dir() && place.join("image/new/file").is_file());
    let link = place.join("image/etc/resolv.conf");
    fs::remove_file(&link).unwrap();
    std::os::unix::fs::symlink("../run/nowhere", &link).unwrap();
    let refusal = place.refusal(125, &[&flags[..], &["true"]].concat());
    assert!(refusal.contains("\"etc/resolv.conf\" in ") && refusal.contains("leads to nothing"), "{refusal}");
    place.assert_nothing_left();
}

#[test]
fn a_volume_has_the_images_ids_whoever_has_it() {
    let place = Place::new();
    let volume = ["-v", "shared:/data"];
    let in_own = [&["--userns", "auto"], &volume[..]].concat();
    assert_eq!(place.inside(&in_own, "touch /data/x; stat -c %u /data/x /data/of-image"), "0\n0\n");
    assert_eq!(place.inside(&volume, "stat -c %u /data/x"), "0\n");
    place.detached("other", &["--userns", "auto"], "sleep 1000");
    assert_eq!(place.inside(&in_own, "stat -c %u /data/x"), "0\n");
    // A directory of the machine has the machine's: to a container with other ids it is nobody's.
    fs::create_dir(place.join("mine")).unwrap();
    let bind = format!("{}:/mine", place.join("mine").display());
    assert_eq!(place.inside(&["--userns", "auto", "-v", &bind], "stat -c %u /mine"), "65534\n");
    place.ctn(&["rm", "-f", "other"]);
    place.ctn(&["volume", "rm", "shared"]);
    place.assert_nothing_left();
}

#[test]
fn a_user_namespace_is_joined() {
    let place = Place::new();
    place.detached("one", &["--userns", "auto", "--ipc", "shareable"], "sleep 1000");
    let joined = ["--userns", "container:one", "--pid", "container:one", "--ipc", "container:one"];
    place.detached("guest", &joined, "sleep 1000");
    let namespace = |name: &str| fs::read_link(format!("/proc/{}/ns/user", place.field(name, ".State.Pid"))).unwrap();
    assert_eq!(namespace("one"), namespace("guest"));
    assert_eq!(place.ctn(&["exec", "guest", "stat", "-c", "%u", "/bin"]), "0\n");
    place.ctn(&["rm", "-f", "guest", "one"]);
    place.assert_nothing_left();
}

#[test]
fn another_container_of_the_name_is_not_joined() {
    let place = Place::new();
    for namespace in ["userns", "network", "pid", "ipc"] {
        place.detached(
            "one",
            &["--userns", if namespace == "userns" { "auto" } else { "" }, "--ipc", "shareable"],
            "sleep 1000",
        );
        let id = place.field("one", ".Id");
        let flags = [format!("--{namespace}"), "container:one".to_owned()];
        let none: &[&str] = if namespace == "network" { &[] } else { &["--network", "none"] };
        let create = [&["create", "--name", "guest", &flags[0], &flags[1]], none, &["box", "sleep", "1000"]].concat();
        place.ctn(&create);
        place.ctn(&["rm", "-f", "one"]);
        place.detached("one", &[], "sleep 1000");
        let refusal = place.refusal(1, &["start", "guest"]);
        assert!(refusal.contains(&format!("No such container: {}", id.trim())), "{flags:?}: {refusal}");
        place.ctn(&["rm", "-f", "one", "guest"]);
    }
    place.assert_nothing_left();
}

#[test]
fn the_machines_namespaces_beside_a_user_namespace() {
    let place = Place::new();
    let flags = ["run", "--rm", "--userns", "auto", "--network", "host", "--pid", "host", "--ipc", "host", "box"];
    let said = place.ctn(&[&flags[..], &["sh", "-c", "ls /sys/class/net /proc; cat /proc/self/uid_map"]].concat());
    assert!(said.lines().any(|line| line == "lo") && said.lines().any(|line| line == std::process::id().to_string()));
    place.assert_nothing_left();
}

#[test]
fn devices_of_the_machine() {
    let place = Place::new();
    let flags = ["--userns", "auto", "--device", "/dev/zero:/dev/nothing"];
    assert_eq!(place.inside(&flags, "head -c 3 /dev/nothing | wc -c").trim(), "3");
    place.assert_nothing_left();
}

#[test]
fn a_network_leads_into_a_user_namespace() {
    let place = Place::new();
    place.ctn(&["network", "create", "--subnet", "10.87.80.0/24", "apart"]);
    let flags = ["run", "--rm", "--userns", "auto", "--network", "apart", "--ip", "10.87.80.9"];
    let said = place.ctn(&[&flags[..], &["box", "busybox", "ip", "-o", "-4", "address"]].concat());
    assert!(said.contains("inet 10.87.80.9/24"), "{said}");
    place.ctn(&["network", "rm", "apart"]);
    place.assert_nothing_left();
}

#[test]
fn a_user_keeps_its_number() {
    let place = user::place();
    fs::create_dir(place.join("mine")).unwrap();
    std::os::unix::fs::chown(place.join("mine"), Some(USER), Some(USER)).unwrap();
    let bind = format!("{}:/mine", place.join("mine").display());
    let kept = ["--userns", "keep-id", "-v", &bind];
    let said = place.inside(&kept, "id -u; id -g; touch /mine/x; stat -c %u /mine/x /bin /data/of-image");
    assert_eq!(said, "3000\n3000\n3000\n0\n0\n");
    assert_eq!(fs::metadata(place.join("mine/x")).unwrap().uid(), USER);
    assert_eq!(place.inside(&["--userns", "keep-id:uid=5,gid=6"], "id -u; id -g"), "5\n6\n");
    assert_eq!(
        place.inside(&["--userns", "keep-id", "-u", "root"], "id -u; touch /made; stat -c %u /made /"),
        "0\n0\n0\n"
    );
    place.detached("web", &["--userns", "keep-id"], "sleep 1000");
    assert_eq!(owner_of_process(&place, "web"), USER);
    place.ctn(&["exec", "-u", "root", "web", "touch", "/made"]);
    assert_eq!(place.ctn(&["diff", "web"]), "C /etc\nC /etc/group\nC /etc/passwd\nA /made\n");
    place.ctn(&["rm", "-f", "web"]);
    user::assert_nothing_left(&place);
}

#[test]
fn a_user_who_keeps_its_number_has_a_name() {
    let place = user::place();
    let look = "id; echo $HOME; tail -n 1 /etc/passwd; tail -n 1 /etc/group; stat -c '%u %a' /etc/passwd";
    let inside = |flags: &[&str]| place.inside(&[&["--userns", "keep-id"], flags].concat(), look);
    let id = "uid=3000(tester) gid=3000(tester) groups=3000(tester)";
    let of = |home: &str| format!("{id}\n{home}\ntester:*:3000:3000::{home}:/bin/sh\ntester:x:3000:tester\n0 644\n");
    assert_eq!(inside(&[]), of("/"));
    assert_eq!(inside(&["-w", "/data"]), of("/data"));
    assert_eq!(inside(&["--read-only", "-e", "HOME=/tmp"]), of("/").replacen("\n/\n", "\n/tmp\n", 1));
    // Another number, one that the image knows, and a name that is somebody else's there.
    let numbers = |ids: &str| place.inside(&["--userns", &format!("keep-id:{ids}")], "id; grep -c . /etc/passwd");
    assert_eq!(numbers("uid=5,gid=6"), "uid=5(tester) gid=6(tester) groups=6(tester)\n3\n");
    assert_eq!(numbers("uid=33,gid=34"), "uid=33(web) gid=34(web) groups=34(web)\n2\n");
    // It is written once, can be changed by a program, and is kept.
    let change = "sed s/tester/other/ /etc/passwd >/etc/new && mv /etc/new /etc/passwd; grep 3000 /etc/passwd";
    place.ctn(&[
        "run",
        "--name",
        "web",
        "--userns",
        "keep-id",
        "-u",
        "0",
        "--network",
        "none",
        "box",
        "sh",
        "-c",
        change,
    ]);
    place.ctn(&["start", "web"]);
    place.ctn(&["wait", "web"]);
    assert_eq!(place.ctn(&["logs", "web"]), "other:*:3000:3000::/:/bin/sh\n".repeat(2));
    place.ctn(&["commit", "web", "kept"]);
    let said = place.ctn(&["run", "--rm", "--network", "none", "kept", "grep", "-c", "3000", "/etc/passwd"]);
    assert_eq!(said, "1\n");
    // What the caller mounts there is the caller's, and so is a root directory.
    fs::write(place.join("passwd"), "mine:x:3000:3000::/:/bin/sh\n").unwrap();
    let mounted = format!("{}:/etc/passwd", place.join("passwd").display());
    assert_eq!(place.inside(&["--userns", "keep-id", "-v", &mounted], "id -un"), "mine\n");
    assert_eq!(fs::read_to_string(place.join("passwd")).unwrap(), "mine:x:3000:3000::/:/bin/sh\n");
    place.ctn(&["rm", "web"]);
    user::assert_nothing_left(&place);
}

#[test]
fn a_link_to_elsewhere_is_not_where_a_user_is_named() {
    let place = user::place();
    fs::write(place.join("outside"), "").unwrap();
    std::os::unix::fs::chown(place.join("outside"), Some(USER), Some(USER)).unwrap();
    let link = format!(
        "rm /etc/passwd; ln -s {} /etc/passwd; rm /etc/group; mkfifo /etc/group",
        place.join("outside").display()
    );
    place.ctn(&["run", "--name", "maker", "--network", "none", "box", "sh", "-c", &link]);
    place.ctn(&["commit", "maker", "linked"]);
    let refusal = place.refusal(125, &["run", "--rm", "--network", "none", "--userns", "keep-id", "linked", "true"]);
    assert!(refusal.contains("name the user in the container's /etc/group: it is no regular file"), "{refusal}");
    assert_eq!(fs::read_to_string(place.join("outside")).unwrap(), "");
    place.ctn(&["rm", "maker"]);
    user::assert_nothing_left(&place);
}

#[test]
fn a_users_container_without_the_user() {
    let place = user::place();
    place.detached("web", &["--userns", "nomap"], "sleep 1000");
    assert_eq!(owner_of_process(&place, "web"), FIRST);
    assert_eq!(place.ctn(&["exec", "web", "stat", "-c", "%u", "/bin"]), "0\n");
    place.detached("apart", &["--userns", "private"], "sleep 1000");
    assert_eq!(owner_of_process(&place, "apart"), USER);
    let namespace = |name: &str| fs::read_link(format!("/proc/{}/ns/user", place.field(name, ".State.Pid"))).unwrap();
    assert_ne!(namespace("web"), namespace("apart"));
    place.ctn(&["rm", "-f", "web", "apart"]);
    user::assert_nothing_left(&place);
}

#[test]
fn what_can_not_be() {
    let place = Place::new();
    for (flags, words) in [
        (&["--userns", "mine"][..], "--userns: invalid user namespace mode \"mine\""),
        (&["--userns", "auto:size=0"], "--userns: 0 is no number of ids"),
        (&["--userns", "auto:length=5"], "--userns: auto has no option \"length=5\""),
        (&["--userns", "keep-id"], "--userns: keep-id is for containers of an ordinary user"),
        (&["--userns", "container:nobody"], "No such container: nobody"),
        (&["--userns", "auto:size=262144001"], "--userns: 262144001 is no number of ids"),
    ] {
        let refusal = place.refusal(125, &[&["run", "--rm", "--network", "none"], flags, &["box", "true"]].concat());
        assert!(refusal.contains(words), "{flags:?}: {refusal}");
    }
    place.detached("one", &[], "sleep 1000");
    let pid = ["run", "--rm", "--network", "none", "--userns", "auto", "--pid", "container:one", "box", "true"];
    let refusal = place.refusal(125, &pid);
    assert!(refusal.contains("belongs to another user namespace"), "{refusal}");
    place.ctn(&["rm", "-f", "one"]);
    place.assert_nothing_left();
}
