//! Pushing: what is sent, what isn't sent again, and what happens when it breaks off.

use std::io::Write;
use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::{Value, json};

use super::*;

fn loaded(image: &Made) -> Place {
    let place = Place::new();
    place.ctn(&["load", "-i", &image.archive(&place, "in")]);
    place
}

/// What was loaded is pushed under a name in the registry.
fn push(place: &Place, registry: &Registry, name: &str) -> std::process::Output {
    place.ctn(&["tag", "app:1", &registry.name(name)]);
    place.call(&["push", &registry.name(name)])
}

#[track_caller]
fn assert_there(registry: &Registry, repository: &str, tag: &str, image: &Made) {
    let contents = registry.contents();
    let there = &contents.repositories[repository];
    assert_eq!(there.tags[tag], image.manifest_blob().digest());
    assert_eq!(there.manifests[&there.tags[tag]], (OCI_MANIFEST.to_owned(), image.manifest_blob().bytes));
    for blob in image.layers.iter().chain([&image.config_blob()]) {
        assert_eq!(there.blobs[&blob.digest()], blob.bytes);
    }
}

#[test]
fn an_image_is_sent_byte_for_byte_and_once() {
    let image = big();
    let registry = Registry::new();
    let place = loaded(&image);
    succeeded(&push(&place, &registry, "app:1"), "push");
    assert_there(&registry, "app", "1", &image);
    // The tag comes last.
    let requests = registry.requests();
    assert_eq!(requests.last().unwrap().to_string(), "PUT /v2/app/manifests/1");
    assert_eq!(registry.contents().unfinished(), 0);
    let before = registry.count("POST");
    succeeded(&push(&place, &registry, "app:2"), "push");
    assert_eq!(registry.count("POST"), before, "what is there was sent again");
    assert_there(&registry, "app", "2", &image);
    let other = Place::new();
    other.ctn(&["pull", &registry.name("app:2")]);
    assert_pulled(&other, &registry.name("app:2"), &image);
}

#[test]
fn what_another_repository_has_is_mounted() {
    let image = big();
    let registry = with_image(&image, |_, answer| Some(answer));
    let place = Place::new();
    place.ctn(&["pull", &registry.name("app:1")]);
    place.ctn(&["tag", &registry.name("app:1"), &registry.name("other:1")]);
    place.ctn(&["push", &registry.name("other:1")]);
    assert_there(&registry, "other", "1", &image);
    let requests = registry.requests();
    let mounts =
        requests.iter().filter(|request| request.asks("mount").is_some() && request.asks("from") == Some("app"));
    assert!(mounts.count() >= image.layers.len(), "{requests:?}");
    assert_eq!(registry.count("PATCH"), 0, "a layer was sent that could be mounted");
}

/// A registry that doesn't mount says where to send it instead.
#[test]
fn a_mount_that_is_refused_is_an_upload() {
    let image = big();
    let registry = with_image(&image, |_, answer| Some(answer));
    let place = Place::new();
    place.ctn(&["pull", &registry.name("app:1")]);
    let none = Registry::new();
    place.ctn(&["tag", &registry.name("app:1"), &none.name("other:1")]);
    place.ctn(&["push", &none.name("other:1")]);
    assert_there(&none, "other", "1", &image);
    assert!(
        none.requests().iter().all(|request| request.asks("from").is_none()),
        "another host's blobs were asked for"
    );
}

#[test]
fn an_upload_that_breaks_off_goes_on() {
    let image = big();
    let bodies = AtomicUsize::new(0);
    // The connection ends in the middle of the first two.
    let cut = move |request: &Request| {
        let body = request.method == "PATCH" || request.method == "PUT" && request.path.contains("/uploads/");
        if body && bodies.fetch_add(1, Ordering::SeqCst) < 2 { 70 } else { usize::MAX >> 1 }
    };
    let registry = Registry::that_reads(cut);
    let place = loaded(&image);
    succeeded(&push(&place, &registry, "app:1"), "push");
    assert_there(&registry, "app", "1", &image);
}

#[test]
fn a_registry_that_can_take_nothing_is_given_up() {
    let image = big();
    let place = loaded(&image);
    for (what, status, code) in
        [("denied", 403, "DENIED"), ("full", 507, "UNKNOWN"), ("too large", 413, "SIZE_INVALID")]
    {
        let registry = Registry::with(move |request, answer| {
            Some(if request.method == "PATCH" || request.method == "PUT" {
                Answer::error(status, code, what)
            } else {
                answer
            })
        });
        let output = push(&place, &registry, "app:1");
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(!output.status.success() && said.contains(what) && said.contains(&registry.name("app:1")), "{said}");
        assert!(registry.requests().len() < 40, "{what}: {} requests", registry.requests().len());
        assert!(registry.contents().repositories.get("app").is_none_or(|known| known.tags.is_empty()));
    }
}

#[test]
fn locations_are_followed_as_they_are() {
    let image = Made::small("app:1");
    let registry = Registry::with(|request, answer| {
        let host = request.header("host").unwrap_or_default().to_owned();
        let location = answer.headers.iter().find(|(name, _)| name == "Location").map(|(_, value)| value.clone());
        Some(match location {
            // In full, and with a state that has to come back.
            Some(location) if location.contains("/uploads/") => {
                answer.with("Location", format!("http://{host}{location}&_state=a%2Bb%3D"))
            }
            _ => answer,
        })
    });
    let place = loaded(&image);
    succeeded(&push(&place, &registry, "app:1"), "push");
    assert_there(&registry, "app", "1", &image);
    let sent = registry.requests();
    for request in sent.iter().filter(|request| request.path.contains("/uploads/session")) {
        assert_eq!((request.asks("state"), request.asks("_state")), (Some("x"), Some("a+b=")), "{request}");
    }
}

/// What is lost in the middle of a large blob is no more than what had not arrived; the pieces are as large as the registry wants.
#[test]
fn large_blobs_go_in_pieces() {
    const LEAST: usize = 65 << 20;
    const ARRIVED: usize = 30 << 20;
    let mut image = Made::small("app:1");
    let archive = tar(&[bytes("large", noise(9, 16).repeat(66 << 16))]);
    image.config["rootfs"]["diff_ids"] = json!([Digest::of(&archive)]);
    // As large as before, and still what is sent as it is.
    let mut stored = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::none());
    stored.write_all(&archive).unwrap();
    image.layers = vec![Blob { media_type: OCI_GZIP, bytes: stored.finish().unwrap() }];
    image.seal();
    let cut = AtomicUsize::new(0);
    let registry = Registry::that_reads(move |request| {
        let first = request.method == "PATCH" && cut.fetch_add(1, Ordering::SeqCst) == 0;
        if first { ARRIVED } else { usize::MAX >> 1 }
    });
    registry.contents().least = Some(LEAST);
    let place = loaded(&image);
    succeeded(&push(&place, &registry, "app:1"), "push");
    assert_there(&registry, "app", "1", &image);
    let size = image.layers[0].bytes.len();
    let requests = registry.requests();
    let pieces = requests.iter().filter(|request| request.method == "PATCH");
    let ranges: Vec<&str> = pieces.map(|request| request.header("content-range").unwrap()).collect();
    assert_eq!(ranges, [format!("0-{}", LEAST - 1), format!("{ARRIVED}-{}", size - 1)]);
}

#[test]
fn what_refers_to_another_image_is_found_by_it() {
    let image = Made::small("app:1");
    let mut signature = Made::new("app:signature", &[vec![file("signature", "x")]]);
    signature.manifest["subject"] = image.manifest_blob().descriptor();
    signature.manifest["artifactType"] = json!("application/vnd.example.signature");
    signature.index();
    for has_referrers in [true, false] {
        let registry = with_image(&image, |_, answer| Some(answer));
        registry.contents().has_referrers = has_referrers;
        let place = Place::new();
        place.ctn(&["load", "-i", &signature.archive(&place, "in")]);
        place.ctn(&["tag", "app:signature", &registry.name("app:signature")]);
        place.ctn(&["push", &registry.name("app:signature")]);
        let list = place.ctn(&["manifest", "referrers", &registry.name("app:1")]);
        let list: Value = serde_json::from_str(&list).unwrap();
        assert_eq!(list["manifests"][0]["digest"], json!(signature.manifest_blob().digest()));
        assert_eq!(list["manifests"].as_array().map(Vec::len), Some(1));
        let contents = registry.contents();
        let tag = format!("sha256-{}", image.manifest_blob().digest().hex());
        let list = contents.repositories["app"].tags.get(&tag);
        assert_eq!(list.is_none(), has_referrers, "who has the API needs no tag, and who hasn't needs one");
        if let Some(list) = list {
            let index: Value = serde_json::from_slice(&contents.repositories["app"].manifests[list].1).unwrap();
            assert_eq!(index["manifests"][0]["digest"], json!(signature.manifest_blob().digest()));
            assert_eq!(index["manifests"][0]["artifactType"], "application/vnd.example.signature");
        }
    }
}

#[test]
fn an_index_is_sent_with_all_of_its_images_and_comes_last() {
    let (one, two) = (Made::small("app:1"), Made::new("app:1", &[big_layer(2)]));
    let list = |platform: &str, image: &Made| {
        let mut descriptor = image.manifest_blob().descriptor();
        descriptor["platform"] = json!({"os": "linux", "architecture": platform});
        descriptor
    };
    let manifests = [list("amd64", &one), list("arm64", &two)];
    let index = json!({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": manifests}).to_string().into_bytes();
    let index = Blob { media_type: OCI_INDEX, bytes: index };
    let mut files: Vec<_> = one.layout().into_iter().chain(two.layout()).collect();
    files.retain(|(entry, _)| entry.path.starts_with(b"blobs/") || entry.path == b"oci-layout");
    files.push(bytes(&format!("blobs/sha256/{}", index.digest().hex()), index.bytes.clone()));
    let mut entry = index.descriptor();
    entry["annotations"] = json!({"io.containerd.image.name": "app:1"});
    files.push(bytes("index.json", json!({"schemaVersion": 2, "manifests": [entry]}).to_string().into_bytes()));
    let place = Place::new();
    place.ctn(&["load", "-i", &place.write("in", tar(&files))]);
    let registry = Registry::new();
    succeeded(&push(&place, &registry, "app:1"), "push");
    let contents = registry.contents();
    let there = &contents.repositories["app"];
    assert_eq!(there.tags["1"], index.digest());
    assert_eq!(there.manifests[&index.digest()].1, index.bytes);
    for image in [&one, &two] {
        assert!(there.manifests.contains_key(&image.manifest_blob().digest()));
        assert!(image.layers.iter().all(|layer| there.blobs.contains_key(&layer.digest())));
    }
    drop(contents);
    assert_eq!(place.ctn(&["manifest", "inspect", "--remote", &registry.name("app:1")]).as_bytes(), index.bytes);
}

/// Archives of docker and podman have layers as they are unpacked.
#[test]
fn what_came_without_compression_is_sent_with() {
    let mut image = Made::small("app:1");
    let archive = tar(&[file("zeros", &"0".repeat(1 << 20))]);
    image.config["rootfs"]["diff_ids"] = json!([Digest::of(&archive)]);
    image.layers = vec![Blob { media_type: "application/vnd.oci.image.layer.v1.tar", bytes: archive }];
    image.seal();
    let registry = Registry::new();
    let place = loaded(&image);
    succeeded(&push(&place, &registry, "app:1"), "push");
    let sent: usize = registry.contents().repositories["app"].blobs.values().map(Vec::len).sum();
    assert!(sent < 64 << 10, "{sent} bytes");
    // Twice the same, or what is there would be sent again.
    succeeded(&push(&place, &registry, "app:2"), "push");
    let tags = registry.contents().repositories["app"].tags.clone();
    assert_eq!(tags["1"], tags["2"]);
    let other = Place::new();
    other.ctn(&["pull", &registry.name("app:1")]);
    assert_eq!(other.ctn(&["images", "-q", "--no-trunc"]), image.id() + "\n");
    other.ctn(&["unpack", &registry.name("app:1"), "bundle"]);
    assert_eq!(fs::metadata(other.join("bundle/rootfs/zeros")).unwrap().len(), 1 << 20);
}

#[test]
fn what_is_not_there_is_not_pushed() {
    let registry = Registry::new();
    let place = Place::new();
    let said = place.refusal(&["push", &registry.name("app:1")]);
    assert!(said.contains(&registry.name("app")), "{said}");
    assert_eq!(registry.requests().len(), 0);
}
