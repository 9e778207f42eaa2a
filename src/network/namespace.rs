//! Work in a container's network namespace.

use std::fs::File;
use std::os::fd::{AsFd, BorrowedFd};

use anyhow::Result;

use crate::error::Attempt;
use crate::sys::clone::{CloneFlags, join};

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
