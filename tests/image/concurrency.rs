//! Several processes on one store.

use std::fs::{self, File};
use std::process::{Child, Stdio};

use rustix::fs::{FlockOperation, flock};

use crate::harness::*;

#[path = "../helpers/lock.rs"]
mod lock;
pub use lock::wait_for_lock;

/// Someone else is bringing in the layer: it is waited for, taken from the store and not from the archive, and not collected.
#[test]
fn the_work_is_done_once_and_what_is_on_its_way_stays() {
    let place = Place::new();
    let image = Made::new("app:1", &[vec![file("a", "a")]]);
    place.ctn(&["images"]);
    // Without the layer: who tried to read it would fail.
    let archive = place.write("in", tar(&image.layout()[1..]));
    let digest = image.layers[0].digest();
    let lock = File::create(place.store().join("locks").join(format!("sha256-{}", digest.hex()))).unwrap();
    flock(&lock, FlockOperation::LockExclusive).unwrap();
    let mut child =
        place.command(&["load", "-i", &archive]).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    wait_for_lock(&mut child);

    let blob = place.store().join("blobs/sha256").join(digest.hex());
    fs::write(&blob, &image.layers[0].bytes).unwrap();
    let garbage = place.store().join("blobs/sha256").join("0".repeat(64));
    fs::write(&garbage, "nobody's").unwrap();
    let dead = place.store().join("ingest/dead");
    fs::create_dir(&dead).unwrap();
    fs::write(dead.join("lease"), format!("blob sha256:{}\n", "0".repeat(64))).unwrap();
    place.ctn(&["image", "prune", "-a", "-f"]);
    assert!(blob.exists(), "what a lease pins was collected");
    assert!(!garbage.exists() && !dead.exists(), "what nobody needs is still there");
    assert_eq!(
        fs::read_dir(place.store().join("ingest")).unwrap().count(),
        1,
        "the lease of a live process was removed"
    );

    drop(lock);
    let output = child.wait_with_output().unwrap();
    assert_eq!(succeeded(&output, "load"), "Loaded image: app:1\n");
    place.ctn(&["unpack", "app:1", "bundle"]);
}

#[test]
fn many_at_once() {
    let place = Place::new();
    let archives: Vec<String> = (0..4)
        .map(|number| {
            let shared: Vec<_> = (0..50).map(|file_number| file(&format!("d/{file_number}"), "x")).collect();
            Made::new(&format!("app:{}", number % 2), &[shared, vec![file("own", &(number % 2).to_string())]])
                .archive(&place, &format!("in{number}"))
        })
        .collect();
    let children: Vec<Child> = archives
        .iter()
        .flat_map(|archive| [vec!["load", "-q", "-i", archive], vec!["image", "prune", "-f"]])
        .map(|arguments| place.command(&arguments).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap())
        .collect();
    for child in children {
        succeeded(&child.wait_with_output().unwrap(), "one of many");
    }
    assert_eq!(place.ctn(&["images", "-q"]).lines().count(), 2);
    for name in ["app:0", "app:1"] {
        place.ctn(&["unpack", name, name]);
        assert_eq!(fs::read_to_string(place.join(name).join("rootfs/own")).unwrap(), name[4..]);
    }
    let before = place.snapshot();
    place.ctn(&["image", "prune", "-f"]);
    assert_eq!(place.snapshot(), before, "there was garbage");
}
