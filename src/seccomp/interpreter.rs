//! What the kernel does with a filter, for tests: the part of classic BPF that seccomp(2) takes.

use super::assembler::{AND, GO, LOAD, RETURN, Test};
use crate::sys::seccomp::Instruction;

/// `struct seccomp_data` of linux/seccomp.h.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Data {
    pub(crate) number: u32,
    pub(crate) architecture: u32,
    pub(crate) arguments: [u64; 6],
}

impl Data {
    fn word(&self, offset: u32) -> u32 {
        assert!(offset.is_multiple_of(4) && offset < 64, "the kernel refuses a load at {offset}");
        match offset {
            0 => self.number,
            4 => self.architecture,
            8 | 12 => 0,
            _ => {
                let argument = self.arguments[(offset as usize - 16) / 8];
                if offset.is_multiple_of(8) { argument as u32 } else { (argument >> 32) as u32 }
            }
        }
    }
}

/// What a run ended with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Outcome {
    /// SECCOMP_RET_*, with its data.
    pub(crate) action: u32,
    /// How many instructions were run.
    pub(crate) steps: usize,
    /// Whether an argument was looked at, so that the kernel can't remember the answer for the number.
    pub(crate) looked_at_arguments: bool,
}

/// Runs a filter.
pub(crate) fn run(program: &[Instruction], data: &Data) -> Outcome {
    let (mut accumulator, mut next, mut steps, mut looked_at_arguments) = (0, 0, 0, false);
    loop {
        let Instruction { code, jt, jf, k } = program[next];
        let test = |holds: bool| usize::from(if holds { jt } else { jf });
        (next, steps) = (next + 1, steps + 1);
        match code {
            LOAD => {
                accumulator = data.word(k);
                looked_at_arguments |= k >= 8;
            }
            AND => accumulator &= k,
            GO => next += k as usize,
            RETURN => return Outcome { action: k, steps, looked_at_arguments },
            code if code == Test::Equal as u16 => next += test(accumulator == k),
            code if code == Test::Greater as u16 => next += test(accumulator > k),
            code if code == Test::GreaterOrEqual as u16 => next += test(accumulator >= k),
            // What libseccomp writes besides.
            0x45 => next += test(accumulator & k != 0),
            other => panic!("{other:#x} is no instruction that a filter has"),
        }
    }
}
