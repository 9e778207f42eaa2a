//! Connections that break, registries that have too much to do, bodies that never end.

use std::sync::Mutex;
use std::sync::mpsc::channel;
use std::time::Duration;

use super::*;

/// Pulls in spite of a fault.
fn pulled(fault: impl Fn(&Made, &Request, Answer) -> Option<Answer> + Send + Sync + 'static) -> (Registry, Made) {
    let image = big();
    let known = image.clone();
    let registry = with_image(&image, move |request, answer| fault(&known, request, answer));
    let place = Place::new();
    let name = registry.name("app:1");
    place.ctn(&["pull", &name]);
    assert_pulled(&place, &name, &image);
    (registry, image)
}

fn requests_for(registry: &Registry, image: &Made) -> Vec<Request> {
    registry.requests().into_iter().filter(|request| is_for(request, image)).collect()
}

#[test]
fn a_body_that_breaks_off_is_resumed_where_it_ended() {
    let (registry, image) = pulled(|image, request, answer| {
        let cut = is_for(request, image) && request.before < 3;
        Some(if cut { answer.body(|bytes| Body::Cut(bytes, 50_000)) } else { answer })
    });
    let from: Vec<Option<usize>> = requests_for(&registry, &image).iter().map(Request::from).collect();
    assert_eq!(from, [None, Some(50_000), Some(100_000), Some(150_000)]);
}

#[test]
fn a_server_without_ranges_sends_all_again() {
    let (registry, image) = pulled(|image, request, answer| {
        if !is_for(request, image) {
            return Some(answer);
        }
        let all = Answer::new(200, &image.layers[0].bytes[..]);
        Some(if request.before == 0 { all.body(|bytes| Body::Cut(bytes, 100_000)) } else { all })
    });
    assert_eq!(requests_for(&registry, &image).len(), 2);
}

/// What comes is another part than the one that was asked for.
#[test]
fn a_range_that_was_not_asked_for_is_not_taken() {
    let image = big();
    let known = image.clone();
    let registry = with_image(&image, move |request, answer| {
        if !is_for(request, &known) {
            return Some(answer);
        }
        let all = &known.layers[0].bytes;
        Some(match request.before {
            0 => answer.body(|bytes| Body::Cut(bytes, 100_000)),
            // A right part with the wrong label, and then the other way round.
            1 => Answer::new(206, &all[90_000..]).with("Content-Range", format!("bytes 90000-{0}/{0}", all.len())),
            _ => answer,
        })
    });
    let place = Place::new();
    let name = registry.name("app:1");
    let output = place.call(&["pull", &name]);
    if output.status.success() {
        assert_pulled(&place, &name, &image);
    } else {
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(said.contains(&image.layers[0].digest().to_string()) && said.contains("range"), "{said}");
    }
}

#[test]
fn slow_bodies_are_waited_for() {
    let image = Made::small("app:1");
    let registry = with_image(&image, |request, answer| {
        Some(if request.path.contains("/blobs/") || request.path.contains("/manifests/") {
            answer.body(Body::Drops)
        } else {
            answer
        })
    });
    let place = Place::new();
    place.ctn(&["pull", &registry.name("app:1")]);
    assert_pulled(&place, &registry.name("app:1"), &image);
}

#[test]
fn bodies_need_no_length() {
    pulled(|_, _, answer| Some(answer.body(Body::Chunked)));
}

/// The connection is there, and nothing comes.
#[test]
fn a_body_that_stands_still_is_asked_for_anew() {
    let image = big();
    let (gate, keeper) = Gate::new();
    let (gate, known) = (std::sync::Mutex::new(Some(gate)), image.clone());
    let registry = with_image(&image, move |request, answer| {
        let gate = if is_for(request, &known) { gate.lock().unwrap().take() } else { None };
        Some(match gate {
            Some(gate) => answer.body(|bytes| Body::Held(bytes, 100_000, gate)),
            None => answer,
        })
    });
    let place = Place::new();
    let name = registry.name("app:1");
    let mut pull = place.command(&["pull", &name]);
    succeeded(&pull.env("CTN_STALL_TIMEOUT", "2s").output().unwrap(), "pull");
    drop(keeper);
    assert_pulled(&place, &name, &image);
    let asked: Vec<Option<usize>> = requests_for(&registry, &image).iter().map(Request::from).collect();
    assert_eq!(asked[..2], [None, Some(100_000)]);
}

#[test]
fn a_registry_with_too_much_to_do_is_asked_again_when_it_says() {
    let (registry, image) = pulled(|image, request, answer| {
        let busy = |status: u16| Answer::error(status, "TOOMANYREQUESTS", "slow down");
        Some(match request.before {
            0 if is_for(request, image) => busy(429).with("Retry-After", "1"),
            1 if is_for(request, image) => busy(503).with("Retry-After", "0"),
            0 if request.path.contains("/manifests/") => busy(502).with("Retry-After", "0"),
            0 if request.path.contains("/blobs/") => busy(500).with("Retry-After", "Sun, 06 Nov 1994 08:49:37 GMT"),
            _ => answer,
        })
    });
    let asked = requests_for(&registry, &image);
    assert_eq!(asked.len(), 3);
    assert!(asked[1].at - asked[0].at >= Duration::from_secs(1), "it did not wait for the second that was asked for");
}

#[test]
fn who_is_refused_for_good_gives_up() {
    let image = big();
    type Fault = fn(&Made, &Request, Answer) -> Option<Answer>;
    let layer = image.layers[0].digest().to_string();
    let cases: [(&str, Fault, &[&str]); 6] = [
        (
            "too many requests for ever",
            |image, request, answer| {
                let busy = Answer::error(429, "TOOMANYREQUESTS", "pull rate limit").with("Retry-After", "0");
                Some(if is_for(request, image) { busy } else { answer })
            },
            &[&layer, "429"],
        ),
        (
            "a wait of a day",
            |image, request, answer| {
                let busy = Answer::error(429, "TOOMANYREQUESTS", "pull rate limit").with("Retry-After", "86400");
                Some(if is_for(request, image) { busy } else { answer })
            },
            &[&layer, "429"],
        ),
        (
            "no progress",
            |image, request, answer| {
                Some(if is_for(request, image) { answer.body(|bytes| Body::Cut(bytes, 0)) } else { answer })
            },
            &[&layer],
        ),
        ("no answer", |image, request, answer| (!is_for(request, image)).then_some(answer), &[&layer]),
        (
            "an endless blob",
            |image, request, answer| {
                let endless = |_| Body::Endless(noise(7, 64 << 10));
                Some(if is_for(request, image) { answer.body(endless) } else { answer })
            },
            &[&layer],
        ),
        (
            "an endless manifest",
            |_, request, answer| {
                let endless = |_| Body::Endless(b"{\"schemaVersion\": 2, ".repeat(1000));
                Some(if request.path.contains("/manifests/") { answer.body(endless) } else { answer })
            },
            &["app:1"],
        ),
    ];
    // All at once, for most of the time they wait.
    std::thread::scope(|scope| {
        for (what, fault, wanted) in cases {
            let known = image.clone();
            let image = &image;
            scope.spawn(move || {
                let registry = with_image(image, move |request, answer| fault(&known, request, answer));
                let name = registry.name("app:1");
                let wanted: Vec<&str> = wanted.iter().copied().chain([&name[..]]).collect();
                assert_refused(&Place::new(), what, &["pull", &name], &wanted);
                let asked = registry.requests().len();
                assert!(asked < 40, "{what}: {asked} requests");
            });
        }
    });
}

/// Progress counts, and not how often it breaks.
#[test]
fn a_bad_line_is_enough() {
    let image = Made::new("app:1", &[vec![bytes("big", noise(5, 8 << 20))]]);
    let known = image.clone();
    let registry = with_image(&image, move |request, answer| {
        let cut = is_for(request, &known) && request.before < 7;
        Some(if cut { answer.body(|bytes| Body::Cut(bytes, (1 << 20) + 1000)) } else { answer })
    });
    let place = Place::new();
    place.ctn(&["pull", &registry.name("app:1")]);
    assert_eq!(requests_for(&registry, &image).len(), 8);
}

/// One layer is refused for good while another one waits for as long as the registry has asked for: what would have come of that is of no
/// use, and isn't asked for again.
#[test]
fn who_waits_for_a_layer_gives_up_when_another_is_refused() {
    let image = big();
    let [busy, gone] = [0, 1].map(|at| blob(&image.layers[at].digest()));
    let (waits, waited_for) = channel();
    let (waits, waited_for) = (Mutex::new(waits), Mutex::new(waited_for));
    let (of_busy, of_gone) = (busy.clone(), gone.clone());
    let registry = with_image(&image, move |request, answer| {
        if request.path == of_busy {
            waits.lock().unwrap().send(()).unwrap();
            return Some(Answer::error(429, "TOOMANYREQUESTS", "slow down").with("Retry-After", "30"));
        }
        if request.path == of_gone {
            waited_for.lock().unwrap().recv().unwrap();
            return Some(Answer::error(404, "BLOB_UNKNOWN", "not here"));
        }
        Some(answer)
    });
    let place = Place::new();
    let refusal = place.refusal(&["pull", &registry.name("app:1")]);
    assert!(refusal.contains(&image.layers[1].digest().to_string()), "{refusal}");
    assert_eq!(registry.requests().iter().filter(|request| request.path == busy).count(), 1);
}
