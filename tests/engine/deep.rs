//! Directories that are nested deeper, and are more in one, than a process may have descriptors.

use std::fs;
use std::os::unix::fs::{MetadataExt, chown};
use std::path::PathBuf;
use std::process::Command;

use crate::harness::{Place, ctn, prepare, succeeded};

const DEPTH: usize = 600;

/// What a call prints that may have half of the descriptors that are usual: no test has the time for twice the depth.
#[track_caller]
fn limited(place: &Place, arguments: &[&str]) -> String {
    let mut command = Command::new("prlimit");
    command.arg("--nofile=512:512").arg(ctn());
    prepare(&mut command, &place.path, arguments);
    succeeded(&command.output().unwrap(), arguments)
}

/// `d/d/d…`.
fn deepest() -> String {
    vec!["d"; DEPTH].join("/")
}

#[test]
fn what_is_nested_in_a_container_is_found() {
    let place = Place::new();
    // What comes after each directory is looked at on the way back.
    let nest = "cd /tmp; for i in $(seq 600); do echo $i >z; mkdir d; cd d; done; echo deep >end";
    let script = format!("{nest}; mkdir /data/below/w; for i in $(seq 600); do mkdir /data/below/$i; done");
    limited(&place, &["run", "--name", "deep", "--network", "none", "box", "sh", "-c", &script]);
    let diff = limited(&place, &["diff", "deep"]);
    let has = |line: &str| diff.lines().filter(|found| *found == line).count() == 1;
    assert!(has(&format!("A /tmp/{}/end", deepest())) && has("A /data/below/600") && has("A /tmp/d/z"), "{diff}");
    assert_eq!(diff.lines().filter(|line| line.ends_with("/z")).count(), DEPTH);
    limited(&place, &["commit", "deep", "committed"]);
    let end = format!("cat /tmp/{0}/end /tmp/d/d/z", deepest());
    let run = ["run", "--rm", "--network", "none", "committed", "sh", "-c", &end];
    assert_eq!(limited(&place, &run), "deep\n3\n");
    // Changes to what both have, of which each is merged of two layers.
    let change = format!("echo more >/tmp/{}/end; rm /tmp/z /tmp/d/d/z", deepest());
    limited(&place, &["run", "--name", "changed", "--network", "none", "committed", "sh", "-c", &change]);
    let diff = limited(&place, &["diff", "changed"]);
    let lines: Vec<&str> = diff.lines().collect();
    assert_eq!(lines[..4], ["C /tmp", "D /tmp/z", "C /tmp/d", "C /tmp/d/d"], "{diff}");
    assert_eq!(lines[4], "D /tmp/d/d/z");
    assert_eq!(lines.len(), DEPTH + 4, "{diff}");
    limited(&place, &["export", "--output", "exported.tar", "deep"]);
    let list = Command::new("tar").arg("tf").arg(place.join("exported.tar")).output().unwrap();
    assert!(succeeded(&list, "tar").lines().any(|line| *line == format!("tmp/{}/end", deepest())));
    limited(&place, &["cp", "deep:/tmp", "copied"]);
    let copied = place.join("copied");
    assert_eq!(fs::read_to_string(copied.join(deepest()).join("end")).unwrap(), "deep\n");
    assert_eq!(fs::read_to_string(copied.join("d/d/z")).unwrap(), "3\n");
    limited(&place, &["cp", "copied", "deep:/back"]);
    place.ctn(&["rm", "deep", "changed"]);
    place.assert_nothing_left();
}

#[test]
fn what_is_nested_in_a_source_becomes_the_users() {
    let place = Place::new();
    let shared = place.join("shared");
    fs::create_dir_all(shared.join(deepest())).unwrap();
    let mut all: Vec<PathBuf> = Vec::new();
    let mut at = shared.clone();
    for _ in 0..=DEPTH {
        all.extend([at.clone(), at.join("a"), at.join("z")]);
        fs::write(at.join("a"), "").unwrap();
        fs::write(at.join("z"), "").unwrap();
        at.push("d");
    }
    for path in &all {
        chown(path, Some(7), Some(8)).unwrap();
    }
    let bind = format!("{}:/v:U", shared.display());
    limited(&place, &["run", "--rm", "--network", "none", "-u", "web", "-v", &bind, "box", "true"]);
    for path in &all {
        let found = fs::symlink_metadata(path).unwrap();
        assert_eq!((found.uid(), found.gid()), (33, 34), "{}", path.display());
    }
    place.assert_nothing_left();
}
