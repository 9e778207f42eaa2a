//! `run` of an image that a registry has.

use std::sync::Arc;

use anyhow::{Result, ensure};

use super::ctn as images;
use super::registry::Registry;
use crate::harness::host::Host;
use crate::services::ctn::{Place, is_one_sentence};

/// Exit status, output and errors of `run --rm`.
fn run(place: &Place, flags: &[&str], image: &str, program: &[&str]) -> (Option<i32>, String, String) {
    place.outcome(&[&["run", "--rm", "--network", "none"], flags, &[image], program].concat())
}

pub(super) fn pulls(_: &Arc<Host>) -> Result<()> {
    let (beside, maker) = (images::Place::new(), Place::new());
    let registry = Registry::open(&beside)?;
    let name = registry.name("box:1");
    maker.ctn(&["tag", "box", &name]);
    maker.ctn(&["push", &name]);

    // One that is not there is pulled, which is said beside the program's output; one that is there is not.
    let place = Place::new();
    let first = run(&place, &[], &name, &["cat", "/data/of-image"]);
    ensure!((first.0, first.1.as_str()) == (Some(0), "from the image\n"), "{first:?}");
    ensure!(first.2.contains(&format!("Unable to find image '{name}' locally")), "{first:?}");
    let again = run(&place, &[], &name, &["echo", "again"]);
    ensure!(again == (Some(0), "again\n".into(), String::new()), "{again:?}");
    let quiet = run(&Place::new(), &["-q"], &name, &["echo", "quiet"]);
    ensure!(quiet == (Some(0), "quiet\n".into(), String::new()), "{quiet:?}");
    let never = run(&Place::new(), &["--pull", "never"], &name, &["true"]);
    ensure!(never.0 == Some(125) && never.2.contains(&format!("No such image: {name}")), "{never:?}");

    // The tag is another image's now.
    maker.ctn(&["run", "--name", "changed", "--network", "none", "box", "sh", "-c", "echo new >/data/of-image"]);
    maker.ctn(&["commit", "changed", &name]);
    maker.ctn(&["push", &name]);
    let program = ["cat", "/data/of-image"];
    let missing = run(&place, &["--pull", "missing"], &name, &program);
    ensure!(missing.1 == "from the image\n", "{missing:?}");
    let always = run(&place, &["--pull", "always"], &name, &program);
    ensure!((always.0, always.1.as_str()) == (Some(0), "new\n"), "{always:?}");
    place.ctn(&[
        "create",
        "--pull",
        "always",
        "-q",
        "--name",
        "made",
        "--network",
        "none",
        &name,
        "cat",
        "/data/of-image",
    ]);
    ensure!(place.ctn(&["start", "-a", "made"]) == "new\n", "the container was made of another image");
    place.ctn(&["rm", "made"]);

    // One that nobody has, and a registry that is gone.
    let unknown = registry.name("nosuch:1");
    drop(registry);
    for image in [&unknown, &name] {
        let gone = run(&place, &["--pull", "always", "-q"], image, &["true"]);
        ensure!(gone.0 == Some(125) && gone.1.is_empty(), "{gone:?}");
        ensure!(gone.2.contains(&format!("pull {image}")) && is_one_sentence(&gone.2), "{gone:?}");
    }
    place.assert_nothing_left();
    Ok(())
}
