//! A profile evaluated as it reads: no ranges, no order, no BPF. It knows nothing of the compiler but the table of names.

use std::collections::HashMap;

use crate::seccomp::architecture::Architecture;
use crate::seccomp::syscalls::SystemCall;
use crate::seccomp::{multiplexer, syscalls};
use crate::spec::seccomp::{Argument, Seccomp};

const ENOSYS: u32 = 0x0005_0026;
const KILL_THREAD: u32 = 0;
const X32_BIT: u32 = 0x4000_0000;

/// Conditions that hold together, and the action's value.
struct Alternative<'a> {
    conditions: Vec<&'a Argument>,
    /// What socketcall's or ipc's first argument must be.
    which: Option<u64>,
    action: u32,
}

/// One architecture's reading of a profile.
pub(super) struct Evaluation<'a> {
    architecture: Architecture,
    /// Whether the machine has the architecture.
    occurs: bool,
    is_in_profile: bool,
    default: u32,
    newest: u32,
    by_number: HashMap<u32, Vec<Alternative<'a>>>,
}

/// The value of an action: SECCOMP_RET_* of linux/seccomp.h.
pub(super) fn value(action: &str, errno: Option<u32>) -> u32 {
    match action {
        "SCMP_ACT_KILL" | "SCMP_ACT_KILL_THREAD" => 0,
        "SCMP_ACT_KILL_PROCESS" => 0x8000_0000,
        "SCMP_ACT_TRAP" => 0x0003_0000,
        "SCMP_ACT_ERRNO" => 0x0005_0000 + errno.unwrap_or(1),
        "SCMP_ACT_NOTIFY" => 0x7fc0_0000,
        "SCMP_ACT_TRACE" => 0x7ff0_0000 + errno.unwrap_or(1),
        "SCMP_ACT_LOG" => 0x7ffc_0000,
        "SCMP_ACT_ALLOW" => 0x7fff_0000,
        other => panic!("{other}"),
    }
}

/// Conditions as runc reads them: together, or each alone where an argument has two.
pub(super) fn alternatives(arguments: &[Argument]) -> Vec<Vec<&Argument>> {
    let is_twice = |one: &Argument| arguments.iter().filter(|other| other.index == one.index).count() > 1;
    if arguments.iter().any(is_twice) {
        arguments.iter().map(|argument| vec![argument]).collect()
    } else {
        vec![arguments.iter().collect()]
    }
}

impl<'a> Evaluation<'a> {
    pub(super) fn of(profile: &'a Seccomp, architecture: Architecture, native: Architecture) -> Self {
        let default = value(&profile.default_action, profile.default_errno_ret);
        let named = profile.architectures.iter().any(|name| name == architecture.name());
        let occurs = Architecture::of_machine(native).contains(&architecture);
        let mut this = Self {
            architecture,
            occurs,
            is_in_profile: architecture == native || (named && occurs),
            default,
            newest: 0,
            by_number: HashMap::new(),
        };
        for rule in &profile.syscalls {
            let action = value(&rule.action, rule.errno_ret);
            for name in &rule.names {
                let number = syscalls::number(name, architecture);
                if let Some(number) = number.filter(|number| number & 0xf_0000 == 0) {
                    this.newest = this.newest.max(number);
                }
                let multiplexed = SystemCall::named(name)
                    .and_then(|call| multiplexer::of(call, architecture))
                    .map(|(number, which)| (number, Some(which.value)));
                for (number, which) in number.map(|number| (number, None)).into_iter().chain(multiplexed) {
                    for mut conditions in alternatives(&rule.args) {
                        conditions.retain(|condition| which.is_none() || condition.index != 0);
                        if action != default {
                            let alternative = Alternative { conditions, which, action };
                            this.by_number.entry(number).or_default().push(alternative);
                        }
                    }
                }
            }
        }
        this
    }

    /// The actions that may be the answer: several where rules with conditions disagree.
    pub(super) fn answers(&self, number: u32, arguments: &[u64; 6]) -> Vec<u32> {
        if !self.is_in_profile {
            let is_skipped = self.architecture == Architecture::X32 && self.occurs && number == u32::MAX;
            return vec![if is_skipped { self.default } else { KILL_THREAD }];
        }
        let Some(alternatives) = self.by_number.get(&number) else {
            let is_private = self.architecture == Architecture::Arm && number & 0xffff_f800 == 0xf_0000;
            let is_new = self.newest != 0 && number > self.newest && !is_private;
            return vec![if is_new && self.refuses() { ENOSYS } else { self.default }];
        };
        let wide = matches!(self.architecture, Architecture::X86_64 | Architecture::Aarch64);
        if let Some(first) = alternatives.iter().find(|one| one.is_unconditional(wide)) {
            return vec![first.action];
        }
        let matching: Vec<_> = alternatives.iter().filter(|one| one.holds(arguments, wide)).collect();
        if matching.is_empty() { vec![self.default] } else { matching.iter().map(|one| one.action).collect() }
    }

    fn refuses(&self) -> bool {
        !matches!(self.default >> 16, 0x7fff | 0x7ffc | 0x7ff0)
    }

    /// Whether the kernel gives this number to this architecture.
    pub(super) fn has(&self, number: u32) -> bool {
        match self.architecture {
            Architecture::X86_64 => number < X32_BIT,
            Architecture::X32 => number >= X32_BIT,
            _ => true,
        }
    }
}

impl Alternative<'_> {
    fn is_unconditional(&self, wide: bool) -> bool {
        let says_nothing =
            |condition: &&Argument| condition.op == "SCMP_CMP_MASKED_EQ" && cut(condition.value, wide) == 0;
        self.which.is_none() && self.conditions.iter().all(says_nothing)
    }

    fn holds(&self, arguments: &[u64; 6], wide: bool) -> bool {
        self.which.is_none_or(|which| cut(arguments[0], wide) == which)
            && self.conditions.iter().all(|condition| holds(condition, arguments, wide))
    }
}

fn cut(value: u64, wide: bool) -> u64 {
    if wide { value } else { value & 0xffff_ffff }
}

fn holds(condition: &Argument, arguments: &[u64; 6], wide: bool) -> bool {
    let argument = cut(arguments[condition.index as usize], wide);
    let (value, second) = (cut(condition.value, wide), cut(condition.value_two, wide));
    match condition.op.as_str() {
        "SCMP_CMP_EQ" => argument == value,
        "SCMP_CMP_NE" => argument != value,
        "SCMP_CMP_LT" => argument < value,
        "SCMP_CMP_LE" => argument <= value,
        "SCMP_CMP_GT" => argument > value,
        "SCMP_CMP_GE" => argument >= value,
        "SCMP_CMP_MASKED_EQ" => argument & value == second & value,
        other => panic!("{other}"),
    }
}
