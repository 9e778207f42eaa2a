//! Registries that say what isn't so: the error names image and layer, and the store is as before.

use serde_json::json;

use super::*;

#[track_caller]
fn refused(
    what: &str,
    image: &Made,
    fault: impl Fn(&Request, Answer) -> Option<Answer> + Send + Sync + 'static,
    wanted: &[&str],
) {
    let registry = with_image(image, fault);
    let name = registry.name("app:1");
    let place = Place::new();
    place.ctn(&["load", "-i", &Made::small("good:1").archive(&place, "good")]);
    let wanted: Vec<&str> = wanted.iter().copied().chain([&name[..]]).collect();
    assert_refused(&place, what, &["pull", &name], &wanted);
}

fn only(path: String, change: impl Fn(Vec<u8>) -> Body + Send + Sync) -> impl Fn(&Request, Answer) -> Option<Answer> {
    move |request, answer| Some(if request.path == path { answer.body(&change) } else { answer })
}

#[test]
fn content_that_is_not_what_its_digest_says() {
    let image = big();
    let digest = image.layers[0].digest();
    let layer = format!("layer {digest}");
    // The time in gzip's header: what is inside is as it should be.
    let flipped = |at: usize| {
        move |mut bytes: Vec<u8>| {
            bytes[at] ^= 1;
            Body::Whole(bytes)
        }
    };
    refused("a layer", &image, only(blob(&digest), flipped(4)), &[&layer, "the content is sha256:"]);
    refused("what is in a layer", &image, only(blob(&digest), flipped(100_000)), &[&layer]);
    // Right until its last byte, so that all of it was unpacked.
    let last = |mut bytes: Vec<u8>| {
        bytes.extend([0; 100]);
        Body::Whole(bytes)
    };
    refused("a layer that is too long", &image, only(blob(&digest), last), &[&layer, "are declared"]);
    let short = |bytes: Vec<u8>| Body::Whole(bytes[..bytes.len() - 8].to_vec());
    refused("a layer that is too short", &image, only(blob(&digest), short), &[&layer]);
    let config = image.config_blob().digest();
    let other = |bytes: Vec<u8>| Body::Whole(vec![b' '; bytes.len()]);
    refused("a configuration", &image, only(blob(&config), other), &[&config.to_string()]);
}

#[test]
fn a_manifest_that_is_not_what_its_digest_says() {
    let (image, other) = (Made::small("app:1"), Made::new("app:1", &[vec![file("other", "x")]]));
    let digest = image.manifest_blob().digest();
    let bytes = other.manifest_blob().bytes;
    let registry = with_image(&image, move |request, answer| {
        Some(if request.path.contains("/manifests/") { answer.body(|_| Body::Whole(bytes.clone())) } else { answer })
    });
    registry.contents().add("app", "2", &other);
    let name = registry.name(&format!("app@{digest}"));
    assert_refused(&Place::new(), "a manifest", &["pull", &name], &[&name, "is declared"]);
}

#[test]
fn layers_that_are_missing() {
    let image = big();
    let digest = image.layers[1].digest();
    let path = blob(&digest);
    refused(
        "a missing layer",
        &image,
        move |request, answer| {
            Some(if request.path == path { Answer::error(404, "BLOB_UNKNOWN", "blob unknown") } else { answer })
        },
        &[&format!("layer {digest}"), "blob unknown"],
    );
    // Nothing is downloaded of an image that can't be complete.
    let mut count = image.clone();
    count.config["rootfs"]["diff_ids"] = json!([]);
    count.seal();
    refused("layer count", &count, |_, answer| Some(answer), &["the manifest has 2 layers, and the configuration 0"]);
}

#[test]
fn a_registry_that_is_none() {
    const PAGE: &str = "<!DOCTYPE html><html><body>It works!</body></html>";
    for (status, content_type) in
        [(200, "text/html"), (404, "text/html"), (200, "application/json"), (403, "text/html")]
    {
        refused(
            "a web server",
            &Made::small("app:1"),
            move |_, _| Some(Answer::new(status, PAGE).with("Content-Type", content_type)),
            &[],
        );
    }
    let place = Place::new();
    let registry = Registry::with(|_, _| Some(Answer::new(200, PAGE).with("Content-Type", "text/html")));
    let said = assert_refused(&place, "a page", &["pull", &registry.name("app:1")], &[]);
    assert!(said.contains("is no registry"), "{said}");
    assert_refused(&place, "tags", &["image", "tags", &registry.name("app")], &[&registry.name("app")]);
    assert_refused(&place, "nobody", &["pull", &format!("{NOBODY}/app:1")], &["connection refused"]);
}

#[test]
fn an_image_that_is_not_there() {
    let registry = with_image(&Made::small("app:1"), |_, answer| Some(answer));
    for name in ["app:2", "other:1"] {
        let name = registry.name(name);
        assert_refused(&Place::new(), "unknown", &["pull", &name], &[&name, "manifest unknown"]);
    }
}

#[test]
fn a_manifest_under_another_type() {
    let says = |content_type: &'static str| {
        move |request: &Request, answer: Answer| {
            let manifest = request.path.contains("/manifests/");
            Some(if manifest { answer.with("Content-Type", content_type) } else { answer })
        }
    };
    refused("an index", &Made::small("app:1"), says(OCI_INDEX), &["was declared"]);
    refused("docker's", &Made::small("app:1"), says("application/vnd.docker.distribution.manifest.v1+json"), &[]);
    let mut both = Made::small("app:1");
    both.manifest["manifests"] = json!([]);
    refused("two readings", &both, |_, answer| Some(answer), &["ambiguous"]);
    // What a type has behind it doesn't matter.
    let image = Made::small("app:1");
    let registry = with_image(&image, says("application/vnd.oci.image.manifest.v1+json; charset=utf-8"));
    let place = Place::new();
    place.ctn(&["pull", &registry.name("app:1")]);
    assert_pulled(&place, &registry.name("app:1"), &image);
}

#[test]
fn redirects_to_where_nobody_should_go() {
    let image = Made::small("app:1");
    let path = blob(&image.layers[0].digest());
    for target in ["file:///etc/passwd", "gopher://127.0.0.1/x", "", "http://", "/v2/loop"] {
        let path = path.clone();
        let goes = move |request: &Request, answer: Answer| {
            let leads = request.path == path || request.path == "/v2/loop";
            Some(if leads { Answer::new(307, "").with("Location", target) } else { answer })
        };
        let registry = with_image(&image, goes);
        let name = registry.name("app:1");
        assert_refused(&Place::new(), target, &["pull", &name], &[&name, &image.layers[0].digest().to_string()]);
        assert!(registry.requests().len() < 60, "{target}: it went round and round");
    }
}

#[test]
fn no_space_left() {
    let place = Place::new();
    let store = place.store();
    fs::create_dir(&store).unwrap();
    run("mount", ["-t", "tmpfs", "-o", "size=2m", "tmpfs", store.to_str().unwrap()]);
    place.ctn(&["load", "-i", &Made::small("good:1").archive(&place, "good")]);
    let before = place.snapshot();
    let huge = Made::new("app:1", &[vec![file("small", "x")], vec![bytes("huge", noise(3, 4 << 20))]]);
    let bomb = Made::new("app:2", &[vec![file("dir/huge", &"\0".repeat(4 << 20))]]);
    let registry = with_image(&huge, |_, answer| Some(answer));
    registry.contents().add("app", "2", &bomb);
    let said = ["app:1", "app:2"].map(|name| place.refusal(&["pull", &registry.name(name)]));
    let after = place.snapshot();
    run("umount", [store.to_str().unwrap()]);
    let layer = format!("layer {}", huge.layers[1].digest());
    assert!(said[0].contains(&layer) && said[0].contains(&registry.name("app:1")), "{}", said[0]);
    assert!(said[1].contains("entry \"dir/huge\": its 4194304 bytes don't fit"), "{}", said[1]);
    assert_eq!(after, before);
}

#[test]
fn a_store_that_can_not_be_written() {
    let place = Place::new();
    place.ctn(&["load", "-i", &Made::small("good:1").archive(&place, "good")]);
    let registry = with_image(&Made::small("app:1"), |_, answer| Some(answer));
    let store = place.store();
    let store = store.to_str().unwrap();
    run("mount", ["--bind", store, store]);
    run("mount", ["-o", "remount,bind,ro", store]);
    let pull = place.call(&["pull", &registry.name("app:1")]);
    run("umount", [store]);
    let said = String::from_utf8_lossy(&pull.stderr).into_owned();
    assert!(!pull.status.success() && said.contains("read-only file system"), "{said}");
    for layer in &Made::small("app:1").layers {
        assert_eq!(registry.count(&format!("GET {}", blob(&layer.digest()))), 0, "it downloaded what it can't keep");
    }
}

#[test]
fn entries_are_named_with_their_layer_and_image() {
    let image = Made::new("app:1", &[vec![file("a/.wh.", "")]]);
    let layer = format!("layer {}", image.layers[0].digest());
    refused("a whiteout of nothing", &image, |_, answer| Some(answer), &[&layer, "entry \"a/.wh.\""]);
}
