//! The rules: which devices, which access, allowed or not.

use anyhow::{Result, bail};

use crate::spec::resources::LinuxDeviceCgroup;

bitflags::bitflags! {
    /// What is done with a device; the values are the kernel's (BPF_DEVCG_ACC_*, linux/bpf.h).
    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    pub struct Access: u8 {
        /// Making a node of it.
        const MKNOD = 1;
        /// Opening a node for reading.
        const READ = 2;
        /// Opening a node for writing.
        const WRITE = 4;
    }
}

/// The kind of a device; the values are the kernel's (BPF_DEVCG_DEV_*, linux/bpf.h).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Block device.
    Block = 1,
    /// Character device.
    Character = 2,
}

/// One rule; what is `None` is any.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rule {
    /// Whether the access is allowed or denied.
    pub allow: bool,
    /// The kind of device.
    pub kind: Option<Kind>,
    /// The major number.
    pub major: Option<u32>,
    /// The minor number.
    pub minor: Option<u32>,
    /// The kinds of access that the rule speaks of.
    pub access: Access,
}

const fn allow(major: Option<u32>, minor: Option<u32>, access: Access) -> Rule {
    Rule { allow: true, kind: Some(Kind::Character), major, minor, access }
}

/// What every container may do, whatever its rules say, as with runc and crun: make any node, and use the devices that
/// the specification puts into every `/dev`, pseudo-terminals and tun.
///
/// Containers depend on it: engines list a few of these only, and deny everything else first.
pub const ALWAYS_ALLOWED: [Rule; 11] = [
    allow(None, None, Access::MKNOD),
    Rule { kind: Some(Kind::Block), ..allow(None, None, Access::MKNOD) },
    allow(Some(1), Some(3), Access::all()),    // null
    allow(Some(1), Some(5), Access::all()),    // zero
    allow(Some(1), Some(7), Access::all()),    // full
    allow(Some(1), Some(8), Access::all()),    // random
    allow(Some(1), Some(9), Access::all()),    // urandom
    allow(Some(5), Some(0), Access::all()),    // tty
    allow(Some(5), Some(2), Access::all()),    // ptmx
    allow(Some(136), None, Access::all()),     // pts/*
    allow(Some(10), Some(200), Access::all()), // net/tun
];

/// The rules of a container in their order, [`ALWAYS_ALLOWED`] last. What no rule speaks of is denied.
pub fn rules(devices: &[LinuxDeviceCgroup]) -> Result<Vec<Rule>> {
    let given =
        devices.iter().enumerate().map(|(index, device)| rule(&format!("linux.resources.devices[{index}]"), device));
    given.chain(ALWAYS_ALLOWED.map(Ok)).collect()
}

fn rule(field: &str, device: &LinuxDeviceCgroup) -> Result<Rule> {
    let kind = match device.kind.as_deref() {
        None | Some("" | "a") => None,
        Some("b") => Some(Kind::Block),
        Some("c") => Some(Kind::Character),
        Some(other) => bail!("{field}.type: {other:?} is none of \"a\" (all), \"b\" (block) and \"c\" (character)"),
    };
    Ok(Rule {
        allow: device.allow,
        kind,
        major: number(field, "major", device.major)?,
        minor: number(field, "minor", device.minor)?,
        access: access(field, device.access.as_deref().unwrap_or_default())?,
    })
}

fn number(field: &str, name: &str, value: Option<i64>) -> Result<Option<u32>> {
    match value {
        None | Some(-1) => Ok(None),
        Some(value) => match u32::try_from(value) {
            Ok(number) => Ok(Some(number)),
            Err(_) => bail!("{field}.{name}: {value} is neither a device number nor -1 for all"),
        },
    }
}

fn access(field: &str, letters: &str) -> Result<Access> {
    let mut access = Access::empty();
    for letter in letters.chars() {
        access |= match letter {
            'r' => Access::READ,
            'w' => Access::WRITE,
            'm' => Access::MKNOD,
            _ => bail!("{field}.access: {letters:?} has other letters than r (read), w (write) and m (mknod)"),
        };
    }
    if access.is_empty() {
        bail!(
            "{field}.access: it is empty, so the rule speaks of nothing; give any of r (read), w (write) and m (mknod)"
        );
    }
    Ok(access)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Vec<Rule>> {
        rules(&serde_json::from_str::<Vec<LinuxDeviceCgroup>>(text).unwrap())
    }

    #[test]
    fn rules_keep_their_order_and_the_common_devices_come_last() {
        let rules = read(
            r#"[{"allow":false,"access":"rwm"},{"allow":true,"type":"c","major":10,"minor":229,"access":"mr"},
                {"allow":true,"type":"b","major":8,"minor":-1,"access":"w"},{"allow":true,"type":"a","access":"r"}]"#,
        )
        .unwrap();
        let any = Rule { allow: false, kind: None, major: None, minor: None, access: Access::all() };
        assert_eq!(
            rules[..4],
            [
                any,
                allow(Some(10), Some(229), Access::MKNOD | Access::READ),
                Rule { allow: true, kind: Some(Kind::Block), major: Some(8), access: Access::WRITE, ..any },
                Rule { allow: true, access: Access::READ, ..any },
            ]
        );
        assert_eq!(rules[4..], ALWAYS_ALLOWED);
    }

    #[test]
    fn what_is_wrong_is_named() {
        for (rule, words) in [
            (r#"{"allow":true,"type":"p","access":"r"}"#, "[0].type: \"p\" is none of"),
            (r#"{"allow":true,"access":""}"#, "[0].access: it is empty"),
            (r#"{"allow":true}"#, "[0].access: it is empty"),
            (r#"{"allow":true,"access":"rx"}"#, "[0].access: \"rx\" has other letters"),
            (r#"{"allow":true,"major":-2,"access":"r"}"#, "[0].major: -2 is neither"),
            (r#"{"allow":true,"minor":4294967296,"access":"r"}"#, "[0].minor: 4294967296 is neither"),
        ] {
            let error = read(&format!("[{rule}]")).unwrap_err().to_string();
            assert!(error.starts_with("linux.resources.devices[0].") && error.contains(words), "{error}");
        }
    }
}
