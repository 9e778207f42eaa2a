//! What is pulled from a registry without faults, and what is asked for it.

use serde_json::json;

use super::*;

#[test]
fn an_image_comes_whole_and_everything_is_asked_for_once() {
    let image = big();
    let registry = with_image(&image, |_, answer| Some(answer));
    let place = Place::new();
    let name = registry.name("app:1");
    place.ctn(&["pull", &name]);
    assert_pulled(&place, &name, &image);
    let asked: Vec<String> = registry.requests().iter().map(Request::to_string).collect();
    for layer in &image.layers {
        assert_eq!(registry.count(&format!("GET {}", blob(&layer.digest()))), 1, "{asked:?}");
    }
    assert_eq!(registry.count(&format!("GET {}", blob(&image.config_blob().digest()))), 1, "{asked:?}");
    for request in registry.requests().iter().filter(|request| request.path.contains("/manifests/")) {
        let accepted = request.header("accept").unwrap_or_default();
        for media_type in [
            OCI_MANIFEST,
            OCI_INDEX,
            "application/vnd.docker.distribution.manifest.v2+json",
            "application/vnd.docker.distribution.manifest.list.v2+json",
        ] {
            assert!(accepted.contains(media_type), "{media_type} is not in {accepted}");
        }
    }
    // What is there already is not asked for again.
    place.ctn(&["pull", &name]);
    assert_eq!(registry.count("GET /v2/app/blobs/"), 3);
    let garbage = place.ctn(&["image", "prune", "-f"]);
    assert!(garbage.contains("Total reclaimed space: 0B"), "{garbage}");
}

#[test]
fn quiet_is_one_line() {
    let image = Made::small("app:1");
    let registry = with_image(&image, |_, answer| Some(answer));
    let place = Place::new();
    let output = place.call(&["pull", "--quiet", &registry.name("app:1")]);
    assert_eq!(succeeded(&output, "pull"), image.id() + "\n");
    assert_eq!(String::from_utf8_lossy(&output.stderr), "");
}

#[test]
fn a_digest_is_pulled_and_nothing_else_under_its_name() {
    let image = Made::small("app:1");
    let registry = with_image(&image, |_, answer| Some(answer));
    let place = Place::new();
    let digest = image.manifest_blob().digest();
    let name = registry.name(&format!("app@{digest}"));
    place.ctn(&["pull", &name]);
    assert_pulled(&place, &name, &image);
    // With both, the digest is what counts.
    let other = Made::new("app:1", &[vec![file("other", "x")]]);
    registry.contents().add("app", "1", &other);
    let second = Place::new();
    let both = registry.name(&format!("app:1@{digest}"));
    second.ctn(&["pull", &both]);
    assert_eq!(second.ctn(&["images", "-q", "--no-trunc"]), image.id() + "\n");
    let none = registry.name(&format!("app@{}", Digest::of(b"none")));
    assert_refused(&place, "an unknown digest", &["pull", &none], &[&none, "manifest unknown"]);
}

fn index_of(registry: &Registry, images: &[(&str, &Made)]) -> Vec<u8> {
    let manifests = images.iter().map(|(platform, image)| {
        let mut descriptor = image.manifest_blob().descriptor();
        let mut parts = platform.split('/');
        descriptor["platform"] = json!({"os": parts.next(), "architecture": parts.next()});
        descriptor
    });
    let index = json!({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": manifests.collect::<Vec<_>>()});
    let bytes = index.to_string().into_bytes();
    let mut contents = registry.contents();
    for (platform, image) in images {
        contents.add("app", &platform.replace('/', "-"), image);
    }
    contents.repository("app").tag("1", OCI_INDEX, bytes.clone());
    bytes
}

#[test]
fn of_an_index_the_platform_that_is_wanted_comes_and_no_other() {
    let of = |architecture: &str| {
        let mut image = Made::new("app:1", &[vec![file("for", architecture)]]);
        image.config["architecture"] = json!(architecture);
        image.seal();
        image
    };
    let (own, foreign) = (of(std::env::consts::ARCH), of("s390x"));
    let registry = Registry::new();
    let attestation = Made::new("x", &[vec![file("attestation", "x")]]);
    let own_platform = format!("linux/{}", std::env::consts::ARCH);
    let index =
        index_of(&registry, &[("unknown/unknown", &attestation), ("linux/s390x", &foreign), (&own_platform, &own)]);
    let name = registry.name("app:1");
    let place = Place::new();
    place.ctn(&["pull", &name]);
    assert_eq!(place.ctn(&["images", "-q", "--no-trunc"]), own.id() + "\n");
    assert_eq!(place.ctn(&["manifest", "inspect", &name]).as_bytes(), index);
    assert_eq!(registry.count(&format!("GET {}", blob(&foreign.layers[0].digest()))), 0);
    let second = Place::new();
    second.ctn(&["pull", "--platform", "linux/s390x", &name]);
    assert_eq!(registry.count(&format!("GET {}", blob(&foreign.layers[0].digest()))), 1);
    assert_eq!(registry.count(&format!("GET {}", blob(&own.layers[0].digest()))), 1);
    assert_refused(
        &Place::new(),
        "a platform that isn't there",
        &["pull", "--platform", "linux/riscv64", &name],
        &[&name, "linux/riscv64"],
    );
}

#[test]
fn what_is_shared_with_another_image_is_not_fetched_again() {
    let one = Made::new("app:1", &[big_layer(1), vec![file("top", "1")]]);
    let two = Made::new("app:2", &[big_layer(1), vec![file("top", "2")]]);
    let registry = with_image(&one, |_, answer| Some(answer));
    registry.contents().add("app", "2", &two);
    let place = Place::new();
    place.ctn(&["pull", &registry.name("app:1")]);
    place.ctn(&["pull", &registry.name("app:2")]);
    assert_eq!(registry.count(&format!("GET {}", blob(&one.layers[0].digest()))), 1);
    assert_pulled(&place, &registry.name("app:2"), &two);
}

#[test]
fn media_types_of_docker_and_zstd_are_pulled() {
    let mut image = Made::small("app:1");
    image.layers[0] =
        Blob { media_type: "application/vnd.docker.image.rootfs.diff.tar.gzip", ..image.layers[0].clone() };
    image.seal();
    let docker = "application/vnd.docker.distribution.manifest.v2+json";
    image.manifest["mediaType"] = json!(docker);
    image.manifest["config"]["mediaType"] = json!("application/vnd.docker.container.image.v1+json");
    let registry = Registry::new();
    registry.contents().add("app", "1", &image);
    registry.contents().repository("app").tag("1", docker, image.manifest_blob().bytes);
    let place = Place::new();
    place.ctn(&["pull", &registry.name("app:1")]);
    assert_eq!(place.ctn(&["images", "-q", "--no-trunc"]), image.id() + "\n");
    place.ctn(&["unpack", &registry.name("app:1"), "bundle"]);
    assert_eq!(fs::read_to_string(place.join("bundle/rootfs/etc/two")).unwrap(), "2");
}
