//! `features`.

use serde_json::{Value, json};

use super::bare;
use crate::harness::Bundle;

#[test]
fn what_is_listed() {
    let bundle = Bundle::new();
    let ran = bare(&bundle).arg("features").ok();
    assert_eq!(ran.stderr, "", "cri-o reads both as one");
    let features = ran.json();
    assert_eq!(features["ociVersionMin"], "1.0.0");
    assert!(features["ociVersionMax"].as_str().is_some_and(|version| version.starts_with("1.")), "{features}");
    let has = |pointer: &str, name: &str| {
        let list = features.pointer(pointer).and_then(Value::as_array);
        assert!(list.is_some_and(|list| list.contains(&json!(name))), "no {name} in {pointer}: {features}");
    };
    for hook in ["prestart", "createRuntime", "createContainer", "startContainer", "poststart", "poststop"] {
        has("/hooks", hook);
    }
    for option in ["rro", "rbind", "nosuid", "private", "rslave", "tmpcopyup", "rnosymfollow", "idmap", "ridmap"] {
        if !(crate::harness::call::foreign() && option.ends_with("idmap")) {
            has("/mountOptions", option);
        }
    }
    for kind in ["cgroup", "ipc", "mount", "network", "pid", "time", "user", "uts"] {
        has("/linux/namespaces", kind);
    }
    for capability in ["CAP_CHOWN", "CAP_SYS_ADMIN", "CAP_CHECKPOINT_RESTORE"] {
        has("/linux/capabilities", capability);
    }
    for (flag, value) in [
        ("/linux/cgroup/v2", true),
        ("/linux/seccomp/enabled", true),
        ("/linux/mountExtensions/idmap/enabled", true),
        ("/linux/netDevices/enabled", true),
    ] {
        assert_eq!(features.pointer(flag), Some(&json!(value)), "{flag} in {features}");
    }
    for action in ["SCMP_ACT_ALLOW", "SCMP_ACT_ERRNO", "SCMP_ACT_KILL_PROCESS", "SCMP_ACT_NOTIFY"] {
        has("/linux/seccomp/actions", action);
    }
}

#[test]
fn what_spec_1_3_added() {
    let bundle = Bundle::new();
    let features = bare(&bundle).arg("features").ok().json();
    assert_eq!(features["ociVersionMax"], "1.3.0");
    assert_eq!(features["linux"]["cgroup"]["v1"], false, "cgroup v1 is not driven");
    assert_eq!(features["linux"]["intelRdt"]["enabled"], true);
    assert!(features["linux"]["memoryPolicy"]["modes"].as_array().is_some_and(|modes| !modes.is_empty()));
    for key in features["potentiallyUnsafeConfigAnnotations"].as_array().expect("an array") {
        assert!(key.is_string());
    }
}
