//! Pulled and pushed by way of a registry that others fill and empty, too.

use std::path::Path;
use std::process::Stdio;
use std::sync::Arc;

use anyhow::{Result, ensure};
use serde_json::json;

use super::ctn::{Made, Place, run, succeeded};
use super::registry::{PASSWORD, Registry, USER};
use super::same;
use crate::docker::Docker;
use crate::harness::host::Host;

/// An image that was loaded, and its tree.
fn loaded(place: &Place) -> Made {
    let image = Made::small("example.org/app:1");
    place.ctn(&["load", "-i", &image.archive(place, "in")]);
    place.ctn(&["unpack", "example.org/app:1", "wanted"]);
    image
}

/// What is in a store under a name is the image, byte for byte and file for file.
fn is_whole(place: &Place, name: &str, image: &Made, wanted: &Path) -> Result<()> {
    let id = place.ctn(&["inspect", "-f", "{{.Id}}", name]);
    ensure!(id.trim() == image.id(), "{name} has the id {id}");
    place.ctn(&["unpack", name, "pulled"]);
    same(name, &place.join("pulled/rootfs"), &wanted.join("wanted/rootfs"))
}

/// Through a registry and back: what skopeo pushes is pulled, and what is pushed skopeo pulls.
fn there_and_back(place: &Place, registry: &Registry, own: &[&str], skopeo: &[&str]) -> Result<()> {
    let image = loaded(place);
    let source = format!("oci-archive:{}", place.join("in").display());
    let copy = |arguments: &[&str]| run("skopeo", ["--insecure-policy", "copy", "-q"].iter().chain(arguments));
    let target = format!("docker://{}", registry.name("theirs:1"));
    let to: Vec<String> = skopeo.iter().map(|option| option.replace("SIDE", "dest")).collect();
    copy(&[&to.iter().map(String::as_str).collect::<Vec<_>>()[..], &[&source, &target]].concat());
    let second = Place::new();
    let theirs = registry.name("theirs:1");
    second.ctn(&[&["pull"], own, &[&theirs]].concat());
    is_whole(&second, &theirs, &image, &place.path)?;

    let ours = registry.name("ours:1");
    place.ctn(&["tag", "example.org/app:1", &ours]);
    place.ctn(&[&["push"], own, &[&ours]].concat());
    let from: Vec<String> = skopeo.iter().map(|option| option.replace("SIDE", "src")).collect();
    let (source, target) = (format!("docker://{ours}"), format!("dir:{}", place.join("back").display()));
    copy(&[&from.iter().map(String::as_str).collect::<Vec<_>>()[..], &[&source, &target]].concat());
    ensure!(place.join("back").join(&image.id()["sha256:".len()..]).exists(), "skopeo pulls another configuration");
    let third = Place::new();
    third.ctn(&[&["pull"], own, &[&ours]].concat());
    is_whole(&third, &ours, &image, &place.path)
}

pub(super) fn plain(_: &Arc<Host>) -> Result<()> {
    let place = Place::new();
    let registry = Registry::open(&place)?;
    there_and_back(&place, &registry, &[], &["--SIDE-tls-verify=false"])?;
    let tags = place.ctn(&["image", "tags", "--format", "{{.Tag}}", &registry.name("ours")]);
    ensure!(tags == "1\n", "the tags are {tags}");
    Ok(())
}

pub(super) fn with_certificate(_: &Arc<Host>) -> Result<()> {
    let place = Place::new();
    let registry = Registry::with_certificate(&place)?;
    let directory = place.join("ca").display().to_string();
    let name = registry.name("theirs:1");
    let said = place.refusal(&["pull", &name]);
    ensure!(said.contains(&name) && said.contains("certificate"), "{said}");
    ensure!(place.refusal(&["pull", &registry.name("none:1")]).contains("certificate"), "an unknown root is believed");
    there_and_back(&place, &registry, &["--cert-dir", &directory], &["--SIDE-cert-dir", &directory])?;
    let unchecked = Place::new();
    unchecked.ctn(&["pull", "--tls-verify=false", &name]);
    Ok(())
}

fn with_login(place: &Place, registry: &Registry) -> Result<()> {
    let name = registry.name("theirs:1");
    let said = place.refusal(&["pull", &name]);
    ensure!(said.contains(&name), "{said}");
    let host = registry.address.to_string();
    let mut login = place.command(&["login", "-u", USER, "--password-stdin", &host]);
    let mut child = login.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
    child.stdin.take().map(|mut stdin| std::io::Write::write_all(&mut stdin, PASSWORD.as_bytes())).transpose()?;
    succeeded(&child.wait_with_output()?, "login");
    let credentials = format!("--SIDE-creds={USER}:{PASSWORD}");
    there_and_back(place, registry, &[], &["--SIDE-tls-verify=false", &credentials])?;
    place.ctn(&["logout", &host]);
    ensure!(!place.call(&["pull", &registry.name("ours:1")]).status.success(), "who logged out is known still");
    Ok(())
}

pub(super) fn with_passwords(_: &Arc<Host>) -> Result<()> {
    let place = Place::new();
    let registry = Registry::with_passwords(&place)?;
    with_login(&place, &registry)
}

pub(super) fn with_tokens(_: &Arc<Host>) -> Result<()> {
    let place = Place::new();
    let registry = Registry::with_tokens(&place)?;
    with_login(&place, &registry)
}

pub(super) fn podman(_: &Arc<Host>) -> Result<()> {
    let place = Place::new();
    let registry = Registry::open(&place)?;
    let image = loaded(&place);
    let podman = |arguments: &[&str]| super::podman_in(&place, arguments);
    place.ctn(&["save", "-o", "saved", "example.org/app:1"]);
    podman(&["load", "-q", "-i", &place.join("saved").display().to_string()]);
    let theirs = registry.name("theirs:1");
    podman(&["push", "-q", "--tls-verify=false", "example.org/app:1", &theirs]);
    let second = Place::new();
    second.ctn(&["pull", &theirs]);
    is_whole(&second, &theirs, &image, &place.path)?;

    let ours = registry.name("ours:1");
    place.ctn(&["tag", "example.org/app:1", &ours]);
    place.ctn(&["push", &ours]);
    podman(&["rmi", "-f", "example.org/app:1"]);
    podman(&["pull", "-q", "--tls-verify=false", &ours]);
    let id = podman(&["image", "inspect", "-f", "{{.Id}}", &ours]);
    ensure!(format!("sha256:{}", id.trim()) == image.id(), "podman's id is {id}");
    Ok(())
}

/// Archives and a registry, both ways.
pub(super) fn docker(host: &Arc<Host>) -> Result<()> {
    let docker = Docker::start(host, "docker-images", "", &json!({"bridge": "none", "iptables": false}))?;
    let docker = |arguments: &[&str]| docker.docker(arguments).stdout();
    let place = Place::new();
    let registry = Registry::open(&place)?;
    let image = loaded(&place);
    let at = |name: &str| place.join(name).display().to_string();
    place.ctn(&["save", "-o", "saved", "example.org/app:1"]);
    docker(&["load", "--input", &at("saved")])?;
    let id = docker(&["image", "inspect", "-f", "{{.Id}}", "example.org/app:1"])?;
    ensure!(id == image.id(), "docker's id is {id}");
    docker(&["save", "--output", &at("dockers"), "example.org/app:1"])?;
    let second = Place::new();
    second.ctn(&["load", "-i", &at("dockers")]);
    is_whole(&second, "example.org/app:1", &image, &place.path)?;

    let theirs = registry.name("theirs:1");
    docker(&["tag", "example.org/app:1", &theirs])?;
    docker(&["push", "--quiet", &theirs])?;
    let third = Place::new();
    third.ctn(&["pull", &theirs]);
    is_whole(&third, &theirs, &image, &place.path)?;
    let ours = registry.name("ours:1");
    place.ctn(&["tag", "example.org/app:1", &ours]);
    place.ctn(&["push", &ours]);
    docker(&["rmi", "--force", &image.id()])?;
    docker(&["pull", "--quiet", &ours])?;
    let id = docker(&["image", "inspect", "-f", "{{.Id}}", &ours])?;
    ensure!(id == image.id(), "what docker pulls has the id {id}");
    Ok(())
}
