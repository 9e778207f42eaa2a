//! The default seccomp profile, docker's, kept as data in `seccomp.json`: what any container may call, and what only with a capability.

use std::collections::BTreeMap;

use anyhow::{Context, Result};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::error::Attempt;

#[derive(Deserialize)]
struct Profile {
    allow: Vec<String>,
    architectures: BTreeMap<String, Architecture>,
    rules: Vec<Value>,
    with: BTreeMap<String, Vec<String>>,
    without: BTreeMap<String, Vec<Value>>,
}

#[derive(Deserialize)]
struct Architecture {
    names: Vec<String>,
    allow: Vec<String>,
}

/// `linux.seccomp` for a container with these capabilities.
pub(super) fn default(capabilities: &[String]) -> Result<Value> {
    let profile: Profile = serde_json::from_str(include_str!("seccomp.json")).context("the default seccomp profile")?;
    let has = |name: &str| capabilities.iter().any(|capability| capability == name);
    let mut allow = profile.allow;
    let mut architectures = Vec::new();
    if let Some(own) = profile.architectures.into_iter().find(|(name, _)| name == std::env::consts::ARCH) {
        allow.extend(own.1.allow);
        architectures = own.1.names;
    }
    for (capability, names) in profile.with {
        if has(&capability) {
            allow.extend(names);
        }
    }
    allow.sort();
    allow.dedup();
    let mut rules = vec![json!({"names": allow, "action": "SCMP_ACT_ALLOW"})];
    rules.extend(profile.rules);
    for (capability, without) in profile.without {
        if !has(&capability) {
            rules.extend(without);
        }
    }
    Ok(json!({
        "defaultAction": "SCMP_ACT_ERRNO", "defaultErrnoRet": 1, "architectures": architectures, "syscalls": rules,
    }))
}

/// A profile of the caller's, in the form of the runtime's specification.
pub(super) fn of_file(path: &str) -> Result<Value> {
    let text = std::fs::read(path).attempt(|| format!("opening seccomp profile ({path}) failed"))?;
    let profile: Value =
        serde_json::from_slice(&text).with_context(|| format!("decoding seccomp profile ({path}) failed"))?;
    Ok(profile)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    /// What is allowed without a look at arguments, and all other rules.
    fn meaning(profile: &Value) -> (BTreeSet<String>, BTreeSet<String>) {
        let (mut plain, mut others) = (BTreeSet::new(), BTreeSet::new());
        for rule in profile["syscalls"].as_array().unwrap() {
            let names = rule["names"].as_array().unwrap().iter().map(|name| name.as_str().unwrap().to_owned());
            if rule["action"] == "SCMP_ACT_ALLOW" && rule["args"].as_array().is_none_or(Vec::is_empty) {
                plain.extend(names);
            } else {
                others.insert(format!(
                    "{names:?} {} {} {}",
                    rule["action"],
                    rule["args"],
                    rule["errnoRet"],
                    names = names.collect::<Vec<_>>()
                ));
            }
        }
        (plain, others)
    }

    #[test]
    #[cfg(target_arch = "x86_64")]
    fn the_default_is_what_docker_gives_the_runtime() {
        let docker: Value = serde_json::from_str(include_str!("../../../tests/data/seccomp-docker.json")).unwrap();
        let capabilities: Vec<String> =
            super::super::capabilities::DEFAULT.iter().map(|name| (*name).to_owned()).collect();
        let ours = default(&capabilities).unwrap();
        assert_eq!(meaning(&ours), meaning(&docker));
        for key in ["defaultAction", "defaultErrnoRet", "architectures"] {
            assert_eq!(ours[key], docker[key]);
        }
    }

    #[test]
    fn a_capability_brings_its_calls() {
        let (plain, others) = meaning(&default(&["CAP_SYS_ADMIN".into()]).unwrap());
        assert!(plain.contains("mount") && plain.contains("clone3") && !plain.contains("chroot"));
        assert!(!others.iter().any(|rule| rule.contains("clone")));
        let (plain, _) = meaning(&default(&[]).unwrap());
        assert!(!plain.contains("mount") && !plain.contains("chroot"));
    }
}
