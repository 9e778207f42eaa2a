//! Lists of manifests that are put together here, and pushed as an index.

use serde_json::{Value, json};

use super::*;
use crate::concurrency::wait_for_lock;

fn image(architecture: &str) -> Made {
    let mut image = Made::small("app:1");
    image.config["architecture"] = architecture.into();
    image.seal();
    image
}

/// A registry with an image for each of two processors, in repositories of their own.
fn with_two(mounts: bool) -> (Registry, Made, Made) {
    let registry = Registry::with(move |request, answer| {
        let is_mount = request.asks("mount").is_some();
        Some(if is_mount && !mounts { Answer::error(404, "UNSUPPORTED", "no mounts here") } else { answer })
    });
    let (one, other) = (image("amd64"), image("arm64"));
    registry.contents().add("one", "1", &one);
    registry.contents().add("other", "1", &other);
    (registry, one, other)
}

fn inspected(place: &Place, arguments: &[&str]) -> Value {
    serde_json::from_str(&place.ctn(&[&["manifest", "inspect"], arguments].concat())).unwrap()
}

#[test]
fn a_list_is_put_together_changed_and_pushed() {
    let (registry, one, other) = with_two(true);
    let place = Place::new();
    let (list, first, second) = (registry.name("all:1"), registry.name("one:1"), registry.name("other:1"));
    assert_eq!(place.ctn(&["manifest", "create", &list, &first]), format!("Created manifest list {list}\n"));
    assert!(place.refusal(&["manifest", "create", &list, &second]).contains("no --amend flag"));
    place.ctn(&["manifest", "create", "--amend", "--insecure", &list, &second]);
    let flags = ["--os-version", "5", "--os-features", "a,b", "--variant", "v9"];
    place.ctn(&[&["manifest", "annotate"], &flags[..], &[&list, &second]].concat());
    let entry = |made: &Made, platform: Value| {
        let mut entry = made.manifest_blob().descriptor();
        entry["platform"] = platform;
        entry
    };
    let expected = json!([
        entry(&one, json!({"architecture": "amd64", "os": "linux"})),
        entry(
            &other,
            json!({"architecture": "arm64", "os": "linux", "variant": "v9", "os.version": "5", "os.features": ["a", "b"]})
        ),
    ]);
    assert_eq!(inspected(&place, &[&list])["manifests"], expected);
    // Nothing of it is an image here.
    assert_eq!(place.ctn(&["images", "-q"]), "");
    assert_eq!(inspected(&place, &[&list, &second]), other.manifest);

    let digest = place.ctn(&["manifest", "push", "--purge", &list]);
    {
        let contents = registry.contents();
        let there = &contents.repositories["all"];
        assert_eq!(format!("{}\n", there.tags["1"]), digest);
        let (kind, bytes) = &there.manifests[&there.tags["1"]];
        assert_eq!(
            (kind.as_str(), &serde_json::from_slice::<Value>(bytes).unwrap()["manifests"]),
            (OCI_INDEX, &expected)
        );
        for made in [&one, &other] {
            assert!(there.manifests.contains_key(&made.manifest_blob().digest()));
            assert!(made.layers.iter().all(|layer| there.blobs.contains_key(&layer.digest())));
        }
    }
    assert_eq!(registry.count("PATCH"), 0, "a blob was sent that could be mounted");
    // Gone here, and whole there.
    assert!(place.refusal(&["manifest", "rm", &list]).contains("No such manifest"));
    place.ctn(&["pull", "--platform", "linux/amd64", &list]);
    assert_eq!(place.ctn(&["inspect", "--platform", "linux/amd64", "-f", "{{.Id}}", &list]), one.id() + "\n");
}

#[test]
fn what_is_not_mounted_is_sent() {
    let (registry, one, _) = with_two(false);
    let place = Place::new();
    let list = registry.name("all:1");
    place.ctn(&["manifest", "create", &list, &registry.name("one:1")]);
    place.ctn(&["manifest", "push", &list]);
    let contents = registry.contents();
    assert!(one.layers.iter().all(|layer| contents.repositories["all"].blobs[&layer.digest()] == layer.bytes));
    drop(contents);
    place.ctn(&["manifest", "rm", &list]);
}

#[test]
fn what_can_be_no_list_is_refused() {
    let (registry, ..) = with_two(true);
    let place = Place::new();
    let (list, first) = (registry.name("all:1"), registry.name("one:1"));
    let refused = |arguments: &[&str], words: &str| {
        let said = place.refusal(&[&["manifest"], arguments].concat());
        assert!(said.contains(words), "{arguments:?}: {said}");
    };
    refused(&["create", &list, &registry.name("nonesuch:1")], "nonesuch:1");
    refused(&["push", &list], "No such manifest");
    refused(&["annotate", "--arch", "arm", &list, &first], "No such manifest");
    place.ctn(&["manifest", "create", &list, &first]);
    refused(&["annotate", "--arch", "arm", &list, &registry.name("other:1")], "does not exist in");
    refused(&["inspect", &list, &registry.name("other:1")], "No such manifest");
    place.ctn(&["manifest", "push", &list]);
    refused(&["create", &registry.name("more:1"), &list], "is a manifest list");
    place.ctn(&["manifest", "create", &format!("{NOBODY}/all:1"), &first]);
    refused(&["push", &format!("{NOBODY}/all:1")], "cannot use source images from a different registry");
}

/// Otherwise what `create --amend` adds between its reading and its writing would come to a list that was said to be gone.
#[test]
fn a_list_is_forgotten_while_nobody_changes_it() {
    let (registry, ..) = with_two(true);
    let place = Place::new();
    let (list, first) = (registry.name("all:1"), registry.name("one:1"));
    place.ctn(&["manifest", "create", &list, &first]);
    let held = std::fs::File::open(place.store().join("lock")).unwrap();
    rustix::fs::flock(&held, rustix::fs::FlockOperation::LockExclusive).unwrap();
    let mut removal = place.command(&["manifest", "rm", &list]).spawn().unwrap();
    wait_for_lock(&mut removal);
    assert_eq!(inspected(&place, &[&list])["manifests"].as_array().unwrap().len(), 1);
    drop(held);
    assert!(removal.wait().unwrap().success());
    assert!(place.refusal(&["manifest", "rm", &list]).contains("No such manifest"));
}
