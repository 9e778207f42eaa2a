//! From the rules of a profile to what every system call number gets, on every architecture.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use anyhow::{Result, bail, ensure};

use super::action::Action;
use super::architecture::{self, Architecture};
use super::call::{Call, Verdict};
use super::condition::Condition;
use super::rule::{self, Rule};
use super::{MOST_INSTRUCTIONS, multiplexer};
use crate::spec::seccomp::Seccomp;

/// The bit that x32 sets in its numbers, and so the first of them.
const X32_FIRST: u32 = 0x4000_0000;

/// The private calls of 32-bit Arm (arch/arm/include/uapi/asm/unistd.h); all others are far below.
const ARM_PRIVATE: std::ops::Range<u32> = 0x000f_0000..0x000f_0800;

/// What happens to a call on an architecture that the profile doesn't have: libseccomp's choice.
pub(crate) const FOREIGN: Action = Action::KILL_THREAD;

/// The most clauses of a call that a program can hold: each takes a load and a test at least.
const MOST_CLAUSES: usize = MOST_INSTRUCTIONS / 2;

/// What every number gets, for everything that the kernel calls one architecture.
#[derive(Debug)]
pub(crate) struct Section {
    /// `seccomp_data.arch`.
    pub(crate) audit: u32,
    /// Sorted; each range ends where the next one starts, and the first starts at 0.
    pub(crate) ranges: Vec<Range>,
}

/// Some numbers in a row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Range {
    pub(crate) first: u32,
    pub(crate) verdict: Verdict,
}

/// The rules for all calls on one architecture.
struct Calls {
    architecture: Architecture,
    by_number: BTreeMap<u32, Call>,
    /// The newest call that the profile names; none if it names none above 0.
    newest: Option<u32>,
}

/// The sections for a machine, its own architecture first.
pub(crate) fn sections(profile: &Seccomp, default: Action, native: Architecture) -> Result<Vec<Section>> {
    let rules = rule::read(profile)?;
    let mut all = Vec::new();
    for architecture in architectures(profile, native)? {
        all.push(calls_on(architecture, &rules, default)?);
    }
    let mut sections: Vec<Section> = Vec::new();
    for calls in &all {
        let audit = calls.architecture.audit();
        if calls.architecture != Architecture::X32 {
            let x32 = all.iter().find(|other| other.architecture == Architecture::X32);
            sections.push(Section { audit, ranges: ranges(calls, x32, default) });
        }
    }
    Ok(sections)
}

/// The architectures of a profile that can occur on this machine. Its own is always there, as with libseccomp.
fn architectures(profile: &Seccomp, native: Architecture) -> Result<Vec<Architecture>> {
    for (index, name) in profile.architectures.iter().enumerate() {
        let known = architecture::NAMES.contains(&name.as_str());
        ensure!(known, "linux.seccomp.architectures[{index}]: {name:?} is no architecture");
    }
    let is_wanted = |one: &&Architecture| **one == native || profile.architectures.iter().any(|n| n == one.name());
    Ok(Architecture::of_machine(native).iter().filter(is_wanted).copied().collect())
}

fn calls_on(architecture: Architecture, rules: &[Rule], default: Action) -> Result<Calls> {
    let mut calls = Calls { architecture, by_number: BTreeMap::new(), newest: None };
    for rule in rules {
        for call in &rule.calls {
            let number = call.number(architecture);
            calls.newest = calls.newest.max(number.filter(|number| is_in_sequence(*number, architecture)));
            // A rule that says what would happen anyway is no rule: an earlier or later one for the call decides.
            if rule.action == default {
                continue;
            }
            for conditions in &rule.alternatives {
                if let Some(Err(before)) = number.map(|number| calls.add(number, conditions, rule)) {
                    bail!(
                        "linux.seccomp.syscalls[{}]: for {:?} it contradicts linux.seccomp.syscalls[{before}], \
                         which has another action for the same conditions",
                        rule.index,
                        call.name()
                    );
                }
                let through = multiplexer::of(*call, architecture);
                if let Some((number, which)) = through {
                    calls.add_multiplexed(number, which, conditions, rule);
                }
                let numbers = number.into_iter().chain(through.map(|(number, _)| number));
                ensure!(
                    numbers.into_iter().all(|number| calls.clauses(number) <= MOST_CLAUSES),
                    "linux.seccomp.syscalls[{}]: with it the rules for {:?} have more than {MOST_CLAUSES} different \
                     conditions, and the kernel takes {MOST_INSTRUCTIONS} instructions",
                    rule.index,
                    call.name()
                );
            }
        }
    }
    Ok(calls)
}

/// Whether a larger number means a newer call. Number 0 alone doesn't make a profile that knows what is new.
fn is_in_sequence(number: u32, architecture: Architecture) -> bool {
    number != 0 && !(architecture == Architecture::Arm && ARM_PRIVATE.contains(&number))
}

impl Calls {
    /// Adds a rule for a call, unless an earlier rule contradicts it.
    fn add(&mut self, number: u32, conditions: &[Condition], rule: &Rule) -> std::result::Result<(), usize> {
        let conditions = self.fit(conditions);
        if !conditions.is_empty() {
            let before = self.by_number.get(&number).and_then(|call| call.contradicted_by(&conditions, rule.action));
            before.map_or(Ok(()), Err)?;
        }
        self.insert(number, conditions, rule);
        Ok(())
    }

    /// Adds a rule for a call that is made through another one. The arguments that tell rules for it apart are out of
    /// sight, so that these may well contradict each other: then the first one holds.
    fn add_multiplexed(&mut self, number: u32, which: Condition, conditions: &[Condition], rule: &Rule) {
        let others = conditions.iter().filter(|condition| condition.argument != which.argument);
        let conditions: Vec<_> = [&which].into_iter().chain(others).copied().collect();
        self.insert(number, self.fit(&conditions), rule);
    }

    fn clauses(&self, number: u32) -> usize {
        self.by_number.get(&number).map_or(0, Call::clauses)
    }

    fn insert(&mut self, number: u32, conditions: Vec<Condition>, rule: &Rule) {
        match self.by_number.entry(number) {
            Entry::Occupied(mut call) => call.get_mut().add(conditions, rule.action, rule.index),
            Entry::Vacant(place) => {
                place.insert(Call::new(conditions, rule.action, rule.index));
            }
        }
    }

    /// Conditions as the architecture's arguments can have them.
    fn fit(&self, conditions: &[Condition]) -> Vec<Condition> {
        let wide = self.architecture.has_wide_arguments();
        let fitted = conditions.iter().map(|condition| if wide { *condition } else { condition.narrow() });
        fitted.filter(|condition| !condition.always_holds()).collect()
    }

    /// What a number without a rule gets.
    ///
    /// A call newer than all that the profile names didn't exist for its author. It fails with ENOSYS, so that C
    /// libraries fall back to what they used before; EPERM would make them give up (runc since 1.0.0-rc93).
    fn unnamed(&self, number: u32, default: Action) -> Action {
        let is_private = self.architecture == Architecture::Arm && ARM_PRIVATE.contains(&number);
        match self.newest {
            Some(newest) if number > newest && !is_private && !default.lets_through() => Action::UNKNOWN_CALL,
            _ => default,
        }
    }

    /// Ranges for numbers without a rule, from `first` to before `end`.
    fn fill(&self, first: u32, end: u64, default: Action, into: &mut Vec<Range>) {
        let newer = self.newest.map_or(first, |newest| newest.saturating_add(1));
        let mut edges = [first, newer, ARM_PRIVATE.start, ARM_PRIVATE.end];
        edges.sort_unstable();
        for edge in edges.into_iter().filter(|edge| *edge >= first && u64::from(*edge) < end) {
            into.push(Range { first: edge, verdict: Verdict::Always(self.unnamed(edge, default)) });
        }
    }

    /// The ranges from `first` to before `end`.
    fn ranges(&self, first: u32, end: u64, default: Action, into: &mut Vec<Range>) {
        let mut next = first;
        for (number, call) in self.by_number.range(first..) {
            self.fill(next, u64::from(*number), default, into);
            into.push(Range { first: *number, verdict: call.verdict() });
            next = number + 1;
        }
        self.fill(next, end, default, into);
    }
}

/// All numbers of one kernel architecture; x32's are a part of x86-64's.
fn ranges(calls: &Calls, x32: Option<&Calls>, default: Action) -> Vec<Range> {
    const END: u64 = 1 << 32;
    let mut ranges = Vec::new();
    match (calls.architecture, x32) {
        (Architecture::X86_64, Some(x32)) => {
            calls.ranges(0, u64::from(X32_FIRST), default, &mut ranges);
            x32.ranges(X32_FIRST, END, default, &mut ranges);
        }
        (Architecture::X86_64, None) => {
            calls.ranges(0, u64::from(X32_FIRST), default, &mut ranges);
            ranges.push(Range { first: X32_FIRST, verdict: Verdict::Always(FOREIGN) });
            // -1 is what a tracer leaves behind when it skips a call, and no call of x32.
            ranges.push(Range { first: u32::MAX, verdict: Verdict::Always(default) });
        }
        _ => calls.ranges(0, END, default, &mut ranges),
    }
    ranges.dedup_by(|later, earlier| later.verdict == earlier.verdict);
    ranges
}
