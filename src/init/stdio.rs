//! Standard streams that the caller passed on, made the container's own.

use std::os::fd::OwnedFd;

use rustix::fs::{CWD, Mode, OFlags, Stat, Uid, fchown, fstat, openat};
use rustix::io::Errno;
use rustix::stdio::{dup2_stderr, dup2_stdin, dup2_stdout, stderr, stdin, stdout};

use super::{Init, Outcome, tree};
use crate::stdio::stays_the_callers;

impl Init<'_> {
    /// A process that is not root must be able to open `/dev/stdin` and its siblings again. What can't be given away (a pipe of
    /// another user namespace, a read-only file) stays as it is.
    pub(super) fn own_stdio(&mut self, uid: u32, has_terminal: bool) -> Outcome {
        self.use_own_null();
        for descriptor in [stdin(), stdout(), stderr()] {
            let Ok(status) = fstat(descriptor) else { continue };
            // The terminal that was just made is no caller's.
            if status.st_uid == uid || is_null(&status) || (!has_terminal && stays_the_callers(descriptor)) {
                continue;
            }
            match fchown(descriptor, Some(Uid::from_raw(uid)), None) {
                Ok(())
                | Err(Errno::PERM | Errno::ROFS | Errno::INVAL | Errno::NOSYS | Errno::BADF | Errno::OVERFLOW) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }

    /// Puts the container's null device in place of the host's: root of the container could change the mode of that for all the host,
    /// by fchmod(2). A container without one, or that may not open it, keeps what it was given.
    fn use_own_null(&mut self) {
        let streams = [stdin(), stdout(), stderr()].map(|stream| fstat(stream).is_ok_and(|status| is_null(&status)));
        if streams == [false; 3] {
            return;
        }
        let Some(null) = self.own_null() else { return };
        // Who can't be replaced stays as the caller gave it.
        let _ = streams[0].then(|| dup2_stdin(&null));
        let _ = streams[1].then(|| dup2_stdout(&null));
        let _ = streams[2].then(|| dup2_stderr(&null));
    }

    /// The container's null device, proven to be it.
    fn own_null(&mut self) -> Option<OwnedFd> {
        if self.root.is_none() {
            self.root = Some(openat(CWD, c"/", OFlags::PATH | OFlags::CLOEXEC, Mode::empty()).ok()?);
        }
        let null = tree::open_device(self.root().ok()?, c"dev/null").ok()?;
        is_null(&fstat(&null).ok()?).then_some(null)
    }
}

fn is_null(status: &Stat) -> bool {
    tree::is_character_device(status, 1, 3)
}
