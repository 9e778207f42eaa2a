//! `ctn` against a registry of the tests' own, which does everything wrong that registries, networks and attackers do.

mod contents;
mod credentials;
mod interruptions;
mod lists;
mod mirrors;
mod pull;
mod push;
mod refusals;
mod search;
mod tags;
mod together;
mod tokens;

use std::fs;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard};

use corten::image::digest::Digest;

use contents::Contents;

use crate::harness::*;
use crate::server::{Answer, Body, Gate, Handler, Keeper, Request, Server, locked};

/// A registry that does what a test wants: it answers as the specification says, and the test changes the answers.
pub struct Registry {
    pub address: SocketAddr,
    server: Server,
    contents: Arc<Mutex<Contents>>,
}

impl Registry {
    /// One without faults.
    pub fn new() -> Registry {
        Registry::with(|_, answer| Some(answer))
    }

    /// One whose answers are changed; without an answer the connection ends.
    pub fn with(fault: impl Fn(&Request, Answer) -> Option<Answer> + Send + Sync + 'static) -> Registry {
        let contents = Arc::<Mutex<Contents>>::default();
        let own = Arc::clone(&contents);
        let server = Server::start(move |request: &Request| {
            let right = locked(&own).answer(request);
            fault(request, right)
        });
        Registry { address: server.address, server, contents }
    }

    /// One that doesn't read all of some bodies.
    pub fn that_reads(most: impl Fn(&Request) -> usize + Send + Sync + 'static) -> Registry {
        let contents = Arc::<Mutex<Contents>>::default();
        let server = Server::start(Impatient { most, contents: Arc::clone(&contents) });
        Registry { address: server.address, server, contents }
    }

    /// The name of something in it.
    pub fn name(&self, rest: &str) -> String {
        format!("{}/{rest}", self.address)
    }

    /// What is in it.
    pub fn contents(&self) -> MutexGuard<'_, Contents> {
        locked(&self.contents)
    }

    /// All that was asked for so far.
    pub fn requests(&self) -> Vec<Request> {
        self.server.requests()
    }

    /// How often something was asked for whose line begins so.
    pub fn count(&self, start: &str) -> usize {
        self.requests().iter().filter(|request| request.to_string().starts_with(start)).count()
    }
}

struct Impatient<F> {
    most: F,
    contents: Arc<Mutex<Contents>>,
}

impl<F: Fn(&Request) -> usize + Send + Sync + 'static> Handler for Impatient<F> {
    fn most(&self, request: &Request) -> usize {
        (self.most)(request)
    }

    fn answer(&self, request: &Request) -> Option<Answer> {
        Some(locked(&self.contents).answer(request))
    }
}

/// A layer that compresses badly: a few hundred kilobytes on the wire.
pub fn big_layer(seed: u64) -> Vec<(corten::image::tar::Entry, Vec<u8>)> {
    vec![bytes("big", noise(seed, 300 << 10)), file("small", "x")]
}

/// Bytes without a pattern, the same for the same seed.
pub fn noise(seed: u64, count: usize) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let next = || {
        // xorshift64.
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 32) as u8
    };
    std::iter::repeat_with(next).take(count).collect()
}

/// Where nobody listens: a port that no server here is given.
pub const NOBODY: &str = "127.0.0.1:1";

/// An image with one big layer and one small one.
pub fn big() -> Made {
    Made::new("app:1", &[big_layer(1), vec![file("top", "x")]])
}

/// The path of a blob in the repository `app`.
pub fn blob(digest: &Digest) -> String {
    format!("/v2/app/blobs/{digest}")
}

/// Whether a request is for the first, big layer of an image.
pub fn is_for(request: &Request, image: &Made) -> bool {
    request.path == blob(&image.layers[0].digest())
}

/// A registry that has the image as `app:1`.
pub fn with_image(
    image: &Made,
    fault: impl Fn(&Request, Answer) -> Option<Answer> + Send + Sync + 'static,
) -> Registry {
    let registry = Registry::with(fault);
    registry.contents().add("app", "1", image);
    registry
}

/// The image is in the store under this name, whole.
#[track_caller]
pub fn assert_pulled(place: &Place, name: &str, image: &Made) {
    assert_eq!(place.ctn(&["inspect", "-f", "{{.Id}}", name]), image.id() + "\n");
    assert_eq!(place.ctn(&["manifest", "inspect", name]).as_bytes(), image.manifest_blob().bytes);
    let bundle = place.join("pulled");
    place.ctn(&["unpack", name, bundle.to_str().unwrap()]);
    let other = Place::new();
    other.ctn(&["load", "-i", &image.archive(&other, "in")]);
    other.ctn(&["unpack", &image.name, "bundle"]);
    assert_eq!(snapshot(&bundle.join("rootfs")), snapshot(&other.join("bundle/rootfs")));
    fs::remove_dir_all(bundle).unwrap();
}

/// A call that fails with one line in which all of this is, and leaves the store as it was.
#[track_caller]
pub fn assert_refused(place: &Place, what: &str, arguments: &[&str], wanted: &[&str]) -> String {
    // The store is made by the first command, whatever it is.
    place.ctn(&["images"]);
    let before = place.snapshot();
    let said = place.refusal(arguments);
    for text in wanted {
        assert!(said.contains(text), "{what}: {text:?} is not in {said}");
    }
    let errors = said.lines().filter(|line| line.starts_with("Error")).count();
    assert_eq!(errors, 1, "{what}: {said}");
    assert_eq!(place.snapshot(), before, "{what}: the store is changed");
    said
}
