//! Work in a network namespace: in a container's, and where an ordinary user's networks are.

use std::fs::File;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

use anyhow::Result;
use rustix::io::Errno;
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::link::Links;
use super::sysctl;
use crate::error::Attempt;
use crate::sys::clone::{CloneFlags, join, unshare};

/// What the link is called by which an ordinary user's networks reach what is outside.
pub const EDGE: &str = "edge";

/// Does something in a network namespace: this thread enters it and comes back. Only what is opened or written meanwhile is of the
/// namespace: a socket stays in the one that it was made in.
pub(super) fn within<T>(namespace: BorrowedFd<'_>, work: impl FnOnce() -> Result<T>) -> Result<T> {
    let own = File::open("/proc/thread-self/ns/net").attempt(|| "open the own network namespace")?;
    join(namespace, CloneFlags::NEWNET).attempt(|| "enter the container's network namespace")?;
    let result = work();
    // Who could leave it may come back: the same right is asked for, of the namespace that gave it.
    #[allow(clippy::expect_used, reason = "nothing may go on in a namespace that is not its own")]
    join(own.as_fd(), CloneFlags::NEWNET).expect("the own network namespace is open and may be entered");
    result
}

/// Does something in a network namespace for whom there is no way back to the machine's: another process enters it, or in a program that
/// has threads, and so can't be copied, another thread.
pub(super) fn aside<T: Serialize + DeserializeOwned + Send>(
    namespace: BorrowedFd<'_>,
    work: impl FnOnce() -> Result<(T, Vec<OwnedFd>)> + Send,
) -> Result<(T, Vec<OwnedFd>)> {
    let mut work = Some(work);
    let mut inside = || {
        join(namespace, CloneFlags::NEWNET).attempt(|| "enter a network namespace")?;
        work.take().map_or_else(|| Err(anyhow::anyhow!("it was done already")), |work| work())
    };
    match crate::aside::with_descriptors(&mut inside) {
        Err(Errno::BUSY) => std::thread::scope(|scope| {
            scope.spawn(inside).join().unwrap_or_else(|_| Err(anyhow::anyhow!("a thread of this command failed")))
        }),
        done => done.attempt(|| "make a process that enters a network namespace")?,
    }
}

/// The same, where nothing but a result comes back.
pub fn inside<T: Serialize + DeserializeOwned + Send>(
    namespace: BorrowedFd<'_>,
    work: impl FnOnce() -> Result<T> + Send,
) -> Result<T> {
    aside(namespace, || Ok((work()?, Vec::new()))).map(|(result, _)| result)
}

/// Makes a network namespace of an ordinary user's and mounts it at a name, which has to be there.
pub fn make(name: &Path) -> Result<()> {
    let inside = || {
        unshare(CloneFlags::NEWNET).attempt(|| "make a network namespace")?;
        set_up()?;
        let own = "/proc/thread-self/ns/net";
        rustix::mount::mount_bind(own, name).attempt(|| format!("mount a network namespace at {name:?}"))
    };
    match crate::aside::process(inside) {
        Err(Errno::BUSY) => std::thread::scope(|scope| {
            scope.spawn(inside).join().unwrap_or_else(|_| Err(anyhow::anyhow!("a thread of this command failed")))
        }),
        made => made.attempt(|| "make a process for a network namespace")?,
    }
}

/// It passes packets on between its networks and what is outside, and looks at nobody's source: the machine's settings come along.
fn set_up() -> Result<()> {
    let links = Links::open()?;
    if let Some(loopback) = links.find("lo")? {
        links.set_up(loopback.index)?;
    }
    for link in ["all", "default"] {
        sysctl::set(&format!("ipv4/conf/{link}/rp_filter"), "0")?;
        sysctl::set_if_there(&format!("ipv6/conf/{link}/accept_ra"), "0")?;
    }
    sysctl::set("ipv4/ip_forward", "1")?;
    sysctl::set_if_there("ipv6/conf/all/forwarding", "1")
}

/// Removes the link outside, which a program that was killed, or is about to end, may have left; in the namespace.
pub fn clear_edge() -> Result<()> {
    Links::open()?.delete(EDGE)
}
