//! `linux.devices`, and what the device program allows.

use serde_json::{Value, json};

use super::Facts;
use crate::engine::record::HostConfig;

/// A device of the host that the container gets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Node {
    /// Where on the machine.
    pub source: String,
    /// Where in the container.
    pub path: String,
    /// `c` or `b`.
    pub kind: char,
    /// Its numbers.
    pub major: u32,
    /// Its numbers.
    pub minor: u32,
    /// Permissions.
    pub mode: u32,
    /// The owner.
    pub uid: u32,
    /// The owning group.
    pub gid: u32,
    /// `rwm`, or less; empty for none.
    pub access: String,
}

/// What is made below /dev beside the runtime's own.
pub(super) fn nodes(_host: &HostConfig, facts: &Facts) -> Vec<Value> {
    let node = |node: &Node| {
        json!({
            "path": node.path, "type": node.kind.to_string(), "major": node.major, "minor": node.minor,
            "fileMode": node.mode, "uid": node.uid, "gid": node.gid,
        })
    };
    facts.devices.iter().map(node).collect()
}

/// The rules, the last that fits counts; the runtime's own devices are allowed by the runtime.
pub(super) fn rules(host: &HostConfig, facts: &Facts) -> Vec<Value> {
    if host.privileged {
        return vec![json!({"allow": true, "access": "rwm"})];
    }
    let mut rules = vec![
        json!({"allow": false, "access": "rwm"}),
        // Any device may be made (a package has some); only those below may be opened.
        json!({"allow": true, "type": "c", "access": "m"}),
        json!({"allow": true, "type": "b", "access": "m"}),
    ];
    for (major, minor) in [(1, 3), (1, 5), (1, 7), (1, 8), (1, 9), (5, 0), (5, 1), (5, 2)] {
        rules.push(json!({"allow": true, "type": "c", "major": major, "minor": minor, "access": "rwm"}));
    }
    rules.push(json!({"allow": true, "type": "c", "major": 136, "access": "rwm"}));
    for node in facts.devices.iter().filter(|node| !node.access.is_empty()) {
        rules.push(json!({
            "allow": true, "type": node.kind.to_string(), "major": node.major, "minor": node.minor, "access": node.access,
        }));
    }
    rules.extend(host.device_cgroup_rules.iter().filter_map(|rule| self::rule(rule)));
    rules
}

/// `--device-cgroup-rule "c 42:* rmw"`; none if it is no rule.
pub(super) fn rule(text: &str) -> Option<Value> {
    let mut fields = text.split_whitespace();
    let (kind, numbers, access) = (fields.next()?, fields.next()?, fields.next()?);
    let fits = matches!(kind, "a" | "b" | "c") && access.chars().all(|letter| "rwm".contains(letter));
    if !fits || fields.next().is_some() {
        return None;
    }
    let (major, minor) = numbers.split_once(':')?;
    let number = |text: &str| if text == "*" { Some(None) } else { text.parse::<i64>().ok().map(Some) };
    let mut rule = json!({"allow": true, "type": kind, "access": access});
    for (key, text) in [("major", major), ("minor", minor)] {
        if let Some(number) = number(text)? {
            rule[key] = number.into();
        }
    }
    Some(rule)
}
