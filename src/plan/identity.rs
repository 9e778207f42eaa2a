//! Who the process is: user, groups, capabilities.

use std::collections::BTreeSet;

use anyhow::{Result, bail};

use super::Host;
use super::step::{CapabilityMasks, Step};
use crate::security::capabilities::{SYS_ADMIN, bit};
use crate::spec::Process;
use crate::spec::process::Capabilities;

/// The steps that give up the runtime's identity, in the one order that works: the bounding set while CAP_SETPCAP is there, groups
/// while CAP_SETGID is, then the user, then the sets themselves.
pub struct Identity {
    /// Up to the change of user.
    pub become_user: Vec<Step>,
    /// The sets as the process has them.
    pub capabilities: CapabilityMasks,
}

/// Plans the identity of a process; names that are not known or not to be had are left out with a warning, as config.md says.
pub fn identity(process: &Process, host: &Host, keep_groups: bool, warnings: &mut Vec<String>) -> Result<Identity> {
    let masks = masks(process.capabilities.as_ref(), host, warnings);
    let user = &process.user;
    let mut become_user = vec![Step::BoundingSet { keep: masks.bounding }];
    if !keep_groups {
        if user.additional_gids.contains(&u32::MAX) {
            bail!("process.user.additionalGids: {} is not a group id", u32::MAX);
        }
        become_user.push(Step::Groups { gids: user.additional_gids.clone(), may_fail: !host.privileged });
    }
    if user.uid == u32::MAX || user.gid == u32::MAX {
        bail!("process.user: {} is not an id", u32::MAX);
    }
    become_user.push(Step::User { uid: user.uid, gid: user.gid });
    Ok(Identity { become_user, capabilities: masks })
}

/// What a filter is loaded with where no_new_privs is not set: the final sets and CAP_SYS_ADMIN.
pub fn with_sys_admin(masks: CapabilityMasks) -> CapabilityMasks {
    CapabilityMasks { effective: masks.effective | SYS_ADMIN, permitted: masks.permitted | SYS_ADMIN, ..masks }
}

fn masks(capabilities: Option<&Capabilities>, host: &Host, warnings: &mut Vec<String>) -> CapabilityMasks {
    let Some(capabilities) = capabilities else { return CapabilityMasks::default() };
    let mut unknown = BTreeSet::new();
    let mut mask = |names: &[String]| {
        let mut mask = 0;
        for name in names {
            match bit(name).filter(|bit| host.capabilities & bit != 0) {
                Some(bit) => mask |= bit,
                None => drop(unknown.insert(name.clone())),
            }
        }
        mask
    };
    let masks = CapabilityMasks {
        bounding: mask(&capabilities.bounding),
        effective: mask(&capabilities.effective),
        inheritable: mask(&capabilities.inheritable),
        permitted: mask(&capabilities.permitted),
        ambient: mask(&capabilities.ambient),
    };
    if !unknown.is_empty() {
        warnings.push(format!("process.capabilities: ignoring unknown or unavailable capabilities {unknown:?}"));
    }
    let lost = masks.ambient & !(masks.permitted & masks.inheritable);
    if lost != 0 {
        warnings.push(format!(
            "process.capabilities.ambient: {lost:#x} is not both permitted and inheritable, and left out"
        ));
    }
    masks
}
