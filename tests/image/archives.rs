//! Every form of archive and layout, read and written.

use std::fs;
use std::process::Stdio;

use corten::image::digest::Digest;
use corten::image::tar::{Entry, Reader};
use serde_json::{Value, json};

use crate::harness::*;

/// The tree that an image is unpacked to.
fn tree(place: &Place, image: &str) -> Vec<String> {
    let bundle = place.join("bundle");
    place.ctn(&["unpack", image, bundle.to_str().unwrap()]);
    let tree = snapshot(&bundle.join("rootfs"));
    fs::remove_dir_all(&bundle).unwrap();
    tree
}

#[test]
fn what_is_loaded_is_saved_byte_for_byte_in_every_form() {
    let first = Place::new();
    let image = Made::small("example.org/team/app:1");
    assert_eq!(first.ctn(&["load", "-i", &image.archive(&first, "in")]), "Loaded image: example.org/team/app:1\n");
    let wanted = tree(&first, "example.org/team/app:1");
    assert!(wanted.iter().any(|line| line.starts_with("etc/two ")) && !wanted.iter().any(|line| line.contains("one")));
    for format in ["docker-archive", "oci-archive", "oci-dir"] {
        let saved = first.join(format);
        first.ctn(&["save", "--format", format, "-o", saved.to_str().unwrap(), "example.org/team/app:1"]);
        let second = Place::new();
        second.ctn(&["load", "-i", saved.to_str().unwrap()]);
        assert_eq!(second.ctn(&["images", "--no-trunc", "-q"]), image.id() + "\n", "{format}");
        assert_eq!(second.ctn(&["manifest", "inspect", "example.org/team/app:1"]), image.manifest.to_string());
        assert_eq!(tree(&second, "example.org/team/app:1"), wanted, "{format}");
    }
    let again = first.join("again");
    first.ctn(&["save", "-o", again.to_str().unwrap(), "example.org/team/app:1"]);
    assert!(
        fs::read(again).unwrap() == fs::read(first.join("docker-archive")).unwrap(),
        "two archives of one image differ"
    );
}

#[test]
fn a_saved_archive_has_both_tables() {
    let place = Place::new();
    let image = Made::small("app:1");
    place.ctn(&["load", "-i", &image.archive(&place, "in")]);
    place.ctn(&["tag", "app:1", "localhost/other:2"]);
    place.ctn(&["save", "-o", "out", "app:1", "localhost/other:2"]);
    let mut files = std::collections::BTreeMap::new();
    let archive = fs::read(place.join("out")).unwrap();
    let mut reader = Reader::new(&archive[..]);
    while let Some(entry) = reader.next_entry().unwrap() {
        let mut content = Vec::new();
        std::io::Read::read_to_end(&mut reader, &mut content).unwrap();
        files.insert(String::from_utf8(entry.path).unwrap(), content);
    }
    let table: Value = serde_json::from_slice(&files["manifest.json"]).unwrap();
    let blob = |digest: &str| format!("blobs/sha256/{}", digest.strip_prefix("sha256:").unwrap());
    let layers: Vec<String> = image.layers.iter().map(|layer| blob(&layer.digest().to_string())).collect();
    let tags = ["docker.io/library/app:1", "localhost/other:2"];
    assert_eq!(table, json!([{"Config": blob(&image.id()), "RepoTags": tags, "Layers": layers}]));
    let index: Value = serde_json::from_slice(&files["index.json"]).unwrap();
    assert_eq!(index["manifests"][1]["annotations"]["org.opencontainers.image.ref.name"], "2");
    for (name, content) in files.iter().filter(|(name, _)| name.starts_with("blobs/sha256/") && !name.ends_with('/')) {
        assert_eq!(blob(&Digest::of(content).to_string()), *name);
    }
}

#[test]
fn a_stream_is_read_as_a_file_is_and_may_be_compressed() {
    let image = Made::small("app:1");
    let archive = tar(&image.layout());
    for content in [archive.clone(), gzip(&archive), zstd(&archive)] {
        let place = Place::new();
        let path = place.write("in", content);
        let mut command = place.command(&["load", "-q"]);
        // A pipe, not a file.
        let mut cat = std::process::Command::new("cat").arg(&path).stdout(Stdio::piped()).spawn().unwrap();
        let output = command.stdin(cat.stdout.take().unwrap()).output().unwrap();
        cat.wait().unwrap();
        assert_eq!(succeeded(&output, "load"), image.id() + "\n");
        assert_eq!(fs::read_dir(place.store().join("ingest")).unwrap().count(), 0);
    }
}

fn zstd(bytes: &[u8]) -> Vec<u8> {
    // One raw block of a frame without a declared size (RFC 8878).
    let mut frame = b"\x28\xb5\x2f\xfd\x00\x58".to_vec();
    let mut blocks = bytes.chunks(1 << 16).peekable();
    while let Some(block) = blocks.next() {
        let last = u32::from(blocks.peek().is_none());
        frame.extend(&(((block.len() as u32) << 3) | last).to_le_bytes()[..3]);
        frame.extend(block);
    }
    frame
}

/// docker before 25: layers uncompressed in directories of their own, a layer twice as a symlink, tables last.
#[test]
fn archives_of_old_dockers_are_read() {
    let image = Made::small("app:1");
    let layers = [tar(&[directory("etc/", 0o755), file("etc/one", "1")]), tar(&[file("etc/two", "2")])];
    let ids: Vec<Digest> = layers.iter().map(|layer| Digest::of(layer)).collect();
    let mut config = image.config.clone();
    config["rootfs"]["diff_ids"] = json!([ids[0], ids[1], ids[1]]);
    let config = config.to_string().into_bytes();
    let name = format!("{}.json", Digest::of(&config).hex());
    let table = json!([{"Config": name, "RepoTags": ["app:1", "app:latest"],
        "Layers": ["a/layer.tar", "b/layer.tar", "c/layer.tar"]}]);
    let archive = tar(&[
        bytes("a/layer.tar", layers[0].clone()),
        bytes("b/layer.tar", gzip(&layers[1])),
        symlink("c/layer.tar", "../b/layer.tar"),
        bytes(&name, config.clone()),
        bytes("manifest.json", table.to_string().into_bytes()),
    ]);
    let place = Place::new();
    let path = place.write("in", archive);
    assert_eq!(place.ctn(&["load", "-i", &path]), "Loaded image: app:1\nLoaded image: app:latest\n");
    assert_eq!(place.ctn(&["images", "-q", "--no-trunc"]), format!("{}\n", Digest::of(&config)));
    let files = tree(&place, "app");
    let names: Vec<&str> = files.iter().filter_map(|line| line.split(' ').next()).collect();
    assert_eq!(names, ["etc", "etc/one", "etc/two"]);
}

#[test]
fn an_index_brings_all_images_that_are_there() {
    let image = Made::small("app:1");
    let mut foreign = image.manifest_blob().descriptor();
    foreign["platform"] = json!({"os": "linux", "architecture": "s390x"});
    foreign["digest"] = json!(Digest::of(b"not taken along"));
    let mut own = image.manifest_blob().descriptor();
    own["platform"] = json!({"os": "linux", "architecture": std::env::consts::ARCH});
    let list = json!({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": [foreign, own]});
    let list = Blob { media_type: OCI_INDEX, bytes: list.to_string().into_bytes() };
    let mut files = image.layout();
    files.push(bytes(&format!("blobs/sha256/{}", list.digest().hex()), list.bytes.clone()));
    let mut entry = list.descriptor();
    entry["annotations"] = json!({"org.opencontainers.image.ref.name": "app:2"});
    files.push(bytes("index.json", json!({"schemaVersion": 2, "manifests": [entry]}).to_string().into_bytes()));
    let place = Place::new();
    let path = place.write("in", tar(&files));
    assert_eq!(place.ctn(&["load", "-i", &path]), "Loaded image: app:2\n");
    assert_eq!(
        place.ctn(&["inspect", "-f", "{{.Id}} {{.Descriptor.digest}}", "app:2"]),
        format!("{} {}\n", image.id(), image.manifest_blob().digest())
    );
    assert!(place.refusal(&["inspect", "--platform", "linux/s390x", "app:2"]).contains("has no image linux/s390x"));
    place.ctn(&["save", "--all-platforms", "-o", "out", "app:2"]);
    let second = Place::new();
    second.ctn(&["load", "-i", place.join("out").to_str().unwrap()]);
    assert_eq!(second.ctn(&["manifest", "inspect", "app:2"]).as_bytes(), list.bytes);
}

#[test]
fn an_image_for_another_machine_is_loaded_with_a_warning() {
    let place = Place::new();
    let mut image = Made::small("app:1");
    image.config["architecture"] = json!("s390x");
    image.seal();
    let output = place.call(&["load", "-i", &image.archive(&place, "in")]);
    assert_eq!(succeeded(&output, "load"), "Loaded image: app:1\n");
    assert!(String::from_utf8_lossy(&output.stderr).contains("is for linux/s390x, and this machine is linux/"));
}

#[test]
fn the_store_is_a_layout_itself() {
    let place = Place::new();
    let image = Made::small("app:1");
    place.ctn(&["load", "-i", &image.archive(&place, "in")]);
    let second = Place::new();
    assert_eq!(second.ctn(&["load", "-i", place.store().to_str().unwrap()]), "Loaded image: app:1\n");
}

/// An archive of an index with images for two processors.
fn of_two(place: &Place) -> (String, Made, Made) {
    let made = |architecture: &str| {
        let mut image = Made::small("app:1");
        image.config["architecture"] = architecture.into();
        image.seal();
        image
    };
    let (own, other) = (made(std::env::consts::ARCH), made("s390x"));
    let files = layout_of(&[std::env::consts::ARCH, "s390x"], &[&own, &other]);
    (place.write("in", tar(&files)), own, other)
}

/// The files of a layout in which `app:2` is an index of images.
fn layout_of(architectures: &[&str], images: &[&Made]) -> Vec<(Entry, Vec<u8>)> {
    let entry = |(image, architecture): (&&Made, &&str)| {
        let mut entry = image.manifest_blob().descriptor();
        entry["platform"] = json!({"os": "linux", "architecture": architecture});
        entry
    };
    let manifests: Vec<Value> = images.iter().zip(architectures).map(entry).collect();
    let list = json!({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": manifests});
    let list = Blob { media_type: OCI_INDEX, bytes: list.to_string().into_bytes() };
    let mut files: Vec<(Entry, Vec<u8>)> = images.iter().flat_map(|image| image.layout()).collect();
    files.retain(|(entry, _)| entry.path != b"index.json");
    files.push(bytes(&format!("blobs/sha256/{}", list.digest().hex()), list.bytes.clone()));
    let mut entry = list.descriptor();
    entry["annotations"] = json!({"org.opencontainers.image.ref.name": "app:2"});
    files.push(bytes("index.json", json!({"schemaVersion": 2, "manifests": [entry]}).to_string().into_bytes()));
    files
}

#[test]
fn one_platform_is_loaded_of_several() {
    let place = Place::new();
    let (path, own, other) = of_two(&place);
    place.ctn(&["load", "--platform", "linux/s390x", "-i", &path]);
    assert_eq!(place.ctn(&["inspect", "-f", "{{.Id}}", "app:2"]), other.id() + "\n");
    assert!(!place.ctn(&["images", "-aq", "--no-trunc"]).contains(&own.id()));
    let refusal = place.refusal(&["load", "--platform", "linux/riscv64", "-i", &path]);
    assert!(refusal.contains("app:2 has no image for linux/riscv64"), "{refusal}");
}

/// An archive of an index with images for three processors: this one's, `s390x` and `riscv64`.
fn of_three(place: &Place, architectures: [&str; 3]) -> (String, [Made; 3]) {
    let made = |architecture: &str| {
        let mut image = Made::new("app:1", &[vec![file(architecture, "here")]]);
        image.config["architecture"] = architecture.into();
        image.seal();
        image
    };
    let images = architectures.map(made);
    (place.write("in", tar(&layout_of(&architectures, &images.each_ref()))), images)
}

#[test]
fn some_platforms_of_several_are_loaded_saved_and_removed() {
    let place = Place::new();
    let (path, [own, second, third]) = of_three(&place, [std::env::consts::ARCH, "s390x", "riscv64"]);
    let has =
        |place: &Place, platform: &str| place.call(&["inspect", "--platform", platform, "app:2"]).status.success();
    let all = |place: &Place| ["linux/amd64", "linux/s390x", "linux/riscv64"].map(|platform| has(place, platform));
    place.ctn(&["load", "--platform", "linux/amd64,linux/riscv64", "-i", &path]);
    assert_eq!(all(&place), [true, false, true]);
    let layers = |place: &Place| std::fs::read_dir(place.store().join("layers/sha256")).unwrap().count();
    assert_eq!(layers(&place), 2);
    let refusal = place.refusal(&["load", "--platform", "linux/amd64,linux/arm64", "-i", &path]);
    assert!(refusal.contains("app:2 has no image for linux/arm64"), "{refusal}");

    place.ctn(&["load", "-i", &path]);
    place.ctn(&["save", "--platform", "linux/amd64,linux/s390x", "-o", "some", "app:2"]);
    let other = Place::new();
    other.ctn(&["load", "-i", place.join("some").to_str().unwrap()]);
    assert_eq!(all(&other), [true, true, false]);
    assert!(
        place.refusal(&["save", "--platform", "linux/amd64,linux/arm64", "-o", "x", "app:2"]).contains("linux/arm64")
    );

    let gone = place.ctn(&["rmi", "--platform", "linux/s390x", "app:2"]);
    assert!(gone.starts_with(&format!("Deleted: {}\nDeleted: ", second.manifest_blob().digest())), "{gone}");
    assert_eq!((all(&place), layers(&place)), ([true, false, true], 2));
    let refusal = place.refusal(&["rmi", "--platform", "linux/s390x", "app:2"]);
    assert!(refusal.contains("has no image linux/s390x"), "{refusal}");
    let refusal = place.refusal(&["rmi", "--platform", "linux/amd64,linux/riscv64", "app:2"]);
    assert!(refusal.contains("there would be none left"), "{refusal}");
    place.ctn(&["tag", "app:2", "app:3"]);
    place.ctn(&["rmi", "--platform", "linux/riscv64", "app:3"]);
    assert_eq!(all(&place), [true, false, false]);
    assert_eq!(place.ctn(&["inspect", "-f", "{{.Id}}", "app:2"]), own.id() + "\n");
    assert!(!place.ctn(&["images", "-aq", "--no-trunc"]).contains(&third.id()));
    // It comes again with the rest.
    place.ctn(&["load", "-i", &path]);
    assert_eq!((all(&place), layers(&place)), ([true; 3], 3));
}

#[test]
fn what_merely_runs_on_a_platform_is_not_removed_for_it() {
    let place = Place::new();
    let (path, _) = of_three(&place, ["386", "arm", "s390x"]);
    place.ctn(&["load", "-i", &path]);
    for platform in ["linux/amd64", "linux/arm64", "linux/arm/v8"] {
        let refusal = place.refusal(&["rmi", "--platform", platform, "app:2"]);
        assert!(refusal.contains(&format!("has no image {platform}")), "{refusal}");
    }
    for platform in ["linux/386", "linux/arm/v7"] {
        place.ctn(&["rmi", "--platform", platform, "app:2"]);
    }
}

#[test]
fn the_platforms_of_images_are_a_tree() {
    let place = Place::new();
    let (path, own, other) = of_two(&place);
    place.ctn(&["load", "-i", &path]);
    place.ctn(&["load", "-i", &Made::new("one:1", &[vec![file("x", "y")]]).archive(&place, "alone")]);
    let list = place.ctn(&["images", "--tree"]);
    let rows: Vec<Vec<&str>> = list.lines().map(|line| line.split_whitespace().collect()).collect();
    assert_eq!(rows[0], ["IMAGE", "ID", "DISK", "USAGE", "CONTENT", "SIZE", "EXTRA"]);
    let below = rows.iter().position(|row| row[0] == "app:2").unwrap();
    let short = |image: &Made| image.manifest_blob().digest().short().to_owned();
    let host = corten::image::platform::Platform::host().to_string();
    assert_eq!(rows[below + 1][..3], ["├─", &host, &short(&own)]);
    assert_eq!(rows[below + 2][..3], ["└─", "linux/s390x", &short(&other)]);
    assert!(rows.iter().any(|row| row[0] == "one:1") && rows.len() == 5, "{list}");
    assert_eq!(place.ctn(&["images", "--tree", "one"]).lines().count(), 2);
    assert!(place.refusal(&["images", "--tree", "--quiet"]).contains("--tree"));
}
