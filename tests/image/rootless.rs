//! An ordinary user's images.

use std::fs;
use std::os::unix::fs::{MetadataExt, chown};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Output};

use crate::harness::*;

/// A user of whom the machine knows nothing, so without subordinate ids.
const USER: u32 = 4723;

fn user(place: &Place, program: &str, arguments: &[&str]) -> Output {
    let mut command = Command::new(program);
    command.args(arguments).uid(USER).gid(USER).current_dir(&place.path);
    command.env_clear().env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin").env("XDG_DATA_HOME", place.join("data"));
    command.env("XDG_CONFIG_HOME", place.join("config")).env("XDG_RUNTIME_DIR", &place.path);
    command.output().unwrap()
}

/// A place that the user owns, with a copy of the program.
fn place() -> (Place, String) {
    let place = Place::new();
    chown(&place.path, Some(USER), Some(USER)).unwrap();
    let program = place.join("ctn");
    call::install(Path::new(CTN), &program);
    (place, program.to_str().unwrap().to_owned())
}

#[test]
fn a_user_without_subordinate_ids_has_roots_files() {
    let (place, ctn) = place();
    let archive = Made::small("app:1").archive(&place, "in");
    let loaded = user(&place, &ctn, &["load", "-i", &archive]);
    assert_eq!(succeeded(&loaded, "load"), "Loaded image: app:1\n");
    assert_eq!(fs::metadata(place.join("data/corten/oci-layout")).unwrap().uid(), USER);
    succeeded(&user(&place, &ctn, &["unpack", "app:1", "bundle"]), "unpack");
    assert!(!place.join("bundle/rootfs/etc/one").exists(), "a whiteout of a lower layer's file is not followed");
    assert_eq!(fs::metadata(place.join("bundle/rootfs/etc/two")).unwrap().uid(), USER);
    let config: serde_json::Value =
        serde_json::from_slice(&fs::read(place.join("bundle/config.json")).unwrap()).unwrap();
    assert_eq!(config["linux"]["uidMappings"][0]["hostID"], USER);
    let refused = user(&place, &ctn, &["mount", "app:1"]);
    assert!(String::from_utf8_lossy(&refused.stderr).contains("would end with this command"));
}

#[test]
fn a_user_pulls_and_pushes() {
    let (place, ctn) = place();
    let image = Made::small("app:1");
    let registry = crate::registry::with_image(&image, |_, answer| Some(answer));
    let name = registry.name("app:1");
    succeeded(&user(&place, &ctn, &["pull", &name]), "pull");
    assert_eq!(succeeded(&user(&place, &ctn, &["inspect", "-f", "{{.Id}}", &name]), "inspect"), image.id() + "\n");
    let other = registry.name("other:1");
    succeeded(&user(&place, &ctn, &["tag", &name, &other]), "tag");
    succeeded(&user(&place, &ctn, &["push", &other]), "push");
    assert_eq!(registry.contents().repositories["other"].tags["1"], image.manifest_blob().digest());
}

#[test]
fn a_mirror_of_dockers_is_asked_for_what_docker_hub_has() {
    let (place, ctn) = place();
    let image = Made::small("app:1");
    let mirror = crate::registry::with_image(&image, |_, answer| Some(answer));
    mirror.contents().add("library/app", "1", &image);
    let daemon = serde_json::json!({"registry-mirrors": [format!("http://{}", mirror.address)]});
    place.write("config/docker/daemon.json", daemon.to_string());
    succeeded(&user(&place, &ctn, &["pull", "app:1"]), "pull");
    assert_eq!(succeeded(&user(&place, &ctn, &["images", "-q", "--no-trunc"]), "images"), image.id() + "\n");
}

#[test]
fn an_owner_that_can_not_be_given_is_said() {
    let (place, ctn) = place();
    let mut foreign = file("foreign", "");
    foreign.0.uid = 5;
    let archive = Made::new("app:1", &[vec![foreign]]).archive(&place, "in");
    let refused = user(&place, &ctn, &["load", "-i", &archive]);
    let said = String::from_utf8_lossy(&refused.stderr);
    assert!(said.contains("entry \"foreign\": set the owner 5:0") && said.contains("/etc/subuid"), "{said}");
    assert_eq!(fs::read_dir(place.join("data/corten/ingest")).unwrap().count(), 0);
}

#[test]
fn root_of_a_user_namespace_has_images_too() {
    let place = Place::new();
    let archive = Made::small("app:1").archive(&place, "in");
    for (arguments, wanted) in [
        (&["load", "-i", &archive][..], "Loaded image: app:1"),
        (&["inspect", "-f", "{{.RepoTags}}", "app:1"], "[app:1]"),
        (&["diff", "app:1"], "A "),
        (&["export", "-o", "out", "app:1"], ""),
        (&["image", "prune", "-f"], "Total reclaimed space: 0B"),
        (&["system", "prune", "-f"], "Total reclaimed space: 0B"),
        (&["system", "df"], "Images"),
        (&["rmi", "app:1"], "Untagged: app:1"),
    ] {
        let output = Command::new("unshare")
            .args(["--user", "--map-root-user", CTN])
            .args(arguments)
            .env("CTN_ROOT", place.store())
            .current_dir(&place.path)
            .output();
        let said = succeeded(&output.unwrap(), arguments);
        assert!(said.contains(wanted), "{arguments:?}: {said}");
    }
}
