//! Profiles and system calls to try them with.

use std::collections::BTreeSet;

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::{select, subsequence};

use crate::seccomp::architecture::Architecture;
use crate::seccomp::{ACTIONS, OPERATORS, syscalls};
use crate::spec::seccomp::{Argument, Seccomp, Syscall};

/// What rules may be made of.
#[derive(Clone, Copy)]
pub(super) struct Shape {
    pub(super) actions: &'static [&'static str],
    pub(super) operators: &'static [&'static str],
    /// The most conditions of a rule that hold together; one means that any number may hold alone.
    pub(super) together: usize,
}

/// Everything that a profile may say.
pub(super) const ANYTHING: Shape = Shape { actions: ACTIONS, operators: OPERATORS, together: 4 };

/// Few names, so that rules meet.
const CROWDED: &[&str] = &["ioctl", "prctl", "clone"];

/// Names with something about them: through socketcall or not, on some architectures only, the newest, none.
const PECULIAR: &[&str] = &[
    "read",
    "openat2",
    "mseal",
    "socket",
    "accept",
    "connect",
    "shmat",
    "semop",
    "socketcall",
    "ipc",
    "execve",
    "set_tls",
    "breakpoint",
    "getuid32",
    "personality",
    "pwritev2",
    "no_such_call",
];

/// Values around which conditions and arguments meet.
const VALUES: &[u64] = &[
    0,
    1,
    2,
    5,
    6,
    16,
    40,
    0xff,
    0x7e02_0000,
    0xffff_ffff,
    0x1_0000_0000,
    0x1_0000_0005,
    0x5_0000_0001,
    0x5_0000_0005,
    0xffff_ffff_0000_0000,
    u64::MAX - 1,
    u64::MAX,
];

fn value() -> impl Strategy<Value = u64> {
    prop_oneof![8 => select(VALUES), 1 => any::<u64>(), 1 => any::<u32>().prop_map(u64::from)]
}

fn argument(index: impl Strategy<Value = u32>, shape: Shape) -> impl Strategy<Value = Argument> {
    (index, value(), value(), select(shape.operators)).prop_map(|(index, value, value_two, op)| Argument {
        index,
        value,
        value_two,
        op: op.into(),
    })
}

fn conditions(shape: Shape) -> impl Strategy<Value = Vec<Argument>> {
    let alone = (0..3_u32).prop_flat_map(move |index| vec(argument(Just(index), shape), 0..4));
    let together = vec(argument(0..6_u32, shape), 0..=shape.together);
    prop_oneof![alone, together]
}

fn action(names: &'static [&'static str]) -> impl Strategy<Value = (String, Option<u32>)> {
    (select(names), proptest::option::of(select(&[0_u32, 1, 22, 38, 4094][..]))).prop_map(|(name, errno)| {
        let takes_errno = matches!(name, "SCMP_ACT_ERRNO" | "SCMP_ACT_TRACE");
        (name.to_owned(), errno.filter(|_| takes_errno))
    })
}

fn rule(shape: Shape) -> impl Strategy<Value = Syscall> {
    let all = syscalls::names().collect::<Vec<_>>();
    let names =
        prop_oneof![5 => vec(select(CROWDED), 1), 4 => vec(select(PECULIAR), 1..4), 1 => vec(select(all), 1..40)];
    (names, action(shape.actions), conditions(shape)).prop_map(|(names, (action, errno_ret), args)| Syscall {
        names: names.into_iter().map(str::to_owned).collect(),
        action,
        errno_ret,
        args,
    })
}

/// A profile of some shape. Rules that would wait for an answer to `write` are left out.
pub(super) fn profile(shape: Shape) -> impl Strategy<Value = Seccomp> {
    let architectures: Vec<_> = Architecture::of_machine(Architecture::X86_64)
        .iter()
        .chain(Architecture::of_machine(Architecture::Aarch64))
        .map(|architecture| architecture.name().to_owned())
        .collect();
    let default = action(ACTIONS).prop_filter("no default action", |(name, _)| name != "SCMP_ACT_NOTIFY");
    (default, subsequence(architectures, 0..=5), vec(rule(shape), 0..12)).prop_map(
        |((default_action, default_errno_ret), architectures, mut syscalls)| {
            syscalls.retain(|rule| rule.action != "SCMP_ACT_NOTIFY" || rule.names.iter().all(|name| name != "write"));
            Seccomp {
                default_action,
                default_errno_ret,
                architectures,
                listener_path: Some("/run/agent".into()),
                syscalls,
                ..Seccomp::default()
            }
        },
    )
}

/// Numbers of an architecture: all that have a name, those around them, and the ends.
pub(super) fn numbers(architecture: Architecture) -> Vec<u32> {
    let mut numbers: BTreeSet<u32> = [0, 600, 0x3fff_ffff, 0x4000_0000, 0x7fff_ffff, 0xf_0000, u32::MAX].into();
    for number in syscalls::names().filter_map(|name| syscalls::number(name, architecture)) {
        numbers.extend([number.saturating_sub(1), number, number + 1]);
    }
    numbers.into_iter().collect()
}

/// Arguments to try, most of them at the profile's own values or next to them.
fn arguments(profile: &Seccomp) -> impl Strategy<Value = Vec<[u64; 6]>> + use<> {
    let mut values: Vec<u64> = VALUES.to_vec();
    for argument in profile.syscalls.iter().flat_map(|rule| &rule.args) {
        for value in [argument.value, argument.value_two, argument.value & argument.value_two] {
            values.extend([value.wrapping_sub(1), value, value.wrapping_add(1), value ^ (1 << 32)]);
        }
    }
    let value = prop_oneof![6 => select(values), 1 => any::<u64>()];
    vec(proptest::array::uniform6(value), 12)
}

/// A profile, with arguments to try it with.
pub(super) fn with_arguments(profile: Seccomp) -> impl Strategy<Value = (Seccomp, Vec<[u64; 6]>)> {
    let arguments = arguments(&profile);
    (Just(profile), arguments)
}

/// A machine.
pub(super) fn native() -> impl Strategy<Value = Architecture> {
    select(&[Architecture::X86_64, Architecture::Aarch64][..])
}
