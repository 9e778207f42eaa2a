//! Settings below /proc/sys/net, of the namespace that this thread is in.

use std::path::PathBuf;

use anyhow::Result;

use crate::error::Attempt;

fn path(name: &str) -> PathBuf {
    PathBuf::from("/proc/sys/net").join(name)
}

/// Reads a setting; none where the kernel doesn't have it.
pub(super) fn read(name: &str) -> Option<String> {
    std::fs::read_to_string(path(name)).ok().map(|text| text.trim().to_owned())
}

/// Writes a setting unless it is so already: where /proc/sys is read-only, somebody has perhaps seen to it.
pub(super) fn set(name: &str, value: &str) -> Result<()> {
    if read(name).as_deref() == Some(value) {
        return Ok(());
    }
    std::fs::write(path(name), value).attempt(|| format!("set net/{name} to {value}"))
}

/// Writes a setting if the kernel has it: without IPv6 there is none of it.
pub(super) fn set_if_there(name: &str, value: &str) -> Result<()> {
    if read(name).is_some() { set(name, value) } else { Ok(()) }
}
