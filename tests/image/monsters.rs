//! What is too long or too large for whoever takes shortcuts, from the archive to the bundle and back.

use std::fs::{self, File};
use std::os::unix::fs::MetadataExt;

use corten::image::layer::tree;
use corten::image::tar::{Entry, Kind, Reader};
use rustix::fs::{Mode, OFlags, openat, statat};

use crate::harness::*;

/// Goes through load, unpack, export, import and unpack again, and gives both bundles' roots.
fn round_trip(place: &Place, image: &Made) -> [std::path::PathBuf; 2] {
    place.ctn(&["load", "-i", &image.archive(place, "in")]);
    place.ctn(&["unpack", &image.name, "one"]);
    place.ctn(&["export", "-o", "exported", &image.name]);
    place.ctn(&["import", "exported", "again:1"]);
    place.ctn(&["unpack", "again:1", "two"]);
    ["one/rootfs", "two/rootfs"].map(|name| place.join(name))
}

#[test]
fn paths_longer_than_the_kernel_takes() {
    let place = Place::new();
    let deep = "directory-of-a-long-name/".repeat(180);
    let (below, top) = (format!("{deep}below"), format!("{deep}top"));
    let mut link = (Entry::new(format!("{deep}link"), Kind::Link(below.clone().into()), 0), Vec::new());
    link.0.mode = 0o644;
    let image = Made::new(
        "deep:1",
        &[
            vec![file(&below, "1"), file(&format!("{deep}gone"), "x")],
            vec![file(&top, "2"), file(&format!("{deep}.wh.gone"), ""), link],
        ],
    );
    for root in round_trip(&place, &image) {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let mut at = rustix::fs::open(&root, flags, Mode::empty()).unwrap();
        for name in deep.split('/').filter(|name| !name.is_empty()) {
            at = openat(&at, name, flags, Mode::empty()).unwrap();
        }
        let mut names = tree::names(&at).unwrap();
        names.sort();
        assert_eq!(names, [&b"below"[..], b"link", b"top"]);
        assert_eq!(statat(&at, "link", rustix::fs::AtFlags::SYMLINK_NOFOLLOW).unwrap().st_size, 1);
    }
    // It goes as it came.
    place.ctn(&["rmi", "deep:1", "again:1"]);
    assert_eq!(fs::read_dir(place.store().join("layers/sha256")).unwrap().count(), 0);
}

/// A sparse file of more than four gigabytes, of which next to nothing is stored, stays one.
#[test]
fn a_sparse_file_of_five_gigabytes_takes_no_room() {
    const SIZE: u64 = 5 << 30;
    let place = Place::new();
    fs::create_dir(place.join("tree")).unwrap();
    let sparse = File::create(place.join("tree/sparse")).unwrap();
    sparse.set_len(SIZE).unwrap();
    for at in [1 << 20, (4 << 30) + 5, SIZE - 5] {
        std::os::unix::fs::FileExt::write_all_at(&sparse, b"data.", at).unwrap();
    }
    for version in ["--format=gnu", "--sparse-version=0.1", "--sparse-version=1.0"] {
        let (archive, tree) = (place.join("sparse.tar"), place.join("tree"));
        let (archive, tree) = (archive.to_str().unwrap(), tree.to_str().unwrap());
        let posix = if version.starts_with("--sparse") { "--format=posix" } else { "--format=gnu" };
        run("tar", ["-S", posix, version, "-C", tree, "-cf", archive, "sparse"]);
        place.ctn(&["import", archive, "sparse:1"]);
        place.ctn(&["unpack", "sparse:1", "bundle"]);
        let file = File::open(place.join("bundle/rootfs/sparse")).unwrap();
        let data = file.metadata().unwrap();
        assert_eq!(data.size(), SIZE, "{version}");
        assert!(data.blocks() * 512 < 4 << 20, "{version}: {} blocks", data.blocks());
        for (at, wanted) in [(1 << 20, b"data."), ((4 << 30) + 5, b"data."), (SIZE - 5, b"data."), (3 << 30, &[0; 5])] {
            let mut found = [0; 5];
            std::os::unix::fs::FileExt::read_exact_at(&file, &mut found, at).unwrap();
            assert_eq!(&found, wanted, "{version} at {at}");
        }
        fs::remove_dir_all(place.join("bundle")).unwrap();
        place.ctn(&["rmi", "-f", "sparse:1"]);
    }
}

/// A few bytes that claim to be four gigabytes are no reason to write or to hold as many.
#[test]
fn sizes_that_are_only_claimed_cost_nothing() {
    let mut archive = tar(&[file("first", "x"), file("lie", "y"), file("last", "z")]);
    // The second header's size, in octal.
    archive[1024 + 124..1024 + 135].copy_from_slice(b"40000000000");
    archive[1024 + 148..1024 + 156].fill(b' ');
    let sum: u32 = archive[1024..1536].iter().map(|byte| u32::from(*byte)).sum();
    archive[1024 + 148..1024 + 156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    let mut reader = Reader::new(&archive[..]);
    reader.next_entry().unwrap();
    assert_eq!(reader.next_entry().unwrap().unwrap().size, 4 << 30);
    let place = Place::new();
    let path = place.write("lie.tar", &archive);
    let said = place.refusal(&["import", &path, "lie:1"]);
    assert!(said.contains("\"lie\""), "{said}");
    assert_eq!(place.ctn(&["images", "-q"]), "");
    place.ctn(&["image", "prune", "-f"]);
    assert_eq!(fs::read_dir(place.store().join("layers/sha256")).unwrap().count(), 0);
}
