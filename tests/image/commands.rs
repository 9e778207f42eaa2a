//! Lists, names, removal: docker's words and columns.

use crate::harness::*;

fn loaded(names: &[&str]) -> Place {
    let place = Place::new();
    for (index, name) in names.iter().enumerate() {
        let mut image = Made::new(name, &[vec![file("shared", "x")], vec![file("own", &index.to_string())]]);
        image.config["created"] = format!("2024-01-0{}T00:00:00Z", index + 1).into();
        image.config["config"]["Labels"] = serde_json::json!({"number": index.to_string()});
        image.seal();
        place.ctn(&["load", "-i", &image.archive(&place, "in")]);
    }
    place
}

#[test]
fn the_list_is_dockers() {
    let place = loaded(&["first:1", "quay.io/team/second:2"]);
    let list = place.ctn(&["images"]);
    let lines: Vec<Vec<&str>> =
        list.lines().map(|line| line.split("   ").map(str::trim).filter(|cell| !cell.is_empty()).collect()).collect();
    assert_eq!(lines[0], ["REPOSITORY", "TAG", "IMAGE ID", "CREATED", "SIZE"]);
    assert_eq!((lines[1][0], lines[1][1]), ("quay.io/team/second", "2"));
    assert_eq!((lines[2][0], lines[2][1], lines[2][4]), ("first", "1", "2B"));
    assert!(lines[1][3].ends_with(" ago") && lines[1][2].len() == 12, "{list}");
    assert_eq!(place.ctn(&["images", "--format", "{{.Repository}}:{{.Tag}}"]), "quay.io/team/second:2\nfirst:1\n");
    assert_eq!(
        place.ctn(&["image", "ls", "--format", "table {{.Tag}}\\t{{.Size}}"]),
        "TAG       SIZE\n2         2B\n1         2B\n"
    );
    let json: serde_json::Value =
        serde_json::from_str(place.ctn(&["images", "--format", "json"]).lines().next().unwrap()).unwrap();
    assert_eq!(json["Repository"], "quay.io/team/second");
    for (filter, wanted) in [
        ("reference=first", "first\n"),
        ("reference=quay.io/*/*", "quay.io/team/second\n"),
        ("label=number=1", "quay.io/team/second\n"),
        ("before=quay.io/team/second:2", "first\n"),
        ("since=first:1", "quay.io/team/second\n"),
        ("dangling=true", ""),
    ] {
        assert_eq!(place.ctn(&["images", "-f", filter, "--format", "{{.Repository}}"]), wanted, "{filter}");
    }
    assert_eq!(place.ctn(&["images", "--format", "{{.Tag}}", "first"]), "1\n");
}

#[test]
fn names_come_and_go() {
    let place = loaded(&["a:1", "b:1"]);
    let id = |name: &str| place.ctn(&["inspect", "-f", "{{.Id}}", name]).trim().to_owned();
    let (a, b) = (id("a:1"), id("b:1"));
    place.ctn(&["tag", "a:1", "c"]);
    assert_eq!(id("c:latest"), a);
    assert_eq!(id(&a["sha256:".len()..][..6]), a);
    assert_eq!(place.ctn(&["inspect", "-f", "{{json .RepoTags}}", "c"]), "[\"a:1\",\"c:latest\"]\n");
    let conflict = place.refusal(&["rmi", &a]);
    assert!(conflict.contains("(must be forced) - image is referenced in multiple repositories"), "{conflict}");
    assert_eq!(place.ctn(&["rmi", "a:1"]), "Untagged: a:1\n");
    // A name that moves leaves an image without one.
    place.ctn(&["tag", "b:1", "c:latest"]);
    assert_eq!(id("c"), b);
    assert_eq!(place.ctn(&["images", "-q", "--no-trunc", "-f", "dangling=true"]), a.clone() + "\n");
    let pruned = place.ctn(&["image", "prune", "-f"]);
    assert!(pruned.contains(&format!("deleted: {a}\n")) && pruned.contains("Total reclaimed space: "), "{pruned}");
    let removed = place.ctn(&["rmi", "-f", &b]);
    assert!(removed.starts_with("Untagged: b:1\nUntagged: c:latest\nDeleted: sha256:"), "{removed}");
    assert_eq!(place.ctn(&["images", "-q"]), "");
    for directory in ["blobs/sha256", "layers/sha256", "ingest", "locks"] {
        assert_eq!(std::fs::read_dir(place.store().join(directory)).unwrap().count(), 0, "{directory}");
    }
    place.ctn(&["rmi", "-f", "none"]);
}

#[test]
fn removal_leaves_what_others_need() {
    let place = loaded(&["a:1", "b:1"]);
    place.ctn(&["rmi", "a:1"]);
    place.ctn(&["unpack", "b:1", "bundle"]);
    assert_eq!(std::fs::read_to_string(place.join("bundle/rootfs/shared")).unwrap(), "x");
    place.ctn(&["save", "-o", "out", "b:1"]);
}

#[test]
fn history_and_sizes() {
    let place = Place::new();
    let mut image = Made::small("app:1");
    image.config["history"] = serde_json::json!([
        {"created": "2024-01-01T00:00:00Z", "created_by": "ADD file in /"},
        {"created": "2024-01-01T00:00:00Z", "created_by": "ENV A=1", "empty_layer": true},
        {"created": "2024-01-02T00:00:00Z", "created_by": "RUN x", "comment": "c"},
    ]);
    image.seal();
    place.ctn(&["load", "-i", &image.archive(&place, "in")]);
    let list = place.ctn(&["history", "--format", "{{.ID}}|{{.CreatedBy}}|{{.Size}}|{{.Comment}}", "app:1"]);
    let short = &image.id()["sha256:".len()..][..12];
    assert_eq!(list, format!("{short}|RUN x|2B|c\n<missing>|ENV A=1|0B|\n<missing>|ADD file in /|1B|\n"));
    let df = place.ctn(&["system", "df", "--format", "{{.Type}} {{.TotalCount}} {{.Active}} {{.Reclaimable}}"]);
    assert!(df.starts_with("Images 1 0 ") && df.contains("(100%)"), "{df}");
}

#[test]
fn a_mounted_image_is_in_use() {
    let place = Place::new();
    place.ctn(&["load", "-i", &Made::small("app:1").archive(&place, "in")]);
    let point = place.ctn(&["mount", "app:1"]).trim().to_owned();
    let point = std::path::Path::new(&point);
    assert_eq!(std::fs::read_to_string(point.join("etc/two")).unwrap(), "2");
    assert!(!point.join("etc/one").exists());
    assert!(std::fs::write(point.join("etc/new"), "").is_err());
    assert_eq!(std::os::unix::fs::MetadataExt::mode(&point.join("tmp").metadata().unwrap()) & 0o7777, 0o1777);
    assert!(place.refusal(&["rmi", "app:1"]).contains("image is mounted"));
    place.ctn(&["image", "prune", "-a", "-f"]);
    assert!(place.ctn(&["mount"]).contains("app:1 /"));
    assert!(place.ctn(&["system", "df", "--format", "{{.Active}}"]).starts_with('1'));
    place.ctn(&["umount", "app:1"]);
    assert!(!point.exists());
    place.ctn(&["rmi", "app:1"]);
}

#[test]
fn what_images_share_is_shown() {
    let place = Place::new();
    for (name, own) in [("one:1", "1"), ("two:1", "22")] {
        let image = Made::new(name, &[vec![file("base", "12345")], vec![file("own", own)]]);
        place.ctn(&["load", "-i", &image.archive(&place, &name.replace(':', "-"))]);
    }
    let df = place.ctn(&["system", "df", "-v"]);
    for (name, sizes) in [("one", ["6B", "5B", "1B"]), ("two", ["7B", "5B", "2B"])] {
        let row = df.lines().find(|line| line.starts_with(name)).unwrap_or_else(|| panic!("{df}"));
        let last: Vec<&str> = row.split_whitespace().rev().take(4).collect();
        assert_eq!(last, ["0", sizes[2], sizes[1], sizes[0]], "{df}");
    }
}
