//! Rules → eBPF instructions.

use super::rule::{Access, Rule};
use crate::sys::bpf::Instruction;

/// A device program, ready to be loaded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Program {
    instructions: Vec<Instruction>,
    allows_everything: bool,
}

// Registers. The kernel passes a `struct bpf_cgroup_dev_ctx` in r1 and takes the answer from r0: 1 allows, 0 denies.
const ANSWER: u8 = 0;
const CONTEXT: u8 = 1;
/// A number of the device, loaded anew for each comparison: so nothing of it is left from one rule to the next that would
/// make the verifier follow each way through the rules by itself, which is more than it does for a few hundred rules.
const NUMBER: u8 = 2;
/// The kinds of access asked for that no rule has allowed yet.
const OPEN: u8 = 3;

// Offsets in the context. `access_type` has the kind of device in its lower half, the access in the upper.
const KIND: i16 = 0;
const ACCESS: i16 = 2;
const MAJOR: i16 = 4;
const MINOR: i16 = 8;

// Operation codes: class | kind of source | operation. All comparisons are of 32 bits (JMP32), for a 64-bit one would
// extend the sign of the immediate.
const LOAD_WORD: u8 = 0x61; // LDX | MEM | W
const LOAD_HALF: u8 = 0x69; // LDX | MEM | H
const MOVE: u8 = 0xb4; // ALU | K | MOV
const AND: u8 = 0x54; // ALU | K | AND
const JUMP_UNLESS_EQUAL: u8 = 0x56; // JMP32 | K | JNE
const JUMP_IF_ANY_BIT: u8 = 0x46; // JMP32 | K | JSET
const JUMP: u8 = 0x05; // JMP | JA
const EXIT: u8 = 0x95; // JMP | EXIT

const fn instruction(code: u8, to: u8, immediate: i32) -> Instruction {
    Instruction { code, registers: to, offset: 0, immediate }
}

const fn load(code: u8, to: u8, offset: i16) -> Instruction {
    Instruction { code, registers: to | CONTEXT << 4, offset, immediate: 0 }
}

const fn jump(code: u8, register: u8, immediate: i32, over: i16) -> Instruction {
    Instruction { code, registers: register, offset: over, immediate }
}

fn answer(allow: bool) -> [Instruction; 2] {
    [instruction(MOVE, ANSWER, i32::from(allow)), instruction(EXIT, 0, 0)]
}

impl Program {
    /// The program for rules in their order: of those that speak of a device and a kind of access the last one decides,
    /// and where none does the access is denied. Opening for reading and writing needs both.
    ///
    /// The rules are laid out from the last to the first. Each is a block that is jumped over if it does not speak of the
    /// device. A denying one ends with "no" if it speaks of anything that is still open; an allowing one strikes out what
    /// it allows and ends with "yes" once nothing is open any more. A rule for everything decides all that is open, so
    /// those before it are left out.
    pub fn new(rules: &[Rule]) -> Program {
        let mut instructions = vec![load(LOAD_HALF, OPEN, ACCESS)];
        let last_for_everything = rules.iter().rposition(is_for_everything);
        let effective = &rules[last_for_everything.unwrap_or(0)..];
        instructions.extend(effective.iter().rev().flat_map(block));
        if last_for_everything.is_none() {
            instructions.extend(answer(false));
        }
        let allows_everything = last_for_everything.is_some() && effective.iter().all(|rule| rule.allow);
        Program { instructions, allows_everything }
    }

    /// What is loaded.
    pub fn instructions(&self) -> &[Instruction] {
        &self.instructions
    }

    /// Nothing is denied, so there is nothing to attach.
    pub fn allows_everything(&self) -> bool {
        self.allows_everything
    }
}

fn is_for_everything(rule: &Rule) -> bool {
    (rule.kind, rule.major, rule.minor, rule.access) == (None, None, None, Access::all())
}

/// The instructions for one rule; who falls out of them at the end has not been decided on.
fn block(rule: &Rule) -> Vec<Instruction> {
    let decision = decision(rule);
    let conditions = [
        (load(LOAD_HALF, NUMBER, KIND), rule.kind.map(|kind| kind as u32)),
        (load(LOAD_WORD, NUMBER, MAJOR), rule.major),
        (load(LOAD_WORD, NUMBER, MINOR), rule.minor),
    ];
    let conditions: Vec<_> = conditions.into_iter().filter_map(|(load, value)| Some((load, value?))).collect();
    let mut block = Vec::new();
    for (index, (load, value)) in conditions.iter().enumerate() {
        let over = 2 * (conditions.len() - index - 1) + decision.len();
        // At most two further conditions and four instructions are jumped over.
        block.extend([*load, jump(JUMP_UNLESS_EQUAL, NUMBER, value.cast_signed(), over as i16)]);
    }
    block.extend(decision);
    block
}

/// What a rule that speaks of the device makes of the access.
fn decision(rule: &Rule) -> Vec<Instruction> {
    let mut decision = Vec::new();
    match (rule.allow, rule.access == Access::all()) {
        (_, true) => {}
        (true, false) => decision.extend([
            instruction(AND, OPEN, i32::from(Access::all().difference(rule.access).bits())),
            jump(JUMP_UNLESS_EQUAL, OPEN, 0, 2),
        ]),
        (false, false) => {
            decision.extend([jump(JUMP_IF_ANY_BIT, OPEN, i32::from(rule.access.bits()), 1), jump(JUMP, 0, 0, 2)])
        }
    }
    decision.extend(answer(rule.allow));
    decision
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::rule::{ALWAYS_ALLOWED, Kind};
    use super::*;

    /// An access as the kernel asks about it.
    #[derive(Debug, Clone, Copy)]
    struct Request {
        kind: Kind,
        major: u32,
        minor: u32,
        access: Access,
    }

    /// The rules taken at their word: for each kind of access asked for, the last rule that speaks of it.
    fn allowed(rules: &[Rule], request: Request) -> bool {
        request.access.iter().all(|one| {
            let speaks = |rule: &&Rule| {
                rule.kind.is_none_or(|kind| kind == request.kind)
                    && rule.major.is_none_or(|major| major == request.major)
                    && rule.minor.is_none_or(|minor| minor == request.minor)
                    && rule.access.contains(one)
            };
            rules.iter().rev().find(speaks).is_some_and(|rule| rule.allow)
        })
    }

    /// Runs a program as the kernel would; it panics where the verifier would refuse.
    fn run(program: &[Instruction], request: Request) -> bool {
        let mut context = Vec::new();
        context.extend((request.kind as u16).to_le_bytes());
        context.extend(u16::from(request.access.bits()).to_le_bytes());
        context.extend(request.major.to_le_bytes());
        context.extend(request.minor.to_le_bytes());
        let mut registers: [Option<u32>; 11] = [None; 11];
        let mut at = 0;
        loop {
            let Instruction { code, registers: names, offset, immediate } = program[at];
            let (to, from) = (usize::from(names & 15), usize::from(names >> 4));
            let operand = immediate.cast_unsigned();
            let value = || registers[to].expect("a register is set before it is read");
            at += 1;
            let mut jump_if = |condition: bool| {
                assert!(offset >= 0, "no loop");
                if condition {
                    at += usize::try_from(offset).unwrap();
                }
            };
            match code {
                LOAD_WORD | LOAD_HALF => {
                    assert_eq!(from, usize::from(CONTEXT));
                    let offset = usize::try_from(offset).unwrap();
                    let bytes = &context[offset..offset + if code == LOAD_WORD { 4 } else { 2 }];
                    registers[to] = Some(bytes.iter().rev().fold(0, |number, byte| number << 8 | u32::from(*byte)));
                }
                MOVE => registers[to] = Some(operand),
                AND => registers[to] = Some(value() & operand),
                JUMP_UNLESS_EQUAL => jump_if(value() != operand),
                JUMP_IF_ANY_BIT => jump_if(value() & operand != 0),
                JUMP => jump_if(true),
                EXIT => return registers[usize::from(ANSWER)].expect("an answer") == 1,
                other => panic!("unknown code {other:#x}"),
            }
        }
    }

    fn a_kind() -> impl Strategy<Value = Kind> {
        prop_oneof![Just(Kind::Block), Just(Kind::Character)]
    }

    fn an_access() -> impl Strategy<Value = Access> {
        (1u8..8).prop_map(Access::from_bits_truncate)
    }

    // Few numbers, so that rules meet each other; one that a signed comparison would get wrong.
    fn a_number() -> impl Strategy<Value = u32> {
        prop_oneof![3 => 0u32..3, 1 => Just(u32::MAX)]
    }

    fn a_rule() -> impl Strategy<Value = Rule> {
        let one = || proptest::option::weighted(0.7, a_number());
        (any::<bool>(), proptest::option::of(a_kind()), one(), one(), an_access())
            .prop_map(|(allow, kind, major, minor, access)| Rule { allow, kind, major, minor, access })
    }

    fn a_request() -> impl Strategy<Value = Request> {
        (a_kind(), a_number(), a_number(), an_access()).prop_map(|(kind, major, minor, access)| Request {
            kind,
            major,
            minor,
            access,
        })
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 2000, failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn the_program_decides_as_the_rules_say(
            rules in proptest::collection::vec(a_rule(), 0..12),
            requests in proptest::collection::vec(a_request(), 1..40),
        ) {
            let program = Program::new(&rules);
            for request in requests {
                prop_assert_eq!(run(program.instructions(), request), allowed(&rules, request), "{:?}", request);
                prop_assert!(!program.allows_everything() || allowed(&rules, request));
            }
        }
    }

    const EVERYTHING: Rule = Rule { allow: true, kind: None, major: None, minor: None, access: Access::all() };

    #[test]
    fn no_rules_deny_everything() {
        let program = Program::new(&[]);
        let request = Request { kind: Kind::Character, major: 1, minor: 3, access: Access::READ };
        assert!(!run(program.instructions(), request) && !program.allows_everything());
    }

    #[test]
    fn rules_before_one_for_everything_are_left_out() {
        let deny = Rule { allow: false, ..EVERYTHING };
        let one = Rule { major: Some(7), ..EVERYTHING };
        assert_eq!(Program::new(&[one, one, deny, one]), Program::new(&[deny, one]));
    }

    #[test]
    fn a_privileged_container_is_denied_nothing() {
        let all: Vec<Rule> =
            [Rule { allow: false, ..EVERYTHING }, EVERYTHING].into_iter().chain(ALWAYS_ALLOWED).collect();
        assert!(Program::new(&all).allows_everything());
        let but_one = Rule { allow: false, major: Some(8), ..EVERYTHING };
        assert!(!Program::new(&[EVERYTHING, but_one, EVERYTHING, but_one]).allows_everything());
        assert!(Program::new(&[EVERYTHING, but_one, EVERYTHING]).allows_everything());
    }
}
