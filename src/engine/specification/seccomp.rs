//! The default seccomp profile, docker's, kept as data in `seccomp.json`: what any container may call, and what only with a capability.

use std::collections::BTreeMap;

use anyhow::{Context, Result};
use serde::Deserialize;
use serde_json::{Value, json};

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

/// Requests of ioctl(2) that take a file out of the project whose quota it counts for: FS_IOC_FSSETXATTR changes the project, and FS_IOC_SETFLAGS
/// (of 64 and of 32 bits) what a directory hands on. The kernel lets a file's owner do so in the machine's user namespace
/// (fileattr_set_prepare() in fs/file_attr.c). file_setattr(2) is none of the calls that docker allows.
const LEAVES_PROJECT: [u32; 3] = [0x401c_5820, 0x4008_6602, 0x4004_6602];

/// What any container may call, unless it is a call that would take its files out of their quota. Those fail as on a file system that
/// doesn't have them.
fn within_quota(allow: &mut Vec<String>) -> Vec<Value> {
    const COMMAND: u32 = 1;
    allow.retain(|name| name != "ioctl");
    let refused = LEAVES_PROJECT.map(|request| {
        // The kernel looks at 32 bits of what has 64.
        let argument = json!({"index": COMMAND, "value": u32::MAX, "valueTwo": request, "op": "SCMP_CMP_MASKED_EQ"});
        json!({"names": ["ioctl"], "action": "SCMP_ACT_ERRNO", "errnoRet": libc::EOPNOTSUPP, "args": [argument]})
    });
    // A rule without conditions would come before those with some.
    let any = json!({"index": COMMAND, "value": 0, "op": "SCMP_CMP_GE"});
    let others = json!({"names": ["ioctl"], "action": "SCMP_ACT_ALLOW", "args": [any]});
    refused.into_iter().chain([others]).collect()
}

/// `linux.seccomp` for a container with these capabilities, of whose files some may have a quota.
pub(super) fn default(capabilities: &[String], has_quota: bool) -> Result<Value> {
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
    let within_quota = if has_quota { within_quota(&mut allow) } else { Vec::new() };
    let mut rules = vec![json!({"names": allow, "action": "SCMP_ACT_ALLOW"})];
    rules.extend(within_quota);
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

/// A profile of the caller's: in the form of the runtime's specification, or in docker's, where rules have conditions.
pub(super) fn of_text(text: &str, capabilities: &[String]) -> Result<Value> {
    let mut profile: Value = serde_json::from_str(text).context("decoding seccomp profile failed")?;
    let native = match std::env::consts::ARCH {
        "x86_64" => ("amd64", "SCMP_ARCH_X86_64"),
        "aarch64" => ("arm64", "SCMP_ARCH_AARCH64"),
        other => (other, ""),
    };
    let object = profile.as_object_mut().context("the seccomp profile is no JSON object")?;
    if let Some(Value::Array(map)) = object.remove("archMap")
        && let Some(own) = map.into_iter().find(|entry| entry["architecture"] == native.1)
    {
        let below = own["subArchitectures"].as_array().cloned().unwrap_or_default();
        object.insert("architectures".into(), std::iter::once(native.1.into()).chain(below).collect());
    }
    if let Some(Value::Array(rules)) = object.get_mut("syscalls") {
        rules.retain(|rule| applies(rule, native.0, capabilities));
    }
    Ok(profile)
}

/// Whether docker's conditions of a rule are met: all that it includes, and nothing of what it excludes.
fn applies(rule: &Value, architecture: &str, capabilities: &[String]) -> bool {
    let list = |side: &str, key: &str| rule[side][key].as_array().cloned().unwrap_or_default();
    let has = |name: &Value| capabilities.iter().any(|capability| name == capability);
    let included = list("includes", "arches");
    let is_new_enough = rule["includes"]["minKernel"].as_str().is_none_or(|wanted| kernel() >= version(wanted));
    is_new_enough
        && (included.is_empty() || included.iter().any(|name| name == architecture))
        && list("includes", "caps").iter().all(has)
        && !list("excludes", "arches").iter().any(|name| name == architecture)
        && !list("excludes", "caps").iter().any(has)
        && rule["excludes"]["minKernel"].as_str().is_none_or(|limit| kernel() < version(limit))
}

fn kernel() -> (u32, u32) {
    version(&rustix::system::uname().release().to_string_lossy())
}

/// The first two numbers of a version.
fn version(text: &str) -> (u32, u32) {
    let mut numbers = text.split(|letter: char| !letter.is_ascii_digit()).map(|number| number.parse().unwrap_or(0));
    (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::seccomp::Architecture;
    use crate::seccomp::interpreter::{Data, run};

    /// Of linux/seccomp.h.
    const SECCOMP_RET_ALLOW: u32 = 0x7fff_0000;
    const SECCOMP_RET_ERRNO: u32 = 0x0005_0000;

    #[test]
    fn rules_of_a_profile_in_dockers_form_have_conditions() {
        let text = r#"{"defaultAction": "SCMP_ACT_ERRNO",
            "archMap": [{"architecture": "SCMP_ARCH_X86_64", "subArchitectures": ["SCMP_ARCH_X86"]},
                {"architecture": "SCMP_ARCH_AARCH64", "subArchitectures": ["SCMP_ARCH_ARM"]}],
            "syscalls": [
                {"names": ["always"], "action": "SCMP_ACT_ALLOW"},
                {"names": ["with"], "action": "SCMP_ACT_ALLOW", "includes": {"caps": ["CAP_SYS_ADMIN"]}},
                {"names": ["without"], "action": "SCMP_ACT_ALLOW", "excludes": {"caps": ["CAP_SYS_ADMIN"]}},
                {"names": ["elsewhere"], "action": "SCMP_ACT_ALLOW", "includes": {"arches": ["s390x"]}},
                {"names": ["new"], "action": "SCMP_ACT_ALLOW", "includes": {"minKernel": "4.8"}},
                {"names": ["future"], "action": "SCMP_ACT_ALLOW", "includes": {"minKernel": "99.1"}}]}"#;
        let names = |capabilities: &[String]| -> Vec<String> {
            let profile = of_text(text, capabilities).unwrap();
            assert_eq!(profile["architectures"].as_array().unwrap().len(), 2);
            let rules = profile["syscalls"].as_array().unwrap();
            rules.iter().map(|rule| rule["names"][0].as_str().unwrap().to_owned()).collect()
        };
        assert_eq!(names(&[]), ["always", "without", "new"]);
        assert_eq!(names(&["CAP_SYS_ADMIN".into()]), ["always", "with", "new"]);
        assert!(of_text("nonsense", &[]).is_err() && of_text("[]", &[]).is_err());
    }

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
        let ours = default(&capabilities, false).unwrap();
        assert_eq!(meaning(&ours), meaning(&docker));
        for key in ["defaultAction", "defaultErrnoRet", "architectures"] {
            assert_eq!(ours[key], docker[key]);
        }
    }

    #[test]
    fn a_capability_brings_its_calls() {
        let (plain, others) = meaning(&default(&["CAP_SYS_ADMIN".into()], false).unwrap());
        assert!(plain.contains("mount") && plain.contains("clone3") && !plain.contains("chroot"));
        assert!(!others.iter().any(|rule| rule.contains("clone")));
        let (plain, _) = meaning(&default(&[], false).unwrap());
        assert!(!plain.contains("mount") && !plain.contains("chroot"));
    }

    #[test]
    fn what_leaves_a_quota_is_refused_and_no_other_request() {
        let profile = default(&[], true).unwrap();
        let (plain, _) = meaning(&profile);
        assert!(!plain.contains("ioctl") && !plain.contains("file_setattr"));
        let rules: Vec<&Value> = profile["syscalls"].as_array().unwrap().iter().collect();
        let of_ioctl: Vec<&&Value> = rules.iter().filter(|rule| rule["names"] == json!(["ioctl"])).collect();
        assert_eq!(of_ioctl.len(), 4);
    }

    /// What becomes of a request of ioctl(2), by the filter that a container with a quota has.
    fn outcome(native: Architecture, (architecture, number): (Architecture, u32), request: u64) -> u32 {
        let mut profile = default(&[], true).unwrap();
        profile["architectures"] = Architecture::of_machine(native).iter().map(|one| one.name()).collect();
        let profile = serde_json::from_value(profile).unwrap();
        let program = crate::seccomp::compile(&profile, native).unwrap();
        let data = Data { number, architecture: architecture.audit(), arguments: [3, request, 0, 0, 0, 0] };
        run(&program.instructions, &data).action
    }

    #[test]
    fn a_quota_is_not_left_by_any_entry_to_the_kernel() {
        use Architecture::{Aarch64, Arm, X32, X86, X86_64};
        const X32_BIT: u32 = 0x4000_0000;
        let entries = [
            (X86_64, X86_64, 16),
            (X86_64, X86, 54),
            (X86_64, X32, X32_BIT | 514),
            (Aarch64, Aarch64, 29),
            (Aarch64, Arm, 54),
        ];
        // TCGETS, FS_IOC_GETFLAGS, FS_IOC_FSGETXATTR, FICLONE, and neighbours in each part of what is refused.
        let others = [0x5401, 0x8008_6601, 0x801c_581f, 0x4004_9409, 0x401c_5821, 0x401d_5820, 0x4008_6603, 0x6602, 0];
        for (native, architecture, number) in entries {
            let outcome = |request| outcome(native, (architecture, number), request);
            for upper in [0, 1 << 32, 0xffff_ffff << 32] {
                for request in LEAVES_PROJECT {
                    let refused = SECCOMP_RET_ERRNO | libc::EOPNOTSUPP.unsigned_abs();
                    assert_eq!(
                        outcome(upper | u64::from(request)),
                        refused,
                        "{architecture:?} {request:#x} {upper:#x}"
                    );
                }
                for request in others {
                    assert_eq!(outcome(upper | request), SECCOMP_RET_ALLOW, "{architecture:?} {request:#x}");
                }
            }
        }
        // x86-64's own number of ioctl(2) with the bit of x32, and x32's without it, are nobody's.
        for number in [X32_BIT | 16, 514] {
            assert_ne!(outcome(X86_64, (X86_64, number), 0x5401), SECCOMP_RET_ALLOW, "{number:#x}");
        }
    }
}
