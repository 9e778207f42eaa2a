//! Filters, and the kernel as their judge.

use std::os::fd::OwnedFd;

use rustix::io::Errno;
use rustix::thread::set_no_new_privs;

use super::plan::names_its_place;
use crate::error::sentence;
use crate::seccomp::{Architecture, Program, compile};
use crate::spec::seccomp::Seccomp;
use crate::sys::seccomp::{Flags, Instruction, load};

pub(super) fn of_profile(profile: &Seccomp) {
    for native in [Architecture::X86_64, Architecture::Aarch64] {
        match compile(profile, native) {
            Ok(program) => assert_eq!(judgement(&program), Errno::BUSY, "{profile:?}"),
            Err(error) => names_its_place(&sentence(&error), &["linux.seccomp"]),
        }
    }
}

/// What the kernel says of a filter that it can't put in force: EBUSY if there is nothing else against it.
///
/// It looks at all instructions and flags before it finds that there is a filter with a listener already, and one is all
/// that a thread can have (seccomp(2), EBUSY).
pub(super) fn judgement(program: &Program) -> Errno {
    thread_local! {
        static LISTENER: OwnedFd = first_listener();
    }
    let mut flags = program.flags | Flags::NEW_LISTENER;
    if flags.contains(Flags::TSYNC) {
        flags |= Flags::TSYNC_ESRCH;
    }
    LISTENER.with(|_| load(&program.instructions, flags).expect_err("a thread has one listener at most"))
}

/// Of a filter that allows everything and so never asks.
fn first_listener() -> OwnedFd {
    const ALLOW: Instruction = Instruction { code: 0x06, jt: 0, jf: 0, k: 0x7fff_0000 };
    set_no_new_privs(true).expect("no_new_privs can always be set");
    let loaded = load(&[ALLOW], Flags::NEW_LISTENER).expect("this kernel takes filters with a listener");
    loaded.expect("a listener was asked for")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_judge_tells_filters_from_nonsense() {
        let allow = Instruction { code: 0x06, jt: 0, jf: 0, k: 0x7fff_0000 };
        let of = |instructions: &[Instruction], flags| {
            judgement(&Program { instructions: instructions.to_vec(), flags, listener: None })
        };
        assert_eq!(of(&[allow], Flags::empty()), Errno::BUSY);
        assert_eq!(of(&[allow], Flags::TSYNC | Flags::LOG), Errno::BUSY);
        assert_eq!(of(&[allow; 4096], Flags::empty()), Errno::BUSY);
        assert_eq!(of(&[allow; 4097], Flags::empty()), Errno::INVAL);
        assert_eq!(of(&[], Flags::empty()), Errno::INVAL);
        // A jump out of the program, and a load from outside of the call's data.
        assert_eq!(of(&[Instruction { code: 0x15, jt: 1, jf: 0, k: 0 }, allow], Flags::empty()), Errno::INVAL);
        assert_eq!(of(&[Instruction { code: 0x20, jt: 0, jf: 0, k: 64 }, allow], Flags::empty()), Errno::INVAL);
        assert_eq!(of(&[allow], Flags::from_bits_retain(1 << 30)), Errno::INVAL);
    }
}
