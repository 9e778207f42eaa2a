//! Classic BPF, written from its end to its start: jumps go forward only, so every target is known when it is needed.

use std::collections::HashMap;

use super::action::Action;
use crate::sys::seccomp::Instruction;

/// Tests of a conditional jump on the accumulator, with their opcodes (linux/bpf_common.h).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u16)]
pub(crate) enum Test {
    Equal = 0x15,
    Greater = 0x25,
    GreaterOrEqual = 0x35,
}

/// `BPF_LD | BPF_W | BPF_ABS`: a word of `struct seccomp_data` into the accumulator.
pub(crate) const LOAD: u16 = 0x20;
/// `BPF_ALU | BPF_AND | BPF_K`.
pub(crate) const AND: u16 = 0x54;
/// `BPF_JMP | BPF_JA`.
pub(crate) const GO: u16 = 0x05;
/// `BPF_RET | BPF_K`.
pub(crate) const RETURN: u16 = 0x06;

/// The farthest that a conditional jump goes, less the place for one more instruction in between.
const NEAR: usize = u8::MAX as usize - 1;

/// An instruction that can be jumped to: how many come after it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Label(usize);

/// A program in the making.
#[derive(Default)]
pub(crate) struct Assembler {
    backwards: Vec<Instruction>,
    returns: HashMap<Action, Label>,
}

impl Assembler {
    /// The program.
    pub(crate) fn finish(mut self) -> Vec<Instruction> {
        self.backwards.reverse();
        self.backwards
    }

    /// Ends the program with an action. Returns are shared where a jump reaches them.
    pub(crate) fn give(&mut self, action: Action) -> Label {
        match self.returns.get(&action) {
            Some(label) if self.distance(*label) <= NEAR => *label,
            _ => {
                let label = self.push(RETURN, 0, 0, action.0);
                self.returns.insert(action, label);
                label
            }
        }
    }

    /// Loads a word of the call's data, then goes on at `then`.
    pub(crate) fn load(&mut self, offset: u32, then: Label) -> Label {
        self.flow_into(then);
        self.push(LOAD, 0, 0, offset)
    }

    /// Masks the accumulator, then goes on at `then`.
    pub(crate) fn and(&mut self, mask: u32, then: Label) -> Label {
        self.flow_into(then);
        self.push(AND, 0, 0, mask)
    }

    /// Tests the accumulator and goes on at one place or the other.
    pub(crate) fn branch(&mut self, test: Test, value: u32, then: Label, otherwise: Label) -> Label {
        if then == otherwise {
            return then;
        }
        let then = self.near(then);
        let otherwise = self.near(otherwise);
        let (jt, jf) = (self.distance(then), self.distance(otherwise));
        // Both fit: `near` left room for the instruction that bringing the other one near may have added.
        self.push(test as u16, jt as u8, jf as u8, value)
    }

    /// How many instructions the next one would have to skip.
    fn distance(&self, label: Label) -> usize {
        self.backwards.len() - label.0 - 1
    }

    /// A place within a conditional jump's reach that leads to the label.
    fn near(&mut self, label: Label) -> Label {
        match self.distance(label) {
            0..=NEAR => label,
            distance => self.push(GO, 0, 0, distance as u32),
        }
    }

    /// Makes the next instruction run into the label.
    fn flow_into(&mut self, label: Label) {
        let distance = self.distance(label);
        if distance > 0 {
            self.push(GO, 0, 0, distance as u32);
        }
    }

    fn push(&mut self, code: u16, jt: u8, jf: u8, k: u32) -> Label {
        self.backwards.push(Instruction { code, jt, jf, k });
        Label(self.backwards.len() - 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::seccomp::interpreter::{Data, run};

    /// Jumps to both sides from `gap` instructions away, `between` of them between the two targets.
    fn branch_over(between: usize, gap: usize) {
        let mut assembler = Assembler::default();
        let yes = assembler.push(RETURN, 0, 0, 1);
        for _ in 0..between {
            assembler.push(RETURN, 0, 0, 2);
        }
        let no = assembler.push(RETURN, 0, 0, 3);
        for _ in 0..gap {
            assembler.push(RETURN, 0, 0, 4);
        }
        for (one, other, answers) in [(yes, no, [1, 3]), (no, yes, [3, 1])] {
            let mut assembler = Assembler { backwards: assembler.backwards.clone(), ..Assembler::default() };
            let branch = assembler.branch(Test::Equal, 7, one, other);
            assembler.load(0, branch);
            let program = assembler.finish();
            let answer = |number| run(&program, &Data { number, architecture: 0, arguments: [0; 6] }).action;
            assert_eq!([answer(7), answer(8)], answers, "{between} between, {gap} before");
        }
    }

    #[test]
    fn a_branch_reaches_targets_at_any_distance() {
        for between in [0, 1, 2, 3, 200, 400] {
            for gap in (0..4).chain(245..260).chain([600, 4000]) {
                branch_over(between, gap);
            }
        }
    }
}
