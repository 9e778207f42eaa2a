//! `linux.seccomp`, as far as a container shows it: a small profile with each of the usual actions.

use serde_json::{Value, json};

#[cfg(target_arch = "x86_64")]
use crate::harness::say_skipped;
use crate::harness::{Bundle, Config, each};

fn profile(rules: Value) -> Value {
    json!({"defaultAction": "SCMP_ACT_ALLOW", "syscalls": rules})
}

/// A bundle with a profile that refuses to make directories and kills whoever sets the host name.
fn filtered() -> Bundle {
    let mut bundle = Bundle::new();
    bundle.config.all_capabilities();
    bundle.config.set(
        "/linux/seccomp",
        profile(json!([
            {"names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_ERRNO", "errnoRet": 28},
            {"names": ["rmdir", "unlinkat", "unlink"], "action": "SCMP_ACT_ERRNO"},
            {"names": ["sethostname"], "action": "SCMP_ACT_KILL_PROCESS"},
            {"names": ["no_such_syscall"], "action": "SCMP_ACT_ERRNO"}
        ])),
    );
    bundle
}

#[test]
fn errors_and_kills() {
    for no_new_privileges in [true, false] {
        let mut bundle = filtered();
        bundle.config.set("/process/noNewPrivileges", no_new_privileges);
        let script = "mkdir /made 2>&1 || true; rmdir /mnt 2>&1 || true; hostname other || echo $?; grep Seccomp: /proc/self/status";
        let shown = bundle.shell(script);
        assert!(
            shown.starts_with("mkdir: can't create directory '/made': No space left on device\nrmdir: '/mnt': Operation not permitted\n"),
            "{shown}"
        );
        assert!(shown.contains("159\n"), "killed by SIGSYS: {shown}");
        assert!(shown.ends_with("Seccomp:\t2\n"), "{shown}");
    }
}

#[test]
fn exec_is_filtered_as_well() {
    let mut bundle = filtered();
    bundle.config.stay();
    let container = bundle.start();
    let ran = container.exec(["mkdir", "/made"]);
    assert!(ran.code == 1 && ran.stderr.contains("No space left on device"), "{ran}");
    assert_eq!(container.exec(["hostname", "other"]).code, 159);
}

/// What a small program needs, and busybox.
const USUAL: &str = "read write open openat close stat fstat lstat poll lseek mmap mprotect munmap brk rt_sigaction rt_sigprocmask \
    rt_sigreturn ioctl pread64 readv writev access pipe pipe2 dup dup2 dup3 fcntl fork vfork clone clone3 execve execveat \
    exit exit_group wait4 uname getcwd chdir fchdir readlink readlinkat umask getuid getgid geteuid getegid getppid \
    getpid setuid setgid setgroups setresuid setresgid capget capset prctl arch_prctl set_tid_address newfstatat futex \
    getdents64 set_robust_list rseq prlimit64 getrandom close_range faccessat faccessat2 statx sendmsg recvmsg \
    getsockopt fstatfs statfs setsid getpgrp setpgid tgkill gettid madvise epoll_create1 epoll_ctl epoll_pwait nanosleep \
    sched_getaffinity sched_yield sigaltstack fchown kill openat2 connect sendto recvfrom socket getpgid ppoll \
    clock_gettime time write sysinfo getrlimit rt_sigtimedwait accept4 shutdown splice";

#[test]
fn a_default_that_refuses() {
    let mut bundle = Bundle::new();
    let allowed = format!("{USUAL} mkdir mkdirat");
    let names: Vec<&str> = allowed.split_whitespace().collect();
    bundle.config.set(
        "/linux/seccomp",
        json!({"defaultAction": "SCMP_ACT_ERRNO", "defaultErrnoRet": 95,
            "syscalls": [{"names": names, "action": "SCMP_ACT_ALLOW"}]}),
    );
    let shown = bundle.shell("mkdir /made; ls -d /made; ln -s x /link 2>&1 || true");
    assert!(
        shown.starts_with("/made\nln: /link: Not supported\n") || shown.contains("Operation not supported"),
        "{shown}"
    );
}

#[test]
fn conditions_on_arguments() {
    let mut bundle = Bundle::new();
    // One signal and no other.
    bundle.config.set(
        "/linux/seccomp",
        profile(json!([{
            "names": ["kill"], "action": "SCMP_ACT_ERRNO", "errnoRet": 28,
            "args": [{"index": 1, "value": 10, "op": "SCMP_CMP_EQ"}]
        }])),
    );
    assert_eq!(
        bundle.shell("trap 'echo got it' USR1 USR2; kill -USR1 $$ 2>&1 || true; kill -USR2 $$"),
        "sh: can't kill pid 1: No space left on device\ngot it\n"
    );
}

#[test]
fn every_action_in_one_profile() {
    // But for the one that asks an agent: see `seccomp_agent`.
    for no_new_privileges in [true, false] {
        let mut bundle = Bundle::new();
        let rules = json!([
            {"names": ["sethostname"], "action": "SCMP_ACT_KILL"},
            {"names": ["chroot"], "action": "SCMP_ACT_KILL_THREAD"},
            {"names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_KILL_PROCESS"},
            {"names": ["sync"], "action": "SCMP_ACT_TRAP"},
            {"names": ["link", "linkat"], "action": "SCMP_ACT_TRACE", "errnoRet": 7},
            {"names": ["rename", "renameat", "renameat2"], "action": "SCMP_ACT_ERRNO", "errnoRet": 28},
            {"names": ["uname"], "action": "SCMP_ACT_LOG"},
            {"names": ["symlink", "symlinkat"], "action": "SCMP_ACT_ALLOW"}
        ]);
        bundle.config.all_capabilities().set("/process/noNewPrivileges", no_new_privileges);
        bundle.config.set("/linux/seccomp", profile(rules));
        let script = "touch /from
            hostname other || echo kill $?; chroot / true || echo kill-thread $?; mkdir /made || echo kill-process $?
            sync || echo trap $?; ln /from /to 2>&1 || true; mv /from /to 2>&1 || true
            uname -s; ln -s /from /link; readlink /link";
        let shown = bundle.shell(script);
        let expected = "kill 159\nkill-thread 159\nkill-process 159\ntrap 159\n\
            ln: /to: Function not implemented\nmv: can't rename '/from': No space left on device\nLinux\n/from\n";
        assert_eq!(shown, expected);
    }
}

#[test]
fn a_tracer_is_told_and_without_one_there_is_no_such_call() {
    let rule = |data: Value| profile(json!([{"names": ["mkdirat"], "action": "SCMP_ACT_TRACE", "errnoRet": data}]));
    let names: Vec<&str> = USUAL.split_whitespace().chain(["ptrace"]).collect();
    let allow = json!([{"names": names, "action": "SCMP_ACT_ALLOW"}]);
    let default = json!({"defaultAction": "SCMP_ACT_TRACE", "defaultErrnoRet": 0xffff, "syscalls": allow});
    // Without a word it is EPERM, as for libseccomp's callers.
    for (profile, data) in [(rule(json!(7)), 7), (rule(Value::Null), 1), (default, 0xffff)] {
        for no_new_privileges in [true, false] {
            let mut bundle = Bundle::new();
            bundle.config.set("/linux/seccomp", profile.clone()).set("/process/noNewPrivileges", no_new_privileges);
            assert_eq!(bundle.probe(&["make-directory"]), "ENOSYS\n", "{profile}");
            assert_eq!(bundle.probe(&["traced"]), format!("mkdirat, data {data}\nmade\n"), "{profile}");
            std::fs::remove_dir(bundle.rootfs.join("made")).expect("remove what was made");
            bundle.config.stay();
            let container = bundle.start();
            assert_eq!(container.exec(["probe", "traced"]).stdout, format!("mkdirat, data {data}\nmade\n"));
        }
    }
}

#[test]
fn calls_that_are_newer_than_the_profile_do_not_exist() {
    // A program tries what is new and falls back on ENOSYS; EPERM would end it. The newest here is openat2.
    let mut bundle = Bundle::new();
    let names: Vec<&str> = USUAL.split_whitespace().collect();
    let syscalls = json!([{"names": names, "action": "SCMP_ACT_ALLOW"}]);
    bundle.config.set("/linux/seccomp", json!({"defaultAction": "SCMP_ACT_ERRNO", "syscalls": syscalls}));
    for (number, expected) in [(libc::SYS_statx + 1000, "ENOSYS"), (libc::SYS_acct, "EPERM")] {
        assert_eq!(bundle.probe(&["call", &number.to_string(), "0"]), format!("{expected}\n"));
    }
}

#[cfg(target_arch = "x86_64")]
#[test]
fn calls_of_other_architectures_have_their_own_rules() {
    const SIGSYS: i32 = 128 + 31;
    let x32 = (0x4000_0000 | libc::SYS_getpgid).to_string();
    // The kernel's number of getpgid for i386.
    let of_i386 = ["call-of-i386", "132", "0"];
    let mut bundle = Bundle::new();
    bundle.add_probe();
    let mut run = |architectures: &[&str], arguments: &[&str]| {
        let rule = json!([{"names": ["getpgid"], "action": "SCMP_ACT_ERRNO", "errnoRet": 95}]);
        bundle.config.set("/linux/seccomp", profile(rule)).set("/linux/seccomp/architectures", json!(architectures));
        bundle.config.args(["probe"].iter().chain(arguments).copied());
        bundle.run()
    };
    let mut tried = vec![("SCMP_ARCH_X32", vec!["call", x32.as_str(), "0"])];
    if run(&["SCMP_ARCH_X86"], &of_i386).code == 128 + libc::SIGSEGV {
        say_skipped("this kernel has no calls of i386 (CONFIG_IA32_EMULATION); those of x32 were made");
    } else {
        tried.push(("SCMP_ARCH_X86", of_i386.to_vec()));
    }
    for (architecture, arguments) in tried {
        assert_eq!(run(&["SCMP_ARCH_X86_64", architecture], &arguments).stdout, "EOPNOTSUPP\n", "{architecture}");
        // One that the profile does not have has no calls.
        assert_eq!(run(&["SCMP_ARCH_X86_64"], &arguments).code, SIGSYS, "{architecture}");
    }
}

#[test]
fn every_flag_is_taken() {
    let all = ["SECCOMP_FILTER_FLAG_TSYNC", "SECCOMP_FILTER_FLAG_LOG", "SECCOMP_FILTER_FLAG_SPEC_ALLOW"];
    let mut bundle = filtered();
    for flags in [&[][..], &all[..1], &all[1..2], &all[2..], &all] {
        bundle.config.set("/linux/seccomp/flags", json!(flags));
        assert_eq!(bundle.shell("rmdir /mnt 2>&1 || true"), "rmdir: '/mnt': Operation not permitted\n", "{flags:?}");
    }
}

#[test]
fn what_the_runtime_needs_it_has_done_before() {
    // What older kernels and profiles of engines refuse, and a runtime may have a use for on its last steps.
    let names = "access chdir clone3 close close_range connect faccessat2 fchdir fchmodat2 fchown fcntl fsconfig fsmount \
        fsopen getdents64 mount mount_setattr move_mount open open_tree openat openat2 pidfd_open recvmsg sendmsg \
        setgroups setresgid setresuid setsid socket stat statx umask";
    let names: Vec<&str> = names.split_whitespace().collect();
    for action in ["SCMP_ACT_ERRNO", "SCMP_ACT_KILL_PROCESS"] {
        for no_new_privileges in [true, false] {
            let mut bundle = Bundle::new();
            bundle.add_probe();
            bundle.config.set("/process/noNewPrivileges", no_new_privileges).args(["probe", "personality"]);
            bundle.config.set("/process/user", json!({"uid": 1000, "gid": 1000}));
            bundle.config.set("/linux/seccomp", profile(json!([{"names": names, "action": action, "errnoRet": null}])));
            assert_eq!(bundle.output(), "0\n", "{action}");
            let container = bundle.create();
            assert_eq!(container.start_and_wait(), 0, "{action} {no_new_privileges}");
            container.delete();
            bundle.config.stay();
            assert_eq!(bundle.start().exec(["probe", "personality"]).stdout, "0\n", "{action}");
        }
    }
}

#[test]
fn thousands_of_rules() {
    let mut bundle = Bundle::new();
    // The same again and again, and names that no architecture has.
    let rules: Vec<Value> = (0..20_000)
        .map(|number| json!({"names": ["mkdir", "mkdirat", format!("call_{number}")], "action": "SCMP_ACT_ERRNO"}))
        .collect();
    bundle.config.set("/linux/seccomp", profile(rules.into())).script("mkdir /made 2>&1 || true");
    assert_eq!(bundle.output(), "mkdir: can't create directory '/made': Operation not permitted\n");

    // One more condition than the kernel takes instructions for, and many more: refused at the first that is too many.
    for count in [2_000, 30_000] {
        let rules: Vec<Value> = (0..count)
            .map(|number| {
                json!({"names": ["kill"], "action": "SCMP_ACT_ERRNO",
                    "args": [{"index": 0, "value": number, "op": "SCMP_CMP_EQ"}]})
            })
            .collect();
        bundle.config.set("/linux/seccomp", profile(rules.into()));
        bundle.refused(&["linux.seccomp.syscalls", "\"kill\"", "4096"]);
    }
}

#[test]
fn rules_that_contradict_each_other() {
    let mut bundle = Bundle::new();
    let on_zero = json!([{"index": 0, "value": 0, "op": "SCMP_CMP_EQ"}]);
    bundle.config.set(
        "/linux/seccomp",
        profile(json!([
            {"names": ["kill"], "action": "SCMP_ACT_ERRNO", "args": on_zero},
            {"names": ["mkdir"], "action": "SCMP_ACT_ERRNO"},
            {"names": ["kill"], "action": "SCMP_ACT_KILL", "args": on_zero}
        ])),
    );
    bundle.refused(&["linux.seccomp.syscalls[2]", "\"kill\"", "contradicts linux.seccomp.syscalls[0]"]);
}

#[test]
fn profiles_that_make_no_sense() {
    let mut bundle = Bundle::new();
    each(
        [
            (json!({"syscalls": []}), "linux.seccomp"),
            (json!({"defaultAction": "SCMP_ACT_NOSUCH"}), "linux.seccomp.defaultAction"),
            (json!({"defaultAction": "SCMP_ACT_NOTIFY"}), "linux.seccomp"),
            (json!({"defaultAction": "SCMP_ACT_ALLOW", "defaultErrnoRet": 1}), "linux.seccomp.defaultAction"),
            (json!({"defaultAction": "SCMP_ACT_ALLOW", "listenerMetadata": "x"}), "linux.seccomp.listenerMetadata"),
            (profile(json!([{"names": ["mkdir"], "action": "SCMP_ACT_NOTIFY"}])), "linux.seccomp.listenerPath"),
            (
                json!({"defaultAction": "SCMP_ACT_ALLOW", "listenerPath": "/agent",
                    "syscalls": [{"names": ["mkdir", "write"], "action": "SCMP_ACT_NOTIFY"}]}),
                "linux.seccomp.syscalls[0]",
            ),
            (profile(json!([{"names": ["mkdir"], "action": "SCMP_ACT_NOSUCH"}])), "linux.seccomp.syscalls[0]"),
            (profile(json!([{"names": [], "action": "SCMP_ACT_ERRNO"}])), "linux.seccomp.syscalls[0]"),
            (profile(json!([{"action": "SCMP_ACT_ERRNO"}])), "linux.seccomp.syscalls[0]"),
            (
                profile(json!([{"names": ["mkdir"], "action": "SCMP_ACT_KILL", "errnoRet": 1}])),
                "linux.seccomp.syscalls[0]",
            ),
            (
                profile(json!([{"names": ["mkdir"], "action": "SCMP_ACT_ERRNO",
                    "args": [{"index": 6, "value": 0, "op": "SCMP_CMP_EQ"}]}])),
                "linux.seccomp.syscalls[0]",
            ),
            (
                profile(json!([{"names": ["mkdir"], "action": "SCMP_ACT_ERRNO",
                    "args": [{"index": 0, "value": 0, "op": "SCMP_CMP_NOSUCH"}]}])),
                "linux.seccomp.syscalls[0]",
            ),
            (
                json!({"defaultAction": "SCMP_ACT_ALLOW", "architectures": ["SCMP_ARCH_NOSUCH"]}),
                "linux.seccomp.architectures",
            ),
            (
                json!({"defaultAction": "SCMP_ACT_ALLOW", "flags": ["SECCOMP_FILTER_FLAG_NOSUCH"]}),
                "linux.seccomp.flags",
            ),
        ],
        |(profile, needle)| {
            bundle.config = Config::usual();
            bundle.config.set("/linux/seccomp", profile);
            bundle.refused(&[needle]);
        },
    );
}
