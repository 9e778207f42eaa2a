//! The container's own pseudoterminal (pty(7)).

use std::io::IoSlice;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::fs::{CWD, Mode, OFlags, fstat, fstatfs, openat};
use rustix::io::Errno;
use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags, sendmsg};
use rustix::pty::{OpenptFlags, ioctl_tiocgptpeer, ptsname, unlockpt};
use rustix::stdio::{dup2_stderr, dup2_stdin, dup2_stdout};
use rustix::termios::{Winsize, tcsetwinsize};

use super::{Fault, Init, Outcome, mounts, tree};
use crate::spec::process::ConsoleSize;

/// DEVPTS_SUPER_MAGIC (statfs(2)).
const DEVPTS_MAGIC: i64 = 0x1cd1;

impl Init<'_> {
    /// Opens a pair, binds its other end to `/dev/console`, makes it stdio, and hands the master to whoever relays.
    pub(super) fn terminal(&mut self, slot: usize, size: Option<ConsoleSize>, bind_console: bool) -> Outcome {
        let socket = self.take(slot)?;
        if self.root.is_none() {
            self.root = Some(openat(CWD, c"/", OFlags::PATH | OFlags::CLOEXEC, Mode::empty())?);
        }
        let master = self.open_master()?;
        unlockpt(&master)?;
        let flags = OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC;
        // The other end of this very master, by no path that could lead elsewhere (CVE-2025-52565).
        let terminal = ioctl_tiocgptpeer(&master, flags)?;
        if let Some(ConsoleSize { height, width }) = size.filter(|size| size.height != 0 || size.width != 0) {
            tcsetwinsize(&terminal, Winsize { ws_row: height, ws_col: width, ws_xpixel: 0, ws_ypixel: 0 })?;
        }
        if bind_console {
            let console = tree::ensure_file(self.root()?, c"dev/console")?;
            mounts::attach_copy(terminal.as_fd(), console.as_fd())?;
        }
        hand_over(socket.as_fd(), &master)?;
        rustix::process::ioctl_tiocsctty(&terminal)?;
        dup2_stdin(&terminal)?;
        dup2_stdout(&terminal)?;
        dup2_stderr(&terminal)?;
        Ok(())
    }

    /// The multiplexer of the container's devpts, proven to be it: file system and device number.
    fn open_master(&self) -> Outcome<OwnedFd> {
        let wrong = || {
            let sentence = "open the container's terminal: \"/dev/pts/ptmx\" is not the multiplexer of a devpts mount";
            Fault::new(Errno::NODEV, sentence.to_owned())
        };
        let found = tree::open_nofollow(self.root()?, c"dev/pts/ptmx")?;
        let is_devpts = fstatfs(&found)?.f_type == DEVPTS_MAGIC;
        if !is_devpts || !tree::is_character_device(&fstat(&found)?, 5, 2) {
            return Err(wrong());
        }
        let pts = tree::open(self.root()?, c"dev/pts")?;
        let flags = OFlags::RDWR | OFlags::NOCTTY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let master = openat(&pts, c"ptmx", flags, Mode::empty())?;
        // Opened a second time, so proven a second time.
        let is_devpts = fstatfs(&master)?.f_type == DEVPTS_MAGIC;
        if is_devpts && tree::is_character_device(&fstat(&master)?, 5, 2) { Ok(master) } else { Err(wrong()) }
    }
}

/// One message: the terminal's name, and one descriptor.
fn hand_over(socket: BorrowedFd<'_>, master: &OwnedFd) -> Outcome {
    let name = ptsname(master, Vec::new())?;
    let descriptors = [master.as_fd()];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    control.push(SendAncillaryMessage::ScmRights(&descriptors));
    sendmsg(socket, &[IoSlice::new(name.as_bytes())], &mut control, SendFlags::NOSIGNAL)?;
    Ok(())
}
