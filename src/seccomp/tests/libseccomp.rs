//! Compiled filters against libseccomp's, from the same profiles.
//!
//! libseccomp is asked through `libseccomp.c` beside this file.

use std::fmt::Write as _;
use std::path::Path;

use proptest::prelude::*;

use super::evaluation::{Evaluation, alternatives, value};
use super::inputs::{ANYTHING, Shape, native, numbers, profile, with_arguments};
use super::*;
use crate::seccomp::syscalls::SystemCall;
use crate::spec::seccomp::{Argument, Syscall};

/// SCMP_ARCH_* of seccomp.h: the kernel's value but for x32.
fn number_of(architecture: Architecture) -> u32 {
    match architecture {
        Architecture::X32 => 0x4000_003e,
        other => other.audit(),
    }
}

/// A profile as runc hands it to libseccomp.
fn spelled(profile: &Seccomp, native: Architecture) -> String {
    let default = value(&profile.default_action, profile.default_errno_ret);
    let mut text = format!("default {default}\narch {}\n", number_of(native));
    for other in Architecture::of_machine(native) {
        if profile.architectures.iter().any(|name| name == other.name()) {
            writeln!(text, "arch {}", number_of(*other)).unwrap();
        }
    }
    for rule in &profile.syscalls {
        let action = value(&rule.action, rule.errno_ret);
        for name in rule.names.iter().filter(|_| action != default) {
            for conditions in alternatives(&rule.args) {
                write!(text, "rule {action} {name} {}", conditions.len()).unwrap();
                for condition in conditions {
                    let operators =
                        ["NE", "LT", "LE", "EQ", "GE", "GT", "MASKED_EQ"].map(|op| format!("SCMP_CMP_{op}"));
                    let operator = operators.iter().position(|op| *op == condition.op).unwrap() + 1;
                    write!(text, " {} {operator} {} {}", condition.index, condition.value, condition.value_two)
                        .unwrap();
                }
                text.push('\n');
            }
        }
    }
    text
}

/// libseccomp's filter, or its complaint.
fn theirs(helper: &Path, profile: &Seccomp, native: Architecture) -> Result<Program, String> {
    let output = programs::run(helper, &[], &spelled(profile, native));
    assert!(output.status.success(), "{}", output.status);
    let text = String::from_utf8(output.stdout).unwrap();
    if text.starts_with("error ") {
        return Err(text);
    }
    Ok(Program { instructions: programs::read(&text), flags: Flags::empty(), listener: None })
}

/// A profile that libseccomp can be asked about.
///
/// What it doesn't know is left out: calls newer than its release, new ones of x32, Arm's second name for one call. And
/// each architecture gets a rule: 2.5.4 forgets to load the number where all names are those of other architectures.
fn askable(mut profile: Seccomp) -> Seccomp {
    let is_new = |name: &str| matches!(syscalls::number(name, Architecture::Aarch64), Some(457..));
    let is_unknown = |name: &str| matches!(name, "uretprobe" | "map_shadow_stack" | "sync_file_range2");
    for rule in &mut profile.syscalls {
        rule.names.retain(|name| !is_new(name) && !is_unknown(name));
    }
    profile.syscalls.retain(|rule| !rule.names.is_empty());
    let action = if profile.default_action == "SCMP_ACT_LOG" { "SCMP_ACT_ALLOW" } else { "SCMP_ACT_LOG" };
    let anchor = Syscall { names: vec!["exit_group".into()], action: action.into(), ..Syscall::default() };
    profile.syscalls.push(anchor);
    profile
}

/// Calls each filter is asked about, with both answers: all numbers of all architectures.
fn answers<'a>(
    ours: &'a Program,
    theirs: &'a Program,
    arguments: &'a [[u64; 6]],
) -> impl Iterator<Item = (Data, u32, u32)> + 'a {
    let machines = [Architecture::X86_64, Architecture::Aarch64];
    let architectures = machines.into_iter().flat_map(Architecture::of_machine);
    let calls = architectures.flat_map(|one| numbers(*one).into_iter().map(move |number| (one.audit(), number)));
    calls.flat_map(move |(architecture, number)| {
        arguments.iter().map(move |arguments| {
            let data = Data { number, architecture, arguments: *arguments };
            (data, run(&ours.instructions, &data).action, run(&theirs.instructions, &data).action)
        })
    })
}

/// ENOSYS for new calls is runc's addition, which libseccomp's filter doesn't have.
fn is_the_same(profile: &Seccomp, our: u32, their: u32) -> bool {
    our == their || (our == ENOSYS && their == value(&profile.default_action, profile.default_errno_ret))
}

/// Whether their answer is ours for a call that has, in place of one argument, another or a half of it. libseccomp 2.5.4 gives
/// such answers now and then: the comparison of the next rule's argument finds what the last one has loaded.
fn is_stale(ours: &Program, data: &Data, their: u32) -> bool {
    let halves = [u64::MAX, u64::MAX << 32, u64::MAX >> 32];
    let pairs = (0..6).flat_map(|one| (0..6).map(move |other| (one, other)));
    pairs.flat_map(|pair| halves.map(|half| (pair, half))).any(|((one, other), half)| {
        let mut arguments = data.arguments;
        arguments[one] = arguments[one] & !half | arguments[other] & half;
        let confused = Data { number: data.number, architecture: data.architecture, arguments };
        run(&ours.instructions, &confused).action == their
    })
}

#[test]
fn an_answer_by_the_wrong_argument_is_known() {
    let Some(helper) = programs::libseccomp() else { return };
    let equal = |(index, value)| Argument { index, value, value_two: 0, op: "SCMP_CMP_EQ".into() };
    let rule = |names: &[&str], action: &str, args: &[(u32, u64)]| Syscall {
        names: names.iter().copied().map(String::from).collect(),
        action: action.into(),
        args: args.iter().copied().map(equal).collect(),
        errno_ret: None,
    };
    let profile = Seccomp {
        default_action: "SCMP_ACT_ALLOW".into(),
        architectures: vec!["SCMP_ARCH_AARCH64".into(), "SCMP_ARCH_ARM".into()],
        syscalls: vec![
            rule(&["breakpoint"], "SCMP_ACT_TRAP", &[(2, 2), (1, 40)]),
            rule(&["breakpoint", "accept"], "SCMP_ACT_TRACE", &[(1, 0x5_0000_0005), (1, 15_917_786_701_900_254_580)]),
        ],
        ..Seccomp::default()
    };
    let native = Architecture::Aarch64;
    let (ours, theirs) = (compile(&profile, native).unwrap(), theirs(helper, &profile, native).unwrap());
    let number = syscalls::number("breakpoint", Architecture::Arm).unwrap();
    let data = Data { number, architecture: Architecture::Arm.audit(), arguments: [0, 40, 0x5_0000_0005, 0, 0, 0] };
    let (our, their) = (run(&ours.instructions, &data).action, run(&theirs.instructions, &data).action);
    assert!(our == 0x7fff_0000 && (their == our || is_stale(&ours, &data, their)), "{our:#x}, theirs {their:#x}");
    assert!(!is_stale(&ours, &Data { arguments: [0; 6], ..data }, 0x7ff0_0000));
}

/// Both refuse the profile, or both filters give the same answers.
fn agree(profile: &Seccomp, arguments: &[[u64; 6]], native: Architecture) {
    let Some(helper) = programs::libseccomp() else { return };
    match (compile(profile, native), theirs(helper, profile, native)) {
        (Ok(ours), Ok(theirs)) => {
            for (data, our, their) in answers(&ours, &theirs, arguments) {
                let is_fine = is_the_same(profile, our, their) || is_stale(&ours, &data, their);
                assert!(is_fine, "{data:x?}: {our:#x}, theirs {their:#x}");
            }
        }
        (Err(ours), Err(theirs)) => assert!(ours.to_string().contains("contradicts"), "{ours}, theirs {theirs}"),
        (Ok(_), Err(theirs)) => {
            // What contradicts itself only where it can't be seen (see `multiplexer`), or on an architecture that doesn't
            // have the call, is taken.
            let all = Architecture::of_machine(native);
            let is_lax = |name: &str| {
                let is_there = |one: &Architecture| syscalls::number(name, *one).is_some();
                SystemCall::named(name).is_some_and(|call| multiplexer::of(call, Architecture::X86).is_some())
                    || !all.iter().all(is_there)
            };
            let (name, _) = theirs["error ".len()..].split_once(':').unwrap();
            assert!(is_lax(name), "theirs alone: {theirs}");
        }
        (Err(ours), Ok(_)) => panic!("ours alone: {ours}"),
    }
}

/// libseccomp 2.5.4 does all that these say. It does not do what comes below, as reading its filters shows:
/// - after the lower half of an argument was compared by LT or LE, the upper half is not loaded again for the next
///   comparison;
/// - where a rule's first condition holds and its second doesn't, rules that share the upper half of the first are
///   passed over;
/// - of two NE, GE or GT with different actions and the same upper half of the bound, the upper half of the argument is
///   answered with the action of either.
const SAFE: &[&str] = &["SCMP_CMP_EQ", "SCMP_CMP_NE", "SCMP_CMP_MASKED_EQ", "SCMP_CMP_GE", "SCMP_CMP_GT"];
const ONE_ACTION: Shape = Shape { actions: &["SCMP_ACT_LOG"], operators: SAFE, together: 1 };
const TOGETHER: Shape = Shape { actions: ACTIONS, operators: &["SCMP_CMP_EQ"], together: 4 };
const ALL_ACTIONS: Shape = Shape { actions: ACTIONS, operators: &["SCMP_CMP_EQ", "SCMP_CMP_MASKED_EQ"], together: 1 };

proptest! {
    // The profiles are always the same.
    #![proptest_config(ProptestConfig { cases: 16, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_profiles_of_engines_agree(
        (profile, arguments) in prop_oneof![Just(docker()), Just(podman())].prop_map(askable).prop_flat_map(with_arguments),
        native in native(),
    ) {
        agree(&profile, &arguments[..2], native);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn rules_agree(
        (profile, arguments) in prop_oneof![profile(ONE_ACTION), profile(TOGETHER), profile(ALL_ACTIONS)]
            .prop_map(askable)
            .prop_flat_map(with_arguments),
        native in native(),
    ) {
        agree(&profile, &arguments, native);
    }

    #[test]
    fn where_libseccomp_differs_the_profile_is_with_us(
        (profile, arguments) in profile(ANYTHING).prop_map(askable).prop_flat_map(with_arguments),
        native in native(),
    ) {
        let Some(helper) = programs::libseccomp() else { return Ok(()) };
        if let (Ok(ours), Ok(theirs)) = (compile(&profile, native), theirs(helper, &profile, native)) {
            for (data, our, their) in answers(&ours, &theirs, &arguments) {
                if !is_the_same(&profile, our, their) {
                    let machine = Architecture::of_machine(native).iter();
                    let readings = machine.map(|one| (one, Evaluation::of(&profile, *one, native)));
                    let (_, reading) = readings
                        .filter(|(one, _)| one.audit() == data.architecture)
                        .find(|(_, reading)| reading.has(data.number))
                        .expect("foreign architectures get the same answer");
                    prop_assert!(reading.answers(data.number, &data.arguments).contains(&our), "{data:x?}: {our:#x}");
                }
            }
        }
    }
}
