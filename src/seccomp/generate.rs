//! From what every number gets to a BPF program.
//!
//! The number is found by binary search, and an argument is loaded only for a call whose rules look at it. The kernel
//! runs a new filter once for every number, and remembers those that are allowed without a look at an argument
//! (`seccomp_cache_prepare`, Linux 5.11): from then on these calls run no filter at all.

use std::collections::HashMap;

use super::action::Action;
use super::assembler::{Assembler, Label, Test};
use super::call::{Clause, Verdict};
use super::condition::{Condition, Operator};
use super::policy::{FOREIGN, Range, Section};
use crate::sys::seccomp::Instruction;

/// Offsets in `struct seccomp_data` (linux/seccomp.h): number, architecture, instruction pointer, six arguments.
pub(crate) const NUMBER: u32 = 0;
pub(crate) const ARCHITECTURE: u32 = 4;
pub(crate) const ARGUMENTS: u32 = 16;

struct Generator<'a> {
    assembler: Assembler,
    default: Action,
    /// What is written already: calls with the same rules share it.
    checks: HashMap<&'a [Clause], Label>,
}

/// Writes the program.
pub(crate) fn program(sections: &[Section], default: Action) -> Vec<Instruction> {
    let mut generator = Generator { assembler: Assembler::default(), default, checks: HashMap::new() };
    let mut entry = generator.assembler.give(FOREIGN);
    // The machine's own architecture comes first in the list, is written last, and so is tested first.
    for section in sections.iter().rev() {
        let search = generator.search(&section.ranges);
        let search = generator.assembler.load(NUMBER, search);
        entry = generator.assembler.branch(Test::Equal, section.audit, search, entry);
    }
    generator.assembler.load(ARCHITECTURE, entry);
    generator.assembler.finish()
}

impl<'a> Generator<'a> {
    /// Finds the range of the number in the accumulator.
    fn search(&mut self, ranges: &'a [Range]) -> Label {
        if let [range] = ranges {
            return self.verdict(&range.verdict);
        }
        let (lower, upper) = ranges.split_at(ranges.len() / 2);
        let above = self.search(upper);
        let below = self.search(lower);
        self.assembler.branch(Test::GreaterOrEqual, upper[0].first, above, below)
    }

    fn verdict(&mut self, verdict: &'a Verdict) -> Label {
        match verdict {
            Verdict::Always(action) => self.assembler.give(*action),
            Verdict::ByArguments(clauses) => self.check(clauses),
        }
    }

    fn check(&mut self, clauses: &'a [Clause]) -> Label {
        if let Some(label) = self.checks.get(clauses) {
            return *label;
        }
        let mut otherwise = self.assembler.give(self.default);
        for clause in clauses.iter().rev() {
            let mut then = self.assembler.give(clause.action);
            for condition in clause.conditions.iter().rev() {
                then = self.condition(condition, then, otherwise);
            }
            otherwise = then;
        }
        self.checks.insert(clauses, otherwise);
        otherwise
    }

    /// Tests one argument, its upper half first.
    fn condition(&mut self, condition: &Condition, then: Label, otherwise: Label) -> Label {
        use Operator::*;
        match condition.operator {
            Equal => self.equal(condition, then, otherwise),
            NotEqual => self.equal(condition, otherwise, then),
            MaskedEqual => self.equal(condition, then, otherwise),
            Greater => self.above(Test::Greater, condition, then, otherwise),
            GreaterOrEqual => self.above(Test::GreaterOrEqual, condition, then, otherwise),
            Less => self.above(Test::GreaterOrEqual, condition, otherwise, then),
            LessOrEqual => self.above(Test::Greater, condition, otherwise, then),
        }
    }

    fn equal(&mut self, condition: &Condition, then: Label, otherwise: Label) -> Label {
        let mut next = then;
        for half in halves(condition).into_iter().rev() {
            if half.mask != 0 {
                next = self.assembler.branch(Test::Equal, half.value, next, otherwise);
                if half.mask != u32::MAX {
                    next = self.assembler.and(half.mask, next);
                }
                next = self.assembler.load(half.offset, next);
            }
        }
        next
    }

    fn above(&mut self, test: Test, condition: &Condition, then: Label, otherwise: Label) -> Label {
        let (lower, upper) = match halves(condition).as_slice() {
            [upper, lower] => (*lower, Some(*upper)),
            halves => (halves[0], None),
        };
        let mut next = self.assembler.branch(test, lower.value, then, otherwise);
        next = self.assembler.load(lower.offset, next);
        if let Some(upper) = upper {
            next = self.assembler.branch(Test::Equal, upper.value, next, otherwise);
            next = self.assembler.branch(Test::Greater, upper.value, then, next);
            next = self.assembler.load(upper.offset, next);
        }
        next
    }
}

/// 32 bits of an argument.
#[derive(Clone, Copy)]
struct Half {
    offset: u32,
    mask: u32,
    value: u32,
}

/// The halves that are looked at, the upper one first. Both architectures are little-endian.
fn halves(condition: &Condition) -> Vec<Half> {
    let lower = ARGUMENTS + 8 * u32::from(condition.argument);
    let half = |offset, shift| Half {
        offset,
        mask: (condition.mask >> shift) as u32,
        value: (condition.value >> shift) as u32,
    };
    if condition.wide { vec![half(lower + 4, 32), half(lower, 0)] } else { vec![half(lower, 0)] }
}
