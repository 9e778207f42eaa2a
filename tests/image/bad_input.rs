//! What is wrong is refused with a sentence that says where, and the store is as before.

use std::fs;
use std::process::Command;

use corten::image::digest::Digest;
use corten::image::tar::{Entry, Kind};
use serde_json::json;

use crate::harness::*;

/// Loads something wrong into a store that has an image already.
#[track_caller]
fn refused(name: &str, archive: &[u8], wanted: &[&str]) {
    let place = Place::new();
    place.ctn(&["load", "-i", &Made::small("app:1").archive(&place, "good")]);
    let before = place.snapshot();
    let path = place.write("bad", archive);
    let said = place.refusal(&["load", "-i", &path]);
    for text in wanted {
        assert!(said.contains(text), "{name}: {text:?} is not in {said}");
    }
    assert_eq!(said.lines().count(), 1, "{name}: {said}");
    assert_eq!(place.snapshot(), before, "{name}: the store is changed");
}

#[test]
fn a_layer_that_is_not_what_it_says() {
    let good = Made::new("bad:1", &[vec![file("a", "aaa")]]);
    let digest = good.layers[0].digest();
    let layer = format!("layer {digest}");
    let mut corrupt = good.layout();
    corrupt[0].1[20] ^= 1;
    refused("corrupt", &tar(&corrupt), &["bad:1", &layer, "the content is sha256:"]);

    let mut short = good.layout();
    short[0] = bytes(&format!("blobs/sha256/{}", digest.hex()), good.layers[0].bytes[..40].to_vec());
    refused("short", &tar(&short), &[&layer, "40 bytes, where"]);

    let mut long = good.layout();
    long[0].1.extend([0; 100]);
    long[0].0.size += 100;
    refused("long", &tar(&long), &[&layer, "more than the"]);

    let missing = &good.layout()[1..];
    refused("missing", &tar(missing), &[&layer, "missing"]);

    let mut other = good.clone();
    other.config["rootfs"]["diff_ids"] = json!([Digest::of(b"other")]);
    other.seal();
    refused("another diff id", &tar(&other.layout()), &[&layer, "where the image's configuration says"]);

    let mut count = good.clone();
    count.config["rootfs"]["diff_ids"] = json!([]);
    count.seal();
    refused("layer count", &tar(&count.layout()), &["the manifest has 1 layers, and the configuration 0"]);
}

#[test]
fn a_document_that_is_not_what_it_says() {
    let good = Made::small("bad:1");
    let mut both = good.clone();
    both.manifest["manifests"] = json!([]);
    both.index();
    refused("two readings", &tar(&both.layout()), &["ambiguous"]);

    let mut lie = good.clone();
    lie.manifest["mediaType"] = json!(OCI_INDEX);
    lie.index();
    refused("another media type", &tar(&lie.layout()), &["was declared"]);

    let mut negative = good.clone();
    negative.manifest["layers"][0]["size"] = json!(-1);
    negative.index();
    refused("a negative size", &tar(&negative.layout()), &["manifest"]);

    let mut escaping = good.clone();
    escaping.manifest["layers"][0]["digest"] = json!("sha256:../../../../etc/passwd");
    escaping.index();
    refused("a path for a digest", &tar(&escaping.layout()), &["invalid digest"]);

    refused("no archive", &b"<html>not found</html>".repeat(40), &["no tar archive"]);
    refused("an empty archive", &tar(&[]), &["no images"]);
    refused(
        "only a table",
        &tar(&[bytes("manifest.json", b"[{\"Config\":\"../../etc/passwd\"}]".to_vec())]),
        &["missing"],
    );
}

#[test]
fn entries_that_can_not_be_are_named() {
    let layer = |entries: Vec<(Entry, Vec<u8>)>| tar(&Made::new("bad:1", &[entries]).layout());
    for (name, entry, wanted) in [
        (
            "whiteout device",
            (Entry::new("dev/x", Kind::Character(0, 0), 0o600), vec![]),
            "entry \"dev/x\": a character device 0:0",
        ),
        ("whiteout of nothing", file("a/.wh.", ""), "entry \"a/.wh.\""),
        ("link to nowhere", (Entry::new("h", Kind::Link(b"none".to_vec()), 0), vec![]), "the hard link to \"none\""),
        ("long name", file(&"n".repeat(300), ""), "300 bytes"),
    ] {
        refused(name, &layer(vec![entry]), &["layer sha256:", wanted]);
    }
}

#[test]
fn an_archive_cut_anywhere() {
    let whole = tar(&Made::small("bad:1").layout());
    // Without its last table, the rest is nothing.
    for end in (600..whole.len() - 1024 - 512).step_by(997) {
        refused(&format!("cut at {end}"), &whole[..end], &["Error: "]);
    }
}

#[test]
fn no_space_left() {
    let place = Place::new();
    let store = place.store();
    fs::create_dir(&store).unwrap();
    run("mount", ["-t", "tmpfs", "-o", "size=3m", "tmpfs", store.to_str().unwrap()]);
    let unmount = || run("umount", [store.to_str().unwrap()]);
    place.ctn(&["load", "-i", &Made::small("app:1").archive(&place, "good")]);
    let before = place.snapshot();
    // What compresses well: a few kilobytes of a blob, four megabytes of a file.
    let bomb = Made::new("bomb:1", &[vec![file("small", "x"), file("dir/huge", &"\0".repeat(4 << 20))]]);
    let said = place.refusal(&["load", "-i", &bomb.archive(&place, "bomb")]);
    let after = place.snapshot();
    unmount();
    assert!(said.contains("entry \"dir/huge\": its 4194304 bytes don't fit") && said.contains("bomb:1"), "{said}");
    assert_eq!(after, before);
}

#[test]
fn a_store_that_can_not_be_written_can_be_read() {
    let place = Place::new();
    place.ctn(&["load", "-i", &Made::small("app:1").archive(&place, "good")]);
    let archive = Made::small("other:1").archive(&place, "other");
    let store = place.store();
    let store = store.to_str().unwrap();
    run("mount", ["--bind", store, store]);
    run("mount", ["-o", "remount,bind,ro", store]);
    let (list, load) = (place.call(&["images"]), place.call(&["load", "-i", &archive]));
    let remove = place.call(&["rmi", "app:1"]);
    run("umount", [store]);
    assert!(succeeded(&list, "images").contains("app"));
    let said = String::from_utf8_lossy(&load.stderr).into_owned();
    assert!(said.contains("read-only file system") && said.contains("store"), "{said}");
    assert_eq!(String::from_utf8_lossy(&remove.stderr).lines().count(), 1, "{remove:?}");
}

#[test]
fn an_archive_that_does_not_fit_is_not_there() {
    let place = Place::new();
    let image = Made::new("app:1", &[vec![file("large", &"x".repeat(1 << 14))]]);
    place.ctn(&["load", "-i", &image.archive(&place, "in")]);
    let small = place.join("small");
    fs::create_dir(&small).unwrap();
    run("mount", ["-t", "tmpfs", "-o", "size=4k", "tmpfs", small.to_str().unwrap()]);
    let said = ["export", "save"].map(|command| place.refusal(&[command, "-o", "small/out", "app:1"]));
    let left = fs::read_dir(&small).unwrap().count();
    run("umount", [small.to_str().unwrap()]);
    assert!(said.iter().all(|said| said.contains("no space left on device")), "{said:?}");
    assert_eq!(left, 0);
    let said = ["export", "save"].map(|command| place.refusal(&[command, "-o", "nowhere/out", "app:1"]));
    assert!(said.iter().all(|said| said.contains("create \"nowhere/out\": no such file or directory")), "{said:?}");
}

#[test]
fn mistakes_on_the_command_line() {
    let place = Place::new();
    for (arguments, wanted) in [
        (&["image", "inspect", "none"][..], "No such image: none:latest"),
        (&["image", "inspect", "UPPER"], "No such image: UPPER"),
        (&["inspect", "UPPER"], "No such object: UPPER"),
        (&["inspect", "nothing"], "No such object: nothing"),
        (&["rmi", "deadbeef"], "No such image: deadbeef"),
        (&["load", "-i", "/nonexistent"], "open \"/nonexistent\": no such file or directory"),
        (&["images", "--format", "{{.Nothing}}x"], ""),
        (&["images", "-f", "nothing=1"], "invalid filter 'nothing'"),
        (&["unmount"], "give images, or --all"),
    ] {
        let output = place.call(arguments);
        let said = String::from_utf8_lossy(&output.stderr);
        if wanted.is_empty() {
            continue;
        }
        assert!(!output.status.success() && said.contains(wanted), "{arguments:?}: {said}");
    }
    // docker's statuses: 125 for a flag, 1 for anything else, 0 for who asks for nothing.
    for (arguments, status) in [
        (&["images", "--no-such-flag"][..], 125),
        (&["pull", "--quiet=maybe", "a"], 125),
        (&["images", "--format"], 125),
        (&["images", "-f", "dangling=maybe"], 1),
        (&["pull"], 1),
        (&["pull", "a", "b"], 1),
        (&["tag", "a", "UPPER"], 1),
        (&["login", "--password-stdin", "127.0.0.1:1"], 1),
        (&["nothing"], 1),
        (&["image", "nothing"], 1),
        (&["image"], 0),
        (&[], 0),
    ] {
        let output = place.call(arguments);
        assert_eq!(output.status.code(), Some(status), "{arguments:?}: {output:?}");
        assert_eq!(output.stderr.is_empty(), status == 0, "{arguments:?}: {output:?}");
    }
    let output = Command::new(CTN).args(["--root", "/proc/none", "images"]).output().unwrap();
    assert!(String::from_utf8_lossy(&output.stderr).contains("make the directory"), "{output:?}");
}
