//! `ctn network`, as a person calls it.

use std::process::{Command, Output};

use serde_json::Value;

use crate::harness::*;

struct Ctn {
    host: Host,
}

impl Ctn {
    fn new() -> Ctn {
        Ctn { host: Host::new() }
    }

    fn call(&self, arguments: &[&str]) -> Output {
        let mut command = Command::new(env!("CARGO_BIN_EXE_ctn"));
        command.env_clear().env("CTN_ROOT", self.host.directory.join("store")).arg("network").args(arguments);
        command.output().unwrap()
    }

    #[track_caller]
    fn says(&self, arguments: &[&str]) -> String {
        let output = self.call(arguments);
        assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    }

    #[track_caller]
    fn refuses(&self, arguments: &[&str]) -> String {
        let output = self.call(arguments);
        assert_eq!(output.status.code(), Some(1), "{arguments:?}");
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(said.lines().count(), 1, "{said}");
        said.trim_end().to_owned()
    }
}

#[test]
fn made_listed_and_removed() {
    let ctn = Ctn::new();
    let id = ctn.says(&[
        "create",
        "--subnet",
        "10.9.0.0/24",
        "--ip-range",
        "10.9.0.128/25",
        "--label",
        "tier=front",
        "mine",
    ]);
    assert_eq!(id.trim().len(), 64);
    let list = ctn.says(&["ls"]);
    let rows: Vec<Vec<&str>> = list.lines().map(|line| line.split_whitespace().collect()).collect();
    assert_eq!(rows[0], ["NETWORK", "ID", "NAME", "DRIVER", "SCOPE"]);
    let names: Vec<&[&str]> = rows[1..].iter().map(|row| &row[1..]).collect();
    let wanted = [
        ["bridge", "bridge", "local"],
        ["host", "host", "local"],
        ["mine", "bridge", "local"],
        ["none", "null", "local"],
    ];
    assert_eq!(names, wanted);
    assert_eq!(ctn.says(&["ls", "-q", "--no-trunc", "-f", "label=tier=front"]), id);
    assert_eq!(ctn.says(&["ls", "--format", "{{.Name}}:{{.Driver}}", "-f", "type=custom"]), "mine:bridge\n");
    assert_eq!(ctn.says(&["ls", "-q", "-f", "driver=macvlan"]), "");
    assert_eq!(ctn.says(&["rm", "mine"]), "mine\n");
    assert_eq!(ctn.refuses(&["rm", "mine"]), "Error: network mine not found");
    assert_eq!(ctn.refuses(&["rm", "bridge"]), "Error: bridge is a pre-defined network and cannot be removed");
    ctn.says(&["rm", "--force", "mine"]);
}

#[test]
fn inspected() {
    let ctn = Ctn::new();
    let options =
        ["-o", "com.docker.network.driver.mtu=1400", "--aux-address", "router=10.9.0.9", "--gateway", "10.9.0.254"];
    ctn.says(&[&["create", "--subnet", "10.9.0.0/24", "--internal"], &options[..], &["mine"]].concat());
    let found: Value = serde_json::from_str(&ctn.says(&["inspect", "mine"])).unwrap();
    let one = &found[0];
    assert_eq!(one["Driver"], "bridge");
    assert_eq!(one["Internal"], true);
    assert_eq!(one["IPAM"]["Config"][0]["Gateway"], "10.9.0.254");
    assert_eq!(one["IPAM"]["Config"][0]["AuxiliaryAddresses"]["router"], "10.9.0.9");
    assert_eq!(one["Options"]["com.docker.network.driver.mtu"], "1400");
    let subnet = ctn.says(&["inspect", "-f", "{{range .IPAM.Config}}{{.Subnet}}{{end}}", "mine"]);
    assert_eq!(subnet, "10.9.0.0/24\n");
    // The default one is made when it is looked at.
    let bridge: Value = serde_json::from_str(&ctn.says(&["inspect", "bridge", "host", "none"])).unwrap();
    assert!(bridge[0]["IPAM"]["Config"][0]["Subnet"].is_string());
    assert_eq!(bridge[2]["Driver"], "null");
    let output = ctn.call(&["inspect", "nothing", "host"]);
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(String::from_utf8_lossy(&output.stderr), "Error: network nothing not found\n");
    assert!(String::from_utf8_lossy(&output.stdout).contains("\"host\""));
}

#[test]
fn pruned() {
    let ctn = Ctn::new();
    for (name, label) in [("one", "keep=1"), ("two", "keep=0")] {
        ctn.says(&["create", "--label", label, name]);
    }
    assert_eq!(ctn.says(&["prune", "--force", "--filter", "label=keep=0"]), "Deleted Networks:\ntwo\n\n");
    assert_eq!(ctn.says(&["prune", "-f", "--filter", "until=1h"]), "");
    assert_eq!(ctn.says(&["prune", "-f", "--filter", "label!=keep"]), "");
    assert_eq!(ctn.says(&["prune", "-f"]), "Deleted Networks:\none\n\n");
    ctn.says(&["reload"]);
}

#[test]
fn what_is_refused() {
    let ctn = Ctn::new();
    ctn.says(&["create", "--subnet", "10.9.0.0/24", "mine"]);
    let refusals = [
        (&["create", "mine"][..], "network with name mine already exists"),
        (&["create", "host"], "network with name host already exists"),
        (&["create", "--driver", "overlay", "x"], "could not find the network driver \"overlay\""),
        (&["create", "--subnet", "10.9.0.128/25", "x"], "overlaps 10.9.0.0/24 of the network mine"),
        (&["create", "--subnet", "192.0.2.0/24", "x"], "overlaps the host's route 192.0.2.0/24 by eth0"),
        (&["create", "--subnet", "x", "x"], "invalid subnet \"x\""),
        (&["create", "--gateway", "x", "x"], "invalid address \"x\""),
        (&["create", "-o", "x=1", "x"], "the bridge driver has no option \"x\""),
        (&["create", "-d", "macvlan", "x"], "a macvlan network needs a link of the host: --opt parent=LINK"),
        (
            &["create", "-d", "ipvlan", "-o", "parent=eth9", "x"],
            "the parent eth9 of the ipvlan network is no link of the host",
        ),
        (&["create", "a/b"], "invalid network name: \"a/b\""),
        (&["connect", "mine", "nobody"], "No such container: nobody"),
        (&["disconnect", "mine", "nobody"], "No such container: nobody"),
        (&["ls", "-f", "x=1"], "invalid filter 'x'"),
    ];
    for (arguments, wanted) in refusals {
        let said = ctn.refuses(arguments);
        assert!(said.contains(wanted), "{arguments:?}: {said}");
    }
    assert_eq!(ctn.call(&["create"]).status.code(), Some(1));
    assert_eq!(ctn.call(&["create", "--nothing"]).status.code(), Some(125));
    assert_eq!(ctn.says(&["ls", "-q", "-f", "type=custom"]).lines().count(), 1);
}

#[test]
fn networks_are_made_like_one_that_is_none() {
    let ctn = Ctn::new();
    ctn.says(&[
        "create",
        "--config-only",
        "--subnet",
        "10.9.7.0/24",
        "--gateway",
        "10.9.7.9",
        "--label",
        "a=b",
        "like",
    ]);
    let inspect = |name: &str| -> Value { serde_json::from_str(&ctn.says(&["inspect", name])).unwrap() };
    let like = &inspect("like")[0];
    assert_eq!((&like["ConfigOnly"], &like["Driver"]), (&true.into(), &"null".into()));
    assert_eq!(like["IPAM"]["Config"][0]["Subnet"], "10.9.7.0/24");
    ctn.says(&["create", "--config-from", "like", "--scope", "local", "made"]);
    let made = &inspect("made")[0];
    assert_eq!((&made["ConfigFrom"]["Network"], &made["Driver"]), (&"like".into(), &"bridge".into()));
    assert_eq!(made["IPAM"]["Config"][0], serde_json::json!({"Subnet": "10.9.7.0/24", "Gateway": "10.9.7.9"}));
    assert_eq!(made["Labels"]["a"], "b");
    assert!(ctn.refuses(&["rm", "like"]).contains("configuration network \"like\" is in use"));
    ctn.says(&["rm", "made"]);
    ctn.says(&["prune", "-f"]);
    ctn.says(&["rm", "like"]);

    ctn.says(&["create", "--ipam-driver", "default", "--ipam-opt", "x=y", "kept"]);
    assert_eq!(inspect("kept")[0]["IPAM"]["Options"]["x"], "y");
    assert!(ctn.refuses(&["create", "--ipam-driver", "null", "other"]).contains("IPAM driver \"null\""));
    assert!(ctn.refuses(&["create", "--scope", "swarm", "other"]).contains("the scope \"swarm\""));
}
