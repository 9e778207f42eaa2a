//! How much a directory may have of its file system, with all below it: the quota of a project of its own.

use std::fs::{self, File};
use std::os::fd::AsFd;
use std::path::Path;

use anyhow::{Context, Result, bail};
use rustix::io::Errno;

use crate::error::Attempt;
use crate::sys::quota;

/// Beside what is limited: the number of its project, written before anything is limited.
const NOTE: &str = "project";

/// Limits directories, which are empty, together. `seed` has hexadecimal digits that others have not.
pub(super) fn limit(place: &Path, directories: &[&Path], seed: &str, bytes: u64, flag: &str) -> Result<()> {
    let file_system = File::open(place).attempt(|| format!("open {place:?}"))?;
    let failed = |error: Errno| match error {
        Errno::NOTTY | Errno::OPNOTSUPP | Errno::NOSYS | Errno::SRCH | Errno::INVAL => anyhow::anyhow!(
            "{flag} is supported only for overlay over xfs with 'pquota' mount option, or ext4 with 'prjquota': {place:?} has no such quota"
        ),
        error => anyhow::Error::from(error).context(format!("{flag}: limit {place:?} to {bytes} bytes")),
    };
    let project = free(seed, |project| quota::is_used(file_system.as_fd(), project).map_err(failed))?;
    fs::write(place.join(NOTE), project.to_string()).attempt(|| format!("write {:?}", place.join(NOTE)))?;
    for directory in directories {
        let directory = File::open(directory).attempt(|| format!("open {directory:?}"))?;
        quota::set_project(directory.as_fd(), project).map_err(failed)?;
    }
    quota::limit(file_system.as_fd(), project, bytes).map_err(failed)
}

/// A project that nobody has.
fn free(seed: &str, is_used: impl Fn(u32) -> Result<bool>) -> Result<u32> {
    for digits in seed.as_bytes().chunks_exact(8) {
        let number = std::str::from_utf8(digits).ok().and_then(|digits| u32::from_str_radix(digits, 16).ok());
        // 0 is what belongs to no project.
        let number = number.context("a number of hexadecimal digits")?;
        if number != 0 && !is_used(number)? {
            return Ok(number);
        }
    }
    bail!("no project is free for a quota")
}

/// The project that is limited for a place, which may be removed meanwhile.
pub(super) fn of(place: &Path) -> Option<u32> {
    fs::read_to_string(place.join(NOTE)).ok()?.parse().ok()
}

/// Gives a project back whose files are gone.
pub(super) fn lift(file_system: &Path, project: Option<u32>) {
    if let Some(project) = project
        && let Ok(file_system) = File::open(file_system)
    {
        // What can't be given back limits nobody.
        let _ = quota::limit(file_system.as_fd(), project, 0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_project_is_nobody_elses() {
        let seed = "000000000000000a0000000b";
        assert_eq!(free(seed, |_| Ok(false)).unwrap(), 10);
        assert_eq!(free(seed, |project| Ok(project == 10)).unwrap(), 11);
        assert!(free(seed, |_| Ok(true)).is_err());
    }
}
