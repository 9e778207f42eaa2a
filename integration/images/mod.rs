//! `ctn` beside skopeo, umoci, podman and GNU tar: each reads what the other writes, and the trees are compared entry by entry.

#[path = "../../tests/image/harness.rs"]
#[allow(
    dead_code,
    unreachable_pub,
    clippy::unwrap_used,
    reason = "lent by the tests of ctn alone, where a test fails by panicking"
)]
mod ctn;
mod large;
mod registries;
mod registry;
mod run;
#[path = "../../tests/image/server/mod.rs"]
#[allow(
    dead_code,
    unreachable_pub,
    clippy::unwrap_used,
    reason = "lent by the tests of ctn alone, where a test fails by panicking"
)]
mod server;

use std::path::Path;
use std::process::Command;
use std::sync::Arc;

use anyhow::{Result, ensure};
use corten::image::tar::{Entry, Kind};
use libtest_mimic::Trial;

use crate::harness::host::{Host, installed};
use crate::harness::trial::{Skip, completion};
use ctn::{Made, Place, directory, file, run, symlink};

type Case = fn(&Arc<Host>) -> Result<()>;

pub(crate) fn trials(host: &Arc<Host>) -> Vec<Trial> {
    let cases: [(&str, &[&str], Case); 13] = [
        ("skopeo_reads_what_is_saved", &["skopeo"], skopeo_reads),
        ("skopeo_writes_what_is_loaded", &["skopeo"], skopeo_writes),
        ("podman_reads_and_writes", &["podman"], podman),
        ("a_debian_tree_is_as_umoci_and_tar_unpack_it", &["docker-registry", "umoci"], debian),
        ("monsters_are_as_umoci_unpacks_them", &["umoci"], monsters),
        ("four_gigabytes_pass_through_a_little_memory", &[], large::four_gigabytes),
        ("through_a_registry", &["docker-registry", "skopeo"], registries::plain),
        ("through_a_registry_behind_tls", &["docker-registry", "openssl", "skopeo"], registries::with_certificate),
        ("through_a_registry_with_passwords", &["docker-registry", "skopeo"], registries::with_passwords),
        ("through_a_registry_with_tokens", &["docker-registry", "openssl", "skopeo"], registries::with_tokens),
        ("through_a_registry_to_podman_and_back", &["docker-registry", "podman"], registries::podman),
        ("run_pulls", &["docker-registry"], run::pulls),
        ("docker_reads_writes_pushes_and_pulls", &["docker-registry", "dockerd"], registries::docker),
    ];
    let trial = |(name, programs, case): (&str, &'static [&'static str], Case)| {
        let host = Arc::clone(host);
        let run = move || match programs.iter().find(|program| !installed(program)) {
            Some(missing) => Err(Skip(format!("{missing} is not installed")).into()),
            None => case(&host),
        };
        Trial::ignorable_test(format!("images::{name}"), move || completion(run()))
    };
    cases.into_iter().map(trial).collect()
}

/// A tree as one text: types, modes, owners, times, links, extended attributes and content, as GNU tar sees them.
fn tree(root: &Path) -> (String, String) {
    let options =
        "--sort=name --numeric-owner --xattrs --xattrs-include=* --format=posix --pax-option=delete=atime,delete=ctime";
    let script =
        format!("cd \"$1\" && tar {options} -cf - . | tee >(sha256sum >&2) | tar --full-time --numeric-owner -tvf -");
    let output = Command::new("bash").args(["-c", &script, "tree"]).arg(root).output().expect("run bash");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    (String::from_utf8_lossy(&output.stdout).into_owned(), String::from_utf8_lossy(&output.stderr).into_owned())
}

fn same(what: &str, own: &Path, other: &Path) -> Result<()> {
    let (own, other) = (tree(own), tree(other));
    let differ: Vec<String> =
        own.0.lines().zip(other.0.lines()).filter(|(a, b)| a != b).map(|pair| format!("{pair:?}")).collect();
    ensure!(differ.is_empty(), "{what}: {} entries differ, the first: {}", differ.len(), differ[0]);
    ensure!(own == other, "{what}: content or extended attributes differ");
    Ok(())
}

fn skopeo_reads(_: &Arc<Host>) -> Result<()> {
    let place = Place::new();
    let image = Made::small("example.org/app:1");
    place.ctn(&["load", "-i", &image.archive(&place, "in")]);
    place.ctn(&["tag", "example.org/app:1", "example.org/app:2"]);
    place.ctn(&["save", "-o", "both", "example.org/app:1", "example.org/app:2"]);
    place.ctn(&["save", "--format", "oci-dir", "-o", "layout", "example.org/app:1"]);
    let at = |name: &str| place.join(name).display().to_string();
    let id = image.id();
    for (index, source) in [
        format!("docker-archive:{}:example.org/app:2", at("both")),
        format!("oci-archive:{}:1", at("both")),
        format!("oci:{}:1", at("layout")),
        format!("oci:{}:example.org/app:1", place.store().display()),
    ]
    .iter()
    .enumerate()
    {
        let copy = at(&format!("copy{index}"));
        run("skopeo", ["--insecure-policy", "copy", "-q", source, &format!("dir:{copy}")]);
        ensure!(Path::new(&copy).join(&id["sha256:".len()..]).exists(), "{source} has another configuration");
    }
    Ok(())
}

fn skopeo_writes(_: &Arc<Host>) -> Result<()> {
    let place = Place::new();
    let image = Made::small("example.org/app:1");
    let source = format!("oci-archive:{}", image.archive(&place, "in"));
    let at = |name: &str| place.join(name).display().to_string();
    place.ctn(&["load", "-i", &at("in")]);
    place.ctn(&["unpack", "example.org/app:1", "wanted"]);
    for (name, target) in [
        ("docker", format!("docker-archive:{}:example.org/app:3", at("docker"))),
        ("oci", format!("oci-archive:{}:example.org/app:3", at("oci"))),
        ("layout", format!("oci:{}:example.org/app:3", at("layout"))),
    ] {
        run("skopeo", ["--insecure-policy", "copy", "-q", &source, &target]);
        let said = place.ctn(&["load", "-i", &at(name)]);
        ensure!(said == "Loaded image: example.org/app:3\n", "{name}: {said}");
        place.ctn(&["unpack", "example.org/app:3", &format!("{name}-bundle")]);
        same(name, &place.join(&format!("{name}-bundle/rootfs")), &place.join("wanted/rootfs"))?;
    }
    Ok(())
}

/// podman with a store of its own.
fn podman_in(place: &Place, arguments: &[&str]) -> String {
    let at = |name: &str| place.join(name).display().to_string();
    let (root, run_root) = (at("podman"), at("podman-run"));
    let store = ["--root", &root, "--runroot", &run_root, "--storage-driver=vfs"];
    run("podman", store.iter().chain(arguments))
}

fn podman(_: &Arc<Host>) -> Result<()> {
    let place = Place::new();
    let image = Made::small("example.org/app:1");
    place.ctn(&["load", "-i", &image.archive(&place, "in")]);
    let at = |name: &str| place.join(name).display().to_string();
    let podman = |arguments: &[&str]| podman_in(&place, arguments);
    for (format, transport) in
        [("oci-dir", "oci"), ("oci-archive", "oci-archive"), ("docker-archive", "docker-archive")]
    {
        let saved = at(&format!("saved-{format}"));
        place.ctn(&["save", "--format", format, "-o", &saved, "example.org/app:1"]);
        let id = podman(&["pull", "-q", &format!("{transport}:{saved}")]);
        ensure!(format!("sha256:{}", id.trim()) == image.id(), "podman's id of {format} is {id}");
        podman(&["rmi", "-f", id.trim()]);
    }
    podman(&["load", "-q", "-i", &at("saved-docker-archive")]);
    let id = podman(&["image", "inspect", "-f", "{{.Id}}", "example.org/app:1"]);
    ensure!(format!("sha256:{}", id.trim()) == image.id(), "podman's id is {id}");
    place.ctn(&["unpack", "example.org/app:1", "wanted"]);
    for format in ["docker-archive", "oci-archive", "oci-dir"] {
        podman(&["save", "-q", "--format", format, "-o", &at(format), "example.org/app:1"]);
        let second = Place::new();
        let said = second.ctn(&["load", "-i", &at(format)]);
        ensure!(said == "Loaded image: example.org/app:1\n", "{format}: {said}");
        second.ctn(&["unpack", "example.org/app:1", "bundle"]);
        same(format, &second.join("bundle/rootfs"), &place.join("wanted/rootfs"))?;
    }
    Ok(())
}

/// What umoci makes of an image of the store.
fn umoci(place: &Place, image: &str) -> std::path::PathBuf {
    let at = |name: &str| place.join(name).display().to_string();
    place.ctn(&["save", "--format", "oci-dir", "-o", &at("layout"), image]);
    let tag = image.rsplit(':').next().unwrap_or_default();
    run("umoci", ["unpack", "--image", &format!("{}:{tag}", at("layout")), &at("umoci")]);
    place.join("umoci/rootfs")
}

fn debian(host: &Arc<Host>) -> Result<()> {
    let root = host.cache.join("debian");
    if !root.join("usr").exists() {
        return Err(Skip(format!("there is no Debian in {root:?}")).into());
    }
    let place = Place::new();
    let archive = place.join("debian.tar").display().to_string();
    run(
        "tar",
        [
            "--xattrs",
            "--xattrs-include=*",
            "--numeric-owner",
            "--sort=name",
            "--one-file-system",
            "-C",
            root.to_str().unwrap_or(""),
            "-cf",
            &archive,
            ".",
        ],
    );
    place.ctn(&["import", &archive, "debian:1"]);
    place.ctn(&["unpack", "debian:1", "bundle"]);
    let own = place.join("bundle/rootfs");
    std::fs::create_dir(place.join("tar"))?;
    run(
        "tar",
        [
            "--xattrs",
            "--xattrs-include=*",
            "--numeric-owner",
            "--same-owner",
            "-p",
            "-C",
            place.join("tar").to_str().unwrap_or(""),
            "-xf",
            &archive,
        ],
    );
    same("GNU tar", &own, &place.join("tar"))?;
    same("the mount", Path::new(place.ctn(&["mount", "debian:1"]).trim()), &own)?;
    place.ctn(&["unmount", "debian:1"]);
    same("umoci", &own, &umoci(&place, "debian:1"))?;
    let registry = registry::Registry::open(&place)?;
    let name = registry.name("debian:1");
    place.ctn(&["tag", "debian:1", &name]);
    place.ctn(&["push", &name]);
    let second = Place::new();
    second.ctn(&["pull", &name]);
    second.ctn(&["unpack", &name, "bundle"]);
    same("what was pushed and pulled", &second.join("bundle/rootfs"), &own)
}

fn monsters(_: &Arc<Host>) -> Result<()> {
    let place = Place::new();
    let node = |path: &str, kind: Kind, mode: u32| (Entry::new(path, kind, mode), Vec::new());
    let mut base =
        vec![directory("./", 0o755), directory("many/", 0o755), directory("opaque/", 0o711), directory("tmp/", 0o1777)];
    base.extend((0..1000).map(|number| file(&format!("many/{number}"), "x")));
    let mut set_id = file("set-id", "x");
    (set_id.0.mode, set_id.0.uid, set_id.0.gid) = (0o6755, 1000, 1001);
    let mut attributes = file("attributes", "x");
    attributes.0.xattrs.insert(b"user.name".to_vec(), b"value\n=".to_vec());
    attributes
        .0
        .xattrs
        .insert(b"security.capability".to_vec(), b"\x01\0\0\x02\0\x04\0\0\0\0\0\0\0\0\0\0\0\0\0\0".to_vec());
    base.extend([
        file("opaque/old", "x"),
        directory("real/", 0o755),
        symlink("alias", "/real"),
        symlink("escape", "../../../../.."),
        directory("becomes-link/", 0o755),
        file("becomes-link/inside", "x"),
        symlink("becomes-directory", "/etc"),
        set_id,
        attributes,
        node("null", Kind::Character(1, 3), 0o666),
        node("pipe", Kind::Fifo, 0o600),
        node("link", Kind::Link(b"set-id".to_vec()), 0),
    ]);
    base.push((Entry::new(b"caf\xe9\xff".to_vec(), Kind::Directory, 0o755), Vec::new()));
    let mut top: Vec<_> = (0..999).map(|number| file(&format!("many/.wh.{number}"), "")).collect();
    top.extend([
        directory("many/", 0o755),
        file("opaque/.wh..wh..opq", ""),
        directory("opaque/", 0o711),
        file("opaque/new", "x"),
        file("alias/through", "x"),
        file("escape/caught", "x"),
        symlink("becomes-link", "real"),
        directory("becomes-directory/", 0o755),
        file("becomes-directory/inside", "x"),
        node("below", Kind::Link(b"attributes".to_vec()), 0),
        directory("real/", 0o755),
        directory("./", 0o755),
    ]);
    let image = Made::new("monsters:1", &[base, top]);
    place.ctn(&["load", "-i", &image.archive(&place, "in")]);
    place.ctn(&["unpack", "monsters:1", "bundle"]);
    same("umoci", &place.join("bundle/rootfs"), &umoci(&place, "monsters:1"))
}
