//! Tokens: where they are fetched, for what, how long they hold, and whom they are never shown to.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::json;

use super::*;

/// What a registry with tokens says to those without.
pub fn challenge(request: &Request, error: &str) -> Answer {
    let host = request.header("host").unwrap_or_default();
    let repository = request.path.trim_start_matches("/v2/").split('/').next().unwrap_or_default();
    let action = if request.method == "GET" || request.method == "HEAD" { "pull" } else { "pull,push" };
    let mut value =
        format!("Bearer realm=\"http://{host}/token\",service=\"tests\",scope=\"repository:{repository}:{action}\"");
    if !error.is_empty() {
        value += &format!(",error=\"{error}\"");
    }
    Answer::error(401, "UNAUTHORIZED", "authentication required").with("WWW-Authenticate", value)
}

pub fn token(token: &str) -> Answer {
    Answer::new(200, json!({"token": token, "expires_in": 300}).to_string()).with("Content-Type", "application/json")
}

pub fn authorization(request: &Request) -> &str {
    request.header("authorization").unwrap_or_default()
}

/// Pulls from a registry that takes the token `good`, which is given out so.
fn pulled_with(given: impl Fn() -> Answer + Send + Sync + 'static) -> Registry {
    let image = big();
    let registry = with_image(&image, move |request, answer| {
        Some(match (request.path.as_str(), authorization(request)) {
            ("/token", _) => given(),
            (_, "Bearer good") => answer,
            _ => challenge(request, ""),
        })
    });
    let place = Place::new();
    let name = registry.name("app:1");
    place.ctn(&["pull", &name]);
    assert_pulled(&place, &name, &image);
    registry
}

#[test]
fn a_token_is_fetched_when_it_is_asked_for_and_used_for_all() {
    let registry = pulled_with(|| token("good"));
    let requests = registry.requests();
    let tokens: Vec<&Request> = requests.iter().filter(|request| request.path == "/token").collect();
    assert_eq!(tokens.len(), 1);
    assert_eq!((tokens[0].asks("service"), tokens[0].asks("scope")), (Some("tests"), Some("repository:app:pull")));
    assert_eq!(authorization(tokens[0]), "");
    // Beside the question whether it speaks TLS.
    let without = requests.iter().filter(|request| authorization(request).is_empty() && request.path != "/v2/");
    assert_eq!(without.count(), 2);
}

/// Each token is good for two requests only; then it is refused as expired, blobs in the middle or not.
#[test]
fn tokens_that_expire_in_the_middle_are_fetched_anew() {
    let layers: Vec<_> = (0..6).map(|number| vec![file("name", &number.to_string())]).collect();
    let image = Made::new("app:1", &layers);
    let (tokens, uses) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let registry = with_image(&image, move |request, answer| {
        if request.path == "/token" {
            uses.store(0, Ordering::SeqCst);
            return Some(token(&format!("token-{}", tokens.fetch_add(1, Ordering::SeqCst))));
        }
        let newest = format!("Bearer token-{}", tokens.load(Ordering::SeqCst).wrapping_sub(1));
        if authorization(request).is_empty() {
            return Some(challenge(request, ""));
        }
        let good = authorization(request) == newest && uses.fetch_add(1, Ordering::SeqCst) < 4;
        Some(if good { answer } else { challenge(request, "invalid_token") })
    });
    let place = Place::new();
    let name = registry.name("app:1");
    place.ctn(&["pull", &name]);
    assert_pulled(&place, &name, &image);
    assert!((2..=8).contains(&registry.count("GET /token")), "{} tokens", registry.count("GET /token"));
}

/// The body breaks off, and what is left needs a new token.
#[test]
fn a_token_that_expires_between_two_parts_of_a_blob() {
    let image = big();
    let known = image.clone();
    let registry = with_image(&image, move |request, answer| {
        let resumed = is_for(request, &known) && request.from().is_some();
        Some(match (request.path.as_str(), authorization(request)) {
            ("/token", _) => token(if request.before == 0 { "first" } else { "second" }),
            (_, "Bearer first") if resumed => challenge(request, "invalid_token"),
            (_, "Bearer first") if is_for(request, &known) => answer.body(|bytes| Body::Cut(bytes, 100_000)),
            (_, "Bearer first" | "Bearer second") => answer,
            _ => challenge(request, ""),
        })
    });
    let place = Place::new();
    let name = registry.name("app:1");
    place.ctn(&["pull", &name]);
    assert_pulled(&place, &name, &image);
    assert_eq!(registry.count("GET /token"), 2);
}

#[test]
fn a_token_that_is_never_good_is_no_reason_to_ask_for_ever() {
    let registry = with_image(&Made::small("app:1"), |request, _| {
        Some(if request.path == "/token" { token("bad") } else { challenge(request, "invalid_token") })
    });
    let name = registry.name("app:1");
    assert_refused(&Place::new(), "a bad token", &["pull", &name], &[&name]);
    assert!(registry.requests().len() < 12, "{} requests", registry.requests().len());
}

#[test]
fn token_servers_that_are_none() {
    let long = Arc::new("x".repeat(20 << 20));
    type Says = Box<dyn Fn() -> Answer + Send + Sync>;
    let answers: Vec<(&str, Says)> = vec![
        ("a page", Box::new(|| Answer::new(200, "<html>"))),
        ("no token", Box::new(|| Answer::new(200, "{}"))),
        ("a refusal", Box::new(|| Answer::error(403, "DENIED", "requested access to the resource is denied"))),
        ("an endless one", Box::new(|| Answer::new(200, "").body(|_| Body::Endless(vec![b' '; 64 << 10])))),
        ("a long one", Box::new(move || token(&long))),
        ("a line end", Box::new(|| token("a\r\nX-Other: b"))),
    ];
    for (what, answer) in answers {
        let registry = with_image(&Made::small("app:1"), move |request, _| {
            Some(if request.path == "/token" { answer() } else { challenge(request, "") })
        });
        let name = registry.name("app:1");
        assert_refused(&Place::new(), what, &["pull", &name], &[&name]);
        assert!(registry.requests().iter().all(|request| request.header("x-other").is_none()), "{what}");
    }
}

#[test]
fn an_access_token_is_a_token_too() {
    let image = Made::small("app:1");
    let registry = with_image(&image, |request, answer| {
        Some(match (request.path.as_str(), authorization(request)) {
            ("/token", _) => Answer::new(200, "{\"access_token\":\"good\"}"),
            (_, "Bearer good") => answer,
            // Another scheme before it, as some registries have.
            _ => {
                let bearer = challenge(request, "");
                let value = bearer.headers.iter().find(|(name, _)| name == "WWW-Authenticate").unwrap().1.clone();
                bearer.with("WWW-Authenticate", format!("Negotiate, {value}"))
            }
        })
    });
    let place = Place::new();
    place.ctn(&["pull", &registry.name("app:1")]);
    assert_pulled(&place, &registry.name("app:1"), &image);
}

/// Blobs are elsewhere: whoever has them is shown neither token nor password, and where to go on with.
#[test]
fn a_redirect_to_another_host_takes_no_credentials_along() {
    let image = big();
    let known = image.clone();
    let storage = with_image(&image, move |request, answer| {
        let cut = is_for(request, &known) && request.before == 0;
        Some(if cut { answer.body(|bytes| Body::Cut(bytes, 100_000)) } else { answer })
    });
    // Another port is another host, and so is another name.
    let port = storage.address.port();
    let count = AtomicUsize::new(0);
    let registry = with_image(&image, move |request, answer| {
        if request.path == "/token" {
            return Some(token("secret"));
        }
        if authorization(request) != "Bearer secret" {
            return Some(challenge(request, ""));
        }
        let host = ["127.0.0.1", "localhost"][count.fetch_add(1, Ordering::SeqCst) % 2];
        let target = format!("http://{host}:{port}{}?signature=abc%2Fdef", request.path);
        Some(if request.path.contains("/blobs/") { Answer::new(307, "").with("Location", target) } else { answer })
    });
    let place = Place::new();
    let name = registry.name("app:1");
    place.ctn(&["pull", &name]);
    assert_pulled(&place, &name, &image);
    let there = storage.requests();
    assert!(there.len() >= 4);
    for request in &there {
        assert_eq!(authorization(request), "", "{request}");
        assert_eq!(request.header("cookie"), None);
        assert_eq!(request.asks("signature"), Some("abc/def"));
    }
    assert!(there.iter().any(|request| request.from() == Some(100_000)), "the rest was not asked for alone");
}

/// A clock that is wrong must not make it ask before every request without end.
#[test]
fn a_token_that_was_issued_long_ago_is_tried() {
    let registry = pulled_with(|| {
        let body = json!({"token": "good", "expires_in": 60, "issued_at": "2020-01-01T00:00:00Z"});
        Answer::new(200, body.to_string())
    });
    assert!(registry.requests().len() < 20, "{} requests", registry.requests().len());
}
