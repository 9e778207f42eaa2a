//! Flags of a profile, as seccomp(2) takes them.

use anyhow::{Result, bail};

use crate::sys::seccomp::{self, Flags};

/// The names of all flags.
pub const NAMES: &[&str] = &[
    "SECCOMP_FILTER_FLAG_TSYNC",
    "SECCOMP_FILTER_FLAG_SPEC_ALLOW",
    "SECCOMP_FILTER_FLAG_LOG",
    "SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV",
];

/// The flag of a name in [`NAMES`].
pub(crate) fn parse(name: &str) -> Option<Flags> {
    match name {
        "SECCOMP_FILTER_FLAG_TSYNC" => Some(Flags::TSYNC),
        "SECCOMP_FILTER_FLAG_SPEC_ALLOW" => Some(Flags::SPEC_ALLOW),
        "SECCOMP_FILTER_FLAG_LOG" => Some(Flags::LOG),
        "SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV" => Some(Flags::WAIT_KILLABLE_RECV),
        _ => None,
    }
}

/// The names of the flags that this kernel has.
pub fn supported() -> Vec<&'static str> {
    let is_supported = |name: &&&str| parse(name).is_some_and(|flag| seccomp::knows(flag | needed_by(flag)));
    NAMES.iter().filter(is_supported).copied().collect()
}

/// Flags without which the kernel refuses this one.
fn needed_by(flag: Flags) -> Flags {
    if flag == Flags::WAIT_KILLABLE_RECV { Flags::NEW_LISTENER } else { Flags::empty() }
}

/// The flags of a profile, with those that a listener needs.
///
/// A profile that says nothing gets SPEC_ALLOW, as with runc: the mitigation of speculative store bypass costs every
/// process in the container, and engines rely on it staying off. A profile that says "no flags" gets none.
pub(crate) fn of_profile(names: Option<&[String]>, notifies: bool) -> Result<Flags> {
    let mut flags = Flags::empty();
    match names {
        None => flags |= Flags::SPEC_ALLOW,
        Some(names) => {
            for (index, name) in names.iter().enumerate() {
                match parse(name) {
                    Some(flag) => flags |= flag,
                    None => bail!("linux.seccomp.flags[{index}]: {name:?} is no flag"),
                }
            }
        }
    }
    if notifies {
        flags |= Flags::NEW_LISTENER;
        if flags.contains(Flags::TSYNC) {
            flags |= Flags::TSYNC_ESRCH;
        }
    } else if flags.contains(Flags::WAIT_KILLABLE_RECV) {
        bail!("linux.seccomp.flags: SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV needs a rule with SCMP_ACT_NOTIFY");
    }
    Ok(flags)
}
