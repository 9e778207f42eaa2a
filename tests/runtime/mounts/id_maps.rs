//! Mounts whose owners are mapped.

use std::fs;
use std::os::unix::fs::MetadataExt;

use serde_json::json;

use super::bundle_with_tree;
use crate::harness::{Bundle, Config, each, host};

#[test]
fn idmapped_mounts() {
    let mut bundle = Bundle::new();
    bundle.write_file("source/file", "content\n");
    host(&format!("chown 5:6 {}", bundle.path("source/file").display()));
    let mount = json!({
        "destination": "/data", "type": "bind", "source": bundle.text_path("source"), "options": ["bind", "idmap"],
        "uidMappings": [{"containerID": 0, "hostID": 3000, "size": 100}],
        "gidMappings": [{"containerID": 0, "hostID": 4000, "size": 100}]
    });
    bundle.config.push("/mounts", mount);
    bundle
        .config
        .capabilities(&["bounding", "permitted", "effective"], &["CAP_DAC_OVERRIDE", "CAP_SETUID", "CAP_SETGID"]);
    assert_eq!(bundle.shell("stat -c '%u %g' /data/file"), "3005 4006\n");
}

#[test]
fn idmapped_mounts_of_a_user_namespace() {
    let mut bundle = Bundle::new();
    host(&format!("chown -R 200000:200000 {}", bundle.rootfs.display()));
    bundle.write_file("source/file", "content\n");
    host(&format!("chown 5:6 {}", bundle.path("source/file").display()));
    bundle.config.user_namespace(200_000);
    let source = bundle.path("source");
    bundle.config.bind(&source, "/plain", &["bind"]);
    // Without mappings of its own, the mount has the container's.
    bundle.config.bind(&source, "/mapped", &["bind", "idmap"]);
    let mappings = json!([{"containerID": 0, "hostID": 200_000, "size": 65536}]);
    let mount = json!({
        "destination": "/given", "type": "bind", "source": bundle.text_path("source"), "options": ["bind"],
        "uidMappings": mappings, "gidMappings": mappings
    });
    bundle.config.push("/mounts", mount);
    assert_eq!(
        bundle.shell(
            "stat -c '%u %g' /plain/file /mapped/file /given/file; touch /mapped/new; stat -c '%u %g' /mapped/new"
        ),
        "65534 65534\n5 6\n5 6\n0 0\n"
    );
    let made = fs::metadata(bundle.path("source/new")).expect("the file is in the source");
    assert_eq!((made.uid(), made.gid()), (0, 0));
}

#[test]
fn idmapped_mounts_of_a_joined_user_namespace() {
    // What a pod's second container gets of a device's description: `idmap`, and no mappings.
    let mut bundle = Bundle::new();
    host(&format!("chown -R 200000:200000 {}", bundle.rootfs.display()));
    bundle.write_file("source/file", "content\n");
    host(&format!("chown 5:6 {}", bundle.path("source/file").display()));
    bundle.config.user_namespace(200_000).stay();
    let first = bundle.start();
    bundle.config.join_namespace("user", first.namespace_path("user"));
    bundle.bind("source", "/mapped", &["bind", "idmap"]);
    bundle.config.args(["stat", "-c", "%u %g", "/mapped/file"]);
    let another = bundle.another_id("second");
    // With the mappings of the namespace said again, and without.
    assert_eq!(bundle.run_call().arg(&another).ok().stdout, "5 6\n");
    bundle.config.remove("/linux/uidMappings").remove("/linux/gidMappings");
    assert_eq!(bundle.run_call().arg(&another).ok().stdout, "5 6\n");
    first.stop();
}

#[test]
fn ridmap_reaches_the_mounts_below() {
    let mut bundle = bundle_with_tree();
    host(&format!(
        "cd {0}; chown -R 200000:200000 rootfs; chown 5:6 source/file source/below/file",
        bundle.directory.display()
    ));
    bundle.config.user_namespace(200_000);
    bundle.bind("source", "/top", &["rbind", "idmap"]);
    bundle.bind("source", "/tree", &["rbind", "ridmap"]);
    assert_eq!(
        bundle.shell("stat -c '%u %g' /top/file /top/below/file /tree/file /tree/below/file"),
        "5 6\n65534 65534\n5 6\n5 6\n"
    );
    host(&format!("umount {}/source/below", bundle.directory.display()));
}

#[test]
fn idmapped_mounts_that_make_no_sense() {
    let mut bundle = Bundle::new();
    bundle.make_directory("source");
    let source = bundle.text_path("source");
    let mappings = json!([{"containerID": 0, "hostID": 1000, "size": 10}]);
    each(
        [
            json!({"destination": "/x", "type": "bind", "source": source, "options": ["bind"], "uidMappings": mappings}),
            json!({"destination": "/x", "type": "bind", "source": source, "options": ["bind", "idmap"]}),
            json!({"destination": "/x", "type": "tmpfs", "source": "x", "uidMappings": mappings, "gidMappings": mappings}),
        ],
        |mount| {
            bundle.config = Config::usual();
            bundle.config.push("/mounts", mount);
            bundle.refused(&["mounts[7]"]);
        },
    );
}
