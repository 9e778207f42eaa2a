//! From images to bundles and back.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::process::Command;

use serde_json::Value;

use crate::harness::*;

const BUSYBOX: &str = "/bin/busybox";

fn busybox() -> Place {
    let place = Place::new();
    let mut program = bytes("bin/busybox", fs::read(BUSYBOX).expect("busybox-static"));
    program.0.mode = 0o755;
    let entries = vec![
        program,
        symlink("bin/sh", "busybox"),
        file("etc/passwd", "root:x:0:0::/root:/bin/sh\nweb:x:33:34::/var/www:/bin/sh\n"),
        file("etc/group", "web:x:34:\nextra:x:99:web\n"),
        directory("tmp", 0o1777),
    ];
    let mut image = Made::new("busybox:1", &[entries]);
    image.config["config"] = serde_json::json!({
        "User": "web", "Env": ["A=from the image"], "WorkingDir": "/tmp",
        "Entrypoint": ["/bin/busybox", "sh", "-c"], "Cmd": ["busybox id; echo $A; pwd; echo $HOME"],
    });
    image.seal();
    place.ctn(&["load", "-i", &image.archive(&place, "in")]);
    place
}

#[test]
fn a_bundle_runs_at_once() {
    let place = busybox();
    place.ctn(&["unpack", "busybox:1", "bundle"]);
    let id = format!("image-test-{}", std::process::id());
    let root = place.join("state");
    let mut command = Command::new(env!("CARGO_BIN_EXE_corten"));
    command.arg("--root").arg(root).args(["run", "--bundle"]).arg(place.join("bundle")).arg(id);
    let output = command.output().unwrap();
    let said = succeeded(&output, "corten run");
    assert_eq!(said, "uid=33(web) gid=34(web) groups=99(extra)\nfrom the image\n/tmp\n/var/www\n");
}

#[test]
fn an_image_of_many_layers_needs_no_more_descriptors_than_there_are() {
    let place = Place::new();
    let layers: Vec<_> = (0..120).map(|number| vec![file(&format!("deep/in/a/directory/{number}"), "x")]).collect();
    let archive = Made::new("many:1", &layers).archive(&place, "in");
    for arguments in [&["load", "-i", &archive][..], &["unpack", "many:1", "bundle"]] {
        let mut command = Command::new("sh");
        command.args(["-c", "ulimit -Sn 200 && exec \"$@\"", "sh", CTN]).args(arguments);
        let output = command.env("CTN_ROOT", place.store()).current_dir(&place.path).output().unwrap();
        succeeded(&output, arguments);
    }
    assert_eq!(fs::read_dir(place.join("bundle/rootfs/deep/in/a/directory")).unwrap().count(), 120);
}

#[test]
fn ids_are_mapped_on_request() {
    let place = busybox();
    place.ctn(&["unpack", "--uidmap", "0:100000:65536", "--gidmap", "0:200000:65536", "busybox:1", "bundle"]);
    let data = fs::metadata(place.join("bundle/rootfs/etc/passwd")).unwrap();
    assert_eq!((data.uid(), data.gid()), (100_000, 200_000));
    let config: Value = serde_json::from_slice(&fs::read(place.join("bundle/config.json")).unwrap()).unwrap();
    assert_eq!(config["linux"]["uidMappings"][0]["hostID"], 100_000);
    let said = place.refusal(&["unpack", "--uidmap", "5:100000:1", "--gidmap", "5:100000:1", "busybox:1", "other"]);
    assert!(said.contains("the user 0 of the container has no id on the machine"), "{said}");
    assert!(!place.join("other").exists());
    assert!(place.refusal(&["unpack", "busybox:1", "bundle"]).contains("is not empty"));
}

#[test]
fn what_a_bundle_with_mapped_ids_changed() {
    let place = busybox();
    place.ctn(&["unpack", "--uidmap", "0:100000:65536", "--gidmap", "0:200000:65536", "busybox:1", "bundle"]);
    assert_eq!(place.ctn(&["diff", "bundle"]), "");
    let root = place.join("bundle/rootfs");
    for (name, uid, gid) in [("new", 100_033, 200_034), ("of-root", 100_000, 200_000)] {
        fs::write(root.join("etc").join(name), "new").unwrap();
        chown(root.join("etc").join(name), Some(uid), Some(gid)).unwrap();
    }
    chown(root.join("etc/group"), Some(100_005), None).unwrap();
    assert_eq!(place.ctn(&["diff", "bundle"]), "C /etc\nC /etc/group\nA /etc/new\nA /etc/of-root\n");
    place.ctn(&["commit", "bundle", "kept:1"]);
    place.ctn(&["unpack", "kept:1", "plain"]);
    let owner = |name: &str| {
        let found = fs::metadata(place.join("plain/rootfs/etc").join(name)).unwrap();
        (found.uid(), found.gid())
    };
    assert_eq!([owner("new"), owner("of-root"), owner("group")], [(33, 34), (0, 0), (5, 0)]);
    // What the machine's root made there is nobody's in the container.
    fs::write(root.join("etc/machines"), "").unwrap();
    for command in [&["diff", "bundle"][..], &["commit", "bundle", "kept:1"]] {
        let said = place.refusal(command);
        assert!(said.contains("\"machines\": the user 0 of the machine has no id in the container"), "{said}");
    }
}

#[test]
fn a_commit_has_what_was_changed_and_nothing_else() {
    let place = busybox();
    place.ctn(&["unpack", "busybox:1", "bundle"]);
    assert_eq!(place.ctn(&["diff", "bundle"]), "");
    let root = place.join("bundle/rootfs");
    fs::write(root.join("etc/new"), "new").unwrap();
    fs::remove_file(root.join("etc/group")).unwrap();
    fs::set_permissions(root.join("tmp"), fs::Permissions::from_mode(0o700)).unwrap();
    fs::remove_file(root.join("bin/sh")).unwrap();
    fs::create_dir(root.join("bin/sh")).unwrap();
    fs::write(root.join("bin/sh/inside"), "").unwrap();
    fs::hard_link(root.join("etc/new"), root.join("etc/same")).unwrap();
    // A change that size and time don't show.
    let passwd = fs::read_to_string(root.join("etc/passwd")).unwrap().replace("/var/www", "/var/wwx");
    let time = fs::metadata(root.join("etc/passwd")).unwrap().modified().unwrap();
    fs::write(root.join("etc/passwd"), passwd).unwrap();
    fs::File::options().write(true).open(root.join("etc/passwd")).unwrap().set_modified(time).unwrap();
    let changes =
        "C /bin\nA /bin/sh\nA /bin/sh/inside\nC /etc\nD /etc/group\nA /etc/new\nC /etc/passwd\nA /etc/same\nC /tmp\n";
    assert_eq!(place.ctn(&["diff", "bundle"]), changes);
    let mut ids = Vec::new();
    for compression in ["gzip", "zstd", "none"] {
        let mut command = place.command(&["commit", "--compression", compression, "-m", "m", "bundle", "new:1"]);
        ids.push(succeeded(&command.env("SOURCE_DATE_EPOCH", "1000").output().unwrap(), "commit"));
        assert_eq!(place.ctn(&["diff", "new:1"]), changes, "{compression}");
        assert_eq!(place.ctn(&["inspect", "-f", "{{.Comment}}", "new:1"]), "m\n");
        place.ctn(&["unpack", "new:1", compression]);
        let unpacked = snapshot(&place.join(compression).join("rootfs"));
        let clamped = |line: &String| {
            line.split(' ').enumerate().filter(|(at, _)| *at != 3).map(|(_, word)| word.to_owned()).collect::<Vec<_>>()
        };
        let wanted: Vec<_> = snapshot(&root).iter().map(clamped).collect();
        assert_eq!(unpacked.iter().map(clamped).collect::<Vec<_>>(), wanted);
        let (one, other) =
            (place.join(compression).join("rootfs/etc/new"), place.join(compression).join("rootfs/etc/same"));
        assert_eq!(fs::metadata(&one).unwrap().ino(), fs::metadata(other).unwrap().ino());
        assert_eq!(fs::metadata(one).unwrap().mtime(), 1000);
    }
    // The id is of what is inside: the compression doesn't count, nor does the machine.
    assert!(ids.iter().all(|id| *id == ids[0]), "{ids:?}");
}

#[test]
fn a_commit_is_the_step_of_its_own_layer() {
    let place = Place::new();
    // An image of two layers that tells nothing of how it came about.
    let image = Made::new("app:1", &[vec![file("one", "1")], vec![file("two", "22")]]);
    place.ctn(&["load", "-i", &image.archive(&place, "in")]);
    place.ctn(&["unpack", "app:1", "bundle"]);
    fs::write(place.join("bundle/rootfs/three"), "333").unwrap();
    place.ctn(&["commit", "-m", "mine", "bundle", "app:2"]);
    let list = place.ctn(&["history", "--format", "{{.CreatedBy}}|{{.Size}}|{{.Comment}}", "app:2"]);
    assert_eq!(list, "ctn commit|3B|mine\n|2B|\n|1B|\n");
}

#[test]
fn import_and_export_are_each_others_inverse() {
    let place = busybox();
    place.ctn(&["export", "-o", "one.tar", "busybox:1"]);
    place.ctn(&["import", "-c", "CMD [\"sh\"]", "-c", "LABEL a=b", "one.tar", "imported"]);
    assert_eq!(place.ctn(&["inspect", "-f", "{{.Config.Cmd}} {{.Config.Labels.a}}", "imported"]), "[sh] b\n");
    place.ctn(&["export", "-o", "two.tar", "imported"]);
    assert!(fs::read(place.join("one.tar")).unwrap() == fs::read(place.join("two.tar")).unwrap());
    let list = run("tar", ["-tvf", place.join("one.tar").to_str().unwrap()]);
    assert!(list.contains("drwxrwxrwt") && list.contains("bin/sh -> busybox"), "{list}");
    let said = place.refusal(&["import", "in-none.tar"]);
    assert!(said.contains("no such file"), "{said}");
    let broken = place.write("broken.tar", "not an archive");
    assert!(place.refusal(&["import", &broken]).contains("ends in the middle"));
}
