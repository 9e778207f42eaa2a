//! Mirrors, as containers' registries.conf names them.

use std::process::Output;

use serde_json::json;

use super::tokens::authorization;
use super::*;

/// Pulls `example.org/app:1`, which is at the first registry, by way of the mirrors.
fn pull(place: &Place, at: SocketAddr, mirrors: &[SocketAddr], rest: &str) -> Output {
    let mut text = format!("[[registry]]\nprefix = \"example.org\"\nlocation = \"{at}\"\n{rest}\n");
    for mirror in mirrors {
        text += &format!("[[registry.mirror]]\nlocation = \"{mirror}\"\ninsecure = true\n");
    }
    let path = place.write("registries.conf", text);
    let mut command = place.command(&["pull", "example.org/app:1"]);
    command.env("CONTAINERS_REGISTRIES_CONF", path).env("DOCKER_CONFIG", place.join("docker")).output().unwrap()
}

#[test]
fn a_mirror_is_asked_first_and_alone_if_it_has_the_image() {
    let image = big();
    let (own, mirror) = (Registry::new(), with_image(&image, |_, answer| Some(answer)));
    let place = Place::new();
    succeeded(&pull(&place, own.address, &[mirror.address], ""), "pull");
    assert_pulled(&place, "example.org/app:1", &image);
    assert_eq!(own.requests().len(), 0);
}

#[test]
fn what_mirrors_do_not_have_or_have_wrong_comes_from_the_registry() {
    let image = big();
    let own = with_image(&image, |_, answer| Some(answer));
    let gone = NOBODY.parse().unwrap();
    let empty = Registry::new();
    let broken = Registry::with(|_, _| Some(Answer::error(500, "UNKNOWN", "broken").with("Retry-After", "0")));
    let place = Place::new();
    succeeded(&pull(&place, own.address, &[gone, empty.address, broken.address], ""), "pull");
    assert_pulled(&place, "example.org/app:1", &image);
    assert!(!empty.requests().is_empty() && !broken.requests().is_empty());
}

#[test]
fn a_mirror_is_not_told_who_one_is_elsewhere() {
    let image = Made::small("app:1");
    let mirror = with_image(&image, |request, _| {
        let who = Answer::error(401, "UNAUTHORIZED", "authentication required");
        Some(who.with("WWW-Authenticate", format!("Basic realm=\"{request}\"")))
    });
    let own = with_image(&image, |request, answer| {
        let who = Answer::error(401, "UNAUTHORIZED", "authentication required");
        let known = authorization(request) == "Basic dXNlcjpzZWNyZXQ=";
        Some(if known { answer } else { who.with("WWW-Authenticate", "Basic realm=\"own\"") })
    });
    let place = Place::new();
    let auth = json!({"auth": "dXNlcjpzZWNyZXQ="});
    let auths = json!({"auths": {"example.org": auth, own.address.to_string(): auth}});
    place.write("docker/config.json", auths.to_string());
    succeeded(&pull(&place, own.address, &[mirror.address], ""), "pull");
    assert_pulled(&place, "example.org/app:1", &image);
    assert!(!mirror.requests().is_empty());
    for request in mirror.requests() {
        assert_eq!(authorization(&request), "", "{request}");
    }
}

#[test]
fn what_is_blocked_is_not_asked() {
    let own = with_image(&Made::small("app:1"), |_, answer| Some(answer));
    let output = pull(&Place::new(), own.address, &[], "blocked = true");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success() && said.contains("example.org") && said.contains("blocked"), "{said}");
    assert_eq!(own.requests().len(), 0);
}

#[test]
fn a_mirror_for_digests_is_not_asked_for_tags() {
    let image = Made::small("app:1");
    let (own, mirror) = (with_image(&image, |_, answer| Some(answer)), with_image(&image, |_, answer| Some(answer)));
    let place = Place::new();
    succeeded(&pull(&place, own.address, &[mirror.address], "mirror-by-digest-only = true"), "pull");
    assert_eq!(mirror.count("GET /v2/app/manifests/1") + mirror.count("HEAD /v2/app/manifests/1"), 0);
}
