//! Lists of tags, page by page.

use super::*;

fn with_tags(count: usize, fault: impl Fn(&Request, Answer) -> Option<Answer> + Send + Sync + 'static) -> Registry {
    let image = Made::small("app:1");
    let registry = Registry::with(fault);
    for number in 0..count {
        registry.contents().add("app", &format!("v{number:02}"), &image);
    }
    registry
}

fn all(count: usize) -> String {
    (0..count).map(|number| format!("v{number:02}\n")).collect()
}

fn tags(registry: &Registry) -> String {
    Place::new().ctn(&["image", "tags", "--format", "{{.Tag}}", &registry.name("app")])
}

#[test]
fn all_pages_are_read() {
    let registry = with_tags(11, |_, answer| Some(answer));
    registry.contents().page = Some(3);
    assert_eq!(tags(&registry), all(11));
    assert_eq!(registry.count("GET /v2/app/tags/list"), 4);
    let whole = with_tags(11, |_, answer| Some(answer));
    assert_eq!(tags(&whole), all(11));
}

#[test]
fn all_of_them_are_pulled_and_pushed() {
    let registry = with_tags(3, |_, answer| Some(answer));
    registry.contents().page = Some(2);
    let place = Place::new();
    place.ctn(&["pull", "--all-tags", &registry.name("app")]);
    assert_eq!(place.ctn(&["images", "--format", "{{.Tag}}"]).lines().count(), 3);
    let other = Registry::new();
    for tag in ["v00", "v01"] {
        place.ctn(&["tag", &registry.name(&format!("app:{tag}")), &other.name(&format!("app:{tag}"))]);
    }
    place.ctn(&["push", "--all-tags", &other.name("app")]);
    let contents = other.contents();
    assert_eq!(contents.repositories["app"].tags.keys().collect::<Vec<_>>(), ["v00", "v01"]);
}

#[test]
fn the_next_page_may_be_named_in_full() {
    let registry = with_tags(5, |request, answer| {
        let host = request.header("host").unwrap_or_default().to_owned();
        let link = answer.headers.iter().find(|(name, _)| name == "Link").map(|(_, value)| value.clone());
        Some(match link {
            Some(link) => answer.with("Link", link.replace("</", &format!("<http://{host}/"))),
            None => answer,
        })
    });
    registry.contents().page = Some(2);
    assert_eq!(tags(&registry), all(5));
}

#[test]
fn pages_without_end_are_refused() {
    let registry = with_tags(3, |_, answer| Some(answer.with("Link", "</v2/app/tags/list?n=3&last=>; rel=\"next\"")));
    let output = Place::new().call(&["image", "tags", &registry.name("app")]);
    assert!(registry.requests().len() < 2000, "{} requests", registry.requests().len());
    assert!(output.status.success() || String::from_utf8_lossy(&output.stderr).contains("app"), "{output:?}");
}

#[test]
fn no_tags_and_no_repository() {
    let registry = with_tags(1, |request, answer| {
        let empty = Answer::new(200, "{\"name\":\"empty\",\"tags\":null}").with("Content-Type", "application/json");
        Some(if request.path.contains("/empty/") { empty } else { answer })
    });
    let place = Place::new();
    place.ctn(&["image", "tags", &registry.name("empty")]);
    let said = place.refusal(&["image", "tags", &registry.name("none")]);
    assert!(said.contains("repository name not known") || said.contains("name unknown"), "{said}");
}
