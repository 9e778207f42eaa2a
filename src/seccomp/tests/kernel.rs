//! Filters in the kernel: it takes them all, and real processes meet every action.

use std::os::fd::OwnedFd;
use std::os::unix::process::ExitStatusExt;
use std::process::{Command, ExitStatus};
use std::sync::mpsc;

use proptest::prelude::*;
use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;
use rustix::process::getpriority_process;
use rustix::system::sethostname;
use rustix::thread::set_no_new_privs;

use super::inputs::{ANYTHING, native, profile};
use super::*;
use crate::sys::seccomp::load;

/// In the child, the rules for getpriority(2).
const RULES: &str = "CORTEN_TEST_SECCOMP_RULES";

/// Does something on a thread of its own, under a filter: filters are a thread's. Everything but the rules is allowed.
fn under<T: Send + 'static>(rules: Value, then: impl FnOnce(Option<OwnedFd>) -> T + Send + 'static) -> T {
    let text = json!({"defaultAction": "SCMP_ACT_ALLOW", "listenerPath": "/agent", "syscalls": rules});
    let program = compile(&super::profile(text), Architecture::NATIVE).unwrap();
    let thread = std::thread::spawn(move || {
        set_no_new_privs(true).unwrap();
        then(load(&program.instructions, program.flags).unwrap())
    });
    thread.join().unwrap()
}

fn getpriority_gets(action: Value) -> Value {
    let mut rule = json!({"names": ["getpriority"]});
    rule.as_object_mut().unwrap().extend(action.as_object().unwrap().clone());
    json!([rule])
}

#[test]
fn a_call_is_allowed_logged_or_failed() {
    let own = getpriority_process(None).unwrap();
    let answer = |action: Value| under(getpriority_gets(action), |_| getpriority_process(None));
    assert_eq!(answer(json!({"action": "SCMP_ACT_LOG"})), Ok(own));
    assert_eq!(answer(json!({"action": "SCMP_ACT_ERRNO"})), Err(Errno::PERM));
    assert_eq!(answer(json!({"action": "SCMP_ACT_ERRNO", "errnoRet": 95})), Err(Errno::OPNOTSUPP));
    // There is no tracer (seccomp(2), SECCOMP_RET_TRACE).
    assert_eq!(answer(json!({"action": "SCMP_ACT_TRACE"})), Err(Errno::NOSYS));
}

#[test]
fn conditions_are_asked_of_real_arguments() {
    let rules = getpriority_gets(json!({"action": "SCMP_ACT_ERRNO", "errnoRet": 5,
        "args": [{"index": 1, "value": 0, "op": "SCMP_CMP_GT"}]}));
    let own = rustix::process::getpid();
    assert_eq!(
        under(rules, move |_| (getpriority_process(None).is_ok(), getpriority_process(Some(own)))),
        (true, Err(Errno::IO))
    );
}

#[test]
fn a_call_waits_for_the_listener() {
    let (send, receive) = mpsc::channel();
    let call = std::thread::spawn(move || {
        under(getpriority_gets(json!({"action": "SCMP_ACT_NOTIFY"})), move |listener| {
            send.send(listener.unwrap()).unwrap();
            getpriority_process(None)
        })
    });
    let listener = receive.recv().unwrap();
    poll(&mut [PollFd::new(&listener, PollFlags::IN)], None).unwrap();
    // Without a listener the call does not exist (seccomp_unotify(2)).
    drop(listener);
    assert_eq!(call.join().unwrap(), Err(Errno::NOSYS));
}

#[test]
fn a_call_kills_the_process() {
    if let Ok(rules) = std::env::var(RULES) {
        under(serde_json::from_str(&rules).unwrap(), |_| getpriority_process(None)).unwrap();
        return;
    }
    let status = |action| in_a_process("a_call_kills_the_process", &getpriority_gets(json!({"action": action})));
    assert_eq!(status("SCMP_ACT_KILL_PROCESS").signal(), Some(libc::SIGSYS));
    assert_eq!(status("SCMP_ACT_TRAP").signal(), Some(libc::SIGSYS));
    assert!(status("SCMP_ACT_ALLOW").success());
}

#[test]
fn a_call_kills_its_thread_alone() {
    if let Ok(rules) = std::env::var(RULES) {
        let rules = serde_json::from_str(&rules).unwrap();
        let (send, receive) = mpsc::channel();
        // Joining a thread that ended without a word is a panic.
        let joined = std::panic::catch_unwind(|| {
            under(rules, move |_| {
                send.send(()).unwrap();
                getpriority_process(None)
            })
        });
        receive.recv().unwrap();
        assert!(joined.is_err());
        return;
    }
    let status = |action| in_a_process("a_call_kills_its_thread_alone", &getpriority_gets(json!({"action": action})));
    assert!(status("SCMP_ACT_KILL").success());
    assert!(status("SCMP_ACT_KILL_THREAD").success());
    assert!(!status("SCMP_ACT_ALLOW").success());
}

#[cfg(target_arch = "x86_64")]
#[test]
fn calls_of_i386_have_their_own_rules() {
    const GETPGID: &str = "132";
    const GETSID: &str = "147";
    let Some(caller) = programs::i386() else { return };
    let calls = |architectures: Value| {
        let rules = json!([{"names": ["getsid"], "action": "SCMP_ACT_ERRNO", "errnoRet": 95},
            {"names": ["getpgid"], "action": "SCMP_ACT_ERRNO", "errnoRet": 5,
                "args": [{"index": 0, "value": 1, "op": "SCMP_CMP_EQ"}]}]);
        let text = json!({"defaultAction": "SCMP_ACT_ALLOW", "architectures": architectures, "syscalls": rules});
        let filter = programs::spelled(&compile(&super::profile(text), Architecture::NATIVE).unwrap().instructions);
        programs::run(caller, &[GETSID, "0", GETPGID, "1", GETPGID, "-1"], &filter)
    };
    if programs::run(caller, &[GETSID, "0"], "6 0 0 2147418112\n").status.signal() == Some(libc::SIGSEGV) {
        println!("skipped: this kernel has no calls of i386 (CONFIG_IA32_EMULATION)");
        return;
    }
    let answers = calls(json!(["SCMP_ARCH_X86"]));
    assert_eq!(String::from_utf8_lossy(&answers.stdout), format!("-95\n-5\n-{}\n", libc::ESRCH));
    assert_eq!(calls(json!([])).status.signal(), Some(libc::SIGSYS));
}

/// This test again, in a process that may die of it.
fn in_a_process(test: &str, rules: &Value) -> ExitStatus {
    let name = format!("{}::{test}", module_path!().split_once("::").unwrap().1);
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", &name, "--test-threads=1"]).env(RULES, rules.to_string());
    command.output().unwrap().status
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_kernel_takes_every_filter(profile in profile(ANYTHING), native in native()) {
        if let Ok(mut program) = compile(&profile, native) {
            // It looks at every instruction before it runs one; this one keeps the filter from having an effect.
            program.instructions.insert(0, Instruction { code: assembler::RETURN, jt: 0, jf: 0, k: ALLOW });
            let loading = std::thread::spawn(move || {
                set_no_new_privs(true).unwrap();
                load(&program.instructions, program.flags).map(drop)
            });
            prop_assert_eq!(loading.join().unwrap(), Ok(()));
        }
    }
}

#[test]
fn the_filters_of_engines_hold() {
    for mut profile in [docker(), podman()] {
        // Made for x86-64; an engine on another machine names that one.
        profile.architectures.clear();
        let program = compile(&profile, Architecture::NATIVE).unwrap();
        assert_eq!(ask(&program, Architecture::NATIVE, "sethostname", &[]).action, EPERM);
        let thread = std::thread::spawn(move || {
            set_no_new_privs(true).unwrap();
            load(&program.instructions, program.flags).unwrap();
            // A thread starts although clone3 fails: glibc takes ENOSYS for an old kernel and uses clone.
            std::thread::spawn(|| sethostname(&[b'x'; 100])).join().unwrap()
        });
        // The kernel itself would have said to root that the name is too long: EINVAL.
        assert_eq!(thread.join().unwrap(), Err(Errno::PERM));
    }
}
