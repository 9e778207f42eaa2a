//! capabilities(7): names to bit masks, and the masks onto the calling thread.

use rustix::io::{Errno, Result};
use rustix::thread::{
    CapabilitySet, CapabilitySets, capabilities, capability_is_in_bounding_set, clear_ambient_capability_set,
    configure_capability_in_ambient_set, remove_capability_from_bounding_set, set_capabilities,
};

use crate::plan::step::CapabilityMasks;

/// By number (linux/capability.h).
pub const NAMES: [&str; 41] = [
    "CAP_CHOWN",
    "CAP_DAC_OVERRIDE",
    "CAP_DAC_READ_SEARCH",
    "CAP_FOWNER",
    "CAP_FSETID",
    "CAP_KILL",
    "CAP_SETGID",
    "CAP_SETUID",
    "CAP_SETPCAP",
    "CAP_LINUX_IMMUTABLE",
    "CAP_NET_BIND_SERVICE",
    "CAP_NET_BROADCAST",
    "CAP_NET_ADMIN",
    "CAP_NET_RAW",
    "CAP_IPC_LOCK",
    "CAP_IPC_OWNER",
    "CAP_SYS_MODULE",
    "CAP_SYS_RAWIO",
    "CAP_SYS_CHROOT",
    "CAP_SYS_PTRACE",
    "CAP_SYS_PACCT",
    "CAP_SYS_ADMIN",
    "CAP_SYS_BOOT",
    "CAP_SYS_NICE",
    "CAP_SYS_RESOURCE",
    "CAP_SYS_TIME",
    "CAP_SYS_TTY_CONFIG",
    "CAP_MKNOD",
    "CAP_LEASE",
    "CAP_AUDIT_WRITE",
    "CAP_AUDIT_CONTROL",
    "CAP_SETFCAP",
    "CAP_MAC_OVERRIDE",
    "CAP_MAC_ADMIN",
    "CAP_SYSLOG",
    "CAP_WAKE_ALARM",
    "CAP_BLOCK_SUSPEND",
    "CAP_AUDIT_READ",
    "CAP_PERFMON",
    "CAP_BPF",
    "CAP_CHECKPOINT_RESTORE",
];

/// CAP_SYS_ADMIN's bit: what loading a seccomp filter without no_new_privs takes.
pub const SYS_ADMIN: u64 = 1 << 21;

/// The bit of a name, in any case, with or without `CAP_`.
pub fn bit(name: &str) -> Option<u64> {
    let upper = name.to_ascii_uppercase();
    let full = if upper.starts_with("CAP_") { upper } else { format!("CAP_{upper}") };
    NAMES.iter().position(|known| *known == full).map(|number| 1 << number)
}

/// Takes all capabilities but `keep` out of the bounding set; stops at the first number that the kernel does not know.
pub fn limit_bounding_set(keep: u64) -> Result<()> {
    for number in 0..64 {
        let bit = 1 << number;
        if keep & bit != 0 {
            continue;
        }
        match remove_capability_from_bounding_set(CapabilitySet::from_bits_retain(bit)) {
            Ok(()) => {}
            Err(Errno::INVAL) => break,
            // Without CAP_SETPCAP (an ordinary user) what is in the set already can't be dropped; it is of no use without
            // no_new_privs either, since nothing is permitted.
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// capset(2), then the ambient set: what is not both permitted and inheritable can't be ambient and is left out.
pub fn apply(masks: &CapabilityMasks) -> Result<()> {
    let set = CapabilitySet::from_bits_retain;
    set_capabilities(
        None,
        CapabilitySets {
            effective: set(masks.effective),
            permitted: set(masks.permitted),
            inheritable: set(masks.inheritable),
        },
    )?;
    match clear_ambient_capability_set() {
        Ok(()) | Err(Errno::INVAL) => {}
        Err(error) => return Err(error),
    }
    let ambient = masks.ambient & masks.permitted & masks.inheritable;
    for number in (0..64).filter(|number| ambient & 1 << number != 0) {
        configure_capability_in_ambient_set(set(1 << number), true)?;
    }
    Ok(())
}

/// How many capabilities the kernel knows: prctl(2) says EINVAL of the next one. Found by halving.
pub fn count() -> usize {
    let is_known = |number: usize| capability_is_in_bounding_set(CapabilitySet::from_bits_retain(1 << number)).is_ok();
    let (mut known, mut unknown) = (0_usize, 63);
    while unknown - known > 1 {
        let middle = known.midpoint(unknown);
        if is_known(middle) { known = middle } else { unknown = middle }
    }
    known + 1
}

/// What this thread may use.
pub fn permitted() -> Result<u64> {
    Ok(capabilities(None)?.permitted.bits())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_found_however_they_are_written() {
        assert_eq!(bit("CAP_SYS_ADMIN"), Some(SYS_ADMIN));
        assert_eq!(bit("sys_admin"), Some(SYS_ADMIN));
        assert_eq!(bit("CAP_CHECKPOINT_RESTORE"), Some(1 << 40));
        assert_eq!(bit("CAP_FLY"), None);
    }
}
