//! Several processes, and processes that are killed.

use std::process::{Child, Stdio};
use std::sync::Mutex;

use super::*;
use crate::concurrency::wait_for_lock;

/// A registry that stops in the middle of the big layer, the first time that it is asked for it.
fn with_gate(image: &Made) -> (Registry, Keeper) {
    let (gate, keeper) = Gate::new();
    let (gate, known) = (Mutex::new(Some(gate)), image.clone());
    let registry = with_image(image, move |request, answer| {
        let gate = if is_for(request, &known) { gate.lock().unwrap().take() } else { None };
        Some(match gate {
            Some(gate) => answer.body(|bytes| Body::Held(bytes, 100_000, gate)),
            None => answer,
        })
    });
    (registry, keeper)
}

fn start(place: &Place, arguments: &[&str]) -> Child {
    place.command(arguments).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
}

#[test]
fn two_who_pull_the_same_do_the_work_once() {
    let image = big();
    let (registry, gate) = with_gate(&image);
    let place = Place::new();
    let name = registry.name("app:1");
    let first = start(&place, &["pull", &name]);
    gate.wait();
    let mut second = start(&place, &["pull", &name]);
    wait_for_lock(&mut second);
    drop(gate);
    for child in [first, second] {
        succeeded(&child.wait_with_output().unwrap(), "pull");
    }
    for layer in &image.layers {
        assert_eq!(registry.count(&format!("GET {}", blob(&layer.digest()))), 1);
    }
    assert_pulled(&place, &name, &image);
    let before = place.snapshot();
    place.ctn(&["image", "prune", "-f"]);
    assert_eq!(place.snapshot(), before, "there was garbage");
}

#[test]
fn who_waited_for_somebody_that_was_killed_does_the_work() {
    let image = big();
    let (registry, gate) = with_gate(&image);
    let place = Place::new();
    let name = registry.name("app:1");
    let mut first = start(&place, &["pull", &name]);
    gate.wait();
    let mut second = start(&place, &["pull", &name]);
    wait_for_lock(&mut second);
    first.kill().unwrap();
    first.wait().unwrap();
    succeeded(&second.wait_with_output().unwrap(), "pull");
    assert_pulled(&place, &name, &image);
    place.ctn(&["image", "prune", "-f"]);
    assert_eq!(fs::read_dir(place.store().join("ingest")).unwrap().count(), 0);
}

#[test]
fn a_collection_leaves_what_is_on_its_way() {
    let image = big();
    let (registry, gate) = with_gate(&image);
    let place = Place::new();
    let name = registry.name("app:1");
    let pull = start(&place, &["pull", &name]);
    gate.wait();
    place.ctn(&["image", "prune", "-a", "-f"]);
    place.ctn(&["system", "prune", "-a", "-f"]);
    drop(gate);
    succeeded(&pull.wait_with_output().unwrap(), "pull");
    assert_pulled(&place, &name, &image);
}

#[test]
fn a_pull_that_was_killed_leaves_nothing_but_garbage() {
    let image = big();
    let (registry, gate) = with_gate(&image);
    let place = Place::new();
    let name = registry.name("app:1");
    place.ctn(&["images"]);
    let mut pull = start(&place, &["pull", &name]);
    gate.wait();
    pull.kill().unwrap();
    pull.wait().unwrap();
    assert_eq!(place.ctn(&["images", "-q"]), "");
    place.ctn(&["pull", &name]);
    assert_pulled(&place, &name, &image);
    place.ctn(&["image", "prune", "-f"]);
    assert_eq!(fs::read_dir(place.store().join("ingest")).unwrap().count(), 0);
}

/// A request for an end is not a kill: what was begun is taken away at once.
#[test]
fn a_pull_that_is_interrupted_ends() {
    let image = big();
    let (registry, gate) = with_gate(&image);
    let place = Place::new();
    place.ctn(&["images"]);
    let mut pull = start(&place, &["pull", &registry.name("app:1")]);
    gate.wait();
    // Not INT, which is ignored by whatever a script starts in the background (sh(1), asynchronous lists).
    rustix::process::kill_process(rustix::process::Pid::from_child(&pull), rustix::process::Signal::TERM).unwrap();
    assert!(!pull.wait().unwrap().success());
    assert_eq!(place.ctn(&["images", "-q"]), "");
    place.ctn(&["image", "prune", "-f"]);
    assert_eq!(fs::read_dir(place.store().join("ingest")).unwrap().count(), 0);
}
