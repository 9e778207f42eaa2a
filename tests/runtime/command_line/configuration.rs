//! config.json: what `spec` writes of it, and how it is found and read.

use std::fs;
use std::io::Write;

use serde_json::{Value, json};

use super::bare;
use crate::harness::{Bundle, host};

#[test]
fn spec_writes_a_config_that_runs() {
    let bundle = Bundle::new();
    bare(&bundle).arg("spec").ok();
    let config: Value = serde_json::from_str(&bundle.read_file("config.json")).expect("config.json is JSON");
    assert_eq!(config["root"], json!({"path": "rootfs", "readonly": true}));
    assert_eq!(config["process"]["args"], json!(["sh"]));
    assert_eq!(config["process"]["terminal"], true);
    bare(&bundle).arg("spec").run().refused(&["config.json", "exist"]);

    let mut config = config;
    config["process"]["terminal"] = json!(false);
    fs::write(bundle.path("config.json"), config.to_string()).expect("write config.json");
    let call = bundle.call("run").arg("--bundle").arg(&bundle.directory).arg(&bundle.id);
    let ran = call.input("id -u; hostname; touch /x || echo read-only; exit 3\n").run();
    assert_eq!(ran.code, 3, "{ran}");
    assert!(ran.stdout.starts_with("0\n") && ran.stdout.ends_with("read-only\n"), "{ran}");
}

#[test]
fn spec_takes_a_bundle() {
    let bundle = Bundle::new();
    bare(&bundle).arg("spec").arg("--bundle").arg(&bundle.directory).directory("/").ok();
    assert!(bundle.path("config.json").exists());
    bare(&bundle).arg("spec").args(["--bundle", "/nonexistent"]).run().refused(&["/nonexistent"]);
}

#[test]
fn spec_for_an_ordinary_user() {
    let bundle = Bundle::new();
    let directory = bundle.make_directory("user");
    host(&format!("chown 4711:4712 {}", directory.display()));
    bare(&bundle).args(["spec", "--rootless"]).user(4711, 4712).directory(&directory).ok();
    let config: Value = serde_json::from_str(&bundle.read_file("user/config.json")).expect("config.json is JSON");
    assert_eq!(config["linux"]["uidMappings"], json!([{"containerID": 0, "hostID": 4711, "size": 1}]));
    assert_eq!(config["linux"]["gidMappings"], json!([{"containerID": 0, "hostID": 4712, "size": 1}]));
    let types: Vec<_> = config["linux"]["namespaces"].as_array().expect("namespaces").iter().collect();
    assert!(types.iter().any(|namespace| namespace["type"] == "user"), "{types:?}");
    assert!(!types.iter().any(|namespace| namespace["type"] == "network"), "{types:?}");
}

#[test]
fn another_config_file() {
    let mut bundle = Bundle::script("echo usual");
    bundle.write();
    bundle.config.script("echo other");
    let other = bundle.write_file("other/config.json", &bundle.config.0.to_string());
    let call = |command: &str| bundle.call(command).arg("--bundle").arg(&bundle.directory);
    assert_eq!(call("run").arg("--config").arg(&other).arg(&bundle.id).ok().stdout, "other\n");
    assert_eq!(call("run").arg(&bundle.id).ok().stdout, "usual\n");
    call("run").args(["--config", "/nonexistent/config", &bundle.id]).run().refused(&["/nonexistent/config"]);
}

#[test]
fn the_configuration_is_read_once() {
    // A pipe can't be read twice, and what is checked is what is run.
    let bundle = Bundle::staying();
    let text = fs::read_to_string(bundle.write().directory.join("config.json")).expect("read config.json");
    let call = |command: &str| {
        let (reader, mut writer) = std::io::pipe().expect("make a pipe");
        writer.write_all(text.as_bytes()).expect("fill the pipe");
        let call = bundle.call(command).args(["--config", "/proc/self/fd/0", "--bundle"]).arg(&bundle.directory);
        call.stdin(reader)
    };
    call("create").arg(&bundle.id).ok();
    bundle.call("delete").args(["--force", &bundle.id]).ok();
    call("run").args(["--detach", &bundle.id]).ok();
    bundle.call("delete").args(["--force", &bundle.id]).ok();
    bundle.assert_nothing_left();
}
