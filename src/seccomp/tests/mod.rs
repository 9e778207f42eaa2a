//! What compiled filters say, asked through the [`interpreter`].

mod evaluation;
mod inputs;
mod kernel;
mod libseccomp;
mod programs;
mod properties;

use serde_json::{Value, json};

use super::interpreter::{Data, Outcome, run};
use super::*;

const ALLOW: u32 = 0x7fff_0000;
const KILL_THREAD: u32 = 0;
const ERRNO: u32 = 0x0005_0000;
const EPERM: u32 = ERRNO | 1;
const ENOSYS: u32 = ERRNO | 38;

const X86_64: Architecture = Architecture::X86_64;

fn profile(text: Value) -> Seccomp {
    serde_json::from_value(text).unwrap()
}

fn docker() -> Seccomp {
    serde_json::from_str(include_str!("../../../tests/data/seccomp-docker.json")).unwrap()
}

fn podman() -> Seccomp {
    serde_json::from_str(include_str!("../../../tests/data/seccomp-podman.json")).unwrap()
}

fn compiled(text: Value) -> Program {
    compile(&profile(text), X86_64).unwrap()
}

fn refusal(text: Value) -> String {
    crate::error::sentence(&compile(&profile(text), X86_64).unwrap_err())
}

fn ask(program: &Program, architecture: Architecture, name: &str, arguments: &[u64]) -> Outcome {
    let number = syscalls::number(name, architecture).unwrap();
    ask_number(program, architecture, number, arguments)
}

fn ask_number(program: &Program, architecture: Architecture, number: u32, given: &[u64]) -> Outcome {
    let mut arguments = [0; 6];
    arguments[..given.len()].copy_from_slice(given);
    run(&program.instructions, &Data { number, architecture: architecture.audit(), arguments })
}

fn action(program: &Program, name: &str, arguments: &[u64]) -> u32 {
    ask(program, X86_64, name, arguments).action
}

#[test]
fn every_action_has_its_value() {
    let program =
        compiled(json!({"defaultAction": "SCMP_ACT_KILL_PROCESS", "listenerPath": "/run/agent", "syscalls": [
            {"names": ["read"], "action": "SCMP_ACT_ALLOW"},
            {"names": ["open"], "action": "SCMP_ACT_ERRNO"},
            {"names": ["close"], "action": "SCMP_ACT_ERRNO", "errnoRet": 0},
            {"names": ["stat"], "action": "SCMP_ACT_ERRNO", "errnoRet": 95},
            {"names": ["fstat"], "action": "SCMP_ACT_KILL"},
            {"names": ["lstat"], "action": "SCMP_ACT_KILL_THREAD"},
            {"names": ["poll"], "action": "SCMP_ACT_TRAP"},
            {"names": ["lseek"], "action": "SCMP_ACT_TRACE"},
            {"names": ["mmap"], "action": "SCMP_ACT_TRACE", "errnoRet": 4097},
            {"names": ["mprotect"], "action": "SCMP_ACT_LOG"},
            {"names": ["munmap", "tuxcall"], "action": "SCMP_ACT_NOTIFY"},
        ]}));
    let expected = [
        ("read", 0x7fff_0000),
        ("write", 0x8000_0000),
        ("open", 0x0005_0001),
        ("close", 0x0005_0000),
        ("stat", 0x0005_005f),
        ("fstat", 0),
        ("lstat", 0),
        ("poll", 0x0003_0000),
        ("lseek", 0x7ff0_0001),
        ("mmap", 0x7ff0_1001),
        ("mprotect", 0x7ffc_0000),
        ("munmap", 0x7fc0_0000),
        ("brk", 0x8000_0000),
    ];
    for (name, value) in expected {
        assert_eq!(action(&program, name, &[]), value, "{name}");
    }
    assert_eq!(program.listener, Some(Listener { path: "/run/agent".into(), metadata: None, rule: 10 }));
}

#[test]
fn every_operator_compares_64_bits() {
    let bound = (5_u64 << 32) + 7;
    let values = [0, 7, 8, 5 << 32, bound - 1, bound, bound + 1, 6 << 32, u64::MAX];
    type Holds = fn(u64, u64) -> bool;
    let operators: [(&str, Holds); 6] = [
        ("SCMP_CMP_EQ", |a, b| a == b),
        ("SCMP_CMP_NE", |a, b| a != b),
        ("SCMP_CMP_LT", |a, b| a < b),
        ("SCMP_CMP_LE", |a, b| a <= b),
        ("SCMP_CMP_GT", |a, b| a > b),
        ("SCMP_CMP_GE", |a, b| a >= b),
    ];
    for (operator, holds) in operators {
        let program = compiled(json!({"defaultAction": "SCMP_ACT_ERRNO", "syscalls": [{"names": ["ioctl"],
            "action": "SCMP_ACT_ALLOW", "args": [{"index": 3, "value": bound, "op": operator}]}]}));
        for value in values {
            let expected = if holds(value, bound) { ALLOW } else { EPERM };
            assert_eq!(action(&program, "ioctl", &[9, 9, 9, value]), expected, "{value:#x} {operator} {bound:#x}");
        }
    }
}

#[test]
fn a_mask_chooses_bits_of_both_halves() {
    let program = compiled(json!({"defaultAction": "SCMP_ACT_ERRNO", "syscalls": [{"names": ["clone"],
        "action": "SCMP_ACT_ALLOW", "args": [{"index": 0, "value": 0xff_0000_00f0_u64, "valueTwo": 0x12_0000_0030_u64,
        "op": "SCMP_CMP_MASKED_EQ"}]}]}));
    assert_eq!(action(&program, "clone", &[0xabcd_ef12_8888_883f]), ALLOW);
    assert_eq!(action(&program, "clone", &[0x12_0000_0040]), EPERM);
    assert_eq!(action(&program, "clone", &[0x13_0000_0030]), EPERM);
}

#[test]
fn conditions_on_different_arguments_hold_together_and_on_the_same_one_each_alone() {
    let of = |second: u32| {
        compiled(json!({"defaultAction": "SCMP_ACT_ERRNO", "syscalls": [{"names": ["ioctl"],
            "action": "SCMP_ACT_ALLOW", "args": [{"index": 1, "value": 5, "op": "SCMP_CMP_EQ"},
            {"index": second, "value": 6, "op": "SCMP_CMP_EQ"}]}]}))
    };
    let (both, either) = (of(2), of(1));
    assert_eq!(action(&both, "ioctl", &[0, 5, 6]), ALLOW);
    assert_eq!(action(&both, "ioctl", &[0, 5, 5]), EPERM);
    assert_eq!(action(&both, "ioctl", &[0, 6, 6]), EPERM);
    assert_eq!(action(&either, "ioctl", &[0, 5, 0]), ALLOW);
    assert_eq!(action(&either, "ioctl", &[0, 6, 0]), ALLOW);
    assert_eq!(action(&either, "ioctl", &[0, 7, 0]), EPERM);
}

#[test]
fn without_conditions_beats_with_conditions_and_first_beats_later() {
    let program = compiled(json!({"defaultAction": "SCMP_ACT_ERRNO", "syscalls": [
        {"names": ["read"], "action": "SCMP_ACT_LOG", "args": [{"index": 0, "value": 1, "op": "SCMP_CMP_EQ"}]},
        {"names": ["read"], "action": "SCMP_ACT_ALLOW"},
        {"names": ["read"], "action": "SCMP_ACT_TRAP"},
    ]}));
    assert_eq!(action(&program, "read", &[1]), ALLOW);
    assert!(!ask(&program, X86_64, "read", &[1]).looked_at_arguments);
}

#[test]
fn a_rule_with_the_default_action_is_no_rule() {
    let program = compiled(json!({"defaultAction": "SCMP_ACT_ERRNO", "syscalls": [
        {"names": ["read"], "action": "SCMP_ACT_ERRNO", "errnoRet": 1},
        {"names": ["read"], "action": "SCMP_ACT_ALLOW"},
    ]}));
    assert_eq!(action(&program, "read", &[]), ALLOW);
}

#[test]
fn the_narrower_of_two_conditions_decides() {
    let program = compiled(json!({"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [
        {"names": ["ioctl"], "action": "SCMP_ACT_ERRNO", "errnoRet": 2,
            "args": [{"index": 0, "value": 5, "op": "SCMP_CMP_GE"}]},
        {"names": ["ioctl"], "action": "SCMP_ACT_ERRNO", "errnoRet": 3,
            "args": [{"index": 0, "value": 9, "op": "SCMP_CMP_EQ"}]},
        {"names": ["ioctl"], "action": "SCMP_ACT_ERRNO", "errnoRet": 4,
            "args": [{"index": 0, "value": 7, "op": "SCMP_CMP_GE"}]},
    ]}));
    let errors = [4, 5, 6, 7, 8, 9, 10].map(|value| action(&program, "ioctl", &[value]));
    assert_eq!(errors, [ALLOW, ERRNO | 2, ERRNO | 2, ERRNO | 4, ERRNO | 4, ERRNO | 3, ERRNO | 4]);
}

#[test]
fn each_architecture_has_its_own_numbers() {
    let allow_read = json!({"defaultAction": "SCMP_ACT_ERRNO", "syscalls": [{"names": ["read", "openat2"],
        "action": "SCMP_ACT_ALLOW"}], "architectures": ["SCMP_ARCH_X86_64", "SCMP_ARCH_X86", "SCMP_ARCH_X32",
        "SCMP_ARCH_AARCH64", "SCMP_ARCH_ARM", "SCMP_ARCH_S390X"]});
    for native in [X86_64, Architecture::Aarch64] {
        let program = compile(&profile(allow_read.clone()), native).unwrap();
        for architecture in Architecture::of_machine(native) {
            assert_eq!(ask(&program, *architecture, "read", &[]).action, ALLOW, "{architecture:?}");
            assert_eq!(ask(&program, *architecture, "write", &[]).action, EPERM, "{architecture:?}");
        }
    }
}

#[test]
fn an_architecture_that_is_not_in_the_profile_kills() {
    let program = compiled(json!({"defaultAction": "SCMP_ACT_ALLOW", "architectures": ["SCMP_ARCH_X86"]}));
    assert_eq!(action(&program, "read", &[]), ALLOW, "the machine's own is always there");
    assert_eq!(ask(&program, Architecture::X86, "read", &[]).action, ALLOW);
    assert_eq!(ask(&program, Architecture::X32, "read", &[]).action, KILL_THREAD);
    assert_eq!(ask(&program, Architecture::Arm, "read", &[]).action, KILL_THREAD);
    assert_eq!(ask_number(&program, X86_64, u32::MAX, &[]).action, ALLOW, "a call that a tracer skips");
}

#[test]
fn narrow_architectures_compare_32_bits() {
    let program = compiled(json!({"defaultAction": "SCMP_ACT_ERRNO", "architectures": ["SCMP_ARCH_X86"], "syscalls": [
        {"names": ["ioctl"], "action": "SCMP_ACT_ALLOW", "args": [{"index": 1, "value": (1_u64 << 32) + 5,
            "op": "SCMP_CMP_EQ"}]},
        {"names": ["clone"], "action": "SCMP_ACT_ALLOW", "args": [{"index": 1, "value": 1_u64 << 32,
            "op": "SCMP_CMP_MASKED_EQ"}]}]}));
    assert_eq!(action(&program, "ioctl", &[0, 5]), EPERM);
    assert_eq!(ask(&program, Architecture::X86, "ioctl", &[0, 5]).action, ALLOW);
    assert_eq!(ask(&program, Architecture::X86, "clone", &[0, 5]).action, ALLOW);
}

#[test]
fn i386_calls_through_socketcall_and_ipc_are_those_calls() {
    let program = compiled(json!({"defaultAction": "SCMP_ACT_ERRNO", "architectures": ["SCMP_ARCH_X86"], "syscalls": [
        {"names": ["connect", "accept"], "action": "SCMP_ACT_ALLOW"},
        {"names": ["shmat"], "action": "SCMP_ACT_LOG"}]}));
    let ask = |name, which| ask(&program, Architecture::X86, name, &[which]).action;
    assert_eq!(ask("connect", 0), ALLOW);
    assert_eq!([1, 3, 5].map(|which| ask("socketcall", which)), [EPERM, ALLOW, ALLOW]);
    assert_eq!([20, 21].map(|which| ask("ipc", which)), [EPERM, 0x7ffc_0000]);
}

#[test]
fn calls_newer_than_the_profile_do_not_exist() {
    let of = |default: &str| {
        compiled(json!({"defaultAction": default, "syscalls": [{"names": ["read"], "action": "SCMP_ACT_KILL"},
            {"names": ["openat2"], "action": default}]}))
    };
    for default in ["SCMP_ACT_ERRNO", "SCMP_ACT_KILL_PROCESS", "SCMP_ACT_TRAP"] {
        let program = of(default);
        assert_ne!(action(&program, "pidfd_open", &[]), ENOSYS, "{default}");
        assert_ne!(action(&program, "openat2", &[]), ENOSYS, "{default}");
        assert_eq!(action(&program, "pidfd_getfd", &[]), ENOSYS, "{default}");
        assert_eq!(ask_number(&program, X86_64, 0x3fff_ffff, &[]).action, ENOSYS, "{default}");
    }
    for (default, value) in [("SCMP_ACT_ALLOW", ALLOW), ("SCMP_ACT_LOG", 0x7ffc_0000), ("SCMP_ACT_TRACE", 0x7ff0_0001)]
    {
        assert_eq!(action(&of(default), "pidfd_getfd", &[]), value, "{default}");
    }
}

#[test]
fn private_calls_of_arm_are_not_the_newest() {
    let text = json!({"defaultAction": "SCMP_ACT_ERRNO", "architectures": ["SCMP_ARCH_ARM"],
        "syscalls": [{"names": ["set_tls", "openat2"], "action": "SCMP_ACT_ALLOW"}]});
    let program = compile(&profile(text), Architecture::Aarch64).unwrap();
    let ask = |name| ask(&program, Architecture::Arm, name, &[]).action;
    assert_eq!(["openat2", "pidfd_getfd", "set_tls", "breakpoint"].map(ask), [ALLOW, ENOSYS, ALLOW, EPERM]);
}

#[test]
fn flags_that_are_absent_are_not_flags_that_are_empty() {
    let flags = |flags: Value| compiled(json!({"defaultAction": "SCMP_ACT_ALLOW", "flags": flags})).flags;
    assert_eq!(flags(Value::Null), Flags::SPEC_ALLOW);
    assert_eq!(flags(json!([])), Flags::empty());
    assert_eq!(flags(json!(["SECCOMP_FILTER_FLAG_LOG", "SECCOMP_FILTER_FLAG_TSYNC"])), Flags::LOG | Flags::TSYNC);
    let notifying = compiled(json!({"defaultAction": "SCMP_ACT_ALLOW", "listenerPath": "/a", "listenerMetadata": "m",
        "flags": FLAGS, "syscalls": [{"names": ["mount"], "action": "SCMP_ACT_NOTIFY"}]}));
    assert_eq!(notifying.flags, Flags::all());
    assert_eq!(notifying.listener.unwrap().metadata.as_deref(), Some("m"));
}

#[test]
fn what_cannot_be_carried_out_is_refused_and_the_rule_named() {
    let rule = |rule: Value| {
        refusal(json!({"defaultAction": "SCMP_ACT_ALLOW", "listenerPath": "/a", "syscalls": [
            {"names": ["read"], "action": "SCMP_ACT_LOG"}, rule]}))
    };
    let argument = |argument: Value| rule(json!({"names": ["dup"], "action": "SCMP_ACT_TRAP", "args": [argument]}));
    let profile = |key: &str, value: Value| refusal(json!({"defaultAction": "SCMP_ACT_ALLOW", key: value}));
    let refusals = [
        (profile("defaultAction", json!("")), "linux.seccomp.defaultAction: no action is given"),
        (profile("defaultAction", json!("ALLOW")), "linux.seccomp.defaultAction: \"ALLOW\" is no action"),
        (
            profile("defaultAction", json!("SCMP_ACT_NOTIFY")),
            "linux.seccomp.defaultAction: SCMP_ACT_NOTIFY cannot be used as default action",
        ),
        (profile("defaultErrnoRet", json!(1)), "linux.seccomp.defaultAction: SCMP_ACT_ALLOW takes no errno"),
        (
            profile("architectures", json!(["SCMP_ARCH_X86", "amd64"])),
            "linux.seccomp.architectures[1]: \"amd64\" is no architecture",
        ),
        (profile("flags", json!(["LOG"])), "linux.seccomp.flags[0]: \"LOG\" is no flag"),
        (
            profile("flags", json!(["SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV"])),
            "linux.seccomp.flags: SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV needs a rule with SCMP_ACT_NOTIFY",
        ),
        (
            profile("listenerMetadata", json!("m")),
            "linux.seccomp.listenerMetadata: there is no linux.seccomp.listenerPath to send it to",
        ),
        (
            profile("syscalls", json!([{"names": ["dup"], "action": "SCMP_ACT_NOTIFY"}])),
            "linux.seccomp.listenerPath: missing, and linux.seccomp.syscalls[0] has SCMP_ACT_NOTIFY",
        ),
        (rule(json!({"names": ["dup"], "action": "DENY"})), "linux.seccomp.syscalls[1]: \"DENY\" is no action"),
        (
            rule(json!({"names": ["dup"], "action": "SCMP_ACT_KILL", "errnoRet": 1})),
            "linux.seccomp.syscalls[1]: SCMP_ACT_KILL takes no errno",
        ),
        (
            rule(json!({"names": ["dup"], "action": "SCMP_ACT_ERRNO", "errnoRet": 4096})),
            "linux.seccomp.syscalls[1]: an errno is at most 4095",
        ),
        (
            rule(json!({"names": ["dup", "write"], "action": "SCMP_ACT_NOTIFY"})),
            "linux.seccomp.syscalls[1]: SCMP_ACT_NOTIFY cannot be used for the write syscall",
        ),
        (rule(json!({"action": "SCMP_ACT_KILL"})), "linux.seccomp.syscalls[1].names: no system call is named"),
        (
            argument(json!({"index": 6, "value": 0, "op": "SCMP_CMP_EQ"})),
            "linux.seccomp.syscalls[1].args[0]: a system call has the arguments 0 to 5, not 6",
        ),
        (
            argument(json!({"index": 0, "value": 0, "op": "=="})),
            "linux.seccomp.syscalls[1].args[0]: \"==\" is no operator",
        ),
        (
            refusal(json!({"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [
                {"names": ["dup"], "action": "SCMP_ACT_LOG", "args": [{"index": 0, "value": 1, "op": "SCMP_CMP_EQ"}]},
                {"names": ["dup"], "action": "SCMP_ACT_TRAP", "args": [{"index": 0, "value": 1, "op": "SCMP_CMP_EQ"}]},
            ]})),
            "linux.seccomp.syscalls[1]: for \"dup\" it contradicts linux.seccomp.syscalls[0], \
             which has another action for the same conditions",
        ),
    ];
    for (refusal, expected) in refusals {
        assert_eq!(refusal, expected);
    }
}

#[test]
fn a_filter_that_the_kernel_would_not_take_is_refused() {
    let rules: Vec<_> = (0..1100)
        .map(|value| {
            json!({"names": ["read", "ioctl"], "action": "SCMP_ACT_LOG",
                "args": [{"index": 0, "value": value, "op": "SCMP_CMP_EQ"}]})
        })
        .collect();
    let refusal = refusal(json!({"defaultAction": "SCMP_ACT_ALLOW", "syscalls": rules}));
    assert!(refusal.ends_with("1100, the last of them in linux.seccomp.syscalls[1099]"), "{refusal}");
}

#[test]
fn docker_s_profile_is_short_and_what_it_allows_needs_no_arguments() {
    let profile = docker();
    let program = compile(&profile, X86_64).unwrap();
    println!("{} instructions", program.instructions.len());
    assert!(program.instructions.len() < 500);
    let outcome = ask(&program, X86_64, "openat", &[]);
    println!("{outcome:?}");
    assert_eq!(outcome.action, ALLOW);
    assert!(!outcome.looked_at_arguments);
    assert_eq!(action(&program, "clone", &[0]), ALLOW);
    assert_eq!(action(&program, "clone", &[0x1000_0000]), EPERM);
    assert_eq!(action(&program, "clone3", &[]), ENOSYS);
    assert_eq!(action(&program, "socket", &[40]), EPERM);
    assert_eq!(action(&program, "mount", &[]), EPERM);
}

#[test]
fn a_profile_of_any_size_is_compiled_or_refused_by_its_rule() {
    // Some calls with every condition, said again and again.
    let names = ["ioctl", "prctl", "clone"].repeat(50);
    let args = |count: u64| -> Vec<Value> {
        let value = |value| json!({"index": 0, "value": value, "op": "SCMP_CMP_EQ"});
        (0..count).chain(0..count).map(value).collect()
    };
    let of = |count: u64| {
        json!({"defaultAction": "SCMP_ACT_ERRNO", "architectures": ["SCMP_ARCH_X86_64", "SCMP_ARCH_X32"], "syscalls": [
            {"names": ["read"], "action": "SCMP_ACT_ALLOW"},
            {"names": names, "action": "SCMP_ACT_LOG", "args": args(count)}]})
    };
    assert!(compiled(of(500)).instructions.len() < MOST_INSTRUCTIONS);
    assert!(refusal(of(1100)).contains("the filter has"));
    let text = refusal(of(60_000));
    let expected =
        "linux.seccomp.syscalls[1]: with it the rules for \"ioctl\" have more than 2048 different conditions";
    assert!(text.starts_with(expected), "{text}");
}
