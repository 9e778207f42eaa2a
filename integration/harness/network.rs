//! A network of a daemon's own.

use anyhow::{Context, Result};
use corten::sys::clone::{CloneFlags, unshare};

use super::command::Run;

/// What the programs are asked to do, on a thread that is in another network, and whose children are.
pub(crate) fn elsewhere<T: Send>(
    enter: impl FnOnce() -> Result<()> + Send,
    then: impl FnOnce() -> Result<T> + Send,
) -> Result<T> {
    let there = || {
        enter()?;
        then()
    };
    let ended = std::thread::scope(|scope| scope.spawn(there).join());
    ended.unwrap_or_else(|panic| std::panic::resume_unwind(panic))
}

/// A network with a loopback.
pub(crate) fn new_network() -> Result<()> {
    unshare(CloneFlags::NEWNET)?;
    Run::new("ip").args(["link", "set", "lo", "up"]).stdout()?;
    // docker and ctn would say or do so at the first published port.
    std::fs::write("/proc/sys/net/ipv4/ip_forward", "1").context("set ip_forward")?;
    Ok(())
}
