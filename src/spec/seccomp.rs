//! `linux.seccomp`: the words of the specification (config-linux.md, "Seccomp"), not yet judged.
//!
//! Names of actions, architectures, operators and flags stay text here: what they mean, and which are refused, is
//! decided by [`crate::seccomp::compile`], which can name the rule. Properties that the specification doesn't have are
//! ignored, and `null` is the same as absent, as Go programs write it.

use std::path::PathBuf;

use serde::{Deserialize, Deserializer, Serialize};

/// A filter on system calls.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Seccomp {
    /// What happens to a call that no rule matches: `SCMP_ACT_…`.
    #[serde(deserialize_with = "null_is_default")]
    pub default_action: String,
    /// The errno (or a tracer's message) of the default action; EPERM where absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub default_errno_ret: Option<u32>,
    /// The architectures whose calls may be made, `SCMP_ARCH_…`; the machine's own is always one of them.
    #[serde(deserialize_with = "null_is_default", skip_serializing_if = "Vec::is_empty")]
    pub architectures: Vec<String>,
    /// Flags of seccomp(2), `SECCOMP_FILTER_FLAG_…`. Absent is not the same as empty: absent means the default flags.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub flags: Option<Vec<String>>,
    /// The AF_UNIX socket of the agent that answers `SCMP_ACT_NOTIFY`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub listener_path: Option<PathBuf>,
    /// Handed to the agent as it stands.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub listener_metadata: Option<String>,
    /// The rules.
    #[serde(deserialize_with = "null_is_default", skip_serializing_if = "Vec::is_empty")]
    pub syscalls: Vec<Syscall>,
}

/// One rule: the same action for some system calls.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Syscall {
    /// The calls by name; a name that is not known is no error.
    #[serde(deserialize_with = "null_is_default")]
    pub names: Vec<String>,
    /// `SCMP_ACT_…`.
    #[serde(deserialize_with = "null_is_default")]
    pub action: String,
    /// The errno (or a tracer's message) of the action; EPERM where absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub errno_ret: Option<u32>,
    /// Conditions on the arguments.
    #[serde(deserialize_with = "null_is_default", skip_serializing_if = "Vec::is_empty")]
    pub args: Vec<Argument>,
}

/// One condition on an argument of a system call.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Argument {
    /// Which argument: 0 to 5.
    pub index: u32,
    /// What it is compared with; for `SCMP_CMP_MASKED_EQ` the mask.
    pub value: u64,
    /// For `SCMP_CMP_MASKED_EQ`: what the masked argument is compared with.
    pub value_two: u64,
    /// `SCMP_CMP_…`.
    #[serde(deserialize_with = "null_is_default")]
    pub op: String,
}

impl Seccomp {
    /// Whether it says nothing at all, which runc takes for no filter.
    pub fn is_empty(&self) -> bool {
        self.default_action.is_empty() && self.syscalls.is_empty()
    }
}

fn null_is_default<'de, D: Deserializer<'de>, T: Default + Deserialize<'de>>(from: D) -> Result<T, D::Error> {
    Ok(Option::deserialize(from)?.unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn absent_flags_are_not_empty_flags() {
        let flags = |text: &str| serde_json::from_str::<Seccomp>(text).unwrap().flags;
        assert_eq!(flags("{}"), None);
        assert_eq!(flags(r#"{"flags": null}"#), None);
        assert_eq!(flags(r#"{"flags": []}"#), Some(vec![]));
    }

    #[test]
    fn only_a_profile_without_action_and_rules_is_empty() {
        let is_empty = |text: &str| serde_json::from_str::<Seccomp>(text).unwrap().is_empty();
        assert!(is_empty(r#"{"architectures": ["SCMP_ARCH_X86"]}"#));
        assert!(!is_empty(r#"{"defaultAction": "SCMP_ACT_ALLOW"}"#));
        assert!(!is_empty(r#"{"syscalls": [{"names": ["dup"], "action": "SCMP_ACT_ALLOW"}]}"#));
    }

    #[test]
    fn unknown_words_and_properties_do_not_fail_the_file() {
        let text = r#"{"defaultAction": "SCMP_ACT_LATER", "architectures": ["SCMP_ARCH_NEXT"], "future": {"a": 1},
            "syscalls": [{"names": null, "action": "SCMP_ACT_X", "args": null, "comment": "why"}]}"#;
        let profile: Seccomp = serde_json::from_str(text).unwrap();
        assert_eq!(profile.default_action, "SCMP_ACT_LATER");
        assert_eq!(profile.syscalls[0].args, vec![]);
    }

    #[test]
    fn all_properties_are_read_and_written_alike() {
        let text = r#"{"defaultAction":"SCMP_ACT_ERRNO","defaultErrnoRet":38,"architectures":["SCMP_ARCH_X86_64"],
            "flags":["SECCOMP_FILTER_FLAG_LOG"],"listenerPath":"/run/agent","listenerMetadata":"m",
            "syscalls":[{"names":["clone"],"action":"SCMP_ACT_TRACE","errnoRet":7,
            "args":[{"index":5,"value":18446744073709551615,"valueTwo":2,"op":"SCMP_CMP_MASKED_EQ"}]}]}"#;
        let profile: Seccomp = serde_json::from_str(text).unwrap();
        assert_eq!(profile.syscalls[0].args[0].value, u64::MAX);
        let given: serde_json::Value = serde_json::from_str(text).unwrap();
        assert_eq!(serde_json::to_value(&profile).unwrap(), given);
    }
}
