//! seccomp(2): a filter for the calling thread.
#![allow(unsafe_code)]

use std::os::fd::{FromRawFd, OwnedFd};
use std::ptr;

use rustix::io::{Errno, Result};

/// One instruction of classic BPF, laid out as the kernel's `struct sock_filter` (linux/filter.h).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(C)]
pub struct Instruction {
    /// The operation: `BPF_LD | BPF_W | BPF_ABS` and the like.
    pub code: u16,
    /// How many instructions a conditional jump skips when its condition holds.
    pub jt: u8,
    /// How many it skips when it does not.
    pub jf: u8,
    /// The operand.
    pub k: u32,
}

const _: () = assert!(size_of::<Instruction>() == size_of::<libc::sock_filter>());
const _: () = assert!(align_of::<Instruction>() == align_of::<libc::sock_filter>());

bitflags::bitflags! {
    /// `SECCOMP_FILTER_FLAG_*`, linux/seccomp.h.
    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    pub struct Flags: u32 {
        /// All threads of the process get the filter.
        const TSYNC = 1 << 0;
        /// Everything that is not allowed is logged.
        const LOG = 1 << 1;
        /// The mitigation of speculative store bypass is not turned on with the filter.
        const SPEC_ALLOW = 1 << 2;
        /// Loading returns the descriptor of a listener.
        const NEW_LISTENER = 1 << 3;
        /// A thread that can't get the filter is reported as ESRCH, which [`Self::TSYNC`] with a listener needs.
        const TSYNC_ESRCH = 1 << 4;
        /// A call that waits for a listener is interrupted by fatal signals alone.
        const WAIT_KILLABLE_RECV = 1 << 5;
    }
}

/// Puts a filter on the calling thread: `seccomp(SECCOMP_SET_MODE_FILTER)`.
///
/// The descriptor is the listener, and is there exactly when [`Flags::NEW_LISTENER`] was given. The caller needs
/// CAP_SYS_ADMIN in its user namespace or no_new_privs, which is not set here (EACCES otherwise).
pub fn load(program: &[Instruction], flags: Flags) -> Result<Option<OwnedFd>> {
    let length = u16::try_from(program.len()).map_err(|_| Errno::INVAL)?;
    let program = libc::sock_fprog { len: length, filter: program.as_ptr().cast_mut().cast() };
    // SAFETY: `program` and the instructions behind it outlive the call, and the kernel only reads them.
    let answer = unsafe { set_mode_filter(flags, &raw const program) }?;
    if flags.contains(Flags::NEW_LISTENER) {
        // SAFETY: with SECCOMP_FILTER_FLAG_NEW_LISTENER the answer is a new descriptor that nobody else owns.
        return Ok(Some(unsafe { OwnedFd::from_raw_fd(answer) }));
    }
    match answer {
        0 => Ok(None),
        // SECCOMP_FILTER_FLAG_TSYNC answers with the id of a thread that has another filter.
        _ => Err(Errno::SRCH),
    }
}

/// Whether this kernel knows all of the flags. Loads nothing.
pub fn knows(flags: Flags) -> bool {
    // SAFETY: a null program is answered with EFAULT once the flags are found good, and with EINVAL before.
    unsafe { set_mode_filter(flags, ptr::null()) == Err(Errno::FAULT) }
}

/// # Safety
///
/// `program` is null, or points to a program whose instructions can be read.
unsafe fn set_mode_filter(flags: Flags, program: *const libc::sock_fprog) -> Result<i32> {
    // SAFETY: by the contract of this function; the kernel keeps a copy and writes nothing.
    let answer = unsafe { libc::syscall(libc::SYS_seccomp, libc::SECCOMP_SET_MODE_FILTER, flags.bits(), program) };
    i32::try_from(answer)
        .ok()
        .filter(|answer| *answer >= 0)
        .ok_or_else(|| Errno::from_io_error(&std::io::Error::last_os_error()).unwrap_or(Errno::INVAL))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernel_knows_its_flags_and_no_others() {
        assert!(knows(Flags::SPEC_ALLOW | Flags::LOG));
        assert!(!knows(Flags::from_bits_retain(1 << 31)));
    }

    #[test]
    fn a_program_that_does_not_return_is_refused() {
        let load_number = Instruction { code: 0x20, jt: 0, jf: 0, k: 0 };
        assert_eq!(load(&[load_number], Flags::empty()).unwrap_err(), Errno::INVAL);
    }
}
