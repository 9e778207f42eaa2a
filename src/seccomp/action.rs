//! Actions: what the kernel does with a system call.

use anyhow::{Result, bail};

/// The names of all actions.
pub const NAMES: &[&str] = &[
    "SCMP_ACT_ALLOW",
    "SCMP_ACT_ERRNO",
    "SCMP_ACT_KILL",
    "SCMP_ACT_KILL_PROCESS",
    "SCMP_ACT_KILL_THREAD",
    "SCMP_ACT_LOG",
    "SCMP_ACT_NOTIFY",
    "SCMP_ACT_TRACE",
    "SCMP_ACT_TRAP",
];

/// MAX_ERRNO of linux/err.h. The kernel would make every larger errno this one.
const MAX_ERRNO: u16 = 4095;

/// An action as a filter returns it: `SECCOMP_RET_*` of linux/seccomp.h, with its 16 bits of data.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Action(pub(crate) u32);

impl Action {
    pub(crate) const KILL_PROCESS: Self = Self(0x8000_0000);
    pub(crate) const KILL_THREAD: Self = Self(0);
    pub(crate) const TRAP: Self = Self(0x0003_0000);
    pub(crate) const NOTIFY: Self = Self(0x7fc0_0000);
    pub(crate) const LOG: Self = Self(0x7ffc_0000);
    pub(crate) const ALLOW: Self = Self(0x7fff_0000);
    /// The call fails with ENOSYS, as on a kernel that doesn't have it.
    pub(crate) const UNKNOWN_CALL: Self = Self::errno(libc::ENOSYS as u16);

    pub(crate) const fn errno(number: u16) -> Self {
        Self(0x0005_0000 | number as u32)
    }

    pub(crate) const fn trace(message: u16) -> Self {
        Self(0x7ff0_0000 | message as u32)
    }

    /// Reads an action and the number that goes with it.
    pub(crate) fn parse(name: &str, errno: Option<u32>) -> Result<Self> {
        let data = u16::try_from(errno.unwrap_or(libc::EPERM as u32));
        let action = match (name, data) {
            ("SCMP_ACT_ERRNO", Ok(data @ 0..=MAX_ERRNO)) => return Ok(Self::errno(data)),
            ("SCMP_ACT_ERRNO", _) => bail!("an errno is at most {MAX_ERRNO}"),
            ("SCMP_ACT_TRACE", Ok(data)) => return Ok(Self::trace(data)),
            ("SCMP_ACT_TRACE", Err(_)) => bail!("the message to a tracer has 16 bits"),
            ("SCMP_ACT_KILL" | "SCMP_ACT_KILL_THREAD", _) => Self::KILL_THREAD,
            ("SCMP_ACT_KILL_PROCESS", _) => Self::KILL_PROCESS,
            ("SCMP_ACT_TRAP", _) => Self::TRAP,
            ("SCMP_ACT_LOG", _) => Self::LOG,
            ("SCMP_ACT_ALLOW", _) => Self::ALLOW,
            ("SCMP_ACT_NOTIFY", _) => Self::NOTIFY,
            ("", _) => bail!("no action is given"),
            _ => bail!("{name:?} is no action"),
        };
        match errno {
            None => Ok(action),
            Some(_) => bail!("{name} takes no errno"),
        }
    }

    /// Whether a call gets through, so that it is the kernel (or the tracer) who says ENOSYS to one that it lacks.
    pub(crate) fn lets_through(self) -> bool {
        self == Self::ALLOW || self == Self::LOG || self.0 & 0xffff_0000 == Self::trace(0).0
    }
}
