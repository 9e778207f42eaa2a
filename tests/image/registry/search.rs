//! What registries find, and files of the web.

use serde_json::json;

use super::*;

#[test]
fn a_registry_is_searched() {
    let registry = Registry::with(|request, answer| {
        if request.path != "/v1/search" {
            return Some(answer);
        }
        assert_eq!((request.asks("q"), request.asks("n")), (Some("web server"), Some("3")));
        let results = json!([
            {"name": "one", "description": "a\u{1b}[31m short\none", "star_count": 7, "is_official": true},
            {"name": "team/two", "description": "x".repeat(60), "star_count": 3},
            {"name": "three", "description": null, "star_count": 0},
        ]);
        Some(Answer::new(200, json!({"num_results": 3, "results": results}).to_string()))
    });
    let place = Place::new();
    let term = registry.name("web server");
    let search = |flags: &[&str]| place.ctn(&[&["search", "--limit", "3"], flags, &[&term]].concat());
    let table = search(&[]);
    let lines: Vec<&str> = table.lines().map(str::trim_end).collect();
    assert_eq!(lines[0].split_whitespace().collect::<Vec<_>>(), ["NAME", "DESCRIPTION", "STARS", "OFFICIAL"]);
    assert!(lines[1].starts_with(&registry.name("one")) && lines[1].contains("a [31m short one"), "{table}");
    assert!(lines[1].ends_with("7         [OK]") && lines[2].contains(&format!("{}…", "x".repeat(44))), "{table}");
    assert_eq!(
        search(&["-f", "stars=3", "-f", "is-official=false", "--format", "{{.Name}}"]),
        registry.name("team/two\n")
    );
    assert!(search(&["--no-trunc"]).contains(&"x".repeat(60)));
    for (arguments, words) in [
        (&["search", "--limit", "101", "x"][..], "outside the range"),
        (&["search", "-f", "x=y", "x"], "invalid filter 'x'"),
        (&["search", &format!("{NOBODY}/x")], "nobody answers"),
    ] {
        assert!(place.refusal(arguments).contains(words), "{arguments:?}");
    }
}

#[test]
fn an_archive_is_imported_from_the_web() {
    let archive = gzip(&tar(&[file("of-the-web", "here")]));
    let registry = Registry::with(move |request, answer| match request.path.as_str() {
        "/moved" => Some(Answer::new(302, "").with("Location", "/files/root.tar.gz")),
        "/files/root.tar.gz" => Some(Answer::new(200, archive.clone())),
        _ => Some(answer),
    });
    let place = Place::new();
    place.ctn(&["import", &format!("http://{}/moved", registry.address), "web:1"]);
    place.ctn(&["unpack", "web:1", "bundle"]);
    assert_eq!(std::fs::read_to_string(place.join("bundle/rootfs/of-the-web")).unwrap(), "here");
    let address = format!("http://{}/nonesuch", registry.address);
    assert!(place.refusal(&["import", &address, "web:2"]).contains("404"));
}
