//! The working directory and the home directory.

use std::ffi::{CStr, CString};
use std::os::fd::AsFd;

use rustix::fs::{CWD, FileType, Mode, OFlags, fstat, openat};
use rustix::io::Errno;
use rustix::process::{chdir, getcwd};

use super::{Fault, Init, Outcome, tree};
use crate::plan::step::Destination;

/// The container's `/etc/passwd` is read no further than this.
const LONGEST_PASSWD: usize = 1 << 20;

impl Init<'_> {
    pub(super) fn make_working_directory(&mut self, path: &Destination) -> Outcome {
        tree::ensure_directory(self.root()?, path.relative())?;
        Ok(())
    }

    pub(super) fn change_directory(&mut self, path: &CStr, may_fail: bool) -> Outcome {
        if self.in_working_directory {
            return Ok(());
        }
        match chdir(path) {
            Err(Errno::ACCESS | Errno::PERM) if may_fail => return Ok(()),
            result => result?,
        }
        // getcwd(2) starts with "(unreachable)" when a leaked descriptor led outside the root (CVE-2024-21626).
        let inside = getcwd(Vec::new()).is_ok_and(|cwd| cwd.as_bytes().starts_with(b"/"));
        if !inside {
            let sentence = format!("change into working directory {path:?}: it is outside the container's root");
            return Err(Fault::new(Errno::PERM, sentence));
        }
        self.in_working_directory = true;
        Ok(())
    }

    pub(super) fn find_home(&mut self, uid: u32) -> Outcome {
        if !self.plan.program.needs_home {
            return Ok(());
        }
        let home = self.passwd().and_then(|passwd| home_of(&passwd, uid)).unwrap_or_else(|| b"/".to_vec());
        self.home = CString::new([b"HOME=".as_slice(), &home].concat()).ok();
        Ok(())
    }

    /// What can't be read is as good as missing.
    fn passwd(&mut self) -> Option<Vec<u8>> {
        if self.root.is_none() {
            self.root = Some(openat(CWD, c"/", OFlags::PATH | OFlags::CLOEXEC, Mode::empty()).ok()?);
        }
        let file = tree::open_file(self.root.as_ref()?.as_fd(), c"etc/passwd").ok()?;
        if !tree::is(&fstat(&file).ok()?, FileType::RegularFile) {
            return None;
        }
        let mut bytes = vec![0; 4096];
        let mut length = 0;
        loop {
            let read = rustix::io::read(&file, &mut bytes[length..]).ok()?;
            length += read;
            if read == 0 || length >= LONGEST_PASSWD {
                bytes.truncate(length);
                return Some(bytes);
            }
            if length == bytes.len() {
                bytes.resize(length * 2, 0);
            }
        }
    }
}

/// passwd(5): `name:password:uid:gid:comment:home:shell`.
fn home_of(passwd: &[u8], uid: u32) -> Option<Vec<u8>> {
    let uid = uid.to_string();
    passwd.split(|byte| *byte == b'\n').find_map(|line| {
        let fields: Vec<&[u8]> = line.split(|byte| *byte == b':').collect();
        let home = fields.get(5).filter(|home| !home.is_empty() && !home.contains(&0))?;
        (fields[2] == uid.as_bytes()).then(|| home.to_vec())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_home_directory_is_that_of_the_uid() {
        let passwd = b"root:x:0:0:root:/root:/bin/sh\nbroken\nweb:x:33:33::/var/www:\nnone:x:7:7:::\nnul:x:8:8::/\0:\n";
        assert_eq!(home_of(passwd, 33).as_deref(), Some(b"/var/www".as_slice()));
        assert_eq!(home_of(passwd, 0).as_deref(), Some(b"/root".as_slice()));
        assert_eq!(home_of(passwd, 7), None);
        assert_eq!(home_of(passwd, 8), None, "a variable can't hold a NUL");
        assert_eq!(home_of(passwd, 1), None);
    }
}
