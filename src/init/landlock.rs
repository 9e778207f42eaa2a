//! Landlock's rules put in force, on paths as the container's user finds them.

use rustix::fs::{CWD, FileType, Mode, OFlags, fstat, openat};
use rustix::io::Errno;
use std::os::fd::AsFd;

use super::{Fault, Outcome, tree};
use crate::error::Refusal;
use crate::plan::step::Destination;
use crate::sys::landlock::{self, Access, Ruleset};

/// The first version that knows of cutting files short (Linux 6.2): before it what can't be written could be emptied.
const NEEDED: u32 = 3;
/// The first that knows of ioctl(2) on devices (Linux 6.10).
const WITH_IOCTL_DEV: u32 = 5;

pub(super) fn restrict(rules: &[(Access, Destination)]) -> Outcome {
    let version = landlock::version()?;
    if version < NEEDED {
        let detail = format!("this kernel has its version {version}, not {NEEDED}");
        return Err(Fault::detailed(Errno::OPNOTSUPP, detail));
    }
    let handled = if version < WITH_IOCTL_DEV { Access::all() - Access::IOCTL_DEV } else { Access::all() };
    let ruleset = Ruleset::of(handled)?;
    let root = openat(CWD, c"/", OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?;
    for (access, path) in rules {
        let allowed = || {
            let place = tree::open(root.as_fd(), path.relative())?;
            let is_directory = tree::is(&fstat(&place)?, FileType::Directory);
            let possible = if is_directory { handled } else { handled & Access::OF_FILES };
            match *access & possible {
                // A rule that allows nothing is an error of the kernel's.
                none if none.is_empty() => Ok(()),
                access => ruleset.allow(access, place.as_fd()),
            }
        };
        allowed().map_err(|error| Fault::new(error, format!("allow something below {path}: {}", Refusal(error))))?;
    }
    Ok(ruleset.restrict()?)
}
