//! Compiled filters against the plain evaluation of their profiles.

use proptest::prelude::*;

use super::evaluation::Evaluation;
use super::inputs::{ANYTHING, native, numbers, profile, with_arguments};
use super::*;

/// Asks the filter about every number on every architecture, with each set of arguments.
fn agrees(profile: &Seccomp, program: &Program, native: Architecture, arguments: &[[u64; 6]]) {
    for foreign in [Architecture::X86_64, Architecture::Aarch64] {
        for architecture in Architecture::of_machine(foreign) {
            let evaluation = Evaluation::of(profile, *architecture, native);
            for number in numbers(*architecture).into_iter().filter(|number| evaluation.has(*number)) {
                for arguments in arguments {
                    let expected = evaluation.answers(number, arguments);
                    let outcome = ask_number(program, *architecture, number, arguments);
                    assert!(
                        expected.contains(&outcome.action),
                        "{architecture:?} {number} {arguments:x?}: {:#x}, not {expected:x?}",
                        outcome.action
                    );
                }
            }
        }
    }
}

/// What BPF's verifier asks for: jumps that stay inside, and a return at the end.
fn is_sound(program: &Program) {
    for (index, instruction) in program.instructions.iter().enumerate() {
        let left = program.instructions.len() - index - 1;
        let farthest = match instruction.code {
            0x06 => continue,
            0x05 => instruction.k as usize,
            _ => usize::from(instruction.jt.max(instruction.jf)),
        };
        assert!(farthest < left, "instruction {index} leaves the program");
    }
}

proptest! {
    // The profiles are always the same.
    #![proptest_config(ProptestConfig { cases: 16, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_filters_of_engines_do_what_their_profiles_say(
        (profile, arguments) in prop_oneof![Just(docker()), Just(podman())].prop_flat_map(with_arguments),
        native in native(),
    ) {
        let program = compile(&profile, native).unwrap();
        is_sound(&program);
        agrees(&profile, &program, native, &arguments[..2]);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_filter_does_what_its_profile_says(
        (profile, arguments) in profile(ANYTHING).prop_flat_map(with_arguments),
        native in native(),
    ) {
        match compile(&profile, native) {
            Ok(program) => {
                is_sound(&program);
                agrees(&profile, &program, native, &arguments);
            }
            Err(error) => prop_assert!(error.to_string().contains("contradicts"), "{error:#}"),
        }
    }
}

#[test]
fn what_is_allowed_without_conditions_is_allowed_without_a_look_at_arguments() {
    for (profile, native) in [(docker(), Architecture::X86_64), (podman(), Architecture::Aarch64)] {
        let program = compile(&profile, native).unwrap();
        for name in profile.syscalls.iter().filter(|rule| rule.args.is_empty()).flat_map(|rule| &rule.names) {
            if let Some(number) = syscalls::number(name, native) {
                let outcome = ask_number(&program, native, number, &[]);
                assert!(!outcome.looked_at_arguments, "{name}");
            }
        }
    }
}
